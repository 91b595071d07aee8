//! What tokens allow, whoever made them: rights, checks, time, revocation, and hostile ones.

#![allow(clippy::unwrap_used)]

mod agreement;
mod hostile;

use std::path::Path;
use std::sync::Arc;

use biscuit_auth::{Biscuit, BlockBuilder, KeyPair};

use super::issue::{Attenuation, Mint, SigningKey, attenuate, inspect, mint};
use super::*;
use crate::limits::TENANT_NAME_BYTES_MAX;

const NOW: u64 = 1_800_000_000;
const COMMANDS: usize = 8;

/// A root key and who trusts it.
struct Issuer {
    root: KeyPair,
    authenticator: Authenticator,
}

impl Issuer {
    fn new() -> Issuer {
        let root = KeyPair::new();
        let keys = vec![RootKey { id: None, key: root.public() }];
        Issuer { authenticator: Authenticator::new(keys, None, COMMANDS).unwrap(), root }
    }

    fn token(&self, code: &str) -> Biscuit {
        Biscuit::builder().code(code).unwrap().build(&self.root).unwrap()
    }

    fn verify(&self, token: &str) -> Result<Arc<Grant>, Refused> {
        self.authenticator.verify(token.as_bytes(), &here(), NOW)
    }

    /// The grant of a token with this authority block and these blocks after it.
    fn grant(&self, code: &str, blocks: &[&str]) -> Arc<Grant> {
        let mut token = self.token(code);
        for block in blocks {
            token = token.append(BlockBuilder::new().code(block).unwrap()).unwrap();
        }
        self.verify(&token.to_base64().unwrap()).unwrap()
    }
}

const PLAIN: &str = r#"tenant("acme"); right("read"); right("write");"#;

fn here() -> Origin {
    Origin { address: "10.1.2.3".to_owned(), tls: true }
}

const GET: (usize, &str, Class) = (0, "get", Class::Read);
const SET: (usize, &str, Class) = (1, "set", Class::Write);
const CONFIG: (usize, &str, Class) = (2, "config|get", Class::Admin);
const PING: (usize, &str, Class) = (3, "ping", Class::Connection);
const SCAN: (usize, &str, Class) = (4, "scan", Class::Read);

fn request((number, command, class): (usize, &str, Class)) -> Request<'_> {
    Request { number, command, class, database: 0, now: NOW }
}

/// The outcome twice: as it is made, and as it is kept.
fn ask(grant: &Grant, request: Request<'_>, keys: &[&str]) -> Result<(), String> {
    let keys = || keys.iter().map(|key| key.as_bytes());
    let first = grant.permits(&request, keys()).map_err(|denied| denied.0);
    let second = grant.permits(&request, keys()).map_err(|denied| denied.0);
    assert_eq!(first, second);
    first
}

fn denied(reason: &str) -> Result<(), String> {
    Err(reason.to_owned())
}

#[test]
fn rights_are_those_of_the_authority_block() {
    let issuer = Issuer::new();
    let grant = issuer.grant(PLAIN, &[]);
    assert_eq!((grant.tenant(), grant.is_admin(), grant.expires()), ("acme", false, None));
    assert_eq!(ask(&grant, request(GET), &["k"]), Ok(()));
    assert_eq!(ask(&grant, request(SET), &["k"]), Ok(()));
    assert_eq!(ask(&grant, request(PING), &[]), Ok(()));
    assert_eq!(ask(&grant, request(CONFIG), &[]), denied("right admin"));
    let reader = issuer.grant(r#"tenant("acme"); right("read")"#, &[]);
    assert_eq!(ask(&reader, request(SET), &["k"]), denied("right write"));
    assert_eq!(ask(&reader, request(GET), &["k"]), Ok(()));
    assert!(issuer.grant(r#"tenant("t"); right("admin")"#, &[]).is_admin());
}

#[test]
fn what_a_holder_adds_gains_nothing() {
    let issuer = Issuer::new();
    let added = r#"right("admin"); right("write"); tenant("other"); class("connection"); class("read");
        key("cache:x"); time(2000-01-01T00:00:00Z); command("ping"); database(0); tls(true);
        right($c) <- class($c); class("connection") <- command($c);"#;
    let grant = issuer.grant(r#"tenant("acme"); right("read")"#, &[added]);
    assert_eq!((grant.tenant(), grant.is_admin()), ("acme", false));
    assert_eq!(ask(&grant, request(SET), &["k"]), denied("right write"));
    assert_eq!(ask(&grant, request(CONFIG), &[]), denied("right admin"));
    assert_eq!(ask(&grant, request(GET), &["k"]), Ok(()));
    // Nor does it for checks that came before it, or in another block after it.
    let check = r#"check if class("read"); check if key($k), $k.starts_with("cache:");
        check if time($t), $t > 2020-01-01T00:00:00Z;"#;
    for blocks in [[check, added], [added, check]] {
        let grant = issuer.grant(PLAIN, &blocks);
        assert_eq!(ask(&grant, request(SET), &["cache:a"]), denied(r#"check if class("read")"#));
        let prefix = r#"check if key($k), $k.starts_with("cache:")"#;
        assert_eq!(ask(&grant, request(GET), &["other"]), denied(prefix));
        assert_eq!(ask(&grant, request(GET), &[]), denied(prefix));
        assert_eq!(ask(&grant, request(GET), &["cache:a"]), Ok(()));
    }
    // It can only fool checks of its own block.
    let fooled = issuer.grant(PLAIN, &[r#"class("read"); check if class("read")"#]);
    assert_eq!(ask(&fooled, request(SET), &["k"]), Ok(()));
}

#[test]
fn a_token_names_one_tenant() {
    let issuer = Issuer::new();
    for code in [
        r#"right("read")"#,
        r#"tenant("a"); tenant("b")"#,
        r#"tenant(1)"#,
        r#"tenant("a b")"#,
        r#"tenant("")"#,
        r#"tenant("a", "b")"#,
    ] {
        let token = issuer.token(code).to_base64().unwrap();
        assert_eq!(issuer.verify(&token).unwrap_err(), Refused::NoTenant, "{code}");
    }
}

#[test]
fn names_of_tenants_are_plain() {
    for name in [&b"a"[..], b"default", b"Acme-1.prod_EU", &[b'x'; TENANT_NAME_BYTES_MAX]] {
        assert!(is_tenant_name(name));
    }
    for name in [&b""[..], b"a b", b"a/b", b"\xc3\xa4", &[b'x'; TENANT_NAME_BYTES_MAX + 1]] {
        assert!(!is_tenant_name(name));
    }
}

#[test]
fn every_fact_can_be_asked_for() {
    let issuer = Issuer::new();
    let tried = |check: &str| ask(&issuer.grant(PLAIN, &[check]), request(GET), &["k"]);
    for holds in [
        r#"check if tenant("acme")"#,
        "check if database(0)",
        r#"check if command("get")"#,
        r#"check if class("read")"#,
        r#"check if key("k")"#,
        r#"check if client_address("10.1.2.3")"#,
        "check if tls(true)",
        "check if time($t), $t < 2030-01-01T00:00:00Z",
        "check if time($t), 2030-01-01T00:00:00Z > $t, $t >= 2027-01-15T08:00:00Z",
        r#"check if command($c), {"get", "set"}.contains($c) or class("connection")"#,
        r#"reject if command("set")"#,
        "check if true",
    ] {
        assert_eq!(tried(holds), Ok(()), "{holds}");
    }
    for fails in [
        r#"check if tenant("other")"#,
        "check if database(1)",
        r#"check if command("set")"#,
        r#"check if key("l")"#,
        r#"check if client_address("10.1.2.4")"#,
        "check if tls(false)",
        r#"reject if command("get")"#,
        "check if false",
        "check if database($d), $d.starts_with(\"x\")",
        "check if time($t), $t === 2030-01-01T00:00:00Z",
    ] {
        assert!(tried(fails).is_err(), "{fails}");
    }
}

#[test]
fn checks_on_keys_hold_of_each_key() {
    let issuer = Issuer::new();
    let all = issuer.grant(PLAIN, &[r#"check all key($k), $k.starts_with("p:")"#]);
    let text = r#"check all key($k), $k.starts_with("p:")"#;
    assert_eq!(ask(&all, request(GET), &["p:1", "p:2"]), Ok(()));
    assert_eq!(ask(&all, request(GET), &["p:1", "q:2"]), denied(text));
    // There must be a match, so what names no key is refused.
    assert_eq!(ask(&all, request(PING), &[]), denied(text));
    assert_eq!(ask(&all, request(SCAN), &[]), denied(text));
    let some = issuer.grant(PLAIN, &[r#"check if key($k), $k.starts_with("p:")"#]);
    assert_eq!(ask(&some, request(GET), &["q:2", "p:1"]), Ok(()));
    assert!(ask(&some, request(GET), &["q:1"]).is_err());
    let none = issuer.grant(PLAIN, &[r#"reject if key($k), $k.starts_with("p:")"#]);
    assert_eq!(ask(&none, request(GET), &["q:2"]), Ok(()));
    assert_eq!(ask(&none, request(SCAN), &[]), Ok(()));
    assert!(ask(&none, request(GET), &["q:1", "p:1"]).is_err());
    let or = r#"check all key($k), $k.starts_with("p:") or class("connection")"#;
    let or = issuer.grant(PLAIN, &[or]);
    assert_eq!(ask(&or, request(PING), &[]), Ok(()));
    assert!(ask(&or, request(SCAN), &[]).is_err());
    assert_eq!(ask(&or, request(SET), &["p:"]), Ok(()));
}

#[test]
fn keys_that_are_not_utf_8_keep_their_prefix() {
    let issuer = Issuer::new();
    let grant = issuer.grant(PLAIN, &["check all key($k), $k.starts_with(\"p:\u{fffd}\")"]);
    let get = request(GET);
    let with = |key: &'static [u8]| grant.permits(&get, std::iter::once(key)).is_ok();
    assert!(with(b"p:\xff\xfe") && with(b"p:\xc3") && with("p:\u{fffd}".as_bytes()));
    assert!(!with(b"p:a\xff") && !with(b"\xffp:"));
}

#[test]
fn decisions_differ_between_databases_if_they_are_asked_for() {
    let issuer = Issuer::new();
    let grant = issuer.grant(PLAIN, &[r#"check if database(3) or class("connection")"#]);
    let in_database = |database| ask(&grant, Request { database, ..request(GET) }, &["k"]);
    assert!(in_database(0).is_err() && in_database(4).is_err() && in_database(255).is_err());
    assert_eq!(in_database(3), Ok(()));
}

#[test]
fn a_token_ends_when_it_says() {
    let issuer = Issuer::new();
    let code = format!("{PLAIN} check if time($t), $t < 2027-01-15T08:00:10Z;");
    let grant = issuer.grant(&code, &["check if time($t), $t >= 2027-01-15T08:00:00Z"]);
    assert_eq!(grant.expires(), Some(NOW + 10));
    let at = |now| ask(&grant, Request { now, ..request(GET) }, &["k"]);
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + 9), Ok(()));
    assert_eq!(at(NOW + 10), denied("the token has expired"));
    assert_eq!(at(NOW - 1), denied("the token is not valid yet"));
    let token = issuer.token(&code).to_base64().unwrap();
    let verify = |now| issuer.authenticator.verify(token.as_bytes(), &here(), now);
    assert!(verify(NOW + 9).is_ok());
    assert_eq!(verify(NOW + 10).unwrap_err(), Refused::Expired);
}

#[test]
fn other_uses_of_time_are_decided_each_second() {
    let issuer = Issuer::new();
    let late = r#"check if time($t), $t < 2027-01-15T08:00:10Z or class("connection")"#;
    let derived = r#"late(true) <- time($t), $t >= 2027-01-15T08:00:10Z; reject if late(true)"#;
    for block in [late, derived] {
        let grant = issuer.grant(PLAIN, &[block]);
        assert_eq!(grant.expires(), None);
        let at = |now| ask(&grant, Request { now, ..request(GET) }, &["k"]).is_ok();
        assert!(at(NOW) && at(NOW + 9) && !at(NOW + 10) && at(NOW + 9));
    }
}

#[test]
fn grants_are_kept_and_differ_by_origin_if_it_is_asked_for() {
    let issuer = Issuer::new();
    let elsewhere = Origin { address: "::1".to_owned(), tls: false };
    let token = issuer.token(PLAIN);
    let verify = |token: &Biscuit, from: &Origin| {
        let token = token.to_base64().unwrap();
        issuer.authenticator.verify(token.as_bytes(), from, NOW).unwrap()
    };
    assert!(Arc::ptr_eq(&verify(&token, &here()), &verify(&token, &elsewhere)));
    let near = BlockBuilder::new().code(r#"check if client_address("::1")"#).unwrap();
    let near = token.append(near).unwrap();
    assert!(ask(&verify(&near, &here()), request(GET), &["k"]).is_err());
    assert_eq!(ask(&verify(&near, &elsewhere), request(GET), &["k"]), Ok(()));
    assert!(Arc::ptr_eq(&verify(&near, &here()), &verify(&near, &here())));
}

#[test]
fn keys_are_chosen_by_id_and_tried() {
    let (old, new, other) = (KeyPair::new(), KeyPair::new(), KeyPair::new());
    let root = |id, pair: &KeyPair| RootKey { id, key: pair.public() };
    let token = |pair: &KeyPair, id: Option<u32>| {
        let builder = Biscuit::builder().code(PLAIN).unwrap();
        let builder = match id {
            Some(id) => builder.root_key_id(id),
            None => builder,
        };
        builder.build(pair).unwrap().to_base64().unwrap()
    };
    let keys = vec![root(Some(1), &old), root(Some(2), &new), root(None, &other)];
    let both = Authenticator::new(keys, None, 1).unwrap();
    let try_on = |token: &str| both.verify(token.as_bytes(), &here(), NOW).map(|_| ());
    assert_eq!(try_on(&token(&old, Some(1))), Ok(()));
    assert_eq!(try_on(&token(&new, Some(2))), Ok(()));
    assert_eq!(try_on(&token(&new, None)), Ok(()));
    assert_eq!(try_on(&token(&other, Some(7))), Ok(()));
    assert_eq!(try_on(&token(&old, Some(2))), Err(Refused::Unsigned));
    assert_eq!(try_on(&token(&KeyPair::new(), None)), Err(Refused::Unsigned));
}

#[test]
fn revocation_reaches_grants_that_are_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("revoked");
    std::fs::write(&list, "# none yet\n").unwrap();
    let root = KeyPair::new();
    let keys = vec![RootKey { id: None, key: root.public() }];
    let authenticator = Authenticator::new(keys.clone(), Some(&list), COMMANDS).unwrap();
    let parent = Biscuit::builder().code(PLAIN).unwrap().build(&root).unwrap();
    let child = parent.append(BlockBuilder::new().code("check if true").unwrap()).unwrap();
    let verify =
        |token: &Biscuit| authenticator.verify(token.to_base64().unwrap().as_bytes(), &here(), NOW);
    let (parents, childs) = (verify(&parent).unwrap(), verify(&child).unwrap());
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let revoke = |block: usize| {
        let id = hex(&child.revocation_identifiers()[block]);
        std::fs::write(&list, format!("{id}  # leaked\n\n")).unwrap();
        assert_eq!(authenticator.reload(), Ok(true));
        assert_eq!(authenticator.reload(), Ok(false));
    };
    assert_eq!(ask(&childs, request(GET), &["k"]), Ok(()));
    revoke(1);
    assert_eq!(ask(&childs, request(GET), &["k"]), denied("the token has been revoked"));
    assert_eq!(verify(&child).unwrap_err(), Refused::Revoked);
    assert_eq!(ask(&parents, request(GET), &["k"]), Ok(()));
    revoke(0);
    assert!(parents.is_revoked() && childs.is_revoked());
    // A broken list changes nothing.
    std::fs::write(&list, "zz\n").unwrap();
    assert!(authenticator.reload().unwrap_err().ends_with(":1: it is not a revocation id in hex"));
    assert!(parents.is_revoked());
    std::fs::write(&list, "").unwrap();
    assert_eq!(authenticator.reload(), Ok(true));
    assert!(!parents.is_revoked() && verify(&child).is_ok());
    assert!(Authenticator::new(keys, Some(Path::new("/nowhere/list")), 1).is_err());
}

#[test]
fn denials_are_one_short_line() {
    let issuer = Issuer::new();
    let long = format!("check if command(\"a\r\nb{}\")", "x".repeat(500));
    let grant = issuer.grant(PLAIN, &[&long]);
    let reason = ask(&grant, request(GET), &["k"]).unwrap_err();
    assert!(reason.starts_with("check if command(\"a??b"), "{reason}");
    assert_eq!(reason.chars().count(), crate::limits::DENIED_CHARS_MAX);
}

#[test]
fn sealed_and_third_party_tokens_are_honoured() {
    let issuer = Issuer::new();
    let token = issuer.token(PLAIN);
    let sealed = token.append(BlockBuilder::new().code(r#"check if class("read")"#).unwrap());
    let sealed = sealed.unwrap().seal().unwrap().to_base64().unwrap();
    let grant = issuer.verify(&sealed).unwrap();
    assert_eq!(ask(&grant, request(GET), &["k"]), Ok(()));
    assert!(ask(&grant, request(SET), &["k"]).is_err());
    let limits = Attenuation { read_only: true, ..Attenuation::default() };
    assert!(attenuate(&sealed, &limits).unwrap_err().contains("sealed"));

    let party = KeyPair::new();
    let code = format!("{PLAIN} check if group(\"staff\") trusting {};", party.public());
    let token = issuer.token(&code);
    assert!(ask(&issuer.grant(&code, &[]), request(GET), &["k"]).is_err());
    assert!(ask(&issuer.grant(&code, &["group(\"staff\")"]), request(GET), &["k"]).is_err());
    let block = BlockBuilder::new()
        .code(r#"group("staff"); right("admin"); check if class("read"), right("read");"#)
        .unwrap();
    let asked = token.third_party_request().unwrap();
    let block = asked.create_block(&party.private(), block).unwrap();
    let vouched = token.append_third_party(party.public(), block).unwrap().to_base64().unwrap();
    let grant = issuer.verify(&vouched).unwrap();
    assert_eq!(ask(&grant, request(GET), &["k"]), Ok(()));
    assert!(ask(&grant, request(SET), &["k"]).is_err());
    assert_eq!(ask(&grant, request(CONFIG), &[]), denied("right admin"));
}

#[test]
fn attenuation_does_what_it_says() {
    let signing = SigningKey::random();
    let authenticator = Authenticator::new(vec![signing.public()], None, COMMANDS).unwrap();
    let plain =
        Mint { tenant: "acme", rights: &[Class::Read, Class::Write], expires: None, key_id: None };
    let plain = mint(&signing, &plain).unwrap();
    let grant = |limits: Attenuation| {
        let token = attenuate(&plain, &limits).unwrap();
        authenticator.verify(token.as_bytes(), &here(), NOW).unwrap()
    };
    let none = Attenuation::default();
    assert_eq!(attenuate(&plain, &none).unwrap_err(), "nothing is to be limited");

    let reads = grant(Attenuation { read_only: true, ..none.clone() });
    assert!(ask(&reads, request(GET), &["k"]).is_ok() && ask(&reads, request(PING), &[]).is_ok());
    assert!(ask(&reads, request(SET), &["k"]).is_err());

    let quoted = "a\"b) or true //";
    let key_prefixes = vec!["p:".to_owned(), quoted.to_owned()];
    let prefixed = grant(Attenuation { key_prefixes, ..none.clone() });
    assert!(ask(&prefixed, request(SET), &["p:1", "a\"b) or true //1"]).is_ok());
    assert!(ask(&prefixed, request(SET), &["p:1", "q"]).is_err());
    assert!(
        ask(&prefixed, request(SCAN), &[]).is_err() && ask(&prefixed, request(PING), &[]).is_ok()
    );

    let only = grant(Attenuation { commands: vec!["GET".to_owned()], ..none.clone() });
    assert!(ask(&only, request(GET), &["k"]).is_ok() && ask(&only, request(PING), &[]).is_ok());
    assert!(ask(&only, request(SCAN), &[]).is_err() && ask(&only, request(SET), &["k"]).is_err());

    let one = grant(Attenuation { database: Some(2), ..none.clone() });
    assert!(ask(&one, request(GET), &["k"]).is_err());
    assert!(ask(&one, Request { database: 2, ..request(GET) }, &["k"]).is_ok());

    let short = grant(Attenuation { expires: Some(NOW + 5), ..none });
    assert_eq!(short.expires(), Some(NOW + 5));
    assert!(ask(&short, Request { now: NOW + 5, ..request(PING) }, &[]).is_err());
}

#[test]
fn address_ranges_are_exact() {
    let issuer = Issuer::new();
    let token = issuer.token(PLAIN).to_base64().unwrap();
    let from = |range: &str, address: &str| {
        let address_range = Some(range.parse().unwrap());
        let limits = Attenuation { address: address_range, ..Attenuation::default() };
        let token = attenuate(&token, &limits).unwrap();
        let origin = Origin { address: address.to_owned(), tls: false };
        let grant = issuer.authenticator.verify(token.as_bytes(), &origin, NOW).unwrap();
        ask(&grant, request(GET), &["k"]).is_ok()
    };
    for (range, inside, outside) in [
        ("10.1.2.3", "10.1.2.3", "10.1.2.30"),
        ("10.1.2.3/32", "10.1.2.3", "10.1.2.4"),
        ("10.1.0.0/16", "10.1.255.0", "10.10.0.1"),
        ("10.0.0.0/8", "10.255.255.255", "100.0.0.0"),
        ("10.1.16.0/20", "10.1.31.255", "10.1.32.0"),
        ("10.1.16.0/20", "10.1.16.0", "10.1.1.6"),
        ("10.1.2.128/25", "10.1.2.128", "10.1.2.127"),
        ("10.1.2.8/30", "10.1.2.11", "10.1.2.110"),
        ("172.16.0.0/12", "172.31.1.1", "172.32.1.1"),
        ("0.0.0.0/0", "1.2.3.4", "::1"),
        ("::1", "::1", "::11"),
        ("2001:db8::/32", "2001:db8::1", "2001:db80::1"),
        ("unix", "unix", "127.0.0.1"),
    ] {
        assert!(from(range, inside), "{inside} in {range}");
        assert!(!from(range, outside), "{outside} in {range}");
    }
    for wrong in ["10.1.2", "10.1.0.0/33", "10.1.0.0/x", "", "2001:db8::/33", "2001:0:1::/48"] {
        assert!(wrong.parse::<issue::AddressRange>().is_err(), "{wrong}");
    }
}

#[test]
fn keys_are_read_in_every_form() {
    let signing = SigningKey::random();
    let text = signing.public().to_string();
    let hex = text.strip_prefix("ed25519/").unwrap();
    let read = |text: &str| text.parse::<RootKey>();
    assert_eq!(read(&text), Ok(signing.public()));
    assert_eq!(read(hex), Ok(signing.public()));
    let named = RootKey { id: Some(7), ..signing.public() };
    assert_eq!(read(&format!(" 7:{text}\n")), Ok(named));
    assert_eq!(named.to_string(), format!("7:{text}"));
    let pem = signing.public().key.to_pem().unwrap();
    assert_eq!(key::keys_of(&pem), Ok(vec![signing.public()]));
    assert_eq!(key::keys_of(&format!("# ours\n\n{text}\n7:{hex}\n")).unwrap().len(), 2);
    assert!(key::keys_of("# none\n").is_err());
    for wrong in ["", "x:ed25519/00", "rsa/00", "ed25519/00", &signing.to_text()] {
        let problem = read(wrong).unwrap_err();
        assert!(!problem.contains(signing.to_text().split('/').nth(1).unwrap()), "{problem}");
    }
    let again: SigningKey = signing.to_text().parse().unwrap();
    assert_eq!(again.public(), signing.public());
    assert!("ed25519-private/zz".parse::<SigningKey>().is_err());
    assert!(!format!("{signing:?}").contains(signing.to_text().split('/').nth(1).unwrap()));
}

#[test]
fn inspection_shows_what_a_token_says() {
    let signing = SigningKey::random();
    let minted =
        Mint { tenant: "acme", rights: &[Class::Read], expires: Some(NOW + 100), key_id: Some(3) };
    let token = mint(&signing, &minted).unwrap();
    let limits = Attenuation {
        key_prefixes: vec!["a\n\u{1b}[2J".to_owned()],
        expires: Some(NOW),
        ..Attenuation::default()
    };
    let token = attenuate(&token, &limits).unwrap();
    let shown = inspect(&token, Some(&signing.public())).unwrap();
    assert_eq!(shown.is_signed, Some(true));
    assert_eq!(shown.key_id, Some(3));
    assert_eq!((shown.tenants, shown.rights), (vec!["acme".into()], vec!["read".into()]));
    assert_eq!(shown.expires, Some((NOW, "2027-01-15T08:00:00Z".to_owned())));
    assert_eq!(shown.blocks.len(), 2);
    assert_eq!(shown.blocks[1].revocation_id.len(), 128);
    assert!(shown.blocks[1].lines.iter().all(|line| !line.contains('\u{1b}')));
    let other = SigningKey::random().public();
    assert_eq!(inspect(&token, Some(&other)).unwrap().is_signed, Some(false));
    assert_eq!(inspect("nonsense", None).unwrap_err(), "it is not a token");
    let bad = Mint { tenant: "a b", ..minted };
    assert!(mint(&signing, &bad).unwrap_err().contains("letters, digits"));
}
