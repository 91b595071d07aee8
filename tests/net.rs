//! Whatever a connection does, it gets its own replies in order and nobody else is held up.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Conn, Options, Reply, Server, Subject, encode};

fn start(flags: &[&'static str]) -> Server {
    let options = Options { flags: flags.to_vec(), ..Options::default() };
    Server::start_with(Subject::Memory, &options)
}

fn bulk(reply: &Reply) -> &[u8] {
    reply.bulk().unwrap_or_else(|| panic!("not a bulk string: {reply:?}"))
}

/// A little of everything the protocol has: bulks, an inline command, binary, an empty argument.
fn mixed_pipeline() -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    bytes.extend(encode(&["SET", "key", "value\r\n"]));
    bytes.extend(b"PING\r\n");
    bytes.extend(encode(&["GET", "key"]));
    bytes.extend(encode(&["ECHO", ""]));
    bytes.extend(encode(&[&b"ECHO"[..], &[0, 255, 13, 10]]));
    bytes.extend(encode(&["INCR", "key"]));
    bytes.extend(encode(&["DEL", "key"]));
    (bytes, 7)
}

#[test]
fn a_pipeline_may_be_cut_anywhere() {
    let server = start(&[]);
    let (bytes, replies) = mixed_pipeline();
    let mut whole = server.connect();
    whole.send_raw(&bytes);
    let expected: Vec<Reply> = (0..replies).map(|_| whole.read_reply()).collect();
    let mut other = server.connect();
    for cut in 1..bytes.len() {
        let mut conn = server.connect();
        conn.send_raw(&bytes[..cut]);
        // A round trip of another connection: most likely the first part has been received alone.
        other.command("PING");
        conn.send_raw(&bytes[cut..]);
        let got: Vec<Reply> = (0..replies).map(|_| conn.read_reply()).collect();
        assert_eq!(got, expected, "cut at {cut}");
    }
}

#[test]
fn a_pipeline_may_come_byte_by_byte() {
    let server = start(&[]);
    let (bytes, replies) = mixed_pipeline();
    let mut whole = server.connect();
    whole.send_raw(&bytes);
    let expected: Vec<Reply> = (0..replies).map(|_| whole.read_reply()).collect();
    let mut conn = server.connect();
    for byte in bytes {
        conn.send_raw(&[byte]);
    }
    let got: Vec<Reply> = (0..replies).map(|_| conn.read_reply()).collect();
    assert_eq!(got, expected);
}

#[test]
fn long_pipelines_are_answered_in_order() {
    for subject in [Subject::Memory, Subject::Embedded] {
        let server = Server::start(subject);
        let mut conn = server.connect();
        for length in [1_000, 20_000] {
            let commands: Vec<Vec<Vec<u8>>> = (0..length)
                .map(|i| match i % 3 {
                    0 => common::words(&format!("SET key:{} {i}", i % 100)),
                    1 => common::words(&format!("GET key:{}", (i - 1) % 100)),
                    _ => common::words(&format!("ECHO {i}")),
                })
                .collect();
            let replies = conn.pipeline(&commands);
            for (i, reply) in replies.iter().enumerate() {
                match i % 3 {
                    0 => assert_eq!(*reply, Reply::Simple("OK".into())),
                    1 => assert_eq!(bulk(reply), (i - 1).to_string().as_bytes()),
                    _ => assert_eq!(bulk(reply), i.to_string().as_bytes()),
                }
            }
        }
    }
}

#[test]
fn values_up_to_the_limit_round_trip_and_larger_ones_are_refused() {
    for subject in [Subject::Memory, Subject::Embedded] {
        let server = Server::start(subject);
        let mut conn = server.connect();
        let value: Vec<u8> =
            (0..5 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(conn.call(&[&b"SET"[..], b"large", &value[..]]), Reply::Simple("OK".into()));
        assert!(bulk(&conn.command("GET large")) == value);
        let mut refused = server.connect();
        refused
            .send_raw(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", (5 << 20) + 1).as_bytes());
        let rest = refused.read_to_close().unwrap();
        assert_eq!(rest, b"-ERR Protocol error: invalid bulk length\r\n");
        assert!(bulk(&conn.command("GET large")) == value);
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_and_loses_nothing() {
    let server = start(&[]);
    let mut other = server.connect();
    let value = vec![b'x'; 1 << 20];
    other.call(&[&b"SET"[..], b"large", &value[..]]);
    let mut slow = server.connect();
    // 300 MiB of replies: more than any socket buffer, more than the output limit at once.
    let requests = 300;
    slow.send_raw(&encode(&["GET", "large"]).repeat(requests));
    for i in 0..1_000 {
        assert_eq!(other.command("INCR counter").int(), i + 1);
    }
    for _ in 0..requests {
        assert!(bulk(&slow.read_reply()) == value);
    }
}

#[test]
fn a_client_may_send_everything_before_it_reads_anything() {
    for subject in [Subject::Memory, Subject::Embedded] {
        let server = Server::start(subject);
        let mut conn = server.connect();
        // Far more than the sockets' buffers, in both directions; with writes, and split batches.
        let value = vec![b'e'; 40_000];
        let requests = 1_500;
        let mut bytes = Vec::new();
        for i in 0..requests {
            match i % 3 {
                0 => bytes.extend(encode(&[&b"SET"[..], b"k", &value])),
                1 => bytes.extend(encode(&["GET", "k"])),
                _ => bytes.extend(encode(&[&b"ECHO"[..], &value])),
            }
        }
        conn.send_raw(&bytes);
        for i in 0..requests {
            match i % 3 {
                0 => assert_eq!(conn.read_reply(), Reply::Simple("OK".into())),
                _ => assert!(bulk(&conn.read_reply()) == value),
            }
        }
    }
}

#[test]
fn one_reply_past_the_output_limit_ends_the_connection() {
    let server = start(&["--output-buffer-limit", "6mb"]);
    let mut conn = server.connect();
    conn.call(&[&b"SET"[..], b"large", &vec![b'x'; 4 << 20][..]]);
    conn.command("MULTI");
    for _ in 0..2 {
        conn.command("GET large");
    }
    conn.send(&["EXEC"]);
    assert_eq!(conn.read_to_close().unwrap(), b"");
    assert_eq!(server.connect().command("PING"), Reply::Simple("PONG".into()));
}

#[test]
fn what_one_request_makes_of_a_large_value_is_bounded() {
    let server = start(&["--output-buffer-limit", "6mb"]);
    let mut conn = server.connect();
    conn.call(&[&b"SET"[..], b"large", &vec![b'x'; 4 << 20][..]]);
    // 80 GB each, if it were not.
    let many = vec!["large"; 20_000];
    let mut reader = server.connect();
    reader.send(&[&["MGET"][..], &many[..]].concat());
    assert_eq!(reader.read_to_close().unwrap(), b"");
    let mut block = encode(&["MULTI"]);
    block.extend(encode(&["SET", "n", "1"]));
    block.extend(encode(&["GET", "large"]).repeat(20_000));
    block.extend(encode(&["EXEC"]));
    let mut reader = server.connect();
    // It may end the connection before it has read all.
    let _ = reader.try_send_raw(&block);
    reader.read_to_close().unwrap();
    assert_eq!(conn.command("EXISTS n").int(), 0);
    conn.command("MULTI");
    for _ in 0..20 {
        conn.pipeline(&vec![common::words("COPY large other REPLACE"); 1_000]);
    }
    assert!(conn.command("EXEC").is_error());
    assert_eq!(conn.command("EXISTS other").int(), 0);
}

#[test]
fn a_client_that_vanishes_mid_command_changes_nothing() {
    let server = start(&[]);
    let bytes = encode(&["SET", "victim", "value"]);
    for cut in 1..bytes.len() {
        server.connect().send_raw(&bytes[..cut]);
    }
    let mut conn = server.connect();
    assert_eq!(conn.command("EXISTS victim").int(), 0);
    // A command that arrived whole is executed even if nobody waits for its reply.
    server.connect().send_raw(&bytes);
    while conn.command("EXISTS victim").int() == 0 {}
}

#[test]
fn a_protocol_error_is_answered_after_what_came_before_it() {
    let server = start(&[]);
    let mut conn = server.connect();
    conn.send_raw(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n!oops\r\nPING\r\n");
    let rest = conn.read_to_close().unwrap();
    assert_eq!(rest, b":1\r\n-ERR Protocol error: expected '$', got '!'\r\n");
}

#[test]
fn quit_is_the_last_command() {
    let server = start(&[]);
    let mut conn = server.connect();
    conn.send_raw(b"INCR n\r\nQUIT\r\nINCR n\r\n");
    assert_eq!(conn.read_to_close().unwrap(), b":1\r\n+OK\r\n");
    assert_eq!(bulk(&server.connect().command("GET n")), b"1");
}

#[test]
fn nothing_runs_behind_a_command_that_ends_its_connection() {
    let server = start(&[]);
    let mut conn = server.connect();
    let id = conn.command("CLIENT ID").int();
    let kill = format!(
        "CLIENT KILL ID {id} SKIPME no\r\nINCR n\r\nCLIENT PAUSE 1000000 WRITE\r\nINCR n\r\n"
    );
    conn.send_raw(kill.as_bytes());
    assert_eq!(conn.read_to_close().unwrap(), b":1\r\n");
    assert_eq!(server.connect().command("EXISTS n").int(), 0);
}

#[test]
fn replies_turned_on_inside_a_transaction_go_on_from_there() {
    let server = start(&[]);
    let mut conn = server.connect();
    conn.send_raw(b"CLIENT REPLY OFF\r\nMULTI\r\nPING\r\nCLIENT REPLY ON\r\nEXEC\r\nECHO x\r\n");
    assert_eq!(conn.read_reply(), Reply::Simple("OK".into()));
    assert_eq!(bulk(&conn.read_reply()), b"x");
}

#[test]
fn a_pause_holds_what_is_pipelined_behind_it() {
    let server = start(&[]);
    let mut conn = server.connect();
    let mut other = server.connect();
    conn.send_raw(
        b"INCR n\r\nCLIENT PAUSE 100000000 WRITE\r\nGET n\r\nCLIENT PAUSE 1 WRITE\r\nINCR n\r\n",
    );
    assert_eq!(conn.read_reply(), Reply::Int(1));
    assert_eq!(conn.read_reply(), Reply::Simple("OK".into()));
    assert_eq!(bulk(&conn.read_reply()), b"1");
    assert_eq!(conn.read_reply(), Reply::Simple("OK".into()));
    assert_eq!(bulk(&other.command("GET n")), b"1");
    other.command("CLIENT UNPAUSE");
    assert_eq!(conn.read_reply(), Reply::Int(2));
}

#[test]
fn a_client_killed_in_a_pause_ends_at_once_and_writes_nothing() {
    let server = start(&[]);
    let mut other = server.connect();
    let mut held = server.connect();
    let id = held.command("CLIENT ID").int();
    other.command("CLIENT PAUSE 1000000 WRITE");
    held.send(&["SET", "k", "v"]);
    assert_eq!(other.command(&format!("CLIENT KILL ID {id}")).int(), 1);
    assert_eq!(held.read_to_close().unwrap(), b"");
    other.command("CLIENT UNPAUSE");
    assert_eq!(other.command("EXISTS k").int(), 0);
}

#[test]
fn a_skipped_reply_stays_skipped_when_its_command_waits_for_the_next_group() {
    let server = start(&["--group-bytes-max", "1kb"]);
    let mut conn = server.connect();
    let value = "x".repeat(900);
    let mut bytes = encode(&["SET", "a", &value]);
    bytes.extend(encode(&["CLIENT", "REPLY", "SKIP"]));
    bytes.extend(encode(&["SET", "b", &value]));
    bytes.extend(encode(&["ECHO", "done"]));
    conn.send_raw(&bytes);
    assert_eq!(conn.read_reply(), Reply::Simple("OK".into()));
    assert_eq!(bulk(&conn.read_reply()), b"done");
    assert_eq!(conn.command("STRLEN b").int(), 900);
}

#[test]
fn a_transaction_with_too_many_long_strings_is_refused_whole() {
    let server = start(&[]);
    let mut conn = server.connect();
    let count = 66_000;
    let mut block = vec![common::words("MULTI")];
    block.extend((0..count).map(|i| common::words(&format!("SETRANGE k{i} 65536 x"))));
    block.push(common::words("EXEC"));
    let replies = block.chunks(1_000).flat_map(|commands| conn.pipeline(commands)).last();
    assert!(replies.unwrap().is_error());
    assert_eq!(conn.command("DBSIZE").int(), 0);
    assert_eq!(conn.command("SETRANGE k 65536 x").int(), 65_537);
}

#[test]
fn a_container_and_its_subcommand_are_told_apart_in_a_pipeline() {
    let server = start(&[]);
    let mut conn = server.connect();
    let count = conn.command("COMMAND COUNT");
    conn.send_raw(b"COMMAND\r\nCOMMAND COUNT\r\n");
    assert!(matches!(conn.read_reply(), Reply::Array(_)));
    assert_eq!(conn.read_reply(), count);
}

#[test]
fn the_connection_limit_is_kept() {
    let server = start(&["--maxclients", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    first.command("PING");
    second.command("PING");
    let refused = server.connect().read_to_close().unwrap();
    assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    drop(first);
    // The place is free as soon as the server has noticed.
    while Conn::open(&server.address).try_send_raw(b"PING\r\n").is_err() {}
    second.command("PING");
}

#[test]
fn an_idle_connection_is_closed_after_the_timeout() {
    let server = start(&["--timeout", "1"]);
    let mut idle = server.connect();
    idle.command("PING");
    assert_eq!(idle.read_to_close().unwrap(), b"");
}

#[test]
fn a_connection_held_by_a_pause_is_not_idle() {
    let server = start(&["--timeout", "1"]);
    let mut other = server.connect();
    other.command("CLIENT PAUSE 100000000 WRITE");
    let mut held = server.connect();
    held.send(&["INCR", "n"]);
    // Each ends after more than the timeout: what is held has been passed over by then.
    for _ in 0..2 {
        let mut idle = server.connect();
        idle.command("PING");
        assert_eq!(idle.read_to_close().unwrap(), b"");
    }
    server.connect().command("CLIENT UNPAUSE");
    assert_eq!(held.read_reply(), Reply::Int(1));
}

#[test]
fn announced_requests_cost_nothing_until_they_arrive() {
    let server = start(&["--client-memory-max", "6mb"]);
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 4 << 20);
    let mut idle: Vec<Conn> = (0..16).map(|_| server.connect()).collect();
    for conn in &mut idle {
        conn.send_raw(format!("PING\r\n{head}").as_bytes());
        assert_eq!(conn.read_reply(), Reply::Simple("PONG".into()));
    }
    let mut first = server.connect();
    first.send_raw(head.as_bytes());
    first.send_raw(&vec![b'x'; 1 << 20]);
    let mut other = server.connect();
    other.command("PING");
    first.send_raw(&vec![b'x'; 3 << 20]);
    first.send_raw(b"\r\n");
    assert_eq!(first.read_reply(), Reply::Simple("OK".into()));
    assert_eq!(other.command("STRLEN k").int(), 4 << 20);
}

#[test]
fn requests_of_all_clients_together_have_a_bound() {
    let server = start(&["--client-memory-max", "6mb"]);
    let mut request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 1 << 20).into_bytes();
    request.resize(request.len() + (1 << 20) - 1, b'x');
    // None of them ever ends its request, so that not all can find room.
    let (ended, ends) = std::sync::mpsc::channel();
    for _ in 0..8 {
        let (mut conn, request, ended) = (server.connect(), request.clone(), ended.clone());
        std::thread::spawn(move || {
            let _ = conn.try_send_raw(&request);
            let _ = ended.send(conn.read_to_close());
        });
    }
    // A connection that ends while bytes are on their way to it may be reset.
    if let Ok(refusal) = ends.recv().unwrap() {
        assert!(refusal.starts_with(b"-ERR too much memory"), "{refusal:?}");
    }
    assert_eq!(server.connect().command("SET k v"), Reply::Simple("OK".into()));
}

#[test]
fn ten_thousand_idle_connections_cost_little() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = 10_000.min(allowed.saturating_sub(500));
    if count < 10_000 {
        println!("only {count} connections: the limit on open files is {allowed}");
    }
    let server = start(&["--maxclients", "10100"]);
    let mut active = server.connect();
    let idle: Vec<Conn> = (0..count)
        .map(|_| {
            let mut conn = server.connect();
            conn.send_raw(b"PING\r\n");
            conn
        })
        .collect();
    for mut conn in idle {
        assert_eq!(conn.read_reply(), Reply::Simple("PONG".into()));
        active.command("PING");
    }
}

#[test]
fn figures_of_the_store_can_be_asked_for_while_others_write() {
    for subject in [Subject::Memory, Subject::Embedded] {
        let server = Server::start(subject);
        std::thread::scope(|scope| {
            for command in ["MEMORY STATS", "MEMORY STATS", "SET k v", "SET k w", "INFO"] {
                let mut conn = server.connect();
                scope.spawn(move || {
                    for _ in 0..20 {
                        conn.pipeline(&vec![common::words(command); 50]);
                    }
                });
            }
        });
    }
}
