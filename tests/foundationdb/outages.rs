//! Property: processes of a cluster may be killed at any moment; clients see delays, and after the
//! deadline time-outs, but no disconnection, no loss and nothing twice.

use super::common::fdb::{self, Cluster};
use super::common::{Options, Rng, Server, Subject};
use super::load::under_load;
use super::servers;
use super::tally::{Client, Tally};

fn servers_of(cluster: &Cluster) -> Vec<Server> {
    let options = Options { cluster_file: Some(cluster.file().to_owned()), ..Options::default() };
    servers(2, &options)
}

#[test]
fn the_only_process_is_killed_again_and_again() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&[]);
    under_load(&servers_of(&cluster), "killed again and again", |progress, rng| {
        for _ in 0..5 {
            progress.wait_for_all(rng.below(100) + 1);
            cluster.restart(1);
        }
        progress.wait_for_all(20);
    });
}

#[test]
fn one_of_three_processes_is_killed_for_good() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&["--processes", "3", "--redundancy", "double"]);
    under_load(&servers_of(&cluster), "one of three", |progress, rng| {
        progress.wait_for_all(50);
        cluster.kill(rng.below(3) as usize + 1);
        progress.wait_for_all(50);
    });
}

#[test]
fn a_cluster_that_was_down_for_long_is_used_again() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let heard = under_load(&servers_of(&cluster), "down for long", |progress, _| {
        progress.wait_for_all(20);
        cluster.kill(1);
        progress.wait_for_timeouts();
        cluster.restart(1);
        progress.wait_for_all(20);
    });
    assert!(heard.iter().any(|one| one.timeouts > 0));
}

/// Commits under way when the time is up may still happen when the cluster goes on.
#[test]
fn a_cluster_that_was_stopped_for_long_is_used_again() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let heard = under_load(&servers_of(&cluster), "stopped for long", |progress, _| {
        for _ in 0..2 {
            progress.wait_for_all(20);
            cluster.pause(1);
            progress.wait_for_timeouts();
            cluster.resume(1);
        }
        progress.wait_for_all(20);
    });
    assert!(heard.iter().any(|one| one.timeouts > 0));
}

/// So many writes through two processes, each with a wrapper that injects `faults`.
fn write_with(faults: &str) -> Tally {
    let root = fdb::new_root();
    let start = |number: u64| {
        let faults = format!("seed={number},{faults}");
        let options = Options { fdb_root: Some(root.clone()), faults, ..Options::default() };
        Server::start_with(Subject::FaultyFoundationDb, &options)
    };
    let servers = [start(1), start(2)];
    let mut rng = Rng::new(1);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let conn = servers[number as usize % 2].connect();
                let client = Client::new(conn, Rng::new(rng.bits()), number);
                scope.spawn(|| client.run_steps(60, &|_| ()))
            })
            .collect();
        threads.into_iter().for_each(|thread| tally.add(thread.join().unwrap()));
    });
    servers.iter().for_each(|server| tally.check(&mut server.connect()));
    tally
}

#[test]
fn injected_failures_change_no_outcome() {
    if fdb::is_here() {
        let faults = "pending=3,delay=5,retry=9,conflict=5,unknown-applied=5,unknown-lost=7";
        assert_eq!(write_with(faults).unknown(), 0);
    }
}

#[test]
fn injected_timeouts_are_told() {
    if fdb::is_here() {
        let faults = "delay=5,conflict=9,timeout=15,unknown-applied=9,unknown-lost=9";
        assert!(write_with(faults).unknown() > 0);
    }
}
