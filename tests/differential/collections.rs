//! Random commands on hashes, lists, sets and sorted sets.
//!
//! Each type has keys of its own, which now and then hold another type all the same. What Redis leaves
//! to chance or to the order of its hash tables is compared without its order, or only in kind.

use super::{Command, Compare, Maker, args, exact};

const HASHES: [&[u8]; 2] = [b"h1", b"h2"];
const LISTS: [&[u8]; 3] = [b"l1", b"l2", b"l3"];
const SETS: [&[u8]; 3] = [b"s1", b"s2", b"s3"];
const SORTED_SETS: [&[u8]; 3] = [b"z1", b"z2", b"z3"];
/// Members of these all have the same score, without which ranges of members mean nothing. Nobody
/// else uses the key.
pub const LEX: &[u8] = b"lex";
/// Enough members that Redis changes to another encoding, and this one keeps an index of ranks.
const MANY: i64 = 700;

/// Keys that hold collections.
pub const KEYS: [&[u8]; 11] =
    [b"h1", b"h2", b"l1", b"l2", b"l3", b"s1", b"s2", b"s3", b"z1", b"z2", b"z3"];

/// Whether a command may not be broken: it might wait for ever, leave something to chance (as `SORT` of a
/// set `BY` a constant does), or give members of [`LEX`] scores.
pub fn must_stay(args: &[Vec<u8>]) -> bool {
    let waits: [&[u8]; 4] = [b"BLPOP", b"BLMOVE", b"BZPOPMIN", b"BZMPOP"];
    let draws: [&[u8]; 4] = [b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER"];
    let name = &&*args[0];
    let weighs = name.starts_with(b"SORT") && args.iter().any(|arg| arg == b"BY");
    waits.contains(name)
        || draws.contains(name)
        || weighs
        || args.get(1).is_some_and(|key| key == LEX)
}

fn sorted(args: Vec<Vec<u8>>) -> Command {
    Command { args, compare: Compare::Sorted }
}

fn kind(args: Vec<Vec<u8>>) -> Command {
    Command { args, compare: Compare::Kind }
}

impl Maker {
    pub(super) fn collection(&mut self) -> Command {
        match self.rng.below(10) {
            0..2 => self.hash(),
            2..5 => self.list(),
            5..7 => self.set_command(),
            7 if self.rng.one_in(3) => self.sort(),
            7 => self.lex(),
            _ => self.sorted_set(),
        }
    }

    fn of(&mut self, names: &[&[u8]]) -> Vec<u8> {
        if self.rng.one_in(12) { self.name() } else { self.rng.pick(names).to_vec() }
    }

    /// A field, member or item: few different ones, so that they meet.
    fn member(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => self.value_of_key_length(),
            1 => self.rng.between(-3, 40).to_string().into_bytes(),
            _ => vec![b'a' + self.rng.below(12) as u8; self.rng.between(1, 2) as usize],
        }
    }

    /// Fields and members have the limit of keys here.
    fn value_of_key_length(&mut self) -> Vec<u8> {
        let mut value = self.value();
        value.truncate(1000);
        value
    }

    fn members(&mut self, mut args: Vec<Vec<u8>>, most: i64) -> Vec<Vec<u8>> {
        for _ in 0..self.rng.between(1, most) {
            args.push(self.member());
        }
        args
    }

    fn many(&mut self, mut args: Vec<Vec<u8>>, each: fn(i64) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let first = self.rng.between(0, 2000);
        (first..first + MANY).for_each(|number| args.extend(each(number)));
        args
    }

    fn small(&mut self) -> Vec<u8> {
        if self.rng.one_in(15) { self.odd() } else { self.rng.between(-12, 12).to_string().into() }
    }

    /// A number of elements, hardly ever an odd one.
    fn count(&mut self) -> Vec<u8> {
        if self.rng.one_in(12) { self.odd() } else { self.rng.between(0, 6).to_string().into() }
    }

    fn hash(&mut self) -> Command {
        let key = self.of(&HASHES);
        exact(match self.rng.below(22) {
            0..4 => {
                let mut args = args![b"HSET", key];
                for _ in 0..self.rng.between(1, 4) {
                    args.extend([self.member(), self.value()]);
                }
                args
            }
            4 if self.rng.one_in(8) => self.many(args![b"HSET", key], |number| {
                vec![format!("f{number}").into(), number.to_string().into()]
            }),
            4 | 5 => args![b"HSETNX", key, self.member(), self.value()],
            6 => args![b"HMSET", key, self.member(), self.value()],
            7 => args![b"HGET", key, self.member()],
            8 => self.members(args![b"HMGET", key], 4),
            9 => return sorted(args![b"HGETALL", key]),
            10 => return sorted(args![b"HKEYS", key]),
            11 => return sorted(args![b"HVALS", key]),
            12 => args![b"HLEN", key],
            13 => args![b"HSTRLEN", key, self.member()],
            14 => args![b"HEXISTS", key, self.member()],
            15..17 => self.members(args![b"HDEL", key], 5),
            17 => args![b"HINCRBY", key, self.member(), self.integer()],
            18 => args![b"HINCRBYFLOAT", key, self.member(), self.float()],
            19 => return kind(args![b"HRANDFIELD", key]),
            20 => return sorted(args![b"HRANDFIELD", key, b"10000"]),
            _ => args![b"HRANDFIELD", key, b"0", b"WITHVALUES"],
        })
    }

    fn end(&mut self) -> &'static [u8] {
        self.rng.pick(&[b"LEFT".as_slice(), b"RIGHT"])
    }

    fn list(&mut self) -> Command {
        let key = self.of(&LISTS);
        exact(match self.rng.below(30) {
            0..3 => self.members(args![b"RPUSH", key], 4),
            3..6 => self.members(args![b"LPUSH", key], 4),
            6 if self.rng.one_in(6) => {
                self.many(args![b"RPUSH", key], |number| vec![(number % 9).to_string().into()])
            }
            6 => args![b"RPUSH", key, self.value()],
            7 => args![b"LPUSHX", key, self.member()],
            8 => args![b"RPUSHX", key, self.member()],
            9 => args![b"LPOP", key],
            10 => args![b"RPOP", key],
            11 => args![b"LPOP", key, self.count()],
            12 => args![b"RPOP", key, self.count()],
            13 => args![b"LLEN", key],
            14 | 15 => args![b"LRANGE", key, self.small(), self.small()],
            16 => args![b"LRANGE", key, b"0", b"-1"],
            17 => args![b"LINDEX", key, self.small()],
            18 => args![b"LSET", key, self.small(), self.value()],
            19 | 20 => {
                let place = self.rng.pick(&[b"BEFORE".as_slice(), b"AFTER"]);
                args![b"LINSERT", key, place, self.member(), self.member()]
            }
            21 | 22 => args![b"LREM", key, self.small(), self.member()],
            23 => args![b"LTRIM", key, self.small(), self.small()],
            24 => self.lpos(key),
            25 => args![b"LMOVE", key, self.of(&LISTS), self.end(), self.end()],
            26 => args![b"RPOPLPUSH", key, self.of(&LISTS)],
            27 => {
                let mut args = args![b"LMPOP", b"2", key, self.of(&LISTS), self.end()];
                if self.rng.one_in(2) {
                    args.extend([b"COUNT".to_vec(), self.count()]);
                }
                args
            }
            // While somebody waits the collector may begin on a flushed database, after which WATCH of an
            // absent key refuses EXEC; see `swaps`.
            28 if self.swaps => args![b"BLPOP", key, self.of(&LISTS), b"0.001"],
            29 if self.swaps => {
                args![b"BLMOVE", key, self.of(&LISTS), self.end(), self.end(), b"0.001"]
            }
            _ => args![b"LLEN", key],
        })
    }

    fn lpos(&mut self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let mut args = args![b"LPOS", key, self.member()];
        for _ in 0..self.rng.below(3) {
            let option = self.rng.pick(&[b"RANK".as_slice(), b"COUNT", b"MAXLEN"]);
            args.extend([option.to_vec(), self.small()]);
        }
        args
    }

    fn several(&mut self, name: &[u8], names: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut args = args![name];
        for _ in 0..self.rng.between(1, 3) {
            args.push(self.of(names));
        }
        args
    }

    fn set_command(&mut self) -> Command {
        let key = self.of(&SETS);
        exact(match self.rng.below(24) {
            0..4 => self.members(args![b"SADD", key], 5),
            4 if self.rng.one_in(6) => {
                self.many(args![b"SADD", key], |number| vec![number.to_string().into()])
            }
            4 | 5 => self.members(args![b"SREM", key], 4),
            6 => return sorted(args![b"SMEMBERS", key]),
            7 => args![b"SISMEMBER", key, self.member()],
            8 => self.members(args![b"SMISMEMBER", key], 4),
            9 => args![b"SCARD", key],
            10 => return sorted(args![b"SPOP", key, b"10000"]),
            11 => return kind(args![b"SRANDMEMBER", key]),
            12 => return sorted(args![b"SRANDMEMBER", key, b"10000"]),
            13 | 14 => args![b"SMOVE", key, self.of(&SETS), self.member()],
            15 => return sorted(self.several(b"SUNION", &SETS)),
            16 => return sorted(self.several(b"SINTER", &SETS)),
            17 => return sorted(self.several(b"SDIFF", &SETS)),
            18..22 => {
                let name =
                    self.rng.pick(&[b"SUNIONSTORE".as_slice(), b"SINTERSTORE", b"SDIFFSTORE"]);
                let mut args = args![name, key];
                args.extend(self.several(b"", &SETS).into_iter().skip(1));
                args
            }
            _ => {
                let mut args = args![b"SINTERCARD", b"2", key, self.of(&SETS)];
                if self.rng.one_in(2) {
                    args.extend([b"LIMIT".to_vec(), self.count()]);
                }
                args
            }
        })
    }

    /// Redis leaves open in which order elements with the same text as weight come; those with the same
    /// number come in the order of their bytes.
    fn sort(&mut self) -> Command {
        let key = self.of(&KEYS);
        let is_read_only = self.rng.one_in(4);
        let name: &[u8] = if is_read_only { b"SORT_RO" } else { b"SORT" };
        let mut args = args![name, key];
        if self.rng.one_in(3) {
            args.extend(args![b"BY", self.rng.pick(&[b"k:*".as_slice(), b"h1->*", b"x*->f"])]);
        } else {
            args.push(b"ALPHA".to_vec());
        }
        if self.rng.one_in(3) {
            args.extend([b"LIMIT".to_vec(), self.count(), self.small()]);
        }
        for _ in 0..self.rng.below(3) {
            args.extend(args![b"GET", self.rng.pick(&[b"#".as_slice(), b"h1->*", b"k:*", b"*"])]);
        }
        args.push(self.rng.pick(&[b"ASC".as_slice(), b"DESC"]).to_vec());
        if !is_read_only && self.rng.one_in(3) {
            args.extend([b"STORE".to_vec(), self.of(&LISTS)]);
        }
        exact(args)
    }

    fn score(&mut self) -> Vec<u8> {
        match self.rng.below(10) {
            0 => self.float(),
            1 => self.rng.pick(&[b"inf".as_slice(), b"-inf", b"+inf", b"0.1", b"1e15"]).to_vec(),
            _ => self.rng.between(-5, 5).to_string().into_bytes(),
        }
    }

    /// A limit of a range of scores.
    fn bound(&mut self) -> Vec<u8> {
        let score = match self.rng.below(8) {
            0 => return self.rng.pick(&[b"-inf".as_slice(), b"+inf", b"(inf", b"x"]).to_vec(),
            _ => self.score(),
        };
        if self.rng.one_in(3) { [b"(", &score[..]].concat() } else { score }
    }

    fn zadd(&mut self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let mut args = args![b"ZADD", key];
        for _ in 0..self.rng.below(3) {
            let option = self.rng.pick(&[b"NX".as_slice(), b"XX", b"GT", b"LT", b"CH", b"INCR"]);
            args.push(option.to_vec());
        }
        for _ in 0..self.rng.between(1, 3) {
            args.extend([self.score(), self.member()]);
        }
        args
    }

    fn limit(&mut self, args: &mut Vec<Vec<u8>>) {
        if self.rng.one_in(3) {
            args.extend([b"LIMIT".to_vec(), self.count(), self.small()]);
        }
    }

    fn with_scores(&mut self, mut args: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.rng.one_in(2) {
            args.push(b"WITHSCORES".to_vec());
        }
        args
    }

    fn zrange(&mut self, mut args: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self.rng.below(3) {
            0 => {
                args.extend([self.bound(), self.bound(), b"BYSCORE".to_vec()]);
                self.limit(&mut args);
            }
            _ => args.extend([self.small(), self.small()]),
        }
        if self.rng.one_in(3) {
            args.push(b"REV".to_vec());
        }
        args
    }

    /// `ZUNION` and its like, from the number of keys on.
    fn zcombine(&mut self, mut args: Vec<Vec<u8>>, weighs: bool) -> Vec<Vec<u8>> {
        let keys = self.rng.between(1, 3);
        args.push(keys.to_string().into_bytes());
        for _ in 0..keys {
            let names = if self.rng.one_in(6) { &SETS } else { &SORTED_SETS };
            args.push(self.of(names));
        }
        if weighs && self.rng.one_in(3) {
            args.push(b"WEIGHTS".to_vec());
            (0..keys).for_each(|_| args.push(self.score()));
        }
        if weighs && self.rng.one_in(3) {
            let how = self.rng.pick(&[b"SUM".as_slice(), b"MIN", b"MAX"]);
            args.extend(args![b"AGGREGATE", how]);
        }
        args
    }

    fn sorted_set(&mut self) -> Command {
        let key = self.of(&SORTED_SETS);
        exact(match self.rng.below(42) {
            0..6 => self.zadd(key),
            6 if self.rng.one_in(6) => self.many(args![b"ZADD", key], |number| {
                vec![(number % 50).to_string().into(), format!("m{number}").into()]
            }),
            6 | 7 => self.members(args![b"ZREM", key], 3),
            8 => args![b"ZSCORE", key, self.member()],
            9 => self.members(args![b"ZMSCORE", key], 3),
            10 => args![b"ZINCRBY", key, self.score(), self.member()],
            11 => args![b"ZCARD", key],
            12 => args![b"ZCOUNT", key, self.bound(), self.bound()],
            13..16 => {
                let args = self.zrange(args![b"ZRANGE", key]);
                self.with_scores(args)
            }
            16 => {
                let target = self.of(&SORTED_SETS);
                self.zrange(args![b"ZRANGESTORE", target, key])
            }
            17 => {
                let args = args![b"ZRANGEBYSCORE", key, self.bound(), self.bound()];
                let mut args = self.with_scores(args);
                self.limit(&mut args);
                args
            }
            18 => {
                let mut args = args![b"ZREVRANGEBYSCORE", key, self.bound(), self.bound()];
                self.limit(&mut args);
                args
            }
            19 => {
                let args = args![b"ZREVRANGE", key, self.small(), self.small()];
                self.with_scores(args)
            }
            20 => args![b"ZREMRANGEBYRANK", key, self.small(), self.small()],
            21 => args![b"ZREMRANGEBYSCORE", key, self.bound(), self.bound()],
            22 | 23 => args![b"ZRANK", key, self.member()],
            24 => args![b"ZREVRANK", key, self.member()],
            25 => args![b"ZPOPMIN", key],
            26 => args![b"ZPOPMAX", key, self.count()],
            27 => {
                let end = self.rng.pick(&[b"MIN".as_slice(), b"MAX"]);
                args![b"ZMPOP", b"2", key, self.of(&SORTED_SETS), end]
            }
            28 if self.swaps => args![b"BZPOPMIN", key, self.of(&SORTED_SETS), b"0.001"],
            29 if self.swaps => {
                args![b"BZMPOP", b"0.001", b"1", key, b"MAX", b"COUNT", self.count()]
            }
            30..33 => {
                let args = self.rng.pick(&[b"ZUNION".as_slice(), b"ZINTER"]).to_vec();
                let args = self.zcombine(vec![args], true);
                self.with_scores(args)
            }
            33 => {
                let args = self.zcombine(args![b"ZDIFF"], false);
                self.with_scores(args)
            }
            34..36 => {
                let name = self.rng.pick(&[b"ZUNIONSTORE".as_slice(), b"ZINTERSTORE"]);
                self.zcombine(args![name, key], true)
            }
            36 => self.zcombine(args![b"ZDIFFSTORE", key], false),
            37 => self.zcombine(args![b"ZINTERCARD"], false),
            38 => return sorted(args![b"ZRANDMEMBER", key, b"10000"]),
            39 => return kind(args![b"ZRANDMEMBER", key]),
            _ => args![b"ZCARD", key],
        })
    }

    fn lex_bound(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => b"-".to_vec(),
            1 => b"+".to_vec(),
            2 => self.member(),
            number => {
                let open: &[u8] = if number % 2 == 0 { b"[" } else { b"(" };
                [open, &self.member()].concat()
            }
        }
    }

    fn lex(&mut self) -> Command {
        exact(match self.rng.below(10) {
            0..3 => {
                let mut args = args![b"ZADD", LEX];
                for _ in 0..self.rng.between(1, 5) {
                    args.extend([b"0".to_vec(), self.member()]);
                }
                args
            }
            3 => self.members(args![b"ZREM", LEX], 3),
            4 => args![b"ZLEXCOUNT", LEX, self.lex_bound(), self.lex_bound()],
            5 => args![b"ZREMRANGEBYLEX", LEX, self.lex_bound(), self.lex_bound()],
            6 => {
                let mut args = args![b"ZRANGEBYLEX", LEX, self.lex_bound(), self.lex_bound()];
                self.limit(&mut args);
                args
            }
            7 => args![b"ZREVRANGEBYLEX", LEX, self.lex_bound(), self.lex_bound()],
            8 => {
                let mut args = args![b"ZRANGE", LEX, self.lex_bound(), self.lex_bound(), b"BYLEX"];
                self.limit(&mut args);
                args
            }
            _ => args![b"ZRANGE", LEX, self.lex_bound(), self.lex_bound(), b"BYLEX", b"REV"],
        })
    }

    /// A walk through a collection.
    pub(super) fn scan_collection(&mut self) -> Vec<Vec<u8>> {
        let (name, keys) = match self.rng.below(3) {
            0 => (b"HSCAN", &HASHES[..]),
            1 => (b"SSCAN", &SETS[..]),
            _ => (b"ZSCAN", &SORTED_SETS[..]),
        };
        let mut args = args![name, self.of(keys), b"0"];
        if self.rng.one_in(2) {
            args.extend(args![b"MATCH", self.rng.pick(&[b"*".as_slice(), b"?", b"a*", b"*1*"])]);
        }
        if self.rng.one_in(2) {
            args.extend(args![b"COUNT", self.rng.between(1, 300).to_string().into_bytes()]);
        }
        args
    }
}
