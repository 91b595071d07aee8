//! `kill -9` of a process whose clients wait: no item that was acknowledged is lost, none is delivered
//! twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::common::{
    self, Address, Conn, DEADLINE, Options, Reply, Rng, Server, Subject, encode, fdb, words,
};
use super::stage::pause;

const PRODUCERS: u64 = 3;
/// Clients that move items to lists of their own.
const MOVERS: u64 = 4;
/// Clients that take items: each may lose one when its connection ends.
const TAKERS: u64 = 2;

#[test]
fn embedded_loses_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(directory.path().to_owned()), ..Options::default() };
    let mut world = World::new("embedded", TAKERS);
    for _ in 0..8 {
        let mut server = Server::start_with(Subject::Embedded, &options);
        let address = server.address.clone();
        world.round(&address, &address, || server.kill());
        world.check(&Server::start_with(Subject::Embedded, &options));
    }
}

/// Producers and consumers are clients of different processes, one of which is killed.
#[test]
fn processes_wake_each_other_and_lose_and_repeat_nothing() {
    if !fdb::is_here() {
        return;
    }
    let options = Options { fdb_root: Some(fdb::new_root()), ..Options::default() };
    let start = || Server::start_with(Subject::FoundationDb, &options);
    // What a process that was killed had sent off may still happen, too late to be accounted for.
    let mut world = World::new("foundationdb", 0);
    let mut servers = [start(), start()];
    for round in 0..4 {
        let addresses = [servers[0].address.clone(), servers[1].address.clone()];
        let killed = round / 2 % 2;
        world.round(&addresses[0], &addresses[1], || servers[killed].kill());
        servers[killed] = start();
        world.check(&servers[round % 2]);
    }
}

/// What is known of all items.
struct World {
    name: &'static str,
    rng: Rng,
    takers: u64,
    /// Items so far; 0 is none, but wakes those who wait at the end.
    made: AtomicU64,
    /// Pushed for certain.
    pushed: BTreeSet<u64>,
    /// Pushed perhaps.
    unknown: BTreeSet<u64>,
    /// Taken by who has the reply.
    taken: BTreeSet<u64>,
    /// Moved by who has the reply, to the list of this number.
    moved: BTreeSet<(u64, u64)>,
    /// Connections of takers that ended.
    ended: u64,
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    pushed: Vec<u64>,
    unknown: Vec<u64>,
    taken: Vec<u64>,
    moved: Vec<(u64, u64)>,
}

/// What the clients of a round share.
struct Round<'w> {
    made: &'w AtomicU64,
    /// Items that consumers have had.
    delivered: AtomicU64,
    over: AtomicBool,
}

impl World {
    fn new(name: &'static str, takers: u64) -> World {
        let seed = common::env_number("RINGSTONE_TEST_BLOCKING_SEED", 1);
        println!("{name}: RINGSTONE_TEST_BLOCKING_SEED={seed}");
        World {
            name,
            rng: Rng::new(seed),
            takers,
            made: AtomicU64::new(0),
            pushed: BTreeSet::new(),
            unknown: BTreeSet::new(),
            taken: BTreeSet::new(),
            moved: BTreeSet::new(),
            ended: 0,
        }
    }

    /// Has clients push and take until enough is done, then kills.
    fn round(&mut self, producers: &Address, consumers: &Address, kill: impl FnOnce()) {
        // A list that two processes change is slow.
        let target = 50 + self.rng.below(if self.takers == 0 { 100 } else { 600 });
        let (delivered, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let round = &Round { made: &self.made, delivered, over };
        let (rng, takers) = (&mut self.rng, self.takers);
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let _over = SetAtEnd(&round.over);
            let clients: Vec<_> = (0..PRODUCERS + MOVERS + takers)
                .map(|number| {
                    let address = if number < PRODUCERS { producers } else { consumers };
                    let (conn, rng) = (Conn::open(address), Rng::new(rng.bits()));
                    scope.spawn(move || match number {
                        0..PRODUCERS => produce(conn, rng, round),
                        number => consume(conn, rng, number, round),
                    })
                })
                .collect();
            let began = Instant::now();
            while round.delivered.load(Ordering::SeqCst) < target {
                let done = round.delivered.load(Ordering::SeqCst);
                assert!(began.elapsed() < DEADLINE, "only {done} of {target} were delivered");
                pause();
            }
            round.over.store(true, Ordering::SeqCst);
            kill();
            let alive = [producers, consumers].map(|address| Conn::try_open(address).ok());
            let mut alive: Vec<Conn> = alive.into_iter().flatten().collect();
            while clients.iter().any(|client| !client.is_finished()) {
                assert!(began.elapsed() < 3 * DEADLINE, "somebody waits although there is an item");
                alive.iter_mut().for_each(|conn| assert!(conn.command("RPUSH queue 0").int() > 0));
                pause();
            }
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        self.ended += takers;
        for seen in seen {
            self.pushed.extend(seen.pushed);
            self.unknown.extend(seen.unknown);
            self.moved.extend(seen.moved);
            for item in seen.taken {
                assert!(self.taken.insert(item), "{}: {item} was given twice", self.name);
            }
        }
    }

    /// Compares with what is stored.
    fn check(&self, server: &Server) {
        let mut conn = server.connect();
        conn.command("LREM queue 0 0");
        let lists = PRODUCERS..PRODUCERS + MOVERS;
        let mut commands = vec![words("MULTI"), words("LRANGE queue 0 -1")];
        commands.extend(lists.clone().map(|number| words(&format!("LRANGE moved:{number} 0 -1"))));
        commands.push(words("EXEC"));
        // What a process that was killed had sent off may happen a little later, but not half.
        let replies = conn.pipeline(&commands).pop().unwrap();
        let mut stored = BTreeSet::new();
        for (list, reply) in replies.items().iter().enumerate() {
            let items: Vec<u64> = reply.items().iter().map(number_of).collect();
            for item in items.iter().filter(|item| **item != 0) {
                assert!(stored.insert(*item), "{}: {item} is there twice", self.name);
                let is_known = self.pushed.contains(item) || self.unknown.contains(item);
                assert!(is_known, "{}: nobody has pushed {item}", self.name);
                assert!(!self.taken.contains(item), "{}: {item} was taken", self.name);
            }
            if list > 0 {
                let owner = PRODUCERS + list as u64 - 1;
                let heard = self.moved.iter().filter(|(number, _)| *number == owner);
                let lost: Vec<_> = heard.filter(|(_, item)| !items.contains(item)).collect();
                assert!(lost.is_empty(), "{}: not where they were moved: {lost:?}", self.name);
            }
        }
        let is_lost = |item: &&u64| !stored.contains(item) && !self.taken.contains(item);
        let lost: Vec<_> = self.pushed.iter().filter(is_lost).collect();
        let (name, ended) = (self.name, self.ended);
        assert!(lost.len() as u64 <= ended, "{name}: lost, by {ended} connections: {lost:?}");
    }
}

/// However the round goes, its clients end.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn produce(mut conn: Conn, mut rng: Rng, round: &Round<'_>) -> Seen {
    let mut seen = Seen::default();
    while !round.over.load(Ordering::SeqCst) {
        // Consumers should have to wait now and then.
        while round.made.load(Ordering::SeqCst) > round.delivered.load(Ordering::SeqCst) + 60 {
            if round.over.load(Ordering::SeqCst) || rng.one_in(20) {
                break;
            }
            pause();
        }
        let items: Vec<u64> =
            (0..rng.between(1, 6)).map(|_| round.made.fetch_add(1, Ordering::SeqCst) + 1).collect();
        let commands = items.iter().map(|item| encode(&words(&format!("RPUSH queue {item}"))));
        let sent = conn.try_send_raw(&commands.collect::<Vec<_>>().concat()).is_ok();
        for (at, item) in items.iter().enumerate() {
            match conn.try_read() {
                Ok((reply, _)) if sent => {
                    assert!(reply.int() > 0);
                    seen.pushed.push(*item);
                }
                failed => {
                    assert!(round.over.load(Ordering::SeqCst), "{:?}", failed.err());
                    seen.unknown.extend(&items[at..]);
                    return seen;
                }
            }
        }
    }
    seen
}

fn consume(mut conn: Conn, mut rng: Rng, number: u64, round: &Round<'_>) -> Seen {
    let mut seen = Seen::default();
    let moves = number < PRODUCERS + MOVERS;
    while !round.over.load(Ordering::SeqCst) {
        let timeout = rng.pick(&["0", "0.01", "1000"]);
        let command = match moves {
            true => format!("BLMOVE queue moved:{number} LEFT RIGHT {timeout}"),
            false => format!("BLPOP queue {timeout}"),
        };
        let sent = conn.try_send_raw(&encode(&words(&command))).is_ok();
        match conn.try_read() {
            Ok((reply, _)) if reply.is_nil() => {}
            // What it may have moved is looked for in its list.
            Ok((Reply::Error(text), _)) if moves && text.starts_with(b"TIMEOUT ") => {}
            Ok((reply, _)) if sent => {
                let item = if moves { number_of(&reply) } else { number_of(&reply.items()[1]) };
                match item {
                    0 => {}
                    item if moves => seen.moved.push((number, item)),
                    item => seen.taken.push(item),
                }
                round.delivered.fetch_add(1, Ordering::SeqCst);
            }
            failed => {
                assert!(round.over.load(Ordering::SeqCst), "{:?}", failed.err());
                return seen;
            }
        }
    }
    seen
}

fn number_of(reply: &Reply) -> u64 {
    String::from_utf8_lossy(reply.bulk().unwrap()).parse().unwrap()
}
