//! What ends a wait, and what does not.

use super::Scenario;
use super::stage::{Stage, expect, heard};

pub const SCENARIOS: &[Scenario] = &[
    ("lists come in many ways", many_ways),
    ("other databases", other_databases),
    ("another type is not what was waited for", another_type),
    ("nowhere to put it", nowhere_to_put_it),
    ("time-outs", timeouts),
    ("keys that expire", expiry),
    ("flushes", flushes),
];

fn many_ways(stage: &mut Stage<'_>) {
    for (before, line) in [
        ("RPUSH other x", "RENAME other k"),
        ("RPUSH other x", "RENAMENX other k"),
        ("RPUSH other x", "COPY other k"),
        ("RPUSH other x", "LMOVE other k LEFT RIGHT"),
        ("RPUSH other x", "RPOPLPUSH other k"),
        ("RPUSH other x", "BLMOVE other k LEFT RIGHT 0"),
        ("RPUSH other x", "BRPOPLPUSH other k 0"),
        ("PING", "LPUSH k x"),
    ] {
        stage.ask(before);
        let mut waiter = stage.waiter("BLPOP k 0");
        assert!(!stage.ask(line).is_error(), "{line}");
        stage.served(&mut waiter, r#"*["k", "x"]"#);
        stage.settle();
        stage.does("EXISTS k", ":0");
        stage.ask("DEL other");
    }
    // Pushing where there is nothing.
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("RPUSHX k y", ":0");
    stage.does("LINSERT k BEFORE a b", ":0");
    stage.does("RPUSH k z", ":1");
    stage.served(&mut waiter, r#"*["k", "z"]"#);
}

fn other_databases(stage: &mut Stage<'_>) {
    let mut zero = stage.waiter("BLPOP k 0");
    let mut one = stage.client();
    expect(&mut one, "SELECT 1", "+OK");
    stage.block(&mut one, "BLPOP k 0");
    let mut two = stage.client();
    expect(&mut two, "SELECT 2", "+OK");
    expect(&mut two, "RPUSH k elsewhere", ":1");
    stage.settle();
    // It brings what is in 2 to 1.
    expect(&mut two, "MOVE k 1", ":1");
    stage.served(&mut one, r#"*["k", "elsewhere"]"#);
    expect(&mut two, "RPUSH k a b", ":2");
    stage.settle();
    stage.does("SWAPDB 0 2", "+OK");
    stage.served(&mut zero, r#"*["k", "a"]"#);
    stage.does("LRANGE k 0 -1", r#"*["b"]"#);
    expect(&mut two, "COPY k k DB 0 REPLACE", ":0");
    // Who waits where a database is swapped in that has nothing goes on waiting.
    stage.block(&mut one, "BLPOP k 0");
    stage.does("SWAPDB 1 2", "+OK");
    stage.settle();
    stage.does("COPY k k DB 1", ":1");
    stage.served(&mut one, r#"*["k", "b"]"#);
}

fn another_type(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLPOP k 0");
    let mut second = stage.waiter("BLMOVE k to LEFT LEFT 0");
    for line in ["SET k v", "SADD k a", "HSET k a b", "APPEND k v"] {
        assert!(!stage.ask(line).is_error());
        stage.settle();
        stage.does("RPUSH k a", WRONG_TYPE);
        stage.does("DEL k", ":1");
    }
    stage.does("SET other v", "+OK");
    stage.does("RENAME other k", "+OK");
    stage.settle();
    stage.does("RPUSH list x y", ":2");
    stage.does("RENAME list k", "+OK");
    stage.served(&mut waiter, r#"*["k", "x"]"#);
    stage.served(&mut second, r#""y""#);
    // Of several keys it passes over those that have another type by now.
    let mut waiter = stage.waiter("BLPOP a b 0");
    stage.does("SET a v", "+OK");
    stage.does("RPUSH b x", ":1");
    stage.served(&mut waiter, r#"*["b", "x"]"#);
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn nowhere_to_put_it(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLMOVE k to LEFT LEFT 0");
    let mut next = stage.waiter("BLPOP k 0");
    stage.does("SET to v", "+OK");
    stage.settle();
    stage.does("RPUSH k x", ":1");
    stage.served(&mut waiter, WRONG_TYPE);
    stage.served(&mut next, r#"*["k", "x"]"#);
    let mut waiter = stage.waiter("BRPOPLPUSH k to 0");
    stage.does("RPUSH k x", ":1");
    stage.served(&mut waiter, WRONG_TYPE);
    stage.does("LRANGE k 0 -1", r#"*["x"]"#);
}

fn timeouts(stage: &mut Stage<'_>) {
    let lines =
        ["BLPOP k l 0.02", "BRPOP k 0.02", "BLMPOP 0.02 1 k LEFT", "BLMOVE k l LEFT LEFT 0.02"];
    let mut conns: Vec<_> = lines.iter().map(|_| stage.client()).collect();
    for (resp, nil) in [(2, "*-1"), (3, "_")] {
        for (conn, line) in conns.iter_mut().zip(lines) {
            conn.command(&format!("HELLO {resp}"));
            expect(conn, line, nil);
        }
    }
    // Who waits for ever does not lose its place to who gives up.
    let mut hasty = stage.client();
    hasty.send(&["BLPOP", "k", "0.05"]);
    let mut patient = stage.client();
    patient.send(&["BLPOP", "k", "0"]);
    heard(&mut hasty, "*-1");
    stage.came(1);
    stage.does("RPUSH k x", ":1");
    stage.served(&mut patient, r#"*["k", "x"]"#);
    // Items that come later find nobody.
    stage.does("RPUSH k y", ":1");
    stage.does("LLEN k", ":1");
    // A wait counts from its own beginning.
    for _ in 0..3 {
        expect(&mut hasty, "BLPOP l 0.01", "*-1");
    }
    stage.block(&mut hasty, "BLPOP l 1000");
    stage.does("RPUSH l x", ":1");
    stage.served(&mut hasty, r#"*["l", "x"]"#);
}

fn expiry(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("SET k v PX 1", "+OK");
    while stage.ask("EXISTS k").int() == 1 {}
    stage.settle();
    stage.does("RPUSH k x", ":1");
    stage.served(&mut waiter, r#"*["k", "x"]"#);
    // A target that expires while it is in the way.
    let mut mover = stage.waiter("BLMOVE k to LEFT LEFT 0");
    stage.does("SET to v PX 1", "+OK");
    while stage.ask("EXISTS to").int() == 1 {}
    stage.does("RPUSH k y", ":1");
    stage.served(&mut mover, r#""y""#);
    stage.does("LRANGE to 0 -1", r#"*["y"]"#);
    // An expiry goes with the last item of its list.
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("MULTI", "+OK");
    stage.does("RPUSH k a", "+QUEUED");
    stage.does("PEXPIRE k 100000", "+QUEUED");
    stage.does("EXEC", "*[:1, :1]");
    stage.served(&mut waiter, r#"*["k", "a"]"#);
    stage.does("RPUSH k b", ":1");
    stage.does("PTTL k", ":-1");
}

fn flushes(stage: &mut Stage<'_>) {
    let mut first = stage.waiter("BLPOP k 0");
    let mut second = stage.waiter("BLPOP k 0");
    for line in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "FLUSHALL"] {
        stage.does(line, "+OK");
        stage.settle();
    }
    stage.does("RPUSH k a", ":1");
    stage.served(&mut first, r#"*["k", "a"]"#);
    stage.does("FLUSHDB", "+OK");
    stage.does("RPUSH k b", ":1");
    stage.served(&mut second, r#"*["k", "b"]"#);
}
