//! What happens to records without a client asking: expired keys, orphaned elements, emptied
//! keyspaces.
//!
//! Each kind of work is a scan that finds a bounded number of records to look at (on any snapshot),
//! and a step that looks again inside a write group and changes them. Only the step decides, so the
//! scan may be stale, and several processes may find the same records.

use std::ops::ControlFlow;

use super::keys::{self, KeyspaceId, RecordKey};
use super::view::{Tenant, View};
use crate::error::Stop;
use crate::limits::DATABASES;
use crate::store::{ReadError, Scan, Snapshot};

/// A record that background work should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// An expiry-index entry that is due.
    Expire {
        /// Where the key is.
        keyspace: KeyspaceId,
        /// The entry's time.
        at_ms: u64,
        /// The user's key.
        key: Box<[u8]>,
    },
    /// An element, or another record that nothing refers to any more.
    Clear(RecordKey),
}

/// The keyspaces that databases of the tenant show.
pub fn keyspaces(snapshot: &dyn Snapshot, tenant: Tenant) -> Result<Vec<KeyspaceId>, ReadError> {
    (0..DATABASES)
        .map(|database| {
            let record = snapshot.get(&keys::catalog(tenant, database))?;
            Ok(record.map_or_else(|| keys::initial_keyspace(database), |r| keys::be_u32(&r)))
        })
        .collect()
}

/// Finds up to `limit` expiry-index entries that are due at `now_ms`.
pub fn due(
    snapshot: &dyn Snapshot,
    keyspaces: &[KeyspaceId],
    now_ms: u64,
    limit: usize,
) -> Result<Vec<Chore>, ReadError> {
    let mut chores = Vec::new();
    for &keyspace in keyspaces {
        let begin = keys::expiry_at(keyspace, 0);
        let end = keys::expiry_at(keyspace, now_ms + 1);
        let scan = Scan { begin: &begin, end: &end, limit: limit - chores.len(), reverse: false };
        snapshot.scan(scan, &mut |record, _| {
            let (at_ms, key) = keys::split_expiry(record);
            chores.push(Chore::Expire { keyspace, at_ms, key: key.into() });
            ControlFlow::Continue(())
        })?;
        if chores.len() >= limit {
            break;
        }
    }
    Ok(chores)
}

/// Finds up to `limit` records of orphaned incarnations and of keyspaces to be emptied.
pub fn garbage(snapshot: &dyn Snapshot, limit: usize) -> Result<Vec<Chore>, ReadError> {
    let mut chores = Vec::new();
    let (begin, end) = keys::orphan_range();
    for note in first_keys(snapshot, &begin, &end, limit)? {
        let (keyspace, incarnation) = keys::split_orphan(&note);
        let begin = keys::elements(keyspace, incarnation);
        let end = keys::prefix_end(&begin);
        if !clear_range(snapshot, &begin, &end, limit, &mut chores)? {
            return Ok(chores);
        }
        chores.push(Chore::Clear(note));
    }
    let (begin, end) = keys::trash_range();
    for note in first_keys(snapshot, &begin, &end, limit)? {
        let (begin, end) = keys::keyspace_range(keys::split_trash(&note));
        if !clear_range(snapshot, &begin, &end, limit, &mut chores)? {
            return Ok(chores);
        }
        chores.push(Chore::Clear(note));
    }
    Ok(chores)
}

/// Adds chores for a range's records; whether the range is then empty within the limit.
fn clear_range(
    snapshot: &dyn Snapshot,
    begin: &[u8],
    end: &[u8],
    limit: usize,
    chores: &mut Vec<Chore>,
) -> Result<bool, ReadError> {
    let room = limit.saturating_sub(chores.len());
    let found = first_keys(snapshot, begin, end, room + 1)?;
    let whole = found.len() <= room;
    chores.extend(found.into_iter().take(room).map(Chore::Clear));
    Ok(whole)
}

fn first_keys(
    snapshot: &dyn Snapshot,
    begin: &[u8],
    end: &[u8],
    limit: usize,
) -> Result<Vec<RecordKey>, ReadError> {
    let mut found = Vec::new();
    snapshot.scan(Scan { begin, end, limit, reverse: false }, &mut |key, _| {
        found.push(RecordKey::from_slice(key));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Does one chore inside a write group; whether a key was removed by it.
pub fn step(view: &mut View<'_>, chore: &Chore) -> Result<bool, Stop> {
    match chore {
        Chore::Clear(record) => {
            view.clear(record);
            Ok(false)
        }
        Chore::Expire { keyspace, at_ms, key } => expire(view, *keyspace, *at_ms, key),
    }
}

/// Removes the key if it is due; otherwise files its index entry where it now belongs.
fn expire(view: &mut View<'_>, keyspace: KeyspaceId, at_ms: u64, key: &[u8]) -> Result<bool, Stop> {
    let now_ms = view.now_ms();
    view.clear(&keys::expiry(keyspace, at_ms, key));
    match view.find(keyspace, key)? {
        Some(entry) if !entry.header.is_live(now_ms) => {
            let prior = entry.prior()?;
            view.delete(keyspace, key, prior)?;
            Ok(true)
        }
        Some(entry) if entry.header.expires_ms >= at_ms => {
            let expires_ms = entry.header.expires_ms;
            view.set(&keys::expiry(keyspace, expires_ms, key), &[]);
            Ok(false)
        }
        _ => Ok(false),
    }
}
