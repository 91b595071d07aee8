//! The property: every reply has the shape Redis 7.0 gives it in the protocol version spoken.

use super::{Protocol, Reply};

type Write = fn(&mut Reply);

/// What `write` encodes, in RESP2 and in RESP3.
fn both(write: impl Fn(&mut Reply)) -> [String; 2] {
    [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
        let mut reply = Reply::new();
        reply.set_protocol(protocol);
        write(&mut reply);
        String::from_utf8(reply.take()).unwrap()
    })
}

#[test]
fn replies_that_no_version_changes() {
    let cases: [(Write, &str); 14] = [
        (|reply| reply.ok(), "+OK\r\n"),
        (|reply| reply.simple("QUEUED"), "+QUEUED\r\n"),
        (|reply| reply.error("ERR no"), "-ERR no\r\n"),
        (|reply| reply.error("\r\nERR a\r\nb\n"), "-ERR a  b\r\n"),
        (|reply| reply.error("\r\n"), "-\r\n"),
        (|reply| reply.integer(0), ":0\r\n"),
        (|reply| reply.integer(9), ":9\r\n"),
        (|reply| reply.integer(10), ":10\r\n"),
        (|reply| reply.integer(i64::MIN), ":-9223372036854775808\r\n"),
        (|reply| reply.bulk(b""), "$0\r\n\r\n"),
        (|reply| reply.bulk(b"hello\r\nyou"), "$10\r\nhello\r\nyou\r\n"),
        (|reply| reply.array(0), "*0\r\n"),
        (|reply| reply.array(1_000_000), "*1000000\r\n"),
        (|reply| reply.raw(b"+PONG\r\n"), "+PONG\r\n"),
    ];
    for (write, expected) in cases {
        assert_eq!(both(write), [expected, expected]);
    }
    for len in [9, 10, 99, 100, 12345] {
        let value = "v".repeat(len);
        let expected = format!("${len}\r\n{value}\r\n");
        assert_eq!(both(|reply| reply.bulk(value.as_bytes())), [expected.clone(), expected]);
    }
}

#[test]
fn replies_that_the_version_changes() {
    let cases: [(Write, &str, &str); 14] = [
        (|reply| reply.null(), "$-1\r\n", "_\r\n"),
        (|reply| reply.null_array(), "*-1\r\n", "_\r\n"),
        (|reply| reply.map(3), "*6\r\n", "%3\r\n"),
        (|reply| reply.set(3), "*3\r\n", "~3\r\n"),
        (|reply| reply.push(2), "*2\r\n", ">2\r\n"),
        (|reply| reply.boolean(true), ":1\r\n", "#t\r\n"),
        (|reply| reply.boolean(false), ":0\r\n", "#f\r\n"),
        (|reply| reply.double(1e17), "$5\r\n1e+17\r\n", ",1e+17\r\n"),
        (|reply| reply.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
        (|reply| reply.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (|reply| reply.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
        (|reply| reply.double_text(b"1.5"), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (|reply| reply.verbatim(b"a\nb", *b"txt"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
        (|reply| reply.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n"),
    ];
    for (write, resp2, resp3) in cases {
        assert_eq!(both(write), [resp2, resp3]);
    }
}

#[test]
fn a_mark_undoes_what_came_after_it() {
    let mut reply = Reply::new();
    reply.ok();
    let mark = reply.mark();
    reply.array(2);
    reply.bulk(b"half");
    reply.rollback(mark);
    reply.error("ERR failed");
    assert_eq!(reply.bytes(), b"+OK\r\n-ERR failed\r\n");
    assert_eq!(reply.len(), reply.bytes().len());
    reply.clear();
    assert!(reply.is_empty());
}

#[test]
fn a_header_goes_in_front_of_elements_already_written() {
    for count in [0, 3, 10, 250] {
        let mut reply = Reply::new();
        reply.ok();
        let mark = reply.mark();
        (0..count).for_each(|value| reply.integer(value));
        reply.array_header_at(mark, count as usize);
        let elements: String = (0..count).map(|value| format!(":{value}\r\n")).collect();
        assert_eq!(reply.bytes(), format!("+OK\r\n*{count}\r\n{elements}").as_bytes());
    }
}

#[test]
fn clearing_keeps_memory_and_shrinking_gives_it_back() {
    let mut reply = Reply::new();
    reply.set_protocol(Protocol::Resp3);
    reply.bulk(&[b'v'; 100_000]);
    reply.clear();
    assert!(reply.bytes.capacity() >= 100_000);
    reply.shrink(1024);
    assert!(reply.bytes.capacity() < 100_000);
    assert_eq!(reply.protocol(), Protocol::Resp3);
}
