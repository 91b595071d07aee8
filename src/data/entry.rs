//! A key as a whole: found, put, given an expiry, deleted, moved.
//!
//! Everything that must change together when a meta record changes is here: the expiry index, the
//! number of keys, the elements of what was there before, and the trace of what is removed.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::keys::{self, Incarnation, KeyspaceId, RecordKey};
use super::meta::{Elements, HEAD, Header, Kind, Stamp};
use super::view::View;
use crate::error::{self, Stop, Together};
use crate::limits::{
    CHUNK_BYTES, CLEARING_BYTES_MAX, COPIED_ELEMENTS_MAX, ELEMENTS_CLEARED_AT_ONCE, KEY_BYTES_MAX,
    MUTATION_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX,
};
use crate::store::Scan;

/// A key's meta record.
pub struct Entry<'v> {
    /// Its fixed part.
    pub header: Header,
    record: Cow<'v, [u8]>,
}

impl<'v> Entry<'v> {
    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        &self.record[HEAD..]
    }

    /// Where the elements are, if the value lives in elements.
    pub fn elements(&self) -> Result<Option<Elements>, Stop> {
        match self.header.kind {
            Kind::String => Ok(None),
            _ => Elements::decode(self.body()).map(Some).ok_or_else(unreadable),
        }
    }

    /// What a write over this key must know of it.
    pub fn prior(&self) -> Result<Prior, Stop> {
        Ok(Prior::Present { header: self.header, elements: self.elements()? })
    }
}

/// What was at a key before a write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prior {
    /// Nobody looked. What was there becomes unreachable and is collected through the registry.
    Unknown,
    /// No record, not even an expired one.
    Absent,
    /// This record, live or expired.
    Present {
        /// Its header.
        header: Header,
        /// Its elements.
        elements: Option<Elements>,
    },
}

impl Prior {
    /// Whether the key was there and not expired.
    pub fn is_live(&self, now_ms: u64) -> bool {
        matches!(self, Prior::Present { header, .. } if header.is_live(now_ms))
    }

    /// Whether there was no live value of this kind.
    fn lacks(&self, kind: Kind, now_ms: u64) -> bool {
        !matches!(self, Prior::Present { header, .. }
            if header.kind == kind && header.is_live(now_ms))
    }

    /// The expiry of a live key, 0 without one.
    pub fn expires_ms(&self, now_ms: u64) -> u64 {
        match self {
            Prior::Present { header, .. } if header.is_live(now_ms) => header.expires_ms,
            _ => 0,
        }
    }
}

/// The error for a record that a newer version wrote.
pub fn unreadable() -> Stop {
    Stop::Failed("a record has a layout this version of ringstone does not know".to_owned())
}

/// A new value for a key.
pub struct NewValue<'b> {
    /// What it is.
    pub kind: Kind,
    /// When it expires, Unix milliseconds; 0 = never.
    pub expires_ms: u64,
    /// The meta's body, in pieces.
    pub body: &'b [&'b [u8]],
    /// The elements the body refers to, which a write over the same ones does not retire.
    pub elements: Option<Elements>,
}

/// The error for a key no store can hold.
pub fn check_key(key: &[u8]) -> Result<(), Stop> {
    if key.len() > KEY_BYTES_MAX { Err(error::KEY_TOO_LONG.into()) } else { Ok(()) }
}

impl View<'_> {
    /// The key's record, even if it is expired and not yet swept.
    pub fn find(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Entry<'_>>, Stop> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let Some(record) = self.get(&keys::meta(keyspace, key))? else { return Ok(None) };
        let header = Header::decode(&record).ok_or_else(unreadable)?;
        Ok(Some(Entry { header, record }))
    }

    /// The key's record if the key is there.
    pub fn lookup(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Entry<'_>>, Stop> {
        let now_ms = self.now_ms();
        let entry = self.find(keyspace, key)?.filter(|entry| entry.header.is_live(now_ms));
        self.note_lookup(entry.is_some());
        Ok(entry)
    }

    /// Whether the key is there.
    pub fn exists(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<bool, Stop> {
        Ok(self.lookup(keyspace, key)?.is_some())
    }

    /// What a write must know of the key it overwrites; always looks.
    pub fn prior(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Prior, Stop> {
        match self.find(keyspace, key)? {
            Some(entry) => entry.prior(),
            None => Ok(Prior::Absent),
        }
    }

    /// As [`View::prior`], but looks only where that costs no round trip: for blind writes.
    pub fn prior_if_cheap(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Prior, Stop> {
        if self.answers_at_once() { self.prior(keyspace, key) } else { Ok(Prior::Unknown) }
    }

    /// Gives the key a value, whatever was there.
    pub fn put(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &NewValue<'_>,
        prior: Prior,
    ) -> Result<(), Stop> {
        check_key(key)?;
        self.register(keyspace)?;
        let expires_ms = value.expires_ms;
        let header = Header { kind: value.kind, expires_ms, stamp: self.stamp() };
        let head = header.encode();
        let meta_key = keys::meta(keyspace, key);
        let size_delta = i8::from(prior == Prior::Absent);
        match value.body {
            [body] => self.set_sized(&meta_key, &[&head, body], size_delta),
            [first, second] => self.set_sized(&meta_key, &[&head, first, second], size_delta),
            pieces => self.set_sized(&meta_key, &[&head, &pieces.concat()], size_delta),
        }
        if prior.lacks(value.kind, self.now_ms()) && value.kind.can_be_waited_for() {
            self.make_ready(key);
        }
        self.index_expiry(keyspace, key, expires_ms, prior);
        self.retire_unless(keyspace, prior, value.elements)
    }

    /// Keeps the index's promise: a key with an expiry has an entry at that time or earlier.
    ///
    /// An expiry that is put off keeps its entry, which is filed anew when it comes due. An entry that
    /// is of no more use goes at once if it is where the expiry says, otherwise when it comes due.
    fn index_expiry(&mut self, keyspace: KeyspaceId, key: &[u8], expires_ms: u64, prior: Prior) {
        let (old_ms, stamp) = match prior {
            Prior::Present { header, .. } => (header.expires_ms, header.stamp),
            Prior::Unknown | Prior::Absent => (0, Stamp::default()),
        };
        if old_ms != 0 && old_ms <= expires_ms {
            return;
        }
        if old_ms != 0 && stamp[..8] == self.stamp()[..8] {
            // The group gave it this expiry itself, with an entry or, as with one put off, without.
            self.withdraw(&keys::expiry(keyspace, old_ms, key));
        } else if old_ms != 0 {
            self.clear(&keys::expiry(keyspace, old_ms, key));
        }
        if expires_ms != 0 {
            self.set(&keys::expiry(keyspace, expires_ms, key), &[]);
        }
    }

    /// Lets go of the elements of what was there before, except those still in use.
    fn retire_unless(
        &mut self,
        keyspace: KeyspaceId,
        prior: Prior,
        kept: Option<Elements>,
    ) -> Result<(), Stop> {
        let Prior::Present { header, elements: Some(old) } = prior else { return Ok(()) };
        if kept.is_some_and(|kept| kept.incarnation == old.incarnation) {
            return Ok(());
        }
        self.clear(&keys::registry(keyspace, old.incarnation));
        if header.kind == Kind::SortedSet {
            // Nothing may be written there afterwards.
            self.settle_ranks()?;
        }
        if self.are_few(keyspace, header.kind, &old)? {
            self.clear_elements(keyspace, old.incarnation)
        } else {
            self.set(&keys::orphan(keyspace, old.incarnation), &[]);
            Ok(())
        }
    }

    /// Whether it is quicker to remove the elements than to leave them to the collector.
    fn are_few(&self, keyspace: KeyspaceId, kind: Kind, old: &Elements) -> Result<bool, Stop> {
        if !self.answers_at_once() || self.written_bytes() > CLEARING_BYTES_MAX {
            return Ok(false);
        }
        Ok(self.element_records(keyspace, kind, old)? <= ELEMENTS_CLEARED_AT_ONCE)
    }

    /// How many elements a value has, or chunks if it is a string.
    pub(super) fn element_records(
        &self,
        keyspace: KeyspaceId,
        kind: Kind,
        elements: &Elements,
    ) -> Result<u64, Stop> {
        Ok(match kind {
            Kind::LongString => elements.len.div_ceil(CHUNK_BYTES as u64),
            kind if kind.is_counted() => self.count(keyspace, elements.incarnation)?.elements,
            _ => elements.len,
        })
    }

    /// Removes everything of an incarnation.
    fn clear_elements(
        &mut self,
        keyspace: KeyspaceId,
        incarnation: Incarnation,
    ) -> Result<(), Stop> {
        let mut found = Vec::new();
        for (begin, end) in keys::incarnation_ranges(keyspace, incarnation) {
            self.walk(Scan::all(&begin, &end), &mut |record, _| {
                found.push(RecordKey::from_slice(record));
                ControlFlow::Continue(())
            })?;
        }
        found.iter().for_each(|record| self.clear(record));
        Ok(())
    }

    /// Removes a key that is there (live or expired).
    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8], prior: Prior) -> Result<(), Stop> {
        self.clear_sized(&keys::meta(keyspace, key));
        self.leave_trace(keyspace, key, prior);
        self.index_expiry(keyspace, key, 0, prior);
        self.retire_unless(keyspace, prior, None)
    }

    /// Removes the key; whether it was there, in the user's eyes.
    pub fn remove(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<bool, Stop> {
        let prior = self.prior(keyspace, key)?;
        if prior == Prior::Absent {
            return Ok(false);
        }
        self.delete(keyspace, key, prior)?;
        Ok(prior.is_live(self.now_ms()))
    }

    /// Changes when a live key expires; 0 = never. Says whether the key was there.
    pub fn set_expiry(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        expires_ms: u64,
    ) -> Result<bool, Stop> {
        let Some(entry) = self.lookup(keyspace, key)? else { return Ok(false) };
        if entry.header.expires_ms == expires_ms {
            return Ok(true);
        }
        let prior = entry.prior()?;
        let (kind, elements) = (entry.header.kind, entry.elements()?);
        let body = entry.body().to_vec();
        self.put(keyspace, key, &NewValue { kind, expires_ms, body: &[&body], elements }, prior)?;
        Ok(true)
    }

    /// Moves a value to another key of any keyspace, whatever its size. The target is overwritten.
    pub fn rename(
        &mut self,
        from: (KeyspaceId, &[u8]),
        to: (KeyspaceId, &[u8]),
    ) -> Result<bool, Stop> {
        check_key(to.1)?;
        let Some(entry) = self.lookup(from.0, from.1)? else { return Ok(false) };
        let (header, elements) = (entry.header, entry.elements()?);
        let body = entry.body().to_vec();
        if from == to {
            return Ok(true);
        }
        if from.0 != to.0 && elements.is_some() {
            // Elements live beside their keyspace's metas, so another database needs its own.
            self.copy(from, to)?;
            return self.remove(from.0, from.1);
        }
        let target = self.prior(to.0, to.1)?;
        let (kind, expires_ms) = (header.kind, header.expires_ms);
        self.put(to.0, to.1, &NewValue { kind, expires_ms, body: &[&body], elements }, target)?;
        if let Some(elements) = elements {
            self.set(&keys::registry(to.0, elements.incarnation), &[to.1]);
        }
        // The elements have a new owner, so nothing of them is retired with the old one.
        self.delete(from.0, from.1, Prior::Present { header, elements: None })?;
        Ok(true)
    }

    /// Copies a value, with its expiry, to another key. The target is overwritten.
    pub fn copy(
        &mut self,
        from: (KeyspaceId, &[u8]),
        to: (KeyspaceId, &[u8]),
    ) -> Result<bool, Stop> {
        check_key(to.1)?;
        let Some(entry) = self.lookup(from.0, from.1)? else { return Ok(false) };
        let (header, mut elements) = (entry.header, entry.elements()?);
        let mut body = entry.body().to_vec();
        let target = self.prior(to.0, to.1)?;
        if let Some(elements) = &mut elements {
            // What cannot fit is refused before it is read.
            if self.element_records(from.0, header.kind, elements)? > COPIED_ELEMENTS_MAX {
                return Err(Stop::TooLarge);
            }
            if header.kind == Kind::SortedSet {
                self.settle_ranks()?;
            }
            let old = elements.incarnation;
            elements.incarnation = self.new_incarnation()?;
            body[..8].copy_from_slice(&elements.incarnation.to_be_bytes());
            self.copy_elements((from.0, old), (to.0, elements.incarnation))?;
            self.set(&keys::registry(to.0, elements.incarnation), &[to.1]);
        }
        let (kind, expires_ms) = (header.kind, header.expires_ms);
        self.put(to.0, to.1, &NewValue { kind, expires_ms, body: &[&body], elements }, target)?;
        Ok(true)
    }

    /// Gives an incarnation records of its own with the same values as another's.
    fn copy_elements(
        &mut self,
        from: (KeyspaceId, Incarnation),
        to: (KeyspaceId, Incarnation),
    ) -> Result<(), Stop> {
        let mut together = Together::default();
        let (mut found, mut cost) = (Vec::new(), 0);
        for (begin, end) in keys::incarnation_ranges(from.0, from.1) {
            let walked = self.walk(Scan::all(&begin, &end), &mut |record, value| {
                cost += 3 * record.len() + value.len() + MUTATION_OVERHEAD_BYTES;
                if cost > TRANSACTION_BYTES_MAX {
                    return ControlFlow::Break(());
                }
                found.push((keys::transplant(record, to.0, to.1), value.to_vec()));
                ControlFlow::Continue(())
            });
            together.take(walked)?;
            if cost > TRANSACTION_BYTES_MAX {
                return Err(Stop::TooLarge);
            }
        }
        together.end()?;
        found.iter().for_each(|(record, value)| self.set(record, &[value]));
        Ok(())
    }
}
