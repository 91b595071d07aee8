//! Property: after `kill -9` under load every acknowledged write is there, no block is half there,
//! and of what was not acknowledged at most the requests in flight are.
//!
//! Clients write through many rounds on one data directory; each keeps a model of its own keys in
//! which a key may have one of the values it could have by now. Requests of one pipeline take
//! effect in order, so what survives of an unacknowledged pipeline is a prefix of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{Address, Conn, Load, Options, Reply, Rng, Server, Subject};

/// Clients writing at the same time.
const CLIENTS: u64 = 6;
/// Counters all of them increment.
const COUNTERS: usize = 3;
/// Kills, and restarts, of one data directory.
const ROUNDS: u64 = 20;

#[test]
fn redis_append_only_survives_kills() {
    rounds(Subject::Redis, "sync", 5);
}

/// The test itself must notice a loss.
#[test]
#[should_panic(expected = "round 0")]
fn redis_without_a_log_is_caught() {
    rounds(Subject::Redis, "none", 1);
}

#[test]
fn embedded_sync_survives_kills() {
    rounds(Subject::Embedded, "sync", ROUNDS);
}

#[test]
fn embedded_interval_survives_kills_of_the_process() {
    rounds(Subject::Embedded, "interval", ROUNDS);
}

#[test]
fn embedded_none_survives_kills_of_the_process() {
    rounds(Subject::Embedded, "none", ROUNDS);
}

#[test]
fn embedded_with_faults_survives_kills() {
    rounds(Subject::FaultyEmbedded, "sync", 8);
}

fn rounds(subject: Subject, durability: &'static str, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let seed = common::env_number("RINGSTONE_TEST_CRASH_SEED", 1);
    println!("{subject:?} {durability}: RINGSTONE_TEST_CRASH_SEED={seed}");
    let mut rng = Rng::new(seed);
    let mut models: Vec<Model> = (0..CLIENTS).map(|_| Model::default()).collect();
    let mut counters = Counters::default();
    for round in 0..rounds {
        let mut server = start(subject, durability, directory.path());
        let ended = load(&mut server, &mut rng, models, round);
        server.kill();
        let server = start(subject, durability, directory.path());
        let mut conn = server.connect();
        counters.check(&mut conn, &ended, round);
        models = ended.into_iter().map(|client| client.model).collect();
        for (number, model) in models.iter_mut().enumerate() {
            model.check(&mut conn, &format!("round {round}, client {number}"));
        }
    }
    let mut server = start(subject, durability, directory.path());
    assert!(server.terminate().success(), "no clean exit\n{}", server.log());
}

fn start(subject: Subject, durability: &'static str, data: &Path) -> Server {
    let options = Options {
        durability,
        data_dir: Some(data.to_path_buf()),
        redis_durable: durability == "sync",
        ..Options::default()
    };
    Server::start_with(subject, &options)
}

/// Lets all clients write until a random number of requests has been acknowledged, kills the server
/// in the middle of it, and returns what each client knows.
fn load(server: &mut Server, rng: &mut Rng, models: Vec<Model>, round: u64) -> Vec<Client> {
    let target = rng.below(2000) + 50;
    let client = |(number, model)| Client {
        number: number as u64,
        model,
        rng: Rng::new(rng.bits()),
        round,
        made: 0,
        increments: Default::default(),
    };
    let clients = models.into_iter().enumerate().map(client).collect();
    common::kill_under_load(server, target, clients, Client::run)
}

/// A value of a key; `None` when the key is not there.
type Value = Option<Vec<u8>>;

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default)]
struct Writes(BTreeMap<Vec<u8>, Value>);

/// What one client knows of its own keys.
#[derive(Default)]
struct Model {
    /// Acknowledged values.
    known: BTreeMap<Vec<u8>, Value>,
    /// Not acknowledged, in the order they were sent; a prefix may have happened.
    in_flight: Vec<Writes>,
}

impl Model {
    /// Compares with the server, and takes over what of the unacknowledged has happened.
    fn check(&mut self, conn: &mut Conn, who: &str) {
        let mut keys: BTreeSet<Vec<u8>> = self.known.keys().cloned().collect();
        keys.extend(self.in_flight.iter().flat_map(|writes| writes.0.keys().cloned()));
        let keys: Vec<Vec<u8>> = keys.into_iter().collect();
        let mut actual: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
        for some in keys.chunks(500) {
            let mut args = vec![b"MGET".to_vec()];
            args.extend(some.iter().cloned());
            let reply = conn.call(&args);
            let values = reply.items().iter().map(|value| value.bulk().map(<[u8]>::to_vec));
            actual.extend(some.iter().cloned().zip(values));
        }
        let mut expected = self.known.clone();
        for key in actual.keys() {
            expected.entry(key.clone()).or_default();
        }
        let mut differences = vec![difference(&expected, &actual)];
        let matched = (0..=self.in_flight.len()).any(|happened| {
            if happened > 0 {
                expected.extend(self.in_flight[happened - 1].0.clone());
                differences.push(difference(&expected, &actual));
            }
            expected == actual
        });
        let in_flight = self.in_flight.len();
        let differences = differences.join("\n");
        assert!(matched, "{who}: no prefix of {in_flight} in flight explains this:\n{differences}");
        self.in_flight.clear();
        self.known = actual;
    }
}

fn difference(expected: &BTreeMap<Vec<u8>, Value>, actual: &BTreeMap<Vec<u8>, Value>) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Some(bytes)) => common::text::argument(&bytes[..bytes.len().min(60)]),
        _ => "nothing".into(),
    };
    let differ = expected.iter().filter(|(key, value)| actual.get(*key) != Some(*value));
    let lines = differ.take(5).map(|(key, value)| {
        let key_text = common::text::argument(key);
        format!("  {key_text}: expected {}, is {}", text(Some(value)), text(actual.get(key)))
    });
    lines.collect::<Vec<_>>().join("\n") + "\n  --"
}

/// What one client saw of one shared counter in one round.
#[derive(Default)]
struct Increments {
    /// Replies of acknowledged increments.
    replies: Vec<i64>,
    /// Sent and not acknowledged.
    in_flight: i64,
    /// The largest value a GET answered.
    read: i64,
}

/// The shared counters between rounds.
#[derive(Default)]
struct Counters {
    values: [i64; COUNTERS],
}

impl Counters {
    fn check(&mut self, conn: &mut Conn, clients: &[Client], round: u64) {
        for (index, before) in self.values.iter_mut().enumerate() {
            let seen = clients.iter().map(|client| &client.increments[index]);
            let mut replies: Vec<i64> = seen.clone().flat_map(|s| s.replies.clone()).collect();
            let in_flight: i64 = seen.clone().map(|s| s.in_flight).sum();
            let read = seen.map(|s| s.read).max().unwrap_or(0);
            let count = replies.len() as i64;
            replies.sort_unstable();
            replies.dedup();
            assert_eq!(replies.len() as i64, count, "round {round}: a reply was given twice");
            let reply = conn.command(&format!("GET counter:{index}"));
            let now = reply.bulk().map_or(0, number);
            let (low, high) = (*before + count, *before + count + in_flight);
            assert!((low..=high).contains(&now), "round {round}: {now} not in {low}..={high}");
            let largest = replies.last().copied().unwrap_or(0).max(read);
            assert!(largest <= now, "round {round}: {largest} was read, but {now} is left");
            *before = now;
        }
    }
}

fn number(bytes: &[u8]) -> i64 {
    String::from_utf8_lossy(bytes).parse().unwrap()
}

/// What a request does, for the model.
enum Effect {
    /// Writes of own keys.
    Writes(Writes),
    /// An increment of a shared counter.
    Increment(usize),
    /// A read of a shared counter.
    Read(usize),
    /// A block that writes and increments; the increment's reply is the last of EXEC.
    Block(Writes, usize),
}

struct Client {
    number: u64,
    model: Model,
    rng: Rng,
    round: u64,
    made: u64,
    increments: [Increments; COUNTERS],
}

impl Client {
    fn run(mut self, address: &Address, load: &Load) -> Client {
        let Ok(mut conn) = Conn::try_open(address) else { return self };
        // Half of the clients wait for each reply, the others pipeline.
        let depth = if self.number.is_multiple_of(2) { 1 } else { 12 };
        loop {
            let mut bytes = Vec::new();
            let mut requests = Vec::new();
            for _ in 0..self.rng.below(depth) + 1 {
                requests.push(self.request(&mut bytes));
            }
            for (effect, _) in &requests {
                self.sent(effect);
            }
            let sent = conn.try_send_raw(&bytes);
            for (effect, replies) in requests {
                let read = (0..replies).map(|_| conn.try_read()).last().unwrap();
                match read {
                    Ok((reply, _)) if sent.is_ok() => self.acknowledged(effect, &reply),
                    failed => {
                        let failure = failed.err();
                        assert!(load.is_killed(), "before the kill: {sent:?} {failure:?}");
                        return self;
                    }
                }
                load.acknowledge();
            }
        }
    }

    fn key(&self, kind: &str, number: u64) -> Vec<u8> {
        format!("{kind}:{}:{number}", self.number).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut value = format!("{}:{}:{}:", self.round, self.number, self.made).into_bytes();
        // Some values are larger than one record.
        let padding = if self.rng.one_in(40) { 70_000 } else { self.rng.below(200) as usize };
        value.resize(value.len() + padding, b'.');
        value
    }

    /// Appends a request to `out`; its effect and its number of replies.
    fn request(&mut self, out: &mut Vec<u8>) -> (Effect, usize) {
        let counter = self.rng.below(COUNTERS as u64) as usize;
        let counter_key = format!("counter:{counter}").into_bytes();
        let mut writes = Writes::default();
        let mut send = |args: &[Vec<u8>]| out.extend(common::encode(args));
        match self.rng.below(10) {
            0..3 => {
                let (key, value) =
                    (self.key("new", self.round * 1_000_000 + self.made), self.value());
                send(&[b"SET".to_vec(), key.clone(), value.clone()]);
                writes.0.insert(key, Some(value));
            }
            3 => {
                let old = self.rng.below(20);
                let (key, value) = (self.key("old", old), self.value());
                send(&[b"SET".to_vec(), key.clone(), value.clone()]);
                writes.0.insert(key, Some(value));
            }
            4 => {
                let old = self.rng.below(20);
                let key = self.key("old", old);
                send(&[b"DEL".to_vec(), key.clone()]);
                writes.0.insert(key, None);
            }
            5 | 6 => {
                send(&[b"INCR".to_vec(), counter_key]);
                return (Effect::Increment(counter), 1);
            }
            7 => {
                let value = self.value();
                let (left, right) = (self.key("left", 0), self.key("right", 0));
                let args = [b"MSET".to_vec(), left, value.clone(), right, value];
                send(&args);
                writes.0.insert(args[1].clone(), Some(args[2].clone()));
                writes.0.insert(args[3].clone(), Some(args[4].clone()));
            }
            8 => {
                let value = self.value();
                send(&[b"MULTI".to_vec()]);
                for kind in ["first", "second"] {
                    let key = self.key(kind, 0);
                    send(&[b"SET".to_vec(), key.clone(), value.clone()]);
                    writes.0.insert(key, Some(value.clone()));
                }
                send(&[b"INCR".to_vec(), counter_key]);
                send(&[b"EXEC".to_vec()]);
                return (Effect::Block(writes, counter), 5);
            }
            _ => {
                send(&[b"GET".to_vec(), counter_key]);
                return (Effect::Read(counter), 1);
            }
        }
        (Effect::Writes(writes), 1)
    }

    fn sent(&mut self, effect: &Effect) {
        match effect {
            Effect::Writes(writes) => self.model.in_flight.push(writes.clone()),
            Effect::Increment(counter) => self.increments[*counter].in_flight += 1,
            Effect::Block(writes, counter) => {
                self.model.in_flight.push(writes.clone());
                self.increments[*counter].in_flight += 1;
            }
            Effect::Read(_) => {}
        }
    }

    fn acknowledged(&mut self, effect: Effect, reply: &Reply) {
        assert!(!reply.is_error(), "an error under load: {reply:?}");
        let counted = |increments: &mut Increments, reply: &Reply| {
            increments.in_flight -= 1;
            increments.replies.push(reply.int());
        };
        match effect {
            Effect::Writes(writes) => self.known(writes),
            Effect::Increment(counter) => counted(&mut self.increments[counter], reply),
            Effect::Block(writes, counter) => {
                counted(&mut self.increments[counter], reply.items().last().unwrap());
                self.known(writes);
            }
            Effect::Read(counter) => {
                let seen = &mut self.increments[counter].read;
                *seen = (*seen).max(reply.bulk().map_or(0, number));
            }
        }
    }

    fn known(&mut self, writes: Writes) {
        self.model.known.extend(writes.0);
        self.model.in_flight.remove(0);
    }
}
