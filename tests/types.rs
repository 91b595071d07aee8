//! Property: a dump of any value becomes the same value on every other store, and commands for one type
//! refuse, as Redis does, keys of every other one and change nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Conn, Options, Reply, Server, Subject, fdb, text, words};

/// Commands that make a value of each type, each at the key that is the type's name, and how the
/// value is read.
const VALUES: &[(&str, &str, &str)] = &[
    ("string", "SET string value", "GET string"),
    ("list", "RPUSH list a b c", "LRANGE list 0 -1"),
    ("set", "SADD set a b c", "SMEMBERS set"),
    ("zset", "ZADD zset 1 a 2 b", "ZRANGE zset 0 -1 WITHSCORES"),
    ("hash", "HSET hash f v", "HGETALL hash"),
];

/// Commands for one type, `@` being where that is wanted. Those of sorted sets that also take sets have
/// a row of their own.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["string"],
        "GET @; GETSET @ v; GETDEL @; GETEX @; SET @ v GET; APPEND @ v; STRLEN @; \
         GETRANGE @ 0 1; SUBSTR @ 0 1; SETRANGE @ 1 v; INCR @; DECR @; INCRBY @ 1; \
         DECRBY @ 1; INCRBYFLOAT @ 1; SETBIT @ 1 1; GETBIT @ 1; BITCOUNT @; BITPOS @ 1; \
         BITOP NOT free @; BITOP AND free string @; BITFIELD @ GET u8 0; \
         BITFIELD @ SET u8 0 1; BITFIELD_RO @ GET u8 0",
    ),
    (
        &["list"],
        "LPUSH @ v; RPUSH @ v; LPUSHX @ v; RPUSHX @ v; LPOP @; RPOP @; LPOP @ 1; \
         LLEN @; LRANGE @ 0 -1; LINDEX @ 0; LSET @ 0 v; LINSERT @ BEFORE a v; LREM @ 0 a; \
         LTRIM @ 0 1; LPOS @ a; LMOVE @ free LEFT LEFT; LMOVE list @ LEFT LEFT; \
         RPOPLPUSH @ free; RPOPLPUSH list @; LMPOP 1 @ LEFT; LMPOP 2 free @ LEFT; \
         BLPOP @ 0; BLPOP free @ 0; BRPOP @ 0; BLMOVE @ free LEFT LEFT 0; \
         BLMOVE list @ LEFT LEFT 0; BRPOPLPUSH @ free 0; BLMPOP 0 1 @ LEFT",
    ),
    (
        &["set"],
        "SADD @ v; SREM @ v; SMEMBERS @; SISMEMBER @ v; SMISMEMBER @ v; SCARD @; \
         SMOVE @ free v; SMOVE set @ a; SSCAN @ 0; SPOP @; SPOP @ 1; SRANDMEMBER @; \
         SRANDMEMBER @ 1; SUNION @; SUNION set @; SINTER @; SINTER free @; SDIFF @; \
         SDIFF set @; SUNIONSTORE free @; SINTERSTORE free set @; SDIFFSTORE free @; \
         SINTERCARD 1 @; SINTERCARD 2 free @",
    ),
    (
        &["zset"],
        "ZADD @ 1 v; ZADD @ INCR 1 v; ZREM @ v; ZSCORE @ v; ZMSCORE @ v; ZINCRBY @ 1 v; \
         ZCARD @; ZCOUNT @ 0 1; ZLEXCOUNT @ - +; ZRANGE @ 0 1; ZRANGE @ 0 1 BYSCORE; \
         ZRANGE @ - + BYLEX; ZRANGESTORE free @ 0 1; ZRANGEBYSCORE @ 0 1; \
         ZREVRANGEBYSCORE @ 1 0; ZRANGEBYLEX @ - +; ZREVRANGEBYLEX @ + -; ZREVRANGE @ 0 1; \
         ZREMRANGEBYRANK @ 0 1; ZREMRANGEBYSCORE @ 0 1; ZREMRANGEBYLEX @ - +; ZRANK @ v; \
         ZREVRANK @ v; ZPOPMIN @; ZPOPMAX @; ZMPOP 1 @ MIN; BZPOPMIN @ 0; BZPOPMAX @ 0; \
         BZMPOP 0 1 @ MIN; ZRANDMEMBER @; ZRANDMEMBER @ 1; ZSCAN @ 0",
    ),
    (
        &["zset", "set"],
        "ZUNION 1 @; ZINTER 1 @; ZDIFF 1 @; ZUNIONSTORE free 1 @; ZINTERSTORE free 2 zset @; \
         ZDIFFSTORE free 1 @; ZINTERCARD 1 @",
    ),
    (
        &["hash"],
        "HSET @ f v; HSETNX @ f v; HMSET @ f v; HGET @ f; HMGET @ f; HGETALL @; HKEYS @; \
         HVALS @; HLEN @; HSTRLEN @ f; HEXISTS @ f; HDEL @ f; HINCRBY @ f 1; \
         HINCRBYFLOAT @ f 1; HSCAN @ 0; HRANDFIELD @; HRANDFIELD @ 1",
    ),
    (&["list", "set", "zset"], "SORT @; SORT_RO @; SORT @ BY nosort STORE free"),
];

fn refuses_wrong_types(subject: Subject) {
    let server = Server::start(subject);
    let mut conn = server.connect();
    for (_, make, _) in VALUES {
        conn.call(&words(make));
    }
    let before = contents(&mut conn);
    for (types, commands) in COMMANDS {
        for command in commands.split(';') {
            for (other, ..) in VALUES.iter().filter(|(name, ..)| !types.contains(name)) {
                let command = command.replace("@", other);
                let reply = text::render(&conn.call(&words(&command)), text::Now::NEVER);
                assert!(reply.starts_with("-WRONGTYPE Operation against"), "{command}: {reply}");
            }
        }
    }
    assert_eq!(contents(&mut conn), before);
    assert_eq!(conn.call(&words("DBSIZE")), Reply::Int(VALUES.len() as i64));
}

fn contents(conn: &mut Conn) -> Vec<Reply> {
    VALUES.iter().map(|(.., read)| conn.call(&words(read)).sorted()).collect()
}

#[test]
fn redis_refuses_wrong_types() {
    refuses_wrong_types(Subject::Redis);
}

#[test]
fn memory_refuses_wrong_types() {
    refuses_wrong_types(Subject::Memory);
}

#[test]
fn fault_injection_refuses_wrong_types() {
    refuses_wrong_types(Subject::Faulty);
}

#[test]
fn foundationdb_refuses_wrong_types() {
    if fdb::is_here() {
        refuses_wrong_types(Subject::FoundationDb);
    }
}

/// Commands that make the values that are dumped, each at a key of its own.
const DUMPED: &str = "SET short value; SET number 12; RPUSH list c a b a; \
    SADD set a b 3; ZADD zset 1.5 a -inf b inf c -0.0 d; HSET hash f v g 12";

fn fill(conn: &mut Conn) -> Vec<Vec<u8>> {
    for command in DUMPED.split(';') {
        conn.call(&words(command));
    }
    let name = |number: u32| format!("name{number}").into_bytes();
    let huge = vec![b'x'; 300_000];
    conn.call(&[&b"SET"[..], b"huge", &huge]);
    conn.call(&[&b"SET"[..], b"empty", b""]);
    conn.call(&[&b"HSET"[..], b"values", b"huge", &huge, b"none", b""]);
    conn.call(&[&b"RPUSH"[..], b"items", &huge, b"", &huge[1..]]);
    for (command, key) in [("RPUSH", "long"), ("SADD", "many"), ("HSET", "wide"), ("ZADD", "high")]
    {
        let mut args = vec![command.as_bytes().to_vec(), key.as_bytes().to_vec()];
        for number in 0..2000 {
            match command {
                "HSET" => args.extend([name(number), name(number + 1)]),
                "ZADD" => args.extend([number.to_string().into_bytes(), name(number)]),
                _ => args.push(name(number)),
            }
        }
        conn.call(&args);
    }
    let keys = conn.call(&words("KEYS *"));
    keys.items().iter().map(|key| key.bulk().unwrap().to_vec()).collect()
}

/// What is at a key, in a form that does not depend on an order that means nothing.
fn read(conn: &mut Conn, key: &[u8]) -> Reply {
    let kind = text::render(&conn.call(&[&b"TYPE"[..], key]), text::Now::NEVER);
    let args: &[&[u8]] = match kind.as_str() {
        "+string" => &[&b"GET"[..], key],
        "+list" => &[b"LRANGE", key, b"0", b"-1"],
        "+set" => &[b"SMEMBERS", key],
        "+zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        "+hash" => &[b"HGETALL", key],
        other => panic!("{other} at {}", key.escape_ascii()),
    };
    conn.call(args)
}

/// Dumps everything from one store and restores it in another, next to itself and over other values.
fn dumps_travel(from: Subject, to: Subject) {
    let (source, target) = (Server::start(from), Server::start(to));
    let (mut source, mut target) = (source.connect(), target.connect());
    for key in fill(&mut source) {
        let shown = key.escape_ascii();
        let dumped = source.call(&[&b"DUMP"[..], &key]);
        let payload = dumped.bulk().unwrap();
        let restore = |conn: &mut Conn, ttl: &[u8], options: &[&[u8]]| {
            let args = [&[&b"RESTORE"[..], &key, ttl, payload][..], options].concat();
            text::render(&conn.call(&args), text::Now::NEVER)
        };
        assert_eq!(restore(&mut target, b"0", &[]), "+OK", "{shown}");
        assert_eq!(read(&mut target, &key), read(&mut source, &key), "{shown}");
        assert_eq!(target.call(&[&b"DUMP"[..], &key]), dumped, "{shown}");
        assert_eq!(target.call(&[&b"TTL"[..], &key]), Reply::Int(-1));
        let busy = "-BUSYKEY Target key name already exists.";
        assert_eq!(restore(&mut target, b"0", &[]), busy, "{shown}");
        assert_eq!(restore(&mut target, b"x", &[]), busy, "{shown}");
        assert_eq!(restore(&mut target, b"100000", &[b"REPLACE", b"FREQ", b"7"]), "+OK");
        let Reply::Int(left) = target.call(&[&b"PTTL"[..], &key]) else { panic!("{shown}") };
        assert!((1..=100_000).contains(&left), "{shown}: {left}");
        assert_eq!(restore(&mut target, b"99999999999999", &[b"replace", b"absttl"]), "+OK");
        let expiry = target.call(&[&b"PEXPIRETIME"[..], &key]);
        assert_eq!(expiry, Reply::Int(99_999_999_999_999));
        // What has expired is not restored, and what it replaces is gone.
        assert_eq!(restore(&mut target, b"1", &[b"ABSTTL", b"REPLACE"]), "+OK");
        assert_eq!(target.call(&[&b"EXISTS"[..], &key]), Reply::Int(0), "{shown}");
        assert_eq!(restore(&mut target, b"1", &[b"ABSTTL"]), "+OK");
        target.call(&words("DEL other"));
        target.call(&words("RPUSH other a b c"));
        let over = target.call(&[&b"RESTORE"[..], b"other", b"0", payload, b"REPLACE"]);
        assert_eq!(text::render(&over, text::Now::NEVER), "+OK");
        assert_eq!(read(&mut target, b"other"), read(&mut source, &key), "{shown}");
    }
    assert_eq!(target.call(&words("DBSIZE")), Reply::Int(1));
}

#[test]
fn dumps_travel_from_memory_to_embedded() {
    dumps_travel(Subject::Memory, Subject::Embedded);
}

#[test]
fn dumps_travel_from_embedded_to_fault_injection() {
    dumps_travel(Subject::Embedded, Subject::Faulty);
}

#[test]
fn dumps_travel_from_memory_to_foundationdb() {
    if fdb::is_here() {
        dumps_travel(Subject::Memory, Subject::FoundationDb);
    }
}

#[test]
fn dumps_travel_from_foundationdb_to_embedded() {
    if fdb::is_here() {
        dumps_travel(Subject::FoundationDb, Subject::Embedded);
    }
}

/// A list or sorted set that comes about otherwise than by a push wakes those who wait for one, too.
fn values_wake_clients(subject: Subject) {
    let server = Server::start(subject);
    let (mut conn, mut waiting) = (server.connect(), server.connect());
    conn.call(&words("RPUSH list b a"));
    conn.call(&words("ZADD zset 1 a"));
    let dump =
        |conn: &mut Conn, key: &[u8]| conn.call(&[&b"DUMP"[..], key]).bulk().unwrap().to_vec();
    let (list, zset) = (dump(&mut conn, b"list"), dump(&mut conn, b"zset"));
    let restored =
        |payload: &[u8]| vec![b"RESTORE".to_vec(), b"k".to_vec(), b"0".to_vec(), payload.to_vec()];
    let makers = [
        ("BLPOP k 0", restored(&list), "*[\"k\", \"b\"]"),
        ("BZPOPMIN k 0", restored(&zset), "*[\"k\", \"a\", \"1\"]"),
        ("BLPOP k 0", words("SORT list ALPHA STORE k"), "*[\"k\", \"a\"]"),
        ("BLPOP k 0", words("COPY list k"), "*[\"k\", \"b\"]"),
        ("BZPOPMIN k 0", words("RENAME zset k"), "*[\"k\", \"a\", \"1\"]"),
    ];
    for (wait, make, taken) in makers {
        waiting.send(&words(wait));
        while !blocked(&mut conn) {
            std::thread::yield_now();
        }
        assert!(!conn.call(&make).is_error(), "{wait}");
        assert_eq!(text::render(&waiting.read_reply(), text::Now::NEVER), taken);
        conn.call(&words("DEL k"));
    }
}

/// Whether a client waits.
fn blocked(conn: &mut Conn) -> bool {
    let info = conn.call(&words("INFO clients"));
    String::from_utf8_lossy(info.bulk().unwrap()).contains("blocked_clients:1\r\n")
}

#[test]
fn memory_wakes_clients_for_every_value() {
    values_wake_clients(Subject::Memory);
}

#[test]
fn foundationdb_wakes_clients_for_every_value() {
    if fdb::is_here() {
        values_wake_clients(Subject::FoundationDb);
    }
}

/// Redis's own payloads are not understood, and said not to be.
#[test]
fn payloads_of_redis_are_refused() {
    let (redis, server) = (Server::start(Subject::Redis), Server::start(Subject::Memory));
    let (mut redis, mut conn) = (redis.connect(), server.connect());
    for key in fill(&mut redis) {
        let dumped = redis.call(&[&b"DUMP"[..], &key]);
        let reply = conn.call(&[&b"RESTORE"[..], &key, b"0", dumped.bulk().unwrap()]);
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        assert_eq!(text::render(&reply, text::Now::NEVER), wrong);
    }
}

/// Collections that no transaction can hold are not copied, and stay as they are.
#[test]
fn what_is_too_large_to_be_copied_is_refused() {
    for subject in [Subject::Memory, Subject::Faulty] {
        let server = Server::start_with(subject, &Options::default());
        let mut conn = server.connect();
        for batch in 0..10 {
            let member = |number: u32| format!("{number:020}").into_bytes();
            let members = (batch * 10_000..(batch + 1) * 10_000).map(member);
            let args = [b"SADD".to_vec(), b"set".to_vec()].into_iter().chain(members);
            assert!(!conn.call(&args.collect::<Vec<_>>()).is_error());
        }
        for command in ["COPY set other", "COPY set set DB 1", "MOVE set 1", "DUMP set"] {
            let reply = text::render(&conn.call(&words(command)), text::Now::NEVER);
            let refused =
                "-ERR transaction is larger than 10000000 bytes; split it into smaller ones";
            match command {
                "DUMP set" => assert!(reply.starts_with('$'), "{reply}"),
                _ => assert_eq!(reply, refused, "{command}"),
            }
        }
        assert!(!conn.call(&words("RENAME set other")).is_error());
        assert_eq!(conn.call(&words("SCARD other")), Reply::Int(100_000));
    }
}
