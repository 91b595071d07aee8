//! A store that misbehaves on purpose, as far as the contract allows: for tests of everything
//! above.
//!
//! It wraps any store and makes it look like one across a network: reads have to be fetched first,
//! answers take a while, transactions conflict, end unknown, time out, or are refused. What it
//! injects follows from its seed and the order of the calls alone. A local store underneath has but
//! one writer, so the transactions over it check for conflicts themselves.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;

use super::{
    Account, CommitError, Local, Mode, Mutation, Mutations, ReadError, Scan, Snapshot, Store,
    Transaction, Value, Visitor, Watch, counter, counter_bytes,
};

/// What to inject, and how often: each field is `n` for one call in `n` on average, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// Start of the pseudo-random sequence.
    pub seed: u64,
    /// Reads answered [`ReadError::Pending`] until [`Transaction::poll_fetch`].
    pub pending_1_in: u32,
    /// Calls of `poll` functions that are not ready at first.
    pub delay_1_in: u32,
    /// Fetches and commits that fail with `Retry`, as when a transaction has become too old.
    pub retry_1_in: u32,
    /// Fetches and commits that fail with `TimedOut`; such a commit is not executed.
    pub timeout_1_in: u32,
    /// Commits that fail with [`CommitError::Conflict`].
    pub conflict_1_in: u32,
    /// Commits that succeed and say [`CommitError::Unknown`].
    pub unknown_applied_1_in: u32,
    /// Commits that are not executed and say [`CommitError::Unknown`].
    pub unknown_not_applied_1_in: u32,
    /// Commits that fail with [`CommitError::Refused`].
    pub refused_1_in: u32,
}

/// Commits remembered for finding conflicts; a transaction that began before all of them is too old.
const COMMITS_REMEMBERED: usize = 256;

/// See the module.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: FaultPlan,
    /// Readers roll while they hold a store's lock, so this is held for nothing else.
    random: Mutex<Random>,
    history: Mutex<History>,
}

/// What was committed to a local store.
#[derive(Default)]
struct History {
    /// Commits so far.
    version: u64,
    /// What the last of them wrote.
    commits: VecDeque<HashSet<Vec<u8>>>,
}

impl FaultStore {
    /// `inner`, with the faults of `plan`.
    pub fn new(inner: Arc<dyn Store>, plan: FaultPlan) -> Self {
        let random = Mutex::new(Random::new(plan.seed));
        Self { inner, plan, random, history: Mutex::default() }
    }

    fn roll(&self, one_in: u32) -> bool {
        one_in > 0 && self.random.lock().one_in(one_in)
    }

    /// Commits to a local store what was decided after `reads` at `version`.
    fn commit_local(
        &self,
        local: &dyn Local,
        version: u64,
        reads: &Reads,
        mutations: &Mutations,
    ) -> Result<(), CommitError> {
        let mut history = self.history.lock();
        let since = (history.version - version) as usize;
        if since > history.commits.len() {
            return Err(CommitError::Retry);
        }
        if history.commits.iter().rev().take(since).any(|written| reads.meet(written)) {
            return Err(CommitError::Conflict);
        }
        let summed = summed(local, mutations);
        // Not the group's own: groups may overtake each other, and this store numbers its commits.
        local.commit(self.inner.next_sequence(), summed.as_ref().unwrap_or(mutations))?;
        history.version += 1;
        if history.commits.len() == COMMITS_REMEMBERED {
            history.commits.pop_front();
        }
        let keys = mutations.iter().map(|mutation| mutation.key().to_vec());
        history.commits.push_back(keys.collect());
        Ok(())
    }
}

/// `mutations` with sums for additions, which a local store leaves to those who commit; `None` if
/// there are no additions.
fn summed(local: &dyn Local, mutations: &Mutations) -> Option<Mutations> {
    mutations.iter().find(|mutation| matches!(mutation, Mutation::Add { .. }))?;
    let mut summed = Mutations::default();
    local.read(&mut |snapshot| {
        for mutation in mutations.iter() {
            match mutation {
                Mutation::Set { key, value } => summed.set(key, &[value]),
                Mutation::Clear { key } => summed.clear(key),
                Mutation::Add { key, by } => {
                    let record = snapshot.get(key).expect("a local store answers");
                    let sum = counter(record.as_deref()).wrapping_add(by);
                    summed.set(key, &[&counter_bytes(sum)])
                }
            };
        }
    });
    Some(summed)
}

impl Store for FaultStore {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn transaction(self: Arc<Self>) -> Box<dyn Transaction> {
        let inner = Arc::clone(&self.inner).transaction();
        Box::new(FaultTransaction {
            inner,
            reads: Reads::default(),
            asked: HashMap::new(),
            fetched: HashSet::new(),
            equal_reads: 0,
            version: 0,
            ready: false,
            outcome: None,
            retries: false,
            store: self,
        })
    }

    fn watch(self: Arc<Self>, key: &[u8]) -> Option<Box<dyn Watch>> {
        Arc::clone(&self.inner).watch(key)
    }

    fn next_sequence(&self) -> u64 {
        self.inner.next_sequence()
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.inner.figures()
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        self.inner.status()
    }

    fn write_failure(&self) -> Option<String> {
        self.inner.write_failure()
    }

    fn close(&self) -> Result<(), String> {
        self.inner.close()
    }
}

/// What a transaction has read, as far as it decides on conflicts.
#[derive(Default)]
struct Reads {
    keys: HashSet<Vec<u8>>,
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Reads {
    fn meet(&self, written: &HashSet<Vec<u8>>) -> bool {
        written.iter().any(|key| {
            let within = |(begin, end): &(Vec<u8>, Vec<u8>)| key >= begin && key < end;
            self.keys.contains(key) || self.ranges.iter().any(within)
        })
    }
}

struct FaultTransaction {
    store: Arc<FaultStore>,
    inner: Box<dyn Transaction>,
    /// Of the last [`Transaction::read`].
    reads: Reads,
    /// Reads that have to be fetched, and the last who asked for them.
    asked: HashMap<Vec<u8>, u64>,
    /// Reads that are answered.
    fetched: HashSet<Vec<u8>>,
    /// See [`Account`].
    equal_reads: u64,
    /// Commits there were before the last [`Transaction::read`].
    version: u64,
    /// The present call has been delayed already.
    ready: bool,
    /// How the commit under way will end, if it has been decided.
    outcome: Option<Outcome>,
    /// Something of the inner transaction is to be retried.
    retries: bool,
}

/// What becomes of a commit.
#[derive(Clone, Copy)]
enum Outcome {
    Commit,
    CommitAndHide,
    Lose,
}

impl FaultTransaction {
    /// Whether the present call has to be made again.
    fn delays(&mut self, cx: &Context<'_>) -> bool {
        let ready = std::mem::take(&mut self.ready);
        if ready || !self.store.roll(self.store.plan.delay_1_in) {
            return false;
        }
        self.ready = true;
        cx.waker().wake_by_ref();
        true
    }

    fn decide(&self) -> Result<Outcome, CommitError> {
        let FaultStore { plan, .. } = &*self.store;
        if self.store.roll(plan.refused_1_in) {
            return Err(CommitError::Refused("refused by the test".into()));
        }
        if self.store.roll(plan.retry_1_in) {
            return Err(CommitError::Retry);
        }
        if self.store.roll(plan.timeout_1_in) {
            return Err(CommitError::TimedOut);
        }
        if self.store.roll(plan.conflict_1_in) {
            return Err(CommitError::Conflict);
        }
        Ok(match () {
            () if self.store.roll(plan.unknown_not_applied_1_in) => Outcome::Lose,
            () if self.store.roll(plan.unknown_applied_1_in) => Outcome::CommitAndHide,
            () => Outcome::Commit,
        })
    }
}

impl Transaction for FaultTransaction {
    fn begin(&mut self, mode: Mode, deadline: Instant) {
        self.inner.begin(mode, deadline);
        self.version = self.store.history.lock().version;
        self.reads = Reads::default();
        self.fetched.clear();
        self.equal_reads = 0;
        (self.ready, self.outcome, self.retries) = (false, None, false);
    }

    fn read(&mut self, f: &mut dyn FnMut(&dyn Snapshot)) {
        self.version = self.store.history.lock().version;
        let asked = RefCell::default();
        let reads = RefCell::default();
        let equal = Cell::new(self.equal_reads);
        let (store, fetched) = (&*self.store, &self.fetched);
        self.inner.read(&mut |inner| {
            let (asked, reads, equal) = (&asked, &reads, &equal);
            let reader = Cell::new(0);
            f(&FaultSnapshot { inner, store, fetched, asked, reads, equal, reader });
        });
        self.asked = asked.into_inner();
        self.equal_reads = equal.get();
        self.reads = reads.into_inner();
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        if self.delays(cx) {
            return Poll::Pending;
        }
        let fetched = std::task::ready!(self.inner.poll_fetch(cx));
        self.retries = fetched == Err(ReadError::Retry);
        self.fetched.extend(std::mem::take(&mut self.asked).into_keys());
        if fetched.is_ok() && self.store.roll(self.store.plan.retry_1_in) {
            return Poll::Ready(Err(ReadError::Retry));
        }
        if fetched.is_ok() && self.store.roll(self.store.plan.timeout_1_in) {
            return Poll::Ready(Err(ReadError::TimedOut));
        }
        Poll::Ready(fetched)
    }

    fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
        sequence: u64,
        mutations: &Mutations,
    ) -> Poll<Result<(), CommitError>> {
        if self.delays(cx) {
            return Poll::Pending;
        }
        let outcome = match self.outcome {
            Some(outcome) => outcome,
            None => match self.decide() {
                Ok(outcome) => outcome,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        self.outcome = Some(outcome);
        let hidden = || Poll::Ready(Err(CommitError::Unknown("hidden by the test".into())));
        if matches!(outcome, Outcome::Lose) {
            return hidden();
        }
        let committed = match self.store.inner.local() {
            Some(local) => self.store.commit_local(local, self.version, &self.reads, mutations),
            None => {
                let committed = std::task::ready!(self.inner.poll_commit(cx, sequence, mutations));
                let again = [Err(CommitError::Conflict), Err(CommitError::Retry)];
                self.retries = again.contains(&committed);
                committed
            }
        };
        match committed {
            Ok(()) if matches!(outcome, Outcome::CommitAndHide) => hidden(),
            committed => Poll::Ready(committed),
        }
    }

    fn take_account(&mut self) -> Account {
        let Account { version, equal_reads } = self.inner.take_account();
        let equal_reads = equal_reads + std::mem::take(&mut self.equal_reads);
        Account { version, equal_reads }
    }

    fn poll_retry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.delays(cx) {
            return Poll::Pending;
        }
        if self.retries {
            std::task::ready!(self.inner.poll_retry(cx));
        }
        self.fetched.clear();
        self.equal_reads = 0;
        (self.ready, self.outcome, self.retries) = (false, None, false);
        Poll::Ready(())
    }
}

struct FaultSnapshot<'a> {
    inner: &'a dyn Snapshot,
    store: &'a FaultStore,
    fetched: &'a HashSet<Vec<u8>>,
    /// Reads that have to be fetched first.
    asked: &'a RefCell<HashMap<Vec<u8>, u64>>,
    reads: &'a RefCell<Reads>,
    equal: &'a Cell<u64>,
    /// Tells those who ask apart.
    reader: Cell<u64>,
}

impl FaultSnapshot<'_> {
    /// Whether this read has to be fetched first.
    fn pends(&self, read: &[u8]) -> bool {
        if self.fetched.contains(read) {
            return false;
        }
        let mut asked = self.asked.borrow_mut();
        let reader = self.reader.get();
        if let Some(last) = asked.get_mut(read) {
            let is_equal = std::mem::replace(last, reader) != reader;
            self.equal.set(self.equal.get() + u64::from(is_equal));
            return true;
        }
        let pends = self.store.roll(self.store.plan.pending_1_in);
        if pends {
            asked.insert(read.to_vec(), reader);
        }
        pends
    }
}

impl Snapshot for FaultSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if self.pends(&[b"g", key].concat()) {
            return Err(ReadError::Pending);
        }
        self.reads.borrow_mut().keys.insert(key.to_vec());
        self.inner.get(key)
    }

    fn get_assumed(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        let equal = self.equal.get();
        let value = self.get(key);
        self.equal.set(equal);
        value
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        let Scan { begin, end, limit, reverse } = scan;
        let shape = format!("s{begin:?} {end:?} {limit} {reverse}");
        self.reads.borrow_mut().ranges.push((begin.to_vec(), end.to_vec()));
        if !self.pends(shape.as_bytes()) {
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

    fn next_reader(&self) {
        self.reader.set(self.reader.get() + 1);
        self.inner.next_reader();
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
