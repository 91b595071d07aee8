//! Property: SLOWLOG tells what Redis's tells, and of nothing secret; only who operates the server sees what
//! others did.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::{Conn, Options, Reply, Server, Subject, tokens};

const SUBJECTS: [Subject; 3] = [Subject::Redis, Subject::Memory, Subject::Faulty];

/// An entry: its arguments, and what its client calls itself.
type Entry = (Vec<String>, String);

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bulk().unwrap()).into_owned()
}

fn entries(conn: &mut Conn) -> Vec<Reply> {
    conn.command("SLOWLOG GET -1").items().to_vec()
}

/// What was noted, newest first.
fn noted(conn: &mut Conn) -> Vec<Entry> {
    let entry = |entry: Reply| {
        let args = entry.items()[3].items().iter().map(text).collect();
        (args, text(&entry.items()[5]))
    };
    entries(conn).into_iter().map(entry).collect()
}

/// Has everything noted from now on, of which this is the first.
fn note_all(conn: &mut Conn) {
    conn.command("CONFIG SET slowlog-log-slower-than -1");
    conn.command("SLOWLOG RESET");
    conn.command("CONFIG SET slowlog-log-slower-than 0");
}

fn entry(line: &str, name: &str) -> Entry {
    (line.split(' ').map(str::to_owned).collect(), name.to_owned())
}

#[test]
fn entries_are_those_of_redis() {
    for subject in SUBJECTS {
        let server = Server::start(subject);
        let mut conn = server.connect();
        note_all(&mut conn);
        conn.command("CLIENT SETNAME me");
        conn.command("set k v");
        conn.command("INCR k");
        let long = "x".repeat(200);
        conn.command(&format!("SET long {long}"));
        let many: Vec<String> = (0..40).map(|at| at.to_string()).collect();
        conn.command(&format!("DEL {}", many.join(" ")));
        conn.command("SLOWLOG LEN");
        let kept: Vec<&str> = many[..30].iter().map(String::as_str).collect();
        let mut shortened = entry(&format!("DEL {}", kept.join(" ")), "me");
        shortened.0.push("... (10 more arguments)".to_owned());
        let mut cut = entry("SET long", "me");
        cut.0.push(format!("{}... (72 more bytes)", &long[..128]));
        let expected = [
            entry("SLOWLOG LEN", "me"),
            shortened,
            cut,
            entry("INCR k", "me"),
            entry("set k v", "me"),
            entry("CLIENT SETNAME me", "me"),
            entry("CONFIG SET slowlog-log-slower-than 0", ""),
        ];
        assert_eq!(noted(&mut conn), expected, "{subject:?}");
        let all = entries(&mut conn);
        let ids: Vec<i64> = all.iter().map(|entry| entry.items()[0].int()).collect();
        assert!(ids.is_sorted_by(|newer, older| *newer == older + 1), "{subject:?}: {ids:?}");
        let address = text(&all[0].items()[4]);
        let own = text(&conn.command("CLIENT INFO"));
        assert!(own.contains(&format!(" addr={address} ")), "{subject:?}: {address} {own}");
    }
}

#[test]
fn what_is_queued_is_noted_and_exec_is_not() {
    for subject in SUBJECTS {
        let server = Server::start(subject);
        let mut conn = server.connect();
        conn.command("SET k v");
        note_all(&mut conn);
        conn.command("CONFIG SET slowlog-log-slower-than 0");
        conn.command("MULTI");
        conn.command("STRLEN k");
        conn.command("EXEC");
        let noted = noted(&mut conn);
        assert_eq!(noted[0], entry("STRLEN k", ""), "{subject:?}");
        assert!(noted.iter().all(|(args, _)| args[0] != "EXEC"), "{subject:?}: {noted:?}");
    }
}

#[test]
fn what_opens_and_closes_a_transaction_is_noted_alone() {
    for subject in SUBJECTS {
        let server = Server::start(subject);
        let mut conn = server.connect();
        note_all(&mut conn);
        for line in [
            "MULTI", "MULTI", "WATCH k", "SET k v", "SET", "EXEC", "EXEC", "WATCH k", "UNWATCH",
            "MULTI", "INCR n", "EXEC", "MULTI", "PING", "DISCARD", "DISCARD", "MULTI", "EXEC",
            "WATCH n", "INCR n", "MULTI", "PING", "EXEC", "MULTI", "EXEC x", "NOSUCH", "GET",
            "RESET",
        ] {
            conn.command(line);
        }
        let mut expected = [
            "MULTI", "MULTI", "WATCH k", "WATCH k", "UNWATCH", "MULTI", "INCR n", "MULTI",
            "DISCARD", "DISCARD", "MULTI", "WATCH n", "INCR n", "MULTI", "MULTI", "RESET",
        ]
        .map(|line| entry(line, ""));
        expected.reverse();
        assert_eq!(noted(&mut conn)[..expected.len()], expected, "{subject:?}");
    }
    // In a pipeline something else is to blame.
    let server = Server::start(Subject::Memory);
    let mut conn = server.connect();
    note_all(&mut conn);
    conn.pipeline(&["MULTI", "INCR n", "EXEC"].map(common::words));
    assert_eq!(noted(&mut conn)[0], entry("INCR n", ""));
}

#[test]
fn credentials_are_never_noted() {
    for subject in SUBJECTS {
        let server = Server::start(subject);
        let mut conn = server.connect();
        note_all(&mut conn);
        for line in [
            "AUTH secret",
            "auth someone secret",
            "HELLO 2 AUTH someone secret",
            "HELLO 2 AUTH default secret SETNAME me",
            "CONFIG SET masterauth secret",
        ] {
            conn.command(line);
        }
        let hidden = "(redacted)";
        let expected = [
            entry(&format!("CONFIG SET masterauth {hidden}"), "me"),
            entry(&format!("HELLO 2 AUTH {hidden} {hidden} SETNAME me"), "me"),
            entry(&format!("HELLO 2 AUTH {hidden} {hidden}"), ""),
            entry(&format!("auth {hidden} {hidden}"), ""),
            entry(&format!("AUTH {hidden}"), ""),
        ];
        assert_eq!(noted(&mut conn)[..5], expected, "{subject:?}");
    }
}

#[test]
fn one_entry_says_which_command_of_a_pipeline_took_long_and_where_its_time_went() {
    let server = Server::start(Subject::Memory);
    let mut conn = server.connect();
    let members: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    for part in members.chunks(5_000) {
        conn.command(&format!("SADD large {}", part.join(" ")));
    }
    note_all(&mut conn);
    let lines = ["GET a", "GET b", "SMEMBERS large", "GET c"];
    conn.pipeline(&lines.map(common::words));
    let first = entries(&mut conn).swap_remove(0);
    let items = first.items();
    assert_eq!(items.len(), 7);
    assert_eq!(items[3].items().iter().map(text).collect::<Vec<_>>(), ["SMEMBERS", "large"]);
    let split = text(&items[6]);
    let mut parts = split.split(' ').map(|part| part.split_once('=').unwrap());
    assert!(parts.all(|(stage, us)| !stage.is_empty() && us.parse::<u64>().is_ok()), "{split}");
    assert!(split.contains("execution="), "{split}");
    // Without long ones among them the first stands for all.
    conn.pipeline(&["GET a", "GET b"].map(common::words));
    assert_eq!(noted(&mut conn)[0], entry("GET a", ""));
    conn.command("CONFIG SET slowlog-log-slower-than 60000000");
    conn.command("SLOWLOG RESET");
    conn.command("GET a");
    assert_eq!(noted(&mut conn), []);
}

#[test]
fn tenants_see_their_own_entries_under_their_own_ids() {
    let flags = tokens::FLAGS.to_vec();
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let mut operator = tokens::connect(&server, &tokens::operator("default"));
    let [mut one, mut other] =
        ["one", "other"].map(|tenant| tokens::connect(&server, &tokens::plain(tenant)));
    note_all(&mut operator);
    one.command("GET of-one");
    other.command("GET of-other");
    one.command("GET of-one-too");
    tokens::connect(&server, &tokens::plain("one"));
    let ids = |conn: &mut Conn| -> Vec<i64> {
        entries(conn).iter().map(|entry| entry.items()[0].int()).collect()
    };
    assert_eq!(noted(&mut other), [entry("GET of-other", "")]);
    assert_eq!(ids(&mut other), [1, 0]);
    assert_eq!(noted(&mut one), [entry("GET of-one-too", ""), entry("GET of-one", "")]);
    assert_eq!(one.command("SLOWLOG LEN"), Reply::Int(3));
    assert_eq!(one.command("SLOWLOG RESET"), Reply::Simple(b"OK".to_vec()));
    assert_eq!(noted(&mut one), [entry("SLOWLOG RESET", "")]);
    assert_eq!(other.command("SLOWLOG LEN"), Reply::Int(3));
    let all = noted(&mut operator);
    assert!(all.contains(&entry("GET of-other", "")), "{all:?}");
    assert!(!all.contains(&entry("GET of-one", "")), "{all:?}");
    assert!(all.contains(&entry("AUTH (redacted)", "")), "{all:?}");
    assert!(one.command("LATENCY LATEST").is_error() && one.command("CONFIG GET *").is_error());
    assert_eq!(operator.command("SLOWLOG RESET"), Reply::Simple(b"OK".to_vec()));
    assert_eq!(noted(&mut other), []);
}

#[test]
fn what_an_operator_asks_about_others_is_in_no_tenant_s_log() {
    let flags = tokens::FLAGS.to_vec();
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let mut operator = tokens::connect(&server, &tokens::operator("one"));
    let mut one = tokens::connect(&server, &tokens::plain("one"));
    note_all(&mut operator);
    operator.command("TENANT INFO other");
    operator.command("GET k");
    assert_eq!(noted(&mut one), [entry("GET k", "")]);
    assert!(noted(&mut operator).contains(&entry("TENANT INFO other", "")));
}

#[test]
fn of_a_long_name_only_the_beginning_is_kept() {
    let server = Server::start(Subject::Memory);
    let mut conn = server.connect();
    conn.command(&format!("CLIENT SETNAME {}", "n".repeat(1_000_000)));
    note_all(&mut conn);
    conn.command("GET k");
    let name = format!("{}... (999872 more bytes)", "n".repeat(128));
    assert_eq!(noted(&mut conn)[0], entry("GET k", &name));
}
