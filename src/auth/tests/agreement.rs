//! Property: checks on keys that are decided without the engine are decided as it decides them.

use super::*;

/// xorshift64: the same checks and keys on every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const TEXTS: &[&str] = &["", "a", "b", "a:", "a:b", "ab", "\u{fffd}", "é", "A"];
const PATTERNS: &[&str] = &["^a", "b$", "a.b", "[ab]+", "(", "^$", "\\\\d", "(?i)A", "\\\\pL"];

fn expression(random: &mut Random, depth: usize) -> String {
    let text = random.pick(TEXTS);
    match random.below(if depth == 0 { 11 } else { 17 }) {
        0 => format!("$k.starts_with(\"{text}\")"),
        1 => format!("$k.ends_with(\"{text}\")"),
        2 => format!("$k.contains(\"{text}\")"),
        3 => format!("$k == \"{text}\""),
        4 => format!("\"{text}\" != $k"),
        5 => format!("$k.matches(\"{}\")", random.pick(PATTERNS)),
        6 => format!("[\"{text}\", \"{}\"].contains($k)", random.pick(TEXTS)),
        7 => format!("{{\"{text}\", \"b\"}}.contains($k)"),
        8 => ["true", "false"][random.below(2)].to_owned(),
        // What is left to the engine, and what fails to evaluate.
        9 => format!("$k.length() > {}", random.below(4)),
        10 => ["$k.starts_with(1)", "$k", "$k == 1", "$x == 1", "$k === 2"][random.below(5)]
            .to_owned(),
        11 | 12 => {
            format!("{} && {}", expression(random, depth - 1), expression(random, depth - 1))
        }
        13 | 14 => {
            format!("{} || {}", expression(random, depth - 1), expression(random, depth - 1))
        }
        15 => format!("!({})", expression(random, depth - 1)),
        _ => format!("({})", expression(random, depth - 1)),
    }
}

fn query(random: &mut Random) -> String {
    match random.below(12) {
        0 => "class(\"read\")".to_owned(),
        1 => "command($c), $c == \"set\"".to_owned(),
        2 => "database($d), $d.starts_with(\"x\")".to_owned(),
        3 => format!("key($k), key($l), $k != $l, {}", expression(random, 1)),
        4 => format!("key(\"{}\")", random.pick(TEXTS)),
        5 => "key($k)".to_owned(),
        6 => format!("key($k), {}, {}", expression(random, 1), expression(random, 1)),
        7 => format!("key($k), database($d), {}", expression(random, 1)),
        _ => format!("key($k), {}", expression(random, 2)),
    }
}

fn check(random: &mut Random) -> String {
    let kind = random.pick(&["check if", "check all", "reject if", "check if", "check all"]);
    let queries: Vec<String> =
        (0..=random.below(4).saturating_sub(1)).map(|_| query(random)).collect();
    format!("{kind} {}", queries.join(" or "))
}

fn keys(random: &mut Random) -> Vec<Vec<u8>> {
    const PARTS: &[&[u8]] =
        &[b"a", b"b", b":", b"A", b"1", b"\xff", b"\xc3", "é".as_bytes(), b"\0"];
    let count = random.below(4);
    let mut key =
        || (0..random.below(4)).flat_map(|_| PARTS[random.below(PARTS.len())]).copied().collect();
    (0..count).map(|_| key()).collect()
}

#[test]
fn native_checks_agree_with_the_engine() {
    let issuer = Issuer::new();
    let mut random = Random(0x5eed);
    let (mut allowed, mut refused, mut native) = (0, 0, 0);
    for _ in 0..1500 {
        let checks: Vec<String> = (0..=random.below(2)).map(|_| check(&mut random)).collect();
        let code = checks.join(";\n");
        let Ok(block) = BlockBuilder::new().code(&code) else { continue };
        let token = issuer.token(PLAIN).append(block).unwrap().to_base64().unwrap();
        let grant = issuer.verify(&token).unwrap_or_else(|refused| panic!("{code}: {refused}"));
        native += usize::from(!grant.asks_engine_for_keys());
        for command in [GET, SET, PING] {
            let keys = keys(&mut random);
            let keys = || keys.iter().map(Vec::as_slice);
            let request = request(command);
            let expected = grant.engine(&request, keys(), keys().count() as u64);
            let found = [grant.permits(&request, keys()), grant.permits(&request, keys())];
            // Of several keys, the engine may find one that fails to evaluate, or one that holds, first;
            // what is native cannot fail.
            if grant.asks_engine_for_keys() {
                continue;
            }
            for found in found {
                let shown: Vec<_> = keys().map(String::from_utf8_lossy).collect();
                let case = format!("{code}\n{command:?} {shown:?}: {found:?}, {expected:?}");
                assert_eq!(found.is_ok(), expected.is_ok(), "{case}");
            }
            *(if expected.is_ok() { &mut allowed } else { &mut refused }) += 1;
        }
    }
    // The generator makes all of it, in numbers that mean something.
    assert!(allowed > 300 && refused > 300 && native > 300, "{allowed} {refused} {native}");
}
