//! What hashes, sets and sorted sets have in common: elements in the order of their hashes, under an
//! incarnation, and a counter.
//!
//! Changing an element changes neither the meta nor any record that others read to change theirs, so
//! two processes that change different elements do not conflict. The counter is added to blindly; its
//! lower half counts the elements, the upper one modifications, by which `WATCH` knows them.
//!
//! A collection without elements does not exist: whoever removes some makes sure that one is left, or
//! removes the key. Where one process is alone the counter tells; elsewhere any element that stays is
//! a witness, and if another process removes that, the commits conflict.

pub mod algebra;
mod cursor;
mod records;
mod sample;

use std::ops::ControlFlow;

use super::entry::{self, NewValue, Prior};
use super::keys::{self, Incarnation, KeyspaceId, RecordKey};
use super::meta::{ELEMENTS_BYTES, Elements, Kind};
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::KEY_BYTES_MAX;
use crate::store::{Scan, Visitor};

pub use records::Records;
pub use sample::Draw;

/// What a collection's counter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many elements there are.
    pub elements: u64,
    /// How many commands changed something, from the time it was created.
    pub modifications: u64,
}

const ONE_MODIFICATION: i128 = 1 << 64;

impl View<'_> {
    /// What the counter of an incarnation says.
    pub fn count(&self, keyspace: KeyspaceId, incarnation: Incarnation) -> Result<Count, Stop> {
        let counter = self.counter(&keys::counter(keyspace, incarnation))?;
        Ok(Count { elements: counter as u64, modifications: (counter >> 64) as u64 })
    }
}

/// A hash, set or sorted set that is there, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    keyspace: KeyspaceId,
    incarnation: Incarnation,
    /// What else the meta says of a sorted set, see [`super::sorted_set`].
    pub(super) marks: u8,
}

impl Collection {
    /// The collection at a key; an error if the key holds another type.
    pub fn find(
        view: &View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        kind: Kind,
    ) -> Result<Option<Collection>, Stop> {
        Collection::find_any(view, keyspace, key, &[kind])
    }

    /// As [`Collection::find`], where several types will do.
    pub fn find_any(
        view: &View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        kinds: &[Kind],
    ) -> Result<Option<Collection>, Stop> {
        let Some(entry) = view.lookup(keyspace, key)? else { return Ok(None) };
        if !kinds.contains(&entry.header.kind) {
            return Err(error::WRONG_TYPE.into());
        }
        Ok(entry.elements()?.map(|elements| Collection::at(keyspace, elements, entry.body())))
    }

    /// What a meta's body refers to.
    pub(super) fn at(keyspace: KeyspaceId, elements: Elements, body: &[u8]) -> Collection {
        let marks = body.get(ELEMENTS_BYTES).copied().unwrap_or(0);
        Collection::at_place(keyspace, elements.incarnation, marks)
    }

    /// The one whose elements live there.
    pub(super) fn at_place(
        keyspace: KeyspaceId,
        incarnation: Incarnation,
        marks: u8,
    ) -> Collection {
        Collection { keyspace, incarnation, marks }
    }

    /// As [`Collection::find`], but creates the collection if there is none. It must get an element
    /// from the same command.
    pub fn open(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        kind: Kind,
    ) -> Result<Collection, Stop> {
        entry::check_key(key)?;
        let prior = match view.find(keyspace, key)? {
            Some(entry) if entry.header.is_live(view.now_ms()) => {
                let elements = entry.elements()?.filter(|_| entry.header.kind == kind);
                let elements = elements.ok_or(error::WRONG_TYPE)?;
                return Ok(Collection::at(keyspace, elements, entry.body()));
            }
            Some(entry) => entry.prior()?,
            None => Prior::Absent,
        };
        Collection::create(view, keyspace, key, kind, 0, prior)
    }

    /// Puts an empty collection, which must get an element from the same command, in the place of
    /// whatever is at a key.
    pub fn create(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        kind: Kind,
        expires_ms: u64,
        prior: Prior,
    ) -> Result<Collection, Stop> {
        let elements = Elements { incarnation: view.new_incarnation()?, len: 0 };
        view.set(&keys::registry(keyspace, elements.incarnation), &[key]);
        let body = elements.encode();
        let new = NewValue { kind, expires_ms, body: &[&body], elements: Some(elements) };
        view.put(keyspace, key, &new, prior)?;
        Ok(Collection::at(keyspace, elements, &body))
    }

    /// Has the meta say something else of a sorted set.
    pub(super) fn set_marks(
        &mut self,
        view: &mut View<'_>,
        key: &[u8],
        marks: u8,
    ) -> Result<(), Stop> {
        let prior = view.prior(self.keyspace, key)?;
        let Prior::Present { header, elements: Some(elements) } = prior else { return Ok(()) };
        self.marks = marks;
        let (kind, expires_ms) = (header.kind, header.expires_ms);
        let body: [&[u8]; 2] = [&elements.encode(), &[marks]];
        let new = NewValue { kind, expires_ms, body: &body, elements: Some(elements) };
        view.put(self.keyspace, key, &new, prior)
    }

    /// Where its elements live.
    pub(super) fn place(&self) -> (KeyspaceId, Incarnation) {
        (self.keyspace, self.incarnation)
    }

    /// How many elements it has.
    pub fn len(&self, view: &View<'_>) -> Result<u64, Stop> {
        Ok(view.count(self.keyspace, self.incarnation)?.elements)
    }

    /// What the keys of its elements begin with.
    pub fn prefix(&self) -> RecordKey {
        keys::elements(self.keyspace, self.incarnation)
    }

    /// Key of the element of a field or member.
    pub fn element(&self, name: &[u8]) -> RecordKey {
        keys::field(self.keyspace, self.incarnation, name)
    }

    /// Key of the element whose key has this tail, which is the same in every collection.
    pub fn element_at(&self, tail: &[u8]) -> RecordKey {
        let mut element = self.prefix();
        element.extend_from_slice(tail);
        element
    }

    /// As [`Collection::element`], for one that may be new: an error if no store can hold it.
    pub fn new_element(&self, name: &[u8]) -> Result<RecordKey, Stop> {
        if name.len() > KEY_BYTES_MAX {
            return Err(error::FIELD_TOO_LONG.into());
        }
        Ok(self.element(name))
    }

    /// Visits the keys and records of all elements, in the order of their hashes.
    pub fn walk(&self, view: &View<'_>, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        let (begin, end) = keys::range(&self.prefix());
        view.walk(Scan::all(&begin, &end), visit)
    }

    /// Counts a command that changed elements and added so many new ones.
    pub fn grown(&self, view: &mut View<'_>, added: u64) -> Result<(), Stop> {
        let counter = keys::counter(self.keyspace, self.incarnation);
        view.add(&counter, ONE_MODIFICATION + i128::from(added))?;
        view.settle_ranks_if_due()
    }

    /// Counts a command that removed so many elements, at least one; the key goes with the last one.
    /// Whether it did.
    pub fn shrunk(&self, view: &mut View<'_>, key: &[u8], removed: u64) -> Result<bool, Stop> {
        let settled = view.settle_ranks_if_due();
        let is_empty = match view.answers_at_once() {
            true => self.len(view)? <= removed,
            false => !self.has_elements(view)?,
        };
        settled?;
        self.shrunk_to(view, key, removed, is_empty)?;
        Ok(is_empty)
    }

    /// As [`Collection::shrunk`], for those who have read whether any element is left.
    pub fn shrunk_to(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        removed: u64,
        is_empty: bool,
    ) -> Result<(), Stop> {
        let counter = keys::counter(self.keyspace, self.incarnation);
        view.add(&counter, ONE_MODIFICATION - i128::from(removed))?;
        if is_empty {
            let prior = view.prior(self.keyspace, key)?;
            view.delete(self.keyspace, key, prior)?;
        }
        Ok(())
    }

    /// Whether any element is left. Which one it finds differs from group to group, so that two
    /// processes hardly ever depend on what the other removes.
    fn has_elements(&self, view: &View<'_>) -> Result<bool, Stop> {
        let prefix = self.prefix();
        let (begin, end) = keys::range(&prefix);
        let from = keys::at_hash(&prefix, view.group_random(self.incarnation));
        for (begin, end) in [(&from, &end), (&begin, &from)] {
            let mut found = false;
            let scan = Scan { limit: 1, ..Scan::all(begin, end) };
            view.walk(scan, &mut |_, _| {
                found = true;
                ControlFlow::Break(())
            })?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
