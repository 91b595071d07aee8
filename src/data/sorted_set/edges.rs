//! Where the members begin and end, for sorted sets that are used as queues.
//!
//! What was removed goes on taking time to pass over: in the group that removed it, and in stores that
//! keep track of removals until they are rid of what was there before. Whoever takes the lowest member
//! of a set over and over again would pass over all that were taken before. So a set whose ends were
//! taken has a record of two positions, outside which there is nothing. It is renewed by every other
//! removal; whoever adds a member outside looks at it and changes it. That would be a conflict where
//! others write too, so only stores that answer at once have it; the meta says whether a set has.

use super::range::{END, START};
use super::{Position, SortedSet, split};
use crate::data::entry;
use crate::data::keys;
use crate::data::view::View;
use crate::error::Stop;

/// The level of the record.
const EDGES: u8 = 0xff;
/// In the meta beside the number of levels: there is such a record.
pub(super) const HAS_EDGES: u8 = 0x80;
/// One removal in so many renews it.
const RENEWED_1_IN: u64 = 2;

/// There is nothing before the first position, nor at the second one and behind it.
pub(super) struct Edges {
    pub(super) low: Position,
    pub(super) high: Position,
}

impl SortedSet {
    /// Where the members begin and end, as far as it is known.
    pub(super) fn edges(&self, view: &View<'_>) -> Result<Option<Edges>, Stop> {
        if !self.has_edges {
            return Ok(None);
        }
        let Some(record) = view.get(&self.key(EDGES, START))? else { return Ok(None) };
        let (len, positions) = record.split_first_chunk::<2>().ok_or_else(entry::unreadable)?;
        let low_len = usize::from(u16::from_be_bytes(*len));
        let (low, high) = positions.split_at_checked(low_len).ok_or_else(entry::unreadable)?;
        Ok(Some(Edges { low: Position::from_slice(low), high: Position::from_slice(high) }))
    }

    fn set_edges(&self, view: &mut View<'_>, edges: &Edges) {
        let low_len = (edges.low.len() as u16).to_be_bytes();
        view.set(&self.key(EDGES, START), &[&low_len, &edges.low, &edges.high]);
    }

    /// Sees to it that a position where a member is about to be is not outside.
    pub(super) fn widen(&self, view: &mut View<'_>, position: &[u8]) -> Result<(), Stop> {
        let Some(mut edges) = self.edges(view)? else { return Ok(()) };
        if *position < edges.low[..] {
            edges.low = Position::from_slice(position);
        } else if *position >= edges.high[..] {
            edges.high = Position::from_slice(position);
            edges.high.push(0);
        } else {
            return Ok(());
        }
        self.set_edges(view, &edges);
        Ok(())
    }

    /// Takes note that all members up to the last one of these were removed from an end.
    pub(super) fn narrow(
        mut self,
        view: &mut View<'_>,
        key: &[u8],
        removed: &[Position],
        from_high: bool,
    ) -> Result<(), Stop> {
        let renews =
            |position: &Position| keys::hash64(split(position).1).is_multiple_of(RENEWED_1_IN);
        let Some(last) = removed.last().filter(|_| removed.iter().any(renews)) else {
            return Ok(());
        };
        let known = self.edges(view)?;
        let (low, high) = (Position::from_slice(START), Position::from_slice(END));
        let mut edges = known.unwrap_or(Edges { low, high });
        if from_high {
            edges.high = last.clone();
        } else {
            edges.low = last.clone();
            edges.low.push(0);
        }
        self.set_edges(view, &edges);
        if !self.has_edges {
            self.has_edges = true;
            self.collection.set_marks(view, key, self.marks())?;
        }
        Ok(())
    }
}
