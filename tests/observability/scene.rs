//! Property: each expression of the dashboard and each side of what the alerts compare has data in a real
//! Prometheus that scrapes servers of every kind under load, and each metric moves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringstone::metrics::{ALL, Kind};

use crate::common::tokens::{self, connect, operator};
use crate::common::{Options, Reply, Server, Subject, fdb};
use crate::expressions::{metrics, of_dashboard, operands, substituted};
use crate::load::{self, Stop, Tokens};
use crate::prometheus::{self, Prometheus, file};
use crate::stage::Stage;

/// How long until everything has happened and was scraped, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);
const METRICS: [&str; 4] = ["--metrics-listen", "127.0.0.1:0", "--metrics-tenants", "yes"];
/// Conflicts, repetitions, halves, unknown outcomes and time-outs, all often.
const FAULTS: &str =
    "seed=1,pending=3,delay=5,conflict=2,unknown-applied=9,unknown-lost=9,timeout=60";

/// Servers of every kind.
struct Scene {
    embedded: Server,
    faulty: Server,
    tls: Stage,
    foundationdb: Option<Server>,
}

impl Scene {
    fn start() -> Scene {
        let mut flags = METRICS.to_vec();
        flags.extend(["--maxclients", "20", "--slowlog-log-slower-than", "0"]);
        let options = Options { flags, ..Options::default() };
        let embedded = Server::start_with(Subject::Embedded, &options);
        let flags = METRICS.to_vec();
        let options = Options { flags, faults: FAULTS.to_owned(), ..Options::default() };
        let faulty = Server::start_with(Subject::Faulty, &options);
        let tls = Stage::new(&[&METRICS[..], &tokens::FLAGS].concat());
        let mut root = connect(&tls.server, &operator("ops"));
        let bounded =
            root.command("TENANT SETQUOTA bounded storage 50kb connections 1 commands 50");
        assert_eq!(bounded, Reply::Simple(b"OK".to_vec()));
        let foundationdb =
            fdb::is_here().then(|| Server::start_with(Subject::FoundationDb, &options));
        Scene { embedded, faulty, tls, foundationdb }
    }

    fn servers(&self) -> Vec<&Server> {
        let mut servers = vec![&self.embedded, &self.faulty, &self.tls.server];
        servers.extend(&self.foundationdb);
        servers
    }

    /// Runs `body` while clients use all servers.
    fn while_used(&self, body: impl FnOnce()) {
        let stop = &Stop::default();
        std::thread::scope(|scope| {
            let _at_end = stop.at_end();
            let plain = [&self.embedded, &self.faulty].into_iter().chain(&self.foundationdb);
            for server in plain {
                for _ in 0..2 {
                    let mut conn = server.connect();
                    scope.spawn(move || stop.until(|number| load::commands(&mut conn, number)));
                }
                let (mut one, mut other) = (server.connect(), server.connect());
                scope.spawn(move || stop.until(|_| load::waits(&mut one, &mut other)));
            }
            scope.spawn(|| stop.until(|_| load::newcomers(&self.embedded)));
            let mut monitor = self.faulty.connect();
            assert!(!monitor.command("MONITOR").is_error());
            // It sees something, whatever else happens.
            scope.spawn(move || stop.until(|_| drop(monitor.try_read())));
            scope.spawn(|| {
                let tokens = Tokens::new();
                // Not without end: this server logs each mistake.
                for _ in 0..20 {
                    load::handshakes(&self.tls);
                    load::logins(&self.tls.server, &tokens);
                }
                // A tenant is shown while it has a connection.
                let mut conn = load::quotas(&self.tls.server, &tokens);
                stop.until(|_| drop(conn.command("GET a")));
            });
            body();
        });
    }
}

/// What has to have data: where it is from, and the expression.
fn expressions(prometheus: &Prometheus) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file("grafana/ringstone.json")).unwrap();
    let dashboard = serde_json::from_str(&text).unwrap();
    let panels = of_dashboard(&dashboard).into_iter();
    let panels = panels.map(|(title, expression)| (title, substituted(&expression)));
    let rules = prometheus.rules().into_iter();
    let rules = rules.flat_map(|(name, expression)| {
        operands(&expression).into_iter().map(move |operand| (name.clone(), operand))
    });
    panels.chain(rules).collect()
}

/// What only a store on FoundationDB tells: names that begin so.
const OF_FOUNDATIONDB: &[&str] = &[
    "ringstone_store_cluster",
    "ringstone_store_commits",
    "ringstone_store_conflicts",
    "ringstone_store_other_failures",
    "ringstone_store_read",
    "ringstone_store_retries",
    "ringstone_store_timeouts",
    "ringstone_store_transactions",
    "ringstone_store_wrong_assumptions",
];

/// Whether an expression or a metric can be here.
fn is_possible(text: &str) -> bool {
    fdb::is_here() || !OF_FOUNDATIONDB.iter().any(|name| text.contains(name))
}

/// Metrics that stay at zero in this scene; the alerts about them have cases of their own.
const UNMOVED: &[(&str, &str)] = &[
    ("ringstone_buffer_fallbacks_total", "there are more buffers than connections"),
    ("ringstone_expiry_sweep_lag_seconds", "the sweep keeps up"),
    (
        "ringstone_group_equal_reads_total",
        "stores tell that are across a network, which these are not",
    ),
    ("ringstone_store_cache", "until a checkpoint all records are in the write buffer"),
    ("ringstone_store_scan_cache", "as above"),
    ("ringstone_store_tree", "as above"),
    ("ringstone_store_checkpoint", "the write buffer takes longer to fill"),
    ("ringstone_store_compactions_total", "as above"),
    ("ringstone_store_cluster_throttled_tags", "the cluster is not overloaded"),
    ("ringstone_store_commits_unknown_total", "the cluster stays whole"),
    ("ringstone_store_conflicts_total", "one process does not conflict with itself"),
    ("ringstone_store_other_failures_total", "the cluster stays whole"),
    ("ringstone_store_retries", "as above"),
    ("ringstone_store_timeouts_total", "as above"),
    ("ringstone_store_wrong_assumptions_total", "nobody flushes"),
];

/// Metrics that have never had another value than zero.
fn unmoved(prometheus: &Prometheus) -> Vec<String> {
    let excused = |name: &str| UNMOVED.iter().any(|(begin, _)| name.starts_with(begin));
    let wanted = ALL.iter().filter(|metric| is_possible(metric.name) && !excused(metric.name));
    let still = wanted.filter(|metric| {
        let suffix = if metric.kind == Kind::Histogram { "_sum" } else { "" };
        let moved = format!("max(max_over_time({}{suffix}[5m])) > 0", metric.name);
        prometheus.values(&moved).unwrap().is_empty()
    });
    still.map(|metric| format!("{} is 0 or not there", metric.name)).collect()
}

#[test]
fn every_expression_has_data() {
    if !prometheus::is_here() {
        return;
    }
    let scene = Scene::start();
    let targets: Vec<_> = scene.servers().iter().map(|server| server.metrics_address()).collect();
    let prometheus = Prometheus::start(&targets);
    let up = format!("count(up == 1) == {}", targets.len());
    let started = Instant::now();
    let wait = |missing: &mut dyn FnMut() -> Vec<String>| {
        loop {
            let missing = missing();
            if missing.is_empty() {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "no data:\n{}", missing.join("\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    // What is counted before the first scrape has no rate.
    wait(&mut || match prometheus.values(&up).unwrap().is_empty() {
        true => vec![up.clone()],
        false => Vec::new(),
    });
    let mut left = expressions(&prometheus);
    assert!(left.len() > 100, "{}", left.len());
    left.retain(|(_, expression)| is_possible(expression));
    scene.while_used(|| {
        wait(&mut || {
            left.retain(|(title, expression)| {
                let values = prometheus.values(expression);
                let values =
                    values.unwrap_or_else(|error| panic!("{title}: {expression}: {error}"));
                !values.iter().any(|value| value.is_finite())
            });
            let left = left.iter().map(|(title, expression)| format!("{title}: {expression}"));
            left.chain(unmoved(&prometheus)).collect()
        });
    });
    assert_eq!(prometheus.complaints(), Vec::<String>::new());
}

#[test]
fn operands_are_what_an_alert_compares() {
    let expression =
        "((a > 1 and b{x=\"y > z\"} <= 2 * 3) or c == 0) and on (job) sum by (or) (d) > 1";
    assert_eq!(operands(expression), ["a", "b{x=\"y > z\"}", "c", "sum by (or) (d)"]);
    assert_eq!(operands("1 - a / (b + c) > 0.5"), ["1 - a / (b + c)"]);
    assert_eq!(operands("(a) / (b) > c"), ["(a) / (b)", "c"]);
}

#[test]
fn metrics_are_found_by_their_names() {
    let histograms = BTreeSet::from(["ringstone_x_seconds".to_owned()]);
    let text =
        "rate(ringstone_x_seconds_bucket{le=\"1\"}[5m]) / ringstone_y_count + ringstone:z:rate";
    let names: Vec<String> = metrics(text, &histograms).into_iter().collect();
    assert_eq!(names, ["ringstone_x_seconds", "ringstone_y_count"]);
}
