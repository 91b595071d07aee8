//! Strings: in the meta while short, in chunks of 64 KiB beyond that.
//!
//! A chunk that is missing, or shorter than its place in the string, reads as zero bytes, so that a
//! `SETRANGE` or `SETBIT` far behind the end writes only what it must.

mod edit;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use super::entry::{self, Entry, NewValue, Prior};
use super::keys::{self, KeyspaceId};
use super::meta::{Elements, Kind};
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::{CHUNK_BYTES, INLINE_VALUE_BYTES_MAX};

pub use edit::Edit;

const CHUNK: u64 = CHUNK_BYTES as u64;
/// What bytes that no chunk holds read as.
static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// A string that is there.
pub struct Found<'v> {
    /// Its meta.
    pub entry: Entry<'v>,
    long: Option<Elements>,
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

    /// Visits the bytes of `range`, which must lie within the string, in pieces and in order, without
    /// a copy of the whole.
    pub fn visit(
        &self,
        view: &View<'_>,
        keyspace: KeyspaceId,
        range: Range<u64>,
        visit: &mut PieceVisitor<'_>,
    ) -> Result<(), Stop> {
        match &self.long {
            None => {
                let _ = visit(&self.entry.body()[range.start as usize..range.end as usize]);
                Ok(())
            }
            Some(long) => self::visit(view, keyspace, long, range, visit),
        }
    }
}

/// Sees bytes of a string, and says whether it wants more.
pub type PieceVisitor<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// The string at a key; an error if the key holds another type.
pub fn get<'v>(
    view: &'v View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
) -> Result<Option<Found<'v>>, Stop> {
    view.lookup(keyspace, key)?.map(found).transpose()
}

/// As [`get`], for a command that goes on to write the key: with what the write must know, even if
/// what lies there is expired; an error if the key is too long to be written.
pub fn get_to_replace<'v>(
    view: &'v View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
) -> Result<(Option<Found<'v>>, Prior), Stop> {
    entry::check_key(key)?;
    let Some(entry) = view.find(keyspace, key)? else { return Ok((None, Prior::Absent)) };
    let prior = entry.prior()?;
    if !entry.header.is_live(view.now_ms()) {
        return Ok((None, prior));
    }
    Ok((Some(found(entry)?), prior))
}

/// The string that an entry is; an error if it is of another type.
pub(super) fn found(entry: Entry<'_>) -> Result<Found<'_>, Stop> {
    match entry.header.kind {
        Kind::String | Kind::LongString => {
            let long = entry.elements()?;
            Ok(Found { entry, long })
        }
        _ => Err(error::WRONG_TYPE.into()),
    }
}

/// The error for a string that would be longer than a value may be.
pub fn check_len(view: &View<'_>, len: u64) -> Result<(), Stop> {
    if len > view.value_bytes_max() as u64 {
        return Err(error::STRING_TOO_LONG.into());
    }
    Ok(())
}

/// Appends bytes `range` of a long string to `out`.
pub fn read(
    view: &View<'_>,
    keyspace: KeyspaceId,
    long: &Elements,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    visit(view, keyspace, long, range, &mut |piece| {
        out.extend_from_slice(piece);
        ControlFlow::Continue(())
    })
}

/// Visits bytes `range` of a long string.
fn visit(
    view: &View<'_>,
    keyspace: KeyspaceId,
    long: &Elements,
    range: Range<u64>,
    visit: &mut PieceVisitor<'_>,
) -> Result<(), Stop> {
    let mut pending = Ok(());
    for (index, place) in places(range) {
        match view.get(&keys::chunk(keyspace, long.incarnation, index)) {
            // Go on: the chunks behind this one are wanted too, all in one fetch.
            Err(Stop::Pending) => pending = Err(Stop::Pending),
            Err(other) => return Err(other),
            Ok(_) if pending.is_err() => {}
            Ok(chunk) => {
                let have = chunk.as_deref().unwrap_or_default();
                let stored = have.get(place.start..place.end.min(have.len())).unwrap_or_default();
                let missing = &ZEROS[..place.len() - stored.len()];
                for piece in [stored, missing] {
                    if !piece.is_empty() && visit(piece).is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }
    pending
}

/// The chunks that bytes `range` of a string lie in, each with the part of it that they take.
fn places(range: Range<u64>) -> impl Iterator<Item = (u32, Range<usize>)> {
    let end = if range.is_empty() { 0 } else { range.end.div_ceil(CHUNK) };
    (range.start / CHUNK..end).map(move |index| {
        let begin = index * CHUNK;
        let from = range.start.max(begin) - begin;
        let to = range.end.min(begin + CHUNK) - begin;
        (index as u32, from as usize..to as usize)
    })
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
        let new = NewValue { kind: Kind::String, expires_ms, body: value, elements: None };
        return view.put(keyspace, key, &new, prior);
    }
    entry::check_key(key)?;
    let long = Elements { incarnation: view.new_incarnation()?, len: len as u64 };
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
    long: Elements,
    expires_ms: u64,
    prior: Prior,
) -> Result<(), Stop> {
    let body = long.encode();
    let new = NewValue { kind: Kind::LongString, expires_ms, body: &[&body], elements: Some(long) };
    view.put(keyspace, key, &new, prior)
}
