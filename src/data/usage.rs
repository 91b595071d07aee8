//! What a tenant stores, in bytes, if its storage is bounded.
//!
//! Counted are the keys and values of the records that hold what users store ([`keys::DATA_KINDS`]), by
//! keyspace, with the commit that changes them: a crash makes no difference to them, and whoever
//! empties a database is rid of its bytes at once. Where records are written without being looked at,
//! a group whose keyspace is counted looks after all, at those it is about to change.
//!
//! What was there before the tenant's storage was bounded is counted by background work (the census),
//! from the first record on in steps. A keyspace's meter record says how far it has come; a
//! group counts what it changes before that place, and leaves the rest to the census.

use std::collections::HashMap;
use std::ops::ControlFlow;

use parking_lot::Mutex;

use super::entry::unreadable;
use super::keys::{self, KeyspaceId, RecordKey};
use super::members::Share;
use super::view::{Known, Tenant, View};
use crate::error::{Stop, Together};
use crate::limits::{CENSUS_NOTES, DATABASES, USAGE_IDLE_LOOKS};
use crate::store::{Mutation, ReadError, Scan, Snapshot, counter};

/// What a tenant stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that have been counted.
    pub bytes: u64,
    /// There are more, which are being counted.
    pub is_counting: bool,
}

impl Usage {
    /// Whether nothing should be added.
    pub fn is_full(&self, quota: u64) -> bool {
        !self.is_counting && self.bytes >= quota
    }
}

/// The meter record of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Meter {
    tenant: Tenant,
    /// What comes before this is counted: the end of a key, from the kind on.
    counted: RecordKey,
}

/// Comes after every key.
const ALL: &[u8] = b"\xff";

impl Meter {
    fn encode(&self) -> RecordKey {
        let mut record = RecordKey::from_slice(&self.tenant.to_be_bytes());
        record.extend_from_slice(&self.counted);
        record
    }

    fn decode(record: &[u8]) -> Option<Meter> {
        let (tenant, counted) = record.split_first_chunk()?;
        let tenant = Tenant::from_be_bytes(*tenant);
        Some(Meter { tenant, counted: RecordKey::from_slice(counted) })
    }

    fn is_done(&self) -> bool {
        *self.counted == *ALL
    }

    fn has_counted(&self, record: &[u8]) -> bool {
        record[4..] < *self.counted
    }
}

/// The record of a tenant's bytes, on stores that answer at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Total {
    bytes: i64,
    /// Keyspaces that are not counted to their end.
    unfinished: i8,
}

impl Total {
    fn decode(record: &[u8]) -> Option<Total> {
        let (bytes, rest) = record.split_first_chunk()?;
        let &[unfinished] = rest else { return None };
        Some(Total {
            bytes: i64::from_be_bytes(*bytes),
            unfinished: i8::from_be_bytes([unfinished]),
        })
    }

    fn add(self, other: Total) -> Total {
        let Total { bytes, unfinished } = other;
        Total { bytes: self.bytes + bytes, unfinished: self.unfinished + unfinished }
    }
}

/// Bytes of a record.
fn size(key: &[u8], value: &[u8]) -> i64 {
    (key.len() + value.len()) as i64
}

/// What tenants store, from the counters of their keyspaces.
pub fn sums(
    snapshot: &dyn Snapshot,
    tenants: &[Tenant],
) -> Result<Vec<(Tenant, Usage)>, ReadError> {
    let (mut sums, mut pending) = (Vec::new(), Ok(()));
    for &tenant in tenants {
        match sum(snapshot, tenant) {
            Ok(usage) => sums.push((tenant, usage)),
            Err(ReadError::Pending) => pending = Err(ReadError::Pending),
            Err(failed) => return Err(failed),
        }
    }
    pending.map(|()| sums)
}

fn sum(snapshot: &dyn Snapshot, tenant: Tenant) -> Result<Usage, ReadError> {
    let mut keyspaces = Vec::new();
    let (begin, end) = keys::catalogs_of(tenant);
    let scan = Scan { begin: &begin, end: &end, limit: DATABASES.into(), reverse: false };
    snapshot.scan(scan, &mut |_, record| {
        keyspaces.push(keys::split_catalog(record).0);
        ControlFlow::Continue(())
    })?;
    let (mut bytes, mut is_counting, mut pending) = (0, false, Ok(()));
    for keyspace in keyspaces {
        let (meter, usage) = (keys::meter(keyspace), keys::usage(keyspace));
        match (snapshot.get_assumed(&meter), snapshot.get(&usage)) {
            (Ok(None), Ok(_)) => {}
            (Ok(Some(meter)), Ok(usage)) => {
                bytes += counter(usage.as_deref());
                is_counting |= Meter::decode(&meter).is_some_and(|meter| !meter.is_done());
            }
            (Err(ReadError::Pending), _) | (_, Err(ReadError::Pending)) => {
                pending = Err(ReadError::Pending);
            }
            (Err(failed), _) | (_, Err(failed)) => return Err(failed),
        }
    }
    pending.map(|()| Usage { bytes: bytes.max(0) as u64, is_counting })
}

impl View<'_> {
    /// What a tenant stores, as of the last commit; that its storage is bounded is for the caller to
    /// know.
    pub fn usage(&self, tenant: Tenant) -> Result<Usage, Stop> {
        match self.usage_if_known(tenant)? {
            Some(usage) => Ok(usage),
            None => Ok(sum(self.snapshot(), tenant)?),
        }
    }

    /// As [`View::usage`], where that is cheap.
    pub fn usage_if_known(&self, tenant: Tenant) -> Result<Option<Usage>, Stop> {
        if !self.answers_at_once() {
            return Ok(None);
        }
        if let Some((owner, usage)) = self.usage.get()
            && owner == tenant
        {
            return Ok(Some(usage));
        }
        let Total { bytes, unfinished } = self.total(tenant)?;
        let usage = Usage { bytes: bytes.max(0) as u64, is_counting: unfinished > 0 };
        self.usage.set(Some((tenant, usage)));
        Ok(Some(usage))
    }

    /// How much a tenant may store; `None`: as much as it likes. It is looked up with one of its databases.
    pub fn storage_quota(&self, tenant: Tenant, database: u8) -> Result<Option<u64>, Stop> {
        Ok(self.known(tenant, database)?.storage)
    }

    /// Begins to count what a tenant stores, now that it has a quota, or ends it.
    pub(super) fn set_metered(&mut self, tenant: Tenant, quota: Option<u64>) -> Result<(), Stop> {
        self.clear(&keys::tenant_usage(tenant));
        self.forget_databases();
        let mut together = Together::default();
        for database in 0..DATABASES {
            let Some(known) = together.take(self.known(tenant, database))? else { continue };
            if known.is_registered {
                together.take(self.meter_database(known, quota))?;
            }
        }
        together.end()
    }

    fn meter_database(&mut self, known: Known, quota: Option<u64>) -> Result<(), Stop> {
        let Known { tenant, shown, .. } = known;
        let keyspace = shown.keyspace;
        self.write_catalog(Known { storage: quota, ..known });
        self.end_meter(keyspace);
        if quota.is_none() {
            return Ok(());
        }
        if self.had_no_records(keyspace)? {
            self.meter_empty(tenant, keyspace);
            return Ok(());
        }
        let meter = Meter { tenant, counted: RecordKey::new() };
        self.set(&keys::meter(keyspace), &[&meter.encode()]);
        self.set(&keys::census(keyspace), &[]);
        self.change_total(tenant, Total { unfinished: 1, bytes: 0 })
    }

    /// Whether nothing was in a keyspace before the group.
    fn had_no_records(&self, keyspace: KeyspaceId) -> Result<bool, Stop> {
        let (begin, end) = keys::keyspace_range(keyspace);
        let (mut empty, scan) = (true, Scan { begin: &begin, end: &end, limit: 1, reverse: false });
        self.snapshot().scan(scan, &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    fn end_meter(&mut self, keyspace: KeyspaceId) {
        self.clear(&keys::meter(keyspace));
        self.clear(&keys::census(keyspace));
        self.clear(&keys::usage(keyspace));
    }

    /// Begins to count in a keyspace that has no records.
    pub(super) fn meter_empty(&mut self, tenant: Tenant, keyspace: KeyspaceId) {
        let meter = Meter { tenant, counted: RecordKey::from_slice(ALL) };
        self.set(&keys::meter(keyspace), &[&meter.encode()]);
        self.may_be_metered(keyspace);
    }

    /// A keyspace is emptied: it counts no more.
    pub(super) fn discard_meter(&mut self, keyspace: KeyspaceId) -> Result<(), Stop> {
        let Some(meter) = self.meter(keyspace)? else { return Ok(()) };
        if self.answers_at_once() {
            let bytes = -(self.counter(&keys::usage(keyspace))? as i64);
            let unfinished = -i8::from(!meter.is_done());
            self.change_total(meter.tenant, Total { bytes, unfinished })?;
        }
        self.end_meter(keyspace);
        Ok(())
    }

    /// The bytes of a keyspace may have to be counted.
    pub(super) fn may_be_metered(&self, keyspace: KeyspaceId) {
        let mut metered = self.metered.borrow_mut();
        if let Err(at) = metered.binary_search(&keyspace) {
            metered.insert(at, keyspace);
        }
    }

    fn meter(&self, keyspace: KeyspaceId) -> Result<Option<Meter>, Stop> {
        match self.assumed(&keys::meter(keyspace))? {
            Some(record) => Meter::decode(&record).map(Some).ok_or_else(unreadable),
            None => Ok(None),
        }
    }

    fn total(&self, tenant: Tenant) -> Result<Total, Stop> {
        match self.get(&keys::tenant_usage(tenant))? {
            Some(record) => Total::decode(&record).ok_or_else(unreadable),
            None => Ok(Total::default()),
        }
    }

    /// Changes what the tenant's own record says, where it has one.
    fn change_total(&mut self, tenant: Tenant, by: Total) -> Result<(), Stop> {
        if !self.answers_at_once() {
            return Ok(());
        }
        let Total { bytes, unfinished } = self.total(tenant)?.add(by);
        let value = [&bytes.to_be_bytes()[..], &unfinished.to_be_bytes()];
        self.set(&keys::tenant_usage(tenant), &value);
        self.usage.set(None);
        Ok(())
    }

    fn change_usage(
        &mut self,
        tenant: Tenant,
        keyspace: KeyspaceId,
        bytes: i64,
    ) -> Result<(), Stop> {
        if bytes == 0 {
            return Ok(());
        }
        self.add(&keys::usage(keyspace), bytes.into())?;
        self.change_total(tenant, Total { bytes, unfinished: 0 })
    }

    /// Counts what the group changes.
    pub(super) fn count_bytes(&mut self) -> Result<(), Stop> {
        let keyspaces = self.metered.take();
        if self.mutations().next().is_none() {
            return Ok(());
        }
        let mut together = Together::default();
        let mut changes = Vec::new();
        for keyspace in keyspaces {
            if let Some(meter) = together.take(self.meter(keyspace))?.flatten() {
                changes.push((keyspace, meter, 0));
            }
        }
        if changes.is_empty() {
            return together.end();
        }
        for mutation in self.mutations() {
            let key = mutation.key();
            let Some(keyspace) = keys::keyspace_of_data(key) else { continue };
            let found = changes.binary_search_by_key(&keyspace, |(of, ..)| *of);
            let Ok((_, meter, change)) = found.map(|at| &mut changes[at]) else { continue };
            let new = match mutation {
                Mutation::Set { value, .. } => size(key, value),
                Mutation::Clear { .. } | Mutation::Add { .. } => 0,
            };
            if meter.has_counted(key)
                && let Some(old) = together.take(self.get_stored(key))?
            {
                *change += new - old.map_or(0, |value| size(key, &value));
            }
        }
        together.end()?;
        changes.into_iter().try_for_each(|(keyspace, meter, change)| {
            self.change_usage(meter.tenant, keyspace, change)
        })
    }

    /// Goes on with the census of a keyspace, by up to `limit` records of each kind.
    pub(super) fn take_census(&mut self, keyspace: KeyspaceId, limit: usize) -> Result<(), Stop> {
        let Some(Meter { tenant, mut counted }) = self.meter(keyspace)? else {
            self.clear(&keys::census(keyspace));
            return Ok(());
        };
        let (mut bytes, mut is_done) = (0, true);
        for kind in keys::DATA_KINDS {
            let (first, end) = keys::kind_range(keyspace, kind);
            let mut begin = RecordKey::from_slice(&keyspace.to_be_bytes());
            begin.extend_from_slice(&counted);
            let begin = begin.max(first);
            if begin >= end {
                continue;
            }
            let (mut seen, mut last) = (0, RecordKey::new());
            let scan = Scan { begin: &begin, end: &end, limit, reverse: false };
            // What the group itself changes is not the census's: it is counted when the group ends.
            self.snapshot().scan(scan, &mut |key, value| {
                seen += 1;
                bytes += size(key, value);
                if seen == limit {
                    last = RecordKey::from_slice(key);
                }
                ControlFlow::Continue(())
            })?;
            if seen == limit {
                counted = RecordKey::from_slice(&last[4..]);
                counted.push(0);
                is_done = false;
                break;
            }
        }
        if is_done {
            counted = RecordKey::from_slice(ALL);
            self.clear(&keys::census(keyspace));
            self.change_total(tenant, Total { unfinished: -1, bytes: 0 })?;
        }
        self.set(&keys::meter(keyspace), &[&Meter { tenant, counted }.encode()]);
        self.may_be_metered(keyspace);
        self.change_usage(tenant, keyspace, bytes)
    }
}

/// Finds a keyspace of this process's share whose bytes are not all counted.
pub fn to_be_counted(
    snapshot: &dyn Snapshot,
    share: Share,
) -> Result<Option<KeyspaceId>, ReadError> {
    let (begin, end) = keys::census_range();
    let (mut found, scan) =
        (None, Scan { begin: &begin, end: &end, limit: CENSUS_NOTES, reverse: false });
    snapshot.scan(scan, &mut |note, _| match share.has(note) {
        true => {
            found = Some(keys::split_census(note));
            ControlFlow::Break(())
        }
        false => ControlFlow::Continue(()),
    })?;
    Ok(found)
}

/// What tenants store, where only the store knows exactly: those that somebody asked for, as of the
/// last look.
#[derive(Debug, Default)]
pub struct Usages(Mutex<HashMap<Tenant, Seen>>);

#[derive(Debug, Default)]
struct Seen {
    usage: Usage,
    /// Looks since somebody asked.
    idle: u32,
}

impl Usages {
    /// What a tenant stores. Nothing until the next look, if nobody has asked for it recently.
    pub fn of(&self, tenant: Tenant) -> Usage {
        let mut seen = self.0.lock();
        let seen = seen.entry(tenant).or_default();
        seen.idle = 0;
        seen.usage
    }

    /// Whom to look at now: tenants that somebody asked for.
    pub fn wanted(&self) -> Vec<Tenant> {
        let mut seen = self.0.lock();
        seen.retain(|_, seen| {
            seen.idle += 1;
            seen.idle <= USAGE_IDLE_LOOKS
        });
        seen.keys().copied().collect()
    }

    /// Notes what was found.
    pub fn learn(&self, tenant: Tenant, usage: Usage) {
        if let Some(seen) = self.0.lock().get_mut(&tenant) {
            seen.usage = usage;
        }
    }
}
