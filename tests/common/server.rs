//! Servers under test: ringstone on each of its stores, and the real redis-server, each a child
//! process with its own temporary directory, port and Unix socket.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::conn::{Address, Conn};
use super::{DEADLINE, Reply, fdb};

/// What a test talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// redis-server, the reference.
    Redis,
    /// ringstone with `--store memory`.
    Memory,
    /// ringstone with `--store embedded`.
    Embedded,
    /// ringstone with `--store memory` behind the wrapper that injects faults.
    Faulty,
    /// ringstone with `--store embedded` behind the wrapper that injects faults.
    FaultyEmbedded,
    /// ringstone with `--store foundationdb`; see [`fdb::is_here`] first.
    FoundationDb,
    /// ringstone with `--store foundationdb` behind the wrapper that injects faults.
    FaultyFoundationDb,
}

impl Subject {
    /// Whether this is ringstone on some store.
    pub fn is_ringstone(self) -> bool {
        self != Subject::Redis
    }

    fn store(self) -> &'static str {
        match self {
            Subject::Embedded | Subject::FaultyEmbedded => "embedded",
            Subject::FoundationDb | Subject::FaultyFoundationDb => "foundationdb",
            _ => "memory",
        }
    }

    fn has_faults(self) -> bool {
        use Subject::{FaultyEmbedded, FaultyFoundationDb};
        matches!(self, Subject::Faulty | FaultyEmbedded | FaultyFoundationDb)
    }
}

/// How to start a server; the default suits most tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sync`, `interval` or `none`.
    pub durability: &'static str,
    /// Talk over the Unix socket instead of TCP (redis-server always does).
    pub unix: bool,
    /// What RINGSTONE_TEST_FAULTS says for the fault-injecting subjects.
    pub faults: String,
    /// How far the server's clock is ahead, in milliseconds.
    pub clock_skew_ms: i64,
    /// redis-server: log every write and sync it, as the embedded store does.
    pub redis_durable: bool,
    /// redis-server: also listen on a TCP port, for clients that cannot use a Unix socket.
    pub redis_tcp: bool,
    /// More flags for ringstone.
    pub flags: Vec<&'static str>,
    /// Variables for ringstone.
    pub environment: Vec<(&'static str, String)>,
    /// The directory for data; a fresh temporary one when absent.
    pub data_dir: Option<PathBuf>,
    /// FoundationDB: the cluster's file; that of the shared cluster when absent.
    pub cluster_file: Option<PathBuf>,
    /// FoundationDB: the root directory, shared by servers of one deployment; a new one when absent.
    pub fdb_root: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: "sync",
            unix: false,
            faults: "seed=1,pending=3,conflict=5,unknown-applied=7,unknown-lost=7".into(),
            clock_skew_ms: 0,
            redis_durable: false,
            redis_tcp: false,
            flags: Vec::new(),
            environment: Vec::new(),
            data_dir: None,
            cluster_file: None,
            fdb_root: None,
        }
    }
}

/// A running server; dropping it kills the process and removes its directory.
pub struct Server {
    /// What was started.
    pub subject: Subject,
    /// Where it listens.
    pub address: Address,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts `subject` with default options and waits until it is ready.
    pub fn start(subject: Subject) -> Server {
        Server::start_with(subject, &Options::default())
    }

    /// Starts `subject` and waits until it says that it is ready.
    pub fn start_with(subject: Subject, options: &Options) -> Server {
        let directory = tempfile::Builder::new().prefix("ringstone-test").tempdir().unwrap();
        let socket = directory.path().join("socket");
        let data = options.data_dir.clone().unwrap_or_else(|| directory.path().join("data"));
        std::fs::create_dir_all(&data).unwrap();
        let mut command = match subject {
            Subject::Redis => redis_command(&socket, &data, options),
            _ => ringstone_command(subject, &socket, &data, options),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {:?}: {error}; run scripts/test.sh", command.get_program())
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = follow(child.stdout.take().unwrap(), log.clone());
        let stderr = child.stderr.take().unwrap();
        let err_log = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                err_log.lock().unwrap().push(line);
            }
        });
        let tcp = wait_ready(subject, &lines, &mut child, &log);
        let address = match tcp {
            Some(address) if !options.unix => Address::Tcp(address),
            _ => Address::Unix(socket),
        };
        Server { subject, address, child, log, directory }
    }

    /// A new connection.
    pub fn connect(&self) -> Conn {
        match Conn::try_open(&self.address) {
            Ok(conn) => conn,
            Err(error) => panic!("connect to {:?}: {error}\n{}", self.subject, self.log()),
        }
    }

    /// The server's TCP port, for programs that take one.
    pub fn tcp_port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => panic!("{:?} was started without TCP", self.subject),
        }
    }

    /// Where it serves its metrics; it has to be started with `--metrics-listen`.
    pub fn metrics_address(&self) -> SocketAddr {
        let log = self.log();
        let url = log.lines().find_map(|line| line.trim().strip_prefix("metrics "));
        let url = url.unwrap_or_else(|| panic!("no metrics:\n{log}")).trim();
        let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{url}"))
    }

    /// What the server has printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; the exit status once the process is gone.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "no exit after SIGTERM\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let died = matches!(self.child.try_wait(), Ok(Some(_)));
        if std::thread::panicking() && (died || self.subject.is_ringstone()) {
            let end = if died { " (it had ended by itself)" } else { "" };
            eprintln!("{:?}{end} printed:\n{}", self.subject, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ringstone_command(subject: Subject, socket: &Path, data: &Path, options: &Options) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringstone"));
    command.args(["--listen", "127.0.0.1:0", "--store", subject.store(), "--unixsocket"]);
    command.arg(socket).arg("--data-dir").arg(data);
    command.args(["--durability", options.durability, "--workers", "2"]);
    if !options.flags.contains(&"--metrics-listen") {
        command.args(["--metrics-listen", "off"]);
    }
    command.args(&options.flags);
    if subject.store() == "foundationdb" {
        let file = options.cluster_file.clone().unwrap_or_else(fdb::shared_cluster_file);
        command.arg("--cluster-file").arg(file);
        command.arg("--fdb-root").arg(options.fdb_root.clone().unwrap_or_else(fdb::new_root));
    }
    // What steers the tests is no setting of the server, which refuses settings it does not know.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGSTONE_") {
            command.env_remove(name);
        }
    }
    command.envs(options.environment.iter().cloned());
    if subject.has_faults() {
        command.env("RINGSTONE_TEST_FAULTS", &options.faults);
    }
    if options.clock_skew_ms != 0 {
        command.env("RINGSTONE_TEST_CLOCK_SKEW_MS", options.clock_skew_ms.to_string());
    }
    command
}

/// redis-server without persistence unless asked, with ringstone's default limit on values, so that
/// errors about size agree too.
fn redis_command(socket: &Path, data: &Path, options: &Options) -> Command {
    let mut command = Command::new("redis-server");
    let append = if options.redis_durable { "yes" } else { "no" };
    let port = if options.redis_tcp { free_port() } else { 0 };
    command.args(["--save", "", "--appendonly", append, "--appendfsync", "always"]);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
    command.args(["--proto-max-bulk-len", "5mb", "--logfile", "", "--dir"]);
    command.arg(data).arg("--unixsocket").arg(socket);
    command
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Collects the lines a server prints and passes them on until nobody listens.
fn follow(stdout: ChildStdout, log: Arc<Mutex<Vec<String>>>) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line.clone());
            let _ = sender.send(line);
        }
    });
    lines
}

/// Reads the announcement up to "ready" and returns the first TCP address in it.
fn wait_ready(
    subject: Subject,
    lines: &Receiver<String>,
    child: &mut Child,
    log: &Mutex<Vec<String>>,
) -> Option<SocketAddr> {
    let deadline = Instant::now() + DEADLINE;
    let mut tcp = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if subject.is_ringstone() => {
                if let Some(address) = line.trim().strip_prefix("listening ") {
                    tcp = tcp.or_else(|| address.trim().parse().ok());
                }
                if line.trim_start().starts_with("ready") {
                    return tcp;
                }
            }
            Ok(line) => {
                if let Some((_, port)) = line.split_once("port=") {
                    let port: u16 = port.trim_end_matches('.').trim().parse().unwrap_or(0);
                    tcp = (port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port)));
                }
                // The line about the Unix socket is the last of the start.
                if line.contains("ready to accept connections at") {
                    return tcp;
                }
            }
            Err(cause) => {
                let _ = child.kill();
                let what = match cause {
                    RecvTimeoutError::Timeout => "did not become ready in time",
                    RecvTimeoutError::Disconnected => "ended before it was ready",
                };
                let status = child.wait();
                let log = log.lock().unwrap().join("\n");
                panic!("{subject:?} {what} ({status:?}):\n{log}");
            }
        }
    }
}

/// Empties every database, so that one server can serve many cases.
pub fn flush(conn: &mut Conn) {
    assert_eq!(conn.command("FLUSHALL"), Reply::Simple(b"OK".to_vec()));
}
