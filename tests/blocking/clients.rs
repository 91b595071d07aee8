//! What clients that wait may do, and what others may do to them.

use super::Scenario;
use super::common::{encode, words};
use super::stage::{Stage, expect, heard};

pub const SCENARIOS: &[Scenario] = &[
    ("CLIENT UNBLOCK", unblock),
    ("CLIENT UNBLOCK of the next wait", unblock_again),
    ("CLIENT KILL", kill),
    ("CLIENT LIST", list),
    ("clients that go take nothing with them", gone),
    ("pipelines", pipelines),
    ("two waits in a pipeline", two_waits),
    ("CLIENT PAUSE", pause),
    ("CLIENT REPLY", reply_modes),
    ("watched keys", watches),
];

fn unblock(stage: &mut Stage<'_>) {
    let mut other = stage.waiter("BLPOP k 0");
    for (line, reply) in [
        ("BLPOP k 0", "*-1"),
        ("BLMPOP 0 1 k LEFT", "*-1"),
        ("BLMOVE k l LEFT LEFT 0", "*-1"),
        ("BRPOPLPUSH k l 1000", "*-1"),
    ] {
        let mut conn = stage.client();
        let id = stage.id(&mut conn);
        stage.block(&mut conn, line);
        stage.does(&format!("CLIENT UNBLOCK {id}"), ":1");
        stage.served(&mut conn, reply);
        stage.settle();
        stage.does(&format!("CLIENT UNBLOCK {id}"), ":0");
        stage.block(&mut conn, line);
        stage.does(&format!("CLIENT UNBLOCK {id} TIMEOUT"), ":1");
        stage.served(&mut conn, reply);
        stage.block(&mut conn, line);
        stage.does(&format!("CLIENT UNBLOCK {id} ERROR"), ":1");
        stage.served(&mut conn, "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
        expect(&mut conn, "PING", "+PONG");
    }
    stage.does("RPUSH k x", ":1");
    stage.served(&mut other, r#"*["k", "x"]"#);
    stage.settle();
}

/// It ends the wait that was seen, and no other.
fn unblock_again(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    let id = stage.id(&mut conn);
    let mut control = stage.client();
    for round in 0..30 {
        stage.block(&mut conn, "BLPOP k 0");
        // Both at once: it ends in one way or the other.
        let both = [words(&format!("RPUSH k {round}")), words(&format!("CLIENT UNBLOCK {id}"))];
        control.send_raw(&both.iter().flat_map(|args| encode(args)).collect::<Vec<u8>>());
        stage.served(&mut conn, &format!(r#"*["k", "{round}"]"#));
        stage.block(&mut conn, "BLPOP k 1000");
        heard(&mut control, ":1");
        control.read_reply();
        stage.settle();
        stage.does("RPUSH k again", ":1");
        stage.served(&mut conn, r#"*["k", "again"]"#);
        stage.block(&mut conn, "BLPOP k 0");
        stage.does(&format!("CLIENT UNBLOCK {id} ERROR"), ":1");
        stage.served(&mut conn, "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
        expect(&mut conn, "BLPOP k 0.001", "*-1");
    }
}

fn kill(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    let id = stage.id(&mut conn);
    stage.block(&mut conn, "BLPOP k 0");
    let mut next = stage.waiter("BLPOP k 0");
    stage.does(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(conn.read_to_close().unwrap(), b"");
    stage.left(1);
    stage.does("RPUSH k a b", ":2");
    stage.served(&mut next, r#"*["k", "a"]"#);
    stage.does("LRANGE k 0 -1", r#"*["b"]"#);
}

fn list(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    let id = stage.id(&mut conn);
    let line = |stage: &mut Stage<'_>| {
        let reply = stage.ask(&format!("CLIENT LIST ID {id}"));
        String::from_utf8_lossy(reply.bulk().unwrap()).into_owned()
    };
    for (command, name) in [
        ("BLPOP k 0", " cmd=blpop "),
        ("BLMPOP 0 1 k LEFT", " cmd=blmpop "),
        ("BRPOPLPUSH k l 0", " cmd=brpoplpush "),
    ] {
        stage.block(&mut conn, command);
        let seen = line(stage);
        assert!(seen.contains(" flags=b") && seen.contains(name), "{seen}");
        stage.ask("RPUSH k x");
        stage.served(&mut conn, &super::common::text::render(&served(command), NEVER));
        expect(&mut conn, "PING", "+PONG");
        let seen = line(stage);
        assert!(!seen.contains(" flags=b") && seen.contains(" cmd=ping "), "{seen}");
    }
}

const NEVER: super::common::text::Now = super::common::text::Now::NEVER;

/// What these commands answer when they get `x` from `k`.
fn served(command: &str) -> super::common::Reply {
    use super::common::Reply::{Array, Bulk};
    let (key, item) = (Bulk(b"k".to_vec()), Bulk(b"x".to_vec()));
    match command.split_once(' ').unwrap().0 {
        "BLPOP" => Array(vec![key, item]),
        "BLMPOP" => Array(vec![key, Array(vec![item])]),
        _ => item,
    }
}

fn gone(stage: &mut Stage<'_>) {
    let first = stage.waiter("BLPOP k 0");
    let mut second = stage.waiter("BLPOP k 0");
    let third = stage.waiter("BLMOVE k l LEFT LEFT 0");
    drop(first);
    stage.left(1);
    drop(third);
    stage.left(1);
    stage.does("RPUSH k a b", ":2");
    stage.served(&mut second, r#"*["k", "a"]"#);
    stage.does("LRANGE k 0 -1", r#"*["b"]"#);
    stage.does("EXISTS l", ":0");
    // What it sent behind is not executed.
    let mut last = stage.client();
    last.send_raw(b"BLPOP nosuch 0\r\nSET by the-gone\r\n");
    stage.came(1);
    drop(last);
    stage.left(1);
    stage.does("EXISTS by", ":0");
}

fn pipelines(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    conn.send_raw(b"SET a 1\r\nBLPOP k 0\r\nINCR a\r\nMULTI\r\nINCR a\r\nEXEC\r\nECHO x\r\n");
    heard(&mut conn, "+OK");
    stage.came(1);
    stage.does("GET a", r#""1""#);
    conn.send_raw(b"INCR a\r\n");
    stage.does("GET a", r#""1""#);
    stage.does("RPUSH k x", ":1");
    stage.served(&mut conn, r#"*["k", "x"]"#);
    for reply in [":2", "+OK", "+QUEUED", "*[:3]", r#""x""#, ":4"] {
        heard(&mut conn, reply);
    }
    // What comes behind is executed after a wait in vain too, and errors do not disturb it.
    conn.send_raw(b"INCR a\r\nBLPOP k 0.01\r\nNOSUCH\r\nBLPOP k x\r\nBLPOP a 0\r\nINCR a\r\n");
    heard(&mut conn, ":5");
    heard(&mut conn, "*-1");
    assert!((0..3).all(|_| conn.read_reply().is_error()));
    heard(&mut conn, ":6");
    // One that feeds itself.
    conn.send_raw(b"RPUSH k 1 2\r\nBLPOP k 0\r\nBRPOP k 0\r\nRPUSH k 3\r\nBLPOP k 0\r\n");
    for reply in [":2", r#"*["k", "1"]"#, r#"*["k", "2"]"#, ":1", r#"*["k", "3"]"#] {
        heard(&mut conn, reply);
    }
}

fn two_waits(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    conn.send_raw(b"BLPOP k 0\r\nBLPOP l 0\r\nBLPOP k l 0.01\r\nPING\r\n");
    stage.came(1);
    stage.does("RPUSH l x", ":1");
    stage.settle();
    stage.does("LLEN l", ":1");
    stage.does("RPUSH k y", ":1");
    heard(&mut conn, r#"*["k", "y"]"#);
    heard(&mut conn, r#"*["l", "x"]"#);
    heard(&mut conn, "*-1");
    heard(&mut conn, "+PONG");
    stage.left(1);
    conn.send_raw(&encode(&words("BLPOP k 0")).repeat(50));
    let mut next = 0;
    stage.came(1);
    for round in 0..10 {
        stage.does(
            &format!("RPUSH k {next} {} {} {} {}", next + 1, next + 2, next + 3, next + 4),
            ":5",
        );
        for _ in 0..5 {
            heard(&mut conn, &format!(r#"*["k", "{next}"]"#));
            next += 1;
        }
        match round {
            9 => stage.left(1),
            _ => stage.settle(),
        }
    }
}

fn pause(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("CLIENT PAUSE 100000000 WRITE", "+OK");
    // Held back, which counts as well.
    let mut pusher = stage.waiter("RPUSH k a b");
    let mut newcomer = stage.waiter("BLPOP k 0");
    stage.does("EXISTS k", ":0");
    stage.does("CLIENT UNPAUSE", "+OK");
    stage.served(&mut pusher, ":2");
    stage.served(&mut waiter, r#"*["k", "a"]"#);
    stage.served(&mut newcomer, r#"*["k", "b"]"#);
    stage.settle();
    // Who waits may go in a pause.
    let waiter = stage.waiter("BLPOP k 0");
    stage.does("CLIENT PAUSE 100000000 WRITE", "+OK");
    drop(waiter);
    stage.left(1);
    stage.does("CLIENT UNPAUSE", "+OK");
    stage.does("RPUSH k x", ":1");
    stage.does("LLEN k", ":1");
}

fn reply_modes(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    conn.send_raw(b"CLIENT REPLY OFF\r\nBLPOP k 0\r\nINCR a\r\n");
    stage.came(1);
    stage.does("RPUSH k x", ":1");
    stage.left(1);
    while stage.ask("EXISTS a").int() == 0 {}
    stage.does("EXISTS k", ":0");
    expect(&mut conn, "CLIENT REPLY ON", "+OK");
    conn.send_raw(b"CLIENT REPLY SKIP\r\nBLPOP k 0\r\n");
    stage.came(1);
    stage.does("RPUSH k y", ":1");
    stage.left(1);
    expect(&mut conn, "ECHO heard", r#""heard""#);
    stage.does("EXISTS k", ":0");
    conn.send_raw(b"CLIENT REPLY OFF\r\nBLPOP k 0.01\r\nCLIENT REPLY ON\r\n");
    heard(&mut conn, "+OK");
}

/// Being served is a change of the key, made after the push.
fn watches(stage: &mut Stage<'_>) {
    let mut conn = stage.client();
    expect(&mut conn, "WATCH k to", "+OK");
    let mut waiter = stage.waiter("BLMOVE k to LEFT LEFT 0");
    stage.does("RPUSH k x", ":1");
    stage.served(&mut waiter, r#""x""#);
    for (line, reply) in [("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*-1")] {
        expect(&mut conn, line, reply);
    }
    // Waiting is none.
    expect(&mut conn, "WATCH k", "+OK");
    let mut waiter = stage.waiter("BLPOP k 0");
    for (line, reply) in [("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*[+PONG]")] {
        expect(&mut conn, line, reply);
    }
    stage.does("RPUSH k y", ":1");
    stage.served(&mut waiter, r#"*["k", "y"]"#);
}
