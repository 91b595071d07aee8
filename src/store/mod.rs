//! The store contract: what ringstone asks of whatever keeps its bytes.
//!
//! A store is one ordered map from binary keys to binary values. It offers consistent snapshots and
//! atomic commits, nothing else; nothing above this module knows which store it runs on. Keys are
//! at most [`crate::limits::RECORD_KEY_BYTES_MAX`] bytes, values at most
//! [`crate::limits::RECORD_VALUE_BYTES_MAX`], and compare as unsigned bytes.

use std::borrow::Cow;
use std::ops::ControlFlow;

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod fault;
pub mod memory;
mod memtable;
mod mutations;

pub use mutations::{Mutation, Mutations};

/// A value as a snapshot lends it: borrowed where the store keeps it in memory.
pub type Value<'a> = Cow<'a, [u8]>;

/// Called with each record of a scan, in order; `Break` ends the scan early.
pub type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The store has to fetch the record first. Call [`Store::fetch`], take a new snapshot and read
    /// again. Stores that answer at once never say this.
    Pending,
    /// The read failed; the text says what happened and is fit for a client.
    Failed(String),
}

/// Why a commit did not succeed, and what that means for its mutations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// Another transaction changed what this one read. Nothing was written; execute again.
    Conflict,
    /// It is not known whether the mutations were written. They must not be committed again before
    /// the commit marker has been read (DESIGN: exactly once).
    Unknown(String),
    /// Nothing was written and trying again at once will not help (disk full, store closed or
    /// failed). The text is the cause alone, such as `No space left on device`.
    Refused(String),
}

/// Which records a scan visits: `begin <= key < end`, at most `limit` of them.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// First key, inclusive.
    pub begin: &'a [u8],
    /// Last key, exclusive.
    pub end: &'a [u8],
    /// Records visited at most.
    pub limit: usize,
    /// Visit from the highest key down.
    pub reverse: bool,
}

/// The store at one version: every read of one snapshot sees the same, durable state.
pub trait Snapshot {
    /// The value of `key`, or `None` when there is no such record.
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError>;

    /// Visits the records of `scan` in key order. An error may come after some records were
    /// visited.
    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError>;

    /// Whether reads are answered without a round trip, so that reading before a blind write is
    /// nearly free.
    fn answers_at_once(&self) -> bool;
}

/// An ordered, transactional map from bytes to bytes.
///
/// One thread at a time commits (the writer role); any number read. Commits become visible to
/// snapshots in the order they were called, each as a whole, and never before they are as durable
/// as the store was configured to make them.
pub trait Store: Send + Sync {
    /// Short name for logs and `INFO`: `memory`, `embedded`, ...
    fn name(&self) -> &'static str;

    /// Calls `f` exactly once with a snapshot taken after this call began. `f` must be short and
    /// must not call the store, except for what people ask about it ([`Store::figures`],
    /// [`Store::write_failure`]): a store may hold a lock that delays commits while it runs.
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot));

    /// Returns once reads that were answered [`ReadError::Pending`] can be answered.
    fn fetch(&self) {}

    /// Makes `mutations` durable (to the configured degree), then visible, as one atomic step.
    /// `sequence` numbers commits: it is greater than [`Store::sequence`] was before the call.
    fn commit(&self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError>;

    /// Whether [`Store::commit`] ever waits for a disk or a network, so that the writer needs a thread.
    fn may_block(&self) -> bool;

    /// Whether the next [`Store::commit`] is likely to block for longer than handing it to the writer's
    /// thread takes, judged by the last ones.
    fn commit_blocks(&self) -> bool {
        self.may_block()
    }

    /// Whether [`CommitError::Unknown`] can happen in a store that goes on, so that commits need a
    /// commit marker. A store that says `false` may still answer so once, as it fails for good;
    /// then the outcome shows when the store is opened again.
    fn outcome_can_be_unknown(&self) -> bool {
        false
    }

    /// Whether a group, once executed, never has to be executed again: reads are never pending and
    /// commits neither conflict nor end unknown.
    fn executes_once(&self) -> bool {
        true
    }

    /// The sequence of the newest commit, also of those before a restart.
    fn sequence(&self) -> u64;

    /// Named figures for `INFO` and metrics, such as bytes of log or number of checkpoints. May be
    /// called inside [`Store::read`].
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// `Some(cause)` while the store refuses writes (disk full, failed sync), `None` when healthy.
    /// For people to see; whether a commit succeeds only [`Store::commit`] tells.
    fn write_failure(&self) -> Option<String> {
        None
    }

    /// Makes everything committed durable and ends background work. Later commits are refused;
    /// reads still work. What keeps other processes out is released when the store is dropped.
    fn close(&self) -> Result<(), String>;
}
