//! Property: what keeps ringstone from using a cluster is said in one line on standard error, soon,
//! and with exit code 1; the doctor says it too, and measures a cluster that works.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::common::fdb::{self, Cluster};
use super::common::{Options, Reply};

/// Opening a store takes five seconds at most; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Runs the program with nothing in its environment, until it ends by itself.
fn run(arguments: &[&str], file: &Path) -> Output {
    let root = fdb::new_root();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringstone"));
    command.args(arguments).args(["--store", "foundationdb", "--listen", "127.0.0.1:0"]);
    command.args(["--fdb-root", &root, "--cluster-file"]).arg(file).env_clear();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, output) = channel();
    std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
    output.recv_timeout(SOON).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("{arguments:?} does not end by itself")
    })
}

/// The line that a start with this cluster file ends with.
fn refused(file: &Path) -> String {
    let output = run(&[], file);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(output.stdout, b"", "it announced something");
    let line = errors.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{errors}");
    line.strip_prefix("ringstone: ").unwrap().to_owned()
}

/// What the doctor prints, and whether the server would work.
fn doctor(file: &Path) -> (String, bool) {
    let output = run(&["doctor"], file);
    assert_eq!(output.stderr, b"", "{}", String::from_utf8_lossy(&output.stderr));
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(1), "{code:?}");
    (String::from_utf8(output.stdout).unwrap(), code == Some(0))
}

/// Of the report on the store: its mark and its text.
fn store_line(report: &str) -> (&str, &str) {
    let of = |line| -> Option<(&str, &str)> {
        let (mark, rest) = str::split_once(line, ' ')?;
        Some((mark, rest.trim_start().strip_prefix("store ")?.trim_start()))
    };
    report.lines().find_map(of).unwrap_or_else(|| panic!("nothing on the store:\n{report}"))
}

#[test]
fn bad_cluster_files_are_one_line() {
    if !fdb::is_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fdb.cluster");
    let shown = file.display();
    let missing = refused(&file);
    assert!(missing.starts_with(&format!("cannot read the cluster file {shown}: ")), "{missing}");
    assert!(missing.contains("--cluster-file"), "{missing}");
    for text in ["", "ringstone\n", "a:b@\n", "a:b@nowhere\n", "a:b@127.0.0.1:0:0\n"] {
        std::fs::write(&file, text).unwrap();
        let invalid = refused(&file);
        assert!(
            invalid.starts_with(&format!("{shown} is not a cluster file")),
            "{text}: {invalid}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    let (report, works) = doctor(&file);
    let (mark, text) = store_line(&report);
    assert_eq!((mark, text, works), ("FAIL", missing.as_str(), false), "{report}");
}

#[test]
fn a_cluster_that_does_not_answer_is_one_line() {
    if !fdb::is_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fdb.cluster");
    // Nobody listens on a port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    std::fs::write(&file, format!("ringstone:test@127.0.0.1:{port}\n")).unwrap();
    let line = refused(&file);
    let expected = format!("no answer from the FoundationDB cluster of {}", file.display());
    assert!(line.starts_with(&expected), "{line}");
    // A listener that never says anything is no better.
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(refused(&file), line);
}

#[test]
fn the_doctor_measures_a_cluster_and_notices_a_dead_one() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let (report, works) = doctor(cluster.file());
    let (mark, text) = store_line(&report);
    assert_eq!((mark, works), ("ok", true), "{report}");
    let measured = ["foundationdb: read version ", ", read ", ", commit "];
    assert!(measured.iter().all(|part| text.contains(part)), "{text}");
    cluster.kill(1);
    let (report, works) = doctor(cluster.file());
    let (mark, text) = store_line(&report);
    assert_eq!((mark, works), ("FAIL", false), "{report}");
    assert!(text.starts_with("no answer from the FoundationDB cluster"), "{text}");
}

#[test]
fn sigterm_ends_it_cleanly_whether_the_cluster_lives_or_not() {
    if !fdb::is_here() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let options = Options { cluster_file: Some(cluster.file().to_owned()), ..Options::default() };
    let mut servers = super::servers(2, &options);
    let mut conn = servers[0].connect();
    assert_eq!(conn.command("SET k v"), Reply::Simple(b"OK".to_vec()));
    assert!(servers[0].terminate().success(), "{}", servers[0].log());
    assert_eq!(conn.read_to_close().unwrap(), b"");
    assert_eq!(servers[1].connect().command("GET k"), Reply::Bulk(b"v".to_vec()));
    cluster.kill(1);
    assert!(servers[1].terminate().success(), "{}", servers[1].log());
}
