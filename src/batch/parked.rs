//! Batches that wait for data: `BLPOP` and its like found nothing to take.
//!
//! Such a batch stays here, with its connection's place in the order of all that wait, until a group
//! gives one of its keys a list or a sorted set. The same group then executes it again, behind all
//! its other members, the longest waiting first: whoever pushes and whoever is served share a
//! transaction, and nobody who comes later takes what others have been waiting for.
//!
//! A batch is parked between two groups that touch its keys, so no push goes unnoticed. Its connection
//! may take it back at any time: when it has waited long enough, or when its client is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use super::Batch;
use super::writer::{Home, Stay};
use crate::clock;
use crate::command::blocking::Blocked;
use crate::command::{Client, Server};
use crate::data::Ready;
use crate::data::background::Chore;
use crate::data::keys::RecordKey;
use crate::limits::SERVED_TOGETHER;

/// See the module.
pub struct Parked {
    state: Mutex<State>,
    /// How many there are, to be read without the lock.
    len: AtomicUsize,
    /// Of who wants to know the news.
    waker: AtomicWaker,
    server: Arc<Server>,
    homes: Vec<Arc<dyn Home>>,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    /// In the order in which they began to wait.
    batches: BTreeMap<u64, Resident>,
    /// How many of them do so for a limited time.
    limited: usize,
    by_key: HashMap<u64, BTreeSet<u64>>,
    /// Where others may write too: the records that those who came or went since the last time wait
    /// for.
    news: Option<Vec<RecordKey>>,
    /// How many wait for each record.
    by_record: HashMap<RecordKey, usize>,
    /// By the worker and the slot of their connections.
    by_place: HashMap<(usize, usize), u64>,
}

struct Resident {
    batch: Box<Batch>,
    /// Hashes of the keys it waits for.
    keys: Vec<u64>,
    /// Their metas.
    records: Vec<RecordKey>,
}

impl State {
    fn tell(&mut self, record: RecordKey) {
        if let Some(news) = &mut self.news {
            news.push(record);
        }
    }

    fn remove(&mut self, ticket: u64) -> Option<Box<Batch>> {
        let Resident { batch, keys, records } = self.batches.remove(&ticket)?;
        for record in records {
            if let Some(count) = self.by_record.get_mut(&record) {
                *count -= 1;
                if *count == 0 {
                    self.by_record.remove(&record);
                    self.tell(record);
                }
            }
        }
        for key in keys {
            if let Some(tickets) = self.by_key.get_mut(&key) {
                tickets.remove(&ticket);
                if tickets.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        self.by_place.remove(&(batch.home, batch.slot));
        self.limited -= usize::from(batch.has_time_limit());
        Some(batch)
    }
}

impl Parked {
    /// Nobody waits yet; batches belong to `homes`, by their number.
    pub(super) fn new(server: &Arc<Server>, homes: &[Arc<dyn Home>]) -> Parked {
        let news = server.store.local().is_none().then(Vec::new);
        Parked {
            state: Mutex::new(State { news, ..State::default() }),
            len: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
            server: Arc::clone(server),
            homes: homes.to_vec(),
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    fn count(&self, state: &State) {
        self.len.store(state.batches.len(), Ordering::Release);
        if state.news.as_ref().is_some_and(|news| !news.is_empty()) {
            self.wake();
        }
        let Blocked { clients, limited, keys } = &self.server.blocked;
        clients.store(state.batches.len(), Ordering::Relaxed);
        limited.store(state.limited, Ordering::Relaxed);
        keys.store(state.by_key.len(), Ordering::Relaxed);
    }

    /// Keeps a batch whose next op is blocked, and tells its connection.
    pub(super) fn park(&self, mut batch: Box<Batch>) {
        let keys = batch.wanted();
        if !batch.has_waited() {
            batch.show_waiting(&self.server);
        }
        let mut state = self.state.lock();
        let Some(waiting) = &mut batch.waiting else {
            debug_assert!(false, "only what is blocked is parked");
            return;
        };
        let ticket = *waiting.ticket.get_or_insert_with(|| {
            state.last_ticket += 1;
            state.last_ticket
        });
        batch.timeline.leave();
        let since = *waiting.since.get_or_insert_with(clock::monotonic);
        let deadline = waiting.wait.timeout.map(|timeout| since + timeout);
        let stay = Stay { slot: batch.slot, client: batch.client.shared.id, ticket, deadline };
        // Before anybody can find it here or there: what else there is to say about it comes later.
        self.homes[batch.home].parked(stay);
        batch.publish_blocked(&self.server, ticket);
        state.by_place.insert((batch.home, batch.slot), ticket);
        for key in &keys {
            state.by_key.entry(*key).or_default().insert(ticket);
        }
        let records = if state.news.is_some() { batch.wanted_records() } else { Vec::new() };
        for record in &records {
            let count = state.by_record.entry(record.clone()).or_default();
            *count += 1;
            if *count == 1 {
                state.tell(record.clone());
            }
        }
        state.limited += usize::from(batch.has_time_limit());
        state.batches.insert(ticket, Resident { batch, keys, records });
        self.count(&state);
    }

    /// Wakes the present task when there are news.
    pub(super) fn on_news(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Wakes who waits for news.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// The records that somebody has begun to wait for since the last call, or nobody waits for any
    /// more, and which of both.
    pub(super) fn news(&self) -> Vec<(RecordKey, bool)> {
        let mut state = self.state.lock();
        let news = state.news.as_mut().map(std::mem::take).unwrap_or_default();
        let is_wanted = |record| state.by_record.contains_key(&record);
        news.into_iter().map(|record| (record.clone(), is_wanted(record))).collect()
    }

    /// The keys that those wait for who wait for one of these records, or everybody.
    pub(super) fn chores(&self, changed: &HashSet<RecordKey>, all: bool) -> Vec<Chore> {
        if self.is_empty() || changed.is_empty() && !all {
            return Vec::new();
        }
        let state = self.state.lock();
        let is_concerned = |resident: &&Resident| {
            all || resident.records.iter().any(|record| changed.contains(record))
        };
        let mut places = BTreeSet::new();
        for Resident { batch, .. } in state.batches.values().filter(is_concerned) {
            let Client { tenant, database, .. } = batch.client;
            places.extend(batch.waits_for().map(|key| (tenant, database, key)));
        }
        let serve = |(tenant, database, key): (_, _, &[u8])| {
            let key = key.into();
            Chore::Serve { tenant, database, key }
        };
        places.into_iter().map(serve).collect()
    }

    /// Whether somebody waits for one of these keys.
    pub(super) fn are_wanted(&self, keys: &[u64]) -> bool {
        if self.is_empty() {
            return false;
        }
        let state = self.state.lock();
        keys.iter().any(|key| state.by_key.contains_key(key))
    }

    /// Takes out some of those that wait for what has become ready, the longest waiting first.
    pub(super) fn pull(&self, ready: &Ready) -> Vec<Box<Batch>> {
        if self.is_empty() || ready.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let tickets: BTreeSet<u64> = match ready {
            Ready::All => state.batches.keys().copied().collect(),
            Ready::Keys(keys) => {
                let found = keys.iter().filter_map(|key| state.by_key.get(key));
                found.flat_map(|tickets| tickets.iter().take(SERVED_TOGETHER)).copied().collect()
            }
        };
        let batches = tickets.into_iter().filter_map(|ticket| state.remove(ticket)).collect();
        self.count(&state);
        batches
    }

    /// Takes out the batch of a connection; `None` if it is being executed, and will come back.
    pub fn unpark(&self, home: usize, slot: usize) -> Option<Box<Batch>> {
        let mut state = self.state.lock();
        let ticket = *state.by_place.get(&(home, slot))?;
        let batch = state.remove(ticket);
        self.count(&state);
        batch.inspect(|batch| batch.client.shared.end_wait())
    }
}
