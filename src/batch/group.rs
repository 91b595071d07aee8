//! Executes one write group: reads, writes and one commit for many batches.
//!
//! A group is executed again from its start when a read was pending or the commit conflicted; replies
//! leave only after the commit. A commit whose outcome is unknown is resolved through the commit
//! marker before anything else happens.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::clock;
use crate::command::Server;
use crate::data::background::{self, Chore};
use crate::data::{Moment, Overlay, View, keys};
use crate::error::Stop;
use crate::limits::{COMMAND_DEADLINE_MS, CONFLICTS_BEFORE_SPLIT, GROUP_REPLY_BYTES};
use crate::metrics::GroupTimes;
use crate::store::{CommitError, ReadError, Store};

use super::Batch;
use super::run::{Budget, Ended, Run};

/// How large a group may grow.
#[derive(Debug, Clone, Copy)]
pub struct GroupCaps {
    /// Commands in one group at most.
    pub commands_max: usize,
    /// Bytes of mutations at which a group is full.
    pub bytes_max: usize,
}

/// Background work done inside a write group.
#[derive(Debug)]
pub struct Chores {
    /// What to look at.
    pub chores: Vec<Chore>,
    /// Told how many keys were removed, once that is durable; dropped if it could not be done.
    pub done: Sender<usize>,
}

/// A member of a group.
#[derive(Debug)]
pub(super) enum Item {
    Batch(Box<Batch>),
    /// With the number of keys removed, once it is done.
    Chores(Chores, Option<usize>),
}

impl Item {
    fn save(&mut self) {
        if let Item::Batch(batch) = self {
            batch.save();
        }
    }

    fn restore(&mut self) {
        if let Item::Batch(batch) = self {
            batch.restore();
        }
    }

    /// Commands this still adds to a group.
    pub(super) fn commands(&self) -> usize {
        match self {
            Item::Batch(batch) => batch.remaining(),
            Item::Chores(chores, _) => chores.chores.len(),
        }
    }
}

/// The writer role's state: whoever has it may execute groups.
pub(super) struct Executor {
    store: Arc<dyn Store>,
    server: Arc<Server>,
    overlay: Overlay,
    caps: GroupCaps,
    sequence: u64,
    last_now_ms: u64,
    /// Tells this process's commit markers from those of others.
    writer_id: u64,
    /// What the present group spent its time on; measured for the metrics only.
    times: GroupTimes,
}

/// How an attempt to execute a group ended.
enum Attempt {
    /// Committed, or there was nothing to commit.
    Done,
    /// Nothing was written; execute again.
    Again,
    /// Nothing was written and it will not be; the error reply for writes.
    Refused(String),
}

impl Executor {
    pub(super) fn new(server: Arc<Server>, caps: GroupCaps) -> Executor {
        let store = Arc::clone(&server.store);
        Executor {
            sequence: store.sequence(),
            store,
            server,
            overlay: Overlay::default(),
            caps,
            last_now_ms: 0,
            writer_id: keys::hash64(&clock::unix_us().to_be_bytes()),
            times: GroupTimes::default(),
        }
    }

    pub(super) fn caps(&self) -> GroupCaps {
        self.caps
    }

    /// Executes `items` as one group, or as several after repeated conflicts. Batches that did not
    /// fit come back with ops left to do.
    pub(super) fn execute(&mut self, items: &mut [Item]) {
        let deadline_ms = clock::unix_ms() + COMMAND_DEADLINE_MS;
        let waiting: usize = items.iter().map(Item::commands).sum();
        self.times = GroupTimes::default();
        self.execute_until(items, deadline_ms);
        let mut left = 0;
        for item in &*items {
            match item {
                Item::Batch(batch) => left += batch.remaining(),
                Item::Chores(_, removed) => self.server.stats.keys_expired(removed.unwrap_or(0)),
            }
        }
        if let Some(metrics) = self.server.stats.metrics() {
            metrics.group(waiting - left, self.times);
        }
    }

    /// The time, if anybody wants to know how long what follows takes.
    fn now(&self) -> Option<Instant> {
        self.server.stats.metrics().map(|_| clock::monotonic())
    }

    fn execute_until(&mut self, items: &mut [Item], deadline_ms: u64) {
        // Also on a store that executes once: a refused commit is answered by a second run.
        items.iter_mut().for_each(Item::save);
        let mut conflicts = 0;
        loop {
            match self.attempt(items) {
                Attempt::Done => return,
                Attempt::Refused(reply) => return self.refuse(items, &reply),
                Attempt::Again => items.iter_mut().for_each(Item::restore),
            }
            conflicts += 1;
            if clock::unix_ms() > deadline_ms {
                let reply = "TIMEOUT the store kept conflicting with other writers; try again";
                return self.refuse(items, reply);
            }
            if conflicts >= CONFLICTS_BEFORE_SPLIT && items.len() > 1 {
                let (left, right) = items.split_at_mut(items.len() / 2);
                self.execute_until(left, deadline_ms);
                return self.execute_until(right, deadline_ms);
            }
        }
    }

    /// Executes the group once and commits it.
    fn attempt(&mut self, items: &mut [Item]) -> Attempt {
        let (started, fetching) = (self.now(), self.times.reads);
        let ran = self.run(items, None);
        let fetching = self.times.reads - fetching;
        self.times.execution += elapsed(started).saturating_sub(fetching);
        if !ran {
            return Attempt::Refused("ERR a record of the store cannot be read".to_owned());
        }
        if self.overlay.is_empty() {
            return Attempt::Done;
        }
        let sequence = self.sequence;
        let started = self.now();
        let committed = self.store.commit(sequence, self.overlay.mutations());
        self.times.commit += elapsed(started);
        match committed {
            Ok(()) => Attempt::Done,
            Err(CommitError::Conflict) => Attempt::Again,
            Err(CommitError::Refused(cause)) => Attempt::Refused(misconf(&cause)),
            Err(CommitError::Unknown(cause)) => match self.is_marked(sequence) {
                Ok(true) => Attempt::Done,
                Ok(false) => Attempt::Again,
                Err(_) => Attempt::Refused(format!(
                    "ERR it is not known whether the write was stored: {cause}"
                )),
            },
        }
    }

    /// Runs all items against one snapshot until no read is pending; whether that succeeded.
    fn run(&mut self, items: &mut [Item], refusal: Option<&str>) -> bool {
        let moment = self.moment();
        let mut outcome = Ok(());
        loop {
            self.overlay.reset();
            let Executor { store, server, overlay, caps, writer_id, .. } = self;
            store.read(&mut |snapshot| {
                let mut view = View::new(snapshot, overlay, moment);
                let budget = Budget { commands: caps.commands_max, bytes: caps.bytes_max };
                let mut run = Run { view: &mut view, server, budget, refusal, quiet: false };
                outcome = run_items(&mut run, items);
                if outcome.is_ok() {
                    outcome = view.finish();
                }
                if store.outcome_can_be_unknown() {
                    let marker = keys::commit_marker(*writer_id, 0);
                    view.set(&marker, &[&moment.sequence.to_be_bytes()]);
                }
            });
            if outcome != Err(Stop::Pending) {
                return outcome.is_ok();
            }
            items.iter_mut().for_each(Item::restore);
            let started = self.now();
            self.store.fetch();
            self.times.reads += elapsed(started);
        }
    }

    /// Answers every write of the group with an error; reads are answered from the store.
    fn refuse(&mut self, items: &mut [Item], reply: &str) {
        items.iter_mut().for_each(Item::restore);
        self.run(items, Some(reply));
    }

    fn moment(&mut self) -> Moment {
        // Every execution has a number of its own, so that no stamp is given twice, even one that
        // only `WATCH` has seen.
        self.sequence += 1;
        // Time does not run backwards from one group to the next.
        self.last_now_ms = self.last_now_ms.max(clock::unix_ms());
        Moment {
            now_ms: self.last_now_ms,
            sequence: self.sequence,
            seed: keys::hash64(&clock::unix_us().to_be_bytes()) ^ self.sequence,
            value_bytes_max: self.server.config.request_bytes_max,
            order: 0,
            watched: self.server.is_watched(),
        }
    }

    /// Whether the commit with this sequence has been written.
    fn is_marked(&self, sequence: u64) -> Result<bool, ReadError> {
        let key = keys::commit_marker(self.writer_id, 0);
        loop {
            let mut found = Ok(None);
            self.store.read(&mut |snapshot| {
                found = snapshot.get(&key).map(|value| value.map(|value| keys::be_u64(&value)));
            });
            match found {
                Ok(marker) => return Ok(marker == Some(sequence)),
                Err(ReadError::Pending) => self.store.fetch(),
                Err(failed) => return Err(failed),
            }
        }
    }
}

/// Runs every item in order. A pending one does not keep the others from saying what they need.
fn run_items(run: &mut Run<'_, '_>, items: &mut [Item]) -> Result<(), Stop> {
    let (mut pending, mut full) = (false, false);
    let mut reply_bytes = 0;
    for item in items {
        match item {
            // Its turn comes in the next group.
            Item::Batch(_) if full => {}
            Item::Batch(batch) => {
                let input = std::mem::take(&mut batch.input);
                let ended = run.batch(batch, &input);
                batch.input = input;
                pending |= ended == Ended::Pending;
                reply_bytes += batch.reply.len();
                full |= ended == Ended::GroupFull || reply_bytes > GROUP_REPLY_BYTES;
            }
            Item::Chores(_, removed) if run.refusal.is_some() => *removed = None,
            Item::Chores(chores, removed) => {
                let mut count = 0;
                for chore in &chores.chores {
                    let mark = run.view.mark();
                    match background::step(run.view, chore) {
                        Ok(was_key) => count += usize::from(was_key),
                        Err(Stop::Pending) => pending = true,
                        Err(stop) => {
                            // A record that cannot be read concerns nobody else in the group.
                            tracing::warn!(?stop, ?chore, "background work leaves a record alone");
                            run.view.rollback(mark);
                        }
                    }
                }
                *removed = Some(count);
            }
        }
    }
    if pending { Err(Stop::Pending) } else { Ok(()) }
}

fn elapsed(started: Option<Instant>) -> Duration {
    started.map_or(Duration::ZERO, |started| clock::monotonic().duration_since(started))
}

/// Redis's reply to writes it could not make durable.
fn misconf(cause: &str) -> String {
    format!("MISCONF Errors writing to the AOF file: {cause}")
}
