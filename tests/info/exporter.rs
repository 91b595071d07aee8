//! What Prometheus's redis_exporter makes of a server, which is the same as it makes of Redis.
//!
//! Without its package, which scripts/test.sh installs, this is skipped with a line that says so.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::common::{Address, Options, Server, Subject, free_port, http, until};

const PROGRAM: &str = "prometheus-redis-exporter";

/// Labels that say what a series is about. The others describe the server and its clients.
const ABOUT: [&str; 5] = ["cmd", "db", "err", "key", "quantile"];

/// It asks for PFCOUNT of each string, which ringstone does not have and Redis refuses.
const UNKNOWN: [&str; 2] = ["cmd=\"pfcount\"", "err=\"WRONGTYPE\""];

/// An exporter; dropping it ends it.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start(server: &Server) -> Exporter {
        let Address::Tcp(target) = &server.address else { panic!("it is asked for over TCP") };
        let mut command = Command::new(PROGRAM);
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        command.args(["-web.listen-address", &address.to_string()]);
        command.args(["-redis.addr", &format!("redis://{target}")]);
        command.args(["-include-system-metrics", "-export-client-list", "-export-client-port"]);
        command.args(["-set-client-name", "-ping-on-connect"]);
        command.args(["-check-keys", "*", "-count-keys", "[kt]"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Exporter { child: command.spawn().unwrap(), address }
    }

    /// Its page, as soon as it gives one.
    fn page(&self) -> String {
        let ask = || http::get(self.address, "/metrics");
        let told = until("a page", ask, |told| matches!(told, Ok((200, _))));
        told.unwrap().1
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_here() -> bool {
    let here = Command::new(PROGRAM).arg("-version").output().is_ok();
    if !here {
        // Not eprintln!, which the test harness would swallow.
        let missing = format!("skipped: {PROGRAM} is not installed; scripts/test.sh installs it");
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    here
}

/// A series' name, with those values of labels that say what it is about.
fn shape(line: &str) -> String {
    let (series, _) = line.rsplit_once(' ').expect("a series and its value");
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let mut shape = name.to_owned();
    for label in labels.trim_end_matches('}').split("\",") {
        let (label, value) = label.split_once("=\"").expect("a label and its value");
        let value = if ABOUT.contains(&label) { value.trim_end_matches('"') } else { "" };
        shape.push_str(&format!(" {label}=\"{value}\""));
    }
    shape
}

/// What an exporter tells of a server with some keys.
fn series(subject: Subject, redis_durable: bool) -> BTreeSet<String> {
    let options = Options { redis_tcp: true, redis_durable, ..Options::default() };
    let server = Server::start_with(subject, &options);
    let mut conn = server.connect();
    for line in ["SET k v", "SET t v EX 100", "GET k", "GET", "INCR k", "RPUSH l a b"] {
        conn.command(line);
    }
    for line in ["SADD s a b", "ZADD z 1 a", "HSET h f v", "SLOWLOG RESET"] {
        conn.command(line);
    }
    let exporter = Exporter::start(&server);
    // The second tells of what the first asked for.
    let pages = [exporter.page(), exporter.page()];
    for (page, line) in [
        (0, "redis_up 1"),
        (0, "redis_exporter_last_scrape_error{err=\"\"} 0"),
        (0, "redis_db_keys{db=\"db0\"} 6"),
        (0, "redis_db_keys_expiring{db=\"db0\"} 1"),
        (0, "redis_commands_total{cmd=\"set\"} 2"),
        (0, "redis_commands_failed_calls_total{cmd=\"incr\"} 1"),
        (0, "redis_commands_rejected_calls_total{cmd=\"get\"} 1"),
        (0, "redis_errors_total{err=\"ERR\"} 2"),
        (0, "redis_key_size{db=\"db0\",key=\"l\"} 2"),
        (0, "redis_key_size{db=\"db0\",key=\"s\"} 2"),
        (0, "redis_key_size{db=\"db0\",key=\"z\"} 1"),
        (0, "redis_key_size{db=\"db0\",key=\"h\"} 1"),
        (0, "redis_keys_count{db=\"db0\",key=\"[kt]\"} 2"),
        (0, "redis_slowlog_length 0"),
        (1, "redis_up 1"),
        (1, "redis_commands_total{cmd=\"set\"} 2"),
    ] {
        let page = &pages[page];
        assert!(page.lines().any(|known| known == line), "{subject:?} {line}: {page}");
    }
    let lines = pages[1].lines().filter(|line| line.starts_with("redis_"));
    lines.map(shape).filter(|series| !UNKNOWN.iter().any(|about| series.contains(about))).collect()
}

#[test]
fn redis_exporter_finds_what_it_finds_on_redis() {
    if !is_here() {
        return;
    }
    // Redis says more of its log when it keeps one, as the embedded store does.
    for (subject, redis_durable) in [(Subject::Memory, false), (Subject::Embedded, true)] {
        let [redis, ours] = [Subject::Redis, subject].map(|one| series(one, redis_durable));
        let missing: Vec<_> = redis.difference(&ours).collect();
        let more: Vec<_> = ours.difference(&redis).collect();
        assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
    }
}
