//! One group on its way through a store across a network: executed, fetched for, committed, and
//! executed again where that is what the store's answer means.
//!
//! ```text
//! execute -> (fetch -> execute)* -> settle          nothing was written
//!                                -> commit -> done
//!                                          -> resolve -> done | execute    outcome unknown
//!                                          -> retry -> execute | split     conflict
//! ```
//!
//! An execution is only worth its replies once the store has confirmed everything it was based on;
//! until then it is undone and repeated as often as need be, within the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::clock;
use crate::command::Server;
use crate::data::{Moment, Overlay, keys, members};
use crate::error::{self, Stop};
use crate::limits::CONFLICTS_BEFORE_SPLIT;
use crate::metrics::{Stage, Times};
use crate::store::{
    Account, CommitError, Mode, ReadError, Scan, Snapshot, Transaction, Value, Visitor,
};

use super::group::{Execution, Frame, Item};
use super::trace;

/// See the module. Reused from group to group.
pub(super) struct Flight {
    mode: Mode,
    transaction: Box<dyn Transaction>,
    overlay: Overlay,
    pub items: Vec<Item>,
    /// When each of them arrived.
    pub since: Vec<Instant>,
    /// Hashes of the keys that nobody else in this process should be changing meanwhile.
    pub footprint: Vec<u64>,
    /// Tells this flight's commit markers from those of others of this process.
    slot: u16,
    /// A commit was given up that may still take place, and would then write the marker of its slot.
    pub leaves_slot: bool,
    /// Tells this process's commit markers from those of other processes.
    process: u64,
    step: Step,
    /// Of the present attempt.
    moment: Option<Moment>,
    pub launched: Instant,
    pub deadline: Instant,
    conflicts: u32,
    /// It is empty and has read nothing.
    rests: bool,
    /// Where the last stage that was measured ended.
    step_began: Instant,
    pub times: Times,
    /// Of the present attempt, see [`Account::equal_reads`].
    pub equal_reads: u64,
    /// From launch to landing.
    pub span: tracing::Span,
}

enum Step {
    Execute,
    /// Then execute again.
    Fetch,
    /// Make sure of what was assumed; then the replies may go.
    Settle,
    Commit,
    /// Find out whether the commit took place.
    Resolve,
    ResolveFetch,
    ResolveRetry,
    /// Wait until another attempt makes sense.
    Retry,
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    /// Its items are answered, as far as they fitted.
    Done,
    /// It keeps conflicting: those of its items that have nothing in common should be tried apart.
    Contended,
    /// It is more than one transaction can hold: its items should be tried in smaller groups.
    TooLarge,
}

impl Flight {
    pub(super) fn new(server: &Server, mode: Mode, slot: u16) -> Flight {
        let now = clock::monotonic();
        Flight {
            mode,
            transaction: Arc::clone(&server.store).transaction(),
            overlay: Overlay::default(),
            items: Vec::new(),
            since: Vec::new(),
            footprint: Vec::new(),
            slot,
            leaves_slot: false,
            process: server.process,
            step: Step::Execute,
            moment: None,
            launched: now,
            deadline: now,
            conflicts: 0,
            rests: true,
            step_began: now,
            times: Times::default(),
            equal_reads: 0,
            span: tracing::Span::none(),
        }
    }

    /// Goes on with another slot, which no commit that is still under way writes to.
    pub(super) fn change_slot(&mut self, slot: u16) {
        self.slot = slot;
        self.leaves_slot = false;
    }

    /// Tells its commit markers apart.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }

    /// Begins with the items it has been given.
    pub(super) fn launch(&mut self, deadline: Instant) {
        self.span = trace::begin(self.mode);
        self.items.iter_mut().for_each(Item::save);
        self.transaction.begin(self.mode, deadline);
        self.deadline = deadline;
        self.rests = false;
        self.step = Step::Execute;
        self.conflicts = 0;
        self.moment = None;
        self.launched = clock::monotonic();
        self.step_began = self.launched;
        self.times = Times::default();
        self.equal_reads = 0;
    }

    /// Lets go of what it has read, once nobody waits for it any more: it may be long until the next group.
    pub(super) fn rest(&mut self) {
        if !std::mem::replace(&mut self.rests, true) {
            self.transaction.begin(self.mode, self.deadline);
        }
    }

    /// Goes on as far as it can.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, frame: &mut Frame) -> Poll<Landed> {
        loop {
            self.step = match &self.step {
                Step::Execute => match self.execute(frame) {
                    Err(Stop::Pending) => Step::Fetch,
                    Err(stop) => return self.give_up(frame, &Unanswered::from(stop)),
                    Ok(()) if self.overlay.is_empty() => Step::Settle,
                    Ok(()) => Step::Commit,
                },
                Step::Fetch => match ready!(self.poll_fetch(cx)) {
                    Ok(()) => self.again(),
                    Err(ReadError::Retry) => Step::Retry,
                    Err(error) => return self.give_up(frame, &Unanswered::from(error)),
                },
                Step::Settle => match ready!(self.poll_fetch(cx)) {
                    Ok(()) => return Poll::Ready(Landed::Done),
                    Err(ReadError::Retry) => Step::Retry,
                    Err(error) => return self.give_up(frame, &Unanswered::from(error)),
                },
                Step::Commit => match ready!(self.poll_commit(cx)) {
                    Ok(()) => return Poll::Ready(Landed::Done),
                    Err(error) => match self.not_committed(frame, error) {
                        Ok(step) => step,
                        Err(landed) => return Poll::Ready(landed),
                    },
                },
                Step::Resolve => match self.look_up() {
                    Ok(true) => {
                        self.lap(Stage::Retry);
                        tracing::debug!(parent: &self.span, "the commit took place");
                        count(&frame.server.stats.groups.unknown_committed);
                        return Poll::Ready(Landed::Done);
                    }
                    Ok(false) => {
                        self.lap(Stage::Retry);
                        tracing::debug!(parent: &self.span, "the commit did not take place");
                        count(&frame.server.stats.groups.unknown_not_committed);
                        self.transaction.begin(self.mode, self.deadline);
                        self.repeat()
                    }
                    Err(ReadError::Pending) => Step::ResolveFetch,
                    Err(_) => return self.never_known(frame),
                },
                Step::ResolveFetch => match ready!(self.transaction.poll_fetch(cx)) {
                    Ok(()) => Step::Resolve,
                    Err(ReadError::Retry) => Step::ResolveRetry,
                    Err(_) => return self.never_known(frame),
                },
                Step::ResolveRetry => {
                    ready!(self.transaction.poll_retry(cx));
                    Step::Resolve
                }
                Step::Retry => {
                    ready!(self.transaction.poll_retry(cx));
                    self.lap(Stage::Retry);
                    count(&frame.server.stats.groups.retries);
                    if clock::monotonic() >= self.deadline {
                        return self.give_up(frame, &Unanswered::from(ReadError::TimedOut));
                    }
                    if self.conflicts >= CONFLICTS_BEFORE_SPLIT && self.items.len() > 1 {
                        self.items.iter_mut().for_each(Item::restore);
                        return Poll::Ready(Landed::Contended);
                    }
                    self.repeat()
                }
            };
        }
    }

    /// Executes once more in the same attempt.
    fn again(&mut self) -> Step {
        self.items.iter_mut().for_each(Item::restore);
        Step::Execute
    }

    /// Begins another attempt.
    fn repeat(&mut self) -> Step {
        tracing::debug!(parent: &self.span, "another attempt");
        self.moment = None;
        self.equal_reads = 0;
        self.again()
    }

    /// Runs the group once; afterwards the overlay has everything that is to be committed.
    ///
    /// After a fetch it is the same moment still: what is chosen at random is what was fetched.
    fn execute(&mut self, frame: &mut Frame) -> Result<(), Stop> {
        let moment = match self.moment {
            Some(moment) => moment,
            None => *self.moment.insert(frame.moment(frame.server.store.next_sequence())),
        };
        let outcome = self.run(frame, moment);
        if outcome.is_ok() && !self.overlay.is_empty() {
            let marker = keys::commit_marker(self.process, self.slot);
            self.overlay.set(&marker, &[&moment.sequence.to_be_bytes()], 0);
        }
        self.lap(Stage::Execution);
        outcome
    }

    fn run(&mut self, frame: &Frame, moment: Moment) -> Result<(), Stop> {
        let Flight { overlay, items, transaction, .. } = self;
        let mut execution = Execution { moment, overlay, items, refusal: None };
        let mut outcome = Ok(());
        transaction.read(&mut |snapshot| outcome = frame.execute(snapshot, &mut execution));
        outcome
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let fetched = ready!(self.transaction.poll_fetch(cx));
        self.lap_of_store(Stage::Reads);
        Poll::Ready(fetched)
    }

    fn poll_commit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CommitError>> {
        let mutations = self.overlay.mutations();
        let committed = ready!(self.transaction.poll_commit(cx, self.sequence(), mutations));
        self.lap_of_store(Stage::Commit);
        Poll::Ready(committed)
    }

    /// Tells this attempt from all others.
    fn sequence(&self) -> u64 {
        self.moment.map_or(0, |moment| moment.sequence)
    }

    /// A stage ends, and the next one begins.
    fn lap(&mut self, stage: Stage) {
        let took = self.since_step_began();
        self.times.spend(stage, took);
    }

    /// A stage ends that began, perhaps, with waiting for a version.
    fn lap_of_store(&mut self, stage: Stage) {
        let Account { version, equal_reads } = self.transaction.take_account();
        let took = self.since_step_began();
        let version = version.min(took);
        self.times.spend(Stage::ReadVersion, version);
        self.times.spend(stage, took - version);
        self.equal_reads += equal_reads;
    }

    fn since_step_began(&mut self) -> Duration {
        let now = clock::monotonic();
        let began = std::mem::replace(&mut self.step_began, now);
        now.saturating_duration_since(began)
    }

    /// What to do after a commit that did not succeed.
    fn not_committed(&mut self, frame: &mut Frame, error: CommitError) -> Result<Step, Landed> {
        let reply = match error {
            CommitError::Conflict => {
                self.conflicts += 1;
                let conflicts = self.conflicts;
                tracing::debug!(parent: &self.span, conflicts, "the commit conflicted");
                count(&frame.server.stats.groups.conflicts);
                return Ok(Step::Retry);
            }
            CommitError::Retry => return Ok(Step::Retry),
            CommitError::Unknown(cause) => {
                tracing::debug!(parent: &self.span, %cause, "looking up how a commit ended");
                self.transaction.begin(Mode::Read, self.deadline);
                return Ok(Step::Resolve);
            }
            CommitError::TooLarge if self.items.len() > 1 => {
                self.items.iter_mut().for_each(Item::restore);
                return Err(Landed::TooLarge);
            }
            CommitError::TooLarge => Unanswered::too_large(),
            CommitError::TimedOut => {
                count(&frame.server.stats.groups.unknown_unresolved);
                self.leaves_slot = true;
                Unanswered::unconfirmed()
            }
            CommitError::Refused(cause) => Unanswered::refused(&cause),
        };
        self.answer(frame, &reply);
        Err(Landed::Done)
    }

    /// Whether the commit took place.
    fn look_up(&mut self) -> Result<bool, ReadError> {
        let marker = keys::commit_marker(self.process, self.slot);
        let process = keys::process(self.process);
        let mut found = Err(ReadError::Pending);
        self.transaction.read(&mut |snapshot| {
            let here = snapshot.get(&process);
            found = snapshot.get(&marker).and_then(|marker| {
                let newest = marker.map(|sequence| keys::be_u64(&sequence));
                let is_here = here?.is_some_and(|beat| keys::be_u64(&beat) != members::GONE);
                Ok((newest, is_here))
            });
        });
        match found? {
            (newest, _) if newest == Some(self.sequence()) => Ok(true),
            (_, true) => Ok(false),
            // Others took this process for gone and removed what could have told.
            (_, false) => Err(ReadError::TimedOut),
        }
    }

    /// Gives up finding out how a commit ended.
    fn never_known(&mut self, frame: &mut Frame) -> Poll<Landed> {
        tracing::debug!(parent: &self.span, "it stays unknown how the commit ended");
        count(&frame.server.stats.groups.unknown_unresolved);
        self.lap(Stage::Retry);
        self.give_up(frame, &Unanswered::unconfirmed())
    }

    fn give_up(&mut self, frame: &mut Frame, reply: &Unanswered) -> Poll<Landed> {
        self.answer(frame, reply);
        Poll::Ready(Landed::Done)
    }

    /// Bytes that it has written, or would have.
    pub(super) fn written_bytes(&self) -> usize {
        self.overlay.mutations().payload_bytes()
    }

    /// Answers everything that needs the store with an error, and the rest as usual.
    fn answer(&mut self, frame: &mut Frame, reply: &Unanswered) {
        tracing::debug!(parent: &self.span, reply = reply.write, "the group is given up");
        if reply.read == ReadError::TimedOut {
            count(&frame.server.stats.groups.timeouts);
        }
        if reply.may_have_happened {
            // Whoever was served has to know: what it was to get may be gone. The others wait on.
            frame.park_again(&mut self.items);
        }
        self.items.iter_mut().for_each(Item::restore);
        if !reply.may_have_happened {
            frame.park_again(&mut self.items);
        }
        let moment = frame.moment(self.sequence());
        let Flight { overlay, items, .. } = self;
        let refusal = Some(reply.write.as_str());
        let mut execution = Execution { moment, overlay, items, refusal };
        let ran = frame.execute(reply, &mut execution);
        debug_assert!(ran.is_ok(), "nothing is pending without a store: {ran:?}");
        self.lap(Stage::Execution);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Stands in for a store that gave no answer: every read fails, and every write too.
struct Unanswered {
    read: ReadError,
    write: String,
    /// What the group did may have been committed.
    may_have_happened: bool,
}

impl Unanswered {
    fn unconfirmed() -> Unanswered {
        let write = error::UNCONFIRMED.to_owned();
        Unanswered { read: ReadError::TimedOut, write, may_have_happened: true }
    }

    fn too_large() -> Unanswered {
        let write = error::TRANSACTION_TOO_LARGE.to_owned();
        let read = ReadError::Failed("a command that came with it is too large".to_owned());
        Unanswered { read, write, may_have_happened: false }
    }

    fn refused(cause: &str) -> Unanswered {
        let write = format!("ERR the store refuses writes: {cause}");
        Unanswered { read: ReadError::Failed(cause.to_owned()), write, may_have_happened: false }
    }
}

impl From<ReadError> for Unanswered {
    fn from(read: ReadError) -> Unanswered {
        let write = match &read {
            ReadError::Failed(cause) => format!("ERR cannot read the store: {cause}"),
            _ => error::TIMED_OUT.to_owned(),
        };
        Unanswered { read, write, may_have_happened: false }
    }
}

impl From<Stop> for Unanswered {
    fn from(stop: Stop) -> Unanswered {
        match stop {
            Stop::Failed(cause) => ReadError::Failed(cause).into(),
            other => ReadError::Failed(format!("{other:?}")).into(),
        }
    }
}

impl Snapshot for Unanswered {
    fn get(&self, _: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        Err(self.read.clone())
    }

    fn scan(&self, _: Scan<'_>, _: &mut Visitor<'_>) -> Result<(), ReadError> {
        Err(self.read.clone())
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}
