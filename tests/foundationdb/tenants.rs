//! Property: the processes before one cluster have the same tenants.

use std::collections::BTreeSet;

use super::common::{Options, Reply, fdb};
use super::servers;

const NAMES: usize = 12;

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.bulk().unwrap().to_vec()).unwrap()
}

#[test]
fn a_tenant_that_two_processes_create_at_once_has_one_id() {
    if !fdb::is_here() {
        return;
    }
    let servers = servers(2, &Options::default());
    std::thread::scope(|scope| {
        for server in servers.iter().chain(&servers) {
            scope.spawn(|| {
                let mut conn = server.connect();
                for number in 0..NAMES {
                    let created = conn.command(&format!("TENANT SETQUOTA t{number} commands 5"));
                    assert_eq!(created, Reply::Simple(b"OK".to_vec()));
                }
            });
        }
    });
    let mut ids = BTreeSet::new();
    for number in 0..NAMES {
        let describe = format!("TENANT INFO t{number}");
        let [one, other] = [0, 1].map(|at| servers[at].connect().command(&describe));
        assert_eq!(one, other);
        ids.insert(one.items()[3].int());
    }
    assert_eq!(ids.len(), NAMES);
    let mut conn = servers[0].connect();
    assert_eq!(conn.command("TENANT DROP t3"), Reply::Simple(b"OK".to_vec()));
    let listed = servers[1].connect().command("TENANT LIST");
    let names: BTreeSet<String> = listed.items()[1].items().iter().map(text).collect();
    assert_eq!((names.len(), names.contains("t3"), names.contains("t4")), (NAMES, false, true));
}
