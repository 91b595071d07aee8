//! Property: processes before one cluster are one server: what one of them has acknowledged, all of
//! them show, and which of them a client asks makes no difference.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::common::history::{self, Load};
use super::common::{Conn, Options, Reply, Rng, Server, Subject, env_number, fdb, flush};
use super::{StopAtEnd, servers, wait_until};

fn two() -> Vec<Server> {
    servers(2, &Options::default())
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn fifty_clients_of_two_processes_are_linearizable() {
    if !fdb::is_here() {
        return;
    }
    let seed = env_number("RINGSTONE_TEST_HISTORY_SEED", 1);
    println!("RINGSTONE_TEST_HISTORY_SEED={seed}");
    let (mut rng, servers) = (Rng::new(seed), two());
    for round in 0..4 {
        for load in [
            Load { clients: 50, requests: 40, keys: 24, block_keys: 2 },
            Load { clients: 50, requests: 40, keys: 8, block_keys: 0 },
        ] {
            flush(&mut servers[round % 2].connect());
            let history = history::record(&servers, load, &mut rng);
            history::check(&history, &format!("fifty-clients-{round}-{}", load.keys));
        }
    }
}

#[test]
fn watch_notices_what_the_other_process_does() {
    if !fdb::is_here() {
        return;
    }
    let servers = two();
    let (mut one, mut other) = (servers[0].connect(), servers[1].connect());
    // What is there before; what the other process does to it; whether that is a change.
    for (before, meanwhile, is_change) in [
        ("", &["SET k v", "DEL k"][..], true),
        ("", &["SET k v PX 100000", "PEXPIRE k -1"], true),
        ("", &["SET k v", "RENAME k l"], true),
        ("", &["SET k v", "FLUSHALL"], true),
        ("", &["DEL k", "GET k", "SET other v"], false),
        ("SET k v", &["SET k v"], true),
        ("SET k v", &["DEL k", "SET k v"], true),
        ("SET k v", &["APPEND k w", "SET k v"], true),
        ("SET k v", &["PEXPIRE k 100000"], true),
        ("SET k v", &["GET k", "SETNX k w", "DEL other", "INCR n"], false),
    ] {
        flush(&mut other);
        if !before.is_empty() {
            assert_eq!(one.command(before), ok());
        }
        assert_eq!(one.command("WATCH k"), ok());
        one.command("GET k");
        assert_eq!(one.command("MULTI"), ok());
        one.command("SET done yes");
        for command in meanwhile {
            assert!(!other.command(command).is_error(), "{command}");
        }
        assert_eq!(one.command("EXEC").is_nil(), is_change, "{before}; {meanwhile:?}");
        assert_eq!(other.command("EXISTS done").int() == 0, is_change, "{before}; {meanwhile:?}");
    }
}

/// One step of a scan; where to go on.
fn scan(conn: &mut Conn, cursor: &str, found: &mut BTreeSet<String>) -> String {
    let reply = conn.command(&format!("SCAN {cursor} COUNT 40"));
    let text = |reply: &Reply| String::from_utf8(reply.bulk().unwrap().to_vec()).unwrap();
    found.extend(reply.items()[1].items().iter().map(text));
    text(&reply.items()[0])
}

#[test]
fn a_scan_goes_on_at_the_other_process() {
    if !fdb::is_here() {
        return;
    }
    let servers = two();
    let stays: Vec<String> = (0..1500).map(|number| format!("stays:{number}")).collect();
    for keys in stays.chunks(300) {
        let pairs: Vec<_> = keys.iter().map(|key| format!("{key} v")).collect();
        assert_eq!(servers[0].connect().command(&format!("MSET {}", pairs.join(" "))), ok());
    }
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stopped);
        let (mut conn, stopped) = (servers[1].connect(), &stopped);
        scope.spawn(move || {
            // Others come and go; those that stay are overwritten.
            let mut rng = Rng::new(1);
            while !stopped.load(Ordering::Relaxed) {
                let (key, stays) = (rng.below(500), rng.below(1500));
                conn.command(&format!("SET comes:{key} v"));
                conn.command(&format!("SET stays:{stays} w"));
                conn.command(&format!("DEL comes:{}", rng.below(500)));
            }
        });
        let mut conns = [servers[0].connect(), servers[1].connect()];
        for turn in 0..2 {
            let (mut found, mut cursor, mut steps) = (BTreeSet::new(), "0".to_owned(), turn);
            loop {
                cursor = scan(&mut conns[steps % 2], &cursor, &mut found);
                steps += 1;
                if cursor == "0" {
                    break;
                }
            }
            let missing: Vec<_> = stays.iter().filter(|key| !found.contains(*key)).collect();
            assert!(missing.is_empty(), "not found: {missing:?}");
            assert!(found.iter().all(|key| key.starts_with("stays:") || key.starts_with("comes:")));
            assert!(steps >= 20, "{steps} steps are too few to have alternated");
        }
    });
}

#[test]
fn no_two_clients_have_the_same_id() {
    if !fdb::is_here() {
        return;
    }
    let options = Options { fdb_root: Some(fdb::new_root()), ..Options::default() };
    let start = || Server::start_with(Subject::FoundationDb, &options);
    let first = start();
    let mut ids = BTreeSet::new();
    for round in 0..3 {
        // One that is started again must not begin where it did before.
        for server in [&first, &start()] {
            for _ in 0..20 {
                let id = server.connect().command("CLIENT ID").int();
                assert!(id > 0 && ids.insert(id), "round {round}: {id} was given before");
            }
        }
    }
}

#[test]
fn what_one_process_flushes_is_gone_for_both() {
    if !fdb::is_here() {
        return;
    }
    let servers = two();
    let mut conns = [servers[0].connect(), servers[1].connect()];
    for round in 0..60 {
        let (one, other) = (round % 2, (round + 1) % 2);
        assert_eq!(conns[other].command("SET old v"), ok());
        let flush = if round % 3 == 0 { "FLUSHDB" } else { "FLUSHALL" };
        assert_eq!(conns[one].command(flush), ok());
        // At once, and what was acknowledged after it is not lost: plain writes look at nothing.
        if round % 4 < 2 {
            assert_eq!(conns[other].command("GET old"), Reply::NilBulk, "round {round}");
        }
        assert_eq!(conns[other].command(&format!("SET new {round}")), ok());
        for conn in &mut conns {
            assert_eq!(conn.command("GET new"), bulk(&round.to_string()));
            assert_eq!(conn.command("GET old"), Reply::NilBulk, "round {round}");
            assert_eq!(conn.command("DBSIZE"), Reply::Int(1));
        }
    }
}

#[test]
fn what_one_process_swaps_is_swapped_for_both() {
    if !fdb::is_here() {
        return;
    }
    let servers = two();
    let mut conns = [servers[0].connect(), servers[1].connect()];
    assert_eq!(conns[0].command("SET side a"), ok());
    let mut aside = servers[1].connect();
    assert_eq!(aside.command("SELECT 1"), ok());
    assert_eq!(aside.command("SET side b"), ok());
    for round in 0..60 {
        let (one, other) = (round % 2, (round + 1) % 2);
        assert_eq!(conns[one].command("SWAPDB 0 1"), ok());
        let (here, there) = if round % 2 == 0 { ("b", "a") } else { ("a", "b") };
        if round % 4 < 2 {
            assert_eq!(conns[other].command("GET side"), bulk(here));
        }
        let written = format!("SET {here} {round}");
        assert_eq!(conns[other].command(&written), ok());
        for conn in &mut conns {
            assert_eq!(conn.command(&format!("GET {here}")), bulk(&round.to_string()));
            assert_eq!(conn.command("GET side"), bulk(here));
        }
        assert_eq!(aside.command("GET side"), bulk(there));
        assert_eq!(aside.command(&format!("EXISTS {here}")).int(), 0, "it was written elsewhere");
    }
}

/// A write and a look at it: when it was sent, when what was seen was heard, and whether it was there.
struct Look {
    sent: u64,
    heard: u64,
    is_there: bool,
}

/// Writes meet flushes by the other process, in the same moment and in the same commit of the
/// cluster. What is not there any more must have been flushed after it was sent.
#[test]
fn flushes_take_nothing_that_comes_after_them() {
    if !fdb::is_here() {
        return;
    }
    let servers = two();
    let clock = AtomicU64::new(0);
    let stopped = AtomicBool::new(false);
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    let (flushes, looks) = std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stopped);
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let mut conns = [servers[number % 2].connect(), servers[number / 2 % 2].connect()];
                let (stopped, now) = (&stopped, &now);
                scope.spawn(move || {
                    let mut looks = Vec::new();
                    while !stopped.load(Ordering::Relaxed) {
                        let key = format!("{number}:{}", looks.len());
                        let sent = now();
                        assert_eq!(conns[0].command(&format!("SET {key} v")), ok());
                        let is_there = conns[1].command(&format!("EXISTS {key}")).int() == 1;
                        looks.push(Look { sent, heard: now(), is_there });
                    }
                    looks
                })
            })
            .collect();
        let mut conns = [servers[0].connect(), servers[1].connect()];
        let mut flushes = Vec::new();
        for round in 0..60 {
            // Writes go on in between.
            let next = clock.load(Ordering::SeqCst) + 60;
            wait_until("writes go on", || clock.load(Ordering::SeqCst) >= next);
            let sent = now();
            flush(&mut conns[round % 2]);
            flushes.push((sent, now()));
        }
        stopped.store(true, Ordering::Relaxed);
        let looks = writers.into_iter().flat_map(|thread| thread.join().unwrap());
        (flushes, looks.collect::<Vec<_>>())
    });
    for Look { sent, heard, is_there } in looks {
        let met = flushes.iter().any(|flush| flush.1 > sent && flush.0 < heard);
        assert!(is_there || met, "a write sent at {sent} was lost at {heard}: {flushes:?}");
    }
}
