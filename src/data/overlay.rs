//! A group's own writes, not yet committed: found by key, and undone back to a mark.

mod order;

use std::cell::OnceCell;

use hashbrown::HashTable;

use self::order::Order;
use super::keys::{self, KeyspaceId};
use crate::store::{Mutation, Mutations, counter, counter_bytes};

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
    /// The same in the order of keys, from the first scan of a group on: most groups never scan.
    ordered: OnceCell<Order>,
    /// By how much the number of keys of each keyspace changed, by keyspace. New ones have the
    /// highest ids, so they come at the end.
    sizes: Vec<(KeyspaceId, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    /// The mutation of the same key that this one supersedes, or `NONE`.
    previous: u32,
    /// What this write does to the keyspace's number of keys.
    size_delta: i8,
    /// It only takes an earlier write back: it is not committed, and never live.
    withdraws: bool,
}

/// A point to roll back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

fn hash_of(mutations: &Mutations, number: u32) -> u64 {
    keys::hash64(mutations.get(number).key())
}

impl Overlay {
    /// What the group wrote to `key`: nothing (outer `None`), a removal, or a value. What it only
    /// added to is for [`Overlay::find`].
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.find(key)? {
            Mutation::Set { value, .. } => Some(Some(value)),
            Mutation::Clear { .. } => Some(None),
            Mutation::Add { .. } => None,
        }
    }

    /// The live mutation of a key.
    pub fn find(&self, key: &[u8]) -> Option<Mutation<'_>> {
        if self.index.is_empty() {
            return None;
        }
        let same = |&number: &u32| self.mutations.get(number).key() == key;
        let number = *self.index.find(keys::hash64(key), same)?;
        Some(self.mutations.get(number))
    }

    /// Writes a record, given its value in pieces.
    pub fn set(&mut self, key: &[u8], value: &[&[u8]], size_delta: i8) {
        let number = self.mutations.set(key, value);
        self.enter(key, number, size_delta);
    }

    /// Takes back what the group wrote to `key`, if it is a value. A record that was there before the
    /// group is not removed; the group does not see it.
    pub fn withdraw(&mut self, key: &[u8]) {
        if let Some(Some(_)) = self.get(key) {
            let number = self.mutations.clear(key);
            self.enter(key, number, 0);
            self.mutations.supersede(number);
            if let Some(note) = self.notes.last_mut() {
                note.withdraws = true;
            }
        }
    }

    /// Whether mutation `number` would be committed if no later one touched its key.
    fn is_write(&self, number: u32) -> bool {
        number != NONE && !self.notes[number as usize].withdraws
    }

    /// Removes a record.
    pub fn clear(&mut self, key: &[u8], size_delta: i8) {
        let number = self.mutations.clear(key);
        self.enter(key, number, size_delta);
    }

    /// Adds to a counter that nobody reads, or that the group itself has written.
    pub fn add(&mut self, key: &[u8], by: i128) {
        let number = match self.find(key) {
            None => self.mutations.add(key, by),
            Some(Mutation::Add { by: before, .. }) => {
                self.mutations.add(key, before.wrapping_add(by))
            }
            Some(own) => {
                let sum = counter(own.change().1).wrapping_add(by);
                self.mutations.set(key, &[&counter_bytes(sum)])
            }
        };
        self.enter(key, number, 0);
    }

    fn enter(&mut self, key: &[u8], number: u32, size_delta: i8) {
        use hashbrown::hash_table::Entry;
        let mutations = &self.mutations;
        let same = |&other: &u32| mutations.get(other).key() == key;
        let rehash = |&other: &u32| hash_of(mutations, other);
        let previous = match self.index.entry(keys::hash64(key), same, rehash) {
            Entry::Occupied(mut entry) => std::mem::replace(entry.get_mut(), number),
            Entry::Vacant(entry) => {
                entry.insert(number);
                NONE
            }
        };
        if self.is_write(previous) {
            self.mutations.supersede(previous);
        }
        if let Some(ordered) = self.ordered.get_mut() {
            ordered.enter(&self.mutations, number);
        }
        self.notes.push(Note { previous, size_delta, withdraws: false });
        self.resize(number, size_delta.into());
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
            if let Some(ordered) = self.ordered.get_mut() {
                let previous = Some(note.previous).filter(|previous| *previous != NONE);
                ordered.leave(&self.mutations, number, previous);
            }
            self.resize(number, -i64::from(note.size_delta));
            if self.is_write(note.previous) {
                self.mutations.reinstate(note.previous);
            }
            self.mutations.pop();
        }
    }

    /// Live writes with `begin <= key < end`, in key order. `begin` may not be behind `end`.
    pub fn range(&self, begin: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = Mutation<'_>> {
        let ordered =
            self.ordered.get_or_init(|| Order::new(&self.mutations, self.index.iter().copied()));
        ordered.range(&self.mutations, begin, end).map(|number| self.mutations.get(number))
    }

    /// By how much the group changed the number of keys of each keyspace it changed.
    pub fn size_deltas(&self) -> Vec<(KeyspaceId, i64)> {
        self.sizes.iter().copied().filter(|(_, delta)| *delta != 0).collect()
    }

    /// By how much the group changed the number of keys of a keyspace.
    pub fn size_delta(&self, keyspace: KeyspaceId) -> i64 {
        let found = self.sizes.binary_search_by_key(&keyspace, |(other, _)| *other);
        found.map_or(0, |at| self.sizes[at].1)
    }

    /// Adds to the change in number of the keyspace that mutation `number` belongs to.
    fn resize(&mut self, number: u32, by: i64) {
        if by == 0 {
            return;
        }
        let keyspace = keys::be_u32(&self.mutations.get(number).key()[..4]);
        match self.sizes.binary_search_by_key(&keyspace, |(other, _)| *other) {
            Ok(at) => self.sizes[at].1 += by,
            Err(at) => self.sizes.insert(at, (keyspace, by)),
        }
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
        self.ordered.take();
        self.sizes.clear();
        self.sizes.shrink_to(INDEX_KEPT_MAX);
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
        assert_eq!((overlay.size_delta(1), overlay.size_delta(2)), (1, 0));
        assert_eq!(overlay.get(b"\0\0\0\x01a"), Some(Some(&b"1"[..])));
        assert_eq!(overlay.get(b"\0\0\0\x01b"), None);
        assert_eq!(overlay.mutations().len(), 1);
        assert_eq!(text(&overlay, "\0", "\x7f"), "\0\0\0\x01a=1 ");
    }

    /// What a scan sees of the writes in a range: `key=value`, `key-` for a removal.
    fn text(overlay: &Overlay, begin: &str, end: &str) -> String {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let each = overlay.range(begin.as_bytes(), end.as_bytes());
        each.map(|own| match own.change() {
            (key, Some(value)) => format!("{}={} ", string(key), string(value)),
            (key, None) => format!("{}- ", string(key)),
        })
        .collect()
    }

    #[test]
    fn ranges_stay_right_through_every_change() {
        let mut overlay = Overlay::default();
        for key in ["c", "a", "d"] {
            overlay.set(key.as_bytes(), &[b"1"], 0);
        }
        overlay.clear(b"d", 0);
        assert_eq!(text(&overlay, "a", "z"), "a=1 c=1 d- ");
        let mark = overlay.mark();
        overlay.set(b"b", &[b"2"], 0);
        overlay.clear(b"a", 0);
        overlay.set(b"a", &[b"3"], 0);
        overlay.set(b"d", &[b"4"], 0);
        assert_eq!(text(&overlay, "a", "z"), "a=3 b=2 c=1 d=4 ");
        assert_eq!(text(&overlay, "b", "d"), "b=2 c=1 ");
        let backwards: Vec<_> = overlay.range(b"a", b"c").rev().map(Mutation::key).collect();
        assert_eq!(backwards, [b"b", b"a"]);
        overlay.rollback(mark);
        assert_eq!(text(&overlay, "a", "z"), "a=1 c=1 d- ");
        overlay.set(b"b", &[b"5"], 0);
        assert_eq!(text(&overlay, "a", "z"), "a=1 b=5 c=1 d- ");
        overlay.reset();
        assert_eq!(text(&overlay, "a", "z"), "");
        overlay.set(b"e", &[b"6"], 0);
        assert_eq!(text(&overlay, "a", "z"), "e=6 ");
    }

    #[test]
    fn what_is_withdrawn_is_not_committed() {
        let mut overlay = Overlay::default();
        let committed = |overlay: &Overlay| -> Vec<Vec<u8>> {
            overlay.mutations().iter().map(|mutation| mutation.key().to_vec()).collect()
        };
        overlay.withdraw(b"a");
        assert!(overlay.is_empty(), "there was nothing to take back");
        overlay.set(b"a", &[b"1"], 0);
        overlay.set(b"b", &[b"1"], 0);
        let bytes = overlay.mutations().bytes();
        let mark = overlay.mark();
        overlay.withdraw(b"a");
        overlay.withdraw(b"a");
        assert_eq!((committed(&overlay), overlay.get(b"a")), (vec![b"b".to_vec()], Some(None)));
        overlay.set(b"a", &[b"2"], 0);
        overlay.withdraw(b"a");
        assert_eq!(
            (committed(&overlay), text(&overlay, "a", "z")),
            (vec![b"b".to_vec()], "a- b=1 ".into())
        );
        overlay.set(b"a", &[b"3"], 0);
        overlay.rollback(mark);
        assert_eq!(
            (overlay.get(b"a"), overlay.mutations().bytes()),
            (Some(Some(&b"1"[..])), bytes)
        );
        assert_eq!(committed(&overlay), [b"a", b"b"]);
    }

    #[test]
    fn many_writes_are_in_order_and_leave_it_again() {
        let mut overlay = Overlay::default();
        // Each once, in no order.
        let keys: Vec<u32> = (0..10_007).map(|number| number * 5003 % 10_007).collect();
        let all = |overlay: &Overlay| -> Vec<u32> {
            let each = overlay.range(&[0; 4], &[1; 4]).map(|own| keys::be_u32(own.key()));
            each.collect()
        };
        let mut marks = Vec::new();
        for (count, key) in keys.iter().enumerate() {
            if count % 2000 == 0 {
                marks.push((overlay.mark(), count));
            }
            if count == 5000 {
                assert_eq!(all(&overlay).len(), count);
            }
            overlay.set(&key.to_be_bytes(), &[b"1"], 0);
        }
        assert_eq!(all(&overlay), (0..10_007).collect::<Vec<_>>());
        for (mark, count) in marks.into_iter().rev() {
            overlay.rollback(mark);
            let mut left = keys[..count].to_vec();
            left.sort_unstable();
            assert_eq!(all(&overlay), left);
            let backwards = overlay.range(&[0; 4], &[1; 4]).rev();
            let backwards: Vec<_> = backwards.map(|own| keys::be_u32(own.key())).collect();
            assert!(backwards.iter().rev().eq(left.iter()));
            let (begin, end) = (1000_u32.to_be_bytes(), 3000_u32.to_be_bytes());
            let between = left.iter().filter(|key| (1000..3000).contains(*key)).count();
            assert_eq!(overlay.range(&begin, &end).count(), between);
        }
    }

    #[test]
    fn only_a_group_that_scans_has_the_order() {
        let mut overlay = Overlay::default();
        overlay.set(b"a", &[b"1"], 0);
        assert!(overlay.ordered.get().is_none());
        assert_eq!(text(&overlay, "a", "b"), "a=1 ");
        overlay.reset();
        overlay.set(b"a", &[b"1"], 0);
        assert!(overlay.ordered.get().is_none());
    }
}
