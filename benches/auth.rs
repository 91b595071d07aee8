//! What authorization costs: deciding about a request with plain tokens and with checks on keys, and
//! verifying a token; and what the costliest tokens that are accepted cost. The best of several rounds.

use std::hint::black_box;
use std::time::Instant;

use biscuit_auth::{Biscuit, BlockBuilder, KeyPair};
use ringstone::auth::issue::{Attenuation, Mint, SigningKey, attenuate, mint};
use ringstone::auth::{Authenticator, Class, Origin, Request, RootKey};

const NOW: u64 = 1_800_000_000;

#[allow(clippy::disallowed_methods)]
fn measure(name: &str, rounds: usize, count: usize, mut work: impl FnMut(usize)) {
    let mut best = f64::MAX;
    for round in 0..rounds {
        let start = Instant::now();
        for turn in 0..count {
            work(round * count + turn);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
    }
    println!("{name:<44} {best:>12.1} ns");
}

fn main() {
    let key = SigningKey::random();
    let new = || Authenticator::new(vec![key.public()], None, 256).expect("no list to read");
    let authenticator = new();
    let origin = Origin { address: "10.1.2.3".to_owned(), tls: true };
    let rights = [Class::Read, Class::Write];
    let plain = Mint { tenant: "acme", rights: &rights, expires: Some(NOW + 1000), key_id: None };
    let plain = mint(&key, &plain).expect("a token");
    let weaker = |limits: Attenuation| attenuate(&plain, &limits).expect("a token");
    let prefix = Attenuation { key_prefixes: vec!["cache:".to_owned()], ..Attenuation::default() };
    let prefix = weaker(prefix);
    let grant = |token: &str| authenticator.verify(token.as_bytes(), &origin, NOW).expect("right");
    let request = |number: usize| Request {
        number,
        command: "get",
        class: Class::Read,
        database: 0,
        now: NOW,
    };
    let keys = |count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("cache:user:{number:012}").into_bytes()).collect()
    };
    let (one, hundred) = (keys(1), keys(100));
    let of = |keys: &'static [Vec<u8>]| keys.iter().map(Vec::as_slice);
    let (one, hundred): (&'static [_], &'static [_]) = (one.leak(), hundred.leak());

    let plain_grant = grant(&plain);
    measure("permits, plain token", 20, 1_000_000, |_| {
        black_box(plain_grant.permits(black_box(&request(1)), of(one))).expect("allowed");
    });
    let prefix_grant = grant(&prefix);
    measure("permits, key prefix, 1 key", 20, 100_000, |_| {
        black_box(prefix_grant.permits(black_box(&request(1)), of(one))).expect("allowed");
    });
    measure("permits, key prefix, 100 keys", 20, 10_000, |_| {
        black_box(prefix_grant.permits(black_box(&request(1)), of(hundred))).expect("allowed");
    });
    measure("permits, not decided before, plain token", 10, 250, |turn| {
        // A number past the table is never kept.
        black_box(plain_grant.permits(&request(1000 + turn), of(one))).expect("allowed");
    });
    measure("permits, not decided before, key prefix", 10, 250, |turn| {
        black_box(prefix_grant.permits(&request(1000 + turn), of(one))).expect("allowed");
    });
    measure("verify, known token", 20, 10_000, |_| {
        black_box(authenticator.verify(plain.as_bytes(), &origin, NOW)).expect("right");
    });
    let fresh: Vec<Authenticator> = (0..500).map(|_| new()).collect();
    measure("verify, new token of one block", 5, 100, |turn| {
        black_box(fresh[turn].verify(plain.as_bytes(), &origin, NOW)).expect("right");
    });
    let fresh: Vec<Authenticator> = (0..500).map(|_| new()).collect();
    measure("verify, new token of two blocks", 5, 100, |turn| {
        black_box(fresh[turn].verify(prefix.as_bytes(), &origin, NOW)).expect("right");
    });
    let foreign = mint(
        &SigningKey::random(),
        &Mint { tenant: "acme", rights: &rights, expires: None, key_id: None },
    );
    let foreign = foreign.expect("a token");
    measure("verify, token of another root key", 5, 100, |_| {
        black_box(authenticator.verify(foreign.as_bytes(), &origin, NOW)).expect_err("wrong");
    });
    measure("verify, garbage of 8 kB", 5, 1000, |_| {
        black_box(authenticator.verify(&[b'A'; 8192], &origin, NOW)).expect_err("garbage");
    });
    for (name, block) in COSTLY {
        costly(name, *block);
    }
}

/// The Datalog of a block of a given size.
type Block = fn(usize) -> String;

/// Blocks that are costly in different ways.
const COSTLY: &[(&str, Block)] = &[
    ("a join of two", |size| format!("{} check if f($a), f($b), $a == -1", facts(size))),
    ("a join of three", |size| format!("{} check if f($a), f($b), f($c), $a == -1", facts(size))),
    ("patterns", |size| vec![r#"check if "a".matches("^[a-z]{99}$")"#; size].join(";")),
    ("closures", |size| {
        let list: Vec<String> = (0..size).map(|number| number.to_string()).collect();
        let list = list.join(", ");
        format!("check if [{list}].all($a -> [{list}].all($b -> $a + $b >= 0))")
    }),
    ("a sum of strings", |size| format!("check if {} == \"\"", vec!["\"abc\""; size].join(" + "))),
    ("strings", |size| (0..size).map(|number| format!("s(\"{number}\");")).collect()),
];

fn facts(size: usize) -> String {
    (0..size).map(|number| format!("f({number});")).collect()
}

/// Measures a decision about the largest token of a kind that is accepted.
fn costly(name: &str, block: Block) {
    let root = KeyPair::new();
    let keys = vec![RootKey { id: None, key: root.public() }];
    let authenticator = Authenticator::new(keys, None, 1).expect("no list to read");
    let origin = Origin { address: "unix".to_owned(), tls: false };
    let plain = Biscuit::builder().code(r#"tenant("acme"); right("read")"#).expect("Datalog");
    let plain = plain.build(&root).expect("a token");
    let grant = |size: usize| {
        let block = BlockBuilder::new().code(block(size)).expect("Datalog");
        let token = plain.append(block).and_then(|token| token.to_base64()).expect("a token");
        authenticator.verify(token.as_bytes(), &origin, NOW).ok()
    };
    let sizes = (1..1000).map_while(|size| Some((size, grant(size)?)));
    let (size, grant) = sizes.last().expect("the smallest is accepted");
    let class = Class::Read;
    measure(&format!("not decided before, {name}, size {size}"), 5, 20, |turn| {
        let request = Request { number: 1 + turn, command: "get", class, database: 0, now: NOW };
        let _ = black_box(grant.permits(&request, std::iter::empty()));
    });
}
