//! FoundationDB clusters for tests, started by `scripts/fdb-dev.sh`, and whether there can be any.
//!
//! A cluster ends with the test program, however that ends: a shell waits for the far end of a pipe
//! to close, which only this process holds. `RINGSTONE_TEST_FDB_CLUSTER_FILE` names a running cluster
//! to use instead of the one that the tests of a program share.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fdb-dev.sh");
const CLUSTER_VARIABLE: &str = "RINGSTONE_TEST_FDB_CLUSTER_FILE";
/// Waits for the end of its input, then ends the cluster.
const END: &str = r#"cat; "$0" stop --dir "$1"; rm -rf "$1""#;

/// Whether tests can run on FoundationDB; if not, one line says so for each test program.
pub fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let cause = if !Command::new(SCRIPT).arg("check").output().unwrap().status.success() {
            "FoundationDB is not installed"
        } else if !cfg!(feature = "fdb") {
            "the tests were built without --features fdb"
        } else {
            return true;
        };
        // Not eprintln!, which the test harness would swallow.
        let _ = writeln!(std::io::stderr(), "skipped: {cause}");
        false
    })
}

/// The cluster file of the cluster that the tests of this program share: one process, which nobody
/// kills.
pub fn shared_cluster_file() -> PathBuf {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let given = std::env::var_os(CLUSTER_VARIABLE).map(PathBuf::from);
    given.unwrap_or_else(|| SHARED.get_or_init(|| Cluster::start(&[])).file().to_owned())
}

/// A running cluster of a test's own.
pub struct Cluster {
    directory: PathBuf,
    file: PathBuf,
    /// Ends the cluster when its standard input does.
    end: Child,
}

impl Cluster {
    /// Starts a cluster with options of the script's `start`.
    pub fn start(options: &[&str]) -> Cluster {
        let directory = tempfile::Builder::new().prefix("ringstone-fdb").tempdir().unwrap().keep();
        let mut end = Command::new("bash");
        end.args(["-c", END, SCRIPT]).arg(&directory).stdin(Stdio::piped());
        // In a process group of its own, so that ^C in a terminal does not end it.
        end.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let end = end.spawn().unwrap();
        let mut cluster = Cluster { directory, file: PathBuf::new(), end };
        cluster.file = cluster.run("start", options).trim().into();
        cluster
    }

    /// The cluster file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Kills process `number`, from 1.
    pub fn kill(&self, number: usize) {
        self.run("kill", &[&number.to_string()]);
    }

    /// Starts process `number` again, killing it first if it runs.
    pub fn restart(&self, number: usize) {
        self.run("restart", &[&number.to_string()]);
    }

    /// Stops process `number` as it is, until [`Cluster::resume`].
    pub fn pause(&self, number: usize) {
        self.signal(number, rustix::process::Signal::STOP);
    }

    /// Lets process `number` go on.
    pub fn resume(&self, number: usize) {
        self.signal(number, rustix::process::Signal::CONT);
    }

    fn signal(&self, number: usize, signal: rustix::process::Signal) {
        let pid = std::fs::read_to_string(self.directory.join(format!("{number}/pid"))).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn run(&self, command: &str, options: &[&str]) -> String {
        let mut script = Command::new(SCRIPT);
        script.arg(command).arg("--dir").arg(&self.directory).args(options);
        let output = script.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // This closes the pipe first.
        let _ = self.end.wait();
    }
}

/// A root directory in the cluster that no other server has or had.
pub fn new_root() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("ringstone-tests/{started}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
