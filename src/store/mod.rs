//! The store contract: what ringstone asks of whatever keeps its bytes.
//!
//! A store is one ordered map from binary keys to binary values. It offers consistent snapshots and
//! atomic commits, nothing else; nothing above this module knows which store it runs on. Keys are
//! at most [`crate::limits::RECORD_KEY_BYTES_MAX`] bytes, values at most
//! [`crate::limits::RECORD_VALUE_BYTES_MAX`], and compare as unsigned bytes.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

#[cfg(test)]
mod conformance;
mod direct;
pub mod embedded;
pub mod fault;
#[cfg(feature = "fdb")]
pub mod foundationdb;
pub mod memory;
mod memtable;
mod mutations;
pub mod wait;

pub use mutations::{Mutation, Mutations, counter, counter_bytes};

/// A value as a snapshot lends it: borrowed where the store keeps it in memory.
pub type Value<'a> = Cow<'a, [u8]>;

/// Called with each record of a scan, in order; `Break` ends the scan early.
pub type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The store has to fetch the record first: call [`Transaction::poll_fetch`], and read again
    /// once it is ready. Local stores never say this.
    Pending,
    /// The transaction cannot go on, a new one can: it is too old, the store is being throttled, or
    /// what it assumed was wrong. Call [`Transaction::poll_retry`] and execute again.
    Retry,
    /// The transaction's deadline has passed.
    TimedOut,
    /// The read failed; the text says what happened and is fit for a client.
    Failed(String),
}

/// Why a commit did not succeed, and what that means for its mutations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// Another transaction changed what this one read. Nothing was written; execute again.
    Conflict,
    /// Nothing was written, for a reason that passes: execute again.
    Retry,
    /// It is not known whether the mutations were written, but from now on that does not change any
    /// more. They must not be committed again before the commit marker has been read (DESIGN:
    /// exactly once).
    Unknown(String),
    /// The transaction's deadline has passed. The mutations may have been written, or still be.
    TimedOut,
    /// Nothing was written: this is more than one transaction can hold.
    TooLarge,
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

impl<'a> Scan<'a> {
    /// Visits all of `begin..end`, from its lowest key up.
    pub fn all(begin: &'a [u8], end: &'a [u8]) -> Scan<'a> {
        Scan { begin, end, limit: usize::MAX, reverse: false }
    }
}

/// The store at one version: every read of one snapshot sees the same, durable state.
pub trait Snapshot {
    /// The value of `key`, or `None` when there is no such record.
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError>;

    /// As [`Snapshot::get`], for a record that hardly ever changes. The store may answer with what
    /// the record was a moment ago, provided that it has made sure of it before the transaction is
    /// committed, or before [`Transaction::poll_fetch`] is ready for one that only reads.
    fn get_assumed(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        self.get(key)
    }

    /// Visits the records of `scan` in key order. An error may come after some records were
    /// visited.
    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError>;

    /// What is read from here on is for another command. To be called after one that was answered
    /// [`ReadError::Pending`]; only [`Account::equal_reads`] depends on it.
    fn next_reader(&self) {}

    /// Whether reads are answered without a round trip, so that reading before a blind write is
    /// nearly free.
    fn answers_at_once(&self) -> bool;
}

/// An ordered, transactional map from bytes to bytes.
///
/// Commits become visible to snapshots each as a whole, and never before they are as durable as the
/// store was configured to make them.
pub trait Store: Send + Sync {
    /// Short name for logs and `INFO`: `memory`, `embedded`, ...
    fn name(&self) -> &'static str;

    /// The store as one that lives in this process, if it does: then nobody else writes to it, and
    /// reads are answered at once.
    fn local(&self) -> Option<&dyn Local> {
        None
    }

    /// A transaction, to be used for one group after another.
    fn transaction(self: Arc<Self>) -> Box<dyn Transaction>;

    /// Watches a record that other processes may change; `None` if there are no others.
    fn watch(self: Arc<Self>, key: &[u8]) -> Option<Box<dyn Watch>> {
        let _ = key;
        None
    }

    /// A number that no other execution of a group ever had or will have, in any process that uses
    /// this store: it tells modifications and incarnations apart. Less than 2^48.
    fn next_sequence(&self) -> u64;

    /// Named figures for `INFO` and metrics, such as bytes of log or number of checkpoints. May be
    /// called inside [`Local::read`].
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// State of the store as named texts, for `INFO`.
    fn status(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// `Some(cause)` while the store refuses writes (disk full, failed sync), `None` when healthy.
    /// For people to see; whether a commit succeeds only committing tells.
    fn write_failure(&self) -> Option<String> {
        None
    }

    /// Makes everything committed durable and ends background work. Later commits are refused;
    /// reads still work. What keeps other processes out is released when the store is dropped.
    fn close(&self) -> Result<(), String>;
}

/// A watch on one record.
pub trait Watch: Send {
    /// Ready whenever the record may have changed since the last time, and once when watching has
    /// begun: whoever reads it after that misses no change.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A store that lives in this process.
///
/// One thread at a time commits (the writer role); any number read. Commits become visible in the
/// order they were called.
pub trait Local: Send + Sync {
    /// Calls `f` exactly once with a snapshot taken after this call began. `f` must be short and
    /// must not call the store, except for what people ask about it ([`Store::figures`],
    /// [`Store::write_failure`]): a store may hold a lock that delays commits while it runs.
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot));

    /// Makes `mutations`, none of them [`Mutation::Add`], durable (to the configured degree), then
    /// visible, as one atomic step, or says why not; [`CommitError::Conflict`] and [`CommitError::Retry`] do not happen. A store
    /// that fails for good may say [`CommitError::Unknown`]: the outcome then shows when it is
    /// opened again. `sequence` is greater than that of every commit before.
    fn commit(&self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError>;

    /// Whether [`Local::commit`] ever waits for a disk, so that the writer needs a thread.
    fn may_block(&self) -> bool;

    /// Whether the next [`Local::commit`] is likely to block for longer than handing it to the
    /// writer's thread takes, judged by the last ones.
    fn commit_blocks(&self) -> bool {
        self.may_block()
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reading only: it is never in anybody's way.
    Read,
    /// Reading and committing: the commit conflicts if others have changed what was read.
    Write,
}

impl Mode {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Read => "read",
            Mode::Write => "write",
        }
    }
}

/// What only a transaction knows of how it has been spending its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// How long obtaining a version took, of the time for which `poll` functions were not ready; zero if
    /// the version was known already.
    pub version: Duration,
    /// Reads that were saved: commands, or rather what lies between two calls of [`Snapshot::next_reader`],
    /// that were answered [`ReadError::Pending`] for a record or range which was to be fetched anyway, as
    /// another had asked for it since the last fetch. Of `n` commands of a group that need one record,
    /// `n - 1` count, whatever the number of executions: once it has been fetched they are answered. What
    /// may be assumed never counts.
    pub equal_reads: u64,
}

/// Reads at one version, then at most one commit.
///
/// The `poll` functions are ready at once, or arrange that the task is woken and are called again
/// until they are; in between nothing else is called but [`Transaction::begin`], which abandons what
/// was under way.
pub trait Transaction: Send {
    /// Begins anew: what was read is forgotten, and the version that the next reads see is obtained
    /// after this call. Nothing takes longer than until `deadline` (monotonic).
    fn begin(&mut self, mode: Mode, deadline: Instant);

    /// Calls `f` exactly once with the snapshot; as for [`Local::read`], `f` must be short. Reads are
    /// [`ReadError::Pending`] until they have been fetched.
    fn read(&mut self, f: &mut dyn FnMut(&dyn Snapshot));

    /// Fetches all that was answered [`ReadError::Pending`], together, and makes sure of what was
    /// assumed. Ready when all of it can be answered; [`ReadError::Retry`] when an assumption was
    /// wrong or the transaction cannot go on. Never [`ReadError::Pending`].
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>>;

    /// Commits `mutations` as one atomic step. The arguments must be the same until it is ready.
    fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
        sequence: u64,
        mutations: &Mutations,
    ) -> Poll<Result<(), CommitError>>;

    /// What there is to tell of the time since this was called last.
    fn take_account(&mut self) -> Account {
        Account::default()
    }

    /// After an error that says to execute again: ready when another attempt makes sense, with a
    /// transaction that has begun anew in the same mode and with the same deadline.
    fn poll_retry(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
