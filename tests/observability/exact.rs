//! Property: n commands give n counts, whatever the store and however often a group is repeated; sizes
//! sum up to what was sent.

use std::time::Instant;

use crate::common::{Conn, Options, Server, Subject, encode, tokens, words};
use crate::scrape::{Scrape, when};
use crate::servers;

/// What a connection has sent and received.
#[derive(Default)]
struct Traffic {
    sent: usize,
    received: usize,
    commands: usize,
}

/// Sends so many equal commands in one write.
fn send(conn: &mut Conn, traffic: &mut Traffic, times: usize, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let bytes = encode(&words).repeat(times);
    conn.send_raw(&bytes);
    traffic.sent += bytes.len();
    traffic.commands += times;
    for _ in 0..times {
        traffic.received += conn.read().1.len();
    }
}

/// A workload of which every number is known.
fn work(server: &Server) -> Traffic {
    let mut conn = server.connect();
    let mut traffic = Traffic::default();
    for _ in 0..50 {
        send(&mut conn, &mut traffic, 1, "SET text value");
    }
    for _ in 0..10 {
        send(&mut conn, &mut traffic, 16, "GET text");
    }
    send(&mut conn, &mut traffic, 9, "GET missing");
    send(&mut conn, &mut traffic, 100, "INCR number");
    send(&mut conn, &mut traffic, 7, "LPUSH text wrong");
    send(&mut conn, &mut traffic, 5, "NOSUCHCOMMAND");
    send(&mut conn, &mut traffic, 3, "CLIENT ID");
    for line in ["MULTI", "INCR number", "GET text", "EXEC"] {
        send(&mut conn, &mut traffic, 1, line);
    }
    send(&mut conn, &mut traffic, 1, "PING");
    traffic
}

/// What a server says of this workload, once it has counted the last of it.
fn counted(server: &Server) -> Scrape {
    let timed = "ringstone_command_seconds_count";
    when(server, "all is counted", |scrape| scrape.sum(timed, &["command=\"ping\""]) >= 1.0)
}

#[test]
fn commands_errors_and_bytes_are_counted_exactly() {
    for server in servers() {
        let subject = server.subject;
        let traffic = work(&server);
        let sent = traffic.sent as f64;
        let scrape = counted(&server);
        let expected = [
            ("set", 50, 0),
            ("get", 160 + 9 + 1, 0),
            ("incr", 101, 0),
            ("lpush", 7, 7),
            ("client|id", 3, 0),
            ("multi", 1, 0),
            ("exec", 1, 0),
            ("ping", 1, 0),
        ];
        for (command, count, failures) in expected {
            let of = |name: &str| scrape.sum(name, &[&format!("command=\"{command}\"")]);
            let calls = (of("ringstone_commands_total"), of("ringstone_command_failures_total"));
            assert_eq!(calls, (f64::from(count), f64::from(failures)), "{subject:?}: {command}");
        }
        let errors = |kind: &str| scrape.sum("ringstone_errors_total", &[kind]);
        assert_eq!(errors("kind=\"WRONGTYPE\""), 7.0, "{subject:?}");
        assert_eq!(errors("kind=\"ERR\""), 5.0, "{subject:?}");
        assert_eq!(errors(""), 12.0, "{subject:?}: no other errors");
        assert_eq!(scrape.sum("ringstone_received_bytes_total", &[]), sent, "{subject:?}");
        let received = scrape.sum("ringstone_sent_bytes_total", &[]);
        assert_eq!(received, traffic.received as f64, "{subject:?}");
        assert_eq!(scrape.sum("ringstone_keyspace_hits_total", &[]), 161.0, "{subject:?}");
        assert_eq!(scrape.sum("ringstone_keyspace_misses_total", &[]), 9.0, "{subject:?}");
        assert_eq!(scrape.sum("ringstone_connections_accepted_total", &[]), 1.0, "{subject:?}");
    }
}

#[test]
fn sizes_sum_up_to_what_was_sent() {
    for server in servers() {
        let subject = server.subject;
        let traffic = work(&server);
        let scrape = counted(&server);
        let sum = |name: &str, labels: &[&str]| scrape.sum(name, labels);
        let batches = sum("ringstone_batches_total", &[]);
        assert_eq!(sum("ringstone_batch_commands_count", &[]), batches, "{subject:?}");
        let commands = sum("ringstone_batch_commands_sum", &[]);
        assert_eq!(commands, traffic.commands as f64, "{subject:?}");
        // Each command was timed once.
        let timed = sum("ringstone_command_seconds_count", &[]);
        assert_eq!(timed, sum("ringstone_commands_total", &[]), "{subject:?}");
        // What writes: SET, INCR, LPUSH, and EXEC, which is one however much it executes.
        let group_sizes = sum("ringstone_group_commands_sum", &["mode=\"write\""]);
        let written = 50.0 + 100.0 + 7.0 + 1.0;
        assert_eq!(group_sizes, written, "{subject:?}");
        let groups = sum("ringstone_group_commands_count", &["mode=\"write\""]);
        assert!(groups >= 50.0, "{subject:?}: {groups}");
    }
}

#[test]
fn who_is_served_or_waits_on_is_counted_right() {
    for server in servers() {
        let subject = server.subject;
        let mut waiting: Vec<Conn> = (0..3).map(|_| server.connect()).collect();
        waiting.iter_mut().for_each(|conn| conn.send(&["BLPOP", "list", "0"]));
        when(&server, "all wait", |scrape| scrape.sum("ringstone_blocked_clients", &[]) == 3.0);
        let mut pushing = server.connect();
        for _ in 0..3 {
            pushing.command("RPUSH list x");
        }
        waiting.iter_mut().for_each(|conn| drop(conn.read_reply()));
        let timed = "ringstone_command_seconds_count";
        let scrape = when(&server, "all is counted", |scrape| scrape.sum(timed, &[]) >= 6.0);
        let sum = scrape.sum("ringstone_group_commands_sum", &["mode=\"write\""]);
        assert_eq!(sum, 6.0, "{subject:?}: three were pushed, and three taken");
    }
}

#[test]
fn what_is_left_of_a_receive_has_waited_since_then() {
    let flags = vec!["--metrics-listen", "127.0.0.1:0"];
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let mut conn = server.connect();
    // More than a batch may have, and less than a receive. It may come in two all the same.
    let many = "PING\r\n".repeat(2_000);
    let waited = || Scrape::of(&server).sum("ringstone_command_stage_seconds_count", &["queue"]);
    for _ in 0..1_000 {
        conn.send_raw(many.as_bytes());
        (0..2_000).for_each(|_| drop(conn.read()));
        if waited() > 0.0 {
            return;
        }
    }
    panic!("a connection that is alone waits only for itself, and never did");
}

#[test]
fn parts_of_a_pipeline_have_waited_for_each_other_and_worked_once() {
    for server in servers() {
        let subject = server.subject;
        let mut conn = server.connect();
        let mut traffic = Traffic::default();
        let began = Instant::now();
        // Each ends a part: what follows depends on it.
        send(&mut conn, &mut traffic, 300, "CLIENT PAUSE 0");
        let took_us = began.elapsed().as_secs_f64() * 1e6;
        let timed = "ringstone_command_seconds_count";
        let scrape = when(&server, "all is counted", |scrape| scrape.sum(timed, &[]) >= 300.0);
        assert_eq!(scrape.sum("ringstone_commands_total", &[]), 300.0, "{subject:?}");
        let latency = scrape.sum("ringstone_command_seconds_sum", &[]);
        let stages = scrape.sum("ringstone_command_stage_seconds_sum", &[]);
        let off = (latency - stages).abs() / latency;
        // Between the laps of a group on a store that does not answer at once there are gaps.
        assert!(off < 1e-3, "{subject:?}: {stages} s in stages of {latency} s");
        let reply = conn.command("INFO commandstats");
        let page = String::from_utf8_lossy(reply.bulk().unwrap()).into_owned();
        let (_, line) = page.split_once("cmdstat_client|pause:calls=300,usec=").unwrap();
        let busy_us: f64 = line.split(',').next().unwrap().parse().unwrap();
        assert!(busy_us <= took_us, "{subject:?}: {busy_us} us of {took_us} us");
        assert!(latency * 1e6 > busy_us, "{subject:?}: {latency} s, and {busy_us} us");
    }
}

#[test]
fn who_vanishes_leaves_exact_counts() {
    for server in servers() {
        let subject = server.subject;
        for _ in 0..20 {
            let mut conn = server.connect();
            conn.send_raw(&encode(&["INCR", "n"]).repeat(50));
        }
        let mut conn = server.connect();
        let incr = &["command=\"incr\""];
        let calls = |scrape: &Scrape| scrape.sum("ringstone_commands_total", incr);
        let timed = |scrape: &Scrape| scrape.sum("ringstone_command_seconds_count", incr);
        let closed = |scrape: &Scrape| scrape.sum("ringstone_connections", &[]) == 1.0;
        let scrape = when(&server, "all is counted", |scrape| {
            closed(scrape) && calls(scrape) >= 1_000.0 && timed(scrape) >= 1_000.0
        });
        let value = conn.command("GET n");
        let value: f64 = std::str::from_utf8(value.bulk().unwrap()).unwrap().parse().unwrap();
        let counted = [calls(&scrape), timed(&scrape), value];
        assert_eq!(counted, [1_000.0; 3], "{subject:?}");
        assert_eq!(scrape.sum("ringstone_batch_commands_sum", &[]), 1_000.0, "{subject:?}");
    }
}

#[test]
fn a_tenant_s_commands_behind_a_login_count() {
    let mut flags = tokens::FLAGS.to_vec();
    flags.extend(["--metrics-listen", "127.0.0.1:0", "--metrics-tenants", "yes"]);
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let token = tokens::plain("acme");
    let mut conn = tokens::connect(&server, &token);
    let lines = ["SET k v".to_owned(), format!("AUTH {token}"), "GET k".to_owned()];
    conn.pipeline(&lines.each_ref().map(|line| words(line)));
    let of = |scrape: &Scrape, name: &str| scrape.sum(name, &["tenant=\"acme\""]);
    let scrape = Scrape::of(&server);
    assert_eq!(of(&scrape, "ringstone_tenant_commands_total"), 3.0);
}
