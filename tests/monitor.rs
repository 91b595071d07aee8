//! Property: a monitor is shown what Redis would show it, each command once and in order, on every store
//! and with faults injected; never a secret, never another tenant's commands. Nobody waits for a monitor.
//!
//! What is shown here is written down once and must be true of redis-server, too. Times and addresses are
//! left out of lines: `+1795217803.401011 [0 127.0.0.1:51754] "PING"` is `[0] "PING"`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "monitor/lives.rs"]
mod lives;
#[path = "monitor/tenants.rs"]
mod tenants;

use common::{Conn, Options, Reply, Server, Subject, fdb};

const ALL: [Subject; 6] = [
    Subject::Redis,
    Subject::Memory,
    Subject::Embedded,
    Subject::Faulty,
    Subject::FoundationDb,
    Subject::FaultyFoundationDb,
];

/// What one client sends, each line in one write, and the lines behind it are what a monitor is shown of
/// that.
const SCRIPT: &str = r#"
> ping
[0] "ping"
> set K "v\x00\n\r\t\a\b\"\\\x7f\xe9 ~"
[0] "set" "K" "v\x00\n\r\t\a\b\"\\\x7f\xe9 ~"
> SET K '' EX 100
[0] "SET" "K" "" "EX" "100"
> LPUSH K x
[0] "LPUSH" "K" "x"
> NOSUCH K
> GET
> CLIENT NOSUCH
> SELECT 3
[3] "SELECT" "3"
> SELECT 99
[3] "SELECT" "99"
> SELECT 0
[0] "SELECT" "0"
> INCRBYFLOAT n 1.5
[0] "INCRBYFLOAT" "n" "1.5"
> CONFIG GET save
> CONFIG RESETSTAT
> CONFIG HELP
[0] "CONFIG" "HELP"
> CLIENT LIST
> CLIENT KILL ID 999999
> CLIENT NO-EVICT off
> CLIENT SETNAME me
[0] "CLIENT" "SETNAME" "me"
> SLOWLOG RESET
> LATENCY LATEST
> AUTH secret
[0] "AUTH" "(redacted)"
> AUTH default secret
[0] "AUTH" "(redacted)" "(redacted)"
> AUTH nobody secret
[0] "AUTH" "(redacted)" "(redacted)"
> HELLO 2 AUTH default secret SETNAME me
[0] "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me"
> MULTI
[0] "MULTI"
> MULTI
[0] "MULTI"
> WATCH a
[0] "WATCH" "a"
> GET a
> SELECT 2
> LPUSH n x
> EXEC
[0] "GET" "a"
[2] "SELECT" "2"
[2] "LPUSH" "n" "x"
[2] "EXEC"
> SELECT 0
[0] "SELECT" "0"
> MULTI
[0] "MULTI"
> SET a 1
> NOSUCH
> EXEC
[0] "EXEC"
> MULTI
[0] "MULTI"
> EXEC now
[0] "EXEC" "now"
> EXEC
[0] "EXEC"
> DISCARD
[0] "DISCARD"
> MULTI
[0] "MULTI"
> SET a 1
> DISCARD
[0] "DISCARD"
> WATCH a
[0] "WATCH" "a"
> SET a 2
[0] "SET" "a" "2"
> MULTI
[0] "MULTI"
> GET a
> EXEC
[0] "EXEC"
> MULTI
[0] "MULTI"
> MONITOR
> CONFIG GET save
> AUTH default secret
> EXEC
[0] "AUTH" "(redacted)" "(redacted)"
[0] "EXEC"
> BLPOP nothing 0.001
[0] "BLPOP" "nothing" "0.001"
> CLIENT REPLY SKIP
[0] "CLIENT" "REPLY" "SKIP"
> CLIENT REPLY ON
[0] "CLIENT" "REPLY" "ON"
> SELECT 1
[1] "SELECT" "1"
> RESET
[0] "RESET"
"#;

/// A monitor, and what it has been shown.
struct Monitor(Conn);

impl Monitor {
    fn new(server: &Server) -> Monitor {
        Monitor::over(server.connect())
    }

    fn over(mut conn: Conn) -> Monitor {
        assert_eq!(conn.command("MONITOR"), Reply::Simple(b"OK".to_vec()));
        Monitor(conn)
    }

    /// The next line.
    fn line(&mut self) -> String {
        match self.0.read_reply() {
            Reply::Simple(line) => plain(&String::from_utf8(line).unwrap()),
            other => panic!("not a line: {other:?}"),
        }
    }

    /// The lines up to that of `ECHO end`.
    fn lines_to_end(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| Some(self.line()));
        lines.take_while(|line| !line.ends_with("\"ECHO\" \"end\"")).collect()
    }
}

/// A line without its time and address.
fn plain(line: &str) -> String {
    let (time, rest) = line.split_once(' ').unwrap();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (seconds, micros) = time.split_once('.').unwrap();
    assert!(digits(seconds) && digits(micros) && micros.len() == 6, "{line}");
    let (place, command) = rest.split_once("] ").unwrap();
    let (database, address) = place.split_once(' ').unwrap();
    assert!(address.starts_with("127.0.0.1:") || address.starts_with("unix:/"), "{line}");
    format!("{database}] {command}")
}

fn end(conn: &mut Conn) {
    conn.send(&["ECHO", "end"]);
    while conn.read_reply() != Reply::Bulk(b"end".to_vec()) {}
}

/// Runs on every subject there is.
fn everywhere(test: impl Fn(&Server)) {
    for subject in ALL {
        let on_fdb = matches!(subject, Subject::FoundationDb | Subject::FaultyFoundationDb);
        if !on_fdb || fdb::is_here() {
            println!("{subject:?}");
            test(&Server::start_with(subject, &Options { unix: true, ..Options::default() }));
        }
    }
}

#[test]
fn what_is_executed_is_shown_and_nothing_else() {
    everywhere(|server| {
        let (mut monitor, mut client) = (Monitor::new(server), server.connect());
        let expected: Vec<_> = SCRIPT.lines().filter(|line| line.starts_with('[')).collect();
        for line in SCRIPT.lines().filter_map(|line| line.strip_prefix("> ")) {
            client.send_raw(format!("{line}\r\n").as_bytes());
        }
        end(&mut client);
        assert_eq!(monitor.lines_to_end(), expected, "{:?}", server.subject);
        // In one write it is the same.
        let lines = SCRIPT.lines().filter_map(|line| line.strip_prefix("> "));
        let all: String = lines.map(|line| format!("{line}\r\n")).collect();
        client.send_raw(all.as_bytes());
        end(&mut client);
        assert_eq!(monitor.lines_to_end(), expected, "{:?}", server.subject);
    });
}

#[test]
fn what_waits_is_shown_when_it_begins_to_and_once() {
    everywhere(|server| {
        let mut monitor = Monitor::new(server);
        let (mut waiting, mut pushing) = (server.connect(), server.connect());
        waiting.send_raw(b"SET s 1\r\nBLPOP list 0\r\nGET s\r\n");
        assert_eq!(monitor.line(), "[0] \"SET\" \"s\" \"1\"");
        assert_eq!(monitor.line(), "[0] \"BLPOP\" \"list\" \"0\"");
        pushing.command("RPUSH list x");
        (0..3).for_each(|_| drop(waiting.read_reply()));
        end(&mut waiting);
        let mut lines = monitor.lines_to_end();
        // The one is shown by its connection, the other by that of who pushed.
        lines.sort();
        assert_eq!(lines, ["[0] \"GET\" \"s\"", "[0] \"RPUSH\" \"list\" \"x\""]);
    });
}

#[test]
fn all_that_many_clients_do_is_shown() {
    everywhere(|server| {
        let mut monitor = Monitor::new(server);
        std::thread::scope(|scope| {
            for client in 0..4 {
                scope.spawn(move || {
                    let mut conn = server.connect();
                    for at in 0..50 {
                        conn.send_raw(
                            format!("INCR n\r\nSET {client} {at}\r\nGET {client}\r\n").as_bytes(),
                        );
                        (0..3).for_each(|_| drop(conn.read_reply()));
                    }
                });
            }
        });
        end(&mut server.connect());
        let lines = monitor.lines_to_end();
        assert_eq!(lines.len(), 4 * 50 * 3);
        for client in 0..4 {
            let own = |line: &&String| line.contains(&format!("T\" \"{client}\""));
            let expected = (0..50).flat_map(|at| {
                [format!("[0] \"SET\" \"{client}\" \"{at}\""), format!("[0] \"GET\" \"{client}\"")]
            });
            assert!(lines.iter().filter(own).cloned().eq(expected), "{:?}", server.subject);
        }
    });
}

#[test]
fn a_monitor_is_answered_between_its_lines() {
    everywhere(|server| {
        let mut conn = server.connect();
        conn.send_raw(
            b"PING\r\nMONITOR\r\nPING\r\nGET a\r\nSET a 1\r\nMONITOR\r\nECHO hi\r\nSELECT 1\r\nMULTI\r\n\
              GET a\r\nEXEC\r\nNOSUCH\r\nHELLO 3\r\nHELLO 2 AUTH x y\r\nCLIENT REPLY OFF\r\nPING\r\n\
              CLIENT REPLY ON\r\nRESET\r\nGET a\r\nPING\r\nMONITOR\r\nPING\r\nQUIT\r\nPING\r\n",
        );
        let replies = String::from_utf8(conn.read_to_close().unwrap()).unwrap();
        let mut shown = Vec::new();
        for line in replies.split_terminator("\r\n") {
            let is_line = line.starts_with("+1") && line.contains('[');
            shown.push(if is_line { plain(&line[1..]) } else { line.to_owned() });
        }
        let greeting = shown.iter().position(|line| line == "%7").unwrap();
        let after = shown[greeting..].iter().position(|line| line.starts_with('[')).unwrap();
        shown.drain(greeting..greeting + after);
        let keys = "-ERR Replica can't interact with the keyspace";
        let expected = [
            "+PONG",
            "+OK",
            "+PONG",
            "[0] \"PING\"",
            keys,
            keys,
            "$2",
            "hi",
            "[0] \"ECHO\" \"hi\"",
            "+OK",
            "[1] \"SELECT\" \"1\"",
            "+OK",
            "[1] \"MULTI\"",
            keys,
            "-EXECABORT Transaction discarded because of previous errors.",
            "[1] \"EXEC\"",
            "-ERR unknown command 'NOSUCH', with args beginning with: ",
            "[1] \"HELLO\" \"3\"",
            "-WRONGPASS invalid username-password pair or user is disabled.",
            "[1] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\"",
            "+OK",
            "[1] \"CLIENT\" \"REPLY\" \"ON\"",
            "+RESET",
            "$-1",
            "+PONG",
            "+OK",
            "+PONG",
            "[0] \"PING\"",
            "+OK",
        ];
        assert_eq!(shown, expected, "{:?}", server.subject);
    });
}

#[test]
fn what_is_no_request_is_not_shown() {
    everywhere(|server| {
        let mut monitor = Monitor::new(server);
        for broken in ["PING\r\n*1\r\n!4\r\n", "*1\r\n$-5\r\n", "GET \"a\r\n"] {
            let mut client = server.connect();
            client.send_raw(broken.as_bytes());
            client.read_to_close().unwrap();
        }
        end(&mut server.connect());
        assert_eq!(monitor.lines_to_end(), ["[0] \"PING\""], "{:?}", server.subject);
    });
}

#[test]
fn nothing_behind_the_end_of_a_connection_is_shown() {
    everywhere(|server| {
        let mut monitor = Monitor::new(server);
        let mut client = server.connect();
        client.send_raw(b"SET a 1\r\nQUIT\r\nSET b 1\r\n");
        client.read_to_close().unwrap();
        end(&mut server.connect());
        assert_eq!(monitor.lines_to_end(), ["[0] \"SET\" \"a\" \"1\"", "[0] \"QUIT\""]);
    });
}
