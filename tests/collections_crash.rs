//! Property: after `kill -9` under load every collection is what acknowledged commands made of it, whole
//! and with all that is counted and kept twice in agreement; and what was removed, overwritten, flushed
//! or has expired leaves no record behind once background work has come to its end.
//!
//! Clients write through many rounds on one data directory; each keeps a model of its own keys
//! ([`model`]). Requests of one pipeline take effect in order, so what survives of an unacknowledged
//! pipeline is a prefix of it. Now and then the test opens the data directory itself ([`records`]).

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "collections_crash/model.rs"]
mod model;
#[path = "collections_crash/records.rs"]
mod records;
#[path = "collections_crash/requests.rs"]
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Address, Conn, Load, Options, Reply, Rng, Server, Subject};
use model::{Args, Bytes, Held, Model, Request, State, Value, When};
use requests::{Maker, args};

/// Clients writing at the same time.
const CLIENTS: u64 = 6;
/// By then everything has expired that does so before long.
const SOON_MS: i64 = 5_000;
/// By then everything has expired that ever does; after the longest expiry of [`requests`].
const ALL_EXPIRED_MS: i64 = 6 * 3_600_000;
/// Kills under load, and restarts, of one data directory.
const ROUNDS: u64 = 6;

#[test]
fn embedded_sync_survives_kills() {
    rounds(Subject::Embedded, ROUNDS);
}

#[test]
fn embedded_with_faults_survives_kills() {
    rounds(Subject::FaultyEmbedded, 4);
}

fn rounds(subject: Subject, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let seed = common::env_number("RINGSTONE_TEST_CRASH_SEED", 1);
    println!("{subject:?}: RINGSTONE_TEST_CRASH_SEED={seed}");
    let mut world = World {
        subject,
        directory: directory.path(),
        models: (0..CLIENTS).map(|_| Model::default()).collect(),
        rng: Rng::new(seed),
    };
    let mut server = world.start();
    for round in 0..rounds {
        world.load(&mut server);
        server = world.start();
        world.check(&mut server.connect(), 0, &format!("round {round}"));
        if round == rounds / 2 {
            let second = world.retire(&mut server.connect());
            server.kill();
            world.check_records(&second, "killed");
            server = world.start();
            world.check(&mut server.connect(), now_ms() + SOON_MS, "killed");
        }
    }
    let second = world.retire(&mut server.connect());
    assert!(server.terminate().success(), "no clean exit\n{}", server.log());
    world.check_records(&second, "terminated");
    server = world.start();
    let mut conn = server.connect();
    world.check(&mut conn, now_ms() + SOON_MS, "terminated");
    world.expire_all(&mut conn);
    server.kill();
    let later_ms = now_ms() + ALL_EXPIRED_MS;
    let nothing = records::Live::new();
    records::check(directory.path(), subject, later_ms as u64, &nothing, "all expired");
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

struct World<'d> {
    subject: Subject,
    directory: &'d Path,
    models: Vec<Model>,
    rng: Rng,
}

impl World<'_> {
    fn start(&self) -> Server {
        let data_dir = Some(self.directory.to_path_buf());
        Server::start_with(self.subject, &Options { data_dir, ..Options::default() })
    }

    /// Lets all clients write until a random number of requests has been acknowledged, and kills the
    /// server in the middle of it.
    fn load(&mut self, server: &mut Server) {
        let target = self.rng.below(1500) + 100;
        let rng = &mut self.rng;
        let client = |(number, model)| Client {
            maker: Maker::new(number as u64, Rng::new(rng.bits())),
            model,
        };
        let clients =
            std::mem::take(&mut self.models).into_iter().enumerate().map(client).collect();
        let clients = common::kill_under_load(server, target, clients, Client::run);
        self.models = clients.into_iter().map(|client| client.model).collect();
    }

    /// Compares everything with the models. Somebody may have been told that it is `told_ms`.
    fn check(&mut self, conn: &mut Conn, told_ms: i64, what: &str) {
        for (number, model) in self.models.iter_mut().enumerate() {
            let from_ms = now_ms();
            let mut actual = State::default();
            for key in Maker::keys(number as u64) {
                if let Some(held) = read(conn, &key) {
                    actual.0.insert(key, Arc::new(held));
                }
            }
            let when = When { from_ms, to_ms: now_ms().max(told_ms) };
            model.check(actual, when, &format!("{what}, client {number}"));
        }
    }

    /// Has many keys removed, overwritten, flushed, and expire soon. What is then in database 1, where
    /// copies of some keys were made, flushed, and made again.
    fn retire(&mut self, conn: &mut Conn) -> State {
        for number in 0..CLIENTS {
            let mut maker = Maker::new(number, Rng::new(self.rng.bits()));
            for key in Maker::keys(number) {
                let now = now_ms();
                let Some(args) = maker.retirement(&key, now) else { continue };
                let commands = vec![args.clone()];
                let model = &mut self.models[number as usize];
                model.sent(Request { commands, is_block: false }, now);
                model.acknowledged(&conn.call(&args), now_ms());
            }
        }
        for number in 0..CLIENTS {
            copy_to_second(conn, number);
        }
        for line in ["SELECT 1", "FLUSHDB", "SELECT 0"] {
            assert_eq!(conn.command(line), Reply::Simple(b"OK".to_vec()));
        }
        copy_to_second(conn, 0);
        self.check(conn, 0, "retired");
        self.models[0].known().clone()
    }

    fn check_records(&self, second: &State, what: &str) {
        let at_ms = now_ms() + SOON_MS;
        let mut live = records::Live::new();
        let first = self.models.iter().map(|model| (0, model.known()));
        for (database, state) in first.chain([(1, second)]) {
            for (key, held) in &state.0 {
                if held.expires.is_none_or(|(at, _)| at > at_ms) {
                    live.insert((database, key.clone()), held);
                }
            }
        }
        assert!(!live.is_empty());
        records::check(self.directory, self.subject, at_ms as u64, &live, what);
    }

    /// Sets an expiry on everything there is.
    fn expire_all(&mut self, conn: &mut Conn) {
        let at = (now_ms() + ALL_EXPIRED_MS / 2).to_string();
        for line in ["SELECT 1", "SELECT 0"] {
            conn.command(line);
            for key in (0..CLIENTS).flat_map(Maker::keys) {
                conn.call(&args("PEXPIREAT", &key, &[&at]));
            }
        }
    }
}

fn copy_to_second(conn: &mut Conn, client: u64) {
    for key in Maker::keys(client) {
        let key_text = std::str::from_utf8(&key).unwrap();
        conn.call(&args("COPY", &key, &[key_text, "DB", "1", "REPLACE"]));
    }
}

struct Client {
    maker: Maker,
    model: Model,
}

impl Client {
    fn run(mut self, address: &Address, load: &Load) -> Client {
        let Ok(mut conn) = Conn::try_open(address) else { return self };
        // Half of the clients wait for each reply, the others pipeline.
        let depth = if self.maker.client.is_multiple_of(2) { 1 } else { 12 };
        loop {
            let now = now_ms();
            let mut bytes = Vec::new();
            let mut replies = Vec::new();
            for _ in 0..self.maker.rng.below(depth) + 1 {
                let request = self.maker.request(now);
                let (before, after): (&[_], &[_]) = match request.is_block {
                    true => (&[vec![b"MULTI".to_vec()]], &[vec![b"EXEC".to_vec()]]),
                    false => (&[], &[]),
                };
                let sent = || before.iter().chain(&request.commands).chain(after);
                sent().for_each(|args| bytes.extend(common::encode(args)));
                replies.push(sent().count());
                self.model.sent(request, now);
            }
            let sent = conn.try_send_raw(&bytes);
            for count in replies {
                let read = (0..count).map(|_| conn.try_read()).last().unwrap();
                match read {
                    Ok((reply, _)) if sent.is_ok() => self.model.acknowledged(&reply, now_ms()),
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
}

/// What is at a key, after a look at whether its parts agree.
fn read(conn: &mut Conn, key: &[u8]) -> Option<Held> {
    let kind = of_type(&conn.call(&args("TYPE", key, &[])));
    let (len, all): (_, &[&str]) = match &kind[..] {
        "hash" => ("HLEN", &["HGETALL"]),
        "list" => ("LLEN", &["LRANGE", "0", "-1"]),
        "set" => ("SCARD", &["SMEMBERS"]),
        "zset" => ("ZCARD", &["ZRANGE", "0", "-1", "WITHSCORES"]),
        "string" => ("STRLEN", &["GET"]),
        _ => return None,
    };
    let all = args(all[0], key, &all[1..]);
    let found = block(conn, key, &[args("PEXPIRETIME", key, &[]), args(len, key, &[]), all])?;
    let expires = Some(found[0].int()).filter(|at| *at >= 0).map(|at| (at, at));
    let who = key.escape_ascii();
    let (value, len) = match &found[2] {
        Reply::Bulk(value) => (Value::String(value[..].into()), value.len()),
        all => value(&kind, all.items().iter().map(|item| item.bulk().unwrap().into()).collect()),
    };
    assert_eq!(found[1].int(), len as i64, "{who}: its length, and what is listed");
    match &value {
        Value::List(items) => check_indices(conn, key, items),
        Value::SortedSet(members) => check_ranks(conn, key, members, &found[2]),
        _ => {}
    }
    Some(Held { value, expires })
}

fn of_type(reply: &Reply) -> String {
    match reply {
        Reply::Simple(kind) => String::from_utf8(kind.clone()).unwrap(),
        other => panic!("TYPE: {other:?}"),
    }
}

/// What the commands answer in a block; `None` if the key has expired.
fn block(conn: &mut Conn, key: &[u8], commands: &[Args]) -> Option<Vec<Reply>> {
    let mut sent = vec![vec![b"MULTI".to_vec()], args("TYPE", key, &[])];
    sent.extend_from_slice(commands);
    sent.push(vec![b"EXEC".to_vec()]);
    let reply = conn.pipeline(&sent).pop().unwrap();
    (of_type(&reply.items()[0]) != "none").then(|| reply.items()[1..].to_vec())
}

/// A collection from what was listed, and how many elements were.
fn value(kind: &str, listed: Vec<Bytes>) -> (Value, usize) {
    let len = listed.len();
    let pairs = || listed.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    let score = |text: &Bytes| std::str::from_utf8(text).unwrap().parse::<i64>().unwrap();
    match kind {
        "hash" => (Value::Hash(pairs().collect()), len / 2),
        "list" => (Value::List(listed), len),
        "set" => (Value::Set(listed.into_iter().collect()), len),
        _ => {
            (Value::SortedSet(pairs().map(|(name, text)| (name, score(&text))).collect()), len / 2)
        }
    }
}

/// `LINDEX` agrees with `LRANGE`: everywhere, or in a long list here and there.
fn check_indices(conn: &mut Conn, key: &[u8], items: &[Bytes]) {
    let len = items.len();
    let looked_at: Vec<usize> = (0..len).step_by(len / 100 + 1).collect();
    let mut commands = Vec::new();
    for &index in &looked_at {
        commands.push(args("LINDEX", key, &[&index.to_string()]));
        commands.push(args("LINDEX", key, &[&(index as i64 - len as i64).to_string()]));
    }
    let Some(found) = block(conn, key, &commands) else { return };
    for (index, found) in looked_at.iter().zip(found.chunks(2)) {
        for reply in found {
            let is_same = reply.bulk() == Some(&items[*index]);
            assert!(is_same, "{}: LINDEX {index} of {len}", key.escape_ascii());
        }
    }
}

/// `ZRANK` of every member agrees with `ZRANGE`, and `ZMSCORE` with its scores; no member is there twice.
fn check_ranks(conn: &mut Conn, key: &[u8], members: &BTreeMap<Bytes, i64>, listed: &Reply) {
    let who = key.escape_ascii();
    let names: Vec<&[u8]> = listed.items().chunks(2).map(|pair| pair[0].bulk().unwrap()).collect();
    let texts: Vec<&str> = names.iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
    let ordered: BTreeSet<_> = members.iter().map(|(name, score)| (*score, &name[..])).collect();
    let is_order = ordered.iter().map(|(_, name)| *name).eq(names.iter().copied());
    assert!(is_order, "{who}: ZRANGE is not in order");
    let mut commands = vec![args("ZMSCORE", key, &texts)];
    commands.extend(texts.iter().map(|text| args("ZRANK", key, &[text])));
    let Some(found) = block(conn, key, &commands) else { return };
    let scores = listed.items().chunks(2).map(|pair| &pair[1]);
    assert!(found[0].items().iter().eq(scores), "{who}: ZMSCORE differs from ZRANGE WITHSCORES");
    for (rank, reply) in found[1..].iter().enumerate() {
        assert_eq!(*reply, Reply::Int(rank as i64), "{who}: ZRANK {}", texts[rank]);
    }
}
