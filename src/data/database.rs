//! Databases as a whole: emptied, exchanged, counted.
//!
//! A database is a number that the catalog maps to a keyspace id. Emptying one gives it an id nobody
//! had before and leaves what was there to the collector, so it costs the caller nothing.

use std::ops::ControlFlow;

use super::keys::{self, FIRST_FREE_KEYSPACE, KeyspaceId, RecordKey};
use super::view::{Tenant, View};
use crate::error::Stop;
use crate::limits::SCAN_STEP;
use crate::store::Scan;

impl View<'_> {
    /// Removes all keys of a database.
    pub fn flush_database(&mut self, tenant: Tenant, database: u8) -> Result<(), Stop> {
        let old = self.keyspace(tenant, database)?;
        if self.has_no_records(old)? {
            return Ok(());
        }
        let record = self.get(&keys::next_keyspace())?;
        let new = record.map_or(FIRST_FREE_KEYSPACE, |record| keys::be_u32(&record));
        let next = new.checked_add(1).filter(|next| *next < KeyspaceId::MAX);
        let next = next.ok_or_else(|| Stop::Failed("all keyspace ids are used up".to_owned()))?;
        self.set(&keys::next_keyspace(), &[&next.to_be_bytes()]);
        self.set(&keys::trash(old), &[]);
        self.set(&keys::flushed(old), &[]);
        self.set_keyspace(tenant, database, new)
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
        }
        Ok(())
    }

    /// Counts the keys of a keyspace one by one, for stores that keep no count.
    pub fn count_keys(&self, keyspace: KeyspaceId) -> Result<u64, Stop> {
        let end = keys::meta_end(keyspace);
        let mut begin = keys::meta_at(keyspace, 0);
        let mut count = 0;
        loop {
            let (mut seen, mut last) = (0, RecordKey::new());
            let scan = Scan { begin: &begin, end: &end, limit: SCAN_STEP, reverse: false };
            self.scan(scan, &mut |key, _| {
                seen += 1;
                if seen == SCAN_STEP {
                    last = RecordKey::from_slice(key);
                }
                ControlFlow::Continue(())
            })?;
            count += seen as u64;
            if seen < SCAN_STEP {
                return Ok(count);
            }
            last.push(0);
            begin = last;
        }
    }
}
