//! Property: programs written for Redis work unchanged. redis-py, ioredis, node-redis (a current
//! and an older release of each) and redis-cli run their checks against ringstone and redis-server.
//!
//! `tests/clients/install.sh` puts the pinned releases under `target/clients`; scripts/test.sh runs
//! it and then these tests, which are ignored otherwise.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Options, Server, Subject};

/// How long one client's whole program may take.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);
const SUBJECTS: [Subject; 3] = [Subject::Redis, Subject::Memory, Subject::Embedded];

#[test]
#[ignore = "needs tests/clients/install.sh, which scripts/test.sh runs"]
fn redis_py_works() {
    for subject in SUBJECTS {
        for release in ["requirements", "requirements-old"] {
            let server = start(subject);
            let mut command = Command::new(installed("venv/bin/python3"));
            command.env("PYTHONPATH", installed(release)).arg("-W").arg("error::SyntaxWarning");
            run(command.arg(source("redis_py.py")), &server);
        }
    }
}

#[test]
#[ignore = "needs tests/clients/install.sh, which scripts/test.sh runs"]
fn ioredis_works() {
    node("ioredis.js", &["ioredis", "ioredis-old"]);
}

#[test]
#[ignore = "needs tests/clients/install.sh, which scripts/test.sh runs"]
fn node_redis_works() {
    node("node_redis.js", &["redis", "redis-old"]);
}

#[test]
#[ignore = "needs redis-cli, which scripts/test.sh installs"]
fn redis_cli_works() {
    for subject in SUBJECTS {
        let server = start(subject);
        let scratch = tempfile::tempdir().unwrap();
        run(Command::new(source("redis_cli.sh")).env("TMPDIR", scratch.path()), &server);
    }
}

#[test]
#[ignore = "needs tests/clients/install.sh, which scripts/test.sh runs"]
fn all_work_over_tls() {
    let files = tempfile::tempdir().unwrap();
    let out = files.path().to_str().unwrap();
    let mut make = Command::new(env!("CARGO_BIN_EXE_ringstone"));
    assert!(make.args(["cert", "self-signed", "--out", out]).output().unwrap().status.success());
    let [ca, key] =
        ["cert.pem", "key.pem"].map(|name| &*Box::leak(format!("{out}/{name}").into_boxed_str()));
    let flags = vec!["--tls-listen", "127.0.0.1:0", "--tls-cert", ca, "--tls-key", key];
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let log = server.log();
    let line = log.lines().find_map(|line| line.strip_suffix(" (TLS)")).unwrap();
    let port = line.rsplit_once(':').unwrap().1;
    for release in ["requirements", "requirements-old"] {
        let mut command = Command::new(installed("venv/bin/python3"));
        command.env("PYTHONPATH", installed(release)).arg(source("redis_py.py"));
        run_at(command.env("RINGSTONE_TEST_CA", ca), port, &server);
    }
    for module in ["ioredis", "ioredis-old", "redis", "redis-old"] {
        let program = if module.starts_with("io") { "ioredis.js" } else { "node_redis.js" };
        let mut command = Command::new("node");
        command.env("NODE_PATH", installed("node/node_modules"));
        command.arg(source(program)).arg(module);
        run_at(command.env("RINGSTONE_TEST_CA", ca), port, &server);
    }
    let mut command = Command::new(source("redis_cli.sh"));
    run_at(command.env("RINGSTONE_TEST_CA", ca).env("TMPDIR", out), port, &server);
}

fn node(program: &str, modules: &[&str]) {
    for subject in SUBJECTS {
        for module in modules {
            let server = start(subject);
            let mut command = Command::new("node");
            command.env("NODE_PATH", installed("node/node_modules"));
            run(command.arg(source(program)).arg(module), &server);
        }
    }
}

fn start(subject: Subject) -> Server {
    Server::start_with(subject, &Options { redis_tcp: true, ..Options::default() })
}

fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn installed(name: &str) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../clients").join(name);
    assert!(target.exists(), "{} is missing: run scripts/test.sh", target.display());
    target
}

/// Runs a client's program with the server's host and port; its output is shown when it fails.
fn run(command: &mut Command, server: &Server) {
    run_at(command, &server.tcp_port().to_string(), server);
}

/// As [`run`], on another port of the server.
fn run_at(command: &mut Command, port: &str, server: &Server) {
    command.args(["127.0.0.1", port]);
    let output = tempfile::NamedTempFile::new().unwrap();
    let (stdout, stderr) = (output.reopen().unwrap(), output.reopen().unwrap());
    let mut child =
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap_or_else(
            |error| panic!("{:?}: {error}: run scripts/test.sh", command.get_program()),
        );
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if started.elapsed() > PROGRAM_DEADLINE => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let _ = child.kill();
    let text = std::fs::read_to_string(output.path()).unwrap();
    let subject = server.subject;
    let ended = status.map_or("did not end in time".into(), |status| status.to_string());
    assert!(status.is_some_and(|s| s.success()), "{command:?} on {subject:?}: {ended}\n{text}");
}
