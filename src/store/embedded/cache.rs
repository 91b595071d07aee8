//! Records read from the LSM tree, kept in memory up to a bound; also knows which records are
//! absent.
//!
//! It mirrors the tree and nothing newer: what the write buffers hold is looked up there first. So
//! an entry only ever gets wrong when a checkpoint changes the tree, and the checkpoint corrects
//! every such entry while its write buffer still hides it.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, OptionsBuilder, Weighter};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::CACHED_VALUE_BYTES_MAX;

/// What an entry costs besides its bytes: two handles, the cache's links, reference counts.
const ENTRY_OVERHEAD_BYTES: u64 = 112;
/// For sizing the cache's tables, which grow if it is too low.
const ENTRY_BYTES_TYPICAL: u64 = 256;

/// A record, or the knowledge that there is none.
#[derive(Clone)]
pub struct Entry {
    /// Key, then value.
    data: Arc<[u8]>,
    key_len: u32,
    absent: bool,
}

impl Entry {
    fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let mut data = Vec::with_capacity(key.len() + value.map_or(0, <[u8]>::len));
        data.extend_from_slice(key);
        data.extend_from_slice(value.unwrap_or_default());
        Self { data: data.into(), key_len: key.len() as u32, absent: value.is_none() }
    }

    fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    /// The value, or `None` when the record is absent.
    pub fn value(&self) -> Option<&[u8]> {
        (!self.absent).then(|| &self.data[self.key_len as usize..])
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.key());
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

/// A key to look an entry up by.
struct Key<'a>(&'a [u8]);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Equivalent<Entry> for Key<'_> {
    fn equivalent(&self, entry: &Entry) -> bool {
        self.0 == entry.key()
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Entry, Entry> for Weight {
    fn weight(&self, entry: &Entry, _: &Entry) -> u64 {
        entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

#[derive(Clone)]
struct KeyHash(u64);

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

/// Takes the whole key in one write.
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// See the module.
pub struct RecordCache {
    cache: Option<Cache<Entry, Entry, Weight, KeyHash>>,
    value_bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl RecordCache {
    /// A cache of about `bytes`; none at all when that is zero.
    pub fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes / ENTRY_BYTES_TYPICAL).max(1) as usize)
            .weight_capacity(bytes)
            .build()
            .expect("both required options are given");
        let hash = KeyHash(RandomState::new().build_hasher().finish());
        let cache =
            (bytes > 0).then(|| Cache::with_options(options, Weight, hash, Default::default()));
        let shard_bytes = cache.as_ref().map_or(0, Cache::shard_capacity);
        Self {
            cache,
            // An entry has to fit well into its shard.
            value_bytes_max: CACHED_VALUE_BYTES_MAX.min(shard_bytes as usize / 8),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// What is known about `key`.
    pub fn get(&self, key: &[u8]) -> Option<Entry> {
        let found = self.cache.as_ref()?.get(&Key(key));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Notes what the tree says about `key`, replacing anything noted before.
    pub fn note(&self, key: &[u8], value: Option<&[u8]>) -> Option<Entry> {
        let cache = self.cache.as_ref()?;
        if value.is_some_and(|value| value.len() > self.value_bytes_max) {
            cache.remove(&Key(key));
            return None;
        }
        let entry = Entry::new(key, value);
        cache.insert(entry.clone(), entry.clone());
        Some(entry)
    }

    /// Hits, misses, entries and their bytes.
    pub fn figures(&self) -> [(&'static str, u64); 4] {
        let (len, weight) =
            self.cache.as_ref().map_or((0, 0), |cache| (cache.len() as u64, cache.weight()));
        [
            ("cache_hits", self.hits.load(Ordering::Relaxed)),
            ("cache_misses", self.misses.load(Ordering::Relaxed)),
            ("cache_records", len),
            ("cache_bytes", weight),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_note_counts_also_when_it_is_too_large_to_keep() {
        let cache = RecordCache::new(1 << 20);
        cache.note(b"key", Some(b"old"));
        assert_eq!(cache.get(b"key").unwrap().value(), Some(b"old".as_slice()));
        cache.note(b"key", None);
        assert_eq!(cache.get(b"key").unwrap().value(), None);
        assert!(cache.note(b"key", Some(&[0; 1 << 20])).is_none());
        assert!(cache.get(b"key").is_none());
    }

    #[test]
    fn it_stays_within_its_bound() {
        let cache = RecordCache::new(1 << 20);
        for number in 0..20_000_u32 {
            cache.note(&number.to_be_bytes(), Some(&[0; 100]));
        }
        let [_, _, (_, records), (_, bytes)] = cache.figures();
        assert!(bytes <= 1 << 20 && records > 1000, "{records} records, {bytes} bytes");
    }
}
