//! Clients whose every write is accounted for: increments by their number, the rest one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::common::history::Answer;
use super::common::{Conn, Reply, Rng, words};
use super::load::ask;

/// Counters that all clients increment.
const COUNTERS: u64 = 3;
/// Bytes of what is appended; each is unique.
const ENTRY_BYTES: usize = 16;
/// Entries each client appends to a log before it turns to the next.
const LOG_ENTRIES: u64 = 150;
/// Commands sent together by half of the clients at most.
const PIPELINE_MAX: u64 = 6;

/// A write, with what makes it unlike all others.
#[derive(Clone, Debug)]
pub enum Write {
    /// Of a counter.
    Incr(String),
    /// Of an entry to a log.
    Append(String, String),
    /// Of a key that nobody else writes.
    Set(String),
    /// The same, only if it is not there.
    SetIfAbsent(String),
}

impl Write {
    fn command(&self) -> Vec<Vec<u8>> {
        words(&match self {
            Write::Incr(key) => format!("INCR {key}"),
            Write::Append(key, entry) => format!("APPEND {key} {entry}"),
            Write::Set(key) => format!("SET {key} {key}"),
            Write::SetIfAbsent(key) => format!("SETNX {key} {key}"),
        })
    }
}

/// One client.
pub struct Client {
    conn: Conn,
    rng: Rng,
    number: u64,
    made: u64,
    writes: Vec<(Write, Reply)>,
}

impl Client {
    /// Client `number`, unlike all others.
    pub fn new(conn: Conn, rng: Rng, number: u64) -> Client {
        Client { conn, rng, number, made: 0, writes: Vec::new() }
    }

    /// Writes until `stopped`, and tells `heard` of every reply; all writes with their replies.
    pub fn run(mut self, stopped: &AtomicBool, heard: &dyn Fn(&Reply)) -> Vec<(Write, Reply)> {
        while !stopped.load(Ordering::Relaxed) {
            self.step(heard);
        }
        self.writes
    }

    /// The same for a number of steps.
    pub fn run_steps(mut self, steps: u64, heard: &dyn Fn(&Reply)) -> Vec<(Write, Reply)> {
        (0..steps).for_each(|_| self.step(heard));
        self.writes
    }

    fn step(&mut self, heard: &dyn Fn(&Reply)) {
        let depth = if self.number.is_multiple_of(2) { 1 } else { PIPELINE_MAX };
        let count = self.rng.below(depth) + 1;
        let writes: Vec<_> = (0..count).map(|_| self.write()).collect();
        let commands: Vec<_> = writes.iter().map(Write::command).collect();
        for (write, reply) in writes.into_iter().zip(self.conn.pipeline(&commands)) {
            heard(&reply);
            self.writes.push((write, reply));
        }
    }

    fn write(&mut self) -> Write {
        self.made += 1;
        let (number, made) = (self.number, self.made);
        match self.rng.below(8) {
            0..3 => Write::Incr(format!("counter:{}", self.rng.below(COUNTERS))),
            3 | 4 => {
                let entry = format!("<{number:04}-{made:0width$}>", width = ENTRY_BYTES - 7);
                Write::Append(format!("log:{}", made / 2 / LOG_ENTRIES), entry)
            }
            5 => Write::SetIfAbsent(format!("claim:{number}:{made}")),
            _ => Write::Set(format!("set:{number}:{made}")),
        }
    }
}

/// What all clients know together.
#[derive(Default)]
pub struct Tally {
    counters: BTreeMap<String, Counter>,
    logs: BTreeMap<String, Log>,
    keys: BTreeMap<String, Answer>,
}

#[derive(Default)]
struct Counter {
    replies: BTreeSet<i64>,
    unknown: i64,
}

#[derive(Default)]
struct Log {
    /// Entries by where they end, as far as that is known.
    known: BTreeMap<usize, String>,
    unknown: BTreeSet<String>,
}

impl Tally {
    /// Takes in what a client wrote.
    pub fn add(&mut self, writes: Vec<(Write, Reply)>) {
        for (write, reply) in writes {
            let answer = Answer::of(&reply);
            match write {
                Write::Incr(key) => {
                    let counter = self.counters.entry(key).or_default();
                    match answer {
                        Answer::Done => {
                            assert!(counter.replies.insert(reply.int()), "{reply:?} given twice");
                        }
                        Answer::Unknown => counter.unknown += 1,
                        Answer::Nothing => {}
                    }
                }
                Write::Append(key, entry) => {
                    let log = self.logs.entry(key).or_default();
                    match answer {
                        Answer::Done => {
                            let taken = log.known.insert(reply.int() as usize, entry);
                            assert_eq!(taken, None, "two entries end at {reply:?}");
                        }
                        Answer::Unknown => drop(log.unknown.insert(entry)),
                        Answer::Nothing => {}
                    }
                }
                Write::SetIfAbsent(key) => {
                    // Had it been there, it would have been executed twice.
                    assert!(answer != Answer::Done || reply == Reply::Int(1), "{key}: {reply:?}");
                    self.keys.insert(key, answer);
                }
                Write::Set(key) => {
                    let done = Reply::Simple(b"OK".to_vec());
                    assert!(answer != Answer::Done || reply == done, "{key}: {reply:?}");
                    self.keys.insert(key, answer);
                }
            }
        }
    }

    /// Writes whose outcome is not known.
    pub fn unknown(&self) -> usize {
        let counters = self.counters.values().map(|counter| counter.unknown as usize);
        let logs = self.logs.values().map(|log| log.unknown.len());
        let keys = self.keys.values().filter(|answer| **answer == Answer::Unknown).count();
        counters.sum::<usize>() + logs.sum::<usize>() + keys
    }

    /// Compares with what is stored.
    pub fn check(&self, conn: &mut Conn) {
        for (key, counter) in &self.counters {
            let value = ask(conn, &format!("GET {key}"));
            let value = value
                .bulk()
                .map_or(0, |text| String::from_utf8_lossy(text).parse::<i64>().unwrap());
            let least = counter.replies.len() as i64;
            let range = least..=least + counter.unknown;
            assert!(range.contains(&value), "{key} is {value}, not in {range:?}");
            let largest = counter.replies.last().copied().unwrap_or(0);
            assert!(largest <= value, "{key} was {largest} and is {value}");
        }
        for (key, log) in &self.logs {
            let stored = ask(conn, &format!("GET {key}"));
            log.check(key, stored.bulk().unwrap_or_default());
        }
        let keys: Vec<_> = self.keys.iter().collect();
        for some in keys.chunks(500) {
            let names: Vec<_> = some.iter().map(|(key, _)| key.as_str()).collect();
            let values = ask(conn, &format!("MGET {}", names.join(" ")));
            for ((key, answer), value) in some.iter().zip(values.items()) {
                let is_there = value.bulk().is_some();
                let is_fine = match answer {
                    Answer::Done => is_there,
                    Answer::Nothing => !is_there,
                    Answer::Unknown => true,
                };
                assert!(is_fine, "{key} was answered {answer:?}, and is there: {is_there}");
                assert!(value.bulk().is_none_or(|value| value == key.as_bytes()), "{key}");
            }
        }
    }
}

impl Log {
    fn check(&self, key: &str, stored: &[u8]) {
        let mut seen = BTreeSet::new();
        let mut found = 0;
        for (at, entry) in stored.chunks(ENTRY_BYTES).enumerate() {
            let entry = String::from_utf8_lossy(entry).into_owned();
            match self.known.get(&((at + 1) * ENTRY_BYTES)) {
                Some(known) => {
                    assert_eq!(*known, entry, "{key}, entry {at}");
                    found += 1;
                }
                None => assert!(self.unknown.contains(&entry), "{key} has a strange {entry}"),
            }
            assert!(seen.insert(entry.clone()), "{key} has {entry} twice");
        }
        assert_eq!(found, self.known.len(), "{key} has {} bytes: entries are lost", stored.len());
    }
}
