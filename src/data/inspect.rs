//! What can be said of a value from outside: the form Redis would keep it in, and the space it takes.

use std::ops::ControlFlow;

use super::element;
use super::entry::{self, Entry};
use super::keys::{self, ELEMENT_HEAD, KeyspaceId, META_HEAD};
use super::meta::{ELEMENTS_BYTES, HEAD, Kind};
use super::string::{self, Found};
use super::view::View;
use crate::error::Stop;
use crate::limits::{CHUNK_BYTES, USAGE_SAMPLES_MIN};
use crate::num;
use crate::store::Scan;

/// Redis keeps strings up to this length beside their header and calls them `embstr`.
const EMBEDDED_BYTES_MAX: u64 = 44;
/// Redis keeps collections in one block up to so many elements...
const LISTPACK_ELEMENTS_MAX: u64 = 128;
/// ... of so many bytes each...
const LISTPACK_BYTES_MAX: u64 = 64;
/// ... and sets of integers up to so many.
const INTSET_ELEMENTS_MAX: u64 = 512;

/// Whether an element with this key and record fits into a smaller form.
type Fits = fn(&[u8], &[u8]) -> Result<bool, Stop>;

/// What `OBJECT ENCODING` says: the form in which Redis 7.0 with its default configuration would keep a
/// fresh copy of the value at a key; `None` if there is none.
///
/// Redis itself remembers what a value once was: it does not go back to a smaller form when elements are
/// removed. Here a small collection is looked at each time, and a large one known by its size.
pub fn encoding(
    view: &View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
) -> Result<Option<&'static str>, Stop> {
    let Some(entry) = view.lookup(keyspace, key)? else { return Ok(None) };
    let (small, large, max, fits): (_, _, _, Fits) = match entry.header.kind {
        Kind::String | Kind::LongString => {
            return string_encoding(view, keyspace, &string::found(entry)?).map(Some);
        }
        Kind::List => return Ok(Some("quicklist")),
        Kind::Set => ("intset", "hashtable", INTSET_ELEMENTS_MAX, is_integer),
        Kind::SortedSet => ("listpack", "skiplist", LISTPACK_ELEMENTS_MAX, has_short_name),
        Kind::Hash => ("listpack", "hashtable", LISTPACK_ELEMENTS_MAX, is_short),
    };
    let is_small = all_of_few(view, keyspace, &entry, max, fits)?;
    Ok(Some(if is_small { small } else { large }))
}

fn is_integer(key: &[u8], _: &[u8]) -> Result<bool, Stop> {
    Ok(num::parse_i64(keys::split_field(key)).is_some())
}

fn has_short_name(key: &[u8], _: &[u8]) -> Result<bool, Stop> {
    Ok(keys::split_field(key).len() as u64 <= LISTPACK_BYTES_MAX)
}

fn is_short(key: &[u8], record: &[u8]) -> Result<bool, Stop> {
    Ok(has_short_name(key, record)? && element::len(record)? <= LISTPACK_BYTES_MAX)
}

fn string_encoding(
    view: &View<'_>,
    keyspace: KeyspaceId,
    found: &Found<'_>,
) -> Result<&'static str, Stop> {
    if found.len() > EMBEDDED_BYTES_MAX {
        return Ok("raw");
    }
    let is_integer = num::parse_i64(&found.value(view, keyspace)?).is_some();
    Ok(if is_integer { "int" } else { "embstr" })
}

/// Whether a collection has no more elements than this, and all of them fit.
fn all_of_few(
    view: &View<'_>,
    keyspace: KeyspaceId,
    entry: &Entry<'_>,
    max: u64,
    fits: Fits,
) -> Result<bool, Stop> {
    let elements = entry.elements()?.ok_or_else(entry::unreadable)?;
    if view.element_records(keyspace, entry.header.kind, &elements)? > max {
        return Ok(false);
    }
    let (begin, end) = keys::range(&keys::elements(keyspace, elements.incarnation));
    let mut all = true;
    element::walk(view, Scan::all(&begin, &end), |key, record| {
        all = fits(key, record)?;
        Ok(if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(all)
}

/// What `MEMORY USAGE` says: bytes that the records of a value take in the store, their keys included.
///
/// Of a collection so many elements are looked at, and no fewer than [`USAGE_SAMPLES_MIN`]; `None`
/// looks at all of them. If there are more, the rest is taken to be like them. The rank index of a sorted
/// set is left out; it adds a few percent to a large one.
pub fn stored_bytes(
    view: &View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    samples: Option<u64>,
) -> Result<Option<u64>, Stop> {
    let Some(entry) = view.lookup(keyspace, key)? else { return Ok(None) };
    let kind = entry.header.kind;
    let meta = (META_HEAD + key.len() + HEAD + entry.body().len()) as u64;
    let Some(elements) = entry.elements()? else { return Ok(Some(meta)) };
    if kind == Kind::LongString {
        return Ok(Some(meta + chunks_bytes(elements.len, ELEMENT_HEAD)));
    }
    let count = view.element_records(keyspace, kind, &elements)?;
    let limit = samples.map_or(u64::MAX, |samples| samples.max(USAGE_SAMPLES_MIN));
    let (begin, end) = keys::range(&keys::elements(keyspace, elements.incarnation));
    let scan = Scan { limit: limit as usize, ..Scan::all(&begin, &end) };
    let (mut seen, mut bytes) = (0, 0);
    element::walk(view, scan, |key, record| {
        seen += 1;
        bytes += element_bytes(kind, key, record)?;
        Ok(ControlFlow::Continue(()))
    })?;
    if seen == limit && seen < count {
        bytes = (bytes as f64 / seen as f64 * count as f64) as u64;
    }
    let counter = if kind.is_counted() { ELEMENT_HEAD + ELEMENTS_BYTES } else { 0 };
    Ok(Some(meta + bytes + counter as u64))
}

/// Bytes of everything that one element is made of.
fn element_bytes(kind: Kind, key: &[u8], record: &[u8]) -> Result<u64, Stop> {
    let own = (key.len() + record.len()) as u64;
    Ok(match kind {
        Kind::List | Kind::Hash if !element::is_short(record) => {
            own + chunks_bytes(element::len(record)?, key.len())
        }
        // The record by score has a level, and the score in the place of the hash.
        Kind::SortedSet => own + key.len() as u64 + 1,
        _ => own,
    })
}

/// Bytes of a value in chunks whose keys are so long, but for their number.
fn chunks_bytes(len: u64, key_len: usize) -> u64 {
    let numbered = key_len + size_of::<u32>();
    len + len.div_ceil(CHUNK_BYTES as u64) * numbered as u64
}
