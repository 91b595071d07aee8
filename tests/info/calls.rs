//! What is executed is counted as on Redis, however a connection ends.

use super::common::tokens::{connect, operator};
use super::common::{Conn, Options, Reply, Server, Subject, encode, tokens, until};
use super::page::Page;

const ALL: [Subject; 4] = [Subject::Redis, Subject::Memory, Subject::Embedded, Subject::Faulty];

/// All calls and errors since the last `CONFIG RESETSTAT`, but for those of whoever asks.
fn counts(asking: &mut Conn) -> Vec<String> {
    let page = Page::ask(asking, "commandstats errorstats");
    let mut counts = Vec::new();
    for name in page.names("Commandstats") {
        let parts = ["calls", "rejected_calls", "failed_calls"].map(|part| page.part(&name, part));
        if !matches!(name.as_str(), "cmdstat_info" | "cmdstat_config|resetstat") {
            counts.push(format!("{} {parts:?}", name.trim_start_matches("cmdstat_")));
        }
    }
    for name in page.names("Errorstats") {
        counts.push(format!("{name} {}", page.part(&name, "count")));
    }
    counts.sort();
    counts
}

/// Does something, and waits until that is counted: others know a moment later than who did it.
fn count(server: &Server, expected: &[&str], act: impl Fn(&mut Conn, &mut Conn)) {
    let (mut asking, mut acting) = (server.connect(), server.connect());
    asking.command("CONFIG RESETSTAT");
    act(&mut acting, &mut asking);
    drop(acting);
    let what = format!("{:?}: {expected:?}", server.subject);
    until(&what, || counts(&mut asking), |counts| counts == expected);
}

fn all(conn: &mut Conn, lines: &[&str]) {
    lines.iter().for_each(|line| drop(conn.command(line)));
}

/// Sends commands at once and reads no reply.
fn send(conn: &mut Conn, lines: &[&str]) {
    let bytes: Vec<Vec<u8>> =
        lines.iter().map(|line| encode(&line.split(' ').collect::<Vec<_>>())).collect();
    conn.send_raw(&bytes.concat());
}

#[test]
fn what_opens_and_closes_transactions() {
    let lines = [
        "MULTI",
        "MULTI",
        "WATCH k",
        "DISCARD",
        "DISCARD",
        "EXEC",
        "MULTI",
        "SET",
        "EXEC",
        "WATCH k",
        "UNWATCH",
        "MULTI",
        "SET k v",
        "GET k",
        "LPUSH k x",
        "EXEC",
        "MULTI",
        "EXEC x",
        "MULTI",
        "WATCH",
        "DISCARD",
        "RESET",
    ];
    let expected = [
        "discard [3.0, 0.0, 1.0]",
        "errorstat_ERR 6",
        "errorstat_EXECABORT 2",
        "errorstat_WRONGTYPE 1",
        "exec [3.0, 1.0, 2.0]",
        "get [1.0, 0.0, 0.0]",
        "lpush [1.0, 0.0, 1.0]",
        "multi [6.0, 0.0, 1.0]",
        "reset [1.0, 0.0, 0.0]",
        "set [1.0, 1.0, 0.0]",
        "unwatch [1.0, 0.0, 0.0]",
        "watch [2.0, 1.0, 1.0]",
    ];
    for subject in ALL {
        let server = Server::start(subject);
        count(&server, &expected, |conn, _| all(conn, &lines));
        count(&server, &expected, |conn, _| {
            send(conn, &lines);
            (0..lines.len()).for_each(|_| drop(conn.read_reply()));
        });
    }
}

#[test]
fn what_a_transaction_did_not_execute_does_not_count() {
    for subject in ALL {
        let server = Server::start(subject);
        let expected = [
            "exec [1.0, 0.0, 0.0]",
            "multi [1.0, 0.0, 0.0]",
            "set [1.0, 0.0, 0.0]",
            "watch [1.0, 0.0, 0.0]",
        ];
        count(&server, &expected, |conn, other| {
            conn.command("WATCH w");
            other.command("SET w x");
            all(conn, &["MULTI", "GET w", "SET w y", "EXEC"]);
        });
    }
}

#[test]
fn logins_that_fail_were_tried() {
    let expected = [
        "auth [3.0, 0.0, 3.0]",
        "errorstat_ERR 2",
        "errorstat_NOPROTO 1",
        "errorstat_WRONGPASS 2",
        "hello [2.0, 0.0, 2.0]",
    ];
    let lines = ["AUTH x", "AUTH bad y", "HELLO 2 AUTH bad y", "HELLO 9", "AUTH a b c d"];
    for subject in ALL {
        count(&Server::start(subject), &expected, |conn, _| all(conn, &lines));
    }
    let options = Options { flags: tokens::FLAGS.to_vec(), ..Options::default() };
    let server = Server::start_with(Subject::Memory, &options);
    let mut root = connect(&server, &operator("ops"));
    root.command("CONFIG RESETSTAT");
    let mut stranger = server.connect();
    all(&mut stranger, &["GET k", "AUTH nonsense", "HELLO 3", "HELLO 2 AUTH default nonsense"]);
    drop(stranger);
    let expected = [
        "auth [1.0, 0.0, 1.0]",
        "errorstat_NOAUTH 2",
        "errorstat_WRONGPASS 2",
        "get [0.0, 1.0, 0.0]",
        "hello [2.0, 0.0, 2.0]",
    ];
    while counts(&mut root) != expected {}
}

#[test]
fn however_a_connection_ends_what_it_did_counts() {
    for subject in ALL {
        let server = Server::start(subject);
        let expected = ["quit [1.0, 0.0, 0.0]", "set [2.0, 0.0, 0.0]"];
        count(&server, &expected, |conn, _| send(conn, &["SET k v", "SET k v", "QUIT", "GET k"]));
        // What came in behind is not executed.
        let expected =
            ["client|id [1.0, 0.0, 0.0]", "client|kill [1.0, 0.0, 0.0]", "set [1.0, 0.0, 0.0]"];
        count(&server, &expected, |conn, _| {
            let kill = format!("CLIENT KILL ID {} SKIPME no", conn.command("CLIENT ID").int());
            send(conn, &["SET k v", &kill, "SET k v", "GET", "MULTI", "INCR k"]);
            conn.read_to_close().unwrap();
        });
        count(&server, &["errorstat_ERR 2"], |conn, _| conn.send_raw(b"NOSUCH\r\n*x\r\n"));
        count(&server, &["incr [100.0, 0.0, 0.0]"], |conn, _| send(conn, &["INCR n"; 100]));
        assert_eq!(server.connect().command("GET n").bulk(), Some(&b"100"[..]), "{subject:?}");
        // One waits, and those behind it have not begun.
        let expected = ["blpop [1.0, 0.0, 0.0]", "set [1.0, 0.0, 0.0]"];
        count(&server, &expected, |conn, asking| {
            send(conn, &["SET k v", "BLPOP nothing 0", "SET k v"]);
            while Page::ask(asking, "clients").number("blocked_clients") == 0.0 {}
        });
    }
}

#[test]
fn what_a_monitor_may_not_do_is_rejected() {
    let expected = [
        "errorstat_ERR 3",
        "get [0.0, 1.0, 0.0]",
        "monitor [1.0, 0.0, 0.0]",
        "ping [1.0, 0.0, 0.0]",
        "set [0.0, 2.0, 0.0]",
    ];
    for subject in ALL {
        let server = Server::start(subject);
        count(&server, &expected, |conn, _| {
            send(conn, &["MONITOR", "GET k", "SET k", "SET k v", "PING"]);
            while conn.read_reply() != Reply::Simple(b"PONG".to_vec()) {}
        });
    }
}

#[test]
fn errors_count_by_their_codes() {
    let expected = [
        "errorstat_BUSYKEY 1",
        "errorstat_ERR 1",
        "errorstat_WRONGTYPE 1",
        "llen [1.0, 0.0, 1.0]",
        "restore [2.0, 0.0, 2.0]",
        "set [1.0, 0.0, 0.0]",
    ];
    let lines = ["SET k v", "RESTORE k 0 x", "RESTORE new 0 x", "LLEN k"];
    for subject in ALL {
        count(&Server::start(subject), &expected, |conn, _| all(conn, &lines));
    }
}

#[test]
fn unblocked_with_an_error_has_failed() {
    for subject in ALL {
        let server = Server::start(subject);
        let expected = [
            "blpop [1.0, 0.0, FAILED]",
            "client|id [1.0, 0.0, 0.0]",
            "client|unblock [1.0, 0.0, FAILED]",
            "errorstat_UNBLOCKED 1",
        ];
        // Redis counts the failure for both of them.
        let failed = |who: &str| {
            let has = who == "blpop" || !subject.is_ringstone();
            if has { "1.0" } else { "0.0" }
        };
        let expected = expected.map(|line| {
            let who = line.split(' ').next().unwrap();
            line.replace("FAILED", failed(who))
        });
        count(&server, &expected.each_ref().map(String::as_str), |conn, asking| {
            let id = conn.command("CLIENT ID").int();
            conn.send(&["BLPOP", "nothing", "0"]);
            while Page::ask(asking, "clients").number("blocked_clients") == 0.0 {}
            assert_eq!(asking.command(&format!("CLIENT UNBLOCK {id} ERROR")).int(), 1);
            assert!(conn.read_reply().is_error());
        });
    }
}
