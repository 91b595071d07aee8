//! The view: what a group sees, the store at one version plus the group's own writes.
//!
//! Handlers read and write through it and nothing else. Reads the store cannot answer at once end in
//! [`Stop::Pending`]; nothing here does I/O of its own.

mod catalog;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use smallvec::SmallVec;

pub(super) use self::catalog::Known;
use super::keys::{self, Incarnation, KeyspaceId};
use super::meta::Stamp;
use super::overlay::{self, Overlay};
use super::random::Random;
use super::sorted_set::Changes;
use super::usage::Usage;
use crate::error::Stop;
use crate::limits::{
    DATABASES, FETCHED_BYTES_MAX, FETCHED_READS_MAX, SCAN_STEP, SCANNED_BYTES_EXPECTED,
};
use crate::store::{Mutation, ReadError, Scan, Snapshot, Visitor, counter, counter_bytes};

pub use self::catalog::Shown;

/// Identifies an isolated keyspace with its own databases.
pub type Tenant = u32;

/// What a group is executed with, besides its commands: all that a handler may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Wall time of the whole group, Unix milliseconds.
    pub now_ms: u64,
    /// The commit sequence the group will have; for one that only reads, the newest it may see.
    pub sequence: u64,
    /// Order of its first command among those of the same sequence.
    pub order: u16,
    /// Seed of everything random.
    pub seed: u64,
    /// Longest string a command may make.
    pub value_bytes_max: usize,
}

/// What a group's commands made ready for those who wait for data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Perhaps everything: databases were exchanged.
    All,
    /// Keys that got a list or a sorted set, see [`keys::place`].
    Keys(Vec<u64>),
}

impl Default for Ready {
    fn default() -> Ready {
        Ready::Keys(Vec::new())
    }
}

impl Ready {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        matches!(self, Ready::Keys(keys) if keys.is_empty())
    }

    /// Adds keys by their hashes.
    pub fn extend(&mut self, hashes: Vec<u64>) {
        if let Ready::Keys(keys) = self {
            keys.extend(hashes);
        }
    }

    /// Whether one of these keys may be.
    pub fn concerns(&self, hashes: &[u64]) -> bool {
        match self {
            Ready::All => true,
            Ready::Keys(keys) => hashes.iter().any(|hash| keys.contains(hash)),
        }
    }
}

/// A point to roll back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    written: overlay::Mark,
    incarnations: u16,
}

/// The store at one version plus the group's own writes.
pub struct View<'a> {
    snapshot: &'a dyn Snapshot,
    overlay: &'a mut Overlay,
    moment: Moment,
    order: u16,
    incarnations: u16,
    random: Random,
    /// What databases show, as far as it has been looked up: of several tenants some.
    databases: [Cell<Option<Known>>; DATABASES as usize],
    /// Whose command is being executed.
    tenant: Tenant,
    /// The present command's lookups are counted.
    counting: bool,
    /// Keys looked up that were there, and that were not.
    lookups: Cell<(u64, u64)>,
    missing: Cell<Missing>,
    ready: Ready,
    /// What the rank indexes of sorted sets do not know yet.
    rank_changes: Changes,
    /// Keyspaces whose bytes may have to be counted, among those the group has to do with.
    pub(super) metered: RefCell<SmallVec<[KeyspaceId; 4]>>,
    /// What a tenant stores, as far as it has been looked up.
    pub(super) usage: Cell<Option<(Tenant, Usage)>>,
    /// How many elements pending commands want, by what they take them from.
    wanted: RefCell<BTreeMap<(Incarnation, bool), u64>>,
}

/// What the store has to fetch before the group can be executed.
#[derive(Debug, Clone, Copy, Default)]
struct Missing {
    reads: usize,
    /// At most, of elements.
    bytes: usize,
}

impl Missing {
    fn is_enough(self) -> bool {
        self.reads >= FETCHED_READS_MAX || self.bytes >= FETCHED_BYTES_MAX
    }
}

impl<'a> View<'a> {
    /// A view of `snapshot` under the writes in `overlay`.
    pub fn new(snapshot: &'a dyn Snapshot, overlay: &'a mut Overlay, moment: Moment) -> View<'a> {
        let databases = [const { Cell::new(None) }; DATABASES as usize];
        let random = Random::new(moment.seed);
        View {
            snapshot,
            overlay,
            moment,
            order: moment.order,
            incarnations: 0,
            random,
            databases,
            tenant: 0,
            counting: false,
            lookups: Cell::default(),
            missing: Cell::default(),
            ready: Ready::default(),
            rank_changes: Changes::default(),
            metered: RefCell::default(),
            usage: Cell::default(),
            wanted: RefCell::default(),
        }
    }

    /// Bytes of elements, at most, that the store has to fetch for what was executed so far.
    pub fn missing_bytes(&self) -> usize {
        self.missing.get().bytes
    }

    /// Whether the keys that the next command looks up count as found or not found.
    pub fn count_lookups(&mut self, counting: bool) {
        self.counting = counting;
    }

    /// Keys found and not found since the last call.
    pub fn take_lookups(&self) -> (u64, u64) {
        self.lookups.take()
    }

    pub(super) fn note_lookup(&self, found: bool) {
        if self.counting {
            let (hits, misses) = self.lookups.get();
            self.lookups.set((hits + u64::from(found), misses + u64::from(!found)));
        }
    }

    /// What follows is done for this tenant.
    pub fn serve_tenant(&mut self, tenant: Tenant) {
        self.tenant = tenant;
    }

    /// Notes that a key has what somebody may be waiting for. A command that fails later may have noted
    /// it in vain.
    pub(super) fn make_ready(&mut self, key: &[u8]) {
        if let Ready::Keys(hashes) = &mut self.ready {
            hashes.push(keys::place(self.tenant, key));
        }
    }

    /// As [`View::make_ready`], for every key.
    pub(super) fn make_all_ready(&mut self) {
        self.ready = Ready::All;
    }

    /// What was made ready since the last call.
    pub fn take_ready(&mut self) -> Ready {
        std::mem::take(&mut self.ready)
    }

    /// The group's time, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.moment.now_ms
    }

    /// Longest string a command may make.
    pub fn value_bytes_max(&self) -> usize {
        self.moment.value_bytes_max
    }

    /// A pseudo-random number, the same ones in the same order for the same seed.
    ///
    /// A command takes as many of them, whatever it reads: when reads were pending the commands behind
    /// it must get the same numbers again.
    pub fn random(&mut self) -> u64 {
        self.random.number()
    }

    /// A pseudo-random number that is the same for all commands of the group.
    pub fn group_random(&self, salt: u64) -> u64 {
        keys::hash64(&(self.moment.seed ^ salt).to_be_bytes())
    }

    /// Begins the next command: its modifications get a stamp of their own.
    pub fn next_command(&mut self) {
        self.order = self.order.saturating_add(1);
    }

    /// The stamp of modifications made by the current command.
    pub fn stamp(&self) -> Stamp {
        let mut stamp = [0; 12];
        stamp[..8].copy_from_slice(&self.moment.sequence.to_be_bytes());
        stamp[10..].copy_from_slice(&self.order.to_be_bytes());
        stamp
    }

    /// An id for elements that no other collection ever had.
    ///
    /// # Errors
    ///
    /// [`Stop::TooLarge`] when the group has used up its own.
    pub fn new_incarnation(&mut self) -> Result<Incarnation, Stop> {
        self.incarnations = self.incarnations.checked_add(1).ok_or(Stop::TooLarge)?;
        Ok((self.moment.sequence << 16) | u64::from(self.incarnations))
    }

    /// Whether reading before a blind write is nearly free.
    pub fn answers_at_once(&self) -> bool {
        self.snapshot.answers_at_once()
    }

    /// The record's value.
    pub fn get(&self, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Stop> {
        if let Some(own) = self.overlay.get(key) {
            return Ok(own.map(Cow::Borrowed));
        }
        self.get_stored(key)
    }

    /// The store without what the group wrote.
    pub(super) fn snapshot(&self) -> &dyn Snapshot {
        self.snapshot
    }

    /// What the group wrote.
    pub(super) fn mutations(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.overlay.mutations().iter()
    }

    /// The value of a record without what the group wrote.
    pub(super) fn get_stored(&self, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Stop> {
        let mut missing = self.missing.get();
        if missing.is_enough() {
            // The rest is fetched when this has come.
            return Err(Stop::Pending);
        }
        let found = self.snapshot.get(key);
        if found == Err(ReadError::Pending) {
            missing.reads += 1;
            missing.bytes += keys::expected_bytes(key);
            self.missing.set(missing);
        }
        Ok(found?)
    }

    /// Notes that a pending command takes `count` elements from one side of an incarnation; how many
    /// pending commands before it take there. What those do is undone, so it does not see it.
    pub(super) fn want(&self, incarnation: Incarnation, last: bool, count: u64) -> u64 {
        let mut wanted = self.wanted.borrow_mut();
        let before = wanted.entry((incarnation, last)).or_default();
        let others = *before;
        *before = others.saturating_add(count);
        others
    }

    /// Has the store fetch the metas of these keys with whatever else is fetched next.
    pub fn announce<'k>(&self, tenant: Tenant, database: u8, keys: impl Iterator<Item = &'k [u8]>) {
        let Ok(keyspace) = self.keyspace(tenant, database) else { return };
        for key in keys {
            // What it answers is for the next execution to see.
            let _ = self.find(keyspace, key);
        }
    }

    /// A command that is pending has asked for all it is going to for now.
    pub fn has_asked(&self) {
        self.snapshot.next_reader();
    }

    /// Writes a record, given its value in pieces.
    pub fn set(&mut self, key: &[u8], value: &[&[u8]]) {
        self.overlay.set(key, value, 0);
    }

    /// Adds to a counter. Where that costs a fetch it is not read.
    pub fn add(&mut self, key: &[u8], by: i128) -> Result<(), Stop> {
        if self.answers_at_once() {
            let sum = self.counter(key)?.wrapping_add(by);
            self.overlay.set(key, &[&counter_bytes(sum)], 0);
        } else {
            self.overlay.add(key, by);
        }
        Ok(())
    }

    /// The value of a counter, 0 if it is not there.
    pub fn counter(&self, key: &[u8]) -> Result<i128, Stop> {
        let added = match self.overlay.find(key) {
            Some(Mutation::Add { by, .. }) => by,
            _ => 0,
        };
        Ok(counter(self.get(key)?.as_deref()).wrapping_add(added))
    }

    /// Removes a record.
    pub fn clear(&mut self, key: &[u8]) {
        self.overlay.clear(key, 0);
    }

    /// Takes back a record that the group itself wrote, if it did.
    pub(super) fn withdraw(&mut self, key: &[u8]) {
        self.overlay.withdraw(key);
    }

    /// Writes a meta record that changes the number of keys by `size_delta`.
    pub(super) fn set_sized(&mut self, key: &[u8], value: &[&[u8]], size_delta: i8) {
        self.overlay.set(key, value, size_delta);
    }

    /// Removes a meta record that counted as a key.
    pub(super) fn clear_sized(&mut self, key: &[u8]) {
        self.overlay.clear(key, -1);
    }

    /// Visits up to `scan.limit` records in order, the group's own writes among them.
    pub fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        if scan.begin >= scan.end || scan.limit == 0 {
            return Ok(());
        }
        let mut missing = self.missing.get();
        if missing.is_enough() {
            return Err(Stop::Pending);
        }
        let scanned = self.scan_merged(scan, visit);
        if scanned == Err(Stop::Pending) {
            missing.reads += 1;
            missing.bytes += scan.limit.min(SCAN_STEP) * SCANNED_BYTES_EXPECTED;
            self.missing.set(missing);
        }
        scanned
    }

    fn scan_merged(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        if self.overlay.is_empty() {
            return Ok(self.snapshot.scan(scan, visit)?);
        }
        let mut own = self.overlay.range(scan.begin, scan.end);
        let Some(lowest) = own.next() else { return Ok(self.snapshot.scan(scan, visit)?) };
        let (lowest, limit) = (std::iter::once(lowest), self.limit_behind_own(scan));
        if scan.reverse {
            Merge::new(own.rev().chain(lowest), scan, limit).run(self.snapshot, visit)
        } else {
            Merge::new(lowest.chain(own), scan, limit).run(self.snapshot, visit)
        }
    }

    /// How many of the snapshot's records a scan needs, some being hidden by own removals.
    fn limit_behind_own(&self, scan: Scan<'_>) -> usize {
        if self.answers_at_once() {
            // None is fetched before it is visited.
            return usize::MAX;
        }
        let own = self.overlay.range(scan.begin, scan.end);
        match own.filter(|own| matches!(own, Mutation::Clear { .. })).count() {
            0 => scan.limit,
            // Commands that each remove another record ask for the same range then.
            hidden => {
                let limit = scan.limit.saturating_add(hidden);
                limit.checked_next_power_of_two().unwrap_or(limit)
            }
        }
    }

    /// Number of keys in a keyspace where it is counted exactly, `None` on other stores.
    pub fn exact_size(&self, keyspace: KeyspaceId) -> Result<Option<u64>, Stop> {
        if !self.answers_at_once() {
            return Ok(None);
        }
        let base = self.committed_size(keyspace)?;
        Ok(Some((base + self.overlay.size_delta(keyspace)).max(0) as u64))
    }

    fn committed_size(&self, keyspace: KeyspaceId) -> Result<i64, Stop> {
        let record = self.snapshot.get(&keys::size(keyspace))?;
        Ok(record.map_or(0, |record| keys::be_u64(&record) as i64))
    }

    /// The point up to which [`View::rollback`] can undo.
    pub fn mark(&self) -> Mark {
        Mark { written: self.overlay.mark(), incarnations: self.incarnations }
    }

    /// Undoes every write since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        self.overlay.rollback(mark.written);
        self.incarnations = mark.incarnations;
        self.rank_changes.rollback(self.next_number());
        // A database may have been pointed elsewhere since the mark.
        self.forget_databases();
    }

    /// What was written so far counts so much as one transaction, see
    /// [`crate::limits::TRANSACTION_BYTES_MAX`].
    pub fn written_bytes(&self) -> usize {
        self.overlay.mutations().bytes()
    }

    pub(super) fn rank_changes(&mut self) -> &mut Changes {
        &mut self.rank_changes
    }

    /// The number that the next mutation will have.
    pub(super) fn next_number(&self) -> u32 {
        self.overlay.mutations().next_number()
    }

    /// The key that mutation `number` wrote or removed.
    pub(super) fn written_key(&self, number: u32) -> &[u8] {
        self.overlay.mutations().get(number).key()
    }

    /// Whether mutation `number` gave a record a value.
    pub(super) fn is_set(&self, number: u32) -> bool {
        matches!(self.overlay.mutations().get(number), Mutation::Set { .. })
    }

    /// Adds what the group as a whole must write: what its changes make of ranks, what tenants store, and
    /// the exact numbers of keys.
    pub fn finish(&mut self) -> Result<(), Stop> {
        self.settle_ranks()?;
        self.count_bytes()?;
        if !self.answers_at_once() {
            return Ok(());
        }
        for (keyspace, delta) in self.overlay.size_deltas() {
            let size = (self.committed_size(keyspace)? + delta).max(0) as u64;
            self.overlay.set(&keys::size(keyspace), &[&size.to_be_bytes()], 0);
        }
        Ok(())
    }
}

/// Merges a snapshot's records with the group's own writes in the same range.
struct Merge<'v, I: Iterator<Item = Mutation<'v>>> {
    own: std::iter::Peekable<I>,
    scan: Scan<'v>,
    /// Records wanted of the snapshot at most.
    limit: usize,
    left: usize,
}

impl<'v, I: Iterator<Item = Mutation<'v>>> Merge<'v, I> {
    fn new(own: I, scan: Scan<'v>, limit: usize) -> Merge<'v, I> {
        Merge { own: own.peekable(), scan, limit, left: scan.limit }
    }

    fn run(mut self, snapshot: &dyn Snapshot, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        let scan = Scan { limit: self.limit, ..self.scan };
        let mut done = false;
        snapshot.scan(scan, &mut |key, value| {
            let own = match self.own_before(key, visit) {
                ControlFlow::Continue(own) if self.left > 0 => own,
                _ => {
                    done = true;
                    return ControlFlow::Break(());
                }
            };
            let sum = match own {
                None => None,
                Some(Mutation::Add { by, .. }) => {
                    self.own.next();
                    Some(counter_bytes(counter(Some(value)).wrapping_add(by)))
                }
                // It is visited before the next one, unless it is a removal.
                Some(_) => return ControlFlow::Continue(()),
            };
            let value = sum.as_ref().map_or(value, |sum| &sum[..]);
            self.left -= 1;
            let flow = visit(key, value);
            done = flow.is_break();
            flow
        })?;
        if !done {
            let _ = self.own_before_end(visit);
        }
        Ok(())
    }

    /// Visits own writes that come before `key`; the one at `key` itself, which stays the next.
    fn own_before(
        &mut self,
        key: &[u8],
        visit: &mut Visitor<'_>,
    ) -> ControlFlow<(), Option<Mutation<'v>>> {
        while let Some(&own) = self.own.peek() {
            let order = own.key().cmp(key);
            match if self.scan.reverse { order.reverse() } else { order } {
                Ordering::Less => {
                    self.own.next();
                    self.visit_own(own, visit)?;
                }
                Ordering::Equal => return ControlFlow::Continue(Some(own)),
                Ordering::Greater => break,
            }
        }
        ControlFlow::Continue(None)
    }

    fn own_before_end(&mut self, visit: &mut Visitor<'_>) -> ControlFlow<()> {
        while let Some(own) = self.own.next() {
            self.visit_own(own, visit)?;
        }
        ControlFlow::Continue(())
    }

    fn visit_own(&mut self, own: Mutation<'_>, visit: &mut Visitor<'_>) -> ControlFlow<()> {
        let sum;
        let (key, value) = match own {
            Mutation::Set { key, value } => (key, value),
            Mutation::Clear { .. } => return ControlFlow::Continue(()),
            Mutation::Add { key, by } => {
                sum = counter_bytes(by);
                (key, &sum[..])
            }
        };
        if self.left == 0 {
            return ControlFlow::Break(());
        }
        self.left -= 1;
        visit(key, value)
    }
}
