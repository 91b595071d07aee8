//! Lists: items at positions, and a meta that knows where both ends are.
//!
//! A position is a 64-bit number, big-endian; the first item of a new list is in the middle of the
//! range. The meta's body is [`Elements`] with the number of items, and then:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 16..24 | `begin`: no item is before it |
//! | 24..32 | `end`: no item is at it or behind; only in a *sparse* list |
//!
//! Without `end` the list is *dense*: its items have all the positions from `begin` on, so that the one
//! with a given index is found without looking at others.
//!
//! Every change of a list writes its meta, whose stamp tells `WATCH`.

use super::element;
use super::entry::{self, Entry, NewValue, Prior};
use super::keys::{self, Incarnation, KeyspaceId, RecordKey};
use super::meta::{Elements, Kind};
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::ELEMENTS_CLEARED_AT_ONCE;
use crate::store::Scan;

pub use element::ValueVisitor;

/// Where the first item of a new list is.
const ORIGIN: u64 = 1 << 63;

/// One end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where index 0 is.
    Left,
    /// Where index -1 is.
    Right,
}

/// A list that is there, or is about to be.
#[derive(Debug, Clone, Copy)]
pub struct List {
    keyspace: KeyspaceId,
    /// What the meta was when the list was found.
    prior: Prior,
    incarnation: Incarnation,
    len: u64,
    begin: u64,
    end: u64,
    is_dense: bool,
}

impl List {
    /// The list at a key; an error if the key holds another type.
    pub fn find(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<List>, Stop> {
        view.lookup(keyspace, key)?.map(|entry| List::of(keyspace, &entry)).transpose()
    }

    fn of(keyspace: KeyspaceId, entry: &Entry<'_>) -> Result<List, Stop> {
        if entry.header.kind != Kind::List {
            return Err(error::WRONG_TYPE.into());
        }
        let Elements { incarnation, len } = entry.elements()?.ok_or_else(entry::unreadable)?;
        let ends = &entry.body()[16..];
        let (begin, end, is_dense) = match ends.len() {
            8 => (keys::be_u64(ends), keys::be_u64(ends) + len, true),
            16 => (keys::be_u64(&ends[..8]), keys::be_u64(&ends[8..]), false),
            _ => return Err(entry::unreadable()),
        };
        Ok(List { keyspace, prior: entry.prior()?, incarnation, len, begin, end, is_dense })
    }

    /// As [`List::find`], but begins a list if there is none. It must get an item from the same
    /// command.
    pub fn open(view: &mut View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<List, Stop> {
        entry::check_key(key)?;
        let prior = match view.find(keyspace, key)? {
            Some(entry) if entry.header.is_live(view.now_ms()) => {
                return List::of(keyspace, &entry);
            }
            Some(entry) => entry.prior()?,
            None => Prior::Absent,
        };
        let incarnation = view.new_incarnation()?;
        view.set(&keys::registry(keyspace, incarnation), &[key]);
        let (begin, end) = (ORIGIN, ORIGIN);
        Ok(List { keyspace, prior, incarnation, len: 0, begin, end, is_dense: true })
    }

    /// How many items it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none, as a list that was just begun.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Key of the item at a position, or where it would be.
    fn at(&self, position: u64) -> RecordKey {
        keys::item(self.keyspace, self.incarnation, position)
    }

    /// Adds an item at an end. [`List::save`] has to follow.
    pub fn push(&mut self, view: &mut View<'_>, to: End, value: &[u8]) {
        let position = match to {
            End::Left => {
                self.begin -= 1;
                self.begin
            }
            End::Right => {
                self.end += 1;
                self.end - 1
            }
        };
        self.len += 1;
        element::set_new(view, &self.at(position), value);
    }

    /// Removes `count` items, no more than there are, from an end, and shows their values in this
    /// order. The key goes with the last one.
    ///
    /// # Errors
    ///
    /// [`Stop::Unread`] when `visit` does not want them all.
    pub fn pop(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        from: End,
        count: u64,
        visit: &mut ValueVisitor<'_>,
    ) -> Result<(), Stop> {
        if count == 0 {
            return Ok(());
        }
        if count == self.len && count > ELEMENTS_CLEARED_AT_ONCE {
            self.walk_end(view, from, count, &mut |_, value| visit(value))?;
            return view.delete(self.keyspace, key, self.prior);
        }
        self.take(view, from, count, visit)?;
        self.save(view, key)
    }

    /// As [`List::pop`], but [`List::save`] has to follow.
    fn take(
        &mut self,
        view: &mut View<'_>,
        from: End,
        count: u64,
        visit: &mut ValueVisitor<'_>,
    ) -> Result<(), Stop> {
        if self.is_dense && count == 1 {
            let position = if from == End::Left { self.begin } else { self.end - 1 };
            if !element::take(view, &self.at(position), visit)? {
                return Err(lost());
            }
        } else {
            let mut found = Vec::new();
            self.walk_end(view, from, count, &mut |key, value| {
                found.push((RecordKey::from_slice(key), value.len() as u64));
                visit(value)
            })?;
            found.iter().for_each(|(key, len)| element::clear(view, key, *len));
        }
        match from {
            End::Left => self.begin += count,
            End::Right => self.end -= count,
        }
        self.len -= count;
        Ok(())
    }

    /// Visits the keys and values of `count` items from an end on.
    fn walk_end(
        &self,
        view: &View<'_>,
        from: End,
        count: u64,
        visit: &mut element::Visitor<'_>,
    ) -> Result<(), Stop> {
        let (mut begin, mut end) = (self.begin, self.end);
        if self.is_dense && from == End::Left {
            end = begin + count;
        } else if self.is_dense {
            begin = end - count;
        }
        let (limit, reverse) = (count as usize, from == End::Right);
        let (begin, end) = (self.at(begin), self.at(end));
        self.walk_all(view, Scan { begin: &begin, end: &end, limit, reverse }, visit)
    }

    /// Visits the keys and values of items of which there are as many as the scan wants.
    fn walk_all(
        &self,
        view: &View<'_>,
        scan: Scan<'_>,
        visit: &mut element::Visitor<'_>,
    ) -> Result<(), Stop> {
        let (mut seen, mut ended) = (0, false);
        element::walk(view, scan, &mut |key, value| {
            seen += 1;
            let flow = visit(key, value);
            ended = flow.is_break();
            flow
        })?;
        match ended {
            true => Err(Stop::Unread),
            false if seen < scan.limit => Err(lost()),
            false => Ok(()),
        }
    }

    /// Visits the values of `count` items from index `first` on, all of which must be there.
    ///
    /// # Errors
    ///
    /// [`Stop::Unread`] when `visit` does not want them all.
    pub fn range(
        &self,
        view: &View<'_>,
        first: u64,
        count: u64,
        visit: &mut ValueVisitor<'_>,
    ) -> Result<(), Stop> {
        let (begin, end) = (self.at(self.begin + first), self.at(self.begin + first + count));
        let scan = Scan { limit: count as usize, ..Scan::all(&begin, &end) };
        self.walk_all(view, scan, &mut |_, value| visit(value))
    }

    /// Writes the meta; a list without items goes.
    pub fn save(&self, view: &mut View<'_>, key: &[u8]) -> Result<(), Stop> {
        let (keyspace, incarnation) = (self.keyspace, self.incarnation);
        if let (0, Prior::Present { header, .. }) = (self.len, self.prior) {
            // Its items were removed one by one: nothing is left for the collector.
            view.clear(&keys::registry(keyspace, incarnation));
            return view.delete(keyspace, key, Prior::Present { header, elements: None });
        }
        let elements = Elements { incarnation, len: self.len };
        let (mut ends, used) = ([0; 16], if self.is_dense { 8 } else { 16 });
        ends[..8].copy_from_slice(&self.begin.to_be_bytes());
        ends[8..].copy_from_slice(&self.end.to_be_bytes());
        let (kind, expires_ms) = (Kind::List, self.prior.expires_ms(view.now_ms()));
        let body: &[&[u8]] = &[&elements.encode(), &ends[..used]];
        let new = NewValue { kind, expires_ms, body, elements: Some(elements) };
        view.put(keyspace, key, &new, self.prior)
    }
}

/// The error for a list whose records contradict each other.
fn lost() -> Stop {
    Stop::Failed("an item of a list is missing".to_owned())
}
