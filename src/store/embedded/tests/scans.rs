//! Property: scans find what was committed, whatever the stretches kept in memory know of the tree,
//! and these stay within their bound.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;
use crate::store::Scan;
use crate::store::fault::Random;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

struct Fixture {
    store: Arc<EmbeddedStore>,
    model: Records,
    random: Random,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new(seed: u64, cache_bytes: u64) -> Self {
        let dir = scratch();
        let durability = Durability::None;
        let options =
            EmbeddedOptions { durability, cache_bytes, ..EmbeddedOptions::new(dir.path()) };
        let (store, random) = (open(&options), Random::new(seed));
        Self { store, model: Records::new(), random, _dir: dir }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn key(&mut self, space: u64) -> Vec<u8> {
        let number = self.below(space) as u16;
        let mut key = b"elements".to_vec();
        key.extend_from_slice(&number.to_be_bytes()[usize::from(number.is_multiple_of(5))..]);
        key
    }

    fn commit(&mut self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let mut mutations = Mutations::default();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    mutations.set(&key, &[&value]);
                    self.model.insert(key, value);
                }
                None => {
                    mutations.clear(&key);
                    self.model.remove(&key);
                }
            }
        }
        self.store.commit(self.store.sequence() + 1, &mutations).unwrap();
    }

    fn change_some(&mut self, space: u64, clears_of_4: u64) {
        let mut changes = Vec::new();
        for _ in 0..self.below(8) {
            let sets = self.below(4) >= clears_of_4;
            let len = if self.random.one_in(50) { 20_000 } else { self.below(9) as usize };
            let value = sets.then(|| vec![self.random.next() as u8; len]);
            changes.push((self.key(space), value));
        }
        self.commit(changes);
    }

    /// What a scan visits.
    fn scan(&self, scan: Scan<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        self.store.read(&mut |snapshot| {
            let visit = &mut |key: &[u8], value: &[u8]| {
                found.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            };
            snapshot.scan(scan, visit).unwrap();
        });
        found
    }

    fn scan_some(&mut self, space: u64) {
        let (mut begin, mut end) = (self.key(space), self.key(space));
        match self.below(4) {
            0 => begin = b"elem".to_vec(),
            1 => end = b"elf".to_vec(),
            _ => {}
        }
        let limit = [1, 3, 70, usize::MAX][self.below(4) as usize];
        let scan = Scan { begin: &begin, end: &end, limit, reverse: self.random.one_in(2) };
        let between = self.model.iter().filter(|(key, _)| **key >= begin && **key < end);
        let mut expected: Vec<_> = between.map(|(k, v)| (k.clone(), v.clone())).collect();
        if scan.reverse {
            expected.reverse();
        }
        expected.truncate(limit);
        assert_eq!(self.scan(scan), expected, "{scan:?}");
    }
}

#[test]
fn scans_find_what_a_map_has() {
    // No stretches at all; so few that half of them are forgotten all the time; enough.
    for (seed, cache_bytes) in [(1, 0), (2, 80 << 10), (3, 80 << 10), (4, 64 << 20), (5, 64 << 20)]
    {
        let mut fixture = Fixture::new(seed, cache_bytes);
        let space = 3000;
        for round in 0..8 {
            for _ in 0..250 {
                // Grows and shrinks by turns.
                fixture.change_some(space, 1 + 2 * (round % 2));
                fixture.scan_some(space);
            }
            fixture.store.freeze(&mut fixture.store.writer.lock()).unwrap();
            if round % 3 > 0 {
                fixture.store.wait_for_checkpoints();
            }
            for _ in 0..100 {
                fixture.scan_some(space);
            }
            fixture.store.core.stretches.check();
            assert!(figure(&fixture.store, "scan_cache_bytes") <= cache_bytes / 8);
        }
    }
}

/// How often the next scan of `begin..end` would have to ask the tree.
fn gaps(fixture: &Fixture, begin: &[u8], end: &[u8]) -> usize {
    fixture.store.core.stretches.gaps(begin, end)
}

#[test]
fn what_was_popped_is_passed_over_once() {
    let mut fixture = Fixture::new(1, 64 << 20);
    let key = |number: u16| number.to_be_bytes().to_vec();
    fixture.commit((0..2000).map(|number| (key(number), Some(key(number)))).collect());
    fixture.store.checkpoint_now();
    let (begin, end) = (key(0), key(2000));
    for number in 0..1900 {
        let scan = Scan { limit: 1, ..Scan::all(&begin, &end) };
        assert_eq!(fixture.scan(scan), [(key(number), key(number))]);
        fixture.commit(vec![(key(number), None)]);
    }
    fixture.store.core.stretches.check();
    // All that is popped is in few stretches, with the rest of the last read.
    assert_eq!(gaps(&fixture, &begin, &key(1900)), 0);
    let few = u64::from(u16::MAX);
    assert!(figure(&fixture.store, "scan_cache_bytes") < few);
    // They describe the tree before the checkpoint.
    fixture.commit(vec![(key(7), Some(b"new".to_vec()))]);
    fixture.store.checkpoint_now();
    assert_eq!(figure(&fixture.store, "scan_cache_bytes"), 0);
    let scan = Scan { limit: 1, ..Scan::all(&begin, &end) };
    assert_eq!(fixture.scan(scan), [(key(7), b"new".to_vec())]);
}
