//! Unions, intersections and differences: elements lie in the order of their hashes in every
//! collection, so they are walked through side by side, a bounded number of each in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::Collection;
use super::cursor::Cursor;
use crate::data::keys::{self, RecordKey};
use crate::data::view::View;
use crate::error::{Stop, Together};
use crate::limits::{MERGED_ELEMENTS_MAX, MERGED_STEP_MIN, PROBED_FACTOR, SCAN_STEP};

/// Called with the tail of each element's key; `Break` ends the walk.
pub type TailVisitor<'v> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'v;

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
    let mut cursors = cursors(collections.iter());
    let mut heads = BinaryHeap::with_capacity(cursors.len());
    let mut together = Together::default();
    for (index, cursor) in cursors.iter_mut().enumerate() {
        if let Some(Some(first)) = together.take(cursor.peek(view))? {
            heads.push(Reverse((RecordKey::from_slice(first), index)));
        }
    }
    together.end()?;
    let mut last = RecordKey::new();
    while let Some(Reverse((element, index))) = heads.pop() {
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
        if element != last {
            if visit(&element).is_break() {
                break;
            }
            last = element;
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
    /// Whether it has an element of the same name as the one with this key.
    fn has(&mut self, view: &View<'_>, key: &[u8]) -> Result<bool, Stop> {
        match self {
            Other::Walked(cursor) => cursor.reaches(view, keys::tail(key)),
            Other::Probed(collection) => {
                Ok(view.get(&collection.element_at(keys::tail(key)))?.is_some())
            }
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
fn counted(view: &View<'_>, collections: &[Collection]) -> Result<Vec<(u64, Collection)>, Stop> {
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
    walk(view, &counted, true, visit)
}

/// Visits the elements that the first of the collections has and no other. There is at least one.
pub fn difference(
    view: &View<'_>,
    collections: &[Collection],
    visit: &mut TailVisitor<'_>,
) -> Result<(), Stop> {
    walk(view, &counted(view, collections)?, false, visit)
}

/// Visits the elements of the first collection that all others have, or none of them.
fn walk(
    view: &View<'_>,
    collections: &[(u64, Collection)],
    wanted: bool,
    visit: &mut TailVisitor<'_>,
) -> Result<(), Stop> {
    let Some(((base_len, base), rest)) = collections.split_first() else { return Ok(()) };
    let mut others = others(*base_len, rest);
    let mut outcome = Ok(());
    base.walk(view, &mut |key, _| {
        for other in &mut others {
            match other.has(view, key) {
                Ok(has) if has == wanted => {}
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
        visit(keys::tail(key))
    })?;
    outcome
}
