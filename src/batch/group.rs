//! One group: many batches executed against one view of the store.
//!
//! What is here is the same for every store: who takes part, and one execution of all of them. How an
//! execution is committed and when it is repeated is for [`super::local`] and [`super::flight`].

use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::clock;
use crate::command::Server;
use crate::data::background::{self, Chore};
use crate::data::tenants::NOBODY;
use crate::data::{Moment, Overlay, Tenant, View, keys};
use crate::error::Stop;
use crate::limits::GROUP_REPLY_BYTES;
use crate::store::Snapshot;

use super::run::{Budget, Ended, Run};
use super::{Batch, Parked};

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

impl Chores {
    /// Whether this is for those who wait for data.
    pub(super) fn serve(&self) -> bool {
        self.chores.iter().all(|chore| matches!(chore, Chore::Serve { .. }))
    }
}

/// A member of a group.
#[derive(Debug)]
pub(super) enum Item {
    Batch(Box<Batch>),
    /// With the number of keys removed, once it is done.
    Chores(Chores, Option<usize>),
}

impl Item {
    pub(super) fn save(&mut self) {
        if let Item::Batch(batch) = self {
            batch.save();
        }
    }

    pub(super) fn restore(&mut self) {
        if let Item::Batch(batch) = self {
            batch.restore();
        }
    }

    /// Whether it is a batch whose next op has to wait for data.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self, Item::Batch(batch) if batch.is_blocked())
    }

    /// Its place among those that wait for data; behind all of them if it has none.
    pub(super) fn ticket(&self) -> u64 {
        match self {
            Item::Batch(batch) => batch.ticket(),
            Item::Chores(..) => u64::MAX,
        }
    }

    /// Bytes of its replies so far.
    fn reply_bytes(&self) -> usize {
        match self {
            Item::Batch(batch) => batch.reply.len(),
            Item::Chores(..) => 0,
        }
    }

    /// Whose it is; background work is nobody's.
    pub(super) fn tenant(&self) -> Tenant {
        match self {
            Item::Batch(batch) => batch.client.tenant,
            Item::Chores(..) => NOBODY,
        }
    }

    /// Commands of clients that the group has executed.
    pub(super) fn executed(&self) -> usize {
        match self {
            Item::Batch(batch) => batch.executed(),
            Item::Chores(..) => 0,
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

/// What every execution of a group depends on, besides the store.
pub(super) struct Frame {
    pub server: Arc<Server>,
    /// Those who wait for data, if this is for groups that write.
    pub parked: Option<Arc<Parked>>,
    pub caps: GroupCaps,
    last_now_ms: u64,
}

/// What one execution is to do.
pub(super) struct Execution<'e> {
    pub moment: Moment,
    pub overlay: &'e mut Overlay,
    /// Those who are served because of what the group does join it.
    pub items: &'e mut Vec<Item>,
    /// Writes are answered with this error and not executed.
    pub refusal: Option<&'e str>,
}

impl Frame {
    pub(super) fn new(server: Arc<Server>, parked: Option<Arc<Parked>>) -> Frame {
        let caps = GroupCaps {
            commands_max: server.config.group_commands_max,
            bytes_max: server.config.group_bytes_max,
        };
        Frame { server, parked, caps, last_now_ms: 0 }
    }

    /// The moment of the next execution. Each has a sequence of its own, so that no stamp is given
    /// twice, even one that only `WATCH` has seen.
    pub(super) fn moment(&mut self, sequence: u64) -> Moment {
        // Time does not run backwards from one group to the next.
        self.last_now_ms = self.last_now_ms.max(clock::unix_ms());
        Moment {
            now_ms: self.last_now_ms,
            sequence,
            seed: keys::hash64(&clock::unix_us().to_be_bytes()) ^ sequence,
            value_bytes_max: self.server.config.request_bytes_max,
            order: 0,
        }
    }

    /// Runs all items against a snapshot; [`Stop::Pending`] if any has to be run again once its reads
    /// have been fetched.
    pub(super) fn execute(
        &self,
        snapshot: &dyn Snapshot,
        execution: &mut Execution<'_>,
    ) -> Result<(), Stop> {
        let Execution { moment, overlay, items, refusal } = execution;
        overlay.reset();
        let mut view = View::new(snapshot, overlay, *moment);
        let budget = Budget { commands: self.caps.commands_max, bytes: self.caps.bytes_max };
        let mut run = Run::new(&mut view, &self.server, budget);
        run.refusal = *refusal;
        run.parked = self.parked.as_deref();
        run.ahead = items.iter().flat_map(waited_for).collect();
        if let Err(stop) = run_items(&mut run, items) {
            // What the group has to know in the end is fetched with the rest.
            let _ = view.finish();
            return Err(stop);
        }
        if let Some(parked) = run.parked.filter(|_| run.refusal.is_none()) {
            serve(&mut run, items, parked)?;
        }
        view.finish()
    }

    /// Takes those who have been waiting for data out of a group that failed: it is not theirs.
    pub(super) fn park_again(&self, items: &mut Vec<Item>) {
        let Some(parked) = &self.parked else { return };
        for item in items.extract_if(.., |item| item.ticket() != u64::MAX) {
            if let Item::Batch(batch) = item {
                parked.park(batch);
            }
        }
    }
}

/// Hashes of the keys that a member has been waiting for: what was executed before, or is not ready
/// after all, has such members.
fn waited_for(item: &Item) -> Vec<u64> {
    match item {
        Item::Batch(batch) if batch.has_waited() => batch.wanted(),
        _ => Vec::new(),
    }
}

/// Executes those who wait for what the group's commands have made ready, the longest waiting first,
/// a few for each key as long as there is something for them; and after that those for whom this did.
fn serve(run: &mut Run<'_, '_>, items: &mut Vec<Item>, parked: &Parked) -> Result<(), Stop> {
    run.serving = true;
    let (mut pending, mut again) = (false, Vec::new());
    for round in 0.. {
        let mut ready = run.view.take_ready();
        ready.extend(again);
        for mut batch in parked.pull(&ready) {
            batch.save();
            batch.blocked = true;
            items.push(Item::Batch(batch));
        }
        let mut turns = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Item::Batch(batch) = item else { continue };
            let wanted = if batch.is_blocked() { batch.wanted() } else { Vec::new() };
            // Some have not even looked yet, because others were waiting.
            if ready.concerns(&wanted) || round == 0 && batch.is_blocked() {
                turns.push((batch.ticket(), at, wanted));
            }
        }
        if turns.is_empty() {
            break;
        }
        turns.sort_unstable();
        let (mut served, mut empty) = (Vec::new(), Vec::new());
        for (_, at, wanted) in turns {
            let ended = run_item(run, &mut items[at]);
            pending |= ended == Ended::Pending;
            match ended {
                Ended::Done | Ended::ReplyFull => served.extend(wanted),
                _ => empty.extend(wanted),
            }
        }
        served.retain(|key| !pending && !empty.contains(key));
        again = served;
    }
    if pending { Err(Stop::Pending) } else { Ok(()) }
}

/// Runs what is left of a batch.
fn run_item(run: &mut Run<'_, '_>, item: &mut Item) -> Ended {
    let Item::Batch(batch) = item else { return Ended::Done };
    let input = std::mem::take(&mut batch.input);
    let ended = run.batch(batch, &input);
    batch.input = input;
    ended
}

/// Runs every item in order. A pending one does not keep the others from saying what they need.
fn run_items(run: &mut Run<'_, '_>, items: &mut [Item]) -> Result<(), Stop> {
    let (mut pending, mut full) = (false, false);
    let mut reply_bytes = 0;
    for item in items {
        match item {
            // Its turn comes in the next group.
            Item::Batch(_) if full => {}
            Item::Batch(_) => {
                let ended = run_item(run, item);
                pending |= ended == Ended::Pending;
                reply_bytes += item.reply_bytes();
                full |= ended == Ended::GroupFull || reply_bytes > GROUP_REPLY_BYTES;
            }
            Item::Chores(_, removed) if run.refusal.is_some() => *removed = None,
            Item::Chores(chores, removed) => {
                let done = run_chores(run.view, &chores.chores);
                pending |= done.is_none();
                *removed = done;
            }
        }
    }
    if pending { Err(Stop::Pending) } else { Ok(()) }
}

/// Does every chore; how many keys were removed, or `None` when something has to be fetched first.
fn run_chores(view: &mut View<'_>, chores: &[Chore]) -> Option<usize> {
    let mut removed = Some(0);
    for chore in chores {
        let mark = view.mark();
        match background::step(view, chore) {
            Ok(was_key) => removed = removed.map(|count| count + usize::from(was_key)),
            Err(Stop::Pending) => {
                view.has_asked();
                removed = None;
            }
            Err(stop) => {
                // A record that cannot be read concerns nobody else in the group.
                tracing::warn!(?stop, ?chore, "background work leaves a record alone");
                view.rollback(mark);
            }
        }
    }
    removed
}
