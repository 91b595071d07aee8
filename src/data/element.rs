//! The value of one element: in its own record while short, in chunks of 64 KiB beyond that.
//!
//! | bytes of the record | meaning |
//! | --- | --- |
//! | 0 | 0: the value follows; 1: the value is in chunks |
//! | 1.. | the value, or its length in bytes, 8 of them, big-endian |
//!
//! Sets have no values, and sorted sets scores; only hashes and lists use this.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::entry;
use super::keys;
use super::view::View;
use crate::error::{Stop, Together};
use crate::limits::CHUNK_BYTES;
use crate::store::Scan;

const SHORT: u8 = 0;
const LONG: u8 = 1;

/// Whether a visit of an element wants more of them; [`Stop::Pending`] does.
pub type Visited = Result<ControlFlow<()>, Stop>;
/// Sees values, and says whether it wants more.
pub type ValueVisitor<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Bytes of the value in an element's record.
pub fn len(record: &[u8]) -> Result<u64, Stop> {
    match record {
        [SHORT, value @ ..] => Ok(value.len() as u64),
        [LONG, len @ ..] if len.len() == 8 => Ok(keys::be_u64(len)),
        _ => Err(entry::unreadable()),
    }
}

/// Whether all of the value is in an element's record.
pub fn is_short(record: &[u8]) -> bool {
    record.first() == Some(&SHORT)
}

fn chunks(record: &[u8]) -> Result<u32, Stop> {
    Ok(chunks_of(len(record)?))
}

/// How many chunks a value has.
fn chunks_of(len: u64) -> u32 {
    if len < CHUNK_BYTES as u64 { 0 } else { len.div_ceil(CHUNK_BYTES as u64) as u32 }
}

/// The value of the element `key`, given its record.
pub fn value<'r>(
    view: &View<'_>,
    key: &[u8],
    record: Cow<'r, [u8]>,
) -> Result<Cow<'r, [u8]>, Stop> {
    let chunks = chunks(&record)?;
    if chunks == 0 {
        len(&record)?;
        return Ok(match record {
            Cow::Borrowed(record) => Cow::Borrowed(&record[1..]),
            Cow::Owned(mut record) => {
                record.remove(0);
                Cow::Owned(record)
            }
        });
    }
    let (mut bytes, mut together) = (Vec::new(), Together::default());
    for index in 0..chunks {
        let chunk = together.take(view.get(&keys::element_chunk(key, index)))?;
        bytes.extend_from_slice(chunk.flatten().as_deref().unwrap_or_default());
    }
    together.end()?;
    Ok(Cow::Owned(bytes))
}

/// As [`value`], for a record that is only borrowed.
pub fn shown<'r>(view: &View<'_>, key: &[u8], record: &'r [u8]) -> Result<Cow<'r, [u8]>, Stop> {
    value(view, key, Cow::Borrowed(record))
}

/// The value of the element `key`, `None` if it is not there.
pub fn get<'v>(view: &'v View<'_>, key: &[u8]) -> Result<Option<Cow<'v, [u8]>>, Stop> {
    view.get(key)?.map(|record| value(view, key, record)).transpose()
}

/// Whether the element `key` with this record has a value.
pub fn is(view: &View<'_>, key: &[u8], record: &[u8], wanted: &[u8]) -> Result<bool, Stop> {
    if len(record)? != wanted.len() as u64 {
        return Ok(false);
    }
    Ok(*value(view, key, Cow::Borrowed(record))? == *wanted)
}

/// Visits the keys and records of the elements that `scan` finds. A visit that is pending does not keep the others from being
/// visited: they are wanted too, all in one fetch.
pub fn walk(
    view: &View<'_>,
    scan: Scan<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Visited,
) -> Result<(), Stop> {
    let (mut together, mut failed) = (Together::default(), Ok(()));
    view.walk(scan, &mut |key, record| match together.take(visit(key, record)) {
        Ok(flow) => flow.unwrap_or(ControlFlow::Continue(())),
        Err(stop) => {
            failed = Err(stop);
            ControlFlow::Break(())
        }
    })?;
    failed?;
    together.end()
}

/// Gives the element `key` a value; whether it is new.
pub fn set(view: &mut View<'_>, key: &[u8], value: &[u8]) -> Result<bool, Stop> {
    let old = view.get(key)?.map(|record| chunks(&record)).transpose()?;
    set_new(view, key, value);
    for index in chunks_of(value.len() as u64)..old.unwrap_or(0) {
        view.clear(&keys::element_chunk(key, index));
    }
    Ok(old.is_none())
}

/// As [`set`], for an element that is not there: reads nothing.
pub fn set_new(view: &mut View<'_>, key: &[u8], value: &[u8]) {
    if chunks_of(value.len() as u64) == 0 {
        return view.set(key, &[&[SHORT], value]);
    }
    view.set(key, &[&[LONG], &(value.len() as u64).to_be_bytes()]);
    for (index, chunk) in value.chunks(CHUNK_BYTES).enumerate() {
        view.set(&keys::element_chunk(key, index as u32), &[chunk]);
    }
}

/// Removes the element `key`; whether it was there.
pub fn remove(view: &mut View<'_>, key: &[u8]) -> Result<bool, Stop> {
    let Some(len) = view.get(key)?.map(|record| len(&record)).transpose()? else {
        return Ok(false);
    };
    clear(view, key, len);
    Ok(true)
}

/// Removes an element that is there, with a value of so many bytes.
pub fn clear(view: &mut View<'_>, key: &[u8], len: u64) {
    view.clear(key);
    for index in 0..chunks_of(len) {
        view.clear(&keys::element_chunk(key, index));
    }
}
