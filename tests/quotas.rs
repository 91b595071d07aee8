//! What tenants may use: connections, commands per second, bytes of a request. Storage has a test of its
//! own.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::time::Instant;

use common::tokens::{self, connect, operator, plain};
use common::{Conn, Options, Reply, Server, Subject, encode, fdb};

fn start(subject: Subject) -> Server {
    let options = Options { flags: tokens::FLAGS.to_vec(), ..Options::default() };
    Server::start_with(subject, &options)
}

fn ok(reply: Reply) {
    assert_eq!(reply, Reply::Simple(b"OK".to_vec()));
}

fn is_error(reply: &Reply, begin: &str) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(begin.as_bytes()))
}

#[test]
fn a_tenant_has_no_more_connections_than_it_may() {
    let server = start(Subject::Memory);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme connections 2"));
    let token = plain("acme");
    let mut first = connect(&server, &token);
    let second = connect(&server, &token);
    let mut third = server.connect();
    let refused = third.call(&["AUTH", &token]);
    assert!(is_error(&refused, "ERR max number of clients reached"), "{refused:?}");
    assert!(is_error(&third.command("GET a"), "NOAUTH"), "it stays a stranger");
    // Whoever has a place may change the token, and others are not concerned.
    ok(first.call(&["AUTH", &token]));
    connect(&server, &plain("other"));
    drop(second);
    // The place is free when the server has noticed.
    while third.call(&["AUTH", &token]).is_error() {}
    assert!(server.connect().call(&["AUTH", &token]).is_error());
    assert_eq!(first.command("RESET"), Reply::Simple(b"RESET".to_vec()));
    connect(&server, &token);
    ok(root.command("TENANT SETQUOTA acme connections none"));
    connect(&server, &token);
}

#[test]
fn a_transaction_repeated_takes_one_place() {
    let options = Options { flags: tokens::FLAGS.to_vec(), ..Options::default() };
    let server = Server::start_with(Subject::Faulty, &options);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme connections 3"));
    let token = plain("acme");
    for _ in 0..20 {
        let conns = [0; 3].map(|_| {
            let mut conn = server.connect();
            // Those of the last round may not be gone yet.
            while conn.call(&["AUTH", &token]).is_error() {}
            conn
        });
        assert!(server.connect().call(&["AUTH", &token]).is_error());
        drop(conns);
    }
}

#[test]
fn requests_are_as_long_as_their_tenant_s_may_be() {
    let server = start(Subject::Memory);
    let mut root = connect(&server, &operator("ops"));
    let mut conn = connect(&server, &plain("acme"));
    let long = "x".repeat(2000);
    ok(conn.call(&["SET", "a", &long]));
    ok(root.command("TENANT SETQUOTA acme request 1000"));
    ok(conn.call(&["SET", "a", &long[..1000]]));
    let refused = conn.call(&["SET", "a", &long[..1001]]);
    assert!(is_error(&refused, "ERR Protocol error: invalid bulk length"), "{refused:?}");
    assert_eq!(conn.read_to_close(), Ok(Vec::new()));
    ok(connect(&server, &plain("other")).call(&["SET", "a", &long]));
}

#[test]
fn commands_past_the_quota_wait_and_those_of_others_do_not() {
    let server = start(Subject::Memory);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme commands 100"));
    let (mut many, mut others) =
        (connect(&server, &plain("acme")), connect(&server, &plain("other")));
    let began = Instant::now();
    let pings: Vec<Vec<Vec<u8>>> = (0..100).map(|_| vec![b"PING".to_vec()]).collect();
    many.pipeline(&pings);
    // What is used up comes again, but not faster than that: these take nearly half a second more.
    many.pipeline(&pings[..50]);
    assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
    others.pipeline(&pings);
    // A connection that has to wait very long goes when it is told to.
    let id = many.command("CLIENT ID").int();
    ok(root.command("TENANT SETQUOTA acme commands 1"));
    many.send(&["PING"]);
    (0..20).for_each(|_| many.send(&["PING"]));
    assert_eq!(root.command(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    assert!(many.read_to_close().is_ok());
}

/// Sends until a quota set elsewhere is noticed.
fn until_refused(conn: &mut Conn, args: &[&str]) -> Reply {
    loop {
        let reply = conn.call(args);
        if reply.is_error() {
            return reply;
        }
    }
}

#[test]
fn who_goes_away_while_it_waits_gives_its_place_back() {
    let server = start(Subject::Memory);
    let mut root = connect(&server, &operator("ops"));
    ok(root.command("TENANT SETQUOTA acme commands 1 connections 1"));
    let token = plain("acme");
    let mut conn = connect(&server, &token);
    let pings: Vec<Vec<u8>> = (0..2000).map(|_| encode(&["PING"])).collect();
    conn.send_raw(&pings.concat());
    drop(conn);
    // Half an hour's worth of commands neither keeps the place nor has to be paid for.
    let mut other = server.connect();
    while other.call(&["AUTH", &token]).is_error() {}
    assert!(!other.command("PING").is_error());
}

#[test]
fn quotas_are_those_of_all_processes() {
    if !fdb::is_here() {
        return;
    }
    let root = fdb::new_root();
    let options =
        Options { flags: tokens::FLAGS.to_vec(), fdb_root: Some(root), ..Options::default() };
    let one = Server::start_with(Subject::FoundationDb, &options);
    let other = Server::start_with(Subject::FoundationDb, &options);
    let mut root = connect(&one, &operator("ops"));
    let token = plain("acme");
    let (mut here, mut there) = (connect(&one, &token), connect(&other, &token));
    ok(here.command("SET a 1"));
    assert_eq!(there.command("GET a"), Reply::Bulk(b"1".to_vec()), "one tenant on both");
    ok(root.command("TENANT SETQUOTA acme request 1000"));
    let long = "x".repeat(1001);
    let refused = until_refused(&mut there, &["SET", "a", &long]);
    assert!(is_error(&refused, "ERR Protocol error"), "{refused:?}");
    let mut there = connect(&other, &token);
    ok(root.command("TENANT DROP acme"));
    let refused = until_refused(&mut there, &["SET", "a", "1"]);
    assert!(is_error(&refused, "NOAUTH the tenant of this connection"), "{refused:?}");
    // A new tenant of the same name has nothing of the old one.
    ok(there.call(&["AUTH", &token]));
    assert_eq!(there.command("GET a"), Reply::NilBulk);
}
