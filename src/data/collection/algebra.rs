//! Unions, intersections and differences: elements lie in the order of their hashes in every
//! collection, so they are walked through side by side, a bounded number of each in memory.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::Collection;
use super::cursor::Cursor;
use crate::data::keys::{self, RecordKey};
use crate::data::view::View;
use crate::error::{Stop, Together};
use crate::limits::{MERGED_ELEMENTS_MAX, MERGED_STEP_MIN, PROBED_FACTOR, SCAN_STEP};

/// Called with the tail of each element's key; `Break` ends the walk.
pub type TailVisitor<'v> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'v;

/// Called with the number of a collection, and the tail of an element's key and its record there.
pub type OccurrenceVisitor<'v> = dyn FnMut(usize, &[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Called with the tail of an element's key and its records in the first collection, and in others.
pub type RecordsVisitor<'v> = dyn FnMut(&[u8], &[Cow<'_, [u8]>]) -> ControlFlow<()> + 'v;

fn cursors<'c>(collections: impl ExactSizeIterator<Item = &'c Collection>) -> Vec<Cursor> {
    let step_max = (MERGED_ELEMENTS_MAX / collections.len().max(1)).max(MERGED_STEP_MIN);
    collections.map(|collection| Cursor::new(collection, SCAN_STEP, step_max)).collect()
}

/// Visits the elements that any of the collections has, each once.
pub fn union(
    view: &View<'_>,
    collections: &[Collection],
    visit: &mut TailVisitor<'_>,
) -> Result<(), Stop> {
    let mut last = RecordKey::new();
    occurrences(view, collections, &mut |_, tail, _| {
        if tail == &last[..] {
            return ControlFlow::Continue(());
        }
        last = RecordKey::from_slice(tail);
        visit(tail)
    })
}

/// Visits the elements of all collections, those of one name one after the other.
pub fn occurrences(
    view: &View<'_>,
    collections: &[Collection],
    visit: &mut OccurrenceVisitor<'_>,
) -> Result<(), Stop> {
    let mut cursors = cursors(collections.iter());
    let mut heads = BinaryHeap::with_capacity(cursors.len());
    let mut together = Together::default();
    for (index, cursor) in cursors.iter_mut().enumerate() {
        if let Some(Some(first)) = together.take(cursor.peek(view))? {
            heads.push(Reverse((RecordKey::from_slice(first), index)));
        }
    }
    together.end()?;
    while let Some(Reverse((element, index))) = heads.pop() {
        if visit(index, &element, cursors[index].record()).is_break() {
            break;
        }
        cursors[index].advance();
        let next = match cursors[index].peek(view) {
            Ok(next) => next,
            Err(stop) => {
                // The others will want to go on soon, too.
                cursors.iter().for_each(|cursor| cursor.ask(view));
                return Err(stop);
            }
        };
        if let Some(next) = next {
            heads.push(Reverse((RecordKey::from_slice(next), index)));
        }
    }
    Ok(())
}

/// A collection that is asked for elements in the order of their hashes.
enum Other {
    /// By walking through it.
    Walked(Box<Cursor>),
    /// For each by itself.
    Probed(Collection),
}

impl Other {
    /// The record of the element of the same name as the one with this key, if there is one.
    fn find<'s>(
        &'s mut self,
        view: &'s View<'_>,
        key: &[u8],
    ) -> Result<Option<Cow<'s, [u8]>>, Stop> {
        match self {
            Other::Walked(cursor) => {
                let found = cursor.reaches(view, keys::tail(key))?;
                Ok(found.then(|| Cow::Borrowed(cursor.record())))
            }
            Other::Probed(collection) => view.get(&collection.element_at(keys::tail(key))),
        }
    }
}

/// The others of a walk through `base`, which has `base_len` elements. Each has its number of elements.
fn others(base_len: u64, others: &[(u64, Collection)]) -> Vec<Other> {
    let is_walked = |len: u64| len <= PROBED_FACTOR.saturating_mul(base_len);
    let walked = others.iter().filter(|(len, _)| is_walked(*len)).map(|(_, other)| other);
    let mut cursors = cursors(walked.collect::<Vec<_>>().into_iter()).into_iter();
    let each = others.iter().map(|(len, other)| match is_walked(*len) {
        true => {
            cursors.next().map_or(Other::Probed(*other), |cursor| Other::Walked(Box::new(cursor)))
        }
        false => Other::Probed(*other),
    });
    each.collect()
}

/// The collections with their numbers of elements.
pub fn counted(
    view: &View<'_>,
    collections: &[Collection],
) -> Result<Vec<(u64, Collection)>, Stop> {
    let mut together = Together::default();
    let mut counted = Vec::with_capacity(collections.len());
    for collection in collections {
        let len = together.take(collection.len(view))?;
        counted.push((len.unwrap_or(0), *collection));
    }
    together.end()?;
    Ok(counted)
}

/// Visits the elements that all of the collections have, of which there is at least one.
pub fn intersection(
    view: &View<'_>,
    collections: &[Collection],
    visit: &mut TailVisitor<'_>,
) -> Result<(), Stop> {
    let mut counted = counted(view, collections)?;
    counted.sort_by_key(|(len, _)| *len);
    walk(view, &counted, true, &mut |tail, _| visit(tail))
}

/// Visits the elements that the first of the collections has and no other. There is at least one.
pub fn difference(
    view: &View<'_>,
    collections: &[Collection],
    visit: &mut TailVisitor<'_>,
) -> Result<(), Stop> {
    walk(view, &counted(view, collections)?, false, &mut |tail, _| visit(tail))
}

/// Visits the elements of the first collection that all others have, with all their records, or those
/// that none of them has. The collections have their numbers of elements.
pub fn walk(
    view: &View<'_>,
    collections: &[(u64, Collection)],
    wanted: bool,
    visit: &mut RecordsVisitor<'_>,
) -> Result<(), Stop> {
    let Some(((base_len, base), rest)) = collections.split_first() else { return Ok(()) };
    let mut others = others(*base_len, rest);
    for other in &others {
        if let Other::Walked(cursor) = other {
            cursor.ask(view);
        }
    }
    let mut outcome = Ok(());
    base.walk(view, &mut |key, record| {
        let mut records: SmallVec<[_; 4]> = SmallVec::new();
        records.push(Cow::Borrowed(record));
        for other in &mut others {
            match other.find(view, key) {
                Ok(found) if found.is_some() == wanted => records.extend(found),
                Ok(_) => return ControlFlow::Continue(()),
                // Go on: what the others of the elements need is fetched together.
                Err(Stop::Pending) => {
                    outcome = Err(Stop::Pending);
                    return ControlFlow::Continue(());
                }
                Err(stop) => {
                    outcome = Err(stop);
                    return ControlFlow::Break(());
                }
            }
        }
        if outcome.is_err() {
            return ControlFlow::Continue(());
        }
        visit(keys::tail(key), &records)
    })?;
    outcome
}
