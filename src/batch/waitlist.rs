//! What waits for its group, and on which keys.
//!
//! An item that names no key of a group in flight, nor one that an earlier item waits for, is ready.
//! The others are blocked, in order of arrival, until keys they want are released.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use super::footprint::KeyHash;
use super::group::Item;

/// Keys by their hash. Two that share one wait for each other, no worse.
type KeySet = HashSet<u64, BuildHasherDefault<KeyHash>>;

/// Something that waits for its group.
pub(super) struct Waiting {
    pub item: Item,
    /// When it arrived.
    pub since: Instant,
    /// The keys it names.
    pub footprint: Vec<u64>,
    /// Members of a group that this may be part of: fewer after conflicts.
    pub company_max: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Waitlist {
    ready: VecDeque<Waiting>,
    blocked: VecDeque<Waiting>,
    /// Keys of groups in flight.
    taken: KeySet,
    /// Keys of what is blocked.
    wanted: KeySet,
    /// Those of them that were ready once: what is ready came before the others, but after these.
    passed: KeySet,
}

impl Waitlist {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.blocked.len()
    }

    /// Takes in what has just arrived.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let is_free = |key: &u64| !self.taken.contains(key) && !self.wanted.contains(key);
        if waiting.footprint.iter().all(is_free) {
            self.ready.push_back(waiting);
        } else {
            self.wanted.extend(&waiting.footprint);
            self.blocked.push_back(waiting);
        }
    }

    /// The next item that may join a group, if `fits` says that it may join this one.
    pub(super) fn pop_if(&mut self, fits: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        loop {
            let next = self.ready.front().is_some_and(&fits).then(|| self.ready.pop_front())??;
            // The group before may have taken a key that this one shared with its members.
            let is_free = |key: &u64| !self.taken.contains(key) && !self.passed.contains(key);
            if next.footprint.iter().all(is_free) {
                return Some(next);
            }
            self.passed.extend(&next.footprint);
            self.wanted.extend(&next.footprint);
            self.blocked.push_back(next);
        }
    }

    /// A group with these keys is in flight.
    pub(super) fn take(&mut self, keys: &[u64]) {
        self.taken.extend(keys);
    }

    /// Whether somebody waits for one of these keys.
    pub(super) fn is_wanted(&self, keys: &[u64]) -> bool {
        !self.wanted.is_empty() && keys.iter().any(|key| self.wanted.contains(key))
    }

    /// A group with these keys is no longer in flight. What is left of it comes before everything that
    /// arrived later.
    pub(super) fn release(&mut self, keys: &[u64], left: impl DoubleEndedIterator<Item = Waiting>) {
        for key in keys {
            self.taken.remove(key);
        }
        let had = self.blocked.len();
        left.rev().for_each(|waiting| self.blocked.push_front(waiting));
        if self.blocked.len() == had && !self.is_wanted(keys) {
            return;
        }
        let arrived_later = std::mem::take(&mut self.ready);
        self.wanted.clear();
        self.passed.clear();
        for waiting in std::mem::take(&mut self.blocked) {
            self.push(waiting);
        }
        self.ready.extend(arrived_later);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::batch::Chores;
    use crate::clock;

    fn item(number: usize, keys: &[u64]) -> Waiting {
        let chores = Chores { chores: Vec::new(), done: channel().0 };
        let footprint = keys.to_vec();
        let item = Item::Chores(chores, Some(number));
        Waiting { item, since: clock::monotonic(), footprint, company_max: usize::MAX }
    }

    fn list(items: &[(usize, &[u64])]) -> Waitlist {
        let mut list = Waitlist::default();
        items.iter().for_each(|(number, keys)| list.push(item(*number, keys)));
        list
    }

    fn group(list: &mut Waitlist, members_max: usize) -> Vec<usize> {
        let (mut members, mut keys) = (Vec::new(), Vec::new());
        while members.len() < members_max
            && let Some(next) = list.pop_if(|_| true)
        {
            keys.extend(next.footprint);
            members.extend(match next.item {
                Item::Chores(_, number) => number,
                Item::Batch(_) => None,
            });
        }
        list.take(&keys);
        members
    }

    #[test]
    fn what_shares_keys_goes_together_or_in_turn() {
        let mut list = list(&[(0, &[1]), (1, &[1, 2]), (2, &[3]), (3, &[2]), (4, &[])]);
        assert_eq!(group(&mut list, 1), [0]);
        assert_eq!(group(&mut list, 9), [2, 4], "3 shares a key with 1, which waits");
        list.push(item(5, &[4]));
        list.push(item(6, &[4, 2]));
        list.push(item(7, &[4]));
        assert_eq!(group(&mut list, 9), [5], "7 came after 6, which waits");
        assert!(list.is_wanted(&[1]) && !list.is_wanted(&[3]));
        list.release(&[3], std::iter::empty());
        assert!(group(&mut list, 9).is_empty());
        list.release(&[1], [item(8, &[1])].into_iter());
        assert_eq!(group(&mut list, 9), [8, 1, 3], "what is left goes first");
        list.release(&[4], std::iter::empty());
        assert!(group(&mut list, 9).is_empty(), "6 wants both");
        list.release(&[1, 2], std::iter::empty());
        assert_eq!(group(&mut list, 9), [6, 7]);
        assert!(list.is_empty());
    }

    #[test]
    fn who_does_not_fit_keeps_its_place() {
        let mut list = list(&[(0, &[1]), (1, &[2])]);
        assert!(list.pop_if(|_| false).is_none());
        assert_eq!(group(&mut list, 9), [0, 1]);
    }
}
