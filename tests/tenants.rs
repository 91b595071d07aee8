//! Property: tenants do not know of each other; those who operate the server know of all.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "tenants/leaks.rs"]
mod leaks;
#[path = "tenants/stage.rs"]
mod stage;

use ringstone::data::keys;
use stage::{Answer, Stage};

const GONE: &str =
    "-NOAUTH the tenant of this connection does not exist any more; authenticate again\r\n";

fn replies(text: &str) -> Answer {
    Answer::Replies(text.to_owned())
}

#[test]
fn a_push_serves_those_who_wait_in_the_same_tenant() {
    let mut stage = Stage::local();
    let [one, other] = ["one", "other"].map(|name| stage.tenant(name));
    // More of them than are looked at together for one key.
    let mut others: Vec<_> = (10..40).map(|id| stage.connect(id, "", other)).collect();
    for waiting in &mut others {
        assert_eq!(stage.run(waiting, "BLPOP q 0"), Answer::Waits(String::new()));
    }
    let mut own = stage.connect(1, "", one);
    assert_eq!(stage.run(&mut own, "BLPOP q 0"), Answer::Waits(String::new()));
    let mut pushing = stage.connect(2, "", one);
    assert_eq!(stage.run(&mut pushing, "RPUSH q x"), replies(":1\r\n"));
    assert_eq!(stage.served(&own).as_deref(), Some("*2\r\n$1\r\nq\r\n$1\r\nx\r\n"));
    assert!(others.iter().all(|waiting| stage.served(waiting).is_none()));
    let mut theirs = stage.connect(3, "", other);
    assert_eq!(stage.run(&mut theirs, "RPUSH q y"), replies(":1\r\n"));
    assert_eq!(stage.served(&others[0]).as_deref(), Some("*2\r\n$1\r\nq\r\n$1\r\ny\r\n"));
    assert!(others[1..].iter().all(|waiting| stage.served(waiting).is_none()));
}

#[test]
fn who_belongs_to_a_tenant_that_is_gone_is_told_so() {
    let mut stage = Stage::local();
    let tenant = stage.tenant("acme");
    let mut client = stage.connect(1, "", tenant);
    let mut waiting = stage.connect(2, "", tenant);
    let mut watching = stage.connect(3, "", tenant);
    let mut neighbour = stage.connect(4, "", 0);
    assert_eq!(stage.run(&mut client, "SET k v | RPUSH list x | LPOP list").text().len(), 16);
    assert_eq!(
        stage.run(&mut watching, "WATCH k | MULTI | PING"),
        replies("+OK\r\n+OK\r\n+QUEUED\r\n")
    );
    assert_eq!(stage.run(&mut waiting, "BLPOP list 0"), Answer::Waits(String::new()));
    assert_eq!(stage.run(&mut neighbour, "BLPOP list 0"), Answer::Waits(String::new()));
    let mut operator = stage.operator();
    assert_eq!(stage.run(&mut operator, "TENANT DROP acme"), replies("+OK\r\n"));
    assert_eq!(stage.served(&waiting).as_deref(), Some(GONE));
    assert_eq!(stage.served(&neighbour), None, "waits on");
    let before = stage.records();
    for line in ["SET k v", "GET k", "RPUSH list x", "FLUSHALL", "SWAPDB 0 1", "SCAN 0", "DBSIZE"] {
        assert_eq!(stage.run(&mut client, line), replies(GONE), "{line}");
    }
    assert_eq!(stage.run(&mut client, "PING"), replies("+PONG\r\n"));
    assert_eq!(stage.run(&mut watching, "EXEC"), replies(GONE));
    assert_eq!(stage.records(), before, "nothing is written for nobody");
    assert_eq!(stage.tenant("acme"), tenant + 1);
    assert_eq!(stage.run(&mut client, "GET k"), replies(GONE), "that is another one");
}

#[test]
fn operators_name_describe_bound_and_drop_tenants() {
    let mut stage = Stage::local();
    let mut operator = stage.operator();
    let mut run = |line: &str| stage.run(&mut operator, line).text().to_owned();
    assert_eq!(run("TENANT LIST"), "*2\r\n$1\r\n0\r\n*1\r\n$7\r\ndefault\r\n");
    assert_eq!(run("TENANT INFO acme"), "-ERR no such tenant\r\n");
    assert_eq!(run("TENANT DROP acme"), "-ERR no such tenant\r\n");
    assert_eq!(run("TENANT SETQUOTA acme storage 128mb Commands 500 request 1k"), "+OK\r\n");
    let described = |storage, request, connections, commands| {
        // What is stored is known where it is bounded.
        let stored = if storage == 0 { "$-1" } else { ":0" };
        format!(
            "*14\r\n$4\r\nname\r\n$4\r\nacme\r\n$2\r\nid\r\n:1\r\n$4\r\nkeys\r\n:0\r\n\
             $11\r\nconnections\r\n:0\r\n$7\r\nstorage\r\n{stored}\r\n$8\r\ncounting\r\n:0\r\n\
             $5\r\nquota\r\n*8\r\n$7\r\nstorage\r\n:{storage}\r\n\
             $7\r\nrequest\r\n:{request}\r\n$11\r\nconnections\r\n:{connections}\r\n\
             $8\r\ncommands\r\n:{commands}\r\n"
        )
    };
    assert_eq!(run("TENANT INFO acme"), described(128 << 20, 1000, 0, 500));
    assert_eq!(run("TENANT SETQUOTA acme storage 0 request none connections 7"), "+OK\r\n");
    assert_eq!(run("TENANT INFO acme"), described(0, 0, 7, 500));
    assert_eq!(run("TENANT LIST 0"), "*2\r\n$1\r\n0\r\n*2\r\n$7\r\ndefault\r\n$4\r\nacme\r\n");
    assert_eq!(run("TENANT LIST 2"), "*2\r\n$1\r\n0\r\n*0\r\n");
    for (line, error) in [
        ("TENANT SETQUOTA acme storage", "wrong number of arguments for 'tenant|setquota' command"),
        ("TENANT SETQUOTA acme storage 1 request", "syntax error"),
        ("TENANT SETQUOTA acme cheese 1", "syntax error"),
        ("TENANT SETQUOTA acme storage 1x", "1x is not a size such as 512kb, 64mb or 1gb"),
        ("TENANT SETQUOTA acme commands 1k", "1k is not a whole number"),
        (
            "TENANT SETQUOTA a/b commands 1",
            "a tenant's name is 1 to 64 letters, digits, '.', '_' and '-'",
        ),
        ("TENANT LIST x", "invalid cursor"),
        ("TENANT DROP default", "the tenant 'default' is always there; FLUSHALL empties it"),
    ] {
        assert_eq!(run(line), format!("-ERR {error}\r\n"), "{line}");
    }
    assert_eq!(run("TENANT DROP acme"), "+OK\r\n");
    assert_eq!(run("TENANT LIST"), "*2\r\n$1\r\n0\r\n*1\r\n$7\r\ndefault\r\n");
    assert!(run("TENANT HELP").contains("SETQUOTA"));
}

#[test]
fn operators_see_all_connections_and_others_their_tenants() {
    let mut stage = Stage::local();
    let [one, other] = ["one", "other"].map(|name| stage.tenant(name));
    let mut first = stage.connect(1, "10.0.0.1:1", one);
    let mut second = stage.connect(2, "10.0.0.2:2", one);
    let third = stage.connect(3, "10.0.0.3:3", other);
    let mut operator = stage.operator();
    let ids = |answer: Answer| -> Vec<String> {
        let ids = answer.text().split("id=").skip(1).map(|line| line.split(' ').next().unwrap());
        ids.map(str::to_owned).collect()
    };
    assert_eq!(ids(stage.run(&mut first, "CLIENT LIST")), ["1", "2"]);
    assert_eq!(ids(stage.run(&mut operator, "CLIENT LIST")), ["1", "2", "3", "99"]);
    assert_eq!(stage.run(&mut first, "CLIENT KILL ID 3"), replies(":0\r\n"));
    assert_eq!(stage.run(&mut first, "CLIENT KILL 10.0.0.3:3"), replies("-ERR No such client\r\n"));
    assert_eq!(stage.run(&mut second, "CLIENT KILL TYPE normal"), replies(":1\r\n"));
    assert!(first.client.shared.is_killed() && !third.client.shared.is_killed());
    assert_eq!(stage.run(&mut operator, "CLIENT KILL ID 3"), replies(":1\r\n"));
    assert!(third.client.shared.is_killed());
    let info = stage.run(&mut operator, "TENANT INFO one");
    assert!(info.text().contains("connections\r\n:2\r\n"), "{info:?}");
}

#[test]
fn a_database_has_no_record_before_its_first_key() {
    let mut stage = Stage::faulty(3);
    let tenant = stage.tenant("acme");
    let mut client = stage.connect(1, "", tenant);
    let without_markers = |stage: &Stage| {
        let mut records = stage.records();
        records.retain(|key, _| key[..5] != *b"\0\0\0\0c");
        records
    };
    let before = without_markers(&stage);
    assert_eq!(
        stage.run(&mut client, "GET k | DBSIZE | FLUSHALL | SCAN 0"),
        replies("$-1\r\n:0\r\n+OK\r\n*2\r\n$1\r\n0\r\n*0\r\n")
    );
    assert_eq!(without_markers(&stage), before);
    assert_eq!(
        stage.run(&mut client, "SET k v | GET k | DBSIZE"),
        replies("+OK\r\n$1\r\nv\r\n:1\r\n")
    );
    assert!(without_markers(&stage).contains_key(&keys::catalog(tenant, 0)[..]));
    assert!(!without_markers(&stage).contains_key(&keys::catalog(tenant, 1)[..]));
}
