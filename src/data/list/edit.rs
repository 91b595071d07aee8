//! Changes in the middle of a list.
//!
//! Where few items are between the place and an end, they are moved and the list stays dense. Otherwise
//! it becomes sparse: no other item is touched. A short one is made dense again when it is next changed
//! here.

use std::ops::ControlFlow;

use super::position::{self, Position};
use super::{End, List, walk_all};
use crate::data::element;
use crate::data::keys::{self, RecordKey};
use crate::data::view::View;
use crate::error::Stop;
use crate::limits::{
    LIST_POSITION_BYTES_MAX, LIST_REMOVED_MAX, LIST_SHIFT_BYTES_MAX, LIST_SHIFT_MAX,
    MUTATION_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX,
};
use crate::store::Scan;

/// Up to where items are moved.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Items moved at most.
    pub items: u64,
    /// Bytes of their records at most.
    pub bytes: usize,
    /// Longest position.
    pub position_bytes: usize,
}

/// The bounds of every command.
pub const BOUNDS: Bounds = Bounds {
    items: LIST_SHIFT_MAX,
    bytes: LIST_SHIFT_BYTES_MAX,
    position_bytes: LIST_POSITION_BYTES_MAX,
};

/// A place for a new item.
struct Place {
    index: u64,
    /// Positions of its neighbours, empty where there is none.
    low: Position,
    high: Position,
}

impl List {
    /// Puts an item beside the first one that has the value `pivot`; the list's length, or `None`
    /// without such an item.
    pub fn insert(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        (side, pivot): (End, &[u8]),
        value: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<u64>, Stop> {
        let Some(place) = self.place_beside(view, side, pivot)? else { return Ok(None) };
        if place.low.is_empty() {
            self.push(view, End::Left, value);
        } else if place.high.is_empty() {
            self.push(view, End::Right, value);
        } else {
            let position = self.make_room(view, key, &place, side, bounds)?;
            element::set_new(view, &self.item(&position), value);
            self.len += 1;
        }
        self.save(view, key)?;
        Ok(Some(self.len))
    }

    fn place_beside(
        &self,
        view: &View<'_>,
        side: End,
        pivot: &[u8],
    ) -> Result<Option<Place>, Stop> {
        let mut place = Place { index: 0, low: Position::new(), high: Position::new() };
        let (mut found, mut ended) = (false, false);
        self.walk(view, End::Left, self.len, |key, record| {
            let position = keys::split_item(key);
            ended = found;
            if !found {
                found = element::is(view, key, record, pivot)?;
                ended = found && side == End::Left;
            }
            if ended {
                place.high = Position::from_slice(position);
                return Ok(ControlFlow::Break(()));
            }
            place.low = Position::from_slice(position);
            place.index += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found.then_some(place))
    }

    /// The position for a new item between two others.
    fn make_room(
        &mut self,
        view: &mut View<'_>,
        key: &[u8],
        place: &Place,
        side: End,
        bounds: &Bounds,
    ) -> Result<Position, Stop> {
        if self.is_dense
            && let Some(number) = self.open_gap(view, place.index, bounds)?
        {
            return Ok(Position::from_slice(&number.to_be_bytes()));
        }
        let mut position = position::between(&place.low, &place.high, side);
        if position.len() > bounds.position_bytes {
            let values = self.values(view, 0, self.len, TRANSACTION_BYTES_MAX)?;
            *self = self.move_to_new(view, key, &values.ok_or(Stop::TooLarge)?)?;
            let high = self.begin + place.index;
            position = position::between(&(high - 1).to_be_bytes(), &high.to_be_bytes(), side);
        }
        self.is_dense = false;
        Ok(position)
    }

    /// Moves the items on the shorter side of a place in a dense list by one, if they are few; the
    /// position that is free then.
    fn open_gap(
        &mut self,
        view: &mut View<'_>,
        index: u64,
        bounds: &Bounds,
    ) -> Result<Option<u64>, Stop> {
        let behind = self.len - index;
        let (from, count) = if index < behind { (End::Left, index) } else { (End::Right, behind) };
        let span = self.span(from, count);
        let Some(records) = short_records(view, span, from, count, bounds)? else {
            return Ok(None);
        };
        match from {
            End::Left => self.begin -= 1,
            End::Right => self.end += 1,
        }
        self.write_from(view, from, &records);
        Ok(Some(self.begin + index))
    }

    /// Gives the outermost positions of an end to these records, the outermost first.
    fn write_from(&self, view: &mut View<'_>, from: End, records: &[Vec<u8>]) {
        for (number, record) in (0..).zip(records) {
            let position = match from {
                End::Left => self.begin + number,
                End::Right => self.end - 1 - number,
            };
            view.set(&self.at(position), &[record]);
        }
    }

    /// Removes the first `max` items with a value, seen from an end; how many these were.
    pub fn remove(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        value: &[u8],
        (from, max): (End, u64),
        bounds: &Bounds,
    ) -> Result<u64, Stop> {
        let (mut count, mut found, mut first, mut last) = (0, Vec::new(), u64::MAX, 0);
        self.matches(view, value, from, self.len, &mut |index, item| {
            count += 1;
            if count <= LIST_REMOVED_MAX {
                found.push(RecordKey::from_slice(item));
            }
            (first, last) = (first.min(index), last.max(index));
            if count == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if count == 0 {
            return Ok(0);
        }
        if count == self.len {
            view.delete(self.keyspace, key, self.prior)?;
            return Ok(count);
        }
        if count > LIST_REMOVED_MAX {
            return Err(Stop::TooLarge);
        }
        found.iter().for_each(|item| element::clear(view, item, value.len() as u64));
        if self.is_dense {
            self.is_dense = self.close_gaps(view, (first, last), count, bounds)?;
        }
        self.len -= count;
        self.settle(view, key, bounds)?;
        self.save(view, key)?;
        Ok(count)
    }

    /// Moves together what is left of a dense list after `count` items between two indexes, themselves
    /// included, were removed, if few have to be moved; whether it did.
    fn close_gaps(
        &mut self,
        view: &mut View<'_>,
        (first, last): (u64, u64),
        count: u64,
        bounds: &Bounds,
    ) -> Result<bool, Stop> {
        let (left, right) = (last + 1, self.len - first);
        let (from, span) = if left < right { (End::Left, left) } else { (End::Right, right) };
        let (begin, end) = self.span(from, span);
        let Some(records) = short_records(view, (begin, end), from, span - count, bounds)? else {
            return Ok(false);
        };
        let (begin, end) = (self.begin, self.end);
        match from {
            End::Left => self.begin += count,
            End::Right => self.end -= count,
        }
        self.write_from(view, from, &records);
        (begin..self.begin).chain(self.end..end).for_each(|free| view.clear(&self.at(free)));
        Ok(true)
    }

    /// Removes all items but `count` from index `first` on. The key goes with the last one.
    pub fn trim(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        (first, count): (u64, u64),
        bounds: &Bounds,
    ) -> Result<(), Stop> {
        let removed = self.len - count;
        if count == 0 {
            return view.delete(self.keyspace, key, self.prior);
        }
        if removed == 0 {
            return Ok(());
        }
        let kept = match removed > bounds.items.max(count) {
            true => self.values(view, first, count, TRANSACTION_BYTES_MAX / 2)?,
            false => None,
        };
        if let Some(kept) = kept {
            self = self.move_to_new(view, key, &kept)?;
        } else {
            self.take(view, End::Left, first, None)?;
            self.take(view, End::Right, removed - first, None)?;
            self.settle(view, key, bounds)?;
        }
        self.save(view, key)
    }

    /// Makes a sparse list dense if it is short.
    fn settle(&mut self, view: &mut View<'_>, key: &[u8], bounds: &Bounds) -> Result<(), Stop> {
        if !self.is_dense
            && self.len <= bounds.items
            && let Some(values) = self.values(view, 0, self.len, bounds.bytes)?
        {
            *self = self.move_to_new(view, key, &values)?;
        }
        Ok(())
    }

    /// The values of `count` items from index `first` on, unless writing them takes more than so much of
    /// a transaction.
    fn values(
        &self,
        view: &View<'_>,
        first: u64,
        count: u64,
        bytes_max: usize,
    ) -> Result<Option<Vec<Vec<u8>>>, Stop> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        self.range(view, first, count, |value| {
            bytes += value.len() + MUTATION_OVERHEAD_BYTES;
            values.push(value.to_vec());
            if bytes > bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((bytes <= bytes_max).then_some(values))
    }

    /// A dense list of these values, which takes the place of this one when it is saved. What is left
    /// behind goes with the old incarnation.
    fn move_to_new(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        values: &[Vec<u8>],
    ) -> Result<List, Stop> {
        let mut list = List::begin(view, self.keyspace, key, self.prior)?;
        values.iter().for_each(|value| list.push(view, End::Right, value));
        Ok(list)
    }
}

/// The records of the `count` items in a range, the outermost first; `None` if they are too many to be
/// moved, or one has chunks.
fn short_records(
    view: &View<'_>,
    (begin, end): (RecordKey, RecordKey),
    from: End,
    count: u64,
    bounds: &Bounds,
) -> Result<Option<Vec<Vec<u8>>>, Stop> {
    if count > bounds.items {
        return Ok(None);
    }
    let (mut records, mut bytes, mut movable) = (Vec::new(), 0, true);
    let scan =
        Scan { begin: &begin, end: &end, limit: count as usize, reverse: from == End::Right };
    walk_all(view, scan, |_, record| {
        bytes += record.len();
        records.push(record.to_vec());
        movable = bytes <= bounds.bytes && element::is_short(record);
        Ok(if movable { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(movable.then_some(records))
}
