//! The endpoint and those who misuse it.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::common::{DEADLINE, Options, Server, Subject, eventually, http};

/// More than the endpoint serves at a time.
const TOO_MANY: usize = 40;

fn server() -> Server {
    let flags = vec!["--metrics-listen", "127.0.0.1:0"];
    Server::start_with(Subject::Memory, &Options { flags, ..Options::default() })
}

#[test]
fn those_who_send_or_read_nothing_keep_nobody_from_asking() {
    let server = server();
    let address = server.metrics_address();
    // So many answers that they do not fit into the system's buffers.
    let unread = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    for request in ["", "GET /live HTTP/1.1\r\nHost: ", unread.as_str()] {
        let mut others = Vec::new();
        for _ in 0..TOO_MANY {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            // Whoever has had to make room already cannot send.
            let _ = stream.write_all(request.as_bytes());
            others.push(stream);
        }
        for path in ["/live", "/ready", "/metrics"] {
            assert_eq!(http::get(address, path).unwrap().0, 200, "{path} beside {request:.40}");
        }
        if request.is_empty() {
            let silent = others[0].read(&mut [0]);
            assert!(matches!(silent, Ok(0)) || silent.is_err(), "the first has made room");
        }
    }
}

#[test]
fn who_is_stopping_is_not_ready() {
    let mut server = server();
    let address = server.metrics_address();
    assert_eq!(http::get(address, "/ready").unwrap().0, 200);
    server.connect().call(&["SET", "k", &"x".repeat(1_000_000)]);
    // Replies under way, which are finished before the process ends.
    let mut reader = TcpStream::connect(("127.0.0.1", server.tcp_port())).unwrap();
    reader.set_read_timeout(Some(DEADLINE)).unwrap();
    reader.write_all("GET k\r\n".repeat(50).as_bytes()).unwrap();
    reader.read_exact(&mut [0]).unwrap();
    server.signal(Signal::TERM);
    // What it said before may be repeated for a moment.
    eventually("it is not ready", || http::get(address, "/ready").unwrap().0 != 200);
    assert_eq!(http::get(address, "/live").unwrap().0, 200);
    drop(reader);
    assert!(server.terminate().success());
}
