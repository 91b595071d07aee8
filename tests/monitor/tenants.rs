//! With tokens: who is shown whose commands, what a token has to permit, and that no token is shown.

use super::common::tokens::{self, attenuate, mint, text};
use super::common::{Conn, Options, Reply, Server, Subject};
use super::{Monitor, end};

fn start() -> Server {
    let flags = tokens::FLAGS.to_vec();
    Server::start_with(Subject::Memory, &Options { flags, ..Options::default() })
}

fn connect(server: &Server, tenant: &str) -> Conn {
    tokens::connect(server, &tokens::plain(tenant))
}

#[test]
fn tenants_are_shown_their_own_commands_and_operators_all() {
    let server = start();
    let mut operator = Monitor::over(tokens::connect(&server, &tokens::operator("ops")));
    let [mut acme, mut other] =
        ["acme", "other"].map(|tenant| Monitor::over(connect(&server, tenant)));
    let token = tokens::plain("acme");
    let mut client = server.connect();
    client.command("PING");
    client.command("AUTH wrong-token");
    client.call(&["HELLO", "3", "AUTH", "default", &token, "SETNAME", "a"]);
    client.command("SET k of-acme");
    client.send_raw(b"MULTI\r\nGET k\r\nEXEC\r\nBLPOP list 0\r\n");
    (0..3).for_each(|_| drop(client.read_reply()));
    let mut of_acme: Vec<_> = (0..6).map(|_| acme.line()).collect();
    connect(&server, "acme").command("RPUSH list x");
    client.read_reply();
    client.command("RESET");
    client.call(&["AUTH", &tokens::plain("other")]);
    client.command("SET k of-other");
    for tenant in ["acme", "other"] {
        end(&mut connect(&server, tenant));
    }
    let expected = [
        "[0] \"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"a\"",
        "[0] \"SET\" \"k\" \"of-acme\"",
        "[0] \"MULTI\"",
        "[0] \"GET\" \"k\"",
        "[0] \"EXEC\"",
        "[0] \"BLPOP\" \"list\" \"0\"",
        "[0] \"AUTH\" \"(redacted)\"",
        "[0] \"RPUSH\" \"list\" \"x\"",
        "[0] \"RESET\"",
    ];
    let auth = "[0] \"AUTH\" \"(redacted)\"";
    let of_other = [auth, "[0] \"SET\" \"k\" \"of-other\""];
    of_acme.extend(acme.lines_to_end());
    assert_eq!(of_acme, [&expected[..], &[auth]].concat());
    // Each line came with the login of who sends it.
    let logins = [auth, auth];
    assert_eq!(operator.lines_to_end()[..2], logins, "those of the monitors");
    assert_eq!(other.lines_to_end(), [&of_other[..], &[auth]].concat());
}

#[test]
fn monitoring_needs_what_reading_everything_needs() {
    let server = start();
    let read = mint("acme", "right(\"read\");");
    let may = |token: &str| {
        let reply = tokens::connect(&server, token).command("MONITOR");
        match reply {
            Reply::Simple(_) => true,
            Reply::Error(text) if text.starts_with(b"NOPERM ") => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(may(&text(&read)) && may(&tokens::plain("acme")));
    for (limit, allowed) in [
        ("check if time($time), $time < 2120-01-01T00:00:00Z;", true),
        ("check if command($c), $c != \"monitor\";", false),
        ("check all key($key), $key.starts_with(\"p:\") or class(\"connection\");", false),
        ("check if database(0) or class(\"connection\");", false),
    ] {
        assert_eq!(may(&text(&attenuate(&read, limit))), allowed, "{limit}");
    }
    assert!(!may(&text(&mint("acme", "right(\"write\");"))));
    assert!(server.connect().command("MONITOR").is_error());
}

#[test]
fn monitoring_ends_with_the_token_that_permitted_it() {
    let server = start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let until = tokens::date(now + 2);
    let code = format!("right(\"read\"); check if time($time), $time < {until};");
    let mut short = Monitor::over(tokens::connect(&server, &text(&mint("acme", &code))));
    let mut changing = Monitor::over(connect(&server, "acme"));
    let expired = Reply::Error(b"NOPERM the token has expired".to_vec());
    while short.0.read_reply() != expired {}
    let other = tokens::plain("other");
    changing.0.send(&["AUTH", &other]);
    while changing.0.read_reply() != Reply::Simple(b"OK".to_vec()) {}
    for tenant in ["acme", "other"] {
        connect(&server, tenant).command("SET k v");
    }
    assert_eq!(changing.0.command("GET k"), Reply::Bulk(b"v".to_vec()));
    assert!(short.0.command("GET k").is_error(), "and nothing was shown before that");
    assert_eq!(short.0.call(&["AUTH", &other]), Reply::Simple(b"OK".to_vec()));
    let mut again = Monitor::over(short.0);
    end(&mut changing.0);
    assert!(again.lines_to_end().is_empty());
}

#[test]
fn one_tenant_has_so_many_monitors() {
    let server = start();
    let mut monitors: Vec<_> = (0..8).map(|_| Monitor::over(connect(&server, "acme"))).collect();
    let too_many = Reply::Error(b"ERR too many connections monitor already".to_vec());
    assert_eq!(connect(&server, "acme").command("MONITOR"), too_many);
    let _others = Monitor::over(connect(&server, "other"));
    let _operator = Monitor::over(tokens::connect(&server, &tokens::operator("acme")));
    let mut first = monitors.remove(0).0;
    first.send(&["RESET"]);
    while first.read_reply() != Reply::Simple(b"RESET".to_vec()) {}
    let _another = Monitor::over(connect(&server, "acme"));
}
