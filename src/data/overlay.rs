//! A group's own writes, not yet committed: found by key, and undone back to a mark.

use hashbrown::HashTable;

use super::keys::{self, KeyspaceId};
use crate::store::{Mutation, Mutations};

const NONE: u32 = u32::MAX;
/// An index larger than this is given back after the group that needed it.
const INDEX_KEPT_MAX: usize = 16 * 1024;

/// The writes of one group. Reused from group to group.
#[derive(Debug, Default)]
pub struct Overlay {
    mutations: Mutations,
    notes: Vec<Note>,
    /// The live mutation of each key.
    index: HashTable<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    /// The mutation of the same key that this one supersedes, or `NONE`.
    previous: u32,
    /// What this write does to the keyspace's number of keys.
    size_delta: i8,
}

/// A point to roll back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

fn hash_of(mutations: &Mutations, number: u32) -> u64 {
    keys::hash64(key_of(mutations.get(number)))
}

fn key_of(mutation: Mutation<'_>) -> &[u8] {
    match mutation {
        Mutation::Set { key, .. } | Mutation::Clear { key } => key,
    }
}

impl Overlay {
    /// What the group wrote to `key`: nothing (outer `None`), a removal, or a value.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.index.is_empty() {
            return None;
        }
        let same = |&number: &u32| key_of(self.mutations.get(number)) == key;
        let number = *self.index.find(keys::hash64(key), same)?;
        match self.mutations.get(number) {
            Mutation::Set { value, .. } => Some(Some(value)),
            Mutation::Clear { .. } => Some(None),
        }
    }

    /// Writes a record, given its value in pieces.
    pub fn set(&mut self, key: &[u8], value: &[&[u8]], size_delta: i8) {
        let number = self.mutations.set(key, value);
        self.enter(key, number, size_delta);
    }

    /// Removes a record.
    pub fn clear(&mut self, key: &[u8], size_delta: i8) {
        let number = self.mutations.clear(key);
        self.enter(key, number, size_delta);
    }

    fn enter(&mut self, key: &[u8], number: u32, size_delta: i8) {
        use hashbrown::hash_table::Entry;
        let mutations = &self.mutations;
        let same = |&other: &u32| key_of(mutations.get(other)) == key;
        let rehash = |&other: &u32| hash_of(mutations, other);
        let previous = match self.index.entry(keys::hash64(key), same, rehash) {
            Entry::Occupied(mut entry) => std::mem::replace(entry.get_mut(), number),
            Entry::Vacant(entry) => {
                entry.insert(number);
                NONE
            }
        };
        if previous != NONE {
            self.mutations.supersede(previous);
        }
        self.notes.push(Note { previous, size_delta });
    }

    /// The point up to which [`Overlay::rollback`] can undo.
    pub fn mark(&self) -> Mark {
        Mark(self.mutations.next_number())
    }

    /// Undoes every write since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        while self.mutations.next_number() > mark.0 {
            let number = self.mutations.next_number() - 1;
            let note = self.notes.pop().expect("every mutation has its note");
            let hash = hash_of(&self.mutations, number);
            if let Ok(mut entry) = self.index.find_entry(hash, |&other| other == number) {
                if note.previous == NONE {
                    entry.remove();
                } else {
                    *entry.get_mut() = note.previous;
                }
            }
            if note.previous != NONE {
                self.mutations.reinstate(note.previous);
            }
            self.mutations.pop();
        }
    }

    /// Live writes with `begin <= key < end`, in key order; `None` is a removal.
    pub fn range(&self, begin: &[u8], end: &[u8]) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut found: Vec<_> = self
            .mutations
            .iter()
            .map(|mutation| match mutation {
                Mutation::Set { key, value } => (key, Some(value)),
                Mutation::Clear { key } => (key, None),
            })
            .filter(|(key, _)| *key >= begin && *key < end)
            .collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        found
    }

    /// By how much the group changed the number of keys of each keyspace it changed.
    pub fn size_deltas(&self) -> Vec<(KeyspaceId, i64)> {
        let mut deltas: Vec<(KeyspaceId, i64)> = Vec::new();
        for (number, note) in self.notes.iter().enumerate() {
            if note.size_delta == 0 {
                continue;
            }
            let keyspace = keys::be_u32(&key_of(self.mutations.get(number as u32))[..4]);
            match deltas.iter_mut().find(|(other, _)| *other == keyspace) {
                Some((_, delta)) => *delta += i64::from(note.size_delta),
                None => deltas.push((keyspace, i64::from(note.size_delta))),
            }
        }
        deltas.retain(|(_, delta)| *delta != 0);
        deltas
    }

    /// What is to be committed.
    pub fn mutations(&self) -> &Mutations {
        &self.mutations
    }

    /// Whether the group has written nothing.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Forgets everything, for the next group.
    pub fn reset(&mut self) {
        self.mutations.reset();
        self.notes.clear();
        if self.index.capacity() > INDEX_KEPT_MAX {
            self.index = HashTable::new();
        } else {
            self.index.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_writes_win_and_rollback_brings_earlier_ones_back() {
        let mut overlay = Overlay::default();
        overlay.set(b"\0\0\0\x01a", &[b"1"], 1);
        let mark = overlay.mark();
        overlay.set(b"\0\0\0\x01a", &[b"2", b"3"], 0);
        overlay.set(b"\0\0\0\x01b", &[b"4"], 1);
        overlay.clear(b"\0\0\0\x01a", -1);
        assert_eq!(overlay.get(b"\0\0\0\x01a"), Some(None));
        assert_eq!(overlay.mutations().len(), 2);
        assert_eq!(overlay.size_deltas(), vec![(1, 1)]);
        overlay.rollback(mark);
        assert_eq!(overlay.get(b"\0\0\0\x01a"), Some(Some(&b"1"[..])));
        assert_eq!(overlay.get(b"\0\0\0\x01b"), None);
        assert_eq!(overlay.mutations().len(), 1);
        assert_eq!(overlay.range(b"\0", b"\xff"), vec![(&b"\0\0\0\x01a"[..], Some(&b"1"[..]))]);
    }
}
