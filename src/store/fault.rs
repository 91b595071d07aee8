//! A store that misbehaves on purpose, as far as the contract allows: for tests of everything
//! above.
//!
//! It wraps any store and injects reads that have to be fetched first, conflicts, commits whose
//! outcome is unknown, and refusals. What it injects follows from its seed and the order of the
//! calls alone.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{CommitError, Mutations, ReadError, Scan, Snapshot, Store, Value, Visitor};

/// What to inject, and how often: each field is `n` for one call in `n` on average, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// Start of the pseudo-random sequence.
    pub seed: u64,
    /// Reads answered [`ReadError::Pending`] until [`Store::fetch`].
    pub pending_1_in: u32,
    /// Commits that fail with [`CommitError::Conflict`].
    pub conflict_1_in: u32,
    /// Commits that succeed and say [`CommitError::Unknown`].
    pub unknown_applied_1_in: u32,
    /// Commits that are not executed and say [`CommitError::Unknown`].
    pub unknown_not_applied_1_in: u32,
    /// Commits that fail with [`CommitError::Refused`].
    pub refused_1_in: u32,
}

/// See the module.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: FaultPlan,
    state: Mutex<State>,
}

struct State {
    random: Random,
    /// Reads that were answered "pending" and not fetched yet.
    asked: HashSet<Vec<u8>>,
    /// Reads that will be answered until the next commit.
    fetched: HashSet<Vec<u8>>,
}

impl FaultStore {
    /// `inner`, with the faults of `plan`.
    pub fn new(inner: Arc<dyn Store>, plan: FaultPlan) -> Self {
        let random = Random::new(plan.seed);
        let (asked, fetched) = Default::default();
        Self { inner, plan, state: Mutex::new(State { random, asked, fetched }) }
    }

    /// Whether this read has to be fetched first.
    fn pends(&self, read: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.fetched.contains(read) {
            return false;
        }
        let pends = state.asked.contains(read) || state.random.one_in(self.plan.pending_1_in);
        if pends {
            state.asked.insert(read.to_vec());
        }
        pends
    }
}

impl Store for FaultStore {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot)) {
        self.inner.read(&mut |inner| f(&FaultSnapshot { inner, store: self }));
    }

    fn fetch(&self) {
        self.inner.fetch();
        let mut state = self.state.lock();
        let asked = std::mem::take(&mut state.asked);
        state.fetched.extend(asked);
    }

    fn commit(&self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError> {
        let plan = &self.plan;
        let (refused, conflict, lost, applied) = {
            let mut state = self.state.lock();
            state.fetched.clear();
            let mut roll = |one_in| state.random.one_in(one_in);
            (
                roll(plan.refused_1_in),
                roll(plan.conflict_1_in),
                roll(plan.unknown_not_applied_1_in),
                roll(plan.unknown_applied_1_in),
            )
        };
        if refused {
            return Err(CommitError::Refused("refused by the test".into()));
        }
        if conflict {
            return Err(CommitError::Conflict);
        }
        if lost {
            return Err(CommitError::Unknown("lost by the test".into()));
        }
        self.inner.commit(sequence, mutations)?;
        if applied {
            return Err(CommitError::Unknown("made unknown by the test".into()));
        }
        Ok(())
    }

    fn may_block(&self) -> bool {
        self.inner.may_block()
    }

    fn outcome_can_be_unknown(&self) -> bool {
        let planned = self.plan.unknown_applied_1_in + self.plan.unknown_not_applied_1_in > 0;
        planned || self.inner.outcome_can_be_unknown()
    }

    fn executes_once(&self) -> bool {
        false
    }

    fn sequence(&self) -> u64 {
        self.inner.sequence()
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.inner.figures()
    }

    fn write_failure(&self) -> Option<String> {
        self.inner.write_failure()
    }

    fn close(&self) -> Result<(), String> {
        self.inner.close()
    }
}

struct FaultSnapshot<'a> {
    inner: &'a dyn Snapshot,
    store: &'a FaultStore,
}

impl Snapshot for FaultSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if self.store.pends(&[b"g", key].concat()) {
            return Err(ReadError::Pending);
        }
        self.inner.get(key)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        let Scan { begin, end, limit, reverse } = scan;
        let shape = format!("s{begin:?} {end:?} {limit} {reverse}");
        if !self.store.pends(shape.as_bytes()) {
            return self.inner.scan(scan, visit);
        }
        // The contract allows an error after some records; one is enough to find who forgot that.
        let mut flow = ControlFlow::Continue(());
        let first = Scan { limit: limit.min(1), ..scan };
        self.inner.scan(first, &mut |key, value| {
            flow = visit(key, value);
            flow
        })?;
        if flow.is_break() { Ok(()) } else { Err(ReadError::Pending) }
    }

    fn answers_at_once(&self) -> bool {
        self.store.plan.pending_1_in == 0 && self.inner.answers_at_once()
    }
}

/// Pseudo-random numbers (SplitMix64), the same ones for the same seed.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True once in `n` calls on average; never for 0.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.next().is_multiple_of(u64::from(n))
    }
}
