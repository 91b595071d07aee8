//! What every store must do, checked against a plain map: random commits, reads and scans.
//!
//! The stores' own tests call [`Suite::run`], reopening the store between calls where it can be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Random;
use super::{CommitError, Mode, Mutations, ReadError, Scan, Snapshot, Store, Transaction, wait};
use crate::clock;

/// Content of a store.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A model and the choices made so far.
#[derive(Clone)]
pub struct Suite {
    random: Random,
    model: Records,
    /// Tells the outcome of a commit that came back unknown.
    marker: u64,
}

const MARKER_KEY: &[u8] = b"\xffmarker";

impl Suite {
    /// The suite for one seed, with an empty model.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), model: Records::new(), marker: 0 }
    }

    /// Does `steps` random things to `store` and compares each answer with the model's.
    pub fn run<S: Store + ?Sized>(&mut self, store: &Arc<S>, steps: usize) {
        self.compare_all(store);
        for _ in 0..steps {
            match self.random.next() % 4 {
                0 | 1 => self.commit(store),
                2 => self.read_some(store),
                _ => self.scan_some(store),
            }
        }
        self.compare_all(store);
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random.next() % bound as u64) as usize
    }

    /// Few enough keys that they meet again, in lengths around the 16 bytes compared inline.
    fn key(&mut self) -> Vec<u8> {
        let number = self.below(400);
        let mut key = match number % 4 {
            0 => b"abcdefghijklmno".to_vec(),
            1 => b"abcdefghijklmnop\0".to_vec(),
            2 => b"k".to_vec(),
            _ => vec![0xfe; number % 13],
        };
        key.extend_from_slice(&(number as u16).to_be_bytes()[number % 2..]);
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(40) {
            0 => self.below(100_000),
            1..5 => self.below(5_000),
            5 => 0,
            _ => self.below(200),
        };
        let byte = self.random.next() as u8;
        (0..len).map(|at| byte.wrapping_add(at as u8)).collect()
    }

    fn commit<S: Store + ?Sized>(&mut self, store: &Arc<S>) {
        let mut mutations = Mutations::default();
        let mut after = self.model.clone();
        for _ in 0..self.below(12) {
            let key = self.key();
            if self.random.one_in(4) {
                mutations.clear(&key);
                after.remove(&key);
            } else {
                let value = self.value();
                mutations.set(&key, &[&value]);
                after.insert(key, value);
            }
        }
        self.marker += 1;
        mutations.set(MARKER_KEY, &[&self.marker.to_be_bytes()]);
        after.insert(MARKER_KEY.to_vec(), self.marker.to_be_bytes().to_vec());
        let mut transaction = begin(store, Mode::Write);
        let sequence = store.next_sequence();
        let committed = wait::wait(|cx| transaction.poll_commit(cx, sequence, &mutations));
        let applied = match committed {
            Ok(()) => true,
            Err(CommitError::Conflict | CommitError::Retry | CommitError::Refused(_)) => false,
            Err(CommitError::Unknown(_)) => {
                get(store, MARKER_KEY) == Some(self.marker.to_be_bytes().to_vec())
            }
            Err(error) => panic!("{error:?}"),
        };
        if applied {
            self.model = after;
        }
    }

    fn read_some<S: Store + ?Sized>(&mut self, store: &Arc<S>) {
        for _ in 0..8 {
            let key = self.key();
            assert_eq!(get(store, &key), self.model.get(&key).cloned(), "key {key:?}");
        }
    }

    fn scan_some<S: Store + ?Sized>(&mut self, store: &Arc<S>) {
        let (begin, end) = (self.key(), self.key());
        let limit = if self.random.one_in(2) { usize::MAX } else { self.below(20) };
        let (reverse, stop_after) = (self.random.one_in(2), self.below(30));
        let scan = Scan { begin: &begin, end: &end, limit, reverse };
        let found = collect(store, scan, stop_after);
        let range = self.model.iter().filter(|(key, _)| **key >= begin && **key < end);
        let mut expected: Vec<_> = range.map(|(k, v)| (k.clone(), v.clone())).collect();
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit.min(stop_after.max(1)));
        assert_eq!(found, expected, "{scan:?}");
    }

    fn compare_all<S: Store + ?Sized>(&self, store: &Arc<S>) {
        assert_eq!(all(store), self.model);
        for (key, value) in &self.model {
            assert_eq!(get(store, key).as_ref(), Some(value), "key {key:?}");
        }
    }
}

/// All records of a store.
pub fn all<S: Store + ?Sized>(store: &Arc<S>) -> Records {
    let scan = Scan { begin: b"", end: &[0xff; 32], limit: usize::MAX, reverse: false };
    collect(store, scan, usize::MAX).into_iter().collect()
}

/// The value of `key`.
pub fn get<S: Store + ?Sized>(store: &Arc<S>, key: &[u8]) -> Option<Vec<u8>> {
    answered(store, |snapshot| Ok(snapshot.get(key)?.map(|value| value.into_owned())))
}

fn collect<S: Store + ?Sized>(
    store: &Arc<S>,
    scan: Scan<'_>,
    stop_after: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    answered(store, |snapshot| {
        let mut found = Vec::new();
        snapshot.scan(scan, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            if found.len() >= stop_after {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    })
}

fn begin<S: Store + ?Sized>(store: &Arc<S>, mode: Mode) -> Box<dyn Transaction> {
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(mode, clock::monotonic() + Duration::from_secs(60));
    transaction
}

fn answered<S: Store + ?Sized, T>(
    store: &Arc<S>,
    mut read: impl FnMut(&dyn Snapshot) -> Result<T, ReadError>,
) -> T {
    wait::read(&mut *begin(store, Mode::Read), &mut read).expect("it can be read")
}

mod stores {
    use super::*;
    use crate::store::fault::{FaultPlan, FaultStore};
    use crate::store::memory::MemoryStore;

    #[test]
    fn memory() {
        for seed in 0..8 {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let mut suite = Suite::new(seed);
            suite.run(&store, 400);
            suite.run(&store, 100);
            store.close().unwrap();
            let mut closed = begin(&store, Mode::Write);
            let refused = wait::wait(|cx| closed.poll_commit(cx, u64::MAX, &Mutations::default()));
            assert!(matches!(refused, Err(CommitError::Refused(_))));
        }
    }

    #[test]
    fn fault() {
        for seed in 0..8 {
            let plan = FaultPlan {
                seed,
                pending_1_in: seed as u32 % 3,
                delay_1_in: 2,
                retry_1_in: 9,
                timeout_1_in: 0,
                conflict_1_in: 5,
                unknown_applied_1_in: 6,
                unknown_not_applied_1_in: 7,
                refused_1_in: 8,
            };
            let store: Arc<dyn Store> =
                Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan));
            Suite::new(seed).run(&store, 500);
        }
    }

    /// Reads `reads`, has somebody else write `writes`, and commits.
    fn overtaken(reads: &[u8], writes: &[u8]) -> Result<(), CommitError> {
        let store: Arc<dyn Store> =
            Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), FaultPlan::default()));
        let (mut slow, mut quick) = (begin(&store, Mode::Write), begin(&store, Mode::Write));
        slow.read(&mut |snapshot| assert_eq!(snapshot.get(reads), Ok(None)));
        let mut mutations = Mutations::default();
        mutations.set(writes, &[b"1"]);
        wait::wait(|cx| quick.poll_commit(cx, store.next_sequence(), &mutations)).unwrap();
        wait::wait(|cx| slow.poll_commit(cx, store.next_sequence(), &mutations))
    }

    #[test]
    fn transactions_over_a_local_store_conflict_as_they_must() {
        assert_eq!(overtaken(b"a", b"a"), Err(CommitError::Conflict));
        assert_eq!(overtaken(b"a", b"b"), Ok(()));
    }
}
