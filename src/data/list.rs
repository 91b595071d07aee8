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
//! with a given index is found without looking at others. A sparse one has holes, or more than one item
//! at a number: see [`position`]. It comes about by changes in the middle of a long list ([`edit`]).
//!
//! Every change of a list writes its meta, whose stamp tells `WATCH`.

mod edit;
mod position;
mod seek;

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::element::{self, ValueVisitor, Visited};
use super::entry::{self, Entry, NewValue, Prior};
use super::keys::{self, Incarnation, KeyspaceId, RecordKey};
use super::meta::{Elements, Kind};
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::{ELEMENTS_CLEARED_AT_ONCE, LIST_REMOVED_MAX};
use crate::store::Scan;

pub use edit::{BOUNDS, Bounds};

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

    /// The list that an entry is; an error if it is of another type.
    pub(super) fn of(keyspace: KeyspaceId, entry: &Entry<'_>) -> Result<List, Stop> {
        if entry.header.kind != Kind::List {
            return Err(error::WRONG_TYPE.into());
        }
        let Elements { incarnation, len } = entry.elements()?.ok_or_else(entry::unreadable)?;
        let ends = &entry.body()[16..];
        let (begin, end, is_dense) = match ends.len() {
            8 => (keys::be_u64(ends), keys::be_u64(ends).wrapping_add(len), true),
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
        List::begin(view, keyspace, key, prior)
    }

    /// An empty list, to be put in the place of what is at a key.
    fn begin(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        prior: Prior,
    ) -> Result<List, Stop> {
        let incarnation = view.new_incarnation()?;
        view.set(&keys::registry(keyspace, incarnation), &[key]);
        let (begin, end) = (ORIGIN, ORIGIN);
        Ok(List { keyspace, prior, incarnation, len: 0, begin, end, is_dense: true })
    }

    /// Puts a list of these items in the place of whatever is at a key; without any nothing is there
    /// afterwards.
    pub fn store<'i>(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        items: impl ExactSizeIterator<Item = &'i [u8]>,
        expires_ms: u64,
        prior: Prior,
    ) -> Result<(), Stop> {
        entry::check_key(key)?;
        if items.len() == 0 {
            return if prior == Prior::Absent { Ok(()) } else { view.delete(keyspace, key, prior) };
        }
        let mut list = List::begin(view, keyspace, key, prior)?;
        items.for_each(|item| list.push(view, End::Right, item));
        list.write_meta(view, key, expires_ms)
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
    fn item(&self, position: &[u8]) -> RecordKey {
        keys::item(self.keyspace, self.incarnation, position)
    }

    /// As [`List::item`], for a position that is only a number.
    fn at(&self, position: u64) -> RecordKey {
        self.item(&position.to_be_bytes())
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
    /// order as long as `visit` wants them. The key goes with the last one.
    pub fn pop(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        from: End,
        count: u64,
        visit: &mut ValueVisitor<'_>,
    ) -> Result<(), Stop> {
        let kept = self.len - count;
        if count == 0 {
            return Ok(());
        }
        let all = kept == 0 && count > ELEMENTS_CLEARED_AT_ONCE;
        if all || count > BOUNDS.items.max(kept) {
            self.walk(view, from, count, |key, record| {
                Ok(visit(&element::value(view, key, Cow::Borrowed(record))?))
            })?;
            let first = if from == End::Left { count } else { 0 };
            return self.trim(view, key, (first, kept), &BOUNDS);
        }
        self.take(view, from, count, Some(visit))?;
        self.save(view, key)
    }

    /// As [`List::pop`], one by one. [`List::save`] has to follow.
    fn take(
        &mut self,
        view: &mut View<'_>,
        from: End,
        count: u64,
        visit: Option<&mut ValueVisitor<'_>>,
    ) -> Result<(), Stop> {
        let taken = match count {
            0 => return Ok(()),
            1 if self.is_dense => self.take_one(view, from, visit),
            _ => self.take_many(view, from, count, visit),
        };
        if taken == Err(Stop::Pending) {
            self.look_ahead(view, from, count);
        }
        taken?;
        self.len -= count;
        Ok(())
    }

    fn take_one(
        &mut self,
        view: &mut View<'_>,
        from: End,
        visit: Option<&mut ValueVisitor<'_>>,
    ) -> Result<(), Stop> {
        let item = self.outermost(from);
        let record = view.get(&item)?.ok_or_else(lost)?;
        let len = element::len(&record)?;
        if let Some(visit) = visit {
            let _ = visit(&element::value(view, &item, record)?);
        }
        element::clear(view, &item, len);
        match from {
            End::Left => self.begin += 1,
            End::Right => self.end -= 1,
        }
        Ok(())
    }

    fn take_many(
        &mut self,
        view: &mut View<'_>,
        from: End,
        count: u64,
        mut visit: Option<&mut ValueVisitor<'_>>,
    ) -> Result<(), Stop> {
        if count > LIST_REMOVED_MAX {
            return Err(Stop::TooLarge);
        }
        let mut found = Vec::with_capacity(count as usize);
        self.walk(view, from, count, |key, record| {
            found.push((RecordKey::from_slice(key), element::len(record)?));
            if let Some(wants) = &mut visit
                && wants(&element::value(view, key, Cow::Borrowed(record))?).is_break()
            {
                visit = None;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.iter().for_each(|(item, len)| element::clear(view, item, *len));
        let Some((last, _)) = found.last() else { return Ok(()) };
        let (number, fraction) = position::split(keys::split_item(last));
        match from {
            End::Left if self.is_dense => self.begin += count,
            // Others may be at the same number, behind it.
            End::Left => self.begin = number,
            End::Right => self.end = number + u64::from(!fraction.is_empty()),
        }
        Ok(())
    }

    /// Asks for what a pending command will take when those before it, which are pending too, have taken
    /// theirs: otherwise each of them would cost a fetch. In a sparse list nobody knows where that is.
    fn look_ahead(&self, view: &View<'_>, from: End, count: u64) {
        let before = view.want(self.incarnation, from == End::Right, count);
        if before == 0 || before >= self.len || !self.is_dense {
            return;
        }
        let mut then = List { len: self.len - before, ..*self };
        match from {
            End::Left => then.begin += before,
            End::Right => then.end -= before,
        }
        // What it answers is for the next execution to see.
        let _ = match count {
            1 => element::get(view, &then.outermost(from)).map(drop),
            _ => then.walk(view, from, count.min(then.len), |key, record| {
                element::value(view, key, Cow::Borrowed(record))?;
                Ok(ControlFlow::Continue(()))
            }),
        };
    }

    /// Key of the item at an end of a dense list.
    fn outermost(&self, from: End) -> RecordKey {
        self.at(if from == End::Left { self.begin } else { self.end - 1 })
    }

    /// The range of keys of the `count` items next to an end; in a sparse list, of all.
    fn span(&self, from: End, count: u64) -> (RecordKey, RecordKey) {
        let (begin, end) = match from {
            _ if !self.is_dense => (self.begin, self.end),
            End::Left => (self.begin, self.begin + count),
            End::Right => (self.end - count, self.end),
        };
        (self.at(begin), self.at(end))
    }

    /// Visits the keys and records of `count` items from an end on.
    fn walk(
        &self,
        view: &View<'_>,
        from: End,
        count: u64,
        visit: impl FnMut(&[u8], &[u8]) -> Visited,
    ) -> Result<(), Stop> {
        let (begin, end) = self.span(from, count);
        let (limit, reverse) = (count as usize, from == End::Right);
        walk_all(view, Scan { begin: &begin, end: &end, limit, reverse }, visit)
    }

    /// Writes the meta; a list without items goes.
    pub fn save(&self, view: &mut View<'_>, key: &[u8]) -> Result<(), Stop> {
        let (keyspace, incarnation) = (self.keyspace, self.incarnation);
        if let (0, Prior::Present { header, .. }) = (self.len, self.prior) {
            // Its items were removed one by one: nothing is left for the collector.
            view.clear(&keys::registry(keyspace, incarnation));
            return view.delete(keyspace, key, Prior::Present { header, elements: None });
        }
        self.write_meta(view, key, self.prior.expires_ms(view.now_ms()))
    }

    fn write_meta(&self, view: &mut View<'_>, key: &[u8], expires_ms: u64) -> Result<(), Stop> {
        let elements = Elements { incarnation: self.incarnation, len: self.len };
        let (mut ends, used) = ([0; 16], if self.is_dense { 8 } else { 16 });
        ends[..8].copy_from_slice(&self.begin.to_be_bytes());
        ends[8..].copy_from_slice(&self.end.to_be_bytes());
        let body: &[&[u8]] = &[&elements.encode(), &ends[..used]];
        let new = NewValue { kind: Kind::List, expires_ms, body, elements: Some(elements) };
        view.put(self.keyspace, key, &new, self.prior)
    }
}

/// Visits as many items as the scan is limited to, all of which must be there.
fn walk_all(
    view: &View<'_>,
    scan: Scan<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Visited,
) -> Result<(), Stop> {
    let (mut seen, mut ended) = (0, false);
    element::walk(view, scan, |key, record| {
        seen += 1;
        let flow = visit(key, record)?;
        ended = flow.is_break();
        Ok(flow)
    })?;
    if seen < scan.limit && !ended { Err(lost()) } else { Ok(()) }
}

/// The error for a list whose records contradict each other.
fn lost() -> Stop {
    Stop::Failed("an item of a list is missing".to_owned())
}

/// Moves an item from an end of the list at `source` to an end of the one at `target`; its value, or
/// `None` if there is no list to take it from.
pub fn move_item(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    (source, from): (&[u8], End),
    (target, to): (&[u8], End),
) -> Result<Option<Vec<u8>>, Stop> {
    let Some(mut list) = List::find(view, keyspace, source)? else { return Ok(None) };
    let mut other = match source == target {
        true => None,
        false => Some(List::open(view, keyspace, target)?),
    };
    let mut value = Vec::new();
    list.take(
        view,
        from,
        1,
        Some(&mut |taken| {
            value.extend_from_slice(taken);
            ControlFlow::Continue(())
        }),
    )?;
    other.as_mut().unwrap_or(&mut list).push(view, to, &value);
    list.save(view, source)?;
    if let Some(other) = other {
        other.save(view, target)?;
    }
    Ok(Some(value))
}
