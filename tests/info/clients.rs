//! What `CLIENT LIST` says of a connection's buffers is what it holds.

use super::common::tokens::{connect, operator, plain};
use super::common::{Conn, Reply, Server, Subject, encode, until};
use super::counts::{ALL, start_with_tokens};
use super::page::Page;

type Line = Vec<(String, String)>;

/// The fields of the lines of `CLIENT LIST`.
pub fn client_list(conn: &mut Conn, options: &str) -> Vec<Line> {
    lines(&conn.command(&format!("CLIENT LIST {options}")))
}

fn lines(reply: &Reply) -> Vec<Line> {
    let text = String::from_utf8(reply.bulk().unwrap().to_vec()).unwrap();
    let field = |field: &str| {
        let (name, value) = field.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    text.lines().map(|line| line.split(' ').map(field).collect()).collect()
}

/// A field of a line.
pub fn value(line: &[(String, String)], name: &str) -> String {
    line.iter().find(|(field, _)| field == name).unwrap().1.clone()
}

fn number(line: &Line, name: &str) -> i64 {
    value(line, name).parse().unwrap()
}

/// One connection, and another that looks at it.
struct Pair {
    seen: Conn,
    id: i64,
    looks: Conn,
    _server: Server,
}

impl Pair {
    fn new(subject: Subject) -> Pair {
        let server = Server::start(subject);
        let (mut seen, looks) = (server.connect(), server.connect());
        let id = seen.command("CLIENT ID").int();
        Pair { seen, id, looks, _server: server }
    }

    /// Waits until the line is so: others are told a moment after the client knows.
    fn until(&mut self, what: &str, is_so: impl Fn(&Line) -> bool) -> Line {
        let options = format!("ID {}", self.id);
        until(what, || client_list(&mut self.looks, &options).remove(0), is_so)
    }

    fn until_idle(&mut self) -> Line {
        let zeros = ["qbuf", "argv-mem", "multi-mem", "obl", "oll", "omem"];
        self.until("idle", |line| {
            value(line, "events") == "r" && zeros.iter().all(|name| value(line, name) == "0")
        })
    }
}

fn assert_adds_up(line: &Line) {
    let parts = ["qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "obl", "omem"];
    let sum: i64 = parts.iter().map(|name| number(line, name)).sum();
    assert_eq!(number(line, "tot-mem"), sum, "{line:?}");
}

const LARGE: i64 = 1 << 20;
const REPLIES: usize = 30;

/// Has the connection ask for more than can be sent to it, and does not read that.
fn clog(pair: &mut Pair) -> Line {
    pair.looks.call(&["SET", "k", &"x".repeat(LARGE as usize)]);
    pair.seen.send_raw(&encode(&["GET", "k"]).repeat(REPLIES));
    pair.until("full", |line| number(line, "omem") > LARGE && value(line, "events") == "rw")
}

fn unclog(pair: &mut Pair) -> Line {
    for _ in 0..REPLIES {
        assert_eq!(pair.seen.read_reply().bulk().unwrap().len(), LARGE as usize);
    }
    pair.until_idle()
}

#[test]
fn who_does_not_read_is_found_by_what_waits_for_it() {
    for subject in ALL {
        let mut pair = Pair::new(subject);
        let line = clog(&mut pair);
        assert!(number(&line, "oll") > 0 && number(&line, "tot-mem") > number(&line, "omem"));
        assert_eq!(value(&line, "cmd"), "get", "what it asked for, though it has not all of it");
        let line = unclog(&mut pair);
        assert!(number(&line, "tot-mem") < LARGE, "{line:?}");
    }
}

#[test]
fn the_whole_is_the_sum_of_its_parts() {
    let mut pair = Pair::new(Subject::Memory);
    let info = |pair: &mut Pair, what: &str, is_so: fn(&[i64; 2]) -> bool| {
        let ask = || {
            let page = Page::ask(&mut pair.looks, "clients memory");
            let fields = ["client_recent_max_output_buffer", "mem_clients_normal"];
            fields.map(|name| page.number(name) as i64)
        };
        until(what, ask, is_so);
    };
    let line = clog(&mut pair);
    assert_adds_up(&line);
    info(&mut pair, "full", |[largest, all]| *largest > LARGE && all > largest);
    // What comes now is received, but not executed.
    pair.seen.send(&["PING"]);
    let before = number(&line, "qbuf");
    pair.until("behind", |line| number(line, "qbuf") == before + 14);
    (0..REPLIES).for_each(|_| drop(pair.seen.read_reply()));
    assert_eq!(pair.seen.read_reply(), Reply::Simple(b"PONG".to_vec()));
    assert_adds_up(&pair.until_idle());
    info(&mut pair, "idle", |[largest, all]| *largest == 0 && *all > 0 && *all < LARGE);
}

#[test]
fn what_multi_queues_is_held() {
    for subject in ALL {
        let mut pair = Pair::new(subject);
        for line in ["MULTI", "SET key value", "GET key"] {
            pair.seen.command(line);
        }
        let line = pair.until("queued", |line| value(line, "multi") == "2");
        assert!(number(&line, "multi-mem") >= 17, "{subject:?} {line:?}");
        pair.seen.command("EXEC");
        assert_eq!(value(&pair.until_idle(), "multi"), "-1");
        pair.seen.pipeline(&["MULTI", "PING", "DISCARD"].map(super::common::words));
        assert_eq!(value(&pair.until_idle(), "multi"), "-1");
    }
}

#[test]
fn half_a_command_is_held() {
    for subject in ALL {
        let mut pair = Pair::new(subject);
        let command = encode(&["ECHO", "0123456789"]);
        let (half, rest) = command.split_at(command.len() - 5);
        pair.seen.send_raw(half);
        pair.until("received", |line| number(line, "qbuf") > 0 && number(line, "qbuf-free") > 0);
        pair.seen.send_raw(rest);
        assert_eq!(pair.seen.read_reply(), Reply::Bulk(b"0123456789".to_vec()));
        pair.until_idle();
    }
}

#[test]
fn who_waits_for_data_holds_its_arguments() {
    for subject in ALL {
        let mut pair = Pair::new(subject);
        pair.seen.send(&["BLPOP", "abc", "0"]);
        pair.until("waiting", |line| {
            value(line, "flags").contains('b') && value(line, "argv-mem") == "9"
        });
        pair.until("executed", |line| value(line, "qbuf") == "0");
        pair.looks.command("RPUSH abc x");
        pair.seen.read_reply();
        pair.until_idle();
    }
}

#[test]
fn what_a_monitor_has_not_been_shown_waits_for_it() {
    for subject in ALL {
        let mut pair = Pair::new(subject);
        pair.seen.command("MONITOR");
        // Each byte of it is shown as four.
        let large = vec![0xff; LARGE as usize];
        for _ in 0..4 {
            pair.looks.call(&[&b"ECHO"[..], &large]);
        }
        pair.until("full", |line| number(line, "omem") > LARGE && value(line, "events") == "rw");
        (0..4).for_each(|_| drop(pair.seen.read_reply()));
        pair.until_idle();
    }
}

#[test]
fn who_asks_is_told_of_itself_what_redis_tells() {
    let told = |subject| {
        let server = Server::start(subject);
        let mut conn = server.connect();
        let mut told = Vec::new();
        for before in [0, 1, 30] {
            let mut request = encode(&["PING"]).repeat(before);
            request.extend(encode(&["CLIENT", "LIST"]));
            conn.send_raw(&request);
            (0..before).for_each(|_| drop(conn.read_reply()));
            let line = lines(&conn.read_reply()).remove(0);
            assert!(number(&line, "fd") > 2 && number(&line, "qbuf-free") > 0, "{line:?}");
            let names = ["qbuf", "argv-mem", "multi-mem", "obl", "oll", "omem", "events"];
            told.push(names.map(|name| value(&line, name)));
        }
        told
    };
    let theirs = told(Subject::Redis);
    for subject in super::RINGSTONE {
        assert_eq!(told(subject), theirs, "{subject:?}");
    }
}

#[test]
fn only_an_operator_is_told_of_descriptors() {
    let server = start_with_tokens();
    let mut root = connect(&server, &operator("ops"));
    let mut acme = connect(&server, &plain("acme"));
    let fds = |conn: &mut Conn| -> Vec<_> {
        client_list(conn, "").iter().map(|line| number(line, "fd")).collect()
    };
    assert_eq!(fds(&mut acme), [-1]);
    assert!(fds(&mut root).iter().all(|fd| *fd > 2));
}
