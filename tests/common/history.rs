//! Histories of what concurrent clients saw, and whether they could have happened one request at a
//! time, each at a moment between its sending and its reply; a `MULTI` block is one request.
//!
//! Histories of registers and counters are recorded and checked with porcupine, which searches for
//! such an order. A write that was answered with `-TIMEOUT` may take effect at any later time, or
//! never; but not if the reply says that nothing was written. An impossible history is drawn as HTML
//! in the target directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, Model, Operation};

use super::{Conn, Reply, Rng, Server, words};

/// How long the search for an order may take; none has been seen to take a second.
const SEARCH_FOR: Duration = Duration::from_secs(60);
/// After all replies.
const NEVER: i64 = 1 << 40;

/// One command and what it answered; no answer is `None`, where that is not nil.
#[derive(Clone, Debug)]
pub enum Act {
    Set(usize, i64),
    Get(usize, Option<i64>),
    Incr(usize, Option<i64>),
    Del(usize, Option<bool>),
    SetIfAbsent(usize, i64, Option<bool>),
    /// What nobody heard the outcome of: a value that replaces another one, if that is still there.
    Replace(usize, Option<i64>, i64),
}

/// What the keys hold, as the checker sees it.
type State = BTreeMap<usize, i64>;

impl Act {
    fn key(&self) -> usize {
        match self {
            Act::Set(key, _) | Act::Get(key, _) | Act::Incr(key, _) => *key,
            Act::Del(key, _) | Act::SetIfAbsent(key, ..) | Act::Replace(key, ..) => *key,
        }
    }

    /// Applies the command; false when it would have answered something else.
    fn apply(&self, state: &mut State) -> bool {
        match self {
            Act::Set(key, new) => {
                state.insert(*key, *new);
                true
            }
            Act::Get(key, seen) => state.get(key) == seen.as_ref(),
            Act::Incr(key, result) => {
                let value = state.entry(*key).or_insert(0);
                *value += 1;
                result.is_none_or(|result| result == *value)
            }
            Act::Del(key, existed) => {
                let removed = state.remove(key).is_some();
                existed.is_none_or(|existed| existed == removed)
            }
            Act::SetIfAbsent(key, new, done) => {
                let absent = !state.contains_key(key);
                if absent {
                    state.insert(*key, *new);
                }
                done.is_none_or(|done| done == absent)
            }
            Act::Replace(key, seen, new) => {
                if state.get(key) == seen.as_ref() {
                    state.insert(*key, *new);
                }
                true
            }
        }
    }
}

/// The model that histories are compared with.
#[derive(Clone)]
pub struct Store;

/// What clients saw.
pub type History = Vec<Operation<Store>>;

impl Model for Store {
    type State = State;
    type Op = Vec<Act>;
    type Metadata = ();

    /// Keys that no block joins can be checked apart, which is much faster.
    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut parts: Vec<BTreeSet<usize>> = Vec::new();
        for operation in history {
            let mut keys: BTreeSet<usize> = operation.op.iter().map(Act::key).collect();
            parts.retain(|part| {
                let joined = !part.is_disjoint(&keys);
                if joined {
                    keys.extend(part);
                }
                !joined
            });
            parts.push(keys);
        }
        let of = |part: &BTreeSet<usize>| {
            let own = |operation: &&Operation<Self>| part.contains(&operation.op[0].key());
            history.iter().filter(own).cloned().collect()
        };
        parts.iter().map(of).collect()
    }

    fn init() -> Self::State {
        State::new()
    }

    fn step(state: &Self::State, op: &Self::Op) -> (bool, Self::State) {
        let mut state = state.clone();
        let possible = op.iter().all(|act| act.apply(&mut state));
        (possible, state)
    }
}

/// Fails the test, with a picture of the history, unless it can be put into an order.
pub fn check(history: &[Operation<Store>], name: &str) {
    let began = Instant::now();
    let (result, info) = porcupine_rs::check_operations_info_timeout(history, SEARCH_FOR);
    // A search that was ended calls a history impossible too.
    let is_known = result == CheckResult::Ok || began.elapsed() < SEARCH_FOR;
    assert!(is_known, "{name}: no answer in {SEARCH_FOR:?} ({} operations)", history.len());
    if result != CheckResult::Ok {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
        porcupine_rs::visualize_path(&info, &path).unwrap();
        panic!("{name}: {result:?} ({} operations), see {}", history.len(), path.display());
    }
}

/// How a history is made.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Clients at the same time.
    pub clients: u64,
    /// What each of them does, at most.
    pub requests: u64,
    /// Keys in all.
    pub keys: u64,
    /// The keys of a block are among so many neighbours; 0 for no blocks.
    pub block_keys: u64,
}

/// Records what clients see that take turns in connecting to servers of the same data.
pub fn record(servers: &[Server], load: Load, rng: &mut Rng) -> History {
    let (clock, stopped) = (AtomicI64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.clients)
            .map(|number| {
                let conn = servers[number as usize % servers.len()].connect();
                let recorder = Recorder::new(conn, Rng::new(rng.bits()), &clock, number, load);
                scope.spawn(|| recorder.run(&stopped, &|reply| assert!(!reply.is_error())))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a reply tells about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took effect.
    Done,
    /// It has no effect.
    Nothing,
    /// It may take effect, now or later.
    Unknown,
}

impl Answer {
    /// What `reply` tells; an error other than a time-out fails the test.
    pub fn of(reply: &Reply) -> Answer {
        match reply {
            Reply::Error(text) if text.starts_with(b"TIMEOUT ") => {
                let text = String::from_utf8_lossy(text);
                let nothing = text.contains("nothing was written");
                assert!(nothing || text.contains("may or may not"), "{text}");
                if nothing { Answer::Nothing } else { Answer::Unknown }
            }
            Reply::Error(text) => panic!("an error reply: {}", String::from_utf8_lossy(text)),
            _ => Answer::Done,
        }
    }
}

/// One client whose history is recorded.
pub struct Recorder<'a> {
    conn: Conn,
    rng: Rng,
    clock: &'a AtomicI64,
    number: u64,
    load: Load,
    made: i64,
    history: History,
}

impl<'a> Recorder<'a> {
    /// Client `number`, on the clock that all of them share.
    pub fn new(
        conn: Conn,
        rng: Rng,
        clock: &'a AtomicI64,
        number: u64,
        load: Load,
    ) -> Recorder<'a> {
        Recorder { conn, rng, clock, number, load, made: 0, history: Vec::new() }
    }

    /// Does what the load says or until `stopped`, and tells `heard` of every reply to a command.
    pub fn run(mut self, stopped: &AtomicBool, heard: &dyn Fn(&Reply)) -> History {
        let blocks = self.load.block_keys > 0;
        for _ in 0..self.load.requests {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            match self.rng.below(10) {
                0..3 if blocks => self.block(heard),
                3 | 4 if blocks => self.watch(heard),
                5 => self.pipeline(heard),
                _ => self.single(heard),
            }
        }
        self.history
    }

    fn now(&self) -> i64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&mut self, call_time: i64, answer: Answer, op: Vec<Act>) {
        let return_time = if answer == Answer::Done { self.now() } else { NEVER };
        let client_id = Some(self.number as u32);
        if answer != Answer::Nothing {
            self.history.push(Operation { client_id, call_time, return_time, op, metadata: None });
        }
    }

    /// Notes a command by itself and its reply.
    fn note_reply(&mut self, call_time: i64, command: &[Vec<u8>], reply: &Reply) {
        match Answer::of(reply) {
            Answer::Unknown if command[0] == b"GET" => {}
            answer => self.note(call_time, answer, vec![act(command, reply)]),
        }
    }

    fn value(&mut self) -> i64 {
        self.made += 1;
        (self.number as i64 + 1) * 1_000_000 + self.made
    }

    /// A command over a random key from `first` on, without its reply yet.
    fn command(&mut self, first: u64, keys: u64) -> Vec<Vec<u8>> {
        let (key, value) = (first + self.rng.below(keys), self.value());
        words(&match self.rng.below(10) {
            0..2 => format!("SET {key} {value}"),
            2..6 => format!("GET {key}"),
            6..8 => format!("INCR {key}"),
            8 => format!("DEL {key}"),
            _ => format!("SETNX {key} {value}"),
        })
    }

    fn single(&mut self, heard: &dyn Fn(&Reply)) {
        let command = self.command(0, self.load.keys);
        let call_time = self.now();
        let reply = self.conn.call(&command);
        heard(&reply);
        self.note_reply(call_time, &command, &reply);
    }

    fn pipeline(&mut self, heard: &dyn Fn(&Reply)) {
        let count = self.rng.between(2, 4);
        let commands: Vec<_> = (0..count).map(|_| self.command(0, self.load.keys)).collect();
        let call_time = self.now();
        let replies = self.conn.pipeline(&commands);
        for (command, reply) in commands.iter().zip(&replies) {
            heard(reply);
            self.note_reply(call_time, command, reply);
        }
    }

    /// A block, or an `MSET`, over keys beside each other.
    fn block(&mut self, heard: &dyn Fn(&Reply)) {
        let keys = self.load.block_keys;
        let first = self.rng.below(self.load.keys / keys) * keys;
        if keys > 1 && self.rng.one_in(4) {
            let (left, right) = (self.value(), self.value());
            let call_time = self.now();
            let second = first + 1;
            let reply = self.conn.command(&format!("MSET {first} {left} {second} {right}"));
            heard(&reply);
            let op = vec![Act::Set(first as usize, left), Act::Set(second as usize, right)];
            return self.note(call_time, Answer::of(&reply), op);
        }
        let count = self.rng.between(2, 4);
        let commands: Vec<_> = (0..count).map(|_| self.command(first, keys)).collect();
        let mut sent = vec![words("MULTI")];
        sent.extend(commands.iter().cloned());
        sent.push(words("EXEC"));
        let call_time = self.now();
        let replies = self.conn.pipeline(&sent);
        let reply = replies.last().unwrap();
        heard(reply);
        let answer = Answer::of(reply);
        // What was not heard says nothing, and reads that were not heard do nothing.
        let unheard = [reply.clone()];
        let results = if answer == Answer::Done { reply.items() } else { &unheard };
        let heard_or_writes =
            |command: &&Vec<Vec<u8>>| answer == Answer::Done || command[0] != b"GET";
        let results = results.iter().cycle();
        let commands = commands.iter().filter(heard_or_writes);
        let op: Vec<_> = commands.zip(results).map(|(sent, reply)| act(sent, reply)).collect();
        if !op.is_empty() {
            self.note(call_time, answer, op);
        }
    }

    /// Compare and set: reads a key, then replaces it unless it has been touched.
    fn watch(&mut self, heard: &dyn Fn(&Reply)) {
        let key = self.rng.below(self.load.keys);
        let value = self.value();
        let read = words(&format!("GET {key}"));
        let watched = self.conn.command(&format!("WATCH {key}"));
        let call_time = self.now();
        let reply = self.conn.call(&read);
        heard(&reply);
        self.note_reply(call_time, &read, &reply);
        if Answer::of(&watched) != Answer::Done || Answer::of(&reply) != Answer::Done {
            self.conn.command("UNWATCH");
            return;
        }
        let seen = act(&read, &reply);
        let block = [words("MULTI"), words(&format!("SET {key} {value}")), words("EXEC")];
        let call_time = self.now();
        let replies = self.conn.pipeline(&block);
        heard(&replies[2]);
        let key = key as usize;
        match Answer::of(&replies[2]) {
            Answer::Done if replies[2].is_nil() => {}
            Answer::Done => {
                assert_eq!(replies[2].items(), [Reply::Simple(b"OK".to_vec())]);
                self.note(call_time, Answer::Done, vec![seen, Act::Set(key, value)]);
            }
            answer => {
                let Act::Get(_, seen) = seen else { unreachable!("it is a read") };
                self.note(call_time, answer, vec![Act::Replace(key, seen, value)]);
            }
        }
    }
}

/// A command and its reply as the checker sees them.
fn act(command: &[Vec<u8>], reply: &Reply) -> Act {
    let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<i64>().unwrap();
    let key = number(&command[1]) as usize;
    let result = (Answer::of(reply) == Answer::Done).then_some(reply);
    match command[0].as_slice() {
        b"SET" => {
            assert!(result.is_none_or(|reply| *reply == Reply::Simple(b"OK".to_vec())));
            Act::Set(key, number(&command[2]))
        }
        b"GET" => Act::Get(key, result.and_then(Reply::bulk).map(number)),
        b"INCR" => Act::Incr(key, result.map(Reply::int)),
        b"DEL" => Act::Del(key, result.map(|reply| reply.int() == 1)),
        _ => Act::SetIfAbsent(key, number(&command[2]), result.map(|reply| reply.int() == 1)),
    }
}
