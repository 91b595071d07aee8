//! What tenants may use of this process: connections, commands per second, bytes of a request.
//!
//! Each process counts for itself. Storage is counted by the data ([`crate::data`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::data::Tenant;
use crate::data::tenants::Quota;

/// A second's worth of commands may come at once.
const BURST_US: u64 = 1_000_000;

/// The tenants that have connections.
#[derive(Debug, Default)]
pub struct Allowances {
    tenants: Mutex<HashMap<Tenant, Arc<Allowance>>>,
}

impl Allowances {
    /// A place for one more connection of the tenant of this name, whose quota is this now; `None` if it has as
    /// many as it may.
    pub fn enter(&self, tenant: Tenant, name: &str, quota: &Quota) -> Option<Seat> {
        let mut tenants = self.tenants.lock();
        let allowance = tenants.entry(tenant).or_insert_with(|| Arc::new(Allowance::new(name)));
        allowance.update(quota);
        let taken = allowance.taken.fetch_add(1, Ordering::Relaxed) as u64;
        let seat = Seat { tenant, allowance: Arc::clone(allowance) };
        (taken < quota.connections.unwrap_or(u64::MAX)).then_some(seat)
    }

    /// The tenants that have connections, or have more to pay for, at a time in microseconds from the start of
    /// the process. Of the others those are forgotten that make it more than `kept`.
    pub fn tenants(&self, now_us: u64, kept: usize) -> Vec<Tenant> {
        let mut tenants = self.tenants.lock();
        let mut surplus = tenants.len().saturating_sub(kept);
        tenants.retain(|_, allowance| {
            let is_there = allowance.taken.load(Ordering::Relaxed) > 0
                || allowance.paid_us.load(Ordering::Relaxed) > now_us;
            let is_kept = is_there || surplus == 0;
            surplus -= usize::from(!is_kept);
            is_kept
        });
        tenants.keys().copied().collect()
    }

    /// What is known of the tenants that have connections, or had, by name. What they did counts from the first of
    /// these on. One that was dropped may have come back while connections of the old one are there.
    pub fn activities(&self) -> Vec<Activity> {
        let mut activities: Vec<_> = {
            let tenants = self.tenants.lock();
            tenants.iter().map(|(tenant, allowance)| (*tenant, allowance.activity())).collect()
        };
        activities.sort_unstable_by(|(tenant, one), (other, another)| {
            (&one.name, tenant).cmp(&(&another.name, other))
        });
        let mut activities: Vec<_> = activities.into_iter().map(|(_, activity)| activity).collect();
        activities.dedup_by(|newer, older| {
            let is_same = newer.name == older.name;
            if is_same {
                older.include(newer);
            }
            is_same
        });
        activities
    }

    /// Notes what a tenant stores and may store, for those who watch.
    pub fn note_storage(&self, tenant: Tenant, bytes: u64, quota: Option<u64>) {
        if let Some(allowance) = self.tenants.lock().get(&tenant) {
            allowance.stored.store(bytes, Ordering::Relaxed);
            allowance.storage.store(quota.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Counts a connection that a tenant was refused.
    pub fn turned_away(&self, tenant: Tenant) {
        if let Some(allowance) = self.tenants.lock().get(&tenant) {
            allowance.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Applies a quota to the connections that are there.
    pub fn update(&self, tenant: Tenant, quota: &Quota) {
        if let Some(allowance) = self.tenants.lock().get(&tenant) {
            allowance.update(quota);
        }
    }
}

/// What one tenant may use, and does.
#[derive(Debug)]
struct Allowance {
    /// Connections that are there.
    taken: AtomicUsize,
    /// Bytes of a request.
    request_bytes: AtomicUsize,
    /// Commands per second, 0 for any number.
    commands: AtomicU64,
    /// When all commands so far are paid for, microseconds from the start of the process.
    paid_us: AtomicU64,
    name: Box<str>,
    /// Commands admitted.
    executed: AtomicU64,
    /// Bytes of requests.
    received: AtomicU64,
    /// Error replies.
    errors: AtomicU64,
    /// Connections refused because it had as many as it may.
    turned_away: AtomicU64,
    /// Batches that had to wait for commands to be paid for.
    throttled: AtomicU64,
    /// How long they have waited, in microseconds.
    throttled_us: AtomicU64,
    /// Bytes stored, where they are counted.
    stored: AtomicU64,
    /// Bytes that may be stored, `u64::MAX` for any number.
    storage: AtomicU64,
}

/// What a tenant's connections did, and what it stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The tenant's name.
    pub name: Box<str>,
    /// Connections that are there.
    pub connections: u64,
    /// Commands admitted.
    pub commands: u64,
    /// Bytes of requests.
    pub received: u64,
    /// Error replies.
    pub errors: u64,
    /// Connections refused because it had as many as it may.
    pub turned_away: u64,
    /// Batches that had to wait for commands to be paid for.
    pub throttled: u64,
    /// How long they have waited, in microseconds.
    pub throttled_us: u64,
    /// Bytes stored and bytes that may be, if that has a bound.
    pub storage: Option<(u64, u64)>,
}

impl Activity {
    /// Counts what the tenant that now has this name did, and what that one stores.
    fn include(&mut self, newer: &Activity) {
        self.connections += newer.connections;
        self.commands += newer.commands;
        self.received += newer.received;
        self.errors += newer.errors;
        self.turned_away += newer.turned_away;
        self.throttled += newer.throttled;
        self.throttled_us += newer.throttled_us;
        self.storage = newer.storage;
    }
}

impl Allowance {
    fn new(name: &str) -> Allowance {
        Allowance {
            name: name.into(),
            executed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            throttled_us: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            storage: AtomicU64::new(u64::MAX),
            taken: AtomicUsize::new(0),
            request_bytes: AtomicUsize::new(usize::MAX),
            commands: AtomicU64::new(0),
            paid_us: AtomicU64::new(0),
        }
    }

    fn activity(&self) -> Activity {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let quota = get(&self.storage);
        Activity {
            name: self.name.clone(),
            connections: self.taken.load(Ordering::Relaxed) as u64,
            commands: get(&self.executed),
            received: get(&self.received),
            errors: get(&self.errors),
            turned_away: get(&self.turned_away),
            throttled: get(&self.throttled),
            throttled_us: get(&self.throttled_us),
            storage: (quota < u64::MAX).then(|| (get(&self.stored), quota)),
        }
    }

    fn update(&self, quota: &Quota) {
        let bytes = quota.request.and_then(|bytes| bytes.try_into().ok());
        self.request_bytes.store(bytes.unwrap_or(usize::MAX), Ordering::Relaxed);
        self.commands.store(quota.commands.unwrap_or(0), Ordering::Relaxed);
    }
}

/// A connection's place among those of its tenant; given back on drop.
#[derive(Debug)]
pub struct Seat {
    /// Whose it is.
    pub tenant: Tenant,
    allowance: Arc<Allowance>,
}

impl Seat {
    /// Longest request, in bytes.
    pub fn request_bytes_max(&self) -> usize {
        self.allowance.request_bytes.load(Ordering::Relaxed)
    }

    /// How long to wait before so many commands are executed, at the time `now_us`, in microseconds from the
    /// start of the process, which is asked for only if it matters. They count whether or not somebody
    /// waits.
    pub fn wait_for(&self, commands: usize, now_us: impl FnOnce() -> u64) -> Duration {
        let rate = self.allowance.commands.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        // From the end of what is paid, but what was not used in the last second is lost.
        let now_us = now_us() + BURST_US;
        let paid =
            |paid: u64| Some(paid.max(now_us - BURST_US).saturating_add(cost(commands, rate)));
        let before =
            self.allowance.paid_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
        let paid = before.ok().and_then(paid).unwrap_or(0);
        Duration::from_micros(paid.saturating_sub(now_us))
    }

    /// Counts commands that were admitted, and the bytes of their requests.
    pub fn count(&self, commands: usize, bytes: usize) {
        self.allowance.executed.fetch_add(commands as u64, Ordering::Relaxed);
        self.allowance.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts error replies.
    pub fn failed(&self, errors: u64) {
        if errors > 0 {
            self.allowance.errors.fetch_add(errors, Ordering::Relaxed);
        }
    }

    /// Counts batches that have to wait, and microseconds that some have waited.
    pub fn throttled(&self, batches: u64, us: u64) {
        self.allowance.throttled.fetch_add(batches, Ordering::Relaxed);
        self.allowance.throttled_us.fetch_add(us, Ordering::Relaxed);
    }

    /// So many commands that have been counted are not executed.
    pub fn give_back(&self, commands: usize) {
        let rate = self.allowance.commands.load(Ordering::Relaxed);
        if rate > 0 {
            let less = |paid: u64| Some(paid.saturating_sub(cost(commands, rate)));
            let _ = self.allowance.paid_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

/// Microseconds that so many commands take at this rate.
fn cost(commands: usize, rate: u64) -> u64 {
    (commands as u64).saturating_mul(1_000_000) / rate
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.allowance.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(connections: u64, commands: u64) -> Quota {
        let (connections, commands) = (Some(connections), Some(commands));
        Quota { connections, commands, ..Quota::default() }
    }

    #[test]
    fn a_tenant_has_as_many_places_as_it_may() {
        let allowances = Allowances::default();
        let first = allowances.enter(1, "t1", &quota(2, 1)).unwrap();
        let second = allowances.enter(1, "t1", &quota(2, 1)).unwrap();
        assert!(allowances.enter(1, "t1", &quota(2, 1)).is_none());
        assert!(allowances.enter(2, "t2", &quota(1, 1)).is_some(), "others have their own");
        assert_eq!(allowances.tenants(0, 0), [1]);
        drop(first);
        assert!(allowances.enter(1, "t1", &quota(2, 1)).is_some());
        assert!(allowances.enter(1, "t1", &Quota::default()).is_some());
        drop(second);
        assert_eq!(allowances.tenants(0, 1), [1], "it is remembered where that is wanted");
        assert!(allowances.tenants(0, 0).is_empty());
    }

    #[test]
    fn commands_wait_when_a_second_s_worth_has_come() {
        let allowances = Allowances::default();
        let seat = allowances.enter(1, "t1", &quota(9, 1000)).unwrap();
        let wait = |commands, at_ms: u64| seat.wait_for(commands, || at_ms * 1000).as_millis();
        assert_eq!(wait(1000, 5_000), 0, "at once");
        assert_eq!((wait(1, 5_000), wait(99, 5_000)), (1, 100));
        assert_eq!(wait(100, 5_200), 0, "paid for");
        assert_eq!(wait(100, 5_200), 100);
        assert_eq!(
            (wait(1000, 60_000), wait(10, 60_000)),
            (0, 10),
            "not more than a second's worth"
        );
        let debt = |at_ms: u64| allowances.tenants(at_ms * 1000, 0).len();
        let other = allowances.enter(2, "t2", &quota(1, 10)).unwrap();
        assert_eq!(other.wait_for(20, || 0).as_secs(), 1);
        drop(other);
        assert_eq!((debt(1_500), debt(2_500)), (2, 1), "who leaves still has to pay");
        seat.give_back(10);
        assert_eq!(wait(5, 60_000), 5);
        allowances.update(1, &Quota::default());
        assert_eq!(wait(1_000_000, 60_000), 0);
    }

    #[test]
    fn a_name_has_one_activity() {
        let allowances = Allowances::default();
        let seats = [(2, "a"), (3, "b"), (7, "a")]
            .map(|(tenant, name)| allowances.enter(tenant, name, &Quota::default()).unwrap());
        for (times, seat) in seats.iter().enumerate() {
            seat.count(times + 1, 10);
            seat.failed(1);
            seat.throttled(1, 500);
        }
        allowances.turned_away(2);
        allowances.turned_away(7);
        allowances.note_storage(2, 5, Some(9));
        allowances.note_storage(3, 6, Some(9));
        let told = allowances.activities();
        let held_back = told.iter().map(|a| (a.throttled, a.throttled_us, a.turned_away));
        assert_eq!(held_back.collect::<Vec<_>>(), [(2, 1000, 2), (1, 500, 0)]);
        let told: Vec<_> =
            told.iter().map(|a| (&*a.name, a.commands, a.errors, a.storage)).collect();
        assert_eq!(told, [("a", 4, 2, None), ("b", 2, 1, Some((6, 9)))]);
    }

    #[test]
    fn a_quota_is_everybody_s_at_once() {
        let allowances = Allowances::default();
        let seat = allowances.enter(1, "t1", &Quota::default()).unwrap();
        assert_eq!(seat.request_bytes_max(), usize::MAX);
        allowances.update(1, &Quota { request: Some(5), ..Quota::default() });
        assert_eq!(seat.request_bytes_max(), 5);
    }
}
