//! Records that hardly ever change: what they were a moment ago, and at which version that was so.
//!
//! Shared by all transactions of a store. Nothing depends on it being right: a transaction that
//! assumed something makes sure of it before it ends, and what it finds out corrects this map.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{ASSUMED_AGE_MAX, ASSUMED_RECORDS_MAX, ASSUMED_SHARDS, BORROWING_PAUSE};
use crate::store::Mutations;

/// A version of the database, and when it was learnt. The two are not read together: being wrong
/// about the age costs another attempt, nothing else.
struct Stamp {
    version: AtomicI64,
    learnt_us: AtomicU64,
}

impl Stamp {
    fn new(version: i64, learnt_us: u64) -> Self {
        Self { version: AtomicI64::new(version), learnt_us: AtomicU64::new(learnt_us) }
    }

    fn raise(&self, version: i64, learnt_us: u64) {
        if self.version.fetch_max(version, Ordering::Relaxed) < version {
            self.learnt_us.store(learnt_us, Ordering::Relaxed);
        }
    }

    fn version(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    fn age(&self, now_us: u64) -> Duration {
        Duration::from_micros(now_us.saturating_sub(self.learnt_us.load(Ordering::Relaxed)))
    }
}

/// What one record is known to have been.
pub struct Known {
    /// The record's key.
    pub key: Box<[u8]>,
    /// Its value.
    pub value: Option<Box<[u8]>>,
    stamp: Stamp,
}

impl Known {
    /// The newest version at which this is known to be right.
    pub fn version(&self) -> i64 {
        self.stamp.version()
    }
}

/// All that was known at one moment. It is in parts, each of which is replaced as a whole: there may be
/// many tenants, and each record that is learnt copies no more than the records of its part.
#[derive(Clone)]
pub struct Records([Arc<Part>; ASSUMED_SHARDS]);

type Part = HashMap<Box<[u8]>, Arc<Known>>;

impl Default for Records {
    fn default() -> Self {
        let empty = Arc::default();
        Self(std::array::from_fn(|_| Arc::clone(&empty)))
    }
}

impl Records {
    fn place(key: &[u8]) -> usize {
        xxh3_64(key) as usize % ASSUMED_SHARDS
    }

    /// What is known of a record.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<Known>> {
        self.0[Self::place(key)].get(key)
    }

    fn part_mut(&mut self, key: &[u8]) -> &mut Part {
        Arc::make_mut(&mut self.0[Self::place(key)])
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }
}

/// See the module.
pub struct Assumed {
    origin: Instant,
    /// Replaced as a whole: transactions keep the one they began with, and borrow from it.
    records: RwLock<Arc<Records>>,
    /// The newest version there is any proof of.
    newest: Stamp,
    /// Until then reads take versions of their own.
    lends_from_us: AtomicU64,
}

/// No version: FoundationDB's begin at 1.
const NONE: i64 = 0;

impl Assumed {
    /// Knows nothing. No time it is told is before `origin`.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            records: RwLock::default(),
            newest: Stamp::new(NONE, 0),
            lends_from_us: AtomicU64::new(0),
        }
    }

    fn us(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.origin).as_micros() as u64
    }

    /// All that is known.
    pub fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records.read())
    }

    /// How long ago `known` was last known to be right.
    pub fn age(&self, known: &Known, now: Instant) -> Duration {
        known.stamp.age(self.us(now))
    }

    /// A version to commit at that is surely recent enough, if there is one.
    pub fn newest(&self, now: Instant) -> Option<i64> {
        let version = self.newest.version();
        let is_recent = self.newest.age(self.us(now)) < ASSUMED_AGE_MAX;
        (version != NONE && is_recent).then_some(version)
    }

    /// A version to read at, if the commit will check what was read, and when it was learnt. Only while
    /// hardly anybody else changes what this process does: conflicts cost more than asking.
    pub fn lend(&self, now: Instant) -> Option<(i64, Instant)> {
        if self.us(now) < self.lends_from_us.load(Ordering::Relaxed) {
            return None;
        }
        let version = self.newest(now)?;
        let learnt_us = self.newest.learnt_us.load(Ordering::Relaxed);
        Some((version, self.origin + Duration::from_micros(learnt_us)))
    }

    /// A transaction that read at a version it was lent has conflicted.
    pub fn lent_in_vain(&self, now: Instant) {
        let until_us = self.us(now) + BORROWING_PAUSE.as_micros() as u64;
        self.lends_from_us.store(until_us, Ordering::Relaxed);
    }

    /// The database was at `version` some time after `asked`.
    pub fn saw(&self, version: i64, asked: Instant) {
        self.newest.raise(version, self.us(asked));
    }

    /// `known` was right at `version`, some time after `asked`.
    pub fn confirm(&self, known: &Known, version: i64, asked: Instant) {
        known.stamp.raise(version, self.us(asked));
    }

    /// A record was read at `version`.
    pub fn learn(&self, key: &[u8], value: Option<&[u8]>, version: i64, asked: Instant) {
        let mut records = self.records.write();
        if let Some(known) = records.get(key) {
            if known.value.as_deref() == value {
                return self.confirm(known, version, asked);
            }
            if known.version() > version {
                return;
            }
        }
        let part = Arc::make_mut(&mut records).part_mut(key);
        if part.len() >= ASSUMED_RECORDS_MAX / ASSUMED_SHARDS {
            let now_us = self.us(asked);
            part.retain(|_, known| known.stamp.age(now_us) < ASSUMED_AGE_MAX);
        }
        if part.len() < ASSUMED_RECORDS_MAX / ASSUMED_SHARDS || part.contains_key(key) {
            let stamp = Stamp::new(version, self.us(asked));
            let known = Known { key: key.into(), value: value.map(Box::from), stamp };
            part.insert(key.into(), Arc::new(known));
        }
    }

    /// `known` was not right, or nobody knows.
    pub fn forget(&self, known: &Arc<Known>) {
        let mut records = self.records.write();
        if records.get(&known.key).is_some_and(|other| Arc::ptr_eq(other, known)) {
            Arc::make_mut(&mut records).part_mut(&known.key).remove(&known.key);
        }
    }

    /// No version seen so far is recent enough to commit at.
    pub fn forget_versions(&self) {
        self.newest.version.store(NONE, Ordering::Relaxed);
    }

    /// `mutations` were committed, or may have been. What they wrote is not known to be there at any
    /// version: at that of the commit others may have written too, and after it.
    pub fn forget_written(&self, mutations: &Mutations) {
        let records = self.records();
        for key in mutations.iter().map(|mutation| mutation.key()) {
            if let Some(known) = records.get(key) {
                self.forget(known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn value_of(assumed: &Assumed, key: &[u8]) -> Option<Vec<u8>> {
        assumed.records().get(key).and_then(|known| known.value.as_ref().map(|v| v.to_vec()))
    }

    #[test]
    fn newer_versions_win() {
        let start = clock::monotonic();
        let assumed = Assumed::new(start);
        assumed.learn(b"k", Some(b"1"), 10, start);
        assumed.learn(b"k", Some(b"0"), 9, start);
        assert_eq!(value_of(&assumed, b"k"), Some(b"1".to_vec()));
        let begun = assumed.records();
        assumed.learn(b"k", Some(b"2"), 11, start);
        assert_eq!(value_of(&assumed, b"k"), Some(b"2".to_vec()));
        let first = Arc::clone(begun.get(b"k").unwrap());
        assert_eq!(first.value.as_deref(), Some(&b"1"[..]), "keeps what it began with");
        assumed.forget(&first);
        assert_eq!(value_of(&assumed, b"k"), Some(b"2".to_vec()), "that was another one");
        let second = Arc::clone(assumed.records().get(b"k").unwrap());
        assumed.forget(&second);
        assert_eq!(assumed.records().len(), 0);
    }

    #[test]
    fn being_confirmed_keeps_a_record_young() {
        let start = clock::monotonic();
        let assumed = Assumed::new(start);
        assumed.learn(b"k", None, 10, start);
        let known = Arc::clone(assumed.records().get(b"k").unwrap());
        let later = start + Duration::from_secs(3);
        assert_eq!(assumed.age(&known, later), Duration::from_secs(3));
        assumed.confirm(&known, 20, start + Duration::from_secs(2));
        assert_eq!(assumed.age(&known, later), Duration::from_secs(1));
        assumed.confirm(&known, 15, later);
        assert_eq!((known.version(), assumed.age(&known, later)), (20, Duration::from_secs(1)));
    }

    #[test]
    fn what_was_written_is_forgotten_and_nothing_else() {
        let start = clock::monotonic();
        let assumed = Assumed::new(start);
        assumed.learn(b"k", Some(b"1"), 10, start);
        assumed.learn(b"l", Some(b"1"), 10, start);
        let mut mutations = Mutations::default();
        mutations.set(b"other", &[b"x"]);
        mutations.clear(b"k");
        assumed.forget_written(&mutations);
        assert_eq!(value_of(&assumed, b"l"), Some(b"1".to_vec()));
        assert_eq!(assumed.records().len(), 1);
    }

    #[test]
    fn only_recent_versions_are_committed_at() {
        let start = clock::monotonic();
        let assumed = Assumed::new(start);
        assert_eq!(assumed.newest(start), None);
        assumed.saw(7, start);
        assumed.saw(5, start + Duration::from_secs(1));
        assert_eq!(assumed.newest(start + Duration::from_secs(1)), Some(7));
        assert_eq!(assumed.newest(start + ASSUMED_AGE_MAX), None);
        assumed.saw(8, start + Duration::from_secs(1));
        assert_eq!(assumed.newest(start + ASSUMED_AGE_MAX), Some(8));
        assumed.forget_versions();
        assert_eq!(assumed.newest(start), None);
    }

    #[test]
    fn there_are_not_too_many() {
        let start = clock::monotonic();
        let assumed = Assumed::new(start);
        let learn = |number: usize, at| assumed.learn(&number.to_be_bytes(), None, 1, at);
        (0..2 * ASSUMED_RECORDS_MAX).for_each(|number| learn(number, start));
        let full = assumed.records().len();
        assert!(full <= ASSUMED_RECORDS_MAX && full > ASSUMED_RECORDS_MAX * 9 / 10);
        let late = 2 * ASSUMED_RECORDS_MAX + 9;
        learn(late, start + ASSUMED_AGE_MAX);
        let left = assumed.records();
        assert!(left.len() <= full - ASSUMED_RECORDS_MAX / ASSUMED_SHARDS * 9 / 10);
        assert!(left.get(&late.to_be_bytes()).is_some(), "old ones make room");
    }
}
