//! An ordered map of records in memory, shared by the memory store (as its whole state) and the
//! embedded store (as its write buffer).
//!
//! Two indexes over one heap of records, because point access and order want different shapes: a hash
//! index, and a tree of keys for scans. Both lead to a record by its number. Overwriting a record
//! touches only the first, and allocates nothing while the new value fits where the old one was; a scan
//! touches only the second. Tombstones are found by their keys alone: whoever scans a queue need not
//! pass over all that was taken from it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The hash index grows shard by shard, so that no single insert pays for rehashing all records.
const SHARDS: usize = 64;

/// What a record costs besides its bytes: its slots in both indexes (partly empty on average) and
/// what the allocator adds to two allocations.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// A record keeps the room of an earlier, longer value up to this many bytes.
const SLACK_BYTES_MAX: usize = 1024;

/// Changes whose cache misses overlap.
const BATCH: usize = 16;

/// Records that a scan loads at a time, for the same reason.
const AHEAD: usize = 8;

/// The heap grows by so many records at a time; those that are there stay where they are.
const HEAP_STEP: usize = 4096;

/// The ordered map. `None` as a value is a tombstone: the record is known to be absent.
pub struct Memtable {
    records: Heap,
    shards: Vec<HashTable<u32>>,
    /// Without tombstones.
    order: BTreeMap<OrderedKey, u32>,
    seed: u64,
    bytes: usize,
    keeps_tombstones: bool,
}

/// A key and its new value; `None` clears.
pub type Change<'c> = (&'c [u8], Option<&'c [u8]>);

/// Records by number; numbers are used again.
#[derive(Default)]
struct Heap {
    steps: Vec<Vec<Record>>,
    free: Vec<u32>,
}

impl Heap {
    fn get(&self, number: u32) -> &Record {
        &self.steps[number as usize / HEAP_STEP][number as usize % HEAP_STEP]
    }

    fn get_mut(&mut self, number: u32) -> &mut Record {
        &mut self.steps[number as usize / HEAP_STEP][number as usize % HEAP_STEP]
    }

    fn insert(&mut self, record: Record) -> u32 {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number) = record;
            return number;
        }
        if self.steps.last().is_none_or(|step| step.len() == HEAP_STEP) {
            self.steps.push(Vec::with_capacity(HEAP_STEP));
        }
        let before = (self.steps.len() - 1) * HEAP_STEP;
        let step = self.steps.last_mut().expect("it was pushed if there was none");
        step.push(record);
        (before + step.len() - 1) as u32
    }

    fn remove(&mut self, number: u32) -> Record {
        self.free.push(number);
        std::mem::take(self.get_mut(number))
    }

    fn len(&self) -> usize {
        let full = self.steps.len().saturating_sub(1) * HEAP_STEP;
        full + self.steps.last().map_or(0, Vec::len) - self.free.len()
    }

    /// Tombstones in the order of their keys.
    fn tombstones(&self) -> Vec<&Record> {
        let records = self.steps.iter().flatten();
        let mut found: Vec<&Record> = records.filter(|record| record.tombstone).collect();
        found.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        found
    }
}

/// Key and value in one allocation.
#[derive(Default)]
struct Record {
    data: Vec<u8>,
    key_len: u32,
    tombstone: bool,
}

impl Record {
    fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let mut data = Vec::with_capacity(key.len() + value.map_or(0, <[u8]>::len));
        data.extend_from_slice(key);
        data.extend_from_slice(value.unwrap_or_default());
        Self { data, key_len: key.len() as u32, tombstone: value.is_none() }
    }

    fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    fn value(&self) -> Option<&[u8]> {
        (!self.tombstone).then(|| &self.data[self.key_len as usize..])
    }

    fn replace(&mut self, value: Option<&[u8]>) {
        self.data.truncate(self.key_len as usize);
        self.data.extend_from_slice(value.unwrap_or_default());
        self.tombstone = value.is_none();
        if self.data.capacity() - self.data.len() > self.data.len().max(SLACK_BYTES_MAX) {
            self.data.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        self.data.capacity() + self.key_len as usize + RECORD_OVERHEAD_BYTES
    }
}

/// Bytes of a key that lie in the tree itself: whole keys of list items and, with their hashes, of the
/// elements of other collections.
const HEAD_BYTES: usize = 24;

/// A key of a tree. Its head, as numbers, decides nearly every comparison without following the
/// pointer; short keys have no rest.
pub(super) struct OrderedKey {
    head: [u64; HEAD_BYTES / 8],
    /// Of the head: bytes behind it are zero, and a key that ends comes before one that goes on.
    len: u8,
    rest: Box<[u8]>,
}

impl OrderedKey {
    /// The same order as that of the bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut bytes = [0; HEAD_BYTES];
        let len = key.len().min(HEAD_BYTES);
        bytes[..len].copy_from_slice(&key[..len]);
        let (words, _) = bytes.as_chunks::<8>();
        let mut head = [0; HEAD_BYTES / 8];
        for (number, word) in head.iter_mut().zip(words) {
            *number = u64::from_be_bytes(*word);
        }
        Self { head, len: len as u8, rest: key[len..].into() }
    }
}

impl Ord for OrderedKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let heads = self.head.cmp(&other.head).then(self.len.cmp(&other.len));
        heads.then_with(|| self.rest.cmp(&other.rest))
    }
}

impl PartialOrd for OrderedKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderedKey {}

impl Memtable {
    /// An empty map in which cleared records remain as tombstones.
    pub fn with_tombstones() -> Self {
        Self { keeps_tombstones: true, ..Self::without_tombstones() }
    }

    /// An empty map that forgets cleared records.
    pub fn without_tombstones() -> Self {
        Self {
            records: Heap::default(),
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            order: BTreeMap::new(),
            // Clients choose keys; without a secret they could choose colliding ones.
            seed: RandomState::new().build_hasher().finish(),
            bytes: 0,
            keeps_tombstones: false,
        }
    }

    /// An empty map with room for as many records as `other` has, which it is likely to get.
    pub fn sized_like(other: &Self) -> Self {
        let shards =
            other.shards.iter().map(|shard| HashTable::with_capacity(shard.len())).collect();
        Self { shards, keeps_tombstones: other.keeps_tombstones, ..Self::without_tombstones() }
    }

    /// The record under `key`: `None` when nothing is known about it, `Some(None)` for a tombstone.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let hash = self.hash(key);
        let same = |&number: &u32| self.records.get(number).key() == key;
        let number = *self.shards[shard(hash)].find(hash, same)?;
        Some(self.records.get(number).value())
    }

    /// Puts all `changes`, in order. Faster than one by one: the cache misses of a whole batch
    /// overlap.
    pub fn put_all<'c>(&mut self, changes: impl Iterator<Item = Change<'c>>) {
        let mut changes = changes.peekable();
        let mut batch = [(0, (&[][..], None)); BATCH];
        while changes.peek().is_some() {
            let mut len = 0;
            for (slot, change) in batch.iter_mut().zip(changes.by_ref().take(BATCH)) {
                *slot = (self.hash(change.0), change);
                len += 1;
            }
            let batch = &batch[..len];
            self.touch(batch);
            for (hash, (key, value)) in batch {
                self.put_hashed(*hash, key, *value);
            }
        }
    }

    /// Has the processor load the records of `batch`. None of these loads waits for another one, as
    /// each would if the records were changed one after the other.
    fn touch(&self, batch: &[(u64, Change<'_>)]) {
        let mut records = [None; BATCH];
        for (record, (hash, (key, _))) in records.iter_mut().zip(batch) {
            let alike = |&number: &u32| self.records.get(number).key_len as usize == key.len();
            *record = self.shards[shard(*hash)].find(*hash, alike);
        }
        let records = records.iter().flatten().map(|number| self.records.get(**number));
        let bytes = records.filter_map(|record| record.data.last());
        std::hint::black_box(bytes.fold(0, |all, byte| all | byte));
    }

    /// Gives the record a value, or with `None` a tombstone.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.put_hashed(self.hash(key), key, value);
    }

    fn put_hashed(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        if value.is_none() && !self.keeps_tombstones {
            return self.remove_hashed(hash, key);
        }
        let (seed, records) = (self.seed, &self.records);
        let entry = self.shards[shard(hash)].entry(
            hash,
            |&number| records.get(number).key() == key,
            |&number| xxh3_64_with_seed(records.get(number).key(), seed),
        );
        match entry {
            Entry::Occupied(slot) => {
                let record = self.records.get_mut(*slot.get());
                let (before, was_tombstone) = (record.data.capacity(), record.tombstone);
                record.replace(value);
                self.bytes = self.bytes + record.data.capacity() - before;
                match (was_tombstone, value.is_none()) {
                    (true, false) => drop(self.order.insert(OrderedKey::new(key), *slot.get())),
                    (false, true) => drop(self.order.remove(&OrderedKey::new(key))),
                    _ => {}
                }
            }
            Entry::Vacant(slot) => {
                let record = Record::new(key, value);
                self.bytes += record.bytes();
                let number = self.records.insert(record);
                slot.insert(number);
                if value.is_some() {
                    self.order.insert(OrderedKey::new(key), number);
                }
            }
        }
    }

    /// Removes a tombstone: nothing that it could hide is kept anywhere.
    pub fn forget(&mut self, key: &[u8]) {
        if self.get(key) == Some(None) {
            self.remove_hashed(self.hash(key), key);
        }
    }

    fn remove_hashed(&mut self, hash: u64, key: &[u8]) {
        let same = |&number: &u32| self.records.get(number).key() == key;
        let found = self.shards[shard(hash)].find_entry(hash, same);
        if let Ok(slot) = found {
            let (number, _) = slot.remove();
            let record = self.records.remove(number);
            self.bytes -= record.bytes();
            if !record.tombstone {
                self.order.remove(&OrderedKey::new(key));
            }
        }
    }

    /// The records with `begin <= key < end` in key order, without tombstones.
    pub fn range(
        &self,
        begin: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = (&[u8], &[u8])> + use<'_> {
        self.look_ahead(self.numbers(begin, end))
    }

    /// As [`Memtable::range`], from the highest key down.
    pub fn range_down(
        &self,
        begin: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = (&[u8], &[u8])> + use<'_> {
        self.look_ahead(self.numbers(begin, end).rev())
    }

    fn numbers(&self, begin: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = u32> + use<'_> {
        // An inverted range is empty; the tree would call it a mistake.
        let end = end.max(begin);
        let bounds =
            (Bound::Included(OrderedKey::new(begin)), Bound::Excluded(OrderedKey::new(end)));
        self.order.range(bounds).map(|(_, number)| *number)
    }

    /// The records with these numbers. Each lies somewhere else in memory: those of the first few are
    /// loaded one by one, then more and more at a time, so that their cache misses overlap.
    fn look_ahead(
        &self,
        mut numbers: impl Iterator<Item = u32>,
    ) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (mut ahead, mut at, mut len) = ([0; AHEAD], 0, 0);
        std::iter::from_fn(move || {
            if at == len {
                let step = (2 * len).clamp(1, AHEAD);
                (at, len) = (0, 0);
                for (slot, number) in ahead.iter_mut().zip(numbers.by_ref().take(step)) {
                    *slot = number;
                    len += 1;
                }
                let records = ahead[..len].iter().map(|number| self.records.get(*number));
                let bytes = records.filter_map(|record| record.data.first());
                std::hint::black_box(bytes.fold(0, |all, byte| all | byte));
            }
            at += 1;
            ahead[..len].get(at - 1).map(|number| self.live(*number))
        })
    }

    /// All records in key order, tombstones as `None`. These are brought into order first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut live = self.order.values().map(|number| self.live(*number)).peekable();
        let mut dead = self.records.tombstones().into_iter().map(Record::key).peekable();
        std::iter::from_fn(move || {
            match dead.next_if(|dead| live.peek().is_none_or(|(live, _)| dead < live)) {
                Some(key) => Some((key, None)),
                None => live.next().map(|(key, value)| (key, Some(value))),
            }
        })
    }

    /// Number of records, tombstones included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in use, in bytes, within some percent.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn live(&self, number: u32) -> (&[u8], &[u8]) {
        self.records.get(number).data.split_at(self.records.get(number).key_len as usize)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }
}

/// hashbrown takes the position from the low bits and its tag from the high ones; a shard is chosen
/// by bits between, so that the three are independent.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<'a, V>(records: impl Iterator<Item = (&'a [u8], V)>) -> Vec<&'a [u8]> {
        records.map(|(key, _)| key).collect()
    }

    #[test]
    fn keys_compare_as_bytes_whatever_their_length() {
        let names: [&[u8]; 8] = [
            b"",
            b"\0",
            b"a",
            b"a\0",
            b"a\0\0",
            b"abcdefghijklmnop",
            b"abcdefghijklmnop\0",
            b"abcdefghijklmnopq",
        ];
        let mut table = Memtable::with_tombstones();
        for name in names.iter().rev() {
            table.put(name, Some(name));
        }
        assert_eq!(keys(table.iter()), names);
        assert_eq!(keys(table.range(b"a", b"a\0\0")), [b"a".as_slice(), b"a\0"]);
        assert_eq!(keys(table.range(b"b", b"a")), [] as [&[u8]; 0]);
        assert_eq!(keys(table.range_down(b"\0", b"abcdefghijklmnopq"))[0], names[6]);
    }

    #[test]
    fn overwriting_keeps_the_record_where_it_is() {
        let mut table = Memtable::with_tombstones();
        table.put(b"key", Some(b"12345678"));
        let (at, bytes) = (table.get(b"key").flatten().map(<[u8]>::as_ptr), table.bytes());
        table.put(b"key", Some(b"1234"));
        assert_eq!(table.get(b"key"), Some(Some(b"1234".as_slice())));
        assert_eq!(table.get(b"key").flatten().map(<[u8]>::as_ptr), at);
        assert_eq!(table.bytes(), bytes);
    }

    #[test]
    fn bytes_return_to_zero() {
        let mut table = Memtable::with_tombstones();
        for number in 0..1000_u32 {
            table.put(&number.to_be_bytes(), Some(&vec![7; number as usize * 16]));
        }
        let full = table.bytes();
        for number in 0..1000_u32 {
            table.put(&number.to_be_bytes(), None);
        }
        assert!(table.bytes() < full / 8, "a tombstone keeps no large value");
        assert_eq!(table.get(&7_u32.to_be_bytes()), Some(None));
        table.keeps_tombstones = false;
        for number in 0..1000_u32 {
            table.put(&number.to_be_bytes(), None);
        }
        assert_eq!((table.bytes(), table.len()), (0, 0));
        assert_eq!(table.get(&7_u32.to_be_bytes()), None);
    }

    #[test]
    fn a_batch_is_applied_in_order() {
        let mut table = Memtable::with_tombstones();
        let names: Vec<[u8; 4]> = (0..100_u32).map(|number| (number % 40).to_be_bytes()).collect();
        let values: Vec<[u8; 1]> = (0..100).map(|number| [number]).collect();
        let changes = names.iter().zip(&values);
        table.put_all(changes.map(|(name, value)| {
            (name.as_slice(), (value[0] % 7 > 0).then_some(value.as_slice()))
        }));
        assert_eq!(table.len(), 40);
        for (name, value) in names.iter().zip(&values).skip(60) {
            let expected = (value[0] % 7 > 0).then_some(value.as_slice());
            assert_eq!(table.get(name), Some(expected));
        }
    }

    #[test]
    fn scans_pass_over_no_tombstones_and_checkpoints_get_them_in_order() {
        let (mut table, mut model) = (Memtable::with_tombstones(), BTreeMap::new());
        for number in 0..20_000_u32 {
            // Keys meet again, in no order, some of them to be forgotten.
            let key = (number.wrapping_mul(2_654_435_761) % 3001).to_be_bytes();
            let value = (number % 3 > 0).then_some(&key[2..]);
            table.put(&key, value);
            model.insert(key, value.map(<[u8]>::to_vec));
            if number % 12 == 0 {
                table.forget(&key);
                model.remove(&key);
            }
        }
        let all: Vec<_> = model.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        assert!(table.iter().eq(all.iter().copied()));
        assert_eq!(table.len(), all.len());
        let live = all.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
        assert!(table.range(&[], &[1]).eq(live.clone()));
        assert!(table.range_down(&[], &[1]).eq(live.rev()));
    }
}
