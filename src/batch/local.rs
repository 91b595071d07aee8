//! Executes groups on a store that lives in this process: run once, commit once.
//!
//! Such a store answers every read at once and has no other writer, so a group is executed a second
//! time only when its commit is refused: then its writes are answered with the reason.

use crate::clock;
use crate::command::Server;
use crate::command::latency_monitor::Event;
use crate::command::stats::GroupShard;
use crate::data::Overlay;
use crate::metrics::{Stage, Times};
use crate::store::{CommitError, Local, Mode, Store};
use std::sync::Arc;
use std::time::Instant;

use super::group::{Execution, Frame, GroupCaps, Item};
use super::{Parked, trace};

/// The writer role's state: whoever has it may execute groups.
pub(super) struct Executor {
    store: Arc<dyn Store>,
    frame: Frame,
    overlay: Overlay,
    stats: Arc<GroupShard>,
}

impl Executor {
    pub(super) fn new(server: Arc<Server>, parked: Arc<Parked>) -> Executor {
        let store = Arc::clone(&server.store);
        let stats = server.stats.group_shard(Mode::Write);
        let frame = Frame::new(server, Some(parked));
        Executor { store, frame, overlay: Overlay::default(), stats }
    }

    pub(super) fn caps(&self) -> GroupCaps {
        self.frame.caps
    }

    /// Executes `items` as one group. Batches that did not fit come back with ops left to do.
    pub(super) fn execute(&mut self, local: &dyn Local, items: &mut Vec<Item>) {
        // A refused commit is answered by a second run.
        items.iter_mut().for_each(Item::save);
        self.stats.in_flight.set(1);
        let span = trace::begin(Mode::Write);
        let began = clock::monotonic();
        let mut times = Times::default();
        if let Err(reply) = self.attempt(local, items, (began, &mut times)) {
            let failed = clock::monotonic();
            tracing::debug!(parent: &span, reply, "the group is not stored");
            items.iter_mut().for_each(Item::restore);
            self.frame.park_again(items);
            let ran = self.run(local, items, Some(&reply));
            debug_assert!(ran.is_ok(), "{ran:?}");
            times.spend(Stage::Execution, clock::monotonic() - failed);
        }
        let ended = clock::monotonic();
        for item in &mut *items {
            match item {
                Item::Batch(batch) => batch.timeline.took_part(began, &times, ended),
                Item::Chores(_, removed) => {
                    self.frame.server.stats.keys_expired(removed.unwrap_or(0));
                }
            }
        }
        let commit_ms = times.ns(Stage::Commit) / 1_000_000;
        self.frame.server.observing.latency.note(Event::Commit, commit_ms);
        let commands = items.iter().map(Item::executed).sum();
        let bytes = self.overlay.mutations().payload_bytes();
        trace::end(span, commands, bytes, &times);
        self.stats.group(commands, bytes, &times);
        self.stats.in_flight.set(0);
    }

    /// Executes the group, which `began` then, and commits it, or says what to answer its writes with.
    fn attempt(
        &mut self,
        local: &dyn Local,
        items: &mut Vec<Item>,
        (began, times): (Instant, &mut Times),
    ) -> Result<(), String> {
        let ran = self.run(local, items, None);
        let executed = clock::monotonic();
        times.spend(Stage::Execution, executed - began);
        let sequence = ran?;
        if self.overlay.is_empty() {
            return Ok(());
        }
        let committed = local.commit(sequence, self.overlay.mutations());
        times.spend(Stage::Commit, clock::monotonic() - executed);
        committed.map_err(|error| match error {
            CommitError::Refused(cause) => misconf(&cause),
            CommitError::Unknown(cause) => {
                format!("ERR it is not known whether the write was stored: {cause}")
            }
            other => format!("ERR the write was not stored: {other:?}"),
        })
    }

    /// Runs all items against one snapshot; the number of this execution.
    fn run(
        &mut self,
        local: &dyn Local,
        items: &mut Vec<Item>,
        refusal: Option<&str>,
    ) -> Result<u64, String> {
        let sequence = self.store.next_sequence();
        let moment = self.frame.moment(sequence);
        let mut execution = Execution { moment, overlay: &mut self.overlay, items, refusal };
        let mut outcome = Ok(());
        local.read(&mut |snapshot| outcome = self.frame.execute(snapshot, &mut execution));
        outcome.map_err(|_| "ERR a record of the store cannot be read".to_owned())?;
        Ok(sequence)
    }
}

/// Redis's reply to writes it could not make durable.
fn misconf(cause: &str) -> String {
    format!("MISCONF Errors writing to the AOF file: {cause}")
}
