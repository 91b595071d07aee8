//! Who gets in, how, and what becomes of those who do not finish.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustls::ClientConnection;

use crate::common::{Conn, Reply, Rng, encode, eventually};
use crate::stage::{Authority, Stage, output, showing, trusting};

#[test]
fn only_current_protocols_are_spoken() {
    let stage = Stage::new(&[]);
    for old in ["-tls1", "-tls1_1"] {
        let said = stage.openssl(&[old, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert!(!said.contains("+PONG"), "{old}: {said}");
        assert!(said.contains("Cipher is (NONE)"), "{old}: {said}");
    }
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = stage.openssl(&[version, "-verify_return_error"]);
        assert!(said.contains("+PONG") && said.contains("Verification: OK"), "{said}");
        let cipher = said.lines().find(|line| line.contains("Cipher is")).unwrap();
        assert!(cipher.contains(name) && cipher.contains("GCM") || cipher.contains("CHACHA"));
    }
    for weak in ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "NULL", "AES128-GCM-SHA256"] {
        let said = stage.openssl(&["-tls1_2", "-cipher", &format!("{weak}:@SECLEVEL=0")]);
        assert!(!said.contains("+PONG"), "{weak}: {said}");
    }
}

#[test]
fn sessions_are_resumed() {
    let stage = Stage::new(&[]);
    let session = stage.path("session");
    let session = session.to_str().unwrap();
    for flags in [&["-tls1_3"][..], &["-tls1_2"], &["-tls1_2", "-no_ticket"]] {
        let first = stage.openssl(&[flags, &["-sess_out", session]].concat());
        assert!(first.contains("New, "), "{flags:?}: {first}");
        let second = stage.openssl(&[flags, &["-sess_in", session]].concat());
        assert!(second.contains("Reused, ") && second.contains("+PONG"), "{flags:?}: {second}");
    }
}

#[test]
fn the_server_proves_who_it_is() {
    let stage = Stage::new(&[]);
    assert!(stage.serves(stage.client()));
    assert!(!stage.serves(trusting(&Authority::new("another").pem())));
    stage.logs("TLS handshake failed");
}

#[test]
fn clients_prove_who_they_are_if_they_must() {
    for (flags, anonymous) in [
        (&["--tls-client-ca", "CLIENT-CA"][..], false),
        (&["--tls-client-ca", "CLIENT-CA", "--tls-client-auth", "optional"], true),
        (&["--tls-client-ca", "CLIENT-CA", "--tls-client-auth", "off"], true),
    ] {
        let stage = Stage::new(flags);
        let ca = stage.authority.pem();
        assert_eq!(stage.serves(stage.client()), anonymous, "{flags:?}");
        assert!(stage.serves(showing(&ca, stage.clients.issue("known"))), "{flags:?}");
        let stranger = showing(&ca, Authority::new("another").issue("stranger"));
        assert_eq!(stage.serves(stranger), flags.ends_with(&["off"]), "{flags:?}");
        let paths = ["client-cert.pem", "client-key.pem"].map(|name| stage.path(name));
        let [cert, key] = paths.each_ref().map(|path| path.to_str().unwrap());
        let said = stage.openssl(&["-cert", cert, "-key", key, "-tls1_2"]);
        assert!(said.contains("+PONG"), "{flags:?}: {said}");
    }
}

#[test]
fn redis_cli_works() {
    let stage = Stage::new(&[]);
    let mut command = Command::new("redis-cli");
    command.args(["--tls", "-p", &stage.tls.port().to_string(), "--cacert"]);
    command.arg(stage.path("ca.pem"));
    let said = output(command.arg("--no-raw"), b"SET k v\nGET k\n");
    assert_eq!(said, "OK\n\"v\"\n");
}

#[test]
fn the_wrong_protocol_is_refused_at_once() {
    let stage = Stage::new(&[]);
    let mut plain = Conn::over(stage.raw());
    plain.send_raw(b"PING\r\n");
    assert_eq!(plain.read_to_close().unwrap(), b"");
    stage.logs("the client does not speak TLS");
    let socket = TcpStream::connect(("127.0.0.1", stage.server.tcp_port())).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(stage.client().into(), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    let mut conn = Conn::over(socket);
    conn.send_raw(&hello);
    let rest = conn.read_to_close().unwrap();
    assert_eq!(rest, b"-ERR Protocol error: TLS on a port without it\r\n");
    assert!(stage.serves(stage.client()));
}

#[test]
fn a_handshake_that_takes_too_long_is_ended() {
    let stage = Stage::new(&["--tls-handshake-timeout", "200ms"]);
    let mut served = stage.connect();
    assert_eq!(served.command("PING"), Reply::Simple(b"PONG".to_vec()));
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut socket = stage.raw();
        socket.write_all(beginning).unwrap();
        assert!(matches!(socket.read(&mut [0; 16]), Ok(0) | Err(_)));
    }
    stage.logs("timed out");
    assert_eq!(served.command("PING"), Reply::Simple(b"PONG".to_vec()));
    let mut plain = stage.server.connect();
    let alone = || plain.command("CLIENT LIST").bulk().unwrap().split(|b| *b == b'\n').count() == 3;
    eventually("the two that are served are alone", alone);
}

/// Sends every byte in a packet of its own.
struct Dripping(TcpStream);

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Read for Dripping {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

#[test]
fn handshakes_and_commands_may_come_byte_by_byte() {
    let stage = Stage::new(&["--tls-client-ca", "CLIENT-CA", "--tls-client-auth", "optional"]);
    let known = showing(&stage.authority.pem(), stage.clients.issue("known"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = known.clone();
        let only = rustls::ClientConfig::builder_with_protocol_versions(&[version]);
        config = only
            .with_root_certificates(stage.roots())
            .with_client_cert_resolver(config.client_auth_cert_resolver);
        // Messages of the handshake come in many records, too.
        config.max_fragment_size = Some(64);
        let stream = stage.dial(config);
        let mut conn = Conn::over(rustls::StreamOwned::new(stream.conn, Dripping(stream.sock)));
        assert_eq!(conn.call(&["SET", "k", &"v".repeat(300)]), Reply::Simple(b"OK".to_vec()));
        assert_eq!(conn.command("GET k").bulk().unwrap(), "v".repeat(300).as_bytes());
    }
}

#[test]
fn garbage_disturbs_nobody() {
    let stage = Stage::new(&[]);
    let mut served = stage.connect();
    let seed = crate::common::env_number("RINGSTONE_TEST_SEED", 1);
    let mut rng = Rng::new(seed);
    for round in 0..400 {
        let mut bytes = vec![0; rng.between(1, 3000) as usize];
        bytes.iter_mut().for_each(|byte| *byte = rng.bits() as u8);
        // Most look like records, some like those of a handshake.
        if !rng.one_in(4) {
            let kind = *rng.pick(&[&0x14_u8, &0x15, &0x16, &0x16, &0x17]);
            let length = if rng.one_in(2) { bytes.len() } else { rng.below(1 << 16) as usize };
            let header = [kind, 3, rng.below(5) as u8, (length >> 8) as u8, length as u8];
            bytes.splice(0..0, header);
        }
        let mut socket = stage.raw();
        // It may be closed before it has taken everything.
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
        assert_eq!(served.call(&["INCR", "n"]), Reply::Int(round + 1), "seed {seed}");
    }
}

#[test]
fn changed_records_end_their_connection_alone() {
    let stage = Stage::new(&[]);
    let mut served = stage.connect();
    let seed = crate::common::env_number("RINGSTONE_TEST_SEED", 1);
    let mut rng = Rng::new(seed);
    for round in 0..200 {
        let mut stream = stage.dial(stage.client());
        let while_shaking = rng.one_in(2);
        if !while_shaking {
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            stream.conn.writer().write_all(&encode(&["SET", "changed", "x"])).unwrap();
        }
        let mut bytes = Vec::new();
        stream.conn.write_tls(&mut bytes).unwrap();
        for _ in 0..rng.between(1, 3) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => drop(bytes.drain(at..(at + 1 + rng.below(9) as usize).min(bytes.len()))),
                _ => bytes.insert(at, rng.bits() as u8),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let _ = stream.sock.write_all(&bytes);
        let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        let _ = stream.sock.read_to_end(&mut Vec::new());
        assert_eq!(served.call(&["INCR", "n"]), Reply::Int(round + 1), "seed {seed}");
    }
    // What counts was refused; a record's version does not.
    let value = served.command("GET changed");
    assert!(value.is_nil() || value.bulk() == Some(b"x"), "seed {seed}: {value:?}");
}
