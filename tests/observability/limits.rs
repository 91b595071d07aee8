//! Property: whoever a limit or a quota refuses, holds back or disconnects is counted, once, by its reason.

use std::time::Instant;

use crate::common::tokens::{self, connect, mint, operator, plain};
use crate::common::{Conn, Options, Reply, Server, Subject, encode};
use crate::scrape::{Scrape, when};
use crate::stage::Stage;

const METRICS: [&str; 4] = ["--metrics-listen", "127.0.0.1:0", "--metrics-tenants", "yes"];
const CLOSED: &str = "ringstone_connections_closed_total";
const REJECTED: &str = "ringstone_connections_rejected_total";

fn start(subject: Subject, flags: &[&'static str]) -> Server {
    let flags = [&METRICS[..], flags].concat();
    Server::start_with(subject, &Options { flags, ..Options::default() })
}

fn ok(reply: Reply) {
    assert_eq!(reply, Reply::Simple(b"OK".to_vec()));
}

/// Waits until so many connections have ended for this reason, and all that were accepted are accounted for.
fn closed(server: &Server, reason: &str, count: usize) -> Scrape {
    let label = format!("reason=\"{reason}\"");
    let scrape = when(server, &format!("{count} ended: {reason}"), |scrape| {
        let there = scrape.sum("ringstone_connections", &[]);
        let accepted = scrape.sum("ringstone_connections_accepted_total", &[]);
        let is_whole = scrape.sum(CLOSED, &[]) + there == accepted;
        is_whole && scrape.sum(CLOSED, &[&label]) >= count as f64
    });
    assert_eq!(scrape.sum(CLOSED, &[&label]), count as f64, "{reason}");
    scrape
}

#[test]
fn logins_past_a_quota_are_counted() {
    // The second one executes transactions several times.
    for subject in [Subject::Memory, Subject::Faulty] {
        let server = start(subject, &tokens::FLAGS);
        let mut root = connect(&server, &operator("ops"));
        ok(root.command("TENANT SETQUOTA acme connections 1"));
        let token = plain("acme");
        let _only = connect(&server, &token);
        let mut other = server.connect();
        for _ in 0..20 {
            assert!(other.call(&["AUTH", &token]).is_error());
        }
        let greeting = ["HELLO", "3", "AUTH", "default", &token];
        assert!(other.call(&greeting).is_error());
        connect(&server, &plain("other"));
        let scrape = Scrape::of(&server);
        assert_eq!(scrape.sum(REJECTED, &["reason=\"tenant_connections\""]), 21.0, "{subject:?}");
        assert_eq!(scrape.sum(REJECTED, &[]), 21.0, "{subject:?}");
        let of_tenants = "ringstone_tenant_connections_rejected_total";
        assert_eq!(scrape.sum(of_tenants, &["tenant=\"acme\""]), 21.0, "{subject:?}");
        assert_eq!(scrape.sum(of_tenants, &[]), 21.0, "{subject:?}");
    }
}

#[test]
fn what_is_held_back_is_counted_while_it_waits() {
    let server = start(Subject::Memory, &tokens::FLAGS);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme commands 1"));
    let began = Instant::now();
    let mut conn = connect(&server, &plain("acme"));
    let id = conn.command("CLIENT ID").int();
    // They take minutes.
    conn.send_raw(&encode(&["PING"]).repeat(200));
    connect(&server, &plain("other")).command("PING");
    let (batches, seconds) =
        ("ringstone_throttled_batches_total", "ringstone_throttled_seconds_total");
    let begun = when(&server, "time passes", |scrape| scrape.sum(seconds, &[]) > 0.0);
    let before = begun.sum(seconds, &[]);
    when(&server, "more time passes", |scrape| scrape.sum(seconds, &[]) > before);
    assert_eq!(root.command(&format!("CLIENT KILL ID {id}")).int(), 1);
    let scrape = closed(&server, "killed", 1);
    assert_eq!(scrape.sum(batches, &[]), 1.0);
    let waited = scrape.sum(seconds, &[]);
    assert!(waited > before && waited <= began.elapsed().as_secs_f64(), "{waited}");
    let of = |name: &str, tenant: &str| {
        scrape.sum(&name.replace("ringstone_", "ringstone_tenant_"), &[tenant])
    };
    assert_eq!((of(batches, "\"acme\""), of(seconds, "\"acme\"")), (1.0, waited));
    assert_eq!((of(batches, ""), of(seconds, "")), (1.0, waited), "nobody else's");
}

#[test]
fn what_arrives_behind_others_has_waited_since_then() {
    let server = start(Subject::Memory, &tokens::FLAGS);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme commands 10"));
    let mut conn = connect(&server, &plain("acme"));
    let id = conn.command("CLIENT ID").int();
    // They take about a second.
    let held_back = encode(&["PING"]).repeat(20);
    conn.send_raw(&held_back);
    let waited = "ringstone_throttled_seconds_total";
    when(&server, "time passes", |scrape| scrape.sum(waited, &[]) > 0.0);
    conn.send_raw(&encode(&["ECHO", "behind"]));
    let there = |reply: &Reply| {
        let line = String::from_utf8_lossy(reply.bulk().unwrap()).into_owned();
        let (_, rest) = line.split_once("qbuf=").unwrap();
        rest.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    while there(&root.command(&format!("CLIENT LIST ID {id}"))) <= held_back.len() {}
    let (arrived, mut waiting) = (Instant::now(), Instant::now());
    let calls = |scrape: &Scrape, command| {
        scrape.sum("ringstone_command_seconds_count", &[&format!("command=\"{command}\"")])
    };
    loop {
        let now = Instant::now();
        let scrape = Scrape::of(&server);
        if calls(&scrape, "ping") > 0.0 {
            break;
        }
        waiting = now;
    }
    let scrape = when(&server, "so is the rest", |scrape| calls(scrape, "echo") > 0.0);
    let latency = scrape.sum("ringstone_command_seconds_sum", &["command=\"echo\""]);
    let least = waiting.duration_since(arrived).as_secs_f64();
    assert!(latency >= least, "{latency} s, and it waited for {least} s at least");
}

#[test]
fn what_a_storage_quota_refuses_is_counted_as_errors() {
    for subject in [Subject::Memory, Subject::Faulty] {
        let server = start(subject, &[]);
        let mut conn = server.connect();
        ok(conn.call(&["SET", "before", &"x".repeat(1000)]));
        ok(conn.command("TENANT SETQUOTA default STORAGE 10"));
        // It takes a while to count what was there.
        while !conn.command("SET a x").is_error() {}
        for _ in 0..7 {
            assert!(conn.command("SET a x").is_error());
        }
        for _ in 0..3 {
            conn.pipeline(&["MULTI", "SET a x", "DEL a", "EXEC"].map(crate::common::words));
        }
        let scrape = Scrape::of(&server);
        let errors = |kind: &str| scrape.sum("ringstone_errors_total", &[kind]);
        assert_eq!((errors("\"OOM\""), errors("\"EXECABORT\"")), (8.0, 3.0), "{subject:?}");
        assert_eq!(errors(""), 11.0, "{subject:?}");
        let refused = |name: &str| scrape.sum("ringstone_command_rejections_total", &[name]);
        assert_eq!((refused("\"set\""), refused("\"exec\"")), (8.0, 3.0), "{subject:?}");
        assert_eq!(scrape.sum("ringstone_command_failures_total", &[]), 0.0, "{subject:?}");
    }
}

#[test]
fn clients_that_leave_or_are_sent_away_are_told_apart() {
    let server = start(Subject::Memory, &[]);
    let mut root = server.connect();
    drop(server.connect());
    server.connect().command("PING");
    server.connect().command("QUIT");
    closed(&server, "client", 3);
    let mut conns = [(); 3].map(|()| server.connect());
    for (conn, bytes) in conns.iter_mut().zip([
        &b"*1\r\n$4\r\nPING\r\n*x\r\n"[..],
        b"POST / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]) {
        conn.send_raw(bytes);
        assert!(conn.read_to_close().is_ok());
    }
    closed(&server, "protocol", 3);
    let mut other = server.connect();
    let id = other.command("CLIENT ID").int();
    assert_eq!(root.command(&format!("CLIENT KILL ID {id}")).int(), 1);
    closed(&server, "killed", 1);
    let id = root.command("CLIENT ID").int();
    assert_eq!(root.command(&format!("CLIENT KILL ID {id} SKIPME no")).int(), 1);
    let scrape = closed(&server, "killed", 2);
    assert_eq!(scrape.sum("ringstone_connections", &[]), 0.0);
    assert_eq!(scrape.sum(CLOSED, &["reason=\"client\""]), 3.0);
}

#[test]
fn who_is_idle_is_counted() {
    let server = start(Subject::Memory, &["--timeout", "1"]);
    let mut idle = [(); 3].map(|()| server.connect());
    idle.iter_mut().for_each(|conn| assert!(conn.read_to_close().is_ok()));
    closed(&server, "idle", 3);
}

/// More replies than a connection may let pile up.
fn ask_for_too_much(conn: &mut Conn) {
    conn.call(&[&b"SET"[..], b"large", &vec![b'x'; 4 << 20][..]]);
    conn.command("MULTI");
    (0..2).for_each(|_| drop(conn.command("GET large")));
    conn.send(&["EXEC"]);
    assert_eq!(conn.read_to_close().unwrap(), b"");
}

#[test]
fn who_asks_for_too_much_at_once_is_counted() {
    for subject in [Subject::Memory, Subject::Faulty] {
        let server = start(subject, &["--output-buffer-limit", "6mb"]);
        ask_for_too_much(&mut server.connect());
        closed(&server, "output_limit", 1);
        let mut conn = server.connect();
        let many = vec!["large"; 1_000];
        conn.send(&[&["MGET"][..], &many[..]].concat());
        assert_eq!(conn.read_to_close().unwrap(), b"");
        closed(&server, "output_limit", 2);
        // Requests while the replies are not read: more than the sockets hold.
        let mut conn = server.connect();
        let requests = [encode(&["GET", "large"]).repeat(8), vec![b'\n'; 64 << 20]].concat();
        assert!(conn.try_send_raw(&requests).is_err());
        closed(&server, "output_limit", 3);
    }
}

#[test]
fn who_finds_no_memory_is_counted() {
    let server = start(Subject::Memory, &["--client-memory-max", "6mb"]);
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 4 << 20);
    let most = [head.as_bytes(), &vec![b'x'; (4 << 20) - 1]].concat();
    let mut first = server.connect();
    first.send_raw(&most);
    let memory = "ringstone_client_memory_bytes";
    when(&server, "it is there", |scrape| scrape.sum(memory, &[]) >= most.len() as f64);
    let mut second = server.connect();
    let _ = second.try_send_raw(&most);
    // It may be reset before it has read why.
    let _ = second.read_to_close();
    closed(&server, "client_memory", 1);
    first.send_raw(b"x\r\n");
    ok(first.read_reply());
}

#[test]
fn who_waits_for_more_replies_than_there_is_memory_for_is_sent_away() {
    // Nobody sends anything more, or reads: two replies of 36 MB have room, and then there is none.
    for (subject, requests) in [
        (Subject::Memory, &["MGET k k k k k k k k k"][..]),
        (Subject::Memory, &["SET other x", "MGET k k k k k k k k k"][..]),
        (Subject::Embedded, &["SET other x", "MGET k k k k k k k k k"][..]),
    ] {
        let server = start(subject, &["--client-memory-max", "80mb"]);
        let mut conn = server.connect();
        ok(conn.call(&["SET", "k", &"x".repeat(4 << 20)]));
        drop(conn);
        let silent = [(); 6].map(|()| {
            let mut conn = server.connect();
            let requests = requests.iter().map(|line| encode(&crate::common::words(line)));
            conn.send_raw(&requests.flatten().collect::<Vec<_>>());
            conn
        });
        let scrape = closed(&server, "client_memory", 4);
        let charged = scrape.sum("ringstone_client_memory_bytes", &[]);
        assert!((72e6..84e6).contains(&charged), "{subject:?}: {charged}");
        drop(silent);
    }
}

#[test]
fn handshakes_that_fail_are_counted() {
    let stage = Stage::new(&METRICS);
    let mut plain = stage.raw();
    std::io::Write::write_all(&mut plain, b"PING\r\n").unwrap();
    let _ = std::io::Read::read_to_end(&mut plain, &mut Vec::new());
    assert!(stage.serves(stage.client()));
    closed(&stage.server, "tls_handshake", 1);
    closed(&stage.server, "client", 1);
}

#[test]
fn connections_of_revoked_tokens_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("revoked");
    std::fs::write(&list, "").unwrap();
    let file: &'static str = list.to_str().unwrap().to_owned().leak();
    let flags = [&tokens::FLAGS[..], &["--auth-revoked-file", file]].concat();
    let server = start(Subject::Memory, &flags);
    let token = mint("acme", "right(\"read\");");
    let _revoked = [(); 2].map(|()| connect(&server, &tokens::text(&token)));
    let _other = connect(&server, &plain("acme"));
    let id: String =
        token.revocation_identifiers()[0].iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&list, id).unwrap();
    closed(&server, "revoked", 2);
}
