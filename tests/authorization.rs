//! What each kind of token permits on a running server: every kind with commands of every class, keys
//! and databases, compared with what the kind says in plain Rust.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::time::Instant;

use biscuit_auth::Biscuit;
use common::tokens::{self, attenuate, mint, text};
use common::{Conn, Options, Reply, Server, Subject};

/// What a command asks for.
struct Ask {
    line: &'static str,
    /// As tokens know it.
    name: &'static str,
    class: &'static str,
    keys: &'static [&'static str],
}

const fn ask(
    line: &'static str,
    name: &'static str,
    class: &'static str,
    keys: &'static [&'static str],
) -> Ask {
    Ask { line, name, class, keys }
}

const ASKS: &[Ask] = &[
    ask("GET p:a", "get", "read", &["p:a"]),
    ask("get other", "get", "read", &["other"]),
    ask("MGET p:a p:b", "mget", "read", &["p:a", "p:b"]),
    ask("MGET p:a other", "mget", "read", &["p:a", "other"]),
    ask("SET p:a 1", "set", "write", &["p:a"]),
    ask("SET other 1", "set", "write", &["other"]),
    ask("MSET p:a 1 p:b 2", "mset", "write", &["p:a", "p:b"]),
    ask("MSET p:a 1 other 2", "mset", "write", &["p:a", "other"]),
    ask("RENAME p:a p:a", "rename", "write", &["p:a", "p:a"]),
    ask("COPY p:a other REPLACE", "copy", "write", &["p:a", "other"]),
    ask("HSET p:h f v", "hset", "write", &["p:h"]),
    ask("ZUNIONSTORE p:z 2 p:x other", "zunionstore", "write", &["p:z", "p:x", "other"]),
    ask("ZUNION 2 p:x p:y", "zunion", "read", &["p:x", "p:y"]),
    ask("LMPOP 2 p:l other LEFT", "lmpop", "write", &["p:l", "other"]),
    ask("BLPOP p:l 0.001", "blpop", "write", &["p:l"]),
    ask("SORT_RO p:l", "sort_ro", "read", &["p:l"]),
    ask("SORT p:l STORE other", "sort", "write", &["p:l", "other"]),
    ask("OBJECT ENCODING other", "object|encoding", "read", &["other"]),
    ask("WATCH other", "watch", "read", &["other"]),
    ask("JSON.SET p:j $ 1", "json.set", "write", &["p:j"]),
    ask("JSON.GET other", "json.get", "read", &["other"]),
    ask("KEYS *", "keys", "read", &[]),
    ask("SCAN 0", "scan", "read", &[]),
    ask("DBSIZE", "dbsize", "read", &[]),
    ask("RANDOMKEY", "randomkey", "read", &[]),
    ask("FLUSHDB", "flushdb", "write", &[]),
    ask("PING", "ping", "connection", &[]),
    ask("CLIENT ID", "client|id", "connection", &[]),
    ask("CLIENT LIST", "client|list", "connection", &[]),
    ask("COMMAND COUNT", "command|count", "connection", &[]),
    ask("INFO", "info", "connection", &[]),
    ask("CONFIG GET port", "config|get", "admin", &[]),
    ask("CLIENT UNPAUSE", "client|unpause", "admin", &[]),
    ask("TENANT LIST", "tenant|list", "admin", &[]),
];

/// A kind of token, and what it should permit in a database.
#[derive(Clone)]
struct Kind {
    name: &'static str,
    token: Biscuit,
    permits: Permits,
}

const READ_WRITE: &str = "right(\"read\"); right(\"write\");";
const ALL: &str = "right(\"read\"); right(\"write\"); right(\"admin\");";

fn is_connection(ask: &Ask) -> bool {
    ask.class == "connection"
}

fn has_data_rights(ask: &Ask) -> bool {
    ask.class != "admin"
}

type Permits = fn(&Ask, u8) -> bool;

/// What tokens are minted with.
fn minted() -> Vec<Kind> {
    let minted =
        |name, code: &str, permits: Permits| Kind { name, token: mint("acme", code), permits };
    vec![
        minted("without rights", "", |ask, _| is_connection(ask)),
        minted("reads", "right(\"read\");", |ask, _| is_connection(ask) || ask.class == "read"),
        minted("writes", "right(\"write\");", |ask, _| is_connection(ask) || ask.class == "write"),
        minted("reads and writes", READ_WRITE, |ask, _| has_data_rights(ask)),
        minted("operates", ALL, |_, _| true),
        minted("operates only", "right(\"admin\");", |ask, _| {
            is_connection(ask) || ask.class == "admin"
        }),
        Kind {
            name: "sealed",
            token: mint("acme", READ_WRITE).seal().unwrap(),
            permits: |ask, _| has_data_rights(ask),
        },
    ]
}

fn weaker(name: &'static str, code: &str, permits: Permits) -> Kind {
    Kind { name, token: attenuate(&mint("acme", READ_WRITE), code), permits }
}

/// What holders make of theirs, by class, key and command.
fn weakened_by_request() -> Vec<Kind> {
    vec![
        weaker("strictly reads", "check if class(\"read\");", |ask, _| ask.class == "read"),
        weaker("may read", "check if class(\"read\") or class(\"connection\");", |ask, _| {
            is_connection(ask) || ask.class == "read"
        }),
        weaker(
            "one prefix, strictly",
            "check all key($key), $key.starts_with(\"p:\");",
            |ask, _| !ask.keys.is_empty() && ask.keys.iter().all(|key| key.starts_with("p:")),
        ),
        weaker(
            "one prefix",
            "check all key($key), $key.starts_with(\"p:\") or class(\"connection\");",
            |ask, _| {
                is_connection(ask)
                    || has_data_rights(ask)
                        && !ask.keys.is_empty()
                        && ask.keys.iter().all(|key| key.starts_with("p:"))
            },
        ),
        weaker("any key of a prefix", "check if key($key), $key.starts_with(\"p:\");", |ask, _| {
            ask.keys.iter().any(|key| key.starts_with("p:"))
        }),
        weaker("not one key", "reject if key(\"other\");", |ask, _| {
            has_data_rights(ask) && !ask.keys.contains(&"other")
        }),
        weaker(
            "some commands",
            "check if command($name), [\"get\", \"mget\", \"client|list\"].contains($name);",
            |ask, _| ["get", "mget", "client|list"].contains(&ask.name),
        ),
        weaker("database 2", "check if database(2) or class(\"connection\");", |ask, database| {
            is_connection(ask) || has_data_rights(ask) && database == 2
        }),
    ]
}

/// What holders make of theirs, by circumstances, and what they claim in vain.
fn weakened_otherwise() -> Vec<Kind> {
    vec![
        weaker("not expired", "check if time($time), $time < 2120-01-01T00:00:00Z;", |ask, _| {
            has_data_rights(ask)
        }),
        weaker("from here", "check if client_address(\"127.0.0.1\");", |ask, _| {
            has_data_rights(ask)
        }),
        weaker(
            "from elsewhere",
            "check if client_address($from), $from.starts_with(\"10.\");",
            |_, _| false,
        ),
        weaker("encrypted", "check if tls(true);", |_, _| false),
        weaker("in the clear", "check if tls(false);", |ask, _| has_data_rights(ask)),
        weaker("of this tenant", "check if tenant(\"acme\");", |ask, _| has_data_rights(ask)),
        weaker("of another tenant", "check if tenant(\"other\");", |_, _| false),
        weaker("claims rights", ALL, |ask, _| has_data_rights(ask)),
        weaker("claims a tenant", "tenant(\"other\");", |ask, _| has_data_rights(ask)),
        weaker(
            "derives rights",
            "right($class) <- class($class); class(\"connection\"); database(2);",
            |ask, _| has_data_rights(ask),
        ),
        Kind {
            name: "weakened three times",
            token: [
                "class(\"read\") or class(\"connection\")",
                "database(2) or command(\"select\")",
            ]
            .iter()
            .fold(mint("acme", ALL), |token, check| {
                attenuate(&token, &format!("check if {check};"))
            }),
            permits: |ask, database| database == 2 && (is_connection(ask) || ask.class == "read"),
        },
    ]
}

fn start() -> Server {
    let options = Options { flags: tokens::FLAGS.to_vec(), ..Options::default() };
    Server::start_with(Subject::Memory, &options)
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(b"NOPERM "))
}

#[test]
fn every_kind_of_token_permits_what_it_says_and_no_more() {
    let server = start();
    for Kind { name, token, permits } in
        [minted(), weakened_by_request(), weakened_otherwise()].concat()
    {
        let mut conn = tokens::connect(&server, &text(&token));
        for database in [0, 2] {
            let selected = conn.command(&format!("SELECT {database}"));
            for asked in ASKS {
                // Where a token does not let it select, it stays where it began.
                let seen = if is_refused(&selected) { 0 } else { database };
                let reply = conn.command(asked.line);
                let expected = permits(asked, seen);
                let line = asked.line;
                assert_eq!(!is_refused(&reply), expected, "{name}, {seen}: {line}: {reply:?}");
                let queued = transaction(&mut conn, asked);
                assert_eq!(queued, expected && permits(&MULTI, seen), "{name}: {line} in MULTI");
            }
        }
    }
}

const MULTI: Ask = ask("MULTI", "multi", "connection", &[]);

/// Whether the command can be executed inside a transaction.
fn transaction(conn: &mut Conn, asked: &Ask) -> bool {
    if is_refused(&conn.command("MULTI")) {
        return false;
    }
    let queued = conn.command(asked.line);
    if asked.name == "watch" {
        // Redis does not know that command there, whoever asks.
        conn.command("DISCARD");
        return !is_refused(&queued);
    }
    let executed = conn.command("EXEC");
    assert_eq!(queued.is_error(), executed.is_error(), "{queued:?} {executed:?}");
    if executed.is_error() {
        // Without a right to EXEC the transaction is over as well.
        assert!(conn.command("DISCARD").is_error());
    }
    !queued.is_error()
}

#[test]
fn a_token_that_has_expired_is_not_accepted() {
    let server = start();
    let code = "check if time($time), $time < 2020-01-01T00:00:00Z;";
    let token = attenuate(&mint("acme", READ_WRITE), code);
    let reply = server.connect().call(&["AUTH", &text(&token)]);
    assert!(matches!(reply, Reply::Error(text) if text.starts_with(b"WRONGPASS ")));
}

#[test]
fn a_token_expires_on_open_connections_too() {
    let server = start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let code = format!("{READ_WRITE} check if time($time), $time < {};", tokens::date(now + 2));
    let token = text(&mint("acme", &code));
    let (mut waiting, mut asking) =
        (tokens::connect(&server, &token), tokens::connect(&server, &token));
    waiting.send(&["BLPOP", "never", "0"]);
    while !is_refused(&asking.command("GET a")) {}
    assert!(is_refused(&waiting.read_reply()), "a wait ends with the token");
    assert!(is_refused(&waiting.command("PING")));
    let fresh = tokens::plain("acme");
    assert!(!waiting.call(&["AUTH", &fresh]).is_error());
    assert!(!waiting.command("GET a").is_error());
}

#[test]
fn what_a_pause_held_back_is_refused_when_the_token_has_expired() {
    let server = start();
    let mut operator = tokens::connect(&server, &tokens::operator("acme"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let code = format!("{READ_WRITE} check if time($time), $time < {};", tokens::date(now + 3));
    let token = text(&mint("acme", &code));
    let (mut held, mut asking) =
        (tokens::connect(&server, &token), tokens::connect(&server, &token));
    assert!(!operator.command("CLIENT PAUSE 600000 WRITE").is_error());
    held.send(&["SET", "late", "1"]);
    let mut exec = tokens::connect(&server, &token);
    exec.send_raw(b"MULTI\r\nINCR late\r\nEXEC\r\n");
    // Who writes nothing may come, and a login is no write.
    let mut operator = tokens::connect(&server, &tokens::operator("acme"));
    while !is_refused(&asking.command("GET a")) {}
    assert!(!operator.command("CLIENT UNPAUSE").is_error());
    assert!(is_refused(&held.read_reply()));
    assert_eq!([exec.read_reply(), exec.read_reply()].map(|reply| reply.is_error()), [false; 2]);
    assert!(exec.read_reply().is_error());
    assert_eq!(operator.command("EXISTS late"), Reply::Int(0));
    // Both are counted alike: the one that was held back, and one that comes too late.
    assert!(exec.command("EXEC").is_error());
    let Reply::Bulk(info) = operator.command("INFO commandstats") else { panic!() };
    let info = String::from_utf8(info).unwrap();
    let exec = info.lines().find(|line| line.starts_with("cmdstat_exec:")).unwrap();
    assert!(exec.starts_with("cmdstat_exec:calls=0,"), "{info}");
    assert!(exec.ends_with(",rejected_calls=2,failed_calls=0"), "{info}");
}

#[test]
fn operators_who_gave_that_right_away_know_their_tenant_only() {
    let server = start();
    let mut other = tokens::connect(&server, &tokens::plain("other"));
    let id = match other.command("CLIENT ID") {
        Reply::Int(id) => id,
        reply => panic!("{reply:?}"),
    };
    let kill = format!("CLIENT KILL ID {id}");
    let shows = |reply: Reply| match reply {
        Reply::Bulk(text) => String::from_utf8(text).unwrap().contains(&format!("id={id} ")),
        reply => panic!("{reply:?}"),
    };
    let operator = mint("acme", ALL);
    let weaker = attenuate(&operator, "check if class(\"read\") or class(\"connection\");");
    let mut weaker = tokens::connect(&server, &text(&weaker));
    assert!(!shows(weaker.command("CLIENT LIST")));
    assert_eq!(weaker.command(&kill), Reply::Int(0));
    assert!(!other.command("PING").is_error());
    let mut operator = tokens::connect(&server, &text(&operator));
    assert!(shows(operator.command("CLIENT LIST")));
    assert_eq!(operator.command(&kill), Reply::Int(1));
}

#[test]
fn strangers_belong_to_no_tenant() {
    let server = start();
    let stranger = server.connect();
    let mut first = tokens::connect(&server, &tokens::plain("default"));
    match first.command("CLIENT LIST") {
        Reply::Bulk(text) => assert_eq!(text.split(|byte| *byte == b'\n').count(), 2),
        reply => panic!("{reply:?}"),
    }
    drop(stranger);
}

#[test]
fn who_leaves_a_tenant_leaves_a_place_for_another() {
    let server = start();
    let mut operator = tokens::connect(&server, &tokens::operator("default"));
    for tenant in ["acme", "other"] {
        assert!(!operator.command(&format!("TENANT SETQUOTA {tenant} connections 1")).is_error());
    }
    let (acme, other) = (tokens::plain("acme"), tokens::plain("other"));
    let mut first = tokens::connect(&server, &acme);
    assert!(server.connect().call(&["AUTH", &acme]).is_error());
    assert!(!first.command("SET a 1").is_error());
    assert!(!first.command("RESET").is_error());
    let _second = tokens::connect(&server, &acme);
    assert!(!first.call(&["AUTH", &other]).is_error());
    assert!(!first.call(&["AUTH", &tokens::plain("default")]).is_error());
    let _third = tokens::connect(&server, &other);
}

/// A revocation list, empty as yet, in a directory of its own, and the flags of a server that heeds it.
fn with_list() -> (tempfile::TempDir, std::path::PathBuf, Vec<&'static str>) {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("revoked");
    std::fs::write(&list, "").unwrap();
    let mut flags = tokens::FLAGS.to_vec();
    flags.extend(["--auth-revoked-file", list.to_str().unwrap().to_owned().leak()]);
    (directory, list, flags)
}

#[test]
fn revoked_tokens_end_with_all_that_were_made_from_them() {
    let (_directory, list, flags) = with_list();
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let parent = mint("acme", READ_WRITE);
    let child = attenuate(&parent, "check if class(\"read\") or class(\"connection\");");
    let other = tokens::plain("acme");
    let mut conns = [text(&parent), text(&child), other.clone()].map(|token| {
        let mut conn = tokens::connect(&server, &token);
        assert!(!conn.command("GET a").is_error());
        conn
    });
    let id: String =
        parent.revocation_identifiers()[0].iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&list, format!("# stolen\n{id}\n")).unwrap();
    // The list is read again within seconds; a revoked connection is closed, or refused.
    for conn in &mut conns[..2] {
        while conn.try_send_raw(b"GET a\r\n").is_ok() {
            match conn.try_read() {
                Ok((reply, _)) if !is_refused(&reply) => {}
                _ => break,
            }
        }
    }
    assert!(!conns[2].command("GET a").is_error());
    for token in [text(&parent), text(&child)] {
        let reply = server.connect().call(&["AUTH", &token]);
        assert!(matches!(reply, Reply::Error(text) if text.starts_with(b"WRONGPASS ")));
    }
}

#[test]
fn the_revocation_list_is_not_read_for_each_connection() {
    let (_directory, list, flags) = with_list();
    let begun = Instant::now();
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    // Each attempt to read it is seen in the log from now on.
    std::fs::remove_file(&list).unwrap();
    for _ in 0..100 {
        assert!(server.connect().command("PING").is_error());
    }
    let complaints = server.log().matches("the revocation list is not right").count() as u64;
    let seconds = begun.elapsed().as_secs();
    assert!(complaints <= 1 + seconds / 2, "{complaints} in {seconds} s");
}

#[test]
fn keys_that_are_not_utf8_can_have_a_prefix() {
    let server = start();
    let check = "check all key($key), $key.starts_with(\"p:\") or class(\"connection\");";
    let token = attenuate(&mint("acme", READ_WRITE), check);
    let mut conn = tokens::connect(&server, &text(&token));
    assert!(!conn.call(&[&b"SET"[..], b"p:\xff\xfe", b"1"]).is_error());
    for key in [&b"\xffp:"[..], b"p\xff:", b"", b"p"] {
        assert!(is_refused(&conn.call(&[b"SET", key, b"1"])), "{key:?}");
    }
}
