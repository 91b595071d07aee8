//! What a transaction answers reads with, and what it notes for the next fetch.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use super::FdbStore;
use super::assumed::{Known, Records};
use super::fetch::Answer;
use super::reads::{Reads, Want};
use crate::limits::ASSUMED_AGE_MAX;
use crate::store::{ReadError, Scan, Snapshot, Value, Visitor};

/// What was read without an answer, or with one that has to be made sure of.
#[derive(Default)]
pub struct Wanted {
    /// What to fetch, and the last who asked for it.
    pub reads: Reads<u64>,
    /// Records that were answered with what they are assumed to be.
    pub used: Vec<Used>,
    /// Records that could not be assumed, and can be once they have been fetched.
    pub unknown: Vec<Box<[u8]>>,
    /// See [`Account::equal_reads`](crate::store::Account::equal_reads).
    pub equal_reads: u64,
    /// Tells those who ask apart.
    pub reader: u64,
}

impl Wanted {
    fn note(&mut self, want: &Want<'_>) {
        let at = self.reads.insert(want, self.reader);
        let last = std::mem::replace(self.reads.at(at), self.reader);
        self.equal_reads += u64::from(last != self.reader);
    }
}

/// A record that was assumed.
pub struct Used {
    /// What it was assumed to be.
    pub known: Arc<Known>,
    /// Whether this transaction has read it, and it was that.
    pub is_verified: bool,
}

/// See the module.
pub struct FdbSnapshot<'a> {
    /// The store.
    pub store: &'a FdbStore,
    /// What it knew of assumed records when the transaction began.
    pub known: &'a Records,
    /// What this transaction has read.
    pub fetched: &'a Reads<Answer>,
    /// What it wants.
    pub wanted: &'a RefCell<Wanted>,
    /// The time.
    pub now: Instant,
}

impl FdbSnapshot<'_> {
    fn want(&self, want: &Want<'_>) -> ReadError {
        self.wanted.borrow_mut().note(want);
        ReadError::Pending
    }
}

impl Snapshot for FdbSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        match self.fetched.value(key) {
            Some(value) => Ok(value.map(Cow::Borrowed)),
            None => Err(self.want(&Want::Get(key))),
        }
    }

    fn get_assumed(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if let Some(value) = self.fetched.value(key) {
            return Ok(value.map(Cow::Borrowed));
        }
        let mut wanted = self.wanted.borrow_mut();
        if let Some(known) = self.known.get(key) {
            let is_used = wanted.used.iter().any(|used| Arc::ptr_eq(&used.known, known));
            if is_used || self.store.assumed.age(known, self.now) < ASSUMED_AGE_MAX {
                if !is_used {
                    wanted.used.push(Used { known: Arc::clone(known), is_verified: false });
                }
                return Ok(known.value.as_deref().map(Cow::Borrowed));
            }
        }
        wanted.unknown.push(key.into());
        let reader = wanted.reader;
        wanted.reads.insert(&Want::Get(key), reader);
        Err(ReadError::Pending)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        if scan.limit == 0 || scan.begin >= scan.end {
            return Ok(());
        }
        let want = Want::Scan(scan);
        let Some(Answer::Rows(all)) = self.fetched.find(&want) else {
            return Err(self.want(&want));
        };
        let prefix_len = self.store.prefix.len();
        for rows in all {
            for at in 0..rows.len() {
                let (key, value) = rows.get(at);
                if visit(&key[prefix_len..], value).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn next_reader(&self) {
        self.wanted.borrow_mut().reader += 1;
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}
