//! The mutations of one commit, kept in one arena: no allocation per record.

use crate::limits::{
    MUTATION_OVERHEAD_BYTES, MUTATIONS_KEPT_BYTES, OVERWRITTEN_FACTOR, STORE_PREFIX_BYTES_MAX,
};

/// One change to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// The record gets this value, whether or not it was there.
    Set {
        /// The record's key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
    /// The record is removed if it is there.
    Clear {
        /// The record's key.
        key: &'a [u8],
    },
    /// The record is a counter ([`counter_bytes`]) and changes by so much, without anybody reading it;
    /// one that is not there counts as zero. Only for stores that do not answer at once: elsewhere
    /// whoever writes is alone, and reads and sets.
    Add {
        /// The record's key.
        key: &'a [u8],
        /// By how much.
        by: i128,
    },
}

/// Bytes of a counter.
pub const COUNTER_BYTES: usize = size_of::<i128>();

/// A counter's value as its record holds it: little-endian, as FoundationDB adds.
pub fn counter_bytes(value: i128) -> [u8; COUNTER_BYTES] {
    value.to_le_bytes()
}

/// The value of a counter's record, 0 if it is not there.
pub fn counter(record: Option<&[u8]>) -> i128 {
    let bytes = record.and_then(|record| record.first_chunk());
    bytes.map_or(0, |bytes| i128::from_le_bytes(*bytes))
}

impl<'a> Mutation<'a> {
    /// The record's key.
    pub fn key(self) -> &'a [u8] {
        match self {
            Self::Set { key, .. } | Self::Clear { key } | Self::Add { key, .. } => key,
        }
    }

    /// The key and its new value, `None` when it is cleared; on stores that answer at once.
    pub fn change(self) -> (&'a [u8], Option<&'a [u8]>) {
        match self {
            Self::Set { key, value } => (key, Some(value)),
            Self::Clear { key } => (key, None),
            Self::Add { .. } => unreachable!("a store that answers at once is given the sum"),
        }
    }
}

/// An ordered list of mutations, at most one live one per key.
///
/// Every mutation ever added keeps its number, so that a later one can supersede it and a rollback
/// can bring it back.
#[derive(Debug, Default, Clone)]
pub struct Mutations {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    superseded: usize,
    /// Bytes of the live ones' keys and values.
    payload: usize,
    /// What the live ones count in a transaction.
    cost: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    key_len: u32,
    /// `CLEAR` for a removal, `ADD` for an addition, otherwise the value's length.
    value_len: u32,
    superseded: bool,
}

const CLEAR: u32 = u32::MAX;
const ADD: u32 = u32::MAX - 1;

impl Entry {
    /// Bytes of key and value.
    fn payload(&self) -> usize {
        let value = match self.value_len {
            CLEAR => 0,
            ADD => COUNTER_BYTES,
            len => len as usize,
        };
        self.key_len as usize + value
    }

    /// What it counts in a transaction, see [`crate::limits::TRANSACTION_BYTES_MAX`].
    fn cost(&self) -> usize {
        let key = self.key_len as usize;
        let value = match self.value_len {
            // The end of the range that is removed: the key, its prefix and a zero byte.
            CLEAR => key + STORE_PREFIX_BYTES_MAX + 1,
            ADD => COUNTER_BYTES,
            len => len as usize,
        };
        3 * key + value + MUTATION_OVERHEAD_BYTES
    }
}

impl Mutations {
    /// Adds [`Mutation::Set`] with a value given in pieces, and returns its number.
    pub fn set(&mut self, key: &[u8], value: &[&[u8]]) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        for piece in value {
            self.arena.extend_from_slice(piece);
        }
        let value_len = self.arena.len() as u32 - start - key.len() as u32;
        self.push(Entry { start, key_len: key.len() as u32, value_len, superseded: false })
    }

    /// Adds [`Mutation::Clear`] and returns its number.
    pub fn clear(&mut self, key: &[u8]) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        let key_len = key.len() as u32;
        self.push(Entry { start, key_len, value_len: CLEAR, superseded: false })
    }

    /// Adds [`Mutation::Add`] and returns its number.
    pub fn add(&mut self, key: &[u8], by: i128) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(&counter_bytes(by));
        self.push(Entry { start, key_len: key.len() as u32, value_len: ADD, superseded: false })
    }

    fn push(&mut self, entry: Entry) -> u32 {
        self.count(&entry);
        self.entries.push(entry);
        self.entries.len() as u32 - 1
    }

    fn count(&mut self, entry: &Entry) {
        self.payload += entry.payload();
        self.cost += entry.cost();
    }

    fn discount(&mut self, entry: &Entry) {
        self.payload -= entry.payload();
        self.cost -= entry.cost();
    }

    /// The mutation with this number, superseded or not.
    pub fn get(&self, number: u32) -> Mutation<'_> {
        self.resolve(&self.entries[number as usize])
    }

    /// Leaves mutation `number` out of the commit, because a later one touches the same key.
    pub fn supersede(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        debug_assert!(!entry.superseded, "a mutation is superseded once");
        entry.superseded = true;
        let entry = *entry;
        self.superseded += 1;
        self.discount(&entry);
    }

    /// Takes [`Mutations::supersede`] back.
    pub fn reinstate(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        debug_assert!(entry.superseded, "only what is superseded comes back");
        entry.superseded = false;
        let entry = *entry;
        self.superseded -= 1;
        self.count(&entry);
    }

    /// Removes the newest mutation.
    pub fn pop(&mut self) {
        if let Some(entry) = self.entries.pop() {
            if entry.superseded {
                self.superseded -= 1;
            } else {
                self.discount(&entry);
            }
            self.arena.truncate(entry.start as usize);
        }
    }

    /// The live mutations in the order they were added: one per key.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.entries.iter().filter(|entry| !entry.superseded).map(|entry| self.resolve(entry))
    }

    fn resolve(&self, entry: &Entry) -> Mutation<'_> {
        let key_end = (entry.start + entry.key_len) as usize;
        let key = &self.arena[entry.start as usize..key_end];
        match entry.value_len {
            CLEAR => Mutation::Clear { key },
            ADD => Mutation::Add { key, by: counter(Some(&self.arena[key_end..])) },
            len => Mutation::Set { key, value: &self.arena[key_end..key_end + len as usize] },
        }
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        self.entries.len() - self.superseded
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number the next mutation will get.
    pub fn next_number(&self) -> u32 {
        self.entries.len() as u32
    }

    /// What these count as one transaction, see [`crate::limits::TRANSACTION_BYTES_MAX`]. It falls
    /// when a mutation supersedes a larger one.
    pub fn bytes(&self) -> usize {
        self.cost.max(self.arena.len() / OVERWRITTEN_FACTOR)
    }

    /// Bytes of the keys and values to be committed.
    pub fn payload_bytes(&self) -> usize {
        self.payload
    }

    /// Forgets all mutations and keeps the memory for the next group.
    pub fn reset(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(MUTATIONS_KEPT_BYTES);
        self.entries.clear();
        (self.superseded, self.payload, self.cost) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CHUNK_BYTES, REQUEST_BYTES_MAX, TRANSACTION_BYTES_MAX};

    const SET: usize = MUTATION_OVERHEAD_BYTES;
    const CLEARED: usize = MUTATION_OVERHEAD_BYTES + STORE_PREFIX_BYTES_MAX + 1;

    #[test]
    fn only_what_is_committed_counts() {
        let mut mutations = Mutations::default();
        let first = mutations.set(b"key", &[b"va", b"lue"]);
        assert_eq!((mutations.bytes(), mutations.payload_bytes()), (3 * 3 + 5 + SET, 8));
        mutations.clear(b"key");
        mutations.supersede(first);
        assert_eq!((mutations.bytes(), mutations.payload_bytes()), (4 * 3 + CLEARED, 3));
        let other = mutations.set(b"other", &[]);
        let both = 4 * 3 + CLEARED + 3 * 5 + SET;
        assert_eq!((mutations.bytes(), mutations.payload_bytes()), (both, 8));
        mutations.supersede(other);
        mutations.pop();
        assert_eq!(mutations.bytes(), 4 * 3 + CLEARED);
        mutations.reinstate(first);
        mutations.pop();
        assert_eq!((mutations.bytes(), mutations.len()), (3 * 3 + 5 + SET, 1));
        mutations.reset();
        assert_eq!((mutations.bytes(), mutations.payload_bytes()), (0, 0));
    }

    #[test]
    fn the_largest_value_fits_and_is_not_overwritten_for_ever() {
        let mut mutations = Mutations::default();
        let chunk = vec![0; CHUNK_BYTES];
        let write = |mutations: &mut Mutations| {
            (0..REQUEST_BYTES_MAX / CHUNK_BYTES)
                .map(|index| mutations.set(&[index as u8; 17], &[&chunk]))
                .collect::<Vec<_>>()
        };
        let mut written = write(&mut mutations);
        let once = mutations.bytes();
        assert!(once < TRANSACTION_BYTES_MAX);
        let mut times = 1;
        while mutations.bytes() <= TRANSACTION_BYTES_MAX {
            written.iter().for_each(|&number| mutations.supersede(number));
            written = write(&mut mutations);
            times += 1;
        }
        assert!((8..=10).contains(&times), "{times}");
        assert!(mutations.payload_bytes() < once);
        mutations.reset();
        assert!(mutations.arena.capacity() <= MUTATIONS_KEPT_BYTES);
    }
}
