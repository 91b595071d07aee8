//! Property: whatever somebody sends as a token, nothing panics, nothing takes long, and nobody gets
//! more than the root key's holder gave.

use biscuit_auth::builder::{Check, Term};

use super::agreement::Random;
use super::*;

/// Decides a few things, for whatever that may do.
fn exercise(grant: &Grant) {
    for command in [GET, SET, PING, CONFIG] {
        for keys in [&[][..], &["a"], &["p:1", "b"]] {
            let _ = ask(grant, request(command), keys);
        }
    }
}

fn is_refused(issuer: &Issuer, bytes: &[u8]) -> bool {
    issuer.authenticator.verify(bytes, &here(), NOW).is_err()
}

/// Whether `bytes` are refused, or say the same as `token` in other bytes: protobuf has more than one
/// way to leave a field out.
fn is_refused_or_the_same(issuer: &Issuer, token: &Biscuit, bytes: &[u8]) -> bool {
    is_refused(issuer, encoded(bytes).as_bytes())
        || Biscuit::from(bytes, issuer.root.public())
            .is_ok_and(|other| other.to_vec().unwrap() == token.to_vec().unwrap())
}

/// What base64 with this alphabet stands for.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(value).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let joined = four.iter().fold(0_u32, |joined, digit| joined << 6 | u32::from(*digit));
        let joined = joined << (6 * (4 - four.len()));
        bytes.extend_from_slice(&joined.to_be_bytes()[1..four.len()]);
    }
    bytes
}

fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let joined = (0..3)
            .fold(0_u32, |joined, at| joined << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[(joined >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn only_the_token_itself_is_accepted() {
    let issuer = Issuer::new();
    let token = issuer.token(PLAIN);
    let block = |code: &str| BlockBuilder::new().code(code).unwrap();
    let token = token.append(block(r#"check if class("read")"#)).unwrap();
    let token = token.append(block(r#"check if key($k), $k.starts_with("p:")"#)).unwrap();
    let text = token.to_base64().unwrap();
    assert_eq!(encoded(&decoded(&text)), text);
    assert!(!is_refused(&issuer, text.as_bytes()));
    let mut random = Random(7);
    for end in 0..text.trim_end_matches('=').len() {
        assert!(is_refused(&issuer, &text.as_bytes()[..end]), "cut at {end}");
    }
    let bytes = decoded(&text);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(is_refused_or_the_same(&issuer, &token, &flipped), "bit {bit}");
    }
    for _ in 0..2000 {
        let mut changed = bytes.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(changed.len());
            match random.below(3) {
                0 => changed[at] = random.below(256) as u8,
                1 => drop(changed.remove(at)),
                _ => changed.insert(at, random.below(256) as u8),
            }
        }
        assert!(is_refused_or_the_same(&issuer, &token, &changed), "{changed:?}");
        let garbage: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        assert!(is_refused(&issuer, &garbage));
        assert!(is_refused(&issuer, encoded(&garbage).as_bytes()));
    }
    assert!(is_refused(&issuer, &vec![b'A'; crate::limits::TOKEN_BYTES_MAX + 1]));
}

#[test]
fn blocks_cannot_be_dropped_swapped_or_taken_from_others() {
    let issuer = Issuer::new();
    let block = |code: &str| BlockBuilder::new().code(code).unwrap();
    let token = issuer.token(PLAIN);
    let token = token.append(block(r#"check if class("read")"#)).unwrap();
    let token = token.append(block(r#"check if database(0)"#)).unwrap();
    let other = issuer.token(r#"tenant("other"); right("read"); right("admin")"#);
    let other = other.append(block("check if true")).unwrap();
    let container = token.container();
    let check = |change: &dyn Fn(&mut biscuit_auth::format::SerializedBiscuit)| {
        let mut changed = container.clone();
        change(&mut changed);
        assert!(is_refused(&issuer, encoded(&changed.to_vec().unwrap()).as_bytes()));
    };
    check(&|token| token.blocks.swap(0, 1));
    check(&|token| drop(token.blocks.pop()));
    check(&|token| drop(token.blocks.remove(0)));
    check(&|token| token.blocks.clear());
    check(&|token| token.blocks[1] = token.blocks[0].clone());
    check(&|token| token.authority = other.container().authority.clone());
    check(&|token| token.blocks[0] = other.container().blocks[0].clone());
    check(&|token| token.authority = token.blocks[0].clone());
    check(&|token| token.proof = other.container().proof.clone());
}

/// A holder can sign any bytes as a block of a token.
#[test]
fn signed_garbage_does_no_harm() {
    let issuer = Issuer::new();
    let code = r#"user("u", 1, hex:00ff, [1, "a", null], {"m": [2]}, 2027-01-01T00:00:00Z);
        r($x) <- user($x, $n, $b, $a, $m, $d), $n + 1 < 5, $a.any($e -> $e == 1) trusting previous;
        check if key($k), $k.starts_with("a") || $k.matches("^b.*"), !($k.length() > 3);
        check all command($c), ["get", "set"].contains($c.substring) or class("connection");
        reject if time($t), $t < 2000-01-01T00:00:00Z;
        check if r($y), {1, 2}.contains(1), $y == "u" && "a" + "b" == "ab";"#;
    let code = code.replace(".substring", "");
    let token = issuer.token(PLAIN);
    let sample = token.append(BlockBuilder::new().code(&code).unwrap()).unwrap();
    exercise(&issuer.verify(&sample.to_base64().unwrap()).unwrap());
    let payload = sample.container().to_proto().blocks[0].block.clone();
    let mut random = Random(11);
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut payload = payload.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(payload.len());
            match random.below(4) {
                0 => payload[at] = random.below(256) as u8,
                1 => payload[at] ^= 1 << random.below(8),
                2 => drop(payload.remove(at)),
                _ => payload.insert(at, random.below(256) as u8),
            }
        }
        let next = KeyPair::new();
        let Ok(signed) = token.container().append_serialized(&next, payload, None) else {
            continue;
        };
        let text = encoded(&signed.to_vec().unwrap());
        let _ = inspect(&text, None);
        if let Ok(grant) = issuer.verify(&text) {
            accepted += 1;
            assert_eq!((grant.tenant(), grant.is_admin()), ("acme", false));
            exercise(&grant);
            assert!(ask(&grant, request(CONFIG), &[]).is_err());
        }
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn tokens_that_the_engine_would_print_about_are_refused() {
    let issuer = Issuer::new();
    let mut check =
        Check::try_from(r#"check if command($name), ["get", "x"].contains($name)"#).unwrap();
    let with = |check: &Check| {
        let block = BlockBuilder::new().check(check.clone()).unwrap();
        issuer.verify(&issuer.token(PLAIN).append(block).unwrap().to_base64().unwrap())
    };
    assert!(with(&check).is_ok());
    check.queries[0].head.terms = vec![Term::Variable("name".to_owned())];
    assert!(with(&check).is_ok());
    check.queries[0].head.terms = vec![Term::Variable("other".to_owned())];
    assert_eq!(with(&check).unwrap_err(), Refused::TooComplex);
}

/// Each of these would keep the engine busy for minutes, or take gigabytes.
#[test]
fn tokens_that_take_long_are_refused() {
    let issuer = Issuer::new();
    let facts: String = (0..60).map(|number| format!("f({number});")).collect();
    let names = |count: usize| {
        (0..count).map(|number| format!("f($a{number})")).collect::<Vec<_>>().join(", ")
    };
    let list: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let list = list.join(", ");
    let nested = (0..7)
        .fold("true".to_owned(), |inner, depth| format!("[{list}].all($v{depth} -> {inner})"));
    let chain: String = (1..30)
        .map(|n| format!("g{n}($x, $y) <- g{}($x, $z), g{}($z, $y);", n - 1, n - 1))
        .collect();
    let sums = vec!["\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""; 500].join(" + ");
    let variables: String = (0..300).map(|number| format!("x(\"{number}\");")).collect();
    for (what, code) in [
        ("a join", format!("{facts} check if {}, false", names(6))),
        ("a join in a rule", format!("{facts} h($a0) <- {}", names(5))),
        ("recursion", "f(0, 1); f(1, 2); f($a, $c) <- f($a, $b), f($b, $c)".to_owned()),
        ("nested closures", format!("check if {nested}")),
        ("a chain of rules", format!("g0(1, 1); g0(1, 2); g0(2, 1); {chain}")),
        ("a large pattern", r#"check if key($k), $k.matches("(a{500}){500}")"#.to_owned()),
        ("patterns", vec![r#"check if "a".matches("a{9}")"#; 40].join(";")),
        ("a pattern that is put together", r#"check if "a".matches("(a{99}" + "){99}")"#.into()),
        ("a long sum", format!("check if {sums} == \"\"")),
        ("many strings", format!("{variables} {facts} check if x($x), x($y), $x == $y")),
    ] {
        let block =
            BlockBuilder::new().code(&code).unwrap_or_else(|error| panic!("{what}: {error}"));
        let token = issuer.token(PLAIN).append(block).unwrap().to_base64().unwrap();
        let refused = issuer.verify(&token).err();
        let is_right = [Some(Refused::TooComplex), Some(Refused::Unreadable)].contains(&refused);
        assert!(is_right, "{what}: {refused:?}");
    }
    let many = (0..20).fold(issuer.token(PLAIN), |token, _| {
        token.append(BlockBuilder::new().code("check if true").unwrap()).unwrap()
    });
    let many = issuer.verify(&many.to_base64().unwrap()).unwrap_err();
    assert_eq!(many, Refused::TooComplex);
}

/// The engine takes the square of the number of keys.
#[test]
fn the_engine_is_asked_about_few_keys_only() {
    let issuer = Issuer::new();
    let engine = issuer.grant(PLAIN, &["check all key($k), $k.length() < 9"]);
    let native = issuer.grant(PLAIN, &["check all key($k), $k.starts_with(\"\")"]);
    let pairs = issuer.grant(PLAIN, &["check all key($k), key($l), $k.length() == $l.length()"]);
    let keys: Vec<String> = (1000..6000).map(|number| number.to_string()).collect();
    let tried = |grant: &Grant, count: usize| {
        let keys: Vec<&str> = keys[..count].iter().map(String::as_str).collect();
        ask(grant, request(SET), &keys)
    };
    assert_eq!(tried(&engine, 100), Ok(()));
    assert!(tried(&engine, 5000).unwrap_err().starts_with("fewer keys in one command"));
    assert_eq!(tried(&native, 5000), Ok(()));
    assert_eq!(tried(&pairs, 10), Ok(()));
    assert!(tried(&pairs, 200).unwrap_err().starts_with("fewer keys in one command"));
}

/// Ordinary tokens are far from the bounds.
#[test]
fn large_honest_tokens_are_accepted() {
    let issuer = Issuer::new();
    let commands: Vec<String> = (0..120).map(|number| format!("\"command{number}\"")).collect();
    let list = format!(
        "check if command($c), {{{}, \"get\"}}.contains($c) or class(\"connection\")",
        commands.join(", ")
    );
    let prefixes: Vec<String> =
        (0..40).map(|number| format!("$k.starts_with(\"prefix{number}:\")")).collect();
    let prefixes = format!("check all key($k), {}", prefixes.join(" || "));
    let facts: String = (0..50).map(|n| format!("member(\"user{n}\", {n});")).collect();
    let grant = issuer.grant(
        &format!("{PLAIN} {facts} in(\"team\") <- member($u, 7); check if in(\"team\");"),
        &[&list, &prefixes, "check if time($t), $t < 2030-01-01T00:00:00Z", "check if tls(true)"],
    );
    assert_eq!(ask(&grant, request(GET), &["prefix39:a", "prefix0:b"]), Ok(()));
    assert!(ask(&grant, request(GET), &["prefix:a"]).is_err());
    assert!(ask(&grant, request(SET), &["prefix1:a"]).is_err());
}

/// A date past what can be printed, and other values at the end of their range.
#[test]
fn extreme_values_are_printed_and_compared() {
    let issuer = Issuer::new();
    for date in [0, u64::MAX, u64::MAX - 1, i64::MAX as u64, u64::from(u32::MAX)] {
        for text in ["check if time($t), $t > {d}", "check if time($t), $t <= {d}"] {
            let mut check = biscuit_auth::builder::Check::try_from(text).unwrap();
            check.set("d", Term::Date(date)).unwrap();
            let block = BlockBuilder::new().check(check).unwrap();
            let token = issuer.token(PLAIN).append(block).unwrap().to_base64().unwrap();
            let _ = inspect(&token, None).unwrap();
            let grant = issuer.verify(&token);
            let is_permitted = grant.is_ok_and(|grant| ask(&grant, request(GET), &["k"]).is_ok());
            assert_eq!(is_permitted, text.contains('>') == (date == 0), "{text} {date}");
        }
    }
    let block = "check if -9223372036854775808 / -1 == 0; check if 9223372036854775807 + 1 > 0";
    let grant = issuer.grant(PLAIN, &[block]);
    assert!(ask(&grant, request(GET), &["k"]).is_err());
}
