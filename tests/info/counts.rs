//! What is told is true.

use super::RINGSTONE;
use super::clients::{client_list, value};
use super::common::tokens::{self, connect, operator, plain};
use super::common::{Conn, Options, Reply, Server, Subject, words};
use super::page::Page;

pub const ALL: [Subject; 4] = [Subject::Redis, Subject::Memory, Subject::Embedded, Subject::Faulty];

#[test]
fn calls_failures_and_rejections_are_counted_as_on_redis() {
    for subject in ALL {
        let server = Server::start(subject);
        let mut conn = server.connect();
        for line in [
            "SET k v",
            "SET k",
            "GET k",
            "GET",
            "GET k l",
            "INCR k",
            "INCR k",
            "INCR",
            "LPUSH k x",
            "CLIENT",
            "CLIENT NOSUCH",
            "CLIENT GETNAME x",
            "NOSUCH",
            "MULTI",
            "WATCH k",
            "DEL",
            "DISCARD",
            "EXEC x",
            "GET missing",
        ] {
            conn.command(line);
        }
        let page = Page::ask(&mut conn, "commandstats errorstats");
        let counts = |name: &str| {
            let name = format!("cmdstat_{name}");
            ["calls", "rejected_calls", "failed_calls"].map(|part| page.part(&name, part) as u32)
        };
        for (name, expected) in [
            ("set", [1, 1, 0]),
            ("get", [2, 2, 0]),
            ("incr", [2, 1, 2]),
            ("lpush", [1, 0, 1]),
            ("client", [0, 1, 0]),
            ("client|getname", [0, 1, 0]),
            ("del", [0, 1, 0]),
            ("exec", [0, 1, 0]),
        ] {
            assert_eq!(counts(name), expected, "{subject:?} {name}");
        }
        assert_eq!(page.part("errorstat_WRONGTYPE", "count"), 1.0, "{subject:?}");
        let errors: f64 =
            page.names("Errorstats").iter().map(|name| page.part(name, "count")).sum();
        assert_eq!(Page::ask(&mut conn, "stats").number("total_error_replies"), errors);
    }
}

#[test]
fn what_a_token_forbids_is_rejected() {
    let server = start_with_tokens();
    let mut root = connect(&server, &operator("ops"));
    let mut conn = connect(&server, &tokens::text(&tokens::mint("acme", "right(\"read\");")));
    assert!(conn.command("SET k v").is_error());
    assert!(server.connect().command("SET k v").is_error());
    conn.command("GET k");
    // What others do is counted a moment after they know of it.
    let page = loop {
        let page = Page::ask(&mut root, "commandstats errorstats");
        if page.part("cmdstat_get", "calls") == 1.0
            && page.part("cmdstat_set", "rejected_calls") == 2.0
        {
            break page;
        }
    };
    assert_eq!(page.part("cmdstat_set", "calls"), 0.0);
    assert_eq!(page.part("cmdstat_get", "rejected_calls"), 0.0);
    assert_eq!(page.part("errorstat_NOPERM", "count"), 1.0);
    assert_eq!(page.part("errorstat_NOAUTH", "count"), 1.0);
}

#[test]
fn config_resetstat_counts_from_nothing_again() {
    for subject in ALL {
        let server = Server::start(subject);
        let mut conn = server.connect();
        let before = ["SET k v", "GET k", "GET missing", "GET", "INCR k", "LPUSH k x"];
        before.iter().for_each(|line| drop(conn.command(line)));
        let page = Page::ask(&mut conn, "everything");
        assert_eq!([page.number("keyspace_hits"), page.number("keyspace_misses")], [1.0, 1.0]);
        assert!(page.number("total_net_input_bytes") > 100.0);
        assert!(page.has("latency_percentiles_usec_get") && page.has("errorstat_ERR"));
        assert_eq!(conn.command("CONFIG RESETSTAT"), Reply::Simple(b"OK".to_vec()));
        let page = Page::ask(&mut conn, "everything");
        for name in [
            "total_connections_received",
            "rejected_connections",
            "keyspace_hits",
            "keyspace_misses",
            "expired_keys",
            "total_error_replies",
        ] {
            assert_eq!(page.number(name), 0.0, "{subject:?} {name}");
        }
        assert!(page.number("total_commands_processed") <= 1.0, "{subject:?}");
        assert!(page.number("total_net_input_bytes") < 100.0, "{subject:?}");
        assert!(page.names("Errorstats").is_empty(), "{subject:?}");
        for section in ["Commandstats", "Latencystats"] {
            let names = page.names(section);
            assert!(names.iter().all(|name| name.ends_with("config|resetstat")), "{names:?}");
        }
        conn.command("GET k");
        let page = Page::ask(&mut conn, "commandstats stats");
        assert_eq!(page.part("cmdstat_get", "calls"), 1.0, "{subject:?}");
        assert_eq!(page.number("keyspace_hits"), 1.0, "{subject:?}");
    }
}

#[test]
fn keys_that_expire_are_counted() {
    for subject in ALL {
        let server = Server::start(subject);
        let mut conn = server.connect();
        for line in ["SET a v", "SET b v EX 1000", "HSET c f v", "EXPIRE c 3000", "SELECT 7"] {
            conn.command(line);
        }
        conn.command("SET d v PX 5000000");
        let page = Page::ask(&mut conn, "keyspace");
        assert_eq!(page.names("Keyspace"), ["db0", "db7"], "{subject:?}");
        let of = |database: &str| ["keys", "expires"].map(|part| page.part(database, part));
        assert_eq!([of("db0"), of("db7")], [[3.0, 2.0], [1.0, 1.0]], "{subject:?}");
        if subject.is_ringstone() {
            // Redis measures it now and then, not when it is asked.
            let ttl = page.part("db0", "avg_ttl");
            assert!((1_900_000.0..=2_000_000.0).contains(&ttl), "{ttl}");
        }
        conn.command("PERSIST d");
        assert_eq!(Page::ask(&mut conn, "keyspace").part("db7", "expires"), 0.0, "{subject:?}");
        conn.command("FLUSHALL");
        assert!(Page::ask(&mut conn, "keyspace").names("Keyspace").is_empty(), "{subject:?}");
    }
}

#[test]
fn memory_follows_the_data() {
    const BYTES: f64 = 20e6;
    for subject in [Subject::Memory, Subject::Embedded] {
        let options = Options { durability: "none", ..Options::default() };
        let server = Server::start_with(subject, &options);
        let mut conn = server.connect();
        let before = Page::ask(&mut conn, "memory");
        let value = "x".repeat(4_000);
        for at in 0..(BYTES / 4e3) as usize {
            conn.call(&["SET", &format!("key:{at}"), &value]);
        }
        let after = Page::ask(&mut conn, "memory");
        for name in ["used_memory", "used_memory_dataset"] {
            let grown = after.number(name) - before.number(name);
            assert!((BYTES..BYTES * 3.0).contains(&grown), "{subject:?} {name} {grown}");
        }
        let [used, peak, overhead, dataset, startup] =
            ["", "_peak", "_overhead", "_dataset", "_startup"]
                .map(|name| after.number(&format!("used_memory{name}")));
        assert_eq!(overhead + dataset, used, "{subject:?}");
        assert!(used <= peak && startup > 0.0 && startup < used, "{subject:?}");
        assert!(after.number("used_memory_dataset_perc") > 30.0, "{subject:?}");
        assert!(after.number("total_system_memory") > used, "{subject:?}");
        let doctor = conn.command("MEMORY DOCTOR");
        let text = String::from_utf8_lossy(doctor.bulk().unwrap());
        assert!(text.contains("for records") && text.contains("Nothing stands out"), "{text}");
    }
}

#[test]
fn memory_stats_has_redis_s_fields_in_its_order() {
    let names = |server: &Server| -> Vec<String> {
        let mut conn = server.connect();
        conn.command("SET k v");
        let reply = conn.command("MEMORY STATS");
        let text = |name: &Reply| String::from_utf8(name.bulk().unwrap().to_vec()).unwrap();
        let mut names = Vec::new();
        for pair in reply.items().chunks(2) {
            names.push(text(&pair[0]));
            if let Reply::Array(table) = &pair[1] {
                names.extend(table.chunks(2).map(|pair| text(&pair[0])));
            }
        }
        names
    };
    let theirs = names(&Server::start(Subject::Redis));
    for subject in RINGSTONE {
        let mut ours = names(&Server::start(subject));
        ours.retain(|name| !name.starts_with("store."));
        assert_eq!(ours, theirs, "{subject:?}");
    }
}

#[test]
fn who_waits_is_counted() {
    let server = Server::start(Subject::Memory);
    let mut waiting = [0; 3].map(|_| server.connect());
    waiting[0].send(&["BLPOP", "a", "b", "0"]);
    waiting[1].send(&["BLPOP", "a", "100"]);
    waiting[2].send(&["BRPOP", "c", "100"]);
    let mut conn = server.connect();
    let counts = |conn: &mut Conn| {
        let page = Page::ask(conn, "clients");
        ["blocked_clients", "clients_in_timeout_table", "total_blocking_keys"]
            .map(|name| page.number(name) as u32)
    };
    while counts(&mut conn) != [3, 2, 3] {}
    conn.command("RPUSH c x");
    waiting[2].read_reply();
    assert_eq!(counts(&mut conn), [2, 1, 2]);
    conn.command("RPUSH a x y");
    waiting[..2].iter_mut().for_each(|waiting| drop(waiting.read_reply()));
    assert_eq!(counts(&mut conn), [0, 0, 0]);
}

#[test]
fn client_list_has_redis_s_fields_in_its_order() {
    let shown = |subject| {
        let server = Server::start_with(subject, &Options { unix: true, ..Options::default() });
        let mut conn = server.connect();
        conn.command("CLIENT SETNAME me");
        conn.command("SELECT 3");
        let mut other = server.connect();
        other.pipeline(&["PING", "MULTI", "PING", "PING"].map(words));
        let lines = client_list(&mut conn, "");
        assert_eq!(lines.len(), 2, "{subject:?}");
        let names: Vec<_> = lines[0].iter().map(|(name, _)| name.clone()).collect();
        let told = ["name", "flags", "db", "sub", "multi", "argv-mem", "cmd", "user"];
        let told = told.map(|name| lines.iter().map(|line| value(line, name)).collect::<Vec<_>>());
        let ids: Vec<_> = lines.iter().map(|line| value(line, "id")).collect();
        for (options, expected) in [
            ("TYPE normal".to_owned(), vec![&ids[0], &ids[1]]),
            ("TYPE pubsub".to_owned(), vec![]),
            (format!("ID {}", ids[1]), vec![&ids[1]]),
            (format!("ID {} 99999 {}", ids[1], ids[0]), vec![&ids[1], &ids[0]]),
        ] {
            let found = client_list(&mut conn, &options);
            let found: Vec<_> = found.iter().map(|line| value(line, "id")).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{subject:?} {options}");
        }
        (names, told)
    };
    let (theirs, told_by_redis) = shown(Subject::Redis);
    let (mut ours, told) = shown(Subject::Memory);
    // Redis has these from 7.2 on.
    assert_eq!(ours.split_off(theirs.len()), ["lib-name", "lib-ver"]);
    assert_eq!(ours, theirs);
    assert_eq!(told, told_by_redis);
}

pub fn start_with_tokens() -> Server {
    let options = Options { flags: tokens::FLAGS.to_vec(), ..Options::default() };
    Server::start_with(Subject::Memory, &options)
}

#[test]
fn the_user_is_the_tenant_of_the_token() {
    let server = start_with_tokens();
    let mut root = connect(&server, &operator("ops"));
    let mut acme = connect(&server, &plain("acme"));
    let mut other = connect(&server, &plain("other"));
    let mut stranger = server.connect();
    assert!(stranger.command("GET k").is_error());
    let users = |conn: &mut Conn| -> Vec<_> {
        client_list(conn, "").iter().map(|line| value(line, "user")).collect()
    };
    // Others are told a moment after the client knows.
    while users(&mut root) != ["ops", "acme", "other", "default"] {}
    assert_eq!(users(&mut acme), ["acme"]);
    assert_eq!(
        root.command("CLIENT KILL USER nobody"),
        Reply::Error(b"ERR No such user 'nobody'".to_vec())
    );
    assert_eq!(root.command("CLIENT KILL USER acme").int(), 1);
    acme.read_to_close().unwrap();
    assert_eq!(other.command("RESET"), Reply::Simple(b"RESET".to_vec()));
    while users(&mut root) != ["ops", "default", "default"] {}
    // That is how everybody authenticates.
    assert_eq!(root.command("CLIENT KILL USER default").int(), 2);
}
