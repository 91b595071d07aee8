//! Property: what concurrent clients see could have happened one request at a time, each at a
//! moment between its sending and its reply; a `MULTI` block is one request.
//!
//! Histories of registers and counters over few keys are recorded and checked with porcupine, which
//! searches for such an order. An impossible history is drawn as HTML in the target directory.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::{Conn, Options, Reply, Rng, Server, Subject, fdb, words};
use porcupine_rs::{CheckResult, Model, Operation};

/// Keys of a history.
const KEYS: u64 = 4;
/// How long the search for an order may take; none has been seen to take a second.
const SEARCH_FOR: Duration = Duration::from_secs(60);

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
    let lost = [op(1, 4, &[Act::Incr(0, 1)]), op(2, 5, &[Act::Incr(0, 1)])];
    assert!(!porcupine_rs::check_operations(&lost));
    let half = [
        op(1, 5, &[Act::Set(0, 1), Act::Set(1, 1)]),
        op(2, 3, &[Act::Get(0, Some(1)), Act::Get(1, None)]),
    ];
    assert!(!porcupine_rs::check_operations(&half));
}

/// One command and what it answered.
#[derive(Clone, Debug)]
enum Act {
    Set(usize, i64),
    Get(usize, Option<i64>),
    Incr(usize, i64),
    Del(usize, bool),
    SetIfAbsent(usize, i64, bool),
}

impl Act {
    fn key(&self) -> usize {
        match self {
            Act::Set(key, _) | Act::Get(key, _) | Act::Incr(key, _) => *key,
            Act::Del(key, _) | Act::SetIfAbsent(key, ..) => *key,
        }
    }

    /// Applies the command; false when it would have answered something else.
    fn apply(&self, state: &mut [Option<i64>]) -> bool {
        let value = &mut state[self.key()];
        match self {
            Act::Set(_, new) => *value = Some(*new),
            Act::Get(_, seen) => return value == seen,
            Act::Incr(_, result) => {
                *value = Some(value.unwrap_or(0) + 1);
                return *value == Some(*result);
            }
            Act::Del(_, existed) => return value.take().is_some() == *existed,
            Act::SetIfAbsent(_, new, done) => {
                let absent = value.is_none();
                if absent {
                    *value = Some(*new);
                }
                return absent == *done;
            }
        }
        true
    }
}

/// What the keys hold, as the checker sees it.
#[derive(Clone)]
struct Store;

impl Model for Store {
    type State = Vec<Option<i64>>;
    type Op = Vec<Act>;
    type Metadata = ();

    /// Keys that no block joins can be checked apart, which is much faster.
    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let joined = history
            .iter()
            .any(|operation| operation.op.iter().map(Act::key).collect::<BTreeSet<_>>().len() > 1);
        if joined {
            return vec![history.to_vec()];
        }
        let of = |key: usize| {
            let own = |operation: &&Operation<Self>| operation.op[0].key() == key;
            history.iter().filter(own).cloned().collect::<Vec<_>>()
        };
        (0..KEYS as usize).map(of).collect()
    }

    fn init() -> Self::State {
        vec![None; KEYS as usize]
    }

    fn step(state: &Self::State, op: &Self::Op) -> (bool, Self::State) {
        let mut state = state.clone();
        let possible = op.iter().all(|act| act.apply(&mut state));
        (possible, state)
    }
}

/// How a history is made.
#[derive(Clone, Copy)]
struct Load {
    clients: u64,
    requests: u64,
    blocks: bool,
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
            Load { clients: 8, requests: 50, blocks: false },
            Load { clients: 5, requests: 25, blocks: true },
        ] {
            common::flush(&mut servers[0].connect());
            let history = record(servers, load, &mut rng);
            check(&history, &format!("{name}-{round}-blocks-{}", load.blocks));
        }
    }
}

fn check(history: &[Operation<Store>], name: &str) {
    let (result, info) = porcupine_rs::check_operations_info_timeout(history, SEARCH_FOR);
    if result != CheckResult::Ok {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
        porcupine_rs::visualize_path(&info, &path).unwrap();
        panic!("{name}: {result:?} ({} operations), see {}", history.len(), path.display());
    }
}

fn record(servers: &[Server], load: Load, rng: &mut Rng) -> Vec<Operation<Store>> {
    let clock = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.clients)
            .map(|number| {
                let recorder = Recorder {
                    conn: servers[number as usize % servers.len()].connect(),
                    rng: Rng::new(rng.bits()),
                    clock: &clock,
                    number,
                    made: 0,
                    history: Vec::new(),
                };
                scope.spawn(move || recorder.run(load))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

struct Recorder<'a> {
    conn: Conn,
    rng: Rng,
    clock: &'a AtomicI64,
    number: u64,
    made: i64,
    history: Vec<Operation<Store>>,
}

impl Recorder<'_> {
    fn run(mut self, load: Load) -> Vec<Operation<Store>> {
        for _ in 0..load.requests {
            match self.rng.below(10) {
                0..3 if load.blocks => self.block(),
                3 | 4 if load.blocks => self.watch(),
                5 => self.pipeline(),
                _ => self.single(),
            }
        }
        self.history
    }

    fn now(&self) -> i64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&mut self, call_time: i64, op: Vec<Act>) {
        let return_time = self.now();
        let client_id = Some(self.number as u32);
        self.history.push(Operation { client_id, call_time, return_time, op, metadata: None });
    }

    /// A command over a random key, without its reply yet.
    fn command(&mut self) -> Vec<Vec<u8>> {
        let key = self.rng.below(KEYS);
        self.made += 1;
        let value = (self.number as i64 + 1) * 1_000_000 + self.made;
        words(&match self.rng.below(10) {
            0..2 => format!("SET {key} {value}"),
            2..6 => format!("GET {key}"),
            6..8 => format!("INCR {key}"),
            8 => format!("DEL {key}"),
            _ => format!("SETNX {key} {value}"),
        })
    }

    fn single(&mut self) {
        let command = self.command();
        let call_time = self.now();
        let reply = self.conn.call(&command);
        self.note(call_time, vec![act(&command, &reply)]);
    }

    fn pipeline(&mut self) {
        let commands: Vec<_> = (0..self.rng.between(2, 4)).map(|_| self.command()).collect();
        let call_time = self.now();
        let replies = self.conn.pipeline(&commands);
        for (command, reply) in commands.iter().zip(&replies) {
            self.note(call_time, vec![act(command, reply)]);
        }
    }

    fn block(&mut self) {
        let commands: Vec<_> = (0..self.rng.between(2, 4)).map(|_| self.command()).collect();
        let mut sent = vec![words("MULTI")];
        sent.extend(commands.iter().cloned());
        sent.push(words("EXEC"));
        let call_time = self.now();
        let replies = self.conn.pipeline(&sent);
        let results = replies.last().unwrap().items();
        let op = commands.iter().zip(results).map(|(command, reply)| act(command, reply)).collect();
        self.note(call_time, op);
    }

    /// Compare and set: reads a key, then replaces it unless it has been touched.
    fn watch(&mut self) {
        let key = self.rng.below(KEYS);
        self.made += 1;
        let value = (self.number as i64 + 1) * 1_000_000 + self.made;
        assert!(!self.conn.command(&format!("WATCH {key}")).is_error());
        let call_time = self.now();
        let reply = self.conn.command(&format!("GET {key}"));
        let seen = act(&words(&format!("GET {key}")), &reply);
        self.note(call_time, vec![seen.clone()]);
        let block = [words("MULTI"), words(&format!("SET {key} {value}")), words("EXEC")];
        let call_time = self.now();
        let replies = self.conn.pipeline(&block);
        if !replies[2].is_nil() {
            assert_eq!(replies[2].items(), [Reply::Simple(b"OK".to_vec())]);
            self.note(call_time, vec![seen, Act::Set(key as usize, value)]);
        }
    }
}

/// A command and its reply as the checker sees them; an error fails the test.
fn act(command: &[Vec<u8>], reply: &Reply) -> Act {
    let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<i64>().unwrap();
    let key = number(&command[1]) as usize;
    match command[0].as_slice() {
        b"SET" => {
            assert_eq!(*reply, Reply::Simple(b"OK".to_vec()));
            Act::Set(key, number(&command[2]))
        }
        b"GET" => Act::Get(key, reply.bulk().map(number)),
        b"INCR" => Act::Incr(key, reply.int()),
        b"DEL" => Act::Del(key, reply.int() == 1),
        _ => Act::SetIfAbsent(key, number(&command[2]), reply.int() == 1),
    }
}
