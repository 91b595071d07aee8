//! Changes inside a string: reads and writes only the chunks that they touch.
//!
//! All changes of one command are collected and written at the end, so that a chunk changed many
//! times is written once, and the meta once.

use std::borrow::Cow;
use std::mem::take;

use super::{CHUNK, found, places, put, put_long};
use crate::data::entry::{self, Prior};
use crate::data::keys::{self, KeyspaceId};
use crate::data::meta::Elements;
use crate::data::view::View;
use crate::error::Stop;
use crate::limits::{CHUNK_BYTES, INLINE_VALUE_BYTES_MAX};

/// A string being changed. Without [`Edit::finish`] nothing happens.
pub struct Edit {
    keyspace: KeyspaceId,
    prior: Prior,
    is_new: bool,
    long: Option<Elements>,
    len: u64,
    pages: Vec<Page>,
}

/// A chunk of the string; it may be shorter than its place, as in the store.
struct Page {
    index: u32,
    bytes: Vec<u8>,
    changed: bool,
}

impl Edit {
    /// The string at `key`, or an empty one if the key is not there.
    pub fn open(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Edit, Stop> {
        entry::check_key(key)?;
        let (is_new, long, len, pages) = (true, None, 0, Vec::new());
        let mut edit = Edit { keyspace, prior: Prior::Absent, is_new, long, len, pages };
        let Some(entry) = view.find(keyspace, key)? else { return Ok(edit) };
        edit.prior = entry.prior()?;
        if !entry.header.is_live(view.now_ms()) {
            return Ok(edit);
        }
        let found = found(entry)?;
        (edit.is_new, edit.long, edit.len) = (false, found.long, found.len());
        if found.long.is_none() {
            // Not in the store as a chunk; it has to be written if the string becomes a long one.
            let bytes = found.entry.body().to_vec();
            edit.pages.push(Page { index: 0, bytes, changed: true });
        }
        Ok(edit)
    }

    /// Whether the key was not there.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Bytes of the string as changed so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the string has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `out` with the bytes from `offset` on; what is behind the end reads as zero.
    pub fn read(&mut self, view: &View<'_>, offset: u64, out: &mut [u8]) -> Result<(), Stop> {
        let mut rest = out;
        for (index, place) in places(offset..offset + rest.len() as u64) {
            let (piece, next) = rest.split_at_mut(place.len());
            let have = &self.page(view, index)?.bytes;
            let stored = have.get(place.start..place.end.min(have.len())).unwrap_or_default();
            piece[..stored.len()].copy_from_slice(stored);
            piece[stored.len()..].fill(0);
            rest = next;
        }
        Ok(())
    }

    /// Overwrites the bytes from `offset` on, growing the string with zeros as needed. How long it
    /// may become is the caller's to check.
    pub fn write(&mut self, view: &View<'_>, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        let end = offset + bytes.len() as u64;
        let mut rest = bytes;
        for (index, place) in places(offset..end) {
            let (piece, next) = rest.split_at(place.len());
            let behind = u64::from(index) * CHUNK + place.end as u64;
            if place.start == 0 && (place.end == CHUNK_BYTES || behind >= self.len) {
                self.replace(index, piece);
            } else {
                let page = self.page(view, index)?;
                page.bytes.resize(page.bytes.len().max(place.end), 0);
                page.bytes[place].copy_from_slice(piece);
                page.changed = true;
            }
            rest = next;
        }
        self.grow(end);
        Ok(())
    }

    /// Makes the string at least `len` bytes long, with zeros.
    pub fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Writes the string to the store, keeping the key's expiry; returns its length.
    pub fn finish(mut self, view: &mut View<'_>, key: &[u8]) -> Result<u64, Stop> {
        let (keyspace, prior) = (self.keyspace, self.prior);
        let expires_ms = prior.expires_ms(view.now_ms());
        let long = match self.long {
            None if self.len <= INLINE_VALUE_BYTES_MAX as u64 => {
                let first = self.pages.iter_mut().find(|page| page.index == 0);
                let mut value = first.map(|page| take(&mut page.bytes)).unwrap_or_default();
                value.resize(self.len as usize, 0);
                put(view, keyspace, key, &[&value], expires_ms, prior)?;
                return Ok(self.len);
            }
            None => {
                let long = Elements { incarnation: view.new_incarnation()?, len: self.len };
                view.set(&keys::registry(keyspace, long.incarnation), &[key]);
                long
            }
            Some(long) => Elements { len: self.len, ..long },
        };
        for page in self.pages.iter().filter(|page| page.changed) {
            view.set(&keys::chunk(keyspace, long.incarnation, page.index), &[&page.bytes]);
        }
        put_long(view, keyspace, key, long, expires_ms, prior)?;
        Ok(self.len)
    }

    fn replace(&mut self, index: u32, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        let page = Page { index, bytes, changed: true };
        match self.pages.iter_mut().find(|page| page.index == index) {
            Some(old) => *old = page,
            None => self.pages.push(page),
        }
    }

    /// The chunk, read from the store if it has not been yet.
    fn page(&mut self, view: &View<'_>, index: u32) -> Result<&mut Page, Stop> {
        let known = self.pages.iter().position(|page| page.index == index);
        let position = match known {
            Some(position) => position,
            None => {
                let stored = match self.long {
                    Some(long) => view.get(&keys::chunk(self.keyspace, long.incarnation, index))?,
                    None => None,
                };
                let bytes = stored.map(Cow::into_owned).unwrap_or_default();
                self.pages.push(Page { index, bytes, changed: false });
                self.pages.len() - 1
            }
        };
        Ok(&mut self.pages[position])
    }
}

#[cfg(test)]
mod tests {
    use super::super::get;
    use super::*;
    use crate::data::{Moment, Overlay, inspect};
    use crate::store::{ReadError, Scan, Snapshot, Visitor};

    struct Nothing;

    impl Snapshot for Nothing {
        fn get(&self, _: &[u8]) -> Result<Option<Cow<'_, [u8]>>, ReadError> {
            Ok(None)
        }

        fn scan(&self, _: Scan<'_>, _: &mut Visitor<'_>) -> Result<(), ReadError> {
            Ok(())
        }

        fn answers_at_once(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_byte_far_behind_the_end_writes_two_chunks() {
        let mut overlay = Overlay::default();
        let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1 << 23, order: 0 };
        let mut view = View::new(&Nothing, &mut overlay, moment);
        put(&mut view, 1, b"k", &[b"head"], 0, Prior::Absent).unwrap();
        let mut edit = Edit::open(&view, 1, b"k").unwrap();
        edit.write(&view, 5_000_000, b"!").unwrap();
        assert_eq!(edit.finish(&mut view, b"k").unwrap(), 5_000_001);
        assert!(view.written_bytes() < 2 * CHUNK_BYTES);
        let found = get(&view, 1, b"k").unwrap().unwrap();
        let value = found.value(&view, 1).unwrap();
        assert!(value.starts_with(b"head\0") && value.ends_with(b"\0!"));
        assert!(value[4..5_000_000].iter().all(|&byte| byte == 0));
        let stored = inspect::stored_bytes(&view, 1, b"k", Some(5)).unwrap();
        assert!(stored.unwrap() > 5_000_000);
        let mut edit = Edit::open(&view, 1, b"k").unwrap();
        let mut bytes = [9; 6];
        edit.read(&view, CHUNK - 3, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 6]);
        edit.read(&view, 4_999_998, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0!\0\0\0");
    }
}
