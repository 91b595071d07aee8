//! Property: an expired key is gone for every process, is removed by one of them, and clocks that
//! disagree make it expire earlier or later, nothing worse.
//!
//! The rule: each process goes by its own clock. The one whose clock is ahead is the first to see a
//! key expire, and may remove it for all; nothing else depends on whose clock is right.

use super::common::{Conn, Options, Reply, Server, Subject, fdb};
use super::{figure, servers, wait_until};

/// How far the second process's clock is ahead of the first's.
const SKEW_MS: i64 = 2_000;

/// Keys that expire together.
const KEYS: u64 = 200;
/// Rounds in a row in which the same keys are removed by the same process: longer than it takes a
/// process to learn of another.
const SAME_ROUNDS: u32 = 8;

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

/// Sets `count` keys that expire very soon.
fn set_short_lived(conn: &mut Conn, name: &str, count: u64) {
    let commands = |number| format!("SET {name}:{number} v PX 50");
    let commands: Vec<_> = (0..count).map(|n| super::common::words(&commands(n))).collect();
    for reply in conn.pipeline(&commands) {
        assert_eq!(reply, ok());
    }
}

/// Nothing is visible, and nothing is left that is not: the keys have been removed, not hidden.
#[test]
fn expired_keys_are_removed_by_whoever_is_there() {
    if !fdb::is_here() {
        return;
    }
    let mut servers = servers(2, &Options::default());
    let mut conns = [servers[0].connect(), servers[1].connect()];
    let expired = |conns: &mut [Conn]| -> Vec<u64> {
        conns.iter_mut().map(|conn| figure(conn, "expired_keys")).collect()
    };
    // At first each may believe that it is alone. Who removes what of the same keys is settled once
    // both know of each other; racing for all of them would not give the same again and again.
    let (mut rounds, mut same) = (0, 0);
    let (mut before, mut last) = (expired(&mut conns), Vec::new());
    wait_until("they share the work", || {
        rounds += 1;
        set_short_lived(&mut conns[rounds % 2], "shared", KEYS);
        let mut removed = Vec::new();
        wait_until("all keys are removed", || {
            let now = expired(&mut conns);
            removed = now.iter().zip(&before).map(|(now, before)| now - before).collect();
            removed.iter().sum::<u64>() >= KEYS
        });
        assert_eq!(removed.iter().sum::<u64>(), KEYS, "some were removed twice: {removed:?}");
        conns.iter_mut().for_each(|conn| assert_eq!(conn.command("DBSIZE"), Reply::Int(0)));
        let is_shared = removed.iter().all(|removed| *removed > KEYS / 4);
        same = if is_shared && removed == last { same + 1 } else { 0 };
        before = expired(&mut conns);
        last = removed;
        same == SAME_ROUNDS
    });
    servers[1].kill();
    let before = figure(&mut conns[0], "expired_keys");
    set_short_lived(&mut conns[0], "alone", KEYS);
    wait_until("the one that is left removes all keys", || {
        figure(&mut conns[0], "expired_keys") == before + KEYS
    });
    assert_eq!(conns[0].command("DBSIZE"), Reply::Int(0));
}

#[test]
fn a_key_expires_for_both_processes() {
    if !fdb::is_here() {
        return;
    }
    let servers = servers(2, &Options::default());
    let mut conns = [servers[0].connect(), servers[1].connect()];
    assert_eq!(conns[0].command("SET stays v"), ok());
    for round in 0..6 {
        let (one, other) = (round % 2, (round + 1) % 2);
        assert_eq!(conns[one].command("SET k v PX 150"), ok());
        let mut is_gone = false;
        wait_until("the key is gone", || {
            let now_gone = conns[other].command("GET k").is_nil();
            assert!(now_gone || !is_gone, "it came back");
            is_gone = now_gone;
            is_gone
        });
        // Both clocks are this machine's.
        assert!(conns[one].command("GET k").is_nil());
        assert_eq!(conns[one].command("TTL k"), Reply::Int(-2));
    }
    // As in Redis, what is expired counts until it is removed.
    for conn in &mut conns {
        wait_until("only one key is left", || conn.command("DBSIZE") == Reply::Int(1));
    }
}

/// Two processes; the clock of the second is ahead.
fn skewed() -> [Server; 2] {
    let options = Options { fdb_root: Some(fdb::new_root()), ..Options::default() };
    let ahead = Options { clock_skew_ms: SKEW_MS, ..options.clone() };
    [&options, &ahead].map(|options| Server::start_with(Subject::FoundationDb, options))
}

/// The milliseconds left by the first process's clock, asked before and after the second's.
fn left(conns: &mut [Conn; 2]) -> (i64, i64, i64) {
    let before = conns[0].command("PTTL k").int();
    let ahead = conns[1].command("PTTL k").int();
    (before, ahead, conns[0].command("PTTL k").int())
}

#[test]
fn each_process_goes_by_its_own_clock() {
    if !fdb::is_here() {
        return;
    }
    let servers = skewed();
    let mut conns = [servers[0].connect(), servers[1].connect()];
    let check = |conns: &mut [Conn; 2]| {
        let (before, ahead, after) = left(conns);
        assert!(before >= after && after > 0, "{before} {after}");
        let expected = after - SKEW_MS..=before - SKEW_MS;
        assert!(expected.contains(&ahead), "{ahead} is not in {expected:?}");
    };
    assert_eq!(conns[0].command("SET k v PX 1000000"), ok());
    check(&mut conns);
    for (number, other) in [(0, 1), (1, 0)] {
        assert_eq!(conns[number].command("PERSIST k"), Reply::Int(1));
        assert_eq!(conns[other].command("PTTL k"), Reply::Int(-1));
        assert_eq!(conns[other].command("PEXPIRE k 2000000"), Reply::Int(1));
        check(&mut conns);
        assert_eq!(conns[number].command("PEXPIRE k 1000000"), Reply::Int(1));
        check(&mut conns);
        let at = conns[number].command("PEXPIRETIME k");
        assert_eq!(
            conns[other].command("PEXPIRETIME k"),
            at,
            "the time itself is one and the same"
        );
    }
    // Between the two clocks: by the one that is ahead it is in the past.
    let at = conns[1].command("PEXPIRETIME k").int() - conns[1].command("PTTL k").int();
    let between = at - SKEW_MS / 2;
    assert_eq!(conns[1].command(&format!("PEXPIREAT k {between}")), Reply::Int(1));
    conns.iter_mut().for_each(|conn| assert!(conn.command("GET k").is_nil()));
}

#[test]
fn what_has_expired_for_a_process_does_not_come_back() {
    if !fdb::is_here() {
        return;
    }
    let servers = skewed();
    let mut conns = [servers[0].connect(), servers[1].connect()];
    for round in 0..4 {
        // Less than the skew: the one that is ahead never sees it, and may remove it for both.
        assert_eq!(conns[0].command("SET short v PX 500"), ok());
        // More: both see it for a while.
        let long = SKEW_MS + 300;
        assert_eq!(conns[0].command(&format!("SET long v PX {long}")), ok());
        let mut gone = [[false; 2]; 2];
        wait_until("both keys are gone for both", || {
            for (conn, gone) in conns.iter_mut().zip(&mut gone) {
                for (key, gone) in ["short", "long"].into_iter().zip(gone) {
                    let now_gone = conn.command(&format!("GET {key}")).is_nil();
                    assert!(now_gone || !*gone, "round {round}: {key} came back");
                    *gone = now_gone;
                }
            }
            assert!(gone[1][0], "round {round}: the clock that is ahead has passed its time");
            gone.as_flattened().iter().all(|gone| *gone)
        });
        // What is written over an expired key begins anew, for both.
        assert_eq!(conns[0].command("SET n 41 PX 1000"), ok());
        assert_eq!(conns[1].command("INCR n"), Reply::Int(1));
        for conn in &mut conns {
            assert_eq!(conn.command("GET n").bulk(), Some(&b"1"[..]));
            assert_eq!(conn.command("PTTL n"), Reply::Int(-1));
        }
        assert_eq!(conns[0].command("DEL n"), Reply::Int(1));
        // A key without an expiry is nobody's to remove.
        assert_eq!(conns[0].command("SET n 41 PX 1000000"), ok());
        assert_eq!(conns[1].command("PERSIST n"), Reply::Int(1));
    }
    assert_eq!(conns[0].command("GET n").bulk(), Some(&b"41"[..]));
    for conn in &mut conns {
        wait_until("only one key is left", || conn.command("DBSIZE") == Reply::Int(1));
    }
}
