//! Property: a token that another implementation made or weakened is honoured exactly.
//! `tests/auth/weaken.py` makes `tokens.txt` with biscuit-python.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use ringstone::auth::{Authenticator, Class, Grant, Origin, Refused, Request, issue};

const TOKENS: &str = include_str!("auth/tokens.txt");
const ROOT_KEY: &str = "7:ed25519/d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// One second before the date in the token `until`.
const NOW: u64 = 1_800_000_000 - 1;

const GET: (usize, &str, Class) = (0, "get", Class::Read);
const SET: (usize, &str, Class) = (1, "set", Class::Write);
const PING: (usize, &str, Class) = (2, "ping", Class::Connection);
const FLUSHALL: (usize, &str, Class) = (3, "flushall", Class::Write);
const CONFIG: (usize, &str, Class) = (4, "config|get", Class::Admin);

fn tokens() -> HashMap<&'static str, &'static str> {
    TOKENS.lines().map(|line| line.split_once(' ').unwrap()).collect()
}

fn authenticator() -> Authenticator {
    Authenticator::new(vec![ROOT_KEY.parse().unwrap()], None, 8).unwrap()
}

fn from(address: &str, tls: bool) -> Origin {
    Origin { address: address.to_owned(), tls }
}

fn grant(name: &str) -> Arc<Grant> {
    authenticator().verify(tokens()[name].as_bytes(), &from("10.1.2.3", true), NOW).unwrap()
}

fn request((number, command, class): (usize, &str, Class)) -> Request<'_> {
    Request { number, command, class, database: 0, now: NOW }
}

/// Asks for each command with these keys; the names of those that are allowed.
fn allowed<'a>(grant: &Grant, keys: &[&str]) -> Vec<&'a str> {
    let all = [GET, SET, PING, FLUSHALL, CONFIG];
    let may = |command: &(usize, &'a str, Class)| {
        let keys = || keys.iter().map(|key| key.as_bytes());
        let first = grant.permits(&request(*command), keys());
        assert_eq!(first, grant.permits(&request(*command), keys()), "{command:?}");
        first.is_ok()
    };
    all.into_iter().filter(may).map(|(_, name, _)| name).collect()
}

#[test]
fn tokens_of_others_are_honoured_exactly() {
    let data = vec!["get", "set", "ping", "flushall"];
    for (token, keys, expected) in [
        ("minted", &["a"][..], data.clone()),
        ("read-only", &["a"], vec!["get", "ping"]),
        ("key-prefix", &["cache:a", "cache:b"], data.clone()),
        ("key-prefix", &["cache:a", "b"], vec![]),
        ("key-prefix", &[], vec![]),
        ("twice", &["cache:a"], vec!["get", "ping"]),
        ("twice", &["b"], vec!["ping"]),
        ("twice", &[], vec!["ping"]),
        ("one-key", &["counter"], data.clone()),
        ("one-key", &["counter2"], vec![]),
        ("commands", &["a"], vec!["get", "ping"]),
        ("not-flushall", &["a"], vec!["get", "set", "ping"]),
        ("database", &["a"], vec![]),
        ("until", &["a"], data.clone()),
        ("network", &["a"], data.clone()),
        ("pattern", &["user:1", "user:22"], data.clone()),
        ("pattern", &["user:1", "user:x"], vec![]),
        ("rule", &["b", "a:mine"], data.clone()),
        ("rule", &["b"], vec!["ping"]),
        ("grab", &["a"], data),
        ("made-elsewhere", &["a"], vec!["get", "ping"]),
    ] {
        assert_eq!(allowed(&grant(token), keys), expected, "{token} {keys:?}");
    }
    assert_eq!((grant("grab").tenant(), grant("grab").is_admin()), ("acme", false));
}

#[test]
fn they_depend_on_database_time_and_address() {
    let get = request(GET);
    let in_third = Request { database: 3, ..get };
    assert!(grant("database").permits(&in_third, std::iter::once(&b"a"[..])).is_ok());
    let until = grant("until");
    assert_eq!(until.expires(), Some(NOW + 1));
    assert!(until.permits(&Request { now: NOW + 1, ..get }, std::iter::empty()).is_err());
    for (address, tls, expected) in
        [("10.1.9.9", true, true), ("10.1.9.9", false, false), ("10.2.0.1", true, false)]
    {
        let authenticator = authenticator();
        let token = tokens()["network"].as_bytes();
        let grant = authenticator.verify(token, &from(address, tls), NOW).unwrap();
        assert_eq!(grant.permits(&get, std::iter::empty()).is_ok(), expected, "{address} {tls}");
    }
}

#[test]
fn our_own_can_be_weakened_after_theirs() {
    let limits = issue::Attenuation { database: Some(0), ..issue::Attenuation::default() };
    let token = issue::attenuate(tokens()["key-prefix"], &limits).unwrap();
    let grant = authenticator().verify(token.as_bytes(), &from("unix", false), NOW).unwrap();
    assert_eq!(allowed(&grant, &["cache:a"]), ["get", "set", "ping", "flushall"]);
    assert!(allowed(&grant, &["a"]).is_empty());
    // And none of these is anybody else's.
    let other = issue::SigningKey::random().public();
    let other = Authenticator::new(vec![other], None, 8).unwrap();
    let refused = other.verify(token.as_bytes(), &from("unix", false), NOW).unwrap_err();
    assert_eq!(refused, Refused::Unsigned);
}
