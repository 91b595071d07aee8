//! Payloads that no dump made.

use super::*;

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut payload = content.to_vec();
    payload.extend_from_slice(&keys::hash64(content).to_be_bytes());
    payload
}

/// A payload of a kind with these numbers of four bytes and texts.
fn built(kind: Kind, count: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut content = vec![VERSION, kind as u8];
    content.extend_from_slice(&count.to_be_bytes());
    parts.iter().for_each(|part| content.extend_from_slice(part));
    sealed(&content)
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// Two names in the order of their hashes.
fn ordered() -> [Vec<u8>; 2] {
    let mut names = [b"a".to_vec(), b"b".to_vec()];
    names.sort_by_key(|name| keys::hash64(name));
    names.map(|name| text(&name))
}

fn examples() -> Vec<Vec<u8>> {
    let [first, second] = ordered();
    let (one, two) = (1_f64.to_be_bytes(), f64::NEG_INFINITY.to_be_bytes());
    vec![
        sealed(&[VERSION, Kind::String as u8]),
        sealed(&[&[VERSION, Kind::String as u8], &b"value"[..]].concat()),
        built(Kind::List, 3, &[&text(b"x"), &text(b""), &text(b"x")]),
        built(Kind::Set, 2, &[&first, &second]),
        built(Kind::SortedSet, 2, &[&first, &one, &second, &two]),
        built(Kind::Hash, 2, &[&first, &text(b"v"), &second, &text(b"")]),
    ]
}

#[test]
fn what_is_well_formed_is_read() {
    for payload in examples() {
        assert!(parse(&payload).is_some(), "{payload:?}");
    }
    let list = built(Kind::List, 2, &[&text(b"x"), &text(b"y")]);
    assert_eq!(parse(&list), Some(Value::List(vec![b"x", b"y"])));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for payload in examples() {
        for bit in 0..payload.len() * 8 {
            let mut bad = payload.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), None, "bit {bit}");
        }
        for len in 0..payload.len() {
            assert_eq!(parse(&payload[..len]), None, "{len} bytes");
        }
    }
}

#[test]
fn a_right_checksum_makes_nonsense_no_better() {
    let [first, second] = ordered();
    let (nan, zero) = (f64::NAN.to_be_bytes(), 0_f64.to_be_bytes());
    let long = text(&vec![b'x'; KEY_BYTES_MAX + 1]);
    let bad = [
        sealed(&[]),
        sealed(&[VERSION]),
        sealed(&[VERSION + 1, Kind::String as u8]),
        sealed(&[VERSION, 0]),
        sealed(&[VERSION, 200]),
        sealed(&[VERSION, Kind::LongString as u8]),
        sealed(&[VERSION, Kind::List as u8, 0, 0]),
        built(Kind::List, 0, &[]),
        built(Kind::Set, 0, &[]),
        built(Kind::Hash, 0, &[]),
        built(Kind::SortedSet, 0, &[]),
        built(Kind::List, u32::MAX, &[&text(b"x")]),
        built(Kind::List, 2, &[&text(b"x")]),
        built(Kind::List, 1, &[&text(b"x"), b"more"]),
        built(Kind::List, 1, &[&u32::MAX.to_be_bytes(), b"x"]),
        built(Kind::Set, 2, &[&first, &first]),
        built(Kind::Set, 2, &[&second, &first]),
        built(Kind::Set, 1, &[&long]),
        built(Kind::Hash, 1, &[&first]),
        built(Kind::Hash, 1, &[&long, &text(b"v")]),
        built(Kind::Hash, 2, &[&first, &text(b"v"), &first, &text(b"v")]),
        built(Kind::SortedSet, 1, &[&first, &nan]),
        built(Kind::SortedSet, 1, &[&first, &zero[..7]]),
        built(Kind::SortedSet, 2, &[&first, &zero, &first, &zero]),
    ];
    for payload in bad {
        assert_eq!(parse(&payload), None, "{payload:?}");
    }
}

#[test]
fn arbitrary_contents_are_refused_or_read_without_a_panic() {
    let mut state = 1_u64;
    for round in 0..20_000 {
        let mut content: Vec<u8> = (0..round % 64)
            .map(|_| {
                state = keys::hash64(&state.to_be_bytes());
                // Small numbers are the lengths that lead further.
                if state & 3 == 0 { (state >> 8) as u8 } else { (state >> 8) as u8 & 3 }
            })
            .collect();
        content.splice(0..0, [VERSION, 1 + (round % 6) as u8]);
        let _ = parse(&sealed(&content));
    }
}
