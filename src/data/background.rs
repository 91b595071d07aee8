//! What happens to records without a client asking: expired keys, orphaned elements, emptied
//! keyspaces.
//!
//! Each kind of work is a search that finds a bounded number of records to look at (on any snapshot),
//! and a step that looks again inside a write group and changes them. Only the step decides, so a
//! search may be stale, and several processes may find the same records.
//!
//! A search remembers where the last one ended. Removed records leave marks behind in a log-structured
//! store; a search that began at the front each time would read all of them again and again.

mod audit;
mod tour;

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::keys::{self, Incarnation, KeyspaceId, RecordKey};
use super::members::{self, ProcessId, Share};
use super::view::{Tenant, View};
use crate::error::Stop;
use crate::limits::{
    CHORES_KEY_BYTES_MAX, CHORES_MAX, SWEEP_AGAIN_MS, SWEEP_MARKS_MAX, SWEEP_OVERLAP_MS,
    SWEEP_PASSED_OVER,
};
use crate::store::{ReadError, Scan, Snapshot};

pub use self::audit::Audit;
pub use self::tour::{Space, Tour};

/// A record that background work should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// An expiry-index entry that is due.
    Expire {
        /// Whose it is.
        tenant: Tenant,
        /// Where the key is.
        keyspace: KeyspaceId,
        /// The entry's time.
        at_ms: u64,
        /// The user's key.
        key: Box<[u8]>,
    },
    /// An element, or another record that nothing refers to any more.
    Clear(RecordKey),
    /// The process's own record, if it is there, is to change.
    Beat {
        /// Whose it is.
        process: ProcessId,
        /// What nobody has seen before.
        beat: u64,
    },
    /// Everything of a process that has been silent for very long.
    Forget {
        /// Which.
        process: ProcessId,
    },
    /// A registered incarnation whose key seems to have another one.
    Audit {
        /// Whose it is.
        tenant: Tenant,
        /// Where the key is.
        keyspace: KeyspaceId,
        /// The incarnation.
        incarnation: Incarnation,
        /// The key it was registered for.
        key: Box<[u8]>,
    },
    /// A keyspace whose bytes are not all counted.
    Count {
        /// Which.
        keyspace: KeyspaceId,
        /// Records to look at.
        limit: usize,
    },
    /// A key to which another process may have given what somebody waits for.
    Serve {
        /// Whose it is.
        tenant: Tenant,
        /// Where they wait for it.
        database: u8,
        /// The user's key.
        key: Box<[u8]>,
    },
}

impl Chore {
    /// When the key expired that it is to remove, in Unix milliseconds.
    pub fn due_ms(&self) -> Option<u64> {
        match self {
            Chore::Expire { at_ms, .. } => Some(*at_ms),
            _ => None,
        }
    }

    /// The user's key that it is about, if there is one, and whose it is.
    pub fn key(&self) -> Option<(Tenant, &[u8])> {
        match self {
            Chore::Expire { tenant, key, .. }
            | Chore::Audit { tenant, key, .. }
            | Chore::Serve { tenant, key, .. } => Some((*tenant, key)),
            Chore::Clear(_) | Chore::Count { .. } | Chore::Beat { .. } | Chore::Forget { .. } => {
                None
            }
        }
    }
}

/// Looks for expiry-index entries that are due.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Where to go on in each keyspace's index.
    marks: HashMap<KeyspaceId, RecordKey>,
    /// The keyspace to begin with: none waits for another's work to end.
    turn: usize,
    /// When the marks were last dropped, Unix milliseconds.
    began_ms: u64,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Due {
    /// Entries to look at.
    pub chores: Vec<Chore>,
    /// Where to go on in each keyspace that was not seen to its end.
    marks: Vec<(KeyspaceId, RecordKey)>,
    /// Those keyspaces, and those that were not looked into at all.
    pub unseen: Vec<Space>,
}

impl Sweep {
    /// Finds up to `limit` entries of this process's share that are due at `now_ms`.
    pub fn due(
        &self,
        snapshot: &dyn Snapshot,
        spaces: &[Space],
        now_ms: u64,
        limit: usize,
        share: Share,
    ) -> Result<Due, ReadError> {
        let mut due = Due::default();
        let mut pending = Ok(());
        // Those of others are passed over, but not without end.
        let passed_over_max = limit.saturating_mul(SWEEP_PASSED_OVER);
        let (mut left, mut bytes) = (passed_over_max, 0);
        for index in 0..spaces.len() {
            let space = spaces[(index + self.turn) % spaces.len()];
            if due.chores.len() == limit || left == 0 || bytes >= CHORES_KEY_BYTES_MAX {
                due.unseen.push(space);
                continue;
            }
            let Space { tenant, keyspace } = space;
            let first = keys::expiry_at(keyspace, 0);
            let begin = self.marks.get(&keyspace).unwrap_or(&first);
            let end = keys::expiry_at(keyspace, now_ms.saturating_add(1));
            // The same whatever the others had, so that all are fetched together.
            let scan = Scan { begin, end: &end, limit: passed_over_max, reverse: false };
            let Due { chores, marks, unseen } = &mut due;
            let scanned = snapshot.scan(scan, &mut |record, _| {
                left -= 1;
                let (at_ms, key) = keys::split_expiry(record);
                if share.has(key) {
                    bytes += key.len();
                    chores.push(Chore::Expire { tenant, keyspace, at_ms, key: key.into() });
                }
                if chores.len() < limit && left > 0 && bytes < CHORES_KEY_BYTES_MAX {
                    return ControlFlow::Continue(());
                }
                let mut behind = RecordKey::from_slice(record);
                behind.push(0);
                marks.push((keyspace, behind));
                unseen.push(space);
                ControlFlow::Break(())
            });
            match scanned {
                Err(ReadError::Pending) => pending = Err(ReadError::Pending),
                outcome => outcome?,
            }
        }
        pending.map(|()| due)
    }

    /// Looks through everything again: what was passed over may be this process's share by now.
    pub fn restart(&mut self) {
        self.marks.clear();
    }

    /// Moves on, given what [`Sweep::due`] found at `now_ms` and that it has been dealt with.
    pub fn done(&mut self, due: &Due, spaces: &[Space], now_ms: u64) {
        self.turn = self.turn.wrapping_add(1);
        let is_long_ago = now_ms.saturating_sub(self.began_ms) > SWEEP_AGAIN_MS;
        if is_long_ago || self.marks.len() > SWEEP_MARKS_MAX {
            self.began_ms = now_ms;
            return self.restart();
        }
        for space in spaces.iter().filter(|space| !due.unseen.contains(space)) {
            // All of it has been seen, but commits under way may add entries from just before now.
            let recent = keys::expiry_at(space.keyspace, now_ms.saturating_sub(SWEEP_OVERLAP_MS));
            self.marks.insert(space.keyspace, recent);
        }
        self.marks.extend(due.marks.iter().cloned());
    }
}

/// Looks for records of orphaned incarnations and of keyspaces to be emptied.
#[derive(Debug, Default)]
pub struct Collector {
    /// The note that the last search came to, but not to the end of what it names.
    note: Option<RecordKey>,
    /// The last record removed of that: nothing of it is left before here. Of what another note names
    /// it says nothing, though that may be the keyspace that an orphan is part of.
    mark: RecordKey,
}

/// What a search for garbage found.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Records to remove.
    pub chores: Vec<Chore>,
    /// The note that names more than these.
    unfinished: Option<RecordKey>,
}

impl Collector {
    /// Finds up to `limit` records of this process's share to remove, and the notes that named them
    /// once nothing is left.
    pub fn garbage(
        &self,
        snapshot: &dyn Snapshot,
        limit: usize,
        share: Share,
    ) -> Result<Garbage, ReadError> {
        let mut garbage = Garbage::default();
        let (begin, end) = keys::orphan_range();
        let orphans = first_keys(snapshot, &begin, &end, limit)?;
        let (begin, end) = keys::trash_range();
        let trash = first_keys(snapshot, &begin, &end, limit)?;
        let orphans = orphans.into_iter().map(|note| {
            let (keyspace, incarnation) = keys::split_orphan(&note);
            (note, keys::incarnation_ranges(keyspace, incarnation).collect::<Vec<_>>())
        });
        let trash = trash.into_iter().map(|note| {
            let range = keys::keyspace_range(keys::split_trash(&note));
            (note, vec![range])
        });
        for (note, ranges) in orphans.chain(trash).filter(|(note, _)| share.has(note)) {
            let mark = if self.note.as_ref() == Some(&note) { &self.mark[..] } else { b"" };
            let is_here = |(begin, end): &(RecordKey, RecordKey)| *mark >= **begin && *mark < **end;
            // Those before it are empty by now, and looking through the marks they left takes time.
            let first = ranges.iter().position(is_here).unwrap_or(0);
            for (begin, end) in &ranges[first..] {
                let begin = if *mark >= **begin && *mark < **end { mark } else { begin };
                if !clear_range(snapshot, begin, end, limit, &mut garbage.chores)? {
                    garbage.unfinished = Some(note);
                    return Ok(garbage);
                }
            }
            garbage.chores.push(Chore::Clear(note));
        }
        Ok(garbage)
    }

    /// Moves on, given that what [`Collector::garbage`] found has been removed.
    pub fn done(&mut self, garbage: Garbage) {
        if let Some(Chore::Clear(last)) = garbage.chores.last() {
            self.mark = last.clone();
        }
        self.note = garbage.unfinished;
    }
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
            if let Some(keyspace) = keys::keyspace_of_data(record) {
                view.may_be_metered(keyspace);
            }
            view.clear(record);
            Ok(false)
        }
        Chore::Count { keyspace, limit } => {
            view.take_census(*keyspace, *limit)?;
            Ok(false)
        }
        Chore::Beat { process, beat } => {
            // One that was forgotten stays so: its commit markers are gone, and were its record there
            // again, a commit would seem not to have happened.
            let record = keys::process(*process);
            if view.get(&record)?.is_some_and(|beat| keys::be_u64(&beat) != members::GONE) {
                view.set(&record, &[&beat.to_be_bytes()]);
            }
            Ok(false)
        }
        Chore::Forget { process } => {
            let (begin, end) = keys::commit_markers(*process);
            let scan = Scan { begin: &begin, end: &end, limit: CHORES_MAX, reverse: false };
            let mut markers = Vec::new();
            view.scan(scan, &mut |marker, _| {
                markers.push(RecordKey::from_slice(marker));
                ControlFlow::Continue(())
            })?;
            markers.iter().for_each(|marker| view.clear(marker));
            // A marker that is not there must not be taken for a commit that did not happen.
            match markers.len() < CHORES_MAX {
                true => view.clear(&keys::process(*process)),
                false => view.set(&keys::process(*process), &[&members::GONE.to_be_bytes()]),
            }
            Ok(false)
        }
        Chore::Serve { tenant, database, key } => {
            view.serve_tenant(*tenant);
            let is_there = match view.keyspace(*tenant, *database) {
                // Those who wait for it wait for other keys too, and should be found there meanwhile.
                Ok(keyspace) => view.get(&keys::meta(keyspace, key))?.is_some(),
                // That the tenant is gone is what they wait for now.
                Err(Stop::Error(_)) => true,
                Err(stop) => return Err(stop),
            };
            if is_there {
                view.make_ready(key);
            }
            Ok(false)
        }
        Chore::Expire { keyspace, at_ms, key, .. } => expire(view, *keyspace, *at_ms, key),
        Chore::Audit { keyspace, incarnation, key, .. } => {
            audit(view, *keyspace, *incarnation, key)?;
            Ok(false)
        }
    }
}

/// Removes the key if it is due; otherwise files its index entry where it now belongs.
fn expire(view: &mut View<'_>, keyspace: KeyspaceId, at_ms: u64, key: &[u8]) -> Result<bool, Stop> {
    let now_ms = view.now_ms();
    view.may_be_metered(keyspace);
    let found = match view.find(keyspace, key)? {
        Some(entry) => Some((entry.header, entry.prior()?)),
        None => None,
    };
    view.clear(&keys::expiry(keyspace, at_ms, key));
    match found {
        Some((header, prior)) if !header.is_live(now_ms) => {
            view.delete(keyspace, key, prior)?;
            Ok(true)
        }
        // An earlier expiry has an earlier entry.
        Some((header, _)) if header.expires_ms >= at_ms => {
            view.set(&keys::expiry(keyspace, header.expires_ms, key), &[]);
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// Gives an incarnation to the collector if its key has another one, or is not there.
fn audit(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    incarnation: Incarnation,
    key: &[u8],
) -> Result<(), Stop> {
    let registry = keys::registry(keyspace, incarnation);
    // A rename may have given it another key since.
    let registered = view.get(&registry)?.is_some_and(|owner| *owner == *key);
    let used = match view.find(keyspace, key)? {
        Some(entry) => {
            entry.elements()?.is_some_and(|elements| elements.incarnation == incarnation)
        }
        None => false,
    };
    if registered && !used {
        view.clear(&registry);
        view.set(&keys::orphan(keyspace, incarnation), &[]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::set::Set;
    use crate::data::{Moment, Overlay};
    use crate::limits::{KEY_BYTES_MAX, TRANSACTION_BYTES_MAX};
    use crate::store::memory::MemoryStore;
    use crate::store::{Local as _, Mutations};

    const SPACES: &[Space] = &[Space { tenant: 0, keyspace: 1 }];

    #[test]
    fn a_sweep_ends_before_long_keys_are_too_much_for_a_transaction() {
        let store = MemoryStore::new();
        let mut entries = Mutations::default();
        let count: usize = 200;
        for number in 0..count {
            let key = [&number.to_be_bytes()[..], &[7; KEY_BYTES_MAX - 8]].concat();
            entries.set(&keys::expiry(1, 5, &key), &[]);
        }
        store.commit(1, &entries).unwrap();
        let (mut sweep, mut found) = (Sweep::default(), Vec::new());
        while found.len() < count {
            let mut due = Err(ReadError::Pending);
            store
                .read(&mut |snapshot| due = sweep.due(snapshot, SPACES, 9, CHORES_MAX, Share::ALL));
            let due = due.unwrap();
            assert!(due.chores.len() * KEY_BYTES_MAX <= CHORES_KEY_BYTES_MAX + KEY_BYTES_MAX);
            assert!(!due.chores.is_empty());
            sweep.began_ms = 9;
            sweep.done(&due, SPACES, 9);
            found.extend(due.chores);
        }
        assert_eq!(found.len(), count);
    }

    #[test]
    fn short_collections_with_long_names_are_not_too_much_for_a_transaction() {
        let (store, mut overlay) = (MemoryStore::new(), Overlay::default());
        let moment =
            |sequence| Moment { now_ms: 9, sequence, seed: 1, value_bytes_max: 1, order: 0 };
        let keys = 0..100_u8;
        for key in keys.clone() {
            let sequence = u64::from(key) + 1;
            overlay.reset();
            store.read(&mut |snapshot| {
                let mut view = View::new(snapshot, &mut overlay, moment(sequence));
                let set = Set::open(&mut view, 1, &[key]).unwrap();
                for member in 0..32 {
                    set.add(&mut view, &[member; KEY_BYTES_MAX]).unwrap();
                }
                set.collection().grown(&mut view, 32).unwrap();
                assert!(view.set_expiry(1, &[key], 5).unwrap());
            });
            store.commit(sequence, overlay.mutations()).unwrap();
        }
        overlay.reset();
        store.read(&mut |snapshot| {
            let mut view = View::new(snapshot, &mut overlay, moment(1000));
            for key in keys.clone() {
                let chore = Chore::Expire { tenant: 0, keyspace: 1, at_ms: 5, key: [key].into() };
                assert_eq!(step(&mut view, &chore), Ok(true));
            }
            assert!(view.written_bytes() < TRANSACTION_BYTES_MAX);
        });
    }

    #[test]
    fn everything_is_looked_through_again_now_and_then() {
        let mut sweep = Sweep::default();
        let start_ms = 1_000_000;
        let mut begins_at_front = |after_ms| {
            sweep.done(&Due::default(), SPACES, start_ms + after_ms);
            sweep.marks.is_empty()
        };
        assert!(begins_at_front(0));
        assert!(!begins_at_front(500));
        assert!(!begins_at_front(SWEEP_AGAIN_MS));
        assert!(begins_at_front(SWEEP_AGAIN_MS + 1));
        assert!(!begins_at_front(SWEEP_AGAIN_MS + 500));
    }
}
