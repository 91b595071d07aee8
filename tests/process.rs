//! The process starts, stops and refuses as it says.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output};

use common::{Options, Reply, Server, Subject};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringstone")).args(arguments).output().unwrap()
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn embedded(directory: &std::path::Path) -> Options {
    Options { data_dir: Some(directory.to_owned()), ..Options::default() }
}

#[test]
fn sigterm_ends_it_cleanly_and_the_data_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let mut server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
        let mut conn = server.connect();
        assert_eq!(conn.command("INCR rounds").int(), round);
        assert_eq!(conn.command("INCR rounds:2").int(), round);
        assert!(server.terminate().success());
        // Idle connections were closed, not cut off in the middle of something.
        assert_eq!(conn.read_to_close().unwrap(), b"");
    }
}

#[test]
fn what_is_in_flight_at_sigterm_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    let mut conn = server.connect();
    conn.send_raw(&common::encode(&["INCR", "n"]).repeat(5_000));
    conn.read_reply();
    assert!(server.terminate().success());
    let rest = conn.read_to_close().unwrap();
    let answered = 1 + rest.iter().filter(|byte| **byte == b':').count();
    let server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    let value = server.connect().command("GET n");
    let stored: usize = std::str::from_utf8(value.bulk().unwrap()).unwrap().parse().unwrap();
    assert_eq!(stored, answered);
}

#[test]
fn nothing_is_held_back_at_sigterm() {
    for subject in [Subject::Memory, Subject::Embedded] {
        // A connection that stayed held would outlast the test.
        let options = Options { flags: vec!["--shutdown-timeout", "1h"], ..Options::default() };
        let mut server = Server::start_with(subject, &options);
        let mut conn = server.connect();
        conn.command("CLIENT PAUSE 100000000 WRITE");
        let mut held = server.connect();
        held.send(&["INCR", "n"]);
        let is_held = |info: Reply| {
            String::from_utf8_lossy(info.bulk().unwrap()).contains("blocked_clients:1\r")
        };
        while !is_held(conn.command("INFO clients")) {}
        assert!(server.terminate().success());
        assert_eq!(held.read_to_close().unwrap(), b":1\r\n");
    }
}

#[test]
fn a_unix_socket_has_its_mode_and_is_removed_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringstone"));
        command.args(["--store", "memory", "--listen", "127.0.0.1:0", "--unixsocket"]);
        command.arg(&path).args(["--unixsocketperm", "751"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with("ready")));
        child
    };
    let end = |mut child: std::process::Child| {
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    };
    let first = start();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o751);
    std::fs::rename(&path, directory.path().join("moved")).unwrap();
    let second = start();
    end(first);
    assert!(path.exists(), "it is another process's now");
    end(second);
    assert!(!path.exists());
}

#[test]
fn shutdown_ends_it_as_sigterm_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    let mut conn = server.connect();
    conn.command("SET k v");
    conn.send(&["SHUTDOWN"]);
    assert_eq!(conn.read_to_close().unwrap(), b"");
    assert!(server.terminate().success());
    let server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    assert_eq!(server.connect().command("GET k").bulk(), Some(&b"v"[..]));
}

#[test]
fn settings_cannot_be_changed_at_run_time() {
    let server = Server::start(Subject::Memory);
    let mut conn = server.connect();
    for line in ["CONFIG SET maxmemory 1", "CONFIG REWRITE"] {
        let Reply::Error(text) = conn.command(line) else { panic!("{line} is refused") };
        assert!(text.starts_with(b"ERR "), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    let output =
        run(&["--listen", "127.0.0.1:0", "--data-dir", directory.path().to_str().unwrap()]);
    assert!(!output.status.success());
    let error = error_of(&output);
    assert!(error.contains("another process") && error.lines().count() == 1, "{error}");
    assert_eq!(server.connect().command("PING"), Reply::Simple("PONG".into()));
}

#[test]
fn an_unknown_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(Subject::Embedded, &embedded(directory.path()));
    server.terminate();
    let file = directory.path().join("FORMAT");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("format 1", "format 99")).unwrap();
    let output =
        run(&["--listen", "127.0.0.1:0", "--data-dir", directory.path().to_str().unwrap()]);
    assert!(!output.status.success());
    let error = error_of(&output);
    assert!(error.contains("99") && error.lines().count() == 1, "{error}");
}

#[test]
fn an_address_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address, "--store", "memory"]);
    assert!(!output.status.success());
    let error = error_of(&output);
    assert!(error.contains(&address) && error.lines().count() == 1, "{error}");
}

/// Fills a small file system of its own, where the tests may mount one.
#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs", path])
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: mounting a small file system is not permitted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill(directory.path()));
    let _ = Command::new("umount").args(["-l", path]).status();
    outcome.unwrap();
}

fn fill(directory: &std::path::Path) {
    let data = directory.join("data");
    let mut server = Server::start_with(Subject::Embedded, &embedded(&data));
    let mut conn = server.connect();
    let value = vec![b'v'; 256 << 10];
    let mut stored = 0;
    let refusal = loop {
        let key = format!("key:{stored}");
        let reply = conn.call(&[&b"SET"[..], key.as_bytes(), &value[..]]);
        if let Reply::Error(text) = reply {
            break String::from_utf8(text).unwrap();
        }
        stored += 1;
        assert!(stored < 1_000, "256 MB do not fit on 64");
    };
    assert_eq!(refusal, "MISCONF Errors writing to the AOF file: No space left on device");
    assert!(stored > 10, "only {stored} values of 256 KiB fit on 64 MiB");
    // Small writes may still fit; each is either stored or refused.
    let mut count = 0;
    while count < 100_000 && !conn.command("INCR n").is_error() {
        count += 1;
    }
    for index in 0..stored {
        let got = conn.command(&format!("GET key:{index}"));
        assert!(got.bulk() == Some(&value[..]), "key:{index} is readable while the disk is full");
    }
    server.kill();
    // Room again: an operator has made some.
    let status = Command::new("mount")
        .args(["-o", "remount,size=256m", directory.to_str().unwrap()])
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    let server = Server::start_with(Subject::Embedded, &embedded(&data));
    let mut conn = server.connect();
    for index in 0..stored {
        let got = conn.command(&format!("GET key:{index}"));
        assert!(got.bulk() == Some(&value[..]), "key:{index} survives");
    }
    assert_eq!(conn.command("INCR n").int(), count + 1);
}
