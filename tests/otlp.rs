//! Property: with the feature `otlp` and a collector named in the environment, every group becomes a span
//! there, with its time, and none is lost when the server ends.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Options, Server, Subject};

const GROUPS: usize = 20;

/// A collector: what is posted to it, and its address.
fn collector() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (posted, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let posted = posted.clone();
            std::thread::spawn(move || take(stream, &posted));
        }
    });
    (address, bodies)
}

/// Takes requests from a connection until it ends.
fn take(mut stream: TcpStream, posted: &Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut length, mut first) = (0, String::new());
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(first, "POST /v1/traces HTTP/1.1\r\n");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        posted.send(body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

fn count(body: &[u8], text: &str) -> usize {
    body.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// Start and end of all spans: fields 7 and 8 of a span, which are of a fixed size and neighbours.
fn times(body: &[u8]) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let fields = body.windows(18).filter(|window| (window[0], window[9]) == (0x39, 0x41));
    fields.map(|window| (number(&window[1..9]), number(&window[10..]))).collect()
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn groups_are_spans() {
    for subject in [Subject::Memory, Subject::Faulty] {
        let (address, bodies) = collector();
        let environment = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", address),
            ("OTEL_SERVICE_NAME", "ringstone-under-test".to_owned()),
        ];
        let options = Options { environment, ..Options::default() };
        let began = now_ns();
        let mut server = Server::start_with(subject, &options);
        let mut conn = server.connect();
        for number in 0..GROUPS {
            conn.command(&format!("INCRBY key {number}"));
        }
        assert!(server.terminate().success());
        let body: Vec<u8> = bodies.try_iter().flatten().collect();
        let ended = now_ns();
        assert!(count(&body, "ringstone-under-test") > 0, "{subject:?}");
        let spans = count(&body, "execution_us");
        assert!(spans >= GROUPS, "{subject:?}: {spans} spans");
        assert_eq!(count(&body, "commands"), spans, "{subject:?}");
        assert!(count(&body, "commit_us") >= GROUPS - 1, "{subject:?}");
        let is_within = |&(start, end): &(u64, u64)| began <= start && start < end && end <= ended;
        assert_eq!(times(&body).iter().filter(|times| is_within(times)).count(), spans);
        let conflicts = count(&body, "the commit conflicted");
        assert_eq!(conflicts > 0, subject == Subject::Faulty, "{subject:?}: {conflicts}");
        assert!(!server.log().contains("execution_us"), "the log has its own level");
    }
}
