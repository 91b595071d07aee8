//! Property: what an operator sees is true. Counters are exact, latencies agree with a client's, and each
//! expression of the dashboard and the alerts is run by a real Prometheus that scrapes real servers.
//!
//! Without Prometheus's package, which scripts/test.sh installs, those tests that need it are skipped with
//! a line that says so.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "observability/endpoint.rs"]
mod endpoint;
#[path = "observability/exact.rs"]
mod exact;
#[path = "observability/expressions.rs"]
mod expressions;
#[path = "observability/histograms.rs"]
mod histograms;
#[path = "observability/limits.rs"]
mod limits;
#[path = "observability/load.rs"]
mod load;
#[path = "observability/prometheus.rs"]
mod prometheus;
#[path = "observability/rules.rs"]
mod rules;
#[path = "observability/scene.rs"]
mod scene;
#[path = "observability/scrape.rs"]
mod scrape;
#[path = "observability/script.rs"]
mod script;
#[path = "tls/stage.rs"]
#[allow(dead_code)]
mod stage;

use common::{Options, Server, Subject, fdb};

/// A server on each kind of store, with metrics.
fn servers() -> impl Iterator<Item = Server> {
    let local = [Subject::Memory, Subject::Embedded, Subject::Faulty].into_iter();
    local.chain(fdb::is_here().then_some(Subject::FoundationDb)).map(|subject| {
        let flags = vec!["--metrics-listen", "127.0.0.1:0", "--metrics-tenants", "yes"];
        Server::start_with(subject, &Options { flags, ..Options::default() })
    })
}
