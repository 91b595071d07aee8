//! Certificates, a server with a TLS listener, and clients for it: rustls's and openssl's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{Conn, DEADLINE, Options, Server, Subject, eventually};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for 127.0.0.1 and its key, in PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }
}

/// A server, and the files it and its clients use.
pub struct Stage {
    pub server: Server,
    pub tls: SocketAddr,
    pub authority: Authority,
    pub clients: Authority,
    pub files: tempfile::TempDir,
}

impl Stage {
    /// A server with these flags more; `CLIENT-CA` among them is the file with the clients' CA.
    pub fn new(flags: &[&'static str]) -> Stage {
        let files = tempfile::tempdir().unwrap();
        let (authority, clients) = (Authority::new("servers' CA"), Authority::new("clients' CA"));
        let path = |name: &str| leak(files.path().join(name));
        let (cert, key) = authority.issue("first");
        let (client_cert, client_key) = clients.issue("a client");
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("cert.pem", &cert),
            ("key.pem", &key),
            ("clients.pem", &clients.pem()),
            ("client-cert.pem", &client_cert),
            ("client-key.pem", &client_key),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        let mut all = vec!["--tls-listen", "127.0.0.1:0", "--tls-cert", path("cert.pem")];
        all.extend(["--tls-key", path("key.pem"), "--loglevel", "debug"]);
        all.extend(flags.iter().map(|flag| match *flag {
            "CLIENT-CA" => path("clients.pem"),
            flag => flag,
        }));
        let options = Options { flags: all, ..Options::default() };
        let server = Server::start_with(Subject::Memory, &options);
        let tls = listener(&server);
        Stage { server, tls, authority, clients, files }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Replaces a file as a whole, as certificate managers do.
    pub fn replace(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// What a client that trusts the server's CA is configured with.
    pub fn client(&self) -> ClientConfig {
        trusting(&self.authority.pem())
    }

    /// The server's CA.
    pub fn roots(&self) -> RootCertStore {
        roots(&self.authority.pem())
    }

    /// A connected client that has not begun its handshake.
    pub fn dial(&self, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let conn = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(conn, self.raw())
    }

    /// A TCP connection to the TLS listener.
    pub fn raw(&self) -> TcpStream {
        let socket = TcpStream::connect(self.tls).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// A TLS connection.
    pub fn connect(&self) -> Conn {
        Conn::over(self.dial(self.client()))
    }

    /// Whether a client configured like this gets an answer.
    pub fn serves(&self, config: ClientConfig) -> bool {
        let mut stream = self.dial(config);
        let mut answer = [0; 7];
        let asked = stream.write_all(b"PING\r\n");
        asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && &answer == b"+PONG\r\n"
    }

    /// What openssl's client says; it sends a PING, or this.
    pub fn openssl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-ign_eof", "-connect", &self.tls.to_string(), "-CAfile"]);
        command.arg(self.path("ca.pem")).args(arguments);
        output(&mut command, b"PING\r\nQUIT\r\n")
    }

    /// Waits until the log has the text.
    pub fn logs(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.server.log().contains(text));
    }
}

/// Where the server has its TLS listener.
fn listener(server: &Server) -> SocketAddr {
    let log = server.log();
    let line = log.lines().find_map(|line| line.strip_suffix(" (TLS)")).expect("a TLS listener");
    line.trim_start_matches("listening").trim().parse().unwrap()
}

fn leak(path: PathBuf) -> &'static str {
    path.to_str().unwrap().to_owned().leak()
}

/// What a client that trusts a CA, given in PEM, is configured with.
pub fn trusting(ca: &str) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots(ca)).with_no_client_auth()
}

fn roots(ca: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    roots
}

/// As [`trusting`], with a certificate of the client's own.
pub fn showing(ca: &str, (cert, key): (String, String)) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots(ca));
    builder.with_client_auth_cert(chain, key).unwrap()
}

/// What a program prints on both streams, given this input.
pub fn output(command: &mut Command, input: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (out, err) = (file.reopen().unwrap(), file.reopen().unwrap());
    let mut child =
        command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn().unwrap_or_else(|error| {
            panic!("{:?}: {error}: run scripts/test.sh", command.get_program())
        });
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{command:?} does not end: {}", read(file.path()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    read(file.path())
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}
