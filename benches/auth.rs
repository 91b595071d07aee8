//! What authorization costs: deciding about a request with plain tokens and with checks on keys, and
//! verifying a token. Nanoseconds each, the best of several rounds.

use std::hint::black_box;
use std::time::Instant;

use ringstone::auth::issue::{Attenuation, Mint, SigningKey, attenuate, mint};
use ringstone::auth::{Authenticator, Class, Origin, Request};

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
}
