//! What moves the metrics: clients that do a bit of everything, until they are told to stop.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::tokens::{self, plain};
use crate::common::{Conn, Server, words};
use crate::stage::Stage;

/// Tells the clients to stop however the test goes on: who started them waits for them.
#[derive(Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Repeats a client's round, with its number.
    pub fn until(&self, mut round: impl FnMut(usize)) {
        let mut number = 0;
        while !self.0.load(Ordering::Relaxed) {
            round(number);
            number += 1;
        }
    }

    /// Stops the clients when it goes.
    pub fn at_end(&self) -> impl Drop {
        struct AtEnd<'a>(&'a AtomicBool);
        impl Drop for AtEnd<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        AtEnd(&self.0)
    }
}

/// Reads, writes, mistakes, keys that expire, and values that leave records to collect; some commands one
/// by one, others together.
pub fn commands(conn: &mut Conn, number: usize) {
    let key = number % 64;
    let fields: String = (0..40).map(|field| format!(" field{field} {number}")).collect();
    let lines = [
        format!("SET key:{key} {number}"),
        "GET shared".to_owned(),
        "GET shared".to_owned(),
        "GET nothing".to_owned(),
        "INCR shared".to_owned(),
        format!("SET brief:{number} x PX 1"),
        format!("HSET hash:{key}{fields}"),
        format!("DEL hash:{key}"),
        format!("LPUSH key:{key} wrong"),
        "NOSUCHCOMMAND".to_owned(),
    ];
    let commands: Vec<_> = lines.iter().map(|line| words(line)).collect();
    conn.pipeline(&commands);
    conn.command("INCR shared");
    conn.pipeline(&[words("GET shared"), words("GET shared"), words("GET nothing")]);
}

/// One waits for data, another one gives it some.
pub fn waits(waiting: &mut Conn, giving: &mut Conn) {
    waiting.send(&["BLPOP", "list", "10"]);
    giving.command("LPUSH list item");
    waiting.read_reply();
}

/// As many connections as the server has room for, and one more.
pub fn newcomers(server: &Server) {
    let mut there = Vec::new();
    while let Ok(mut conn) = Conn::try_open(&server.address) {
        let greeted = conn.try_send_raw(b"PING\r\n").is_ok();
        match conn.try_read() {
            Ok((reply, _)) if greeted && !reply.is_error() => there.push(conn),
            _ => break,
        }
    }
}

/// Handshakes: full ones, resumed ones, and some that fail.
pub fn handshakes(stage: &Stage) {
    let config = stage.client();
    for _ in 0..2 {
        let mut stream = stage.dial(config.clone());
        stream.write_all(b"PING\r\n").unwrap();
        // An answer, be it that a token is missing; the tickets come with it.
        assert!(stream.read(&mut [0; 64]).unwrap() > 0);
    }
    let mut plain = stage.raw();
    plain.write_all(b"PING\r\n").unwrap();
    // An alert, or nothing.
    let _ = plain.read_to_end(&mut Vec::new());
}

/// Tokens of a tenant, of one with a quota, and of who may only read.
pub struct Tokens {
    plain: String,
    bounded: String,
    reader: String,
}

impl Tokens {
    /// New ones.
    pub fn new() -> Tokens {
        let reader = tokens::text(&tokens::mint("acme", "right(\"read\");"));
        Tokens { plain: plain("acme"), bounded: plain("bounded"), reader }
    }
}

/// Good and bad tokens, and what they permit and do not.
pub fn logins(server: &Server, tokens: &Tokens) {
    let mut conn = server.connect();
    assert!(conn.command("AUTH nonsense").is_error());
    conn.call(&["AUTH", &tokens.plain]);
    for _ in 0..10 {
        conn.command("GET a");
    }
    conn.call(&["AUTH", &tokens.reader]);
    assert!(conn.command("SET a 1").is_error());
}

/// A tenant that wants more than it may have; its only connection.
pub fn quotas(server: &Server, tokens: &Tokens) -> Conn {
    let mut conn = tokens::connect(server, &tokens.bounded);
    assert!(server.connect().call(&["AUTH", &tokens.bounded]).is_error());
    let value = "x".repeat(2000);
    assert!((0..100).any(|number| conn.call(&["SET", &number.to_string(), &value]).is_error()));
    conn
}
