//! Property: the rank index of a sorted set stays right while two processes add, move and remove
//! members at once.

use super::common::{Conn, Options, Reply, Rng, fdb, flush};
use super::servers;

/// Each process has members of its own; they lie among each other's.
fn changes(rng: &mut Rng, own: usize, count: usize) -> Vec<Vec<Vec<u8>>> {
    let change = |rng: &mut Rng| {
        let member = format!("m{}", 2 * rng.below(1500) + own as u64);
        let score = rng.below(1000).to_string();
        let words: Vec<&str> = match rng.below(5) {
            0 => vec!["ZREM", "z", &member],
            1 => vec!["ZINCRBY", "z", &score, &member],
            _ => vec!["ZADD", "z", &score, &member],
        };
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    };
    (0..count).map(|_| change(rng)).collect()
}

fn names(conn: &mut Conn, command: &str) -> Vec<String> {
    let text = |item: &Reply| String::from_utf8(item.bulk().unwrap().to_vec());
    conn.command(command).items().iter().map(|item| text(item).unwrap()).collect()
}

#[test]
fn two_processes_keep_one_rank_index() {
    if !fdb::is_here() {
        return;
    }
    let servers = servers(2, &Options::default());
    let mut rng = Rng::new(1);
    flush(&mut servers[0].connect());
    for _ in 0..4 {
        std::thread::scope(|scope| {
            for (own, server) in servers.iter().enumerate() {
                let batches: Vec<_> = (0..12).map(|_| changes(&mut rng, own, 50)).collect();
                scope.spawn(move || {
                    let mut conn = server.connect();
                    for batch in batches {
                        let replies = conn.pipeline(&batch);
                        assert!(!replies.iter().any(Reply::is_error), "{replies:?}");
                    }
                });
            }
        });
        let mut conn = servers[1].connect();
        let members = names(&mut conn, "ZRANGE z 0 -1");
        assert_eq!(conn.command("ZCARD z").int(), members.len() as i64);
        for (rank, member) in members.iter().enumerate().step_by(7) {
            assert_eq!(conn.command(&format!("ZRANK z {member}")).int(), rank as i64, "{member}");
        }
        let at = members.len() - 3;
        assert_eq!(names(&mut conn, &format!("ZRANGE z {at} -1")), &members[at..]);
    }
}
