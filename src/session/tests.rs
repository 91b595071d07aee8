//! The gates, with tokens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use biscuit_auth::builder::{Algorithm, BiscuitBuilder};
use biscuit_auth::{Biscuit, KeyPair, PrivateKey};
use parking_lot::Mutex;

use super::*;
use crate::auth::{Authenticator, RootKey};
use crate::batch::{Home, Stay, Writer};
use crate::command::state::Killer;
use crate::command::stats::{error_kind, registry};
use crate::command::{connection, databases};
use crate::config::Config;
use crate::data::tenants::Quota;
use crate::store::memory::MemoryStore;

#[derive(Debug)]
struct Nobody;

impl Killer for Nobody {
    fn unblock(&self, _: u64, _: u64, _: bool) {}
    fn kill(&self, _: u64) {}
}

/// A connection whose commands are admitted and not executed, but for those that log in or select.
struct Connection {
    server: Server,
    session: Session,
    batch: Batch,
}

fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[7; 32], Algorithm::Ed25519).unwrap())
}

/// A token of tenant `acme` with this code in its authority block.
fn token(code: &str) -> String {
    let token = BiscuitBuilder::new().fact("tenant(\"acme\")").unwrap().code(code).unwrap();
    token.build(&root()).unwrap().to_base64().unwrap()
}

const READ_WRITE: &str = "right(\"read\"); right(\"write\");";

impl Connection {
    fn open(revoked: Option<&Path>) -> Connection {
        let mut server = Server::new(Config::default(), Arc::new(MemoryStore::new()));
        let key: RootKey = root().public().print().parse().unwrap();
        server.auth = Some(Arc::new(Authenticator::new(vec![key], revoked, 1000).unwrap()));
        let (addr, laddr) = ("10.1.2.3:4".to_owned(), "10.1.2.4:6379".to_owned());
        let shared = ClientShared::new(1, addr, laddr, 0, Arc::new(Nobody));
        let session = Session::new(&server, &shared);
        let batch = Batch::new(Client::new(Arc::new(shared)), 0, 0);
        Connection { server, session, batch }
    }

    /// A connection that has authenticated with a token of this code.
    fn with(code: &str) -> Connection {
        let mut connection = Connection::open(None);
        connection.log_in(code);
        connection
    }

    fn log_in(&mut self, code: &str) {
        assert_eq!(self.send(&format!("AUTH {}", token(code))), ["auth"]);
    }

    /// What becomes of these commands: names of those that run, errors of those that do not.
    fn send(&mut self, lines: &str) -> Vec<String> {
        let mut input = lines.replace('\n', "\r\n").into_bytes();
        input.extend_from_slice(b"\r\n");
        let mut found = Vec::new();
        let mut rest = &mut input[..];
        while !rest.is_empty() && !self.session.has_ended() {
            let taken = self.session.take(rest, &mut self.batch);
            loop {
                found.extend(self.batch.ops.iter().map(shown));
                self.execute(rest);
                if !self.session.has_more(&self.batch) {
                    break;
                }
                found.push("--".to_owned());
                self.session.admit(rest, &mut self.batch);
            }
            rest = &mut rest[taken.consumed..];
        }
        found
    }

    fn execute(&mut self, input: &[u8]) {
        let Batch { ops, requests, client, .. } = &mut self.batch;
        for op in ops {
            if let Op::Run { spec, request } = op
                && spec.name == "select"
            {
                let args = Args::new(input, requests.command(*request as usize));
                client.database = databases::selected(args).unwrap();
            }
        }
        if let Some(grant) = client.login.clone() {
            let seat = self.server.allowances.enter(5, "five", &Quota::default()).unwrap();
            client.log_in(grant, Arc::new(seat));
        }
    }
}

fn shown(op: &Op) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match op {
        Op::Run { spec, .. } => spec.name.to_owned(),
        Op::Exec(queued) => format!("exec of {}", queued.len()),
        Op::Literal(bytes) => text(bytes),
        Op::Error(bytes) => text(bytes),
        Op::Discard(bytes) => text(bytes),
    }
}

const STRANGER: &str = "NOAUTH Authentication required.";

#[test]
fn strangers_may_do_what_redis_lets_them_do() {
    let mut connection = Connection::open(None);
    assert_eq!(
        connection.send("PING\nGET a\nMULTI\nHELLO 3\nRESET"),
        [STRANGER, STRANGER, STRANGER, "hello", "reset"]
    );
    assert_eq!(connection.send("GET")[0], "ERR wrong number of arguments for 'get' command");
    assert!(connection.send("NOSUCH a")[0].starts_with("ERR unknown command 'NOSUCH'"));
    let long = format!("*2\n$4\nAUTH\n${}\nx", 16 * 1024 + 1);
    assert_eq!(connection.send(&long), ["ERR Protocol error: unauthenticated bulk length"]);
    let many = Connection::open(None).send("*11\n$4\nMGET");
    assert_eq!(many, ["ERR Protocol error: unauthenticated multibulk length"]);
}

/// Where batches come back to.
#[derive(Default)]
struct Desk(Mutex<Vec<Box<Batch>>>);

impl Home for Desk {
    fn parked(&self, _: Stay) {}

    fn deliver(&self, batches: &mut Vec<Box<Batch>>) {
        self.0.lock().append(batches);
    }
}

#[test]
fn nobody_gets_a_tenant_that_cannot_be_stored() {
    let Connection { server, mut session, mut batch } = Connection::open(None);
    let server = Arc::new(server);
    let desk = Arc::new(Desk::default());
    let writer = Writer::new(&server, vec![Arc::clone(&desk) as Arc<dyn Home>]);
    server.store.close().unwrap();
    batch.input = format!("AUTH {}\r\n", token(READ_WRITE)).into_bytes();
    let mut input = batch.input.clone();
    session.take(&mut input, &mut batch);
    batch.input = input;
    writer.submit(&mut vec![Box::new(batch)]);
    let batch = desk.0.lock().pop().unwrap();
    let reply = String::from_utf8_lossy(batch.reply.bytes());
    assert!(reply.starts_with("-MISCONF "), "{reply}");
    assert!(batch.client.grant.is_none() && batch.client.seat.is_none());
}

#[test]
fn what_cannot_be_stored_is_counted_as_rejected() {
    let Connection { server, mut batch, .. } = Connection::open(None);
    let (server, desk) = (Arc::new(server), Arc::new(Desk::default()));
    let writer = Writer::new(&server, vec![Arc::clone(&desk) as Arc<dyn Home>]);
    server.store.close().unwrap();
    let open = Server::new(Config::default(), Arc::new(MemoryStore::new()));
    let mut session = Session::new(&open, &batch.client.shared);
    let mut input = b"SET a b\r\nGET a\r\nMULTI\r\nGET a\r\nSET a b\r\nEXEC\r\n".to_vec();
    session.take(&mut input, &mut batch);
    batch.input = input;
    writer.submit(&mut vec![Box::new(batch)]);
    let mut batch = desk.0.lock().pop().unwrap();
    let reply = String::from_utf8_lossy(batch.reply.bytes()).into_owned();
    let aborted = "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF";
    assert!(reply.starts_with("-MISCONF ") && reply.contains(aborted), "{reply}");
    let written = batch.record(&server.stats.shard(), Duration::from_secs(6));
    assert_eq!(written.errors, 2);
    let totals = server.stats.totals();
    let of = |name: &str| {
        let number = registry().specs().iter().position(|spec| spec.name == name).unwrap();
        let totals = &totals.commands[number];
        (totals.calls, totals.rejected, totals.failed, totals.nanoseconds / 1_000_000_000)
    };
    // Two calls share the time.
    assert_eq!([of("set"), of("exec")], [(0, 1, 0, 0); 2]);
    assert_eq!([of("get"), of("multi")], [(1, 0, 0, 3); 2]);
    let kinds = ["MISCONF ", "EXECABORT "].map(|text| usize::from(error_kind(text.as_bytes())));
    assert_eq!((kinds.map(|kind| totals.errors[kind]), totals.processed), ([1, 1], 2));
}

#[test]
fn wrong_credentials_change_nothing() {
    let mut connection = Connection::open(None);
    let good = token(READ_WRITE);
    let wrong = [
        "AUTH nonsense".to_owned(),
        format!("AUTH other {good}"),
        format!("HELLO 3 AUTH other {good}"),
        format!("AUTH {}x", &good[..good.len() - 5]),
        "AUTH default nonsense".to_owned(),
    ];
    for line in &wrong {
        assert_eq!(connection.send(line), [connection::WRONG_PASS], "{line}");
    }
    assert_eq!(connection.send("GET a"), [STRANGER]);
    for line in ["AUTH default", "AUTH", "HELLO 3 AUTH default"] {
        let mut found = connection.send(&format!("{line} {good}\nGET a"));
        found.retain(|line| line != "--");
        assert_eq!(found, [if line.starts_with("HELLO") { "hello" } else { "auth" }, "get"]);
        assert_eq!(connection.send("AUTH nonsense\nGET a"), [connection::WRONG_PASS, "get"]);
        assert_eq!(connection.send("RESET\nGET a"), ["reset", "--", "get"], "not executed here");
    }
}

#[test]
fn what_comes_behind_a_login_is_asked_with_the_new_token() {
    let mut connection = Connection::with(READ_WRITE);
    let weaker = token("right(\"read\");");
    let found = connection.send(&format!("SET a b\nAUTH {weaker}\nGET a\nSET a b"));
    let refusal = "NOPERM this user has no permissions to run the 'set' command: right write";
    assert_eq!(found, ["set", "auth", "--", "get", refusal]);
    assert_eq!(connection.batch.client.tenant, 5);
}

#[test]
fn transactions_are_one_token_s() {
    let mut connection = Connection::with(READ_WRITE);
    let token = token(READ_WRITE);
    let inside = "ERR Command not allowed inside a transaction";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    for login in [format!("AUTH {token}"), format!("HELLO 3 AUTH default {token}")] {
        let found = connection.send(&format!("MULTI\n{login}\nEXEC"));
        assert_eq!(found, ["+OK", inside, aborted]);
    }
    connection.log_in("right(\"read\");");
    let found = connection.send("MULTI\nGET a\nSET a b\nEXEC\nMULTI\nGET a\nEXEC");
    assert!(found[2].starts_with("NOPERM "), "{found:?}");
    assert_eq!(found[3..], [aborted, "+OK", "+QUEUED", "exec of 1"]);
}

#[test]
fn exec_asks_once_more() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let mut connection = Connection::open(Some(list.path()));
    let token = token(READ_WRITE);
    connection.send(&format!("AUTH {token}"));
    assert_eq!(connection.send("MULTI\nSET a b"), ["+OK", "+QUEUED"]);
    let token = Biscuit::from_base64(token, root().public()).unwrap();
    let hex = |id: &Vec<u8>| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    std::fs::write(list.path(), hex(&token.revocation_identifiers()[0])).unwrap();
    assert_eq!(connection.server.auth.as_ref().unwrap().reload(), Ok(true));
    let found = connection.send("EXEC\nGET a");
    let aborted = "-EXECABORT Transaction discarded because of: NOPERM";
    assert!(found[0].starts_with(aborted) && found[0].contains("revoked"), "{found:?}");
    assert!(found[1].starts_with("NOPERM ") && found[1].contains("revoked"), "{found:?}");
}

#[test]
fn tokens_are_asked_about_the_database_that_a_command_will_see() {
    let only = format!("{READ_WRITE} check if database(2) or class(\"connection\");");
    let mut connection = Connection::with(&only);
    let mut allowed = |lines: &str| -> Vec<bool> {
        let found = connection.send(lines);
        found.iter().filter(|line| *line != "--").map(|line| !line.starts_with("NOPERM")).collect()
    };
    assert_eq!(
        allowed("GET a\nSELECT 2\nGET a\nSELECT 3\nGET a\nPING"),
        [false, true, true, true, false, true]
    );
    assert_eq!(
        allowed("SELECT 2\nMULTI\nGET a\nSELECT 3\nGET a\nDISCARD\nGET a"),
        [true, true, true, true, false, true, true]
    );
    // However a transaction ends that is not executed, what it selects is not selected.
    for end in ["DISCARD", "EXEC", "EXEC x"] {
        let lines = format!("SELECT 0\nMULTI\nSELECT 2\nNOSUCH\n{end}\nGET a");
        assert_eq!(allowed(&lines), [true, true, true, true, true, false], "{end}");
    }
    assert_eq!(
        allowed("SELECT 2\nCOPY a b\nCOPY a b DB 3\nMOVE a 3\nSWAPDB 2 3\nSWAPDB 2 2"),
        [true, true, false, false, false, true]
    );
    assert_eq!(allowed("SELECT 2\nFLUSHDB\nFLUSHALL"), [true, true, false]);
}

#[test]
fn a_select_inside_a_transaction_is_known_when_that_is_over() {
    let mut connection = Connection::with(READ_WRITE);
    let found = connection.send("MULTI\nSELECT 3\nEXEC\nGET a");
    assert_eq!(found, ["+OK", "+QUEUED", "exec of 1", "--", "get"]);
    let found = connection.send("MULTI\nGET a\nEXEC\nGET a");
    assert_eq!(found, ["+OK", "+QUEUED", "exec of 1", "get"]);
}

#[test]
fn a_token_limited_to_keys_reads_no_others_through_sort() {
    let limited = "check all key($key), $key.starts_with(\"p:\") or class(\"connection\");";
    let mut connection = Connection::with(&format!("{READ_WRITE} {limited}"));
    let found = connection.send(
        "SORT p:a\nSORT p:a BY nosort GET #\nSORT p:a GET secret:*\nSORT p:a STORE b\nKEYS *\nPING\n\
         SORT_RO p:a BY p:w*->f",
    );
    let allowed: Vec<bool> = found.iter().map(|line| !line.starts_with("NOPERM")).collect();
    assert_eq!(allowed, [true, true, false, false, false, true, false], "{found:?}");
    let found = Connection::with(READ_WRITE).send("SORT p:a GET secret:*");
    assert_eq!(found, ["sort"]);
}

#[test]
fn where_a_connection_comes_from_can_be_asked() {
    let check = "check if client_address(\"10.1.2.3\"), tls(false);";
    assert_eq!(Connection::with(&format!("{READ_WRITE} {check}")).send("GET a"), ["get"]);
    let check = "check if client_address($from), $from.starts_with(\"10.2.\");";
    let found = Connection::with(&format!("{READ_WRITE} {check}")).send("GET a");
    assert!(found[0].starts_with("NOPERM "), "{found:?}");
}
