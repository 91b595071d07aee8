//! What `DUMP` makes of a value and `RESTORE` takes: the logical content, the same on every store.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 0 | version of the format, 1 |
//! | 1 | kind of the value, see [`Kind`]; every string has that of a short one |
//! | 2.. | the content |
//! | last 8 | xxh3-64 of all bytes before it, big-endian |
//!
//! The content of a string is its bytes. That of a collection is the number of elements, at least one,
//! as four bytes; then the items of a list in their order, or else the elements in the order of
//! their names' hashes and names, which rules out doubles: fields each with its value, members, or members each
//! with its score as eight bytes. Names, items and values have their length in front, as four bytes. All
//! numbers are big-endian.
//!
//! Payloads come from clients, so nothing in them is believed: see [`parse`].

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::collection::Collection;
use super::element;
use super::entry::{self, Prior};
use super::keys::{self, KeyspaceId};
use super::list::List;
use super::meta::Kind;
use super::sorted_set::{self, SortedSet};
use super::string;
use super::view::View;
use crate::error::{self, Stop};
use crate::limits::{DUMP_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::Scan;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
/// Bytes of a length or of a number of elements.
const LENGTH_BYTES: usize = 4;
const SCORE_BYTES: usize = 8;

/// A value as a payload describes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'p> {
    /// A string.
    String(&'p [u8]),
    /// Items in order.
    List(Vec<&'p [u8]>),
    /// Members.
    Set(Vec<&'p [u8]>),
    /// Members and scores.
    SortedSet(Vec<(Vec<u8>, f64)>),
    /// Fields and values.
    Hash(Vec<(&'p [u8], &'p [u8])>),
}

/// A payload in the making.
struct Payload {
    bytes: Vec<u8>,
    elements: u32,
}

impl Payload {
    fn new(kind: Kind) -> Payload {
        Payload { bytes: vec![VERSION, kind as u8], elements: 0 }
    }

    /// As [`Payload::new`], with room for the number of elements, of which there are so many.
    fn of_elements(kind: Kind, elements: u64) -> Result<Payload, Stop> {
        if elements > (DUMP_BYTES_MAX / LENGTH_BYTES) as u64 {
            return Err(error::DUMP_TOO_LARGE.into());
        }
        let mut payload = Payload::new(kind);
        payload.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        Ok(payload)
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(text);
    }

    /// Ends an element; whether there is room for more.
    fn next(&mut self) -> ControlFlow<()> {
        self.elements += 1;
        match self.bytes.len() > DUMP_BYTES_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The payload with all that was pushed to it.
    fn end(mut self) -> Result<Vec<u8>, Stop> {
        if self.bytes.len() > DUMP_BYTES_MAX {
            return Err(error::DUMP_TOO_LARGE.into());
        }
        if self.elements > 0 {
            self.bytes[2..2 + LENGTH_BYTES].copy_from_slice(&self.elements.to_be_bytes());
        }
        let checksum = keys::hash64(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        Ok(self.bytes)
    }
}

/// The payload of the value at a key, `None` if there is none.
///
/// # Errors
///
/// [`error::DUMP_TOO_LARGE`] if it would be longer than [`DUMP_BYTES_MAX`].
pub fn dump(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let Some(entry) = view.lookup(keyspace, key)? else { return Ok(None) };
    let payload = match entry.header.kind {
        Kind::String | Kind::LongString => {
            let mut payload = Payload::new(Kind::String);
            let value = string::found(entry)?;
            payload.bytes.extend_from_slice(&value.value(view, keyspace)?);
            payload
        }
        Kind::List => dump_list(view, &List::of(keyspace, &entry)?)?,
        kind => {
            let elements = entry.elements()?.ok_or_else(entry::unreadable)?;
            dump_elements(view, kind, &Collection::at(keyspace, elements, entry.body()))?
        }
    };
    Ok(Some(payload.end()?))
}

fn dump_list(view: &View<'_>, list: &List) -> Result<Payload, Stop> {
    let mut payload = Payload::of_elements(Kind::List, list.len())?;
    list.range(view, 0, list.len(), |item| {
        payload.push(item);
        payload.next()
    })?;
    Ok(payload)
}

fn dump_elements(view: &View<'_>, kind: Kind, collection: &Collection) -> Result<Payload, Stop> {
    let mut payload = Payload::of_elements(kind, collection.len(view)?)?;
    let (begin, end) = keys::range(&collection.prefix());
    let scan = Scan::all(&begin, &end);
    element::walk(view, scan, |key, record| {
        let value = match kind {
            Kind::Hash => Some(element::value(view, key, Cow::Borrowed(record))?),
            _ => None,
        };
        payload.push(keys::split_field(key));
        if let Some(value) = value {
            payload.push(&value);
        }
        if kind == Kind::SortedSet {
            let score = sorted_set::score_of(record)?;
            payload.bytes.extend_from_slice(&score.to_be_bytes());
        }
        Ok(payload.next())
    })?;
    Ok(payload)
}

/// What is left of a payload to be read.
struct Rest<'p>(&'p [u8]);

impl<'p> Rest<'p> {
    fn take(&mut self, len: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(keys::be_u32(self.take(LENGTH_BYTES)?)).ok()
    }

    fn text(&mut self) -> Option<&'p [u8]> {
        let len = self.length()?;
        self.take(len)
    }

    fn score(&mut self) -> Option<f64> {
        let score = f64::from_be_bytes(self.take(SCORE_BYTES)?.try_into().ok()?);
        (!score.is_nan()).then_some(score)
    }

    /// All elements, of at least so many bytes each, which `read` takes one by one; nothing may be
    /// left behind them.
    fn all<T>(
        mut self,
        bytes_min: usize,
        mut read: impl FnMut(&mut Rest<'p>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.length()?;
        // Memory is only taken for what can be there.
        if count == 0 || count > self.0.len() / bytes_min {
            return None;
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(read(&mut self)?);
        }
        self.0.is_empty().then_some(all)
    }
}

/// Sees to it that names come in their order, none of them twice.
#[derive(Default)]
struct Ascending<'p>(Option<(u64, &'p [u8])>);

impl<'p> Ascending<'p> {
    fn name(&mut self, rest: &mut Rest<'p>) -> Option<&'p [u8]> {
        let name = rest.text().filter(|name| name.len() <= KEY_BYTES_MAX)?;
        let place = Some((keys::hash64(name), name));
        if place <= self.0 {
            return None;
        }
        self.0 = place;
        Some(name)
    }
}

/// What a payload describes; `None` if it is not exactly what [`dump`] makes.
pub fn parse(payload: &[u8]) -> Option<Value<'_>> {
    let (covered, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>()?;
    if keys::hash64(covered) != u64::from_be_bytes(*checksum) {
        return None;
    }
    let ([VERSION, kind], content) = covered.split_first_chunk::<2>()? else { return None };
    let (rest, mut names) = (Rest(content), Ascending::default());
    match Kind::from_byte(*kind)? {
        Kind::String => Some(Value::String(content)),
        // What is in a payload does not tell how it was stored.
        Kind::LongString => None,
        Kind::List => rest.all(LENGTH_BYTES, Rest::text).map(Value::List),
        Kind::Set => rest.all(LENGTH_BYTES, |rest| names.name(rest)).map(Value::Set),
        Kind::SortedSet => rest
            .all(LENGTH_BYTES + SCORE_BYTES, |rest| {
                Some((names.name(rest)?.to_vec(), rest.score()?))
            })
            .map(Value::SortedSet),
        Kind::Hash => rest
            .all(2 * LENGTH_BYTES, |rest| Some((names.name(rest)?, rest.text()?)))
            .map(Value::Hash),
    }
}

/// Makes a value that was dumped that of a key, whatever was there.
pub fn restore(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    value: Value<'_>,
    expires_ms: u64,
    prior: Prior,
) -> Result<(), Stop> {
    entry::check_key(key)?;
    match value {
        Value::String(value) => {
            string::check_len(view, value.len() as u64)?;
            string::put(view, keyspace, key, &[value], expires_ms, prior)
        }
        Value::List(items) => {
            List::store(view, keyspace, key, items.into_iter(), expires_ms, prior)
        }
        Value::Set(members) => {
            let set = Collection::create(view, keyspace, key, Kind::Set, expires_ms, prior)?;
            for member in &members {
                let element = set.new_element(member)?;
                view.set(&element, &[]);
            }
            set.grown(view, members.len() as u64)
        }
        Value::SortedSet(mut members) => {
            SortedSet::store(view, keyspace, key, &mut members, prior)?;
            view.set_expiry(keyspace, key, expires_ms).map(drop)
        }
        Value::Hash(fields) => {
            let hash = Collection::create(view, keyspace, key, Kind::Hash, expires_ms, prior)?;
            for (field, value) in &fields {
                let element = hash.new_element(field)?;
                element::set_new(view, &element, value);
            }
            hash.grown(view, fields.len() as u64)
        }
    }
}

#[cfg(test)]
#[path = "dump/tests.rs"]
mod tests;
