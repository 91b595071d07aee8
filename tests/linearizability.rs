//! Property: what concurrent clients see could have happened one request at a time, each at a
//! moment between its sending and its reply; a `MULTI` block is one request.
//!
//! `common/history.rs` records what clients see and searches for such an order.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::history::{Act, Load, Store, check, record};
use common::{Options, Rng, Server, Subject, fdb};
use porcupine_rs::Operation;

/// Keys of a history.
const KEYS: u64 = 4;

#[test]
fn redis_is_linearizable() {
    histories(Subject::Redis, 5);
}

#[test]
fn memory_is_linearizable() {
    histories(Subject::Memory, 30);
}

#[test]
fn embedded_is_linearizable() {
    histories(Subject::Embedded, 15);
}

#[test]
fn memory_with_faults_is_linearizable() {
    histories(Subject::Faulty, 20);
}

#[test]
fn embedded_with_faults_is_linearizable() {
    histories(Subject::FaultyEmbedded, 10);
}

#[test]
fn foundationdb_is_linearizable() {
    if fdb::is_here() {
        histories(Subject::FoundationDb, 15);
    }
}

#[test]
fn foundationdb_with_faults_is_linearizable() {
    if fdb::is_here() {
        histories(Subject::FaultyFoundationDb, 10);
    }
}

#[test]
fn two_processes_on_foundationdb_are_linearizable() {
    if fdb::is_here() {
        let options = Options { fdb_root: Some(fdb::new_root()), ..Options::default() };
        let start = || Server::start_with(Subject::FoundationDb, &options);
        histories_on("two processes", &[start(), start()], 15);
    }
}

/// The checker must notice what it is here for.
#[test]
fn a_stale_read_and_a_lost_increment_are_noticed() {
    let op = |call_time, return_time, acts: &[Act]| Operation::<Store> {
        client_id: None,
        call_time,
        return_time,
        op: acts.to_vec(),
        metadata: None,
    };
    let written = op(1, 2, &[Act::Set(0, 7)]);
    let stale = [written.clone(), op(3, 4, &[Act::Get(0, None)])];
    assert!(!porcupine_rs::check_operations(&stale));
    let concurrent = [op(1, 4, &[Act::Set(0, 7)]), op(2, 3, &[Act::Get(0, None)])];
    assert!(porcupine_rs::check_operations(&concurrent));
    let lost = [op(1, 4, &[Act::Incr(0, Some(1))]), op(2, 5, &[Act::Incr(0, Some(1))])];
    assert!(!porcupine_rs::check_operations(&lost));
    let half = [
        op(1, 5, &[Act::Set(0, 1), Act::Set(1, 1)]),
        op(2, 3, &[Act::Get(0, Some(1)), Act::Get(1, None)]),
    ];
    assert!(!porcupine_rs::check_operations(&half));
    let late = |acts: &[Act]| op(1, 99, acts);
    let seen_late = [late(&[Act::Incr(0, None)]), op(3, 4, &[Act::Incr(0, Some(2))])];
    assert!(porcupine_rs::check_operations(&seen_late));
    let seen_twice = [late(&[Act::Incr(0, None)]), op(3, 4, &[Act::Incr(0, Some(3))])];
    assert!(!porcupine_rs::check_operations(&seen_twice));
}

fn histories(subject: Subject, rounds: u64) {
    let server = Server::start_with(subject, &Options::default());
    histories_on(&format!("{subject:?}"), &[server], rounds);
}

/// Histories of clients that take turns in connecting to servers of the same data.
fn histories_on(name: &str, servers: &[Server], rounds: u64) {
    let seed = common::env_number("RINGSTONE_TEST_HISTORY_SEED", 1);
    println!("{name}: RINGSTONE_TEST_HISTORY_SEED={seed}");
    let mut rng = Rng::new(seed);
    for round in 0..rounds {
        for load in [
            Load { clients: 8, requests: 50, keys: KEYS, block_keys: 0 },
            Load { clients: 5, requests: 25, keys: KEYS, block_keys: KEYS },
        ] {
            common::flush(&mut servers[0].connect());
            let history = record(servers, load, &mut rng);
            check(&history, &format!("{name}-{round}-blocks-{}", load.block_keys > 0));
        }
    }
}
