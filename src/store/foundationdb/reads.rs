//! What a transaction has read, or wants to: looked up by what was asked for, without allocating.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::store::Scan;

/// Bytes of keys that there is room for afterwards.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Something to be read.
#[derive(Debug, Clone, Copy)]
pub enum Want<'a> {
    /// The value of a key.
    Get(&'a [u8]),
    /// The records of a range.
    Scan(Scan<'a>),
}

impl Want<'_> {
    fn hash(&self) -> u64 {
        match self {
            Self::Get(key) => xxh3_64(key),
            Self::Scan(scan) => {
                let ends = xxh3_64(scan.begin).rotate_left(32) ^ xxh3_64(scan.end);
                ends ^ (scan.limit as u64).rotate_left(16) ^ u64::from(scan.reverse)
            }
        }
    }
}

/// A map from [`Want`] to `T`, in the order of insertion. Keys lie in one arena.
pub struct Reads<T> {
    arena: Vec<u8>,
    entries: Vec<Entry<T>>,
    table: HashTable<u32>,
}

struct Entry<T> {
    hash: u64,
    start: usize,
    key_len: usize,
    /// Length of the range's end, its limit and direction; `None` for a single key.
    range: Option<(usize, usize, bool)>,
    answer: T,
}

impl<T> Entry<T> {
    fn want<'a>(&self, arena: &'a [u8]) -> Want<'a> {
        let (begin, rest) = arena[self.start..].split_at(self.key_len);
        match self.range {
            None => Want::Get(begin),
            Some((end_len, limit, reverse)) => {
                Want::Scan(Scan { begin, end: &rest[..end_len], limit, reverse })
            }
        }
    }
}

fn same(one: &Want<'_>, other: &Want<'_>) -> bool {
    match (one, other) {
        (Want::Get(one), Want::Get(other)) => one == other,
        (Want::Scan(one), Want::Scan(other)) => {
            (one.begin, one.end) == (other.begin, other.end)
                && (one.limit, one.reverse) == (other.limit, other.reverse)
        }
        _ => false,
    }
}

impl<T> Default for Reads<T> {
    fn default() -> Self {
        Self { arena: Vec::new(), entries: Vec::new(), table: HashTable::new() }
    }
}

impl<T> Reads<T> {
    /// What there is for `want`.
    pub fn find(&self, want: &Want<'_>) -> Option<&T> {
        self.position(want, want.hash()).map(|at| &self.entries[at].answer)
    }

    fn position(&self, want: &Want<'_>, hash: u64) -> Option<usize> {
        let is_it = |at: &u32| {
            let entry = &self.entries[*at as usize];
            entry.hash == hash && same(&entry.want(&self.arena), want)
        };
        self.table.find(hash, is_it).map(|at| *at as usize)
    }

    /// Adds `want` unless it is there; the place where it is.
    pub fn insert(&mut self, want: &Want<'_>, answer: T) -> usize {
        let hash = want.hash();
        if let Some(at) = self.position(want, hash) {
            return at;
        }
        let start = self.arena.len();
        let (begin, range) = match want {
            Want::Get(key) => (key, None),
            Want::Scan(scan) => (&scan.begin, Some((scan.end.len(), scan.limit, scan.reverse))),
        };
        self.arena.extend_from_slice(begin);
        if let Want::Scan(scan) = want {
            self.arena.extend_from_slice(scan.end);
        }
        let at = self.entries.len();
        self.entries.push(Entry { hash, start, key_len: begin.len(), range, answer });
        let entries = &self.entries;
        self.table.insert_unique(hash, at as u32, |at| entries[*at as usize].hash);
        at
    }

    /// What there is at a place that [`Reads::insert`] gave.
    pub fn at(&mut self, at: usize) -> &mut T {
        &mut self.entries[at].answer
    }

    /// What was asked for at a place that [`Reads::insert`] gave.
    pub fn want(&self, at: usize) -> Want<'_> {
        self.entries[at].want(&self.arena)
    }

    /// All that was asked for.
    pub fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.entries.iter().map(|entry| entry.want(&self.arena))
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything and keeps the memory, unless that was very much.
    pub fn clear(&mut self) {
        if self.arena.capacity() > KEPT_BYTES_MAX {
            *self = Self::default();
            return;
        }
        self.arena.clear();
        self.entries.clear();
        self.table.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_wants_are_one() {
        let scan = Scan { begin: b"a", end: b"bc", limit: 3, reverse: false };
        let wants = [
            Want::Get(b"a"),
            Want::Get(b"abc"),
            Want::Get(b""),
            Want::Scan(scan),
            Want::Scan(Scan { begin: b"ab", end: b"c", ..scan }),
            Want::Scan(Scan { limit: 4, ..scan }),
            Want::Scan(Scan { reverse: true, ..scan }),
        ];
        let mut reads = Reads::default();
        for round in 0..2 {
            for (at, want) in wants.iter().enumerate() {
                assert_eq!(reads.insert(want, (at, round)), at);
                assert_eq!(reads.find(want), Some(&(at, 0)));
                assert!(same(&reads.want(at), want));
            }
        }
        assert_eq!(reads.wants().count(), wants.len());
        assert_eq!(reads.find(&Want::Get(b"b")), None);
        reads.clear();
        assert!(reads.is_empty() && reads.find(&wants[0]).is_none());
    }
}
