//! Who is served, with what, in which order.

use super::Scenario;
use super::common::{Conn, encode, words};
use super::stage::{Stage, expect, heard};

pub const SCENARIOS: &[Scenario] = &[
    ("the longest waiting first", longest_first),
    ("several keys", several_keys),
    ("several items at once", several_items),
    ("several ends", several_ends),
    ("more than one item each", more_than_one_each),
    ("newcomers do not overtake", newcomers),
    ("chains", chains),
    ("circles", circles),
    ("transactions push once they are executed", transactions),
    ("several keys filled by one transaction", first_filled),
    ("many wait for one key", many),
];

fn longest_first(stage: &mut Stage<'_>) {
    let mut waiters =
        ["BLPOP k 0", "BRPOP k 0", "BLMPOP 0 1 k LEFT"].map(|line| stage.waiter(line));
    stage.does("RPUSH k a b", ":2");
    stage.served(&mut waiters[0], r#"*["k", "a"]"#);
    stage.served(&mut waiters[1], r#"*["k", "b"]"#);
    stage.settle();
    stage.does("EXISTS k", ":0");
    let mut last = stage.waiter("BLPOP k 0");
    stage.does("RPUSH k c", ":1");
    stage.served(&mut waiters[2], r#"*["k", *["c"]]"#);
    stage.does("RPUSH k d", ":1");
    stage.served(&mut last, r#"*["k", "d"]"#);
    stage.does("RPUSH k e", ":1");
    stage.does("LRANGE k 0 -1", r#"*["e"]"#);
}

fn several_keys(stage: &mut Stage<'_>) {
    let mut waiters = ["BLPOP a b 0", "BLPOP b 0", "BLPOP a 0"].map(|line| stage.waiter(line));
    stage.does("RPUSH b 1", ":1");
    stage.served(&mut waiters[0], r#"*["b", "1"]"#);
    stage.settle();
    stage.does("RPUSH b 2", ":1");
    stage.served(&mut waiters[1], r#"*["b", "2"]"#);
    stage.settle();
    stage.does("RPUSH b 3", ":1");
    stage.does("RPUSH a 4", ":1");
    stage.served(&mut waiters[2], r#"*["a", "4"]"#);
    stage.does("LRANGE b 0 -1", r#"*["3"]"#);
    // One that names a key twice waits once.
    stage.does("DEL b", ":1");
    let mut twice = stage.waiter("BLPOP b a b 0");
    stage.does("RPUSH b 5 6", ":2");
    stage.served(&mut twice, r#"*["b", "5"]"#);
    stage.does("LRANGE b 0 -1", r#"*["6"]"#);
}

fn several_items(stage: &mut Stage<'_>) {
    let mut waiters: Vec<Conn> = (0..5).map(|_| stage.waiter("BLPOP k 0")).collect();
    stage.does("RPUSH k 0 1 2 3 4 5 6", ":7");
    for (at, waiter) in waiters.iter_mut().enumerate() {
        stage.served(waiter, &format!(r#"*["k", "{at}"]"#));
    }
    stage.does("LRANGE k 0 -1", r#"*["5", "6"]"#);
}

fn several_ends(stage: &mut Stage<'_>) {
    for (wait, push, reply, rest) in [
        ("BLPOP k 0", "LPUSH k a b c", r#"*["k", "c"]"#, r#"*["b", "a"]"#),
        ("BRPOP k 0", "LPUSH k a b c", r#"*["k", "a"]"#, r#"*["c", "b"]"#),
        ("BLMPOP 0 2 j k RIGHT COUNT 2", "RPUSH k a b c", r#"*["k", *["c", "b"]]"#, r#"*["a"]"#),
        ("BLMOVE k to LEFT LEFT 0", "RPUSH k a b c", r#""a""#, r#"*["b", "c"]"#),
        ("BRPOPLPUSH k to 0", "RPUSH k a b c", r#""c""#, r#"*["a", "b"]"#),
    ] {
        let mut waiter = stage.waiter(wait);
        stage.does(push, ":3");
        stage.served(&mut waiter, reply);
        stage.does("LRANGE k 0 -1", rest);
        stage.does("DEL k", ":1");
    }
    stage.does("LRANGE to 0 -1", r#"*["c", "a"]"#);
}

fn more_than_one_each(stage: &mut Stage<'_>) {
    let lines = ["BLMPOP 0 1 k LEFT COUNT 2", "BLMPOP 0 1 k RIGHT COUNT 9", "BLPOP k 0"];
    let mut waiters = lines.map(|line| stage.waiter(line));
    stage.does("RPUSH k a b c d", ":4");
    stage.served(&mut waiters[0], r#"*["k", *["a", "b"]]"#);
    stage.served(&mut waiters[1], r#"*["k", *["d", "c"]]"#);
    stage.settle();
    stage.does("RPUSH k e", ":1");
    stage.served(&mut waiters[2], r#"*["k", "e"]"#);
}

/// One has been waiting when several come at the same time as an item.
fn newcomers(stage: &mut Stage<'_>) {
    let mut pusher = stage.client();
    for round in 0..20 {
        let mut first = stage.waiter("BLPOP k 0");
        let mut others: Vec<Conn> = (0..6).map(|_| stage.client()).collect();
        for (at, other) in others.iter_mut().enumerate() {
            if at == 3 {
                pusher.send(&words(&format!("RPUSH k {round}")));
            }
            other.send(&words("BLPOP k 0"));
        }
        stage.served(&mut first, &format!(r#"*["k", "{round}"]"#));
        assert_eq!(pusher.read_reply().int(), 1);
        stage.came(others.len());
        stage.does("RPUSH k 0 1 2 3 4 5", ":6");
        let replies: Vec<_> = others.iter_mut().map(Conn::read_reply).collect();
        assert!(replies.iter().all(|reply| reply.items().len() == 2), "{replies:?}");
        stage.left(others.len());
    }
}

fn chains(stage: &mut Stage<'_>) {
    let mut last = stage.waiter("BLPOP k9 0");
    let links = (0..9).rev().map(|at| format!("BLMOVE k{at} k{} LEFT RIGHT 0", at + 1));
    let mut waiters: Vec<Conn> = links.map(|line| stage.waiter(&line)).collect();
    stage.does("RPUSH k0 x", ":1");
    for waiter in &mut waiters {
        stage.served(waiter, r#""x""#);
    }
    stage.served(&mut last, r#"*["k9", "x"]"#);
    stage.does("DBSIZE", ":0");
    // Who waits in the middle of one comes after who waited there longer.
    let mut first = stage.waiter("BLPOP b 0");
    let mut second = stage.waiter("BLPOP b 0");
    let mut link = stage.waiter("BRPOPLPUSH a b 0");
    stage.does("RPUSH a x", ":1");
    stage.served(&mut link, r#""x""#);
    stage.served(&mut first, r#"*["b", "x"]"#);
    stage.does("RPUSH b y", ":1");
    stage.served(&mut second, r#"*["b", "y"]"#);
}

fn circles(stage: &mut Stage<'_>) {
    let mut there = stage.waiter("BLMOVE a b LEFT RIGHT 0");
    let mut back = stage.waiter("BLMOVE b a LEFT RIGHT 0");
    stage.does("RPUSH a x", ":1");
    stage.served(&mut there, r#""x""#);
    stage.served(&mut back, r#""x""#);
    stage.does("LRANGE a 0 -1", r#"*["x"]"#);
    stage.does("EXISTS b", ":0");
    let mut rotators = [(); 3].map(|()| stage.waiter("BLMOVE k k LEFT RIGHT 0"));
    stage.does("RPUSH k 1 2", ":2");
    for (rotator, item) in rotators.iter_mut().zip([r#""1""#, r#""2""#, r#""1""#]) {
        stage.served(rotator, item);
    }
    stage.does("LRANGE k 0 -1", r#"*["2", "1"]"#);
}

fn transactions(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("MULTI", "+OK");
    for line in ["LPUSH k a", "LPUSH k b", "RPUSH k c", "LPOP k", "LRANGE k 0 -1"] {
        stage.does(line, "+QUEUED");
    }
    stage.does("EXEC", r#"*[:1, :2, :3, "b", *["a", "c"]]"#);
    stage.served(&mut waiter, r#"*["k", "a"]"#);
    stage.does("LRANGE k 0 -1", r#"*["c"]"#);
    stage.does("DEL k", ":1");
    for undo in ["DEL k", "RPOP k", "PEXPIRE k -1", "RENAME k l", "SET k v", "FLUSHALL"] {
        let mut waiter = stage.waiter("BLPOP k 0");
        stage.does("MULTI", "+OK");
        stage.does("LPUSH k a", "+QUEUED");
        stage.does(undo, "+QUEUED");
        assert_eq!(stage.ask("EXEC").items().len(), 2);
        stage.settle();
        stage.ask("DEL k");
        stage.does("LPUSH k later", ":1");
        stage.served(&mut waiter, r#"*["k", "later"]"#);
    }
    // Inside a transaction it takes what is there, after those who have been waiting.
    let mut waiter = stage.waiter("BLPOP k 0");
    stage.does("MULTI", "+OK");
    for line in ["RPUSH k a", "BLPOP k 0", "BLPOP k 0", "RPUSH k b"] {
        stage.does(line, "+QUEUED");
    }
    stage.does("EXEC", r#"*[:1, *["k", "a"], *-1, :1]"#);
    stage.served(&mut waiter, r#"*["k", "b"]"#);
}

fn first_filled(stage: &mut Stage<'_>) {
    let mut waiter = stage.waiter("BLPOP a b 0");
    stage.does("MULTI", "+OK");
    stage.does("RPUSH b 1", "+QUEUED");
    stage.does("RPUSH a 2", "+QUEUED");
    stage.does("EXEC", "*[:1, :1]");
    if stage.server.subject.is_ringstone() {
        // It looks at its keys in its own order.
        stage.served(&mut waiter, r#"*["a", "2"]"#);
        stage.does("LRANGE b 0 -1", r#"*["1"]"#);
    } else {
        stage.served(&mut waiter, r#"*["b", "1"]"#);
        stage.does("LRANGE a 0 -1", r#"*["2"]"#);
    }
}

fn many(stage: &mut Stage<'_>) {
    let count = 500;
    let mut waiters: Vec<Conn> = (0..count).map(|_| stage.client()).collect();
    // The first and the last know their places.
    stage.block(&mut waiters[0], "BLPOP k 0");
    for waiter in &mut waiters[1..count - 1] {
        waiter.send(&words("BLPOP k 0"));
    }
    stage.came(count - 2);
    stage.block(&mut waiters[count - 1], "BLPOP k 0");
    let mut pusher = stage.client();
    let pushes = (0..count).flat_map(|at| encode(&words(&format!("RPUSH k {at}"))));
    pusher.send_raw(&pushes.collect::<Vec<u8>>());
    heard(&mut waiters[0], r#"*["k", "0"]"#);
    heard(&mut waiters[count - 1], &format!(r#"*["k", "{}"]"#, count - 1));
    let mut items: Vec<i64> = waiters[1..count - 1].iter_mut().map(item).collect();
    items.sort_unstable();
    assert_eq!(items, (1..count as i64 - 1).collect::<Vec<_>>());
    let lengths: Vec<i64> = (0..count).map(|_| pusher.read_reply().int()).collect();
    // With ringstone those that are pushed together are taken together.
    assert!(stage.server.subject.is_ringstone() || lengths.iter().all(|length| *length == 1));
    stage.left(count);
    expect(&mut pusher, "EXISTS k", ":0");
}

/// The item of the next reply, of `BLPOP`.
fn item(conn: &mut Conn) -> i64 {
    let reply = conn.read_reply();
    String::from_utf8_lossy(reply.items()[1].bulk().unwrap()).parse().unwrap()
}
