//! Property: scripts/observe.sh has a server scraped, and leaves nothing behind when it is interrupted.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Options, Server, Subject, eventually, free_port};
use crate::prometheus::{ask, file, is_here};

#[test]
fn observe_scrapes_a_server_until_it_is_interrupted() {
    if !is_here() {
        return;
    }
    let flags = vec!["--metrics-listen", "127.0.0.1:0"];
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let temporary = tempfile::tempdir().unwrap();
    let prometheus = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut script = Command::new(file("scripts/observe.sh"));
    script.args(["--port", &prometheus.port().to_string(), "--target"]);
    script.arg(server.metrics_address().to_string()).env("TMPDIR", temporary.path());
    let mut script =
        script.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let scraped = || {
        let targets = ask(prometheus, "/api/v1/targets").ok();
        targets.is_some_and(|targets| targets["activeTargets"][0]["health"] == "up")
    };
    eventually("something is scraped", || {
        assert!(script.try_wait().unwrap().is_none(), "it has ended");
        scraped()
    });
    // To the script alone: it has to end Prometheus itself. ^C would do the same, unless the tests were started
    // with that ignored, as shells do in the background: then the script could not trap it.
    kill_process(Pid::from_child(&script), Signal::TERM).unwrap();
    eventually("it ends", || script.try_wait().unwrap().is_some());
    assert!(script.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert!(ask(prometheus, "/-/ready").is_err(), "Prometheus is still there");
}
