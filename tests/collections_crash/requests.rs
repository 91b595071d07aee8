//! Random requests of one client, about its own keys.

use super::common::Rng;
use super::model::{Args, Request};

/// Keys of each kind that a client has.
const KEYS: u64 = 3;
/// A list that long is no longer kept at consecutive positions when its middle changes.
const LONG_LIST: u64 = 2600;
/// A sorted set with so many members has a rank index.
const LARGE_SET: u64 = 600;
/// An hour.
const FAR_MS: i64 = 3_600_000;

/// A hash, list, set and sorted set, and what is renamed and overwritten.
const KINDS: [char; 5] = ['h', 'l', 's', 'z', 'a'];

/// Makes the requests of one client.
pub struct Maker {
    pub client: u64,
    pub rng: Rng,
    made: u64,
}

impl Maker {
    pub fn new(client: u64, rng: Rng) -> Maker {
        Maker { client, rng, made: 0 }
    }

    /// All keys of a client.
    pub fn keys(client: u64) -> Vec<Vec<u8>> {
        let key = |kind| (0..KEYS).map(move |number| Maker::key(kind, client, number));
        KINDS.into_iter().flat_map(key).collect()
    }

    fn key(kind: char, client: u64, number: u64) -> Vec<u8> {
        format!("{kind}:{client}:{number}").into_bytes()
    }

    fn any(&mut self, kind: char) -> Vec<u8> {
        Maker::key(kind, self.client, self.rng.below(KEYS))
    }

    /// A command, or some in a block.
    pub fn request(&mut self, now_ms: i64) -> Request {
        let commands = match self.rng.below(12) {
            0 => self.short_lived(),
            1..3 => (0..self.rng.below(4) + 2).map(|_| self.command(now_ms)).collect(),
            _ => return Request { commands: vec![self.command(now_ms)], is_block: false },
        };
        Request { commands, is_block: true }
    }

    /// A collection that expires soon, in the place of another.
    fn short_lived(&mut self) -> Vec<Args> {
        let kind = KINDS[self.rng.below(4) as usize];
        let key = self.any(kind);
        let fill = match kind {
            'h' => args("HSET", &key, &["f1", "1", "f2", "2"]),
            'l' => args("RPUSH", &key, &["v1", "v2", "v3"]),
            's' => args("SADD", &key, &["m1", "m2", "m3"]),
            _ => args("ZADD", &key, &["1", "m1", "2", "m2"]),
        };
        let ms = self.rng.below(60) + 1;
        vec![args("DEL", &key, &[]), fill, args("PEXPIRE", &key, &[&ms.to_string()])]
    }

    fn command(&mut self, now_ms: i64) -> Args {
        match self.rng.below(24) {
            0..5 => self.of_hash(),
            5..10 => self.of_list(),
            10..14 => self.of_set(),
            14..20 => self.of_sorted_set(),
            _ => self.of_any(now_ms),
        }
    }

    /// Mostly short, sometimes longer than one record.
    fn value(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut value = format!("{}.", self.made).into_bytes();
        let long = self.rng.one_in(15);
        let padding = if long { 60_000 + self.rng.below(90_000) } else { self.rng.below(60) };
        value.resize(value.len() + padding as usize, b'.');
        value
    }

    fn of_hash(&mut self) -> Args {
        let key = self.any('h');
        let field = format!("f{}", self.rng.below(12));
        match self.rng.below(8) {
            0..4 => {
                let mut args = args("HSET", &key, &[]);
                for _ in 0..self.rng.below(3) + 1 {
                    args.push(format!("f{}", self.rng.below(12)).into_bytes());
                    args.push(self.value());
                }
                args
            }
            4 => args("HDEL", &key, &[&field]),
            5 => args("HDEL", &key, &[&field, "f0", "f1", "f2", "n0", "n1"]),
            _ => {
                let field = format!("n{}", self.rng.below(3));
                args("HINCRBY", &key, &[&field, &self.rng.between(-5, 9).to_string()])
            }
        }
    }

    fn of_list(&mut self) -> Args {
        let (key, long) = (self.any('l'), Maker::key('l', self.client, 0));
        let item = format!("v{}", self.rng.below(10));
        let (one, other) = (self.rng.between(-30, 30), self.rng.between(-30, 30));
        // Only the first list of some clients is long.
        if self.client.is_multiple_of(3) && self.rng.one_in(3) {
            let item = format!("x{}", LONG_LIST / 2 + self.rng.below(50));
            return match self.rng.below(6) {
                0 => {
                    let items = (0..LONG_LIST).map(|number| format!("x{number}").into_bytes());
                    args("RPUSH", &long, &[]).into_iter().chain(items).collect()
                }
                1 | 2 => args("LREM", &long, &["1", &item]),
                3 | 4 => args("LINSERT", &long, &["BEFORE", &item, &format!("y{}", self.made)]),
                _ => args("LTRIM", &long, &["3", &(LONG_LIST + 200).to_string()]),
            };
        }
        match self.rng.below(11) {
            0..3 => {
                let mut args = args("RPUSH", &key, &[&item]);
                args.push(self.value());
                args
            }
            3 => args("LPUSH", &key, &[&item, "v1", "v2"]),
            4 | 5 => args("LPOP", &key, &[]),
            6 => args("RPOP", &key, &[]),
            7 => args("LREM", &key, &[&self.rng.between(-2, 2).to_string(), &item]),
            8 => {
                let mut args = args("LSET", &key, &[&(one / 6).to_string()]);
                args.push(self.value());
                args
            }
            9 => args("LINSERT", &key, &["AFTER", &item, "between"]),
            // Long lists are to stay that.
            _ if key == long => args("LTRIM", &key, &["1", "-2"]),
            _ => args("LTRIM", &key, &[&one.to_string(), &other.to_string()]),
        }
    }

    fn of_set(&mut self) -> Args {
        let key = self.any('s');
        let member = format!("m{}", self.rng.below(16));
        match self.rng.below(8) {
            0..3 => args("SADD", &key, &[&member, &format!("m{}", self.rng.below(16))]),
            3 => args("SREM", &key, &[&member, "m1"]),
            4 | 5 => args("SPOP", &key, &[]),
            _ => {
                let to = String::from_utf8(self.any('s')).unwrap();
                args("SMOVE", &key, &[&to, &member])
            }
        }
    }

    fn of_sorted_set(&mut self) -> Args {
        let key = self.any('z');
        let member = format!("m{}", self.rng.below(LARGE_SET + 200));
        let score = self.rng.between(-100, 100).to_string();
        match self.rng.below(16) {
            0 => {
                let mut args = args("ZADD", &Maker::key('z', self.client, 0), &[]);
                for number in 0..LARGE_SET {
                    args.push(self.rng.between(-100, 100).to_string().into_bytes());
                    args.push(format!("m{number}").into_bytes());
                }
                args
            }
            1..6 => args("ZADD", &key, &[&score, &member, "7", "m7"]),
            6..9 => args("ZREM", &key, &[&member, "m7", "m64", "m63"]),
            9 | 10 => args("ZPOPMIN", &key, &[&self.rng.below(3).to_string()]),
            11 => args("ZPOPMIN", &key, &["40"]),
            _ => args("ZINCRBY", &key, &[&score, &member]),
        }
    }

    fn of_any(&mut self, now_ms: i64) -> Args {
        let kind = KINDS[self.rng.below(5) as usize];
        let key = self.any(kind);
        // What was renamed to a key of any kind stays there.
        let to = if self.rng.one_in(4) { 'a' } else { kind };
        let to = self.any(to);
        let to_text = String::from_utf8(to.clone()).unwrap();
        match self.rng.below(16) {
            0..2 => args("DEL", &key, &[]),
            2..4 => args("RENAME", &key, &[&to_text]),
            4..7 if key != to => args("COPY", &key, &[&to_text, "REPLACE"]),
            7 => {
                let mut args = args("SET", &self.any('a'), &[]);
                args.push(self.value());
                args
            }
            8..10 => args("PEXPIRE", &key, &[&(self.rng.below(100) + 1).to_string()]),
            10 => args("EXPIRE", &key, &["1"]),
            11 => args("PEXPIREAT", &key, &[&(now_ms + self.rng.between(-20, 20)).to_string()]),
            12 => args("PEXPIREAT", &key, &[&(now_ms + 2 * FAR_MS).to_string()]),
            13 => args("EXPIRE", &key, &["7300"]),
            _ => args("PERSIST", &key, &[]),
        }
    }

    /// Ways in which a key and what it had go, or stay.
    pub fn retirement(&mut self, key: &[u8], now_ms: i64) -> Option<Args> {
        match self.rng.below(5) {
            0 => Some(args("DEL", key, &[])),
            1 => {
                let mut args = args("SET", key, &[]);
                args.push(self.value());
                Some(args)
            }
            2 => Some(args("PEXPIREAT", key, &[&(now_ms + self.rng.between(-5, 200)).to_string()])),
            3 => Some(args("PEXPIREAT", key, &[&(now_ms + 3 * FAR_MS).to_string()])),
            _ => None,
        }
    }
}

/// A command about a key.
pub fn args(name: &str, key: &[u8], rest: &[&str]) -> Args {
    let rest = rest.iter().map(|arg| arg.as_bytes().to_vec());
    [name.as_bytes().to_vec(), key.to_vec()].into_iter().chain(rest).collect()
}
