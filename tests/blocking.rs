//! Property: who waits for data gets what Redis would give, in the order in which they began to wait,
//! on every store and with faults injected; every item is delivered exactly once, whoever comes, goes
//! or is killed meanwhile.
//!
//! Each scenario is run against redis-server too. Where it matters that somebody waits by now, the
//! scenario asks the server until it says so.
//! `RINGSTONE_TEST_BLOCKING=text` runs only scenarios whose name contains the text.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "blocking/clients.rs"]
mod clients;
mod common;
#[path = "blocking/kills.rs"]
mod kills;
#[path = "blocking/load.rs"]
mod load;
#[path = "blocking/order.rs"]
mod order;
#[path = "blocking/stage.rs"]
mod stage;
#[path = "blocking/stops.rs"]
mod stops;
#[path = "blocking/wakes.rs"]
mod wakes;

use common::{Options, Server, Subject, fdb};
use stage::Stage;

/// What is told of the clients on a stage; its name is for messages and the filter.
type Scenario = (&'static str, fn(&mut Stage<'_>));

#[test]
fn redis_serves_those_who_wait() {
    run(Subject::Redis);
}

#[test]
fn memory_serves_those_who_wait() {
    run(Subject::Memory);
}

#[test]
fn embedded_serves_those_who_wait() {
    run(Subject::Embedded);
}

#[test]
fn memory_with_faults_serves_those_who_wait() {
    run(Subject::Faulty);
}

#[test]
fn foundationdb_serves_those_who_wait() {
    if fdb::is_here() {
        run(Subject::FoundationDb);
    }
}

#[test]
fn foundationdb_with_faults_serves_those_who_wait() {
    if fdb::is_here() {
        run(Subject::FaultyFoundationDb);
    }
}

fn run(subject: Subject) {
    let filter = std::env::var("RINGSTONE_TEST_BLOCKING").unwrap_or_default();
    let server = Server::start_with(subject, &Options::default());
    for (name, scenario) in [order::SCENARIOS, wakes::SCENARIOS, clients::SCENARIOS].concat() {
        if name.contains(&filter) {
            println!("{subject:?}: {name}");
            let mut stage = Stage::new(&server);
            scenario(&mut stage);
            stage.clear();
        }
    }
}
