//! One FoundationDB transaction as the store contract wants it.
//!
//! Reads are answered from what this transaction has fetched; what is not there is noted, and
//! [`Transaction::poll_fetch`] asks for all of it together and is woken once. A transaction that only
//! writes and assumes takes no read version: it commits at one that is known already.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use foundationdb::FdbError;
use foundationdb::options::TransactionOption;

use super::FdbStore;
use super::assumed::Records;
use super::error::{self, Kind, TIMED_OUT};
use super::fetch::{Answer, Request, Scratch, UnderWay, request};
use super::raw::{self, Future, Outcome, Waiting};
use super::reads::{Reads, Want};
use super::snapshot::{FdbSnapshot, Used, Wanted};
use crate::clock;
use crate::limits::{ASSUMED_RENEWAL, COMMAND_DEADLINE, FDB_TIMEOUT_SLACK};
use crate::store::{
    Account, CommitError, Mode, Mutation, Mutations, ReadError, Snapshot, Transaction,
    counter_bytes,
};

/// The code of an answer that makes no sense.
const INTERNAL_ERROR: i32 = 4100;

/// See the module.
pub struct FdbTransaction {
    store: Arc<FdbStore>,
    raw: Option<raw::Transaction>,
    condition: Condition,
    mode: Mode,
    deadline: Instant,
    step: Step,
    /// What the store knew of assumed records when the transaction began.
    known: Arc<Records>,
    fetched: Reads<Answer>,
    wanted: RefCell<Wanted>,
    under_way: Vec<UnderWay>,
    version: Option<Future<i64>>,
    /// How long the cluster took to give one, since somebody asked.
    version_took: Duration,
    waiting: Waiting,
    /// Before the requests under way left.
    asked: Instant,
    /// Before the first read left, and with it the request for the version that all reads see.
    version_asked: Instant,
    /// Something was read.
    has_read: bool,
    /// It was read at a version that was known already: right only if the commit finds nothing changed
    /// since.
    is_borrowed: bool,
    /// It may be, at the next attempt.
    borrows: bool,
    /// What [`Transaction::poll_retry`] lets the client library wait for.
    failure: Option<FdbError>,
    /// Conflicts since whoever executes began.
    conflicts: u32,
    /// Holds a key with the store's prefix.
    scratch: Scratch,
}

/// What has to be done before the raw transaction can be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// It has never been used.
    New,
    /// It was used, for what is now over.
    Used,
    /// The client library has reset it after an error; it has kept its time-out.
    Continued,
    /// Nothing.
    Ready,
}

enum Step {
    Idle,
    Fetching,
    Verifying,
    Committing(Future<()>),
    Pausing(Future<()>),
}

impl FdbTransaction {
    /// A transaction that has not begun.
    pub fn new(store: Arc<FdbStore>) -> Self {
        let now = clock::monotonic();
        Self {
            scratch: Scratch::new(&store.prefix),
            store,
            raw: None,
            condition: Condition::New,
            mode: Mode::Read,
            deadline: now,
            step: Step::Idle,
            known: Arc::default(),
            fetched: Reads::default(),
            wanted: RefCell::default(),
            under_way: Vec::new(),
            version: None,
            version_took: Duration::ZERO,
            waiting: Waiting::default(),
            asked: now,
            version_asked: now,
            has_read: false,
            is_borrowed: false,
            borrows: false,
            failure: None,
            conflicts: 0,
        }
    }

    /// Forgets what was read and what was under way; the raw transaction is as it is.
    fn forget(&mut self) {
        self.step = Step::Idle;
        self.under_way.clear();
        self.version = None;
        self.fetched.clear();
        let wanted = self.wanted.get_mut();
        wanted.reads.clear();
        wanted.used.clear();
        wanted.unknown.clear();
        wanted.equal_reads = 0;
        self.version_took = Duration::ZERO;
        self.has_read = false;
        self.is_borrowed = false;
        self.failure = None;
        self.known = self.store.assumed.records();
    }

    /// Begins another attempt.
    fn restart(&mut self) {
        self.forget();
        if self.condition != Condition::New {
            self.condition = Condition::Used;
        }
    }

    /// Makes the raw transaction usable, and notes when what follows is asked.
    fn prepare(&mut self) -> Outcome<()> {
        self.asked = clock::monotonic();
        let left = self.deadline.saturating_duration_since(self.asked);
        if left.is_zero() {
            return Err(FdbError::from_code(TIMED_OUT));
        }
        let raw = match &mut self.raw {
            Some(raw) => raw,
            none => none.insert(self.store.shared.database.transaction()?),
        };
        if self.condition == Condition::Ready {
            return Ok(());
        }
        if self.condition == Condition::Used {
            raw.reset();
        }
        // What was written is looked up by the layer above, never here.
        raw.option(&TransactionOption::ReadYourWritesDisable)?;
        let is_usual = left.abs_diff(COMMAND_DEADLINE) <= FDB_TIMEOUT_SLACK;
        if self.condition != Condition::Continued && !is_usual {
            let left_ms = left.as_millis().clamp(1, i32::MAX as u128) as i32;
            raw.option(&TransactionOption::Timeout(left_ms))?;
        }
        self.condition = Condition::Ready;
        self.store.figures.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Asks for what is wanted, and with `verify` for what was assumed; whether there is anything to
    /// wait for.
    fn ask(&mut self, verify: bool) -> Outcome<bool> {
        let wanted = self.wanted.get_mut();
        if verify {
            for used in wanted.used.iter().filter(|used| !used.is_verified) {
                wanted.reads.insert(&Want::Get(&used.known.key), wanted.reader);
            }
        }
        if wanted.reads.is_empty() {
            return Ok(false);
        }
        self.prepare()?;
        let is_asked_for = self.take_version();
        let (raw, wanted) = (self.raw.as_ref().expect("prepared"), self.wanted.get_mut());
        self.waiting.start();
        let assumed = &self.store.assumed;
        let is_old = |used: &Used| assumed.age(&used.known, self.asked) > ASSUMED_RENEWAL;
        if is_asked_for {
            // Before the reads that wait for it: else it would be told apart only once all have left.
            let version = raw.read_version();
            self.waiting.add_timed(&version);
            self.version = Some(version);
        } else if !wanted.unknown.is_empty() || wanted.used.iter().any(is_old) {
            let version = raw.read_version();
            self.waiting.add(&version);
            self.version = Some(version);
        }
        let snapshot = self.mode == Mode::Read;
        for want in wanted.reads.wants() {
            let request = request(raw, &mut self.scratch, want, snapshot);
            request.wait_in(&self.waiting);
            let at = self.fetched.insert(&want, Answer::UnderWay);
            self.under_way.push(UnderWay { at, request });
        }
        wanted.reads.clear();
        self.waiting.seal();
        self.store.figures.reads.fetch_add(self.under_way.len() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// Decides before the first read at which version it will be: one the cluster gives, or for what is
    /// checked by the commit the newest that is known, which saves asking. Whether the cluster is to give it.
    fn take_version(&mut self) -> bool {
        if std::mem::replace(&mut self.has_read, true) {
            return false;
        }
        let raw = self.raw.as_ref().expect("prepared");
        let lent = self.borrows.then(|| self.store.assumed.lend(self.asked)).flatten();
        if let Some((version, learnt)) = lent {
            raw.set_read_version(version);
            (self.is_borrowed, self.version_asked) = (true, learnt);
        } else {
            self.version_asked = self.asked;
            self.store.figures.read_versions.fetch_add(1, Ordering::Relaxed);
        }
        !self.is_borrowed
    }

    /// Once all that was waited for is ready: notes how long the version took, if it was asked for.
    fn time_version(&mut self) {
        if let Some(then) = self.waiting.timed() {
            self.version_took += then.saturating_duration_since(self.asked);
        }
    }

    /// Ready when all that was asked for has come.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        loop {
            ready!(self.waiting.poll(cx));
            self.time_version();
            match self.collect() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Poll::Ready(Err(self.read_failed(error))),
            }
        }
        let version = match self.version.take().map(Future::<i64>::take).transpose() {
            Ok(version) => version,
            Err(error) => return Poll::Ready(Err(self.read_failed(error))),
        };
        Poll::Ready(self.settle(version))
    }

    /// Keeps what has come and asks for the rest of ranges that are not whole yet; whether there are
    /// such.
    fn collect(&mut self) -> Outcome<bool> {
        let mut rest = Vec::new();
        for UnderWay { at, request } in self.under_way.drain(..) {
            match request {
                Request::Value(future) => *self.fetched.at(at) = Answer::Value(future.take()?),
                Request::Rows(future) => {
                    let rows = future.take()?;
                    let is_cut_short = rows.more;
                    if is_cut_short && rows.len() == 0 {
                        return Err(FdbError::from_code(INTERNAL_ERROR));
                    }
                    match self.fetched.at(at) {
                        Answer::Rows(all) => all.push(rows),
                        answer => *answer = Answer::Rows(vec![rows]),
                    }
                    if is_cut_short {
                        rest.push(at);
                    }
                }
            }
        }
        let raw = self.raw.as_ref().expect("it was asked");
        let snapshot = self.mode == Mode::Read;
        self.waiting.start();
        for at in rest {
            if let Some(future) = self.fetched.rest(at, raw, &mut self.scratch, snapshot) {
                self.waiting.add(&future);
                self.under_way.push(UnderWay { at, request: Request::Rows(future) });
            }
        }
        self.waiting.seal();
        Ok(!self.under_way.is_empty())
    }

    /// Compares what was assumed with what has come, and remembers the latter.
    fn settle(&mut self, version: Option<i64>) -> Result<(), ReadError> {
        let assumed = &self.store.assumed;
        let wanted = self.wanted.get_mut();
        if let Some(version) = version {
            assumed.saw(version, self.version_asked);
        }
        for key in wanted.unknown.drain(..) {
            if let (Some(value), Some(version)) = (self.fetched.value(&key), version) {
                assumed.learn(&key, value, version, self.version_asked);
            }
        }
        let mut is_wrong = false;
        for used in wanted.used.iter_mut().filter(|used| !used.is_verified) {
            let known = &used.known;
            let Some(value) = self.fetched.value(&known.key) else { continue };
            used.is_verified = value == known.value.as_deref();
            is_wrong |= !used.is_verified;
            match version {
                Some(version) if used.is_verified => {
                    assumed.confirm(known, version, self.version_asked)
                }
                Some(version) => assumed.learn(&known.key, value, version, self.version_asked),
                None if used.is_verified => {}
                None => assumed.forget(known),
            }
        }
        if is_wrong {
            self.store.figures.wrong_assumptions.fetch_add(1, Ordering::Relaxed);
            // A lent version may be older than what is known; then it would be wrong once more.
            self.borrows = false;
            return Err(ReadError::Retry);
        }
        Ok(())
    }

    fn read_failed(&mut self, failure: FdbError) -> ReadError {
        self.under_way.clear();
        self.version = None;
        self.fetched.clear();
        if error::kind(failure.code()) == Kind::TooOld && self.is_borrowed {
            // As for a commit: what was seen before a recovery is too old to read at, too.
            self.borrows = false;
            self.store.assumed.forget_versions();
        }
        self.note(failure);
        error::read_error(failure)
    }

    /// Counts a failure, and remembers it if the client library should pace the next attempt.
    fn note(&mut self, failure: FdbError) {
        let kind = error::kind(failure.code());
        self.store.figures.count(kind);
        // The first conflict is a chance meeting, and the pause would be longer than an attempt.
        let backs_off = match kind {
            Kind::Conflict => {
                self.conflicts += 1;
                self.conflicts > 1
            }
            kind => error::backs_off(kind),
        };
        self.failure = backs_off.then_some(failure);
    }

    /// Sends the commit.
    fn send(&mut self, mutations: &Mutations) -> Outcome<Future<()>> {
        self.prepare()?;
        let (raw, wanted) = (self.raw.as_ref().expect("prepared"), self.wanted.get_mut());
        self.waiting.start();
        if !self.has_read {
            // Only the assumptions need a version: the one from which on the cluster checks that
            // they still hold.
            let oldest = wanted.used.iter().map(|used| used.known.version()).min();
            match oldest.or_else(|| self.store.assumed.newest(self.asked)) {
                Some(version) => raw.set_read_version(version),
                None => {
                    let version = raw.read_version();
                    self.waiting.add_timed(&version);
                    self.version = Some(version);
                    self.store.figures.read_versions.fetch_add(1, Ordering::Relaxed);
                }
            }
            for used in &wanted.used {
                let (begin, end) = self.scratch.keys(&used.known.key, &used.known.key);
                // The key alone: what follows it first is itself and a zero.
                let end = [end, &[0]].concat();
                raw.add_read_conflict(begin, &end)?;
            }
        }
        for mutation in mutations.iter() {
            match mutation {
                Mutation::Set { key, value } => raw.set(self.scratch.key(key), value),
                Mutation::Clear { key } => raw.clear(self.scratch.key(key)),
                Mutation::Add { key, by } => raw.add(self.scratch.key(key), &counter_bytes(by)),
            }
        }
        let commit = raw.commit();
        self.waiting.add(&commit);
        self.waiting.seal();
        Ok(commit)
    }

    /// The commit's outcome, and what it says about assumed records.
    fn finish(&mut self, outcome: Outcome<()>, mutations: &Mutations) -> Result<(), CommitError> {
        let failure = match outcome {
            Ok(()) => {
                self.committed(mutations);
                return Ok(());
            }
            Err(failure) => failure,
        };
        let assumed = &self.store.assumed;
        match error::kind(failure.code()) {
            kind @ (Kind::Conflict | Kind::TooOld) => {
                if std::mem::take(&mut self.borrows) && self.is_borrowed {
                    assumed.lent_in_vain(self.asked);
                }
                self.wanted.get_mut().used.iter().for_each(|used| assumed.forget(&used.known));
                if kind == Kind::TooOld {
                    // After a recovery the cluster's versions have leapt: those seen are too old.
                    assumed.forget_versions();
                }
            }
            Kind::Unknown | Kind::TimedOut | Kind::Other => assumed.forget_written(mutations),
            _ => {}
        }
        self.note(failure);
        Err(error::commit_error(failure))
    }

    fn committed(&mut self, mutations: &Mutations) {
        self.store.figures.commits.fetch_add(1, Ordering::Relaxed);
        let raw = self.raw.as_ref().expect("it was committed");
        let Some(version) = raw.committed_version().ok().filter(|version| *version > 0) else {
            return;
        };
        let assumed = &self.store.assumed;
        assumed.saw(version, self.asked);
        // The commit has proved what it assumed for all versions before its own. That one it shares
        // with other transactions, some of which may come after it.
        for used in &self.wanted.get_mut().used {
            assumed.confirm(&used.known, version - 1, self.asked);
        }
        assumed.forget_written(mutations);
    }

    fn is_closed(&self) -> bool {
        self.store.shared.closed.load(Ordering::Relaxed)
    }
}

impl Transaction for FdbTransaction {
    fn begin(&mut self, mode: Mode, deadline: Instant) {
        self.restart();
        (self.mode, self.deadline) = (mode, deadline);
        self.conflicts = 0;
        self.borrows = mode == Mode::Write;
    }

    fn read(&mut self, f: &mut dyn FnMut(&dyn Snapshot)) {
        f(&FdbSnapshot {
            store: &self.store,
            known: &self.known,
            fetched: &self.fetched,
            wanted: &self.wanted,
            now: clock::monotonic(),
        });
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        if !matches!(self.step, Step::Fetching) {
            if self.wanted.get_mut().reads.is_empty() {
                // What was read so far is to stand, with no commit to check it.
                self.borrows = false;
                if self.is_borrowed {
                    return Poll::Ready(Err(ReadError::Retry));
                }
            }
            match self.ask(true) {
                Ok(false) => return Poll::Ready(Ok(())),
                Ok(true) => self.step = Step::Fetching,
                Err(error) => return Poll::Ready(Err(self.read_failed(error))),
            }
        }
        let answered = ready!(self.poll_answers(cx));
        self.step = Step::Idle;
        Poll::Ready(answered)
    }

    fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
        _sequence: u64,
        mutations: &Mutations,
    ) -> Poll<Result<(), CommitError>> {
        debug_assert!(self.mode == Mode::Write, "reads were not checked for conflicts");
        if matches!(self.step, Step::Idle | Step::Fetching) {
            if self.is_closed() {
                return Poll::Ready(Err(CommitError::Refused("the store is closed".to_owned())));
            }
            if mutations.is_empty() && self.is_borrowed {
                self.borrows = false;
                return Poll::Ready(Err(CommitError::Retry));
            }
            // What was wanted and never fetched does not matter any more.
            self.wanted.get_mut().reads.clear();
            self.wanted.get_mut().unknown.clear();
            // What was assumed is compared if there is a read version to compare it at, and if the
            // commit checks nothing as there are no mutations. Otherwise the commit makes sure of it.
            match self.ask(self.has_read || mutations.is_empty()) {
                Ok(_) => self.step = Step::Verifying,
                Err(failure) => return Poll::Ready(self.finish(Err(failure), mutations)),
            }
        }
        if let Step::Verifying = self.step {
            if !self.under_way.is_empty() {
                let verified = ready!(self.poll_answers(cx));
                if let Err(error) = verified {
                    self.step = Step::Idle;
                    return Poll::Ready(Err(not_committed(error)));
                }
            }
            if mutations.is_empty() {
                self.step = Step::Idle;
                return Poll::Ready(Ok(()));
            }
            match self.send(mutations) {
                Ok(commit) => self.step = Step::Committing(commit),
                Err(failure) => {
                    self.step = Step::Idle;
                    return Poll::Ready(self.finish(Err(failure), mutations));
                }
            }
        }
        ready!(self.waiting.poll(cx));
        self.time_version();
        self.version = None;
        let Step::Committing(commit) = std::mem::replace(&mut self.step, Step::Idle) else {
            unreachable!("begun anew between two calls for one commit");
        };
        Poll::Ready(self.finish(commit.take(), mutations))
    }

    fn take_account(&mut self) -> Account {
        Account {
            version: std::mem::take(&mut self.version_took),
            equal_reads: std::mem::take(&mut self.wanted.get_mut().equal_reads),
        }
    }

    fn poll_retry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.step, Step::Pausing(_)) {
            let (Some(failure), Some(raw)) = (self.failure.take(), &self.raw) else {
                self.restart();
                return Poll::Ready(());
            };
            let pause = raw.on_error(failure);
            self.waiting.start();
            self.waiting.add(&pause);
            self.waiting.seal();
            self.step = Step::Pausing(pause);
        }
        ready!(self.waiting.poll(cx));
        let Step::Pausing(pause) = std::mem::replace(&mut self.step, Step::Idle) else {
            unreachable!("begun anew between two calls for one pause");
        };
        let is_continued = pause.take().is_ok();
        self.restart();
        if is_continued {
            self.condition = Condition::Continued;
        }
        Poll::Ready(())
    }
}

/// What a failed read before the commit means for it.
fn not_committed(error: ReadError) -> CommitError {
    match error {
        ReadError::Retry | ReadError::Pending => CommitError::Retry,
        ReadError::TimedOut => CommitError::TimedOut,
        ReadError::Failed(cause) => CommitError::Refused(cause),
    }
}
