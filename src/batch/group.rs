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
use crate::limits::{
    COMMAND_DEADLINE_MS, CONFLICT_PAUSE_MAX, CONFLICT_PAUSE_MIN, CONFLICTS_BEFORE_SPLIT,
    GROUP_REPLY_BYTES,
};
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
        self.execute_until(items, deadline_ms, 0);
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

    /// `conflicts_before` is how often a larger group with these items has conflicted.
    fn execute_until(&mut self, items: &mut [Item], deadline_ms: u64, conflicts_before: u32) {
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
            let left_ms = deadline_ms.saturating_sub(clock::unix_ms());
            if left_ms == 0 {
                let reply = "TIMEOUT the store kept conflicting with other writers; try again";
                return self.refuse(items, reply);
            }
            let all = conflicts_before + conflicts;
            let pause = conflict_pause(all, self.writer_id ^ self.sequence);
            std::thread::sleep(pause.min(Duration::from_millis(left_ms)));
            if conflicts >= CONFLICTS_BEFORE_SPLIT && items.len() > 1 {
                let (left, right) = items.split_at_mut(items.len() / 2);
                self.execute_until(left, deadline_ms, all);
                return self.execute_until(right, deadline_ms, all);
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

/// How long to wait after so many conflicts: not at all after the first, which is most often the last.
/// The seed keeps writers that met once from meeting again.
fn conflict_pause(conflicts: u32, seed: u64) -> Duration {
    let Some(doublings) = conflicts.checked_sub(2) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let pause = CONFLICT_PAUSE_MIN.saturating_mul(factor).min(CONFLICT_PAUSE_MAX);
    let half_ns = pause.as_nanos() as u64 / 2;
    pause - Duration::from_nanos(keys::hash64(&seed.to_be_bytes()) % (half_ns + 1))
}

fn elapsed(started: Option<Instant>) -> Duration {
    started.map_or(Duration::ZERO, |started| clock::monotonic().duration_since(started))
}

/// Redis's reply to writes it could not make durable.
fn misconf(cause: &str) -> String {
    format!("MISCONF Errors writing to the AOF file: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Client;
    use crate::command::state::{ClientShared, Killer};
    use crate::config::Config;
    use crate::session::Session;
    use crate::store::fault::{FaultPlan, FaultStore};
    use crate::store::memory::MemoryStore;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        assert_eq!(conflict_pause(1, 7), Duration::ZERO);
        for seed in 0..100 {
            let mut full = CONFLICT_PAUSE_MIN;
            for conflicts in 2..80 {
                let pause = conflict_pause(conflicts, seed);
                assert!(pause <= full && pause >= full / 2, "{conflicts}: {pause:?}");
                full = (full * 2).min(CONFLICT_PAUSE_MAX);
            }
        }
        assert_ne!(conflict_pause(20, 1), conflict_pause(20, 2));
    }

    #[derive(Debug)]
    struct Nobody;

    impl Killer for Nobody {
        fn kill(&self, _: u64) {}
    }

    fn item(number: u64, input: &str) -> Item {
        let shared = ClientShared::new(number, String::new(), String::new(), 0, Arc::new(Nobody));
        let mut batch = Batch::new(Client::new(Arc::new(shared)), 0, 0);
        let mut input = input.as_bytes().to_vec();
        Session::new(&Config::default()).take(&mut input, &mut batch);
        batch.input = input;
        Item::Batch(Box::new(batch))
    }

    fn batch(item: &mut Item) -> &mut Batch {
        let Item::Batch(batch) = item else { unreachable!("only batches were given") };
        batch
    }

    #[test]
    fn effects_wait_for_the_execution_that_counts() {
        let plan = FaultPlan { seed: 1, conflict_1_in: 2, ..FaultPlan::default() };
        let store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan));
        let server = Arc::new(Server::new(Config::default(), store));
        let caps = GroupCaps { commands_max: 100, bytes_max: 1 };
        let mut executor = Executor::new(Arc::clone(&server), caps);
        let pausing = "MULTI\r\nCLIENT PAUSE 1000000\r\nINCR n\r\nEXEC\r\n";
        let mut items = [item(1, "INCR n\r\n"), item(2, pausing)];
        let mut groups = 0;
        while batch(&mut items[1]).remaining() > 0 {
            assert!(batch(&mut items[1]).client.effects.is_empty());
            executor.execute(&mut items);
            groups += 1;
        }
        assert_eq!(groups, 2, "the first group is full");
        assert_eq!(batch(&mut items[1]).client.effects.len(), 1);
        assert!(!server.pause.holds(true));
        batch(&mut items[1]).client.apply_effects(&server);
        assert!(server.pause.holds(true) && batch(&mut items[1]).client.effects.is_empty());
    }

    #[test]
    fn conflicts_neither_lose_nor_repeat_writes() {
        for seed in 0..10 {
            let plan = FaultPlan { seed, conflict_1_in: 2, ..FaultPlan::default() };
            let store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan));
            let server = Arc::new(Server::new(Config::default(), store));
            let caps = GroupCaps { commands_max: 100, bytes_max: 1 << 20 };
            let mut executor = Executor::new(server, caps);
            let mut items: Vec<_> = (1..=4).map(|number| item(number, "INCR n\r\n")).collect();
            executor.execute(&mut items);
            for (item, reply) in items.iter_mut().zip([":1\r\n", ":2\r\n", ":3\r\n", ":4\r\n"]) {
                assert_eq!(batch(item).reply.bytes(), reply.as_bytes());
            }
        }
    }
}
