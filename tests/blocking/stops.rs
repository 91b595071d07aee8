//! A server that ends while clients wait ends in time, answers what it has done, and loses nothing.

use super::common::{Conn, Options, Server, Subject, encode, fdb, words};
use super::stage::Stage;

/// Clients whose end must not need the whole of this.
const FLAGS: [&str; 2] = ["--shutdown-timeout", "1h"];

#[test]
fn waiting_clients_do_not_keep_a_server_from_ending() {
    for subject in [Subject::Memory, Subject::Embedded, Subject::Faulty] {
        ends(subject);
    }
    if fdb::is_here() {
        ends(Subject::FoundationDb);
    }
}

fn ends(subject: Subject) {
    for how in ["SIGTERM", "SHUTDOWN"] {
        let options = Options { flags: FLAGS.to_vec(), ..Options::default() };
        let mut server = Server::start_with(subject, &options);
        let mut waiters: Vec<Conn> = Vec::new();
        {
            let mut stage = Stage::new(&server);
            for line in ["BLPOP k 0", "BLPOP k l 1000", "BLMOVE k l LEFT LEFT 0"] {
                waiters.push(stage.waiter(line));
            }
            let mut behind = stage.client();
            behind.send_raw(b"INCR n\r\nBLPOP k 0\r\nINCR n\r\n");
            stage.came(1);
            assert_eq!(behind.read_reply().int(), 1);
            waiters.push(behind);
            if how == "SHUTDOWN" {
                let mut conn = stage.client();
                conn.send(&["SHUTDOWN"]);
                waiters.push(conn);
            }
        }
        if how == "SIGTERM" {
            assert!(server.terminate().success(), "{}", server.log());
        }
        for waiter in &mut waiters {
            assert_eq!(waiter.read_to_close().unwrap(), b"", "{subject:?} {how}");
        }
    }
}

/// Items come while it ends: each that was acknowledged is there, or was moved, and is there once.
#[test]
fn what_is_served_at_the_end_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let flags = FLAGS.to_vec();
    let data_dir = Some(directory.path().to_owned());
    let options = Options { flags, data_dir, ..Options::default() };
    let mut pushed = 0;
    for _ in 0..4 {
        let mut server = Server::start_with(Subject::Embedded, &options);
        let mut stage = Stage::new(&server);
        let mut waiters: Vec<Conn> = (0..20).map(|_| stage.client()).collect();
        waiters.iter_mut().for_each(|conn| {
            conn.send_raw(&encode(&words("BLMOVE k moved LEFT RIGHT 0")).repeat(300));
        });
        stage.came(waiters.len());
        let mut pusher = stage.client();
        let pushes = (0..2_000).flat_map(|at| encode(&words(&format!("RPUSH k {}", pushed + at))));
        pusher.send_raw(&pushes.collect::<Vec<u8>>());
        assert!(pusher.read_reply().int() > 0);
        drop(stage);
        assert!(server.terminate().success(), "{}", server.log());
        let count = |rest: &[u8], sign: u8| rest.iter().filter(|byte| **byte == sign).count();
        let acknowledged = 1 + count(&pusher.read_to_close().unwrap(), b':');
        let moves = waiters.iter_mut().map(|conn| count(&conn.read_to_close().unwrap(), b'$'));
        let moved = moves.sum::<usize>();
        let server = Server::start_with(Subject::Embedded, &options);
        let mut conn = server.connect();
        let mut items = Vec::new();
        for list in ["moved", "k"] {
            let reply = conn.command(&format!("LRANGE {list} 0 -1"));
            items.extend(reply.items().iter().map(|item| item.bulk().unwrap().to_vec()));
        }
        let stored = items.len();
        items.sort();
        items.dedup();
        assert_eq!(items.len(), stored, "an item is there twice");
        assert_eq!(stored, acknowledged);
        assert_eq!(conn.command("LLEN moved").int(), moved as i64);
        conn.command("FLUSHALL");
        pushed += 2_000;
    }
}
