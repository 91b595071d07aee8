//! Strings: in the meta while short, in chunks of 64 KiB beyond that.
//!
//! A chunk that is missing, or shorter than its place in the string, reads as zero bytes, so that a
//! `SETRANGE` or `SETBIT` far behind the end writes only what it must.

use std::borrow::Cow;
use std::ops::Range;

use super::entry::{Entry, NewValue, Prior};
use super::keys::{self, KeyspaceId};
use super::meta::{HEAD, Kind, Long};
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::{CHUNK_BYTES, INLINE_VALUE_BYTES_MAX};

/// Up to this many chunks are cleared with their key; more are left to the collector.
pub const CHUNKS_CLEARED_AT_ONCE: u64 = 4;
const CHUNK: u64 = CHUNK_BYTES as u64;

/// A string that is there.
pub struct Found<'v> {
    /// Its meta.
    pub entry: Entry<'v>,
    long: Option<Long>,
}

impl Found<'_> {
    /// Bytes of the string.
    pub fn len(&self) -> u64 {
        self.long.map_or(self.entry.body().len() as u64, |long| long.len)
    }

    /// Whether the string has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole value: borrowed if it lives in the meta.
    pub fn value(&self, view: &View<'_>, keyspace: KeyspaceId) -> Result<Cow<'_, [u8]>, Stop> {
        match &self.long {
            None => Ok(Cow::Borrowed(self.entry.body())),
            Some(_) => Ok(Cow::Owned(self.part(view, keyspace, 0..self.len())?.into_owned())),
        }
    }

    /// The bytes of `range`, which must lie within the string.
    pub fn part(
        &self,
        view: &View<'_>,
        keyspace: KeyspaceId,
        range: Range<u64>,
    ) -> Result<Cow<'_, [u8]>, Stop> {
        match &self.long {
            None => Ok(Cow::Borrowed(&self.entry.body()[range.start as usize..range.end as usize])),
            Some(long) => {
                let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
                read(view, keyspace, long, range, &mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// The string at a key; an error if the key holds another type.
pub fn get<'v>(
    view: &'v View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
) -> Result<Option<Found<'v>>, Stop> {
    let Some(entry) = view.lookup(keyspace, key)? else { return Ok(None) };
    match entry.header.kind {
        Kind::String | Kind::LongString => {
            let long = entry.long()?;
            Ok(Some(Found { entry, long }))
        }
    }
}

/// Appends bytes `range` of a long string to `out`.
pub fn read(
    view: &View<'_>,
    keyspace: KeyspaceId,
    long: &Long,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    let mut at = range.start;
    let mut pending = Ok(());
    while at < range.end {
        let index = at / CHUNK;
        let until = range.end.min((index + 1) * CHUNK);
        let (from, to) = ((at - index * CHUNK) as usize, (until - index * CHUNK) as usize);
        match view.get(&keys::chunk(keyspace, long.incarnation, index as u32)) {
            Ok(chunk) => {
                let have = chunk.as_deref().unwrap_or_default();
                let end = out.len() + (to - from);
                out.extend_from_slice(have.get(from..to.min(have.len())).unwrap_or_default());
                out.resize(end, 0);
            }
            // Go on: the chunks behind this one are wanted too, all in one fetch.
            Err(Stop::Pending) => pending = Err(Stop::Pending),
            Err(other) => return Err(other),
        }
        at = until;
    }
    pending
}

/// Makes `value` (in pieces) the string at `key`.
pub fn put(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    value: &[&[u8]],
    expires_ms: u64,
    prior: Prior,
) -> Result<(), Stop> {
    let len: usize = value.iter().map(|piece| piece.len()).sum();
    if len <= INLINE_VALUE_BYTES_MAX {
        let new = NewValue { kind: Kind::String, expires_ms, body: value, long: None };
        return view.put(keyspace, key, &new, prior);
    }
    super::entry::check_key(key)?;
    let long = Long { incarnation: view.new_incarnation(), len: len as u64 };
    let joined;
    let value: &[u8] = match value {
        [value] => value,
        pieces => {
            joined = pieces.concat();
            &joined
        }
    };
    for (index, chunk) in value.chunks(CHUNK_BYTES).enumerate() {
        view.set(&keys::chunk(keyspace, long.incarnation, index as u32), &[chunk]);
    }
    view.set(&keys::registry(keyspace, long.incarnation), &[key]);
    put_long(view, keyspace, key, long, expires_ms, prior)
}

fn put_long(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    long: Long,
    expires_ms: u64,
    prior: Prior,
) -> Result<(), Stop> {
    let body = long.encode();
    let new = NewValue { kind: Kind::LongString, expires_ms, body: &[&body], long: Some(long) };
    view.put(keyspace, key, &new, prior)
}

/// Overwrites bytes from `offset` on, growing the string with zeros as needed; returns its length.
///
/// The key's expiry is kept. `bytes` must not be empty.
pub fn write_at(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    offset: u64,
    bytes: &[u8],
) -> Result<u64, Stop> {
    let end = offset.saturating_add(bytes.len() as u64);
    if end > view.value_bytes_max() as u64 {
        return Err(error::STRING_TOO_LONG.into());
    }
    let (prior, found) = match get(view, keyspace, key)? {
        Some(found) => (found.entry.prior()?, Some((found.long, found.entry.body().to_vec()))),
        // An expired record may still lie there.
        None => (view.prior(keyspace, key)?, None),
    };
    let expires_ms = prior.expires_ms(view.now_ms());
    match found {
        Some((Some(long), _)) => write_chunks(view, keyspace, key, long, offset, bytes, prior),
        other => {
            let mut value = other.map(|(_, value)| value).unwrap_or_default();
            let len = value.len().max(end as usize);
            value.resize(len, 0);
            value[offset as usize..end as usize].copy_from_slice(bytes);
            put(view, keyspace, key, &[&value], expires_ms, prior)?;
            Ok(len as u64)
        }
    }
}

/// Writes into the chunks that `offset..` touches, and the new length into the meta.
fn write_chunks(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    long: Long,
    offset: u64,
    bytes: &[u8],
    prior: Prior,
) -> Result<u64, Stop> {
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    while at < end {
        let index = at / CHUNK;
        let until = end.min((index + 1) * CHUNK);
        let record = keys::chunk(keyspace, long.incarnation, index as u32);
        let (from, to) = ((at - index * CHUNK) as usize, (until - index * CHUNK) as usize);
        let piece = &bytes[(at - offset) as usize..(until - offset) as usize];
        if from == 0 && (to == CHUNK_BYTES || until >= long.len) {
            view.set(&record, &[piece]);
        } else {
            let mut chunk = view.get(&record)?.map(Cow::into_owned).unwrap_or_default();
            chunk.resize(chunk.len().max(to), 0);
            chunk[from..to].copy_from_slice(piece);
            view.set(&record, &[&chunk]);
        }
        at = until;
    }
    let long = Long { len: long.len.max(end), ..long };
    let expires_ms = prior.expires_ms(view.now_ms());
    put_long(view, keyspace, key, long, expires_ms, prior)?;
    Ok(long.len)
}

/// Removes all chunks of a long string.
pub fn clear_chunks(view: &mut View<'_>, keyspace: KeyspaceId, long: &Long) {
    for index in 0..long.len.div_ceil(CHUNK) {
        view.clear(&keys::chunk(keyspace, long.incarnation, index as u32));
    }
}

/// Bytes the records of a string take in the store, keys included: `MEMORY USAGE`.
pub fn stored_bytes(found: &Found<'_>, key: &[u8]) -> u64 {
    let meta = (keys::META_HEAD + key.len() + HEAD) as u64 + found.entry.body().len() as u64;
    meta + found.long.map_or(0, |long| long.len + long.len.div_ceil(CHUNK) * 17)
}
