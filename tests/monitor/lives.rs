//! How monitors come and go: killed, idle, too slow, over TLS, beside others.

use super::common::{Conn, Options, Reply, Server, Subject};
use super::{Monitor, end, everywhere};

fn flags_of_all(conn: &mut Conn) -> Vec<String> {
    let Reply::Bulk(list) = conn.command("CLIENT LIST") else { panic!("a list") };
    let list = String::from_utf8(list).unwrap();
    let flags = list.split("flags=").skip(1).map(|line| line.split(' ').next().unwrap());
    let mut flags: Vec<_> = flags.map(str::to_owned).collect();
    flags.sort();
    flags
}

#[test]
fn a_monitor_is_listed_and_killed_as_one() {
    everywhere(|server| {
        let mut client = server.connect();
        let mut monitor = server.connect();
        let Reply::Int(id) = monitor.command("CLIENT ID") else { panic!("an id") };
        let mut monitor = Monitor::over(monitor);
        let mut other = Monitor::new(server);
        assert_eq!(flags_of_all(&mut client), ["OU", "OU", "U"]);
        assert_eq!(client.command(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
        monitor.0.read_to_close().unwrap();
        end(&mut client);
        assert!(other.lines_to_end().is_empty());
        other.0.send(&["RESET"]);
        assert_eq!(other.0.read_reply(), Reply::Simple(b"RESET".to_vec()));
        end(&mut client);
        assert_eq!(other.0.command("PING"), Reply::Simple(b"PONG".to_vec()));
        // Who was killed is gone soon after its connection has ended.
        let left = (0..100_000).map(|_| flags_of_all(&mut client));
        assert!(left.into_iter().any(|flags| flags == ["U", "U"]));
    });
}

#[test]
fn a_monitor_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let server = Server::start(Subject::Memory);
    let mut slow = Monitor::new(&server);
    let mut quick = Monitor::new(&server);
    let mut client = server.connect();
    // Each byte of it is shown as four.
    let value = vec![0xff; 1 << 20];
    let monitors = |client: &mut Conn| flags_of_all(client).iter().filter(|f| *f == "O").count();
    let mut commands = 0;
    while monitors(&mut client) == 2 {
        assert_eq!(client.call(&[&b"SET"[..], b"k", &value]), Reply::Simple(b"OK".to_vec()));
        // Who reads keeps up, however slow this machine is.
        assert!(quick.line().starts_with("[0] \"SET\" \"k\" \"\\xff"));
        commands += 1;
        assert!(commands < 100, "400 MB are waiting for a monitor");
    }
    assert!(commands > 8, "closed with less than its queue may have");
    slow.0.read_to_close().unwrap();
    assert!(server.log().contains("falls behind"), "{}", server.log());
    end(&mut client);
    assert!(quick.lines_to_end().is_empty());
}

#[test]
fn the_timeout_of_idle_connections_is_not_for_monitors() {
    let flags = vec!["--timeout", "1"];
    let server = Server::start_with(Subject::Memory, &Options { flags, ..Options::default() });
    let mut monitor = Monitor::new(&server);
    for _ in 0..2 {
        server.connect().read_to_close().unwrap();
    }
    end(&mut server.connect());
    assert!(monitor.lines_to_end().is_empty());
}

#[test]
fn a_process_with_monitors_stops() {
    for subject in [Subject::Memory, Subject::Embedded] {
        let mut server = Server::start(subject);
        let mut monitor = Monitor::new(&server);
        end(&mut server.connect());
        assert!(server.terminate().success());
        monitor.0.read_to_close().unwrap();
    }
}

#[test]
fn large_commands_are_shown_whole() {
    everywhere(|server| {
        let mut monitor = Monitor::new(server);
        let mut client = server.connect();
        let value = "v".repeat(1 << 20);
        client.call(&["APPEND", "k", &value]);
        assert_eq!(monitor.line(), format!("[0] \"APPEND\" \"k\" \"{value}\""));
    });
}
