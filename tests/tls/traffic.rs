//! Commands and replies over TLS are those without it, however the records are cut.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustls::crypto::cipher::{
    AeadKey, Iv, OutboundChunks, OutboundPlainMessage, Tls13AeadAlgorithm,
};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use crate::common::{Conn, Reply, encode, eventually, words};
use crate::stage::{Stage, output};

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

#[test]
fn the_largest_values_go_both_ways() {
    let stage = Stage::new(&[]);
    let value: Vec<u8> = (0..5 << 20).map(|at| (at % 251) as u8).collect();
    let mut conn = stage.connect();
    for _ in 0..2 {
        assert_eq!(conn.call(&[b"SET", &b"large"[..], &value]), ok());
        assert!(conn.command("GET large").bulk() == Some(&value[..]));
    }
    let gets = vec![words("GET large"); 8];
    assert!(conn.pipeline(&gets).iter().all(|reply| reply.bulk() == Some(&value[..])));
}

#[test]
fn a_monitor_is_shown_what_others_do() {
    let stage = Stage::new(&[]);
    let (mut monitor, mut conn) = (stage.connect(), stage.connect());
    assert_eq!(monitor.command("MONITOR"), ok());
    let value = "v".repeat(100_000);
    for n in 0..20 {
        assert_eq!(conn.call(&["SET", &n.to_string(), &value]), ok());
        let Reply::Simple(line) = monitor.read_reply() else { panic!("no line") };
        assert!(line.ends_with(format!("] \"SET\" \"{n}\" \"{value}\"").as_bytes()));
    }
    assert_eq!(monitor.command("PING"), Reply::Simple(b"PONG".to_vec()));
    assert!(matches!(monitor.read_reply(), Reply::Simple(_)));
    assert_eq!(monitor.command("RESET"), Reply::Simple(b"RESET".to_vec()));
    assert_eq!(monitor.command("GET 1").bulk(), Some(value.as_bytes()));
}

#[test]
fn what_waits_to_be_sent_is_listed() {
    let stage = Stage::new(&[]);
    let mut slow = stage.connect();
    let Reply::Int(id) = slow.command("CLIENT ID") else { panic!("an id") };
    assert_eq!(slow.call(&["SET", "k", &"v".repeat(1 << 20)]), ok());
    let mut plain = stage.server.connect();
    let mut shows = |text: &str| {
        let reply = plain.command(&format!("CLIENT LIST ID {id}"));
        String::from_utf8_lossy(reply.bulk().unwrap()).contains(text)
    };
    let gets = 30;
    slow.send_raw(&encode(&["GET", "k"]).repeat(gets));
    eventually("it waits", || shows(" oll=1 ") && shows(" events=rw "));
    (0..gets).for_each(|_| drop(slow.read_reply()));
    eventually("all has left", || shows(" qbuf=0 ") && shows(" oll=0 omem=0 "));
}

#[test]
fn long_pipelines_are_answered_in_order() {
    let stage = Stage::new(&[]);
    let mut conn = stage.connect();
    let commands: Vec<_> = (0..10_000).map(|n| words(&format!("ECHO {n}"))).collect();
    let replies = conn.pipeline(&commands);
    assert!(replies.iter().enumerate().all(|(n, r)| r.bulk() == Some(n.to_string().as_bytes())));
    let commands: Vec<_> = (0..10_000).map(|_| words("INCR n")).collect();
    assert_eq!(conn.pipeline(&commands).last(), Some(&Reply::Int(10_000)));
}

#[test]
fn records_may_be_cut_anywhere() {
    let stage = Stage::new(&[]);
    let mut stream = stage.dial(stage.client());
    stream.write_all(b"PING\r\n").unwrap();
    stream.read_exact(&mut [0; 7]).unwrap();
    let mut other = stage.connect();
    // Two records, the second with two commands.
    let mut cut = 1;
    loop {
        stream.conn.writer().write_all(&encode(&["SET", "k", "v"])).unwrap();
        let mut bytes = Vec::new();
        stream.conn.write_tls(&mut bytes).unwrap();
        stream.conn.writer().write_all(b"GET k\r\nPING\r\n").unwrap();
        stream.conn.write_tls(&mut bytes).unwrap();
        if cut == bytes.len() {
            break;
        }
        stream.sock.write_all(&bytes[..cut]).unwrap();
        // Most likely the first part has been received alone by then.
        other.command("PING");
        stream.sock.write_all(&bytes[cut..]).unwrap();
        let expected = b"+OK\r\n$1\r\nv\r\n+PONG\r\n";
        let mut got = [0; 19];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got[..], &expected[..], "cut at {cut}");
        cut += 1;
    }
}

#[test]
fn slow_readers_get_everything() {
    let stage = Stage::new(&[]);
    let mut stream = stage.dial(stage.client());
    let value = vec![b'v'; 100_000];
    stream.write_all(&encode(&[b"SET", &b"k"[..], &value])).unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    // All requests are sent before the first reply is read.
    stream.write_all(&b"GET k\r\n".repeat(300)).unwrap();
    stream.write_all(&encode(&[b"SET", &b"last"[..], &vec![b'x'; 1 << 20]])).unwrap();
    stream.write_all(b"STRLEN last\r\n").unwrap();
    let mut conn = Conn::over(stream);
    for _ in 0..300 {
        assert_eq!(conn.read_reply().bulk(), Some(&value[..]));
    }
    assert_eq!(conn.read_reply(), ok());
    assert_eq!(conn.read_reply(), Reply::Int(1 << 20));
}

#[test]
fn keys_are_changed_under_way() {
    let stage = Stage::new(&[]);
    let mut stream = stage.dial(stage.client());
    for _ in 0..100 {
        stream.write_all(&encode(&["SET", "k", "v"])).unwrap();
        stream.conn.refresh_traffic_keys().unwrap();
        stream.write_all(b"GET k\r\n").unwrap();
        let mut got = [0; 12];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"+OK\r\n$1\r\nv\r\n");
    }
}

/// Interactive input: `R` asks openssl's client to renegotiate, `K` to change the keys of both sides.
#[test]
fn renegotiation_is_refused_and_new_keys_are_not() {
    let stage = Stage::new(&[]);
    for (version, letter) in [("-tls1_2", "R"), ("-tls1_3", "K")] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &stage.tls.to_string(), version]);
        let mut child = command
            .args(["-CAfile", stage.path("ca.pem").to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"SET before 1\n").unwrap();
        let mut plain = stage.server.connect();
        eventually("before", || plain.command("DEL before") == Reply::Int(1));
        stdin.write_all(format!("{letter}\n").as_bytes()).unwrap();
        // It reads what is there at once, and letters count only at its beginning.
        std::thread::sleep(Duration::from_millis(100));
        let _ = stdin.write_all(b"SET after 1\n");
        match letter {
            "K" => eventually("after", || plain.command("DEL after") == Reply::Int(1)),
            // The client gives up when it is refused.
            _ => eventually("the client gives up", || child.try_wait().unwrap().is_some()),
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn goodbyes_are_heard_and_said() {
    let stage = Stage::new(&[]);
    // Ours, after QUIT: rustls reports an end without it as an error.
    let mut stream = stage.dial(stage.client());
    stream.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"+PONG\r\n+OK\r\n");
    // Theirs: what came before it is answered.
    let mut stream = stage.dial(stage.client());
    stream.write_all(b"PING\r\nINCR n\r\n").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"+PONG\r\n:1\r\n");
    // None at all.
    let mut stream = stage.dial(stage.client());
    stream.write_all(b"INCR n\r\n").unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    assert_eq!(all, b":2\r\n");
}

#[test]
fn who_waits_for_data_and_says_goodbye_gets_none() {
    let stage = Stage::new(&[]);
    let mut plain = stage.server.connect();
    for polite in [true, false] {
        let mut stream = stage.dial(stage.client());
        stream.write_all(b"BLPOP q 0\r\n").unwrap();
        let waiting = |conn: &mut Conn, count: &str| {
            let info = conn.command("INFO clients").bulk().unwrap().to_vec();
            String::from_utf8(info).unwrap().contains(&format!("blocked_clients:{count}\r\n"))
        };
        eventually("it waits", || waiting(&mut plain, "1"));
        if polite {
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        } else {
            stream.sock.shutdown(Shutdown::Both).unwrap();
        }
        eventually("it waits no longer", || waiting(&mut plain, "0"));
        assert_eq!(plain.command("RPUSH q item"), Reply::Int(1));
        assert_eq!(plain.command("DEL q"), Reply::Int(1));
    }
}

/// Nobody's library sends such a thing, so the record is made by hand.
#[test]
fn messages_in_several_records_end_the_connection() {
    let stage = Stage::new(&[]);
    let mut config = stage.client();
    config.enable_secret_extraction = true;
    let mut stream = stage.dial(config);
    stream.write_all(b"PING\r\n").unwrap();
    stream.read_exact(&mut [0; 7]).unwrap();
    let Some(SupportedCipherSuite::Tls13(suite)) = stream.conn.negotiated_cipher_suite() else {
        panic!("TLS 1.3 is spoken");
    };
    let (conn, mut socket) = (stream.conn, stream.sock);
    #[allow(deprecated)]
    let (sequence, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
    let (key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("another cipher"),
    };
    let part = record(suite.aead_alg, key, iv, sequence);
    socket.write_all(&part).unwrap();
    let mut rest = Vec::new();
    let read = socket.read_to_end(&mut rest);
    assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    stage.logs("a message in several records");
    assert!(stage.serves(stage.client()));
}

/// A record with the first two bytes of a message that changes keys.
fn record(algorithm: &dyn Tls13AeadAlgorithm, key: AeadKey, iv: Iv, sequence: u64) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&[24, 0]),
    };
    algorithm.encrypter(key, iv).encrypt(message, sequence).unwrap().encode()
}

#[test]
fn openssl_pipes_a_large_value() {
    let stage = Stage::new(&[]);
    let mut input = encode(&[b"SET", &b"large"[..], &vec![b'x'; 3 << 20]]);
    input.extend(encode(&["STRLEN", "large"]));
    input.extend(encode(&["QUIT"]));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &stage.tls.to_string(), version]);
        let said = output(&mut command, &input);
        assert!(said.contains(":3145728"), "{said}");
    }
}
