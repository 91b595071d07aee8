//! Connections over TLS live and end as others do, and outlive the certificate they began with.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Conn, Reply, eventually};
use crate::stage::{Authority, Stage, showing};

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

/// The certificate that a new connection is shown, by the name in it.
fn shown(stage: &Stage) -> String {
    let said = stage.openssl(&[]);
    let line = said.lines().find(|line| line.starts_with("subject=")).unwrap_or_else(|| {
        panic!("no subject in {said}");
    });
    line.rsplit('=').next().unwrap().trim().to_owned()
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let stage = Stage::new(&[]);
    let mut conn = stage.connect();
    assert_eq!(conn.command("PING"), pong());
    assert_eq!(shown(&stage), "first");
    let (cert, key) = stage.authority.issue("second");
    stage.replace("cert.pem", &cert);
    stage.replace("key.pem", &key);
    stage.server.signal(Signal::HUP);
    eventually("the second certificate", || shown(&stage) == "second");
    assert_eq!(conn.command("PING"), pong());
    for (name, text, problem) in [
        ("cert.pem", "nothing", "has no certificate in PEM"),
        ("cert.pem", &stage.authority.issue("third").0, "do not fit"),
        ("key.pem", "nothing", "has no private key in PEM"),
    ] {
        stage.replace(name, text);
        stage.server.signal(Signal::HUP);
        stage.logs(problem);
        assert_eq!(shown(&stage), "second");
    }
    assert_eq!(conn.command("PING"), pong());
}

#[test]
fn certificates_are_read_again_when_they_change() {
    let stage = Stage::new(&["--tls-client-ca", "CLIENT-CA"]);
    let ca = stage.authority.pem();
    let known = showing(&ca, stage.clients.issue("known"));
    let mut conn = Conn::over(stage.dial(known.clone()));
    assert_eq!(conn.command("PING"), pong());
    let others = Authority::new("other clients' CA");
    let other = showing(&ca, others.issue("other"));
    assert!(!stage.serves(other.clone()));
    stage.replace("clients.pem", &others.pem());
    eventually("the other CA", || stage.serves(other.clone()));
    // Not even with a ticket.
    assert!(!stage.serves(known));
    assert_eq!(conn.command("PING"), pong());
    std::fs::remove_file(stage.path("key.pem")).unwrap();
    stage.logs("cannot read");
    assert!(stage.serves(other));
}

#[test]
fn a_start_with_wrong_files_says_what_is_wrong() {
    let stage = Stage::new(&[]);
    let path = |name: &str| stage.path(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty.pem"), "").unwrap();
    for (cert, key, problem) in [
        ("missing.pem", "key.pem", "cannot read"),
        ("empty.pem", "key.pem", "has no certificate in PEM"),
        ("cert.pem", "empty.pem", "has no private key in PEM"),
        ("cert.pem", "client-key.pem", "do not fit"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringstone"))
            .args(["--store", "memory", "--listen", "", "--tls-listen", "127.0.0.1:0"])
            .args(["--tls-cert", &path(cert), "--tls-key", &path(key)])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("ringstone: TLS: ") && said.contains(problem), "{said}");
        assert!(!output.status.success());
    }
}

#[test]
fn our_own_certificates_work() {
    let files = tempfile::tempdir().unwrap();
    let out = files.path().to_str().unwrap();
    let make = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringstone"));
        command.args(["cert", "self-signed", "--out", out]).args(more);
        command.output().unwrap()
    };
    let made = make(&["--name", "127.0.0.1", "--name", "example.test"]);
    assert!(made.status.success(), "{made:?}");
    assert!(String::from_utf8(made.stdout).unwrap().contains("redis-cli --tls --cacert"));
    let again = make(&[]);
    assert_eq!(again.status.code(), Some(64));
    assert!(String::from_utf8(again.stderr).unwrap().contains("is there already"));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(files.path().join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stage = Stage::new(&[]);
    let [cert, key] = ["cert.pem", "key.pem"]
        .map(|name| std::fs::read_to_string(files.path().join(name)).unwrap());
    stage.replace("cert.pem", &cert);
    stage.replace("key.pem", &key);
    stage.replace("ca.pem", &cert);
    stage.server.signal(Signal::HUP);
    stage.logs("read again");
    let said = stage.openssl(&["-verify_ip", "127.0.0.1", "-verify_return_error"]);
    assert!(said.contains("Verification: OK") && said.contains("+PONG"), "{said}");
    assert!(make(&["--force"]).status.success());
}

#[test]
fn clients_are_listed_and_killed() {
    let stage = Stage::new(&[]);
    let mut conn = stage.connect();
    let Reply::Int(id) = conn.command("CLIENT ID") else { panic!("an id") };
    let mut plain = stage.server.connect();
    let list = String::from_utf8(plain.command("CLIENT LIST").bulk().unwrap().to_vec()).unwrap();
    let line = list.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
    assert!(line.contains(&format!("laddr={}", stage.tls)), "{line}");
    assert_eq!(plain.command(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    assert!(conn.try_read().is_err());
    // One that is in its handshake, too.
    let mut raw = stage.raw();
    raw.write_all(&[0x16, 3]).unwrap();
    let address = raw.local_addr().unwrap();
    let ok = Reply::Simple(b"OK".to_vec());
    eventually("it is there", || plain.command(&format!("CLIENT KILL {address}")) == ok);
    assert!(matches!(raw.read(&mut [0; 8]), Ok(0) | Err(_)));
    let port = stage.tls.port().to_string();
    let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
    let expected = Reply::Array(vec![bulk("tls-port"), bulk(&port)]);
    assert_eq!(plain.command("CONFIG GET tls-port"), expected);
}

#[test]
fn handshakes_are_counted() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let stage = Stage::new(&["--metrics-listen", address.to_string().leak()]);
    let config = stage.client();
    assert!(stage.serves(config.clone()) && stage.serves(config.clone()));
    assert!(stage.serves(stage.client()));
    stage.raw().write_all(b"PING\r\n").unwrap();
    let metrics = || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    };
    for line in [
        "ringstone_tls_handshakes_total{kind=\"full\"} 2\n",
        "ringstone_tls_handshakes_total{kind=\"resumed\"} 1\n",
        "ringstone_tls_handshake_failures_total 1\n",
    ] {
        eventually(line, || metrics().contains(line));
    }
}

#[test]
fn idle_and_surplus_connections_are_closed() {
    let stage = Stage::new(&["--timeout", "1", "--maxclients", "2"]);
    let mut first = stage.connect();
    let mut second = stage.connect();
    assert_eq!((first.command("PING"), second.command("PING")), (pong(), pong()));
    assert!(!stage.serves(stage.client()), "there are as many as there may be");
    assert!(first.try_read().is_err() && second.try_read().is_err(), "both have been idle");
    eventually("there is room again", || stage.serves(stage.client()));
}

#[test]
fn a_stop_says_goodbye() {
    let mut stage = Stage::new(&["--shutdown-timeout", "5s"]);
    let mut stream = stage.dial(stage.client());
    stream.write_all(b"PING\r\n").unwrap();
    stream.read_exact(&mut [0; 7]).unwrap();
    let mut raw = stage.raw();
    raw.write_all(&[0x16]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(stage.server.terminate().success());
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}
