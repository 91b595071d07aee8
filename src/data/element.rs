//! The value of one element: in its own record while short, in chunks of 64 KiB beyond that.
//!
//! | bytes of the record | meaning |
//! | --- | --- |
//! | 0 | 0: the value follows; 1: the value is in chunks |
//! | 1.. | the value, or its length in bytes, 8 of them, big-endian |
//!
//! Sets have no values, and sorted sets scores; only hashes and lists use this.

use std::borrow::Cow;

use super::entry;
use super::keys;
use super::view::View;
use crate::error::{Stop, Together};
use crate::limits::CHUNK_BYTES;

const SHORT: u8 = 0;
const LONG: u8 = 1;

/// Bytes of the value in an element's record.
pub fn len(record: &[u8]) -> Result<u64, Stop> {
    match record {
        [SHORT, value @ ..] => Ok(value.len() as u64),
        [LONG, len @ ..] if len.len() == 8 => Ok(keys::be_u64(len)),
        _ => Err(entry::unreadable()),
    }
}

fn chunks(record: &[u8]) -> Result<u32, Stop> {
    match record.first() {
        Some(&LONG) => Ok(len(record)?.div_ceil(CHUNK_BYTES as u64) as u32),
        _ => Ok(0),
    }
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

/// Gives the element `key` a value; whether it is new.
pub fn set(view: &mut View<'_>, key: &[u8], value: &[u8]) -> Result<bool, Stop> {
    let old = view.get(key)?.map(|record| chunks(&record)).transpose()?;
    let new = if value.len() < CHUNK_BYTES {
        view.set(key, &[&[SHORT], value]);
        0
    } else {
        view.set(key, &[&[LONG], &(value.len() as u64).to_be_bytes()]);
        for (index, chunk) in value.chunks(CHUNK_BYTES).enumerate() {
            view.set(&keys::element_chunk(key, index as u32), &[chunk]);
        }
        value.len().div_ceil(CHUNK_BYTES) as u32
    };
    for index in new..old.unwrap_or(0) {
        view.clear(&keys::element_chunk(key, index));
    }
    Ok(old.is_none())
}

/// Removes the element `key`; whether it was there.
pub fn remove(view: &mut View<'_>, key: &[u8]) -> Result<bool, Stop> {
    let Some(chunks) = view.get(key)?.map(|record| chunks(&record)).transpose()? else {
        return Ok(false);
    };
    view.clear(key);
    for index in 0..chunks {
        view.clear(&keys::element_chunk(key, index));
    }
    Ok(true)
}
