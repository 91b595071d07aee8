//! Groups over a store across a network: batches wait here, and several groups are in flight at once.
//!
//! Grouping is natural batching: while fewer groups than allowed are in flight, what waits starts at
//! once; otherwise it collects for the next. Two groups that write are only in flight together if
//! they have no key in common: a batch whose key is in flight waits for that group, and whoever
//! wants one of its keys later waits behind it. That is not what makes groups correct, the store's
//! conflict checks do; it is what keeps this process from conflicting with itself.
//!
//! Batches that only read have groups of their own, on their worker ([`Mode::Read`]); all others of
//! the process share one [`Groups`] ([`Mode::Write`]), so that a hot key is read and written once for
//! many clients.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::time::Instant;

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use tracing::Span;

use crate::clock;
use crate::command::Server;
use crate::command::latency_monitor::Event;
use crate::command::stats::GroupShard;
use crate::data::keys;
use crate::limits::{COMMAND_DEADLINE, WATCH_AGAIN};
use crate::metrics::Stage;
use crate::store::{CommitError, Mode, Mutations};

use super::flight::{Flight, Landed};
use super::footprint::footprint;
use super::gather::Gather;
use super::group::{Chores, Frame, Item};
use super::split;
use super::waitlist::{Waiting, Waitlist};
use super::watching::Watching;
use super::writer::Home;
use super::{Batch, Parked, trace};

/// See the module.
pub struct Groups {
    queue: Mutex<Queue>,
    /// Of the task that serves.
    waker: AtomicWaker,
    mode: Mode,
    in_flight_max: usize,
    server: Arc<Server>,
    homes: Vec<Arc<dyn Home>>,
    /// Those who wait for data; nobody does in groups that only read.
    pub(super) parked: Arc<Parked>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Waiting>,
    closed: bool,
}

impl Groups {
    /// Groups whose batches go back to `homes`, by their number.
    pub fn new(server: &Arc<Server>, homes: Vec<Arc<dyn Home>>, mode: Mode) -> Groups {
        Groups {
            queue: Mutex::default(),
            waker: AtomicWaker::new(),
            mode,
            in_flight_max: server.config.groups_in_flight_max,
            server: Arc::clone(server),
            parked: Arc::new(Parked::new(server, &homes)),
            homes,
        }
    }

    /// Hands over batches, if there are any; each comes back through its home. Once closed it drops
    /// them: their connections get no answer, and end with the process.
    pub fn submit(&self, batches: &mut Vec<Box<Batch>>) {
        if !batches.is_empty() {
            self.enqueue(batches.drain(..).map(Item::Batch));
        }
    }

    /// Hands over background work; once closed it is dropped, and with it the sender of its answer.
    pub fn submit_chores(&self, chores: Chores) {
        self.enqueue(std::iter::once(Item::Chores(chores, None)));
    }

    fn enqueue(&self, items: impl Iterator<Item = Item>) {
        let since = clock::monotonic();
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return;
            }
            queue.items.extend(items.map(|item| self.waiting(item, since, usize::MAX)));
        }
        self.waker.wake();
    }

    /// Whether commands are grouped at all. If not, each is a transaction of its own that knows nothing
    /// of the others, as if it came from a process of its own.
    fn groups(&self) -> bool {
        self.server.config.group_commands_max > 1
    }

    fn waiting(&self, item: Item, since: Instant, company_max: usize) -> Waiting {
        let mut keys = Vec::new();
        if self.mode == Mode::Write && self.groups() {
            footprint(&item, &mut keys);
        }
        // Background work looks before it writes: a batch that need not should not wait for that.
        let company_max = match item {
            Item::Batch(_) => company_max,
            Item::Chores(ref chores, _) if chores.serve() => company_max,
            Item::Chores(..) => 1,
        };
        Waiting { item, since, footprint: keys, company_max }
    }

    fn parked(&self) -> Option<Arc<Parked>> {
        (self.mode == Mode::Write).then(|| Arc::clone(&self.parked))
    }

    /// Takes nothing more; [`Groups::serve`] returns once everything handed over is done.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.waker.wake();
        self.parked.wake();
    }

    /// Executes what is handed over until closed. To be run by one task.
    pub async fn serve(self: Arc<Groups>) {
        if self.mode == Mode::Write {
            self.join().await;
        }
        let mut flights = Flights::new(&self);
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            flights.poll(cx)
        })
        .await;
    }

    /// Has those who wait for data look whether another process has provided it, until closed. To be
    /// run by one task, of groups that write.
    pub async fn watch(self: Arc<Groups>) {
        let mut watching = Watching::new(&self.server.store);
        let mut again = tokio::time::interval(WATCH_AGAIN);
        poll_fn(|cx| {
            self.parked.on_news(cx);
            if self.queue.lock().closed {
                return Poll::Ready(());
            }
            let changed = watching.poll(cx, &self.parked);
            let mut all = false;
            while again.poll_tick(cx).is_ready() {
                // There may be more records than watches, and other databases than there were.
                all = true;
            }
            // Those who wait stay where newcomers see them until a group has something for them.
            self.enqueue(self.parked.chores(&changed, all).into_iter().map(|chore| {
                let (chores, done) = (vec![chore], channel().0);
                Item::Chores(Chores { chores, done }, None)
            }));
            Poll::Pending
        })
        .await;
    }

    /// Writes this process's record, without which commit markers tell nothing; see
    /// [`crate::data::members`].
    async fn join(&self) {
        let Server { store, process, .. } = &*self.server;
        let mut record = Mutations::default();
        record.set(&keys::process(*process), &[&0_u64.to_be_bytes()]);
        let mut transaction = Arc::clone(store).transaction();
        loop {
            transaction.begin(Mode::Write, clock::monotonic() + COMMAND_DEADLINE);
            let sequence = store.next_sequence();
            // Whatever came of it, writing it once more does no harm.
            match poll_fn(|cx| transaction.poll_commit(cx, sequence, &record)).await {
                Ok(()) => return,
                Err(CommitError::Refused(cause)) => {
                    tracing::warn!(%cause, "the store refuses writes");
                    return;
                }
                Err(CommitError::TimedOut) if self.queue.lock().closed => return,
                Err(_) => poll_fn(|cx| transaction.poll_retry(cx)).await,
            }
        }
    }
}

/// What the serving task works with.
struct Flights<'g> {
    groups: &'g Groups,
    frame: Frame,
    waiting: Waitlist,
    gather: Gather,
    flying: Vec<Flight>,
    idle: Vec<Flight>,
    /// For the next flight that needs another.
    next_slot: u16,
    finished: Vec<Vec<Box<Batch>>>,
    stats: Arc<GroupShard>,
}

impl Flights<'_> {
    fn new(groups: &Groups) -> Flights<'_> {
        let slots = 0..groups.in_flight_max as u16;
        Flights {
            groups,
            frame: Frame::new(Arc::clone(&groups.server), groups.parked()),
            waiting: Waitlist::default(),
            gather: Gather::default(),
            flying: Vec::new(),
            idle: slots.map(|slot| Flight::new(&groups.server, groups.mode, slot)).collect(),
            next_slot: groups.in_flight_max as u16,
            finished: groups.homes.iter().map(|_| Vec::new()).collect(),
            stats: groups.server.stats.group_shard(groups.mode),
        }
    }

    /// Goes on with every group; ready when closed and nothing is left.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let closed = {
                let mut queue = self.groups.queue.lock();
                queue.items.drain(..).for_each(|arrived| self.waiting.push(arrived));
                queue.closed
            };
            self.poll_flights(cx);
            self.gather.release(&mut self.waiting, clock::monotonic());
            let mut launched = false;
            while let Some(mut flight) = self.take_group() {
                launched = true;
                if let Poll::Ready(landed) = flight.poll(cx, &mut self.frame) {
                    self.land(flight, landed);
                } else {
                    self.flying.push(flight);
                }
            }
            self.stats.in_flight.set(self.flying.len() as u64);
            self.deliver();
            self.idle.iter_mut().for_each(Flight::rest);
            if launched {
                continue;
            }
            match self.gather.wake_in_time(cx, clock::monotonic()) {
                Ok(true) => return Poll::Pending,
                Ok(false) => {
                    let over = closed && self.waiting.is_empty() && self.flying.is_empty();
                    return if over { Poll::Ready(()) } else { Poll::Pending };
                }
                Err(error) => {
                    tracing::debug!(%error, "there is no timer to gather by");
                    self.gather.give_up(&mut self.waiting);
                }
            }
        }
    }

    fn poll_flights(&mut self, cx: &mut Context<'_>) {
        let mut number = 0;
        while let Some(flight) = self.flying.get_mut(number) {
            match flight.poll(cx, &mut self.frame) {
                Poll::Pending => number += 1,
                Poll::Ready(landed) => {
                    let flight = self.flying.swap_remove(number);
                    self.land(flight, landed);
                }
            }
        }
    }

    /// A group ready to start out of what waits, if one may.
    fn take_group(&mut self) -> Option<Flight> {
        let mut flight = self.idle.pop()?;
        let commands_max = self.frame.caps.commands_max;
        let now = clock::monotonic();
        let is_late = |since: Instant| now.duration_since(since) >= COMMAND_DEADLINE;
        let (mut commands, mut company_max) = (0, usize::MAX);
        // When the first and the last of its members arrived. Those that waited long keep to themselves:
        // with each that joined them they would have longer to go.
        let mut arrived: Option<(Instant, Instant)> = None;
        while commands < commands_max
            && flight.items.len() < company_max
            && let Some(next) = self.waiting.pop_if(|next| {
                arrived.is_none_or(|(first, _)| is_late(first) == is_late(next.since))
                    && (flight.items.is_empty() || flight.items.len() < next.company_max)
            })
        {
            commands += next.item.commands();
            company_max = company_max.min(next.company_max);
            let (first, last) = arrived.unwrap_or((next.since, next.since));
            arrived = Some((first.min(next.since), last.max(next.since)));
            flight.footprint.extend(&next.footprint);
            flight.since.push(next.since);
            flight.items.push(next.item);
        }
        let Some((first, last)) = arrived else {
            self.idle.push(flight);
            return None;
        };
        let deadline = match is_late(first) {
            true => first + 2 * COMMAND_DEADLINE,
            false => last + COMMAND_DEADLINE,
        };
        self.waiting.take(&flight.footprint);
        flight.launch(deadline);
        Some(flight)
    }

    /// Takes leave of a group: its batches go home, or wait for another.
    fn land(&mut self, mut flight: Flight, landed: Landed) {
        let now = clock::monotonic();
        let keys = std::mem::take(&mut flight.footprint);
        let mut items = std::mem::take(&mut flight.items);
        let members = items.len();
        let commands = items.iter().map(Item::executed).sum();
        for item in &mut items {
            if let Item::Batch(batch) = item {
                batch.timeline.took_part(flight.launched, &flight.times, now);
            }
        }
        // Those who waited for data and joined on the way have just arrived.
        flight.since.resize(members, now);
        let mut left = Vec::new();
        match landed {
            Landed::Done => {
                self.count(&flight, commands);
                // What did not fit comes before what has not waited.
                items.sort_by_key(Item::ticket);
                for item in items.drain(..) {
                    let rest = self.finish(item);
                    left.extend(rest.map(|rest| self.groups.waiting(rest, now, usize::MAX)));
                }
            }
            Landed::Contended | Landed::TooLarge => {
                let each = items.drain(..).zip(flight.since.drain(..));
                left.extend(each.map(|(item, since)| self.groups.waiting(item, since, usize::MAX)));
                let cut = match landed {
                    Landed::Contended => split::halve(&mut left),
                    _ => Some(members / 2),
                };
                // A group that cannot be divided is tried again with whatever has joined it.
                if let Some(cut) = cut {
                    tracing::debug!(parent: &flight.span, ?landed, "the group is divided");
                    self.stats.splits.add(1);
                    let (one, other) = left.split_at_mut(cut);
                    for half in [one, other] {
                        let company_max = half.len();
                        half.iter_mut().for_each(|member| member.company_max = company_max);
                    }
                }
            }
        }
        let span = std::mem::replace(&mut flight.span, Span::none());
        trace::end(span, commands, flight.written_bytes(), &flight.times);
        if left.is_empty() && self.waiting.is_wanted(&keys) && self.gather.is_worth_it() {
            self.gather.hold(keys, &self.waiting, members, now, now - flight.launched);
        } else {
            self.waiting.release(&keys, left.into_iter());
        }
        if flight.leaves_slot {
            // Used again after so many that no commit from before can still take place.
            flight.change_slot(self.free_slot());
        }
        flight.items = items;
        flight.since.clear();
        self.idle.push(flight);
    }

    /// A slot that no flight has: those who never gave up a commit have theirs from the beginning.
    fn free_slot(&mut self) -> u16 {
        loop {
            let slot = self.next_slot;
            self.next_slot = slot.wrapping_add(1);
            if self.flying.iter().chain(&self.idle).all(|flight| flight.slot() != slot) {
                return slot;
            }
        }
    }

    /// Hands over what an item has to say; what is left of it to do.
    fn finish(&mut self, item: Item) -> Option<Item> {
        match item {
            Item::Batch(batch) if batch.is_blocked() => {
                self.groups.parked.park(batch);
                None
            }
            Item::Batch(batch) if batch.is_to_be_sent() => {
                batch.client.shared.end_wait();
                self.finished[batch.home].push(batch);
                None
            }
            Item::Chores(chores, removed) => {
                if let Some(removed) = removed {
                    self.frame.server.stats.keys_expired(removed);
                    // Nobody may be listening any more.
                    let _ = chores.done.send(removed);
                }
                None
            }
            rest => Some(rest),
        }
    }

    /// Counts a group that has executed so many commands.
    fn count(&self, flight: &Flight, commands: usize) {
        let latency = &self.frame.server.observing.latency;
        let spent_ns = |stage| flight.times.ns(stage);
        let reads_ns = spent_ns(Stage::ReadVersion) + spent_ns(Stage::Reads);
        for (event, ns) in [(Event::Commit, spent_ns(Stage::Commit)), (Event::Reads, reads_ns)] {
            latency.note(event, ns / 1_000_000);
        }
        self.stats.group(commands, flight.written_bytes(), &flight.times);
        self.stats.equal_reads.add(flight.equal_reads);
    }

    fn deliver(&mut self) {
        for (home, batches) in self.groups.homes.iter().zip(&mut self.finished) {
            if !batches.is_empty() {
                home.deliver(batches);
            }
        }
    }
}

#[cfg(test)]
mod tests;
