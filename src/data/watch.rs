//! `WATCH`: whether a key has been modified since.
//!
//! A key that is there tells by its stamp, which every modification renews. One that is not there
//! tells by a trace: whoever *removes* a record leaves behind which one it was, in one of 1024 places
//! by the key's hash. A key that is absent, as it was, and whose trace is the same, was not created in
//! between. Only removals leave traces, and they read the record first anyway, so a blind write needs
//! to know nothing of who watches, in this process or in another.

use super::entry::{Entry, Prior};
use super::keys::{self, KeyspaceId};
use super::meta::{Header, Stamp};
use super::view::{Shown, Tenant, View};
use crate::error::{Stop, Together};
use crate::limits::DATABASES;

/// Tells which record was removed last: its stamp, which it may share with records that the same
/// command wrote, and its key's hash.
type Trace = [u8; 20];

/// What a watched key was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// What its database showed.
    shown: Shown,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There, last modified then.
    Present(Modified),
    /// Not there.
    Absent {
        /// The trace it shares with others.
        trace: Option<Trace>,
        /// The stamp of its record, if that was expired and not swept yet.
        expired: Option<Stamp>,
    },
}

fn trace_of(stamp: Stamp, key: &[u8]) -> Trace {
    let mut trace = [0; 20];
    trace[..12].copy_from_slice(&stamp);
    trace[12..].copy_from_slice(&keys::hash64(key).to_be_bytes());
    trace
}

/// Tells one state of a key that is there from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Modified {
    stamp: Stamp,
    /// How often its elements were modified, if that leaves the meta as it is.
    modifications: u64,
}

impl View<'_> {
    fn modified(&self, keyspace: KeyspaceId, entry: &Entry<'_>) -> Result<Modified, Stop> {
        let Header { kind, stamp, .. } = entry.header;
        let elements = entry.elements()?.filter(|_| kind.is_counted());
        let modifications = match elements {
            Some(elements) => self.count(keyspace, elements.incarnation)?.modifications,
            None => 0,
        };
        Ok(Modified { stamp, modifications })
    }

    /// What `WATCH` remembers of the key.
    pub fn watch(&self, tenant: Tenant, database: u8, key: &[u8]) -> Result<Watched, Stop> {
        let shown = self.shown(tenant, database)?;
        let keyspace = shown.keyspace;
        let expired = match self.find(keyspace, key) {
            Ok(Some(entry)) if entry.header.is_live(self.now_ms()) => {
                let modified = self.modified(keyspace, &entry)?;
                return Ok(Watched { shown, state: State::Present(modified) });
            }
            Ok(entry) => entry.map(|entry| entry.header.stamp),
            Err(stop) => {
                // The trace is likely to be wanted too, in the same fetch.
                self.trace(keyspace, key)?;
                return Err(stop);
            }
        };
        let state = State::Absent { trace: self.trace(keyspace, key)?, expired };
        Ok(Watched { shown, state })
    }

    /// Whether the key has not been modified since it was watched.
    ///
    /// A key that was not there counts as modified if one that shares its trace was removed, or if its
    /// database was flushed or swapped more than once, or is being collected: rarely too often, never
    /// too seldom.
    pub fn is_as_watched(
        &self,
        tenant: Tenant,
        database: u8,
        key: &[u8],
        watched: &Watched,
    ) -> Result<bool, Stop> {
        let (now, before) = (self.shown(tenant, database)?, watched.shown);
        match watched.state {
            State::Present(modified) => {
                let entry = self.find(now.keyspace, key)?.filter(|_| now == before);
                let live = entry.filter(|entry| entry.header.is_live(self.now_ms()));
                match live {
                    Some(entry) => Ok(self.modified(now.keyspace, &entry)? == modified),
                    None => Ok(false),
                }
            }
            State::Absent { trace, expired } if now == before => {
                self.is_absent_since(now.keyspace, key, trace, expired)
            }
            State::Absent { trace, expired } => {
                // What it showed in between, if it was switched more than once, nobody knows.
                Ok(now.switches == before.switches.wrapping_add(1)
                    && self.is_absent_since(now.keyspace, key, None, None)?
                    && self.is_kept(tenant, before.keyspace)?
                    && self.is_absent_since(before.keyspace, key, trace, expired)?)
            }
        }
    }

    /// Whether the key has been absent ever since this was its trace, and its expired record.
    fn is_absent_since(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        trace: Option<Trace>,
        expired: Option<Stamp>,
    ) -> Result<bool, Stop> {
        // Both are asked for before either is missed, so that one fetch brings both.
        let (entry, now) = (self.find(keyspace, key), self.trace(keyspace, key));
        let (entry, now) = (entry?, now?);
        Ok(match entry {
            // The same record is still expired, unless the clock of another process was ahead.
            Some(entry) => {
                expired == Some(entry.header.stamp) && !entry.header.is_live(self.now_ms())
            }
            // It was absent, or has been swept since.
            None => now == trace || expired.is_some_and(|stamp| now == Some(trace_of(stamp, key))),
        })
    }

    /// Whether a keyspace still has all its records: a database shows it, or it has been flushed and
    /// not been touched by the collector.
    fn is_kept(&self, tenant: Tenant, keyspace: KeyspaceId) -> Result<bool, Stop> {
        let mut together = Together::default();
        for database in 0..DATABASES {
            if together.take(self.keyspace(tenant, database))? == Some(keyspace) {
                return Ok(true);
            }
        }
        together.end()?;
        Ok(self.get(&keys::flushed(keyspace))?.is_some())
    }

    fn trace(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Trace>, Stop> {
        let record = self.get(&keys::removals(keyspace, key))?;
        // What another version left there is as good as nothing: nobody has seen it as a trace.
        Ok(record.and_then(|record| record.as_ref().try_into().ok()))
    }

    /// Leaves the trace of a removed record.
    pub(super) fn leave_trace(&mut self, keyspace: KeyspaceId, key: &[u8], removed: Prior) {
        if let Prior::Present { header, .. } = removed {
            self.set(&keys::removals(keyspace, key), &[&trace_of(header.stamp, key)]);
        }
    }
}
