//! Databases as a whole: emptied, exchanged, counted.
//!
//! A database is a number that the catalog maps to a keyspace id. Emptying one gives it an id nobody
//! had before and leaves what was there to the collector, so it costs the caller nothing.
//!
//! A database of a tenant that was never written to has an id too, but no record in the catalog: that
//! is written with its first key, so that background work finds it.

use std::ops::ControlFlow;

use super::keys::{self, FIRST_FREE_KEYSPACE, KeyspaceId, TENANT_KEYSPACES};
use super::meta::Header;
use super::view::{Tenant, View};
use crate::error::{Stop, Together};
use crate::limits::{
    COUNT_BYTES_MAX, COUNT_RANGES_MAX, COUNT_RANGES_MIN, DATABASES, EXPIRES_SEEN_MAX, SCAN_STEP,
};
use crate::store::Scan;

/// What `INFO` tells of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Population {
    /// Keys in it.
    pub keys: u64,
    /// How many of them expire.
    pub expires: u64,
    /// How long these have left on average, in milliseconds.
    pub ttl_ms: u64,
}

impl View<'_> {
    /// Removes all keys of a database.
    pub fn flush_database(&mut self, tenant: Tenant, database: u8) -> Result<(), Stop> {
        let Some(old) = self.used(tenant, database)? else { return Ok(()) };
        let is_metered = self.storage_quota(tenant, database)?.is_some();
        if !self.discard(old)? {
            return Ok(());
        }
        let record = self.get(&keys::next_keyspace())?;
        let new = record.map_or(FIRST_FREE_KEYSPACE, |record| keys::be_u32(&record));
        if new >= TENANT_KEYSPACES {
            return Err(Stop::Failed("all keyspace ids are used up".to_owned()));
        }
        self.set(&keys::next_keyspace(), &[&(new + 1).to_be_bytes()]);
        if is_metered {
            self.discard_meter(old)?;
            self.meter_empty(tenant, new);
        }
        self.set_keyspace(tenant, database, new)
    }

    /// Removes all keys of all databases of a tenant.
    pub fn flush_databases(&mut self, tenant: Tenant) -> Result<(), Stop> {
        let mut together = Together::default();
        for database in 0..DATABASES {
            together.take(self.flush_database(tenant, database))?;
        }
        together.end()
    }

    /// The keyspace of a database that may have keys; `None` if nothing was ever written there.
    pub fn used(&self, tenant: Tenant, database: u8) -> Result<Option<KeyspaceId>, Stop> {
        let known = self.known(tenant, database)?;
        Ok(known.is_registered.then_some(known.shown.keyspace))
    }

    /// Leaves all that is in a keyspace to the collector; `false` if there is nothing.
    pub(super) fn discard(&mut self, keyspace: KeyspaceId) -> Result<bool, Stop> {
        if self.has_no_records(keyspace)? {
            return Ok(false);
        }
        self.set(&keys::trash(keyspace), &[]);
        self.set(&keys::flushed(keyspace), &[]);
        Ok(true)
    }

    fn has_no_records(&self, keyspace: KeyspaceId) -> Result<bool, Stop> {
        let (begin, end) = keys::keyspace_range(keyspace);
        let mut empty = true;
        let scan = Scan { begin: &begin, end: &end, limit: 1, reverse: false };
        self.scan(scan, &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    /// Exchanges what two databases show.
    pub fn swap_databases(&mut self, tenant: Tenant, one: u8, other: u8) -> Result<(), Stop> {
        let (first, second) = (self.keyspace(tenant, one)?, self.keyspace(tenant, other)?);
        if first != second {
            self.set_keyspace(tenant, one, second)?;
            self.set_keyspace(tenant, other, first)?;
            self.make_all_ready();
        }
        Ok(())
    }

    /// How many keys a keyspace has, for stores that keep no count.
    ///
    /// Exact while there are fewer than [`SCAN_STEP`], and as a rule up to nearly
    /// [`COUNT_RANGES_MAX`] times as many; an estimate beyond that, usually within 1 %. It takes at
    /// most two fetches, however many there are.
    pub fn count_keys(&self, keyspace: KeyspaceId) -> Result<u64, Stop> {
        let first = self.count_range(keyspace, 0, u64::MAX)?;
        if first.whole {
            return Ok(first.seen);
        }
        // Larger records mean fewer of them: metas carry the values of short strings.
        let ranges = (COUNT_BYTES_MAX / first.bytes.max(1)) as u64;
        let ranges = ranges.clamp(COUNT_RANGES_MIN, COUNT_RANGES_MAX);
        let width = u64::MAX / ranges;
        let (mut keys, mut together) = (0.0, Together::default());
        for index in 0..ranges {
            let begin = index * width;
            let last = if index + 1 == ranges { u64::MAX } else { begin + (width - 1) };
            let counted = together.take(self.count_range(keyspace, begin, last))?;
            keys += counted.map_or(0.0, |counted| counted.estimate(begin, last));
        }
        together.end()?;
        Ok(keys.round() as u64)
    }

    /// As [`View::count_keys`], from one look: within a few percent where it is not exact.
    pub fn count_keys_roughly(&self, keyspace: KeyspaceId) -> Result<u64, Stop> {
        let first = self.count_range(keyspace, 0, u64::MAX)?;
        Ok(first.estimate(0, u64::MAX).round() as u64)
    }

    /// How many keys a database has: exactly where that is known, otherwise from one look.
    pub fn database_size_roughly(&self, tenant: Tenant, database: u8) -> Result<u64, Stop> {
        let Some(keyspace) = self.used(tenant, database)? else { return Ok(0) };
        match self.exact_size(keyspace)? {
            Some(size) => Ok(size),
            None => self.count_keys_roughly(keyspace),
        }
    }

    /// What there is in a database, from one look.
    ///
    /// Nobody counts the keys that expire, so that giving a key an expiry touches no record but its own
    /// and an index entry, which outlives an overwritten key. They are counted among the first keys:
    /// [`EXPIRES_SEEN_MAX`] where the number of all is known, [`SCAN_STEP`] where keys have to be seen to
    /// estimate that. If there are more, those behind them are taken to be alike, which hash order makes
    /// as good as any sample: of 256 keys, half of which expire, the share is rarely off by more than 6 %.
    pub fn population(&self, tenant: Tenant, database: u8) -> Result<Population, Stop> {
        let Some(keyspace) = self.used(tenant, database)? else { return Ok(Population::default()) };
        let exact = self.exact_size(keyspace)?;
        if exact == Some(0) {
            return Ok(Population::default());
        }
        let limit = exact.map_or(SCAN_STEP, |_| EXPIRES_SEEN_MAX);
        let seen = self.count_some(keyspace, 0, u64::MAX, limit)?;
        let keys = exact.unwrap_or_else(|| seen.estimate(0, u64::MAX).round() as u64);
        let expires = match seen.whole {
            true => seen.expires,
            false => (keys as f64 * (seen.expires as f64 / seen.seen as f64)).round() as u64,
        };
        Ok(Population { keys, expires, ttl_ms: seen.ttl_ms / seen.expires.max(1) })
    }

    /// Counts keys from hash `begin` on, up to hash `last` or until it has seen enough.
    fn count_range(&self, keyspace: KeyspaceId, begin: u64, last: u64) -> Result<Counted, Stop> {
        self.count_some(keyspace, begin, last, SCAN_STEP)
    }

    /// As [`View::count_range`], of so many keys.
    fn count_some(
        &self,
        keyspace: KeyspaceId,
        begin: u64,
        last: u64,
        limit: usize,
    ) -> Result<Counted, Stop> {
        let mut counted = Counted { at: begin, whole: true, ..Counted::default() };
        let now_ms = self.now_ms();
        let metas = keys::metas(keyspace);
        let first = keys::at_hash(&metas, begin);
        let end = match last.checked_add(1) {
            Some(behind) => keys::at_hash(&metas, behind),
            None => keys::prefix_end(&metas),
        };
        let scan = Scan { begin: &first, end: &end, limit, reverse: false };
        self.scan(scan, &mut |key, value| {
            counted.seen += 1;
            counted.bytes += key.len() + value.len();
            counted.at = keys::split_meta(key).0;
            if let Some(header) = Header::decode(value).filter(|header| header.expires_ms != 0) {
                counted.expires += 1;
                let left_ms = header.expires_ms.saturating_sub(now_ms);
                counted.ttl_ms = counted.ttl_ms.saturating_add(left_ms);
            }
            ControlFlow::Continue(())
        })?;
        counted.whole = counted.seen < limit as u64;
        Ok(counted)
    }
}

/// Part of the keys of a hash range.
#[derive(Default)]
struct Counted {
    seen: u64,
    /// Bytes of their records.
    bytes: usize,
    /// Those that expire.
    expires: u64,
    /// How long these have left, together, in milliseconds.
    ttl_ms: u64,
    /// The hash of the last one.
    at: u64,
    /// There are no more.
    whole: bool,
}

impl Counted {
    /// How many keys have hashes from `begin` to `last`. Hashes are spread evenly, so those behind
    /// the last one seen are as dense as those before it.
    fn estimate(&self, begin: u64, last: u64) -> f64 {
        if self.whole {
            return self.seen as f64;
        }
        // The last one ends the stretch that the others lie in.
        let stretch = (self.at - begin).max(1) as f64;
        (self.seen - 1) as f64 * ((last - begin) as f64 / stretch)
    }
}
