//! Random commands: over few keys so that they meet, with every option, and with arguments nobody
//! would send on purpose.
//!
//! What depends on time is kept comparable: expiries are either far away and far apart from each
//! other, or past.

mod collections;

use crate::common::Rng;

/// How two replies to the same command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// The order of the items means nothing.
    Sorted,
    /// Integers may differ by so much.
    Near(i64),
    /// Only the kind of reply counts.
    Kind,
}

/// A command and how its reply is compared.
#[derive(Clone, Debug)]
pub struct Command {
    /// The arguments, the name first.
    pub args: Vec<Vec<u8>>,
    /// How its reply is compared.
    pub compare: Compare,
}

/// What one connection does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commands sent in one write.
    Batch(usize, Vec<Command>),
    /// A SCAN followed to its end.
    Scan(usize, Vec<Vec<u8>>),
}

/// Connections of a session: the first speaks protocol 2, the second protocol 3.
pub const CONNECTIONS: usize = 2;

const KEYS: [&[u8]; 9] = [b"a", b"b", b"c", b"d", b"e", b"k:1", b"k:2", b"", b"\x00bin\xff\r\n"];
const ODD: [&[u8]; 30] = [
    b"",
    b"-1",
    b"0",
    b"abc",
    b"1.5",
    b"-0",
    b"+5",
    b" 7",
    b"007",
    b"nan",
    b"inf",
    b"-inf",
    b"1e400",
    b"0x1p4",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"4294967296",
    b"-2147483649",
    b"99999999999999999999999999",
    b"\x00",
    b"\xff\xfe",
    b"\r\n",
    b"GET",
    b"NX",
    b"KEEPTTL",
    b"*",
    b"#-1",
];

/// Makes one session of about `count` commands.
pub fn session(seed: u64, count: usize) -> Vec<Step> {
    // WATCH of an absent key may refuse EXEC after SWAPDB where Redis would not (creations on the
    // other side of the swap count), and after FLUSHDB once the collector has begun; these are told
    // apart by scenarios, not here.
    let swaps = seed.is_multiple_of(4);
    let mut maker = Maker { rng: Rng::new(seed), in_multi: [false; CONNECTIONS], swaps };
    let mut steps = Vec::new();
    let mut made = 0;
    while made < count {
        let conn = maker.rng.below(CONNECTIONS as u64) as usize;
        if !maker.in_multi[conn] && maker.rng.one_in(25) {
            let scan = if maker.rng.one_in(2) { maker.scan() } else { maker.scan_collection() };
            steps.push(Step::Scan(conn, scan));
            made += 1;
            continue;
        }
        let size = match maker.rng.below(4) {
            0 => 1,
            1 => maker.rng.between(1, 5),
            2 => maker.rng.between(1, 20),
            _ => maker.rng.between(1, 80),
        } as usize;
        steps.push(Step::Batch(conn, (0..size).map(|_| maker.command(conn)).collect()));
        made += size;
    }
    steps
}

/// ringstone's limit on keys.
const KEY_BYTES_MAX: usize = 8192;

struct Maker {
    rng: Rng,
    in_multi: [bool; CONNECTIONS],
    /// Whether this session has SWAPDB, FLUSHDB and commands that wait, or WATCH.
    swaps: bool,
}

/// Arguments from byte strings and anything that becomes them.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { vec![$($arg.to_vec()),*] };
}
use args;

impl Maker {
    fn command(&mut self, conn: usize) -> Command {
        let mut command = if self.in_multi[conn] && self.rng.one_in(6) {
            self.in_multi[conn] = false;
            exact(if self.rng.one_in(8) { args![b"DISCARD"] } else { args![b"EXEC"] })
        } else {
            match self.rng.below(100) {
                0..20 => self.string(),
                20..26 => self.bits(),
                26..76 => self.collection(),
                76..90 => self.key(),
                90..95 => self.transaction(conn),
                _ => self.connection(conn),
            }
        };
        if self.rng.one_in(16) && !collections::must_stay(&command.args) {
            self.distort(&mut command.args);
        }
        command
    }

    /// Breaks a command: an odd argument, one too few, one too many, another case.
    fn distort(&mut self, args: &mut Vec<Vec<u8>>) {
        let at = self.rng.below(args.len() as u64) as usize;
        match self.rng.below(8) {
            0 => args.push(self.odd()),
            // A long value must not become a key: keys have a limit here.
            1 if args.len() > 1 && args.iter().all(|arg| arg.len() <= KEY_BYTES_MAX) => {
                args.remove(at);
            }
            2 => args[0].make_ascii_lowercase(),
            3 if self.rng.one_in(6) => args[0].push(b'X'),
            _ if at > 0 => args[at] = self.odd(),
            _ => {}
        }
    }

    fn odd(&mut self) -> Vec<u8> {
        self.rng.pick(&ODD).to_vec()
    }

    fn name(&mut self) -> Vec<u8> {
        let keys = if self.rng.one_in(3) { &collections::KEYS[..] } else { &KEYS[..] };
        self.rng.pick(keys).to_vec()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0..6 => self.rng.between(-100, 100).to_string().into_bytes(),
            6 => self.odd(),
            7 => self.float(),
            8 => {
                let near = self.rng.pick(&[b"9223372036854775".as_slice(), b"-922337203685477580"]);
                near.to_vec()
            }
            9 => {
                let length = self.rng.below(64) as usize;
                (0..length).map(|_| self.rng.bits() as u8).collect()
            }
            10 if self.rng.one_in(4) => {
                let borders = [4095, 4096, 4097, 65535, 65536, 65537, 131072, 140_000];
                let length = borders[self.rng.below(borders.len() as u64) as usize];
                let letter = b'A' + self.rng.below(26) as u8;
                let mut value = vec![letter; length];
                value[length - 1] = b'.';
                value
            }
            _ => {
                let length = self.rng.between(1, 12) as usize;
                (0..length).map(|_| b'a' + self.rng.below(4) as u8).collect()
            }
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        match self.rng.below(10) {
            0 => self.odd(),
            1 => (self.rng.bits() as i64).to_string().into_bytes(),
            _ => self.rng.between(-50, 50).to_string().into_bytes(),
        }
    }

    fn float(&mut self) -> Vec<u8> {
        match self.rng.below(6) {
            0 => self.odd(),
            1 => format!("{}e{}", self.rng.between(-99, 99), self.rng.between(-20, 20)).into(),
            2 => format!("{}.{}", self.rng.between(-9, 9), self.rng.below(1 << 40)).into_bytes(),
            _ => format!("{:.2}", self.rng.between(-1000, 1000) as f64 / 100.0).into_bytes(),
        }
    }

    /// An offset into a string: mostly small, sometimes at a chunk's border.
    fn offset(&mut self) -> Vec<u8> {
        let number = match self.rng.below(24) {
            0..16 => self.rng.between(-20, 40),
            16 => self.rng.between(4090, 4100),
            17 => self.rng.between(65530, 65540),
            18 => self.rng.between(131_060, 131_080),
            19 => -self.rng.between(4090, 66_000),
            20 => self.rng.between(5_242_870, 5_242_890) * 1000,
            21 => self.rng.between(0, 200),
            _ => return self.odd(),
        };
        number.to_string().into_bytes()
    }

    fn bit_offset(&mut self) -> Vec<u8> {
        let number = match self.rng.below(16) {
            0..12 => self.rng.between(-2, 200),
            12 => self.rng.between(4090 * 8, 4100 * 8),
            13 => self.rng.between(65530 * 8, 65540 * 8),
            _ => return self.odd(),
        };
        number.to_string().into_bytes()
    }

    /// A duration that is far away, not positive, or nonsense.
    fn duration(&mut self, unit_ms: i64) -> Vec<u8> {
        match self.rng.below(12) {
            0 => self.odd(),
            1 => self.rng.between(-5000, 0).to_string().into_bytes(),
            _ => self.far(unit_ms).to_string().into_bytes(),
        }
    }

    fn far(&mut self, unit_ms: i64) -> i64 {
        self.rng.between(100_000_000, 1_000_000_000_000) / unit_ms
    }

    /// A moment far in the future, in the past where `past` allows it, or nonsense.
    fn moment(&mut self, unit_ms: i64, past: bool) -> Vec<u8> {
        match self.rng.below(12) {
            0 => args![b"abc", b"", b"0", b"-1", b"9223372036854775808"]
                .swap_remove(self.rng.below(5) as usize),
            1 if past => self.rng.between(-5000, 5000).to_string().into_bytes(),
            _ => (4_102_444_800_000 / unit_ms + self.far(unit_ms)).to_string().into_bytes(),
        }
    }

    fn expiry_option(&mut self, args: &mut Vec<Vec<u8>>, past: bool) {
        match self.rng.below(4) {
            0 => args.extend([b"EX".to_vec(), self.duration(1000)]),
            1 => args.extend([b"PX".to_vec(), self.duration(1)]),
            2 => args.extend([b"EXAT".to_vec(), self.moment(1000, past)]),
            _ => args.extend([b"PXAT".to_vec(), self.moment(1, past)]),
        }
    }

    fn names(&mut self, first: &[u8], most: i64) -> Vec<Vec<u8>> {
        let mut args = args![first];
        for _ in 0..self.rng.between(1, most) {
            args.push(self.name());
        }
        args
    }

    fn pairs(&mut self, first: &[u8]) -> Vec<Vec<u8>> {
        let mut args = args![first];
        for _ in 0..self.rng.between(1, 4) {
            args.push(self.name());
            args.push(self.value());
        }
        args
    }

    fn set(&mut self) -> Vec<Vec<u8>> {
        let mut args = args![b"SET", self.name(), self.value()];
        for _ in 0..self.rng.below(3) {
            match self.rng.below(6) {
                0 => args.push(b"NX".to_vec()),
                1 => args.push(b"XX".to_vec()),
                2 => args.push(b"GET".to_vec()),
                3 => args.push(b"KEEPTTL".to_vec()),
                // A value that is stored with a past expiry is counted by DBSIZE until it is looked
                // at.
                _ => self.expiry_option(&mut args, false),
            }
        }
        args
    }

    fn getex(&mut self) -> Vec<Vec<u8>> {
        let mut args = args![b"GETEX", self.name()];
        match self.rng.below(4) {
            0 => {}
            1 => args.push(b"PERSIST".to_vec()),
            _ => self.expiry_option(&mut args, true),
        }
        args
    }

    fn lcs(&mut self) -> Vec<Vec<u8>> {
        let mut args = args![b"LCS", self.name(), self.name()];
        for _ in 0..self.rng.below(3) {
            match self.rng.below(4) {
                0 => args.push(b"LEN".to_vec()),
                1 => args.push(b"IDX".to_vec()),
                2 => args.extend([b"MINMATCHLEN".to_vec(), self.integer()]),
                _ => args.push(b"WITHMATCHLEN".to_vec()),
            }
        }
        args
    }

    fn string(&mut self) -> Command {
        exact(match self.rng.below(28) {
            0..5 => self.set(),
            5..8 => args![b"GET", self.name()],
            8 => args![b"GETSET", self.name(), self.value()],
            9 => args![b"GETDEL", self.name()],
            10 => self.getex(),
            11 => self.names(b"MGET", 4),
            12 => self.pairs(b"MSET"),
            13 => self.pairs(b"MSETNX"),
            14 => args![b"SETNX", self.name(), self.value()],
            15 => args![b"SETEX", self.name(), self.duration(1000), self.value()],
            16 => args![b"PSETEX", self.name(), self.duration(1), self.value()],
            17 | 18 => args![b"APPEND", self.name(), self.value()],
            19 => args![b"STRLEN", self.name()],
            20 => args![b"GETRANGE", self.name(), self.offset(), self.offset()],
            21 => args![b"SETRANGE", self.name(), self.offset(), self.value()],
            22 => args![b"INCR", self.name()],
            23 => args![b"DECR", self.name()],
            24 => args![b"INCRBY", self.name(), self.integer()],
            25 => args![b"DECRBY", self.name(), self.integer()],
            26 => args![b"INCRBYFLOAT", self.name(), self.float()],
            _ if self.rng.one_in(5) => {
                args![b"SUBSTR", self.name(), self.offset(), self.offset()]
            }
            _ => self.lcs(),
        })
    }

    fn bits(&mut self) -> Command {
        exact(match self.rng.below(8) {
            0 => {
                let bit = if self.rng.one_in(2) { b"0" } else { b"1" };
                args![b"SETBIT", self.name(), self.bit_offset(), bit]
            }
            1 => args![b"GETBIT", self.name(), self.bit_offset()],
            2 => {
                let mut args = args![b"BITCOUNT", self.name()];
                self.range(&mut args);
                args
            }
            3 => {
                let bit = if self.rng.one_in(2) { b"0" } else { b"1" };
                let mut args = args![b"BITPOS", self.name(), bit];
                self.range(&mut args);
                args
            }
            4 => {
                let operation = self.rng.pick(&[b"AND".as_slice(), b"OR", b"XOR", b"NOT"]);
                let mut args = args![b"BITOP", operation];
                args.extend(self.names(b"", 4).into_iter().skip(1));
                args.push(self.name());
                args
            }
            5 => self.bitfield(b"BITFIELD_RO"),
            _ => self.bitfield(b"BITFIELD"),
        })
    }

    fn range(&mut self, args: &mut Vec<Vec<u8>>) {
        if self.rng.one_in(3) {
            return;
        }
        args.push(self.offset());
        if self.rng.one_in(5) {
            return;
        }
        args.push(self.offset());
        match self.rng.below(3) {
            0 => args.push(b"BIT".to_vec()),
            1 => args.push(b"BYTE".to_vec()),
            _ => {}
        }
    }

    fn bitfield(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut args = args![name, self.name()];
        for _ in 0..self.rng.between(1, 4) {
            let width = self.rng.between(0, 66);
            let kind = format!("{}{width}", if self.rng.one_in(2) { 'i' } else { 'u' });
            let mut offset = self.bit_offset();
            if self.rng.one_in(3) {
                offset.insert(0, b'#');
            }
            match self.rng.below(5) {
                0 => {
                    let kind = self.rng.pick(&[b"WRAP".as_slice(), b"SAT", b"FAIL"]);
                    args.extend(args![b"OVERFLOW", kind]);
                }
                1 if name == b"BITFIELD" => {
                    args.extend(args![b"SET", kind.as_bytes(), offset, self.integer()]);
                }
                2 if name == b"BITFIELD" => {
                    args.extend(args![b"INCRBY", kind.as_bytes(), offset, self.integer()]);
                }
                _ => args.extend(args![b"GET", kind.as_bytes(), offset]),
            }
        }
        args
    }

    fn expire(&mut self) -> Vec<Vec<u8>> {
        let mut args = match self.rng.below(4) {
            0 => args![b"EXPIRE", self.name(), self.duration(1000)],
            1 => args![b"PEXPIRE", self.name(), self.duration(1)],
            2 => args![b"EXPIREAT", self.name(), self.moment(1000, true)],
            _ => args![b"PEXPIREAT", self.name(), self.moment(1, true)],
        };
        for _ in 0..self.rng.below(3) {
            args.push(self.rng.pick(&[b"NX".as_slice(), b"XX", b"GT", b"LT"]).to_vec());
        }
        args
    }

    fn database(&mut self) -> Vec<u8> {
        if self.rng.one_in(15) { self.odd() } else { self.rng.below(3).to_string().into_bytes() }
    }

    fn copy(&mut self) -> Vec<Vec<u8>> {
        let mut args = args![b"COPY", self.name(), self.name()];
        for _ in 0..self.rng.below(3) {
            match self.rng.below(2) {
                0 => args.push(b"REPLACE".to_vec()),
                _ => args.extend([b"DB".to_vec(), self.database()]),
            }
        }
        args
    }

    fn pattern(&mut self) -> Vec<u8> {
        let patterns: [&[u8]; 9] =
            [b"*", b"?", b"k:*", b"[a-c]", b"[^a]", b"*bin*", b"", b"\\a", b"[a"];
        self.rng.pick(&patterns).to_vec()
    }

    fn scan(&mut self) -> Vec<Vec<u8>> {
        let mut args = args![b"SCAN", b"0"];
        for _ in 0..self.rng.below(3) {
            match self.rng.below(3) {
                0 => args.extend([b"MATCH".to_vec(), self.pattern()]),
                1 => args.extend(args![b"COUNT", self.rng.between(1, 12).to_string().into_bytes()]),
                _ => {
                    let types: [&[u8]; 5] = [b"string", b"hash", b"list", b"set", b"zset"];
                    args.extend(args![b"TYPE", self.rng.pick(&types)]);
                }
            }
        }
        args
    }

    fn key(&mut self) -> Command {
        let near = |args, slack| Command { args, compare: Compare::Near(slack) };
        exact(match self.rng.below(32) {
            0..3 => self.names(b"DEL", 3),
            3 => self.names(b"UNLINK", 3),
            4 | 5 => self.names(b"EXISTS", 4),
            6 => self.names(b"TOUCH", 3),
            7 => args![b"TYPE", self.name()],
            8 => {
                let args = args![b"KEYS", self.pattern()];
                return Command { args, compare: Compare::Sorted };
            }
            9 => return Command { args: args![b"RANDOMKEY"], compare: Compare::Kind },
            10..12 => args![b"RENAME", self.name(), self.name()],
            12 => args![b"RENAMENX", self.name(), self.name()],
            13..15 => self.copy(),
            15 => args![b"MOVE", self.name(), self.database()],
            16 if self.swaps => args![b"SWAPDB", self.database(), self.database()],
            17..21 => self.expire(),
            21 => return near(args![b"TTL", self.name()], 5),
            22 => return near(args![b"PTTL", self.name()], 5000),
            23 => return near(args![b"EXPIRETIME", self.name()], 5),
            24 => return near(args![b"PEXPIRETIME", self.name()], 5000),
            25 => args![b"PERSIST", self.name()],
            26 => args![b"DBSIZE"],
            27 if self.swaps && self.rng.one_in(3) => args![b"FLUSHDB"],
            28 if self.swaps && self.rng.one_in(4) => args![b"FLUSHALL"],
            29 => {
                let args = args![b"MEMORY", b"USAGE", self.name()];
                return Command { args, compare: Compare::Kind };
            }
            30 => {
                let args = args![b"OBJECT", b"IDLETIME", self.name()];
                return Command { args, compare: Compare::Kind };
            }
            _ => args![b"GET", self.name()],
        })
    }

    fn transaction(&mut self, conn: usize) -> Command {
        exact(match self.rng.below(8) {
            0..4 => {
                self.in_multi[conn] = true;
                args![b"MULTI"]
            }
            4..6 if !self.swaps => self.names(b"WATCH", 2),
            4..6 => args![b"UNWATCH"],
            6 => args![b"UNWATCH"],
            _ => {
                self.in_multi[conn] = false;
                args![b"EXEC"]
            }
        })
    }

    fn connection(&mut self, conn: usize) -> Command {
        exact(match self.rng.below(12) {
            0 => args![b"PING"],
            1 => args![b"PING", self.value()],
            2 => args![b"ECHO", self.value()],
            3..6 => args![b"SELECT", self.database()],
            6 => args![b"CLIENT", b"SETNAME", self.value()],
            7 => args![b"CLIENT", b"GETNAME"],
            8 if self.rng.one_in(5) => {
                self.in_multi[conn] = false;
                args![b"RESET"]
            }
            9 => {
                let mut args = args![b"COMMAND", b"GETKEYS"];
                args.extend(self.string().args);
                args
            }
            10 => args![b"NOSUCH", self.value(), self.name()],
            _ => args![b"GET", self.name()],
        })
    }
}

fn exact(args: Vec<Vec<u8>>) -> Command {
    Command { args, compare: Compare::Exact }
}
