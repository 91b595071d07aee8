//! Clients that keep servers busy while something happens to these, and what all of them must have
//! seen in the end.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Condvar, Mutex};

use super::PATIENCE;
use super::common::history::{self, Answer, Load, Recorder};
use super::common::{Conn, Reply, Rng, Server};
use super::tally::{Client, Tally};

/// Clients whose history is recorded.
const RECORDED: usize = 6;
/// Clients whose writes are counted.
const COUNTED: usize = 8;
/// What the recorded do; they are stopped.
const RECORDED_LOAD: Load =
    Load { clients: RECORDED as u64, requests: u64::MAX, keys: 12, block_keys: 2 };

/// What a client has heard so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Replies that are not errors.
    pub done: u64,
    /// Replies that the store did not answer in time.
    pub timeouts: u64,
}

/// What all clients have heard so far, the ones of each server beside each other.
pub struct Progress {
    heard: Mutex<Vec<Heard>>,
    changed: Condvar,
    /// Clients should end; some did without being told if it is set before [`under_load`] does.
    stopped: AtomicBool,
    servers: usize,
}

impl Progress {
    fn hear(&self, client: usize, reply: &Reply) {
        let mut heard = self.heard.lock().unwrap();
        match Answer::of(reply) {
            Answer::Done => heard[client].done += 1,
            _ => heard[client].timeouts += 1,
        }
        self.changed.notify_all();
    }

    /// Stops everybody.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Under the lock, so that nobody misses it between looking and waiting.
        drop(self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        self.changed.notify_all();
    }

    /// What all clients have heard.
    pub fn now(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn wait(&self, what: &str, is_so: impl Fn(&[Heard]) -> bool) {
        let heard = self.heard.lock().unwrap();
        let not_yet =
            |heard: &mut Vec<Heard>| !is_so(heard) && !self.stopped.load(Ordering::Relaxed);
        let (heard, waited) = self.changed.wait_timeout_while(heard, PATIENCE, not_yet).unwrap();
        let (late, failed) = (waited.timed_out(), self.stopped.load(Ordering::Relaxed));
        let heard = heard.clone();
        assert!(!late, "still not so: {what}; {heard:?}");
        assert!(!failed, "a client has failed");
    }

    /// Waits until every client has had so many more replies that are not errors.
    pub fn wait_for_all(&self, more: u64) {
        let before = self.now();
        self.wait("every client goes on", |heard| {
            heard.iter().zip(&before).all(|(now, then)| now.done >= then.done + more)
        });
    }

    /// Waits until clients of every server have been told that the store does not answer.
    pub fn wait_for_timeouts(&self) {
        let before = self.now();
        self.wait("the store does not answer", |heard| {
            (0..self.servers).all(|server| {
                let of_server = (server..heard.len()).step_by(self.servers);
                of_server.into_iter().any(|at| heard[at].timeouts > before[at].timeouts)
            })
        });
    }
}

/// Stops the clients however the test goes on.
struct StopAtEnd<'a>(&'a Progress);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A client that fails stops all others.
struct StopAtFailure<'a>(&'a Progress);

impl Drop for StopAtFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Keeps `servers` busy while `events` happen, then compares what is stored with what the clients
/// heard; which it returns. Every client has one connection all the time.
pub fn under_load(
    servers: &[Server],
    name: &str,
    events: impl FnOnce(&Progress, &mut Rng),
) -> Vec<Heard> {
    let seed = super::common::env_number("RINGSTONE_TEST_FDB_SEED", 1);
    println!("{name}: RINGSTONE_TEST_FDB_SEED={seed}");
    let mut rng = Rng::new(seed);
    let progress = Progress {
        heard: Mutex::new(vec![Heard::default(); RECORDED + COUNTED]),
        changed: Condvar::new(),
        stopped: AtomicBool::new(false),
        servers: servers.len(),
    };
    let clock = AtomicI64::new(0);
    let (mut history, mut tally) = (Vec::new(), Tally::default());
    std::thread::scope(|scope| {
        let progress = &progress;
        let _stop = StopAtEnd(progress);
        let connect = |client: usize| servers[client % servers.len()].connect();
        let recorders: Vec<_> = (0..RECORDED)
            .map(|at| {
                let (conn, rng) = (connect(at), Rng::new(rng.bits()));
                let recorder = Recorder::new(conn, rng, &clock, at as u64, RECORDED_LOAD);
                scope.spawn(move || {
                    let _stop = StopAtFailure(progress);
                    recorder.run(&progress.stopped, &|reply| progress.hear(at, reply))
                })
            })
            .collect();
        let counters: Vec<_> = (RECORDED..RECORDED + COUNTED)
            .map(|at| {
                let client = Client::new(connect(at), Rng::new(rng.bits()), at as u64);
                scope.spawn(move || {
                    let _stop = StopAtFailure(progress);
                    client.run(&progress.stopped, &|reply| progress.hear(at, reply))
                })
            })
            .collect();
        events(progress, &mut rng);
        progress.stop();
        history.extend(recorders.into_iter().flat_map(|thread| thread.join().unwrap()));
        counters.into_iter().for_each(|thread| tally.add(thread.join().unwrap()));
    });
    for server in servers {
        tally.check(&mut server.connect());
    }
    history::check(&history, name);
    let heard = progress.now();
    let sum = |of: fn(&Heard) -> u64| heard.iter().map(of).sum::<u64>();
    println!("{name}: {} replies, {} time-outs", sum(|one| one.done), sum(|one| one.timeouts));
    heard
}

/// A reply that the cluster has to be there for.
pub fn ask(conn: &mut Conn, line: &str) -> Reply {
    let mut reply = Reply::NilBulk;
    super::wait_until(line, || {
        reply = conn.command(line);
        Answer::of(&reply) == Answer::Done
    });
    reply
}
