//! Property: whatever happens to a FoundationDB cluster and to the ringstone processes in front of it,
//! clients lose nothing that was acknowledged, see nothing twice, and at worst wait.
//!
//! Tests that break a cluster have one of their own; the others share one. All are skipped, with a
//! line that says so, where there is no FoundationDB.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "foundationdb/expiry.rs"]
mod expiry;
#[path = "foundationdb/load.rs"]
mod load;
#[path = "foundationdb/outages.rs"]
mod outages;
#[path = "foundationdb/processes.rs"]
mod processes;
#[path = "foundationdb/sorted_sets.rs"]
mod sorted_sets;
#[path = "foundationdb/start.rs"]
mod start;
#[path = "foundationdb/tally.rs"]
mod tally;
#[path = "foundationdb/tenants.rs"]
mod tenants;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Conn, Options, Server, Subject, fdb};

/// How long anything may take that has no deadline of its own, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// So many servers of the same new data, on the cluster of `options`.
fn servers(count: usize, options: &Options) -> Vec<Server> {
    let options = Options { fdb_root: Some(fdb::new_root()), ..options.clone() };
    (0..count).map(|_| Server::start_with(Subject::FoundationDb, &options)).collect()
}

/// Tells threads to stop however the test goes on: who started them waits for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number of INFO.
fn figure(conn: &mut Conn, name: &str) -> u64 {
    let reply = conn.command("INFO everything");
    let text = String::from_utf8(reply.bulk().unwrap().to_vec()).unwrap();
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
    text.lines().find_map(of).unwrap_or_else(|| panic!("INFO has no number {name}:\n{text}"))
}
