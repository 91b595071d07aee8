//! Property: programs that read `INFO`, `CLIENT LIST` and `MEMORY STATS` find there what they find on
//! Redis 7.0, and what they find is true.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "info/calls.rs"]
mod calls;
#[path = "info/clients.rs"]
mod clients;
mod common;
#[path = "info/consumers.rs"]
mod consumers;
#[path = "info/counts.rs"]
mod counts;
#[path = "info/exporter.rs"]
mod exporter;
#[path = "info/page.rs"]
mod page;

use common::{Options, Server, Subject};
use page::Page;

const RINGSTONE: [Subject; 3] = [Subject::Memory, Subject::Embedded, Subject::Faulty];

/// Redis's fields that ringstone does not have, and why.
const ABSENT: [(&str, &str); 2] = [
    ("atomicvar_api", "names a C compiler's atomics; it is written in Rust"),
    ("gcc_version", "it is not compiled by GCC"),
];

/// Fields in Redis's sections that Redis 7.0 does not have, and why.
const ADDED: [(&str, &str); 3] = [
    ("ringstone_version", "what it really is, beside the version of Redis that it is like"),
    ("total_blocking_keys", "Redis has it from 7.2 on, and exporters read it"),
    ("total_blocking_keys_on_nokey", "Redis has it from 7.2 on, and exporters read it"),
];

/// Sections whose fields depend on what was done.
const OPEN: [&str; 4] = ["Commandstats", "Errorstats", "Latencystats", "Keyspace"];
/// Sections of ringstone's own.
const OWN: [&str; 2] = ["Ringstone", "Store"];

#[test]
fn sections_and_fields_are_those_of_redis_in_its_order() {
    // Redis says more of its log when it keeps one, as the embedded store does.
    for (subject, redis_durable) in [(Subject::Memory, false), (Subject::Embedded, true)] {
        let options = Options { redis_durable, ..Options::default() };
        let redis = Server::start_with(Subject::Redis, &options);
        let server = Server::start_with(subject, &options);
        let pages = [&redis, &server].map(|server| Page::read(server, "everything"));
        let sections = |page: &Page| page.sections().map(str::to_owned).collect::<Vec<_>>();
        let mut theirs = sections(&pages[0]);
        theirs.extend(OWN.map(str::to_owned));
        assert_eq!(sections(&pages[1]), theirs, "{subject:?}");
        for section in theirs.iter().filter(|name| !OPEN.contains(&name.as_str())) {
            let [theirs, ours] = [&pages[0], &pages[1]].map(|page| page.names(section));
            let is_in = |list: &[(&str, &str)], name: &str| list.iter().any(|(n, _)| *n == name);
            let known: Vec<_> = theirs.iter().filter(|name| !is_in(&ABSENT, name)).collect();
            let like: Vec<_> = ours.iter().filter(|name| !is_in(&ADDED, name)).collect();
            assert!(OWN.contains(&&**section) || like == known, "{subject:?} {section}: {like:?}");
        }
        for (name, why) in ABSENT {
            assert!(!pages[1].has(name) && pages[0].has(name), "{name} is there: {why}");
        }
        for (name, why) in ADDED {
            assert!(pages[1].has(name) && !pages[0].has(name), "{name} is not ours alone: {why}");
        }
    }
}

#[test]
fn sections_are_chosen_as_on_redis() {
    let redis = Server::start(Subject::Redis);
    let server = Server::start(Subject::Memory);
    for asked in [
        "",
        "default",
        "all",
        "ALL",
        "everything",
        "server",
        "nosuch",
        "server nosuch",
        "keyspace server Clients",
        "commandstats default",
        "latencystats commandstats latencystats",
    ] {
        let [theirs, ours] = [&redis, &server].map(|server| {
            let page = Page::read(server, asked);
            page.sections()
                .filter(|name| !OWN.contains(name))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs, "INFO {asked}");
    }
    let own = Page::read(&server, "store ringstone");
    assert_eq!(own.sections().collect::<Vec<_>>(), OWN);
    assert_eq!(own.text("store"), "memory");
    assert!(Page::read(&server, "").sections().any(|name| name == "Store"));
    // What the store says of itself has moved there.
    assert!(own.names("Ringstone").iter().all(|name| !name.starts_with("store")));
}
