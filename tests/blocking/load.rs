//! Many producers and consumers of the same lists: every item is delivered exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::common::{self, Conn, DEADLINE, Options, Reply, Rng, Server, Subject, fdb, words};
use super::stage::pause;

/// Lists that items go through.
const QUEUES: u64 = 3;
const PRODUCERS: u64 = 4;
const CONSUMERS: u64 = 10;

#[test]
fn redis_delivers_exactly_once() {
    deliver(&[Server::start(Subject::Redis)], 2_000);
}

#[test]
fn memory_delivers_exactly_once() {
    deliver(&[Server::start(Subject::Memory)], 2_000);
}

#[test]
fn embedded_delivers_exactly_once() {
    deliver(&[Server::start(Subject::Embedded)], 2_000);
}

#[test]
fn memory_with_faults_delivers_exactly_once() {
    deliver(&[Server::start(Subject::Faulty)], 1_000);
}

/// Those who wait for several groups to have room for them lose neither their item nor their place.
#[test]
fn small_groups_deliver_exactly_once() {
    for subject in [Subject::Memory, Subject::Faulty] {
        let flags = vec!["--group-commands-max", "4"];
        deliver(&[Server::start_with(subject, &Options { flags, ..Options::default() })], 500);
    }
}

#[test]
fn foundationdb_delivers_exactly_once() {
    if fdb::is_here() {
        deliver(&[Server::start(Subject::FoundationDb)], 400);
    }
}

#[test]
fn foundationdb_with_faults_delivers_exactly_once() {
    if fdb::is_here() {
        deliver(&[Server::start(Subject::FaultyFoundationDb)], 200);
    }
}

#[test]
fn two_processes_deliver_exactly_once() {
    if fdb::is_here() {
        let options = Options { fdb_root: Some(fdb::new_root()), ..Options::default() };
        let start = || Server::start_with(Subject::FoundationDb, &options);
        deliver(&[start(), start()], 300);
    }
}

/// Has each producer push so many items, on servers of the same data in turn.
fn deliver(servers: &[Server], items: u64) {
    let subject = servers[0].subject;
    let seed = common::env_number("RINGSTONE_TEST_BLOCKING_SEED", 1);
    println!("{subject:?}: RINGSTONE_TEST_BLOCKING_SEED={seed}");
    let mut rng = Rng::new(seed);
    let server = |number: u64| &servers[number as usize % servers.len()];
    let stopped = AtomicBool::new(false);
    let mut delivered = std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|number| {
                let (rng, stopped) = (Rng::new(rng.bits()), &stopped);
                let server = server(number);
                scope
                    .spawn(move || Consumer { number, server, rng, taken: Vec::new() }.run(stopped))
            })
            .collect();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                let (rng, conn) = (Rng::new(rng.bits()), server(number / 2).connect());
                scope.spawn(move || produce(conn, rng, number * items..(number + 1) * items))
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let mut conn = servers[0].connect();
        let began = Instant::now();
        // All may wait for one list while the others have items.
        loop {
            let keys = (0..QUEUES).map(|key| format!("q{key}"));
            let is_empty = |key: &String| conn.command(&format!("LLEN {key}")).int() == 0;
            let empty: Vec<String> = keys.filter(is_empty).collect();
            if empty.len() as u64 == QUEUES || consumers.iter().any(|one| one.is_finished()) {
                break;
            }
            assert!(began.elapsed() < 2 * DEADLINE, "items are there, and nobody takes them");
            pause();
            empty.iter().for_each(|key| drop(conn.command(&format!("RPUSH {key} stop"))));
        }
        stopped.store(true, Ordering::SeqCst);
        // Those who wait for ever need one more item.
        while consumers.iter().any(|consumer| !consumer.is_finished()) {
            assert!(began.elapsed() < 4 * DEADLINE, "somebody waits although there is an item");
            pause();
            for key in 0..QUEUES {
                conn.command(&format!("RPUSH q{key} stop"));
            }
        }
        let taken = consumers.into_iter().flat_map(|consumer| consumer.join().unwrap());
        let mut delivered: Vec<Vec<u8>> = taken.collect();
        let queues = (0..QUEUES).map(|key| format!("q{key}"));
        for list in (0..CONSUMERS).map(|number| format!("done:{number}")).chain(queues) {
            delivered.extend(bulks(&conn.command(&format!("LRANGE {list} 0 -1"))));
        }
        delivered
    });
    delivered.retain(|item| item != b"stop");
    let mut times: BTreeMap<u64, usize> = (0..PRODUCERS * items).map(|item| (item, 0)).collect();
    for item in delivered {
        *times.entry(String::from_utf8_lossy(&item).parse().unwrap()).or_default() += 1;
    }
    times.retain(|_, times| *times != 1);
    assert!(times.is_empty(), "{subject:?}: not delivered once, but so often: {times:?}");
}

/// Pushes these, some of them together.
fn produce(mut conn: Conn, mut rng: Rng, items: std::ops::Range<u64>) {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    let mut rest = &items[..];
    while !rest.is_empty() {
        let mut commands = Vec::new();
        for _ in 0..if rng.one_in(2) { 1 } else { rng.between(2, 12) } {
            let (some, others) = rest.split_at(rest.len().min(rng.between(1, 3) as usize));
            rest = others;
            if !some.is_empty() {
                let end = if rng.one_in(2) { "LPUSH" } else { "RPUSH" };
                commands.push(words(&format!("{end} q{} {}", rng.below(QUEUES), some.join(" "))));
            }
        }
        for reply in conn.pipeline(&commands) {
            assert!(reply.int() > 0);
        }
    }
}

struct Consumer<'s> {
    number: u64,
    server: &'s Server,
    rng: Rng,
    taken: Vec<Vec<u8>>,
}

impl Consumer<'_> {
    /// Takes items until told to stop; those that it has not moved to its list.
    fn run(mut self, stopped: &AtomicBool) -> Vec<Vec<u8>> {
        let mut conn = self.server.connect();
        while !stopped.load(Ordering::SeqCst) {
            if self.number < 3 && self.rng.one_in(8) {
                self.leave(conn);
                conn = self.server.connect();
                continue;
            }
            for command in self.commands() {
                conn.send(&command);
                let reply = conn.read_reply();
                assert!(!reply.is_error(), "{reply:?}");
                self.take(&command, &reply);
            }
        }
        self.taken
    }

    /// Ends a connection that waits: what it may have been given since is in its list.
    fn leave(&mut self, mut conn: Conn) {
        conn.send(&words(&self.moves()));
        if self.rng.one_in(2) {
            // Others are answered meanwhile: most likely it waits by now.
            self.server.connect().command("PING");
        }
    }

    fn moves(&mut self) -> String {
        let (key, number) = (self.rng.below(QUEUES), self.number);
        let ends = ["LEFT", "RIGHT"];
        let (from, to) = (self.rng.pick(&ends), self.rng.pick(&ends));
        format!("BLMOVE q{key} done:{number} {from} {to} {}", self.timeout())
    }

    fn timeout(&mut self) -> &'static str {
        ["0.001", "0.02", "0.3", "1000", "0"][self.rng.below(5) as usize]
    }

    fn commands(&mut self) -> Vec<Vec<Vec<u8>>> {
        let count = if self.rng.one_in(4) { 3 } else { 1 };
        let one = |consumer: &mut Self| {
            let (one, other) = (consumer.rng.below(QUEUES), consumer.rng.below(QUEUES));
            let timeout = consumer.timeout();
            words(&match consumer.rng.below(6) {
                0 => format!("BLPOP q{one} {timeout}"),
                1 => format!("BRPOP q{one} q{other} {timeout}"),
                2 => format!("BLMPOP {timeout} 2 q{one} q{other} LEFT COUNT 3"),
                3 => format!("LPOP q{one}"),
                4 => format!("BRPOPLPUSH q{one} done:{} {timeout}", consumer.number),
                _ => consumer.moves(),
            })
        };
        (0..count).map(|_| one(self)).collect()
    }

    fn take(&mut self, command: &[Vec<u8>], reply: &Reply) {
        match (&command[0][..], reply) {
            (_, nil) if nil.is_nil() => {}
            (b"BLPOP" | b"BRPOP", reply) => self.taken.extend(bulks(reply).into_iter().skip(1)),
            (b"BLMPOP", reply) => self.taken.extend(bulks(&reply.items()[1])),
            (b"LPOP", reply) => self.taken.push(reply.bulk().unwrap().to_vec()),
            _ => {}
        }
    }
}

fn bulks(reply: &Reply) -> Vec<Vec<u8>> {
    reply.items().iter().map(|item| item.bulk().unwrap().to_vec()).collect()
}
