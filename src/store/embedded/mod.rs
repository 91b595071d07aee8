//! The store in one directory of this machine: a log, write buffers, and an LSM tree.
//!
//! A commit is appended to the log, made durable, then applied to the write buffer in memory: what
//! a reader sees is as durable as configured. When the buffer or the log has grown enough, a
//! checkpoint moves the buffer into the tree in the background. Only checkpoints write the tree, so
//! a commit costs one write and one sync, whatever the tree is doing.
//!
//! ```text
//! commit -> log/*.log (write, sync) -> active buffer -> frozen buffer -> tree/   (checkpoint)
//! read   -> active buffer, frozen buffer, caches, tree
//! ```
//!
//! # What a failure means
//!
//! - No room on the disk: commits are refused, nothing of them is written, and they succeed again
//!   once there is room.
//! - A failed sync, or a write that failed for another reason: the store refuses all commits until
//!   it is opened again, for nobody knows what the disk holds. Commits answered before stand. The
//!   failing commit is [`CommitError::Refused`] if its record could be erased durably, otherwise
//!   [`CommitError::Unknown`]: opening the store again decides it, once and for all.
//! - A failed checkpoint: tried again; the log keeps the records. Commits go on until the buffer or
//!   the log reaches its bound, and are refused from then on until a checkpoint succeeds.
//!
//! Reads go on in every case.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::direct::Direct;
use super::memtable::Memtable;
use super::{CommitError, Local, Mutation, Mutations, Snapshot, Store, Transaction};
use crate::clock;
use crate::limits::{INLINE_COMMIT_US_MAX, LOG_BYTES_MAX, LOG_SEGMENT_BYTES, MEMTABLE_BYTES_MAX};
use cache::RecordCache;
use checkpoint::{Checkpoints, Compactions, Frozen};
use files::Files;
use log::{Log, Syncer};
use marker::Marker;
use segments::Pool;
use snapshot::EmbeddedSnapshot;
use stretches::Stretches;
use tree::Tree;

mod cache;
mod checkpoint;
mod files;
mod log;
mod marker;
mod open;
mod record;
mod replay;
mod segments;
mod settled;
mod snapshot;
mod stretches;
#[cfg(test)]
mod tests;
mod tree;

/// How long closing waits for a compaction to end. It may take longer, but being killed in the
/// middle does it no harm; until then it keeps the directory locked.
const COMPACTION_WAIT: Duration = Duration::from_secs(1);

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is answered.
    Sync,
    /// At the latest this long after it was answered; what was answered since the last sync can be
    /// lost when the machine (not only the process) stops.
    Interval(Duration),
    /// Whenever the system likes, and when the store is closed.
    None,
}

/// How to open an [`EmbeddedStore`].
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The data directory; created if it is not there.
    pub dir: PathBuf,
    /// When a commit is on the disk.
    pub durability: Durability,
    /// Bytes of the cache of records read from the tree; 0 for none. An eighth as many for scans come
    /// on top.
    pub cache_bytes: u64,
    /// Size of the write buffer at which it is moved to the tree, in bytes.
    pub memtable_bytes: usize,
    /// Size of the log at which the write buffer is moved to the tree, in bytes.
    pub log_bytes: u64,
    /// Size of a log file, in bytes; no commit can be larger.
    pub segment_bytes: u64,
    files: Files,
}

impl EmbeddedOptions {
    /// The defaults, for the directory `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Sync,
            cache_bytes: 256 * 1024 * 1024,
            memtable_bytes: MEMTABLE_BYTES_MAX,
            log_bytes: LOG_BYTES_MAX,
            segment_bytes: LOG_SEGMENT_BYTES,
            files: Files::default(),
        }
    }
}

/// Why a store could not be opened. `Display` is one sentence for the operator.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the directory.
    Locked(PathBuf),
    /// The directory was written by a program with another on-disk format.
    UnknownFormat {
        /// The directory's format.
        found: u32,
        /// The format this program knows.
        supported: u32,
    },
    /// Acknowledged data is damaged or missing; the text says which.
    Corrupt(String),
    /// The system refused something.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(dir) => write!(
                f,
                "the data directory {} is in use by another process; stop that process or choose \
                 another directory",
                dir.display()
            ),
            Self::UnknownFormat { found, supported } => write!(
                f,
                "the data directory has format {found} and this program knows format {supported}; \
                 use a program of the version that wrote it"
            ),
            Self::Corrupt(what) => write!(
                f,
                "the data directory is damaged: {what}; restore it from a backup, for going on \
                 would lose acknowledged writes"
            ),
            Self::Io(error) => write!(f, "the data directory cannot be used: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// See the module.
pub struct EmbeddedStore {
    core: Arc<Core>,
    writer: Mutex<Writer>,
    threads: Mutex<Threads>,
    /// The last number given out by [`Store::next_sequence`].
    issued: AtomicU64,
    /// How long a commit usually takes, in microseconds.
    commit_us: AtomicU64,
    durability: Durability,
    memtable_bytes: usize,
    log_bytes: u64,
}

/// The store's threads until they are stopped.
#[derive(Default)]
struct Threads {
    /// Those that end soon when they are told to.
    quick: Vec<JoinHandle<()>>,
    compaction: Option<JoinHandle<()>>,
}

/// What only the writer needs.
struct Writer {
    log: Log,
    /// Size of the active buffer after the last commit.
    buffer_bytes: usize,
    closed: bool,
}

/// What readers, the writer and the threads share.
struct Core {
    dir: PathBuf,
    files: Files,
    tables: RwLock<Tables>,
    tree: Tree,
    cache: RecordCache,
    stretches: Stretches,
    pool: Arc<Pool>,
    syncer: Arc<Syncer>,
    health: Arc<Health>,
    checkpoints: Checkpoints,
    compactions: Compactions,
    sequence: AtomicU64,
    /// Bytes of log since the last checkpoint began.
    log_bytes: AtomicU64,
    /// Keeps other processes out. The last field: the tree still removes files as it is dropped.
    _lock: File,
}

impl Core {
    /// The keys that `mutations` clear and that nothing but the active write buffer knows: they need no
    /// tombstones, which whoever scans the front of a queue would have to pass over. Only the writer may
    /// call this, since nobody else changes that buffer.
    fn only_buffered<'m>(&self, mutations: &'m Mutations) -> Vec<&'m [u8]> {
        let tables = self.tables.read();
        let cleared = mutations.iter().map(Mutation::change).filter(|(_, value)| value.is_none());
        let is_only_there = |key: &&[u8]| {
            tables.active.get(key).is_some_and(|value| value.is_some())
                && tables.frozen.as_ref().is_none_or(|frozen| frozen.get(key).is_none())
                && self.tree_lacks(key)
        };
        cleared.map(|(key, _)| key).filter(is_only_there).collect()
    }

    /// Whether the tree has no such record, as far as that is known without an error.
    fn tree_lacks(&self, key: &[u8]) -> bool {
        if self.tree.is_empty() {
            return true;
        }
        match self.cache.get(key) {
            Some(entry) => entry.value().is_none(),
            None => matches!(self.tree.get(key), Ok(None)),
        }
    }
}

/// The write buffers.
struct Tables {
    active: Memtable,
    /// On its way into the tree.
    frozen: Option<Arc<Memtable>>,
}

/// Whether commits succeed, and why not.
#[derive(Default)]
struct Health {
    /// The log cannot be trusted any more; `cause` says why.
    failed: AtomicBool,
    cause: Mutex<Option<String>>,
    /// The last commit was refused; the next one may succeed.
    refusing: AtomicBool,
}

impl Health {
    /// Refuse commits from now on.
    fn fail(&self, cause: &str) {
        tracing::error!(
            cause,
            "the log failed; writes are refused until the store is opened again"
        );
        self.cause.lock().get_or_insert_with(|| cause.to_owned());
        self.failed.store(true, Ordering::Release);
    }

    fn cause(&self) -> Option<String> {
        let failed = self.failed.load(Ordering::Acquire);
        failed.then(|| self.cause.lock().clone()).flatten()
    }
}

impl Core {
    fn remove_leftovers(&self) {
        if let Err(error) = self.tree.remove_leftovers(|| self.tables.write()) {
            tracing::warn!(%error, "unfinished files could not be removed");
        }
    }
}

impl EmbeddedStore {
    /// Opens the store in a directory, creating it if it is not there, and reads what the log has.
    pub fn open(options: EmbeddedOptions) -> Result<Self, OpenError> {
        open::open(options)
    }

    /// How near the buffer or the log is to its bound, in permille.
    fn fullness(&self, writer: &Writer) -> u64 {
        let buffer = writer.buffer_bytes as u128 * 1000 / self.memtable_bytes.max(1) as u128;
        let log = u128::from(writer.log.bytes()) * 1000 / u128::from(self.log_bytes.max(1));
        buffer.max(log) as u64
    }

    /// Hands the active buffer to the checkpoint thread; waits while the last one is under way.
    fn freeze(&self, writer: &mut Writer) -> Result<(), CommitError> {
        self.core.checkpoints.wait_until_idle().map_err(CommitError::Refused)?;
        let cut = writer.log.cut()?;
        let successor = Memtable::sized_like(&self.core.tables.read().active);
        let mut tables = self.core.tables.write();
        let table = Arc::new(std::mem::replace(&mut tables.active, successor));
        tables.frozen = Some(Arc::clone(&table));
        drop(tables);
        writer.buffer_bytes = 0;
        let sequence = self.core.sequence.load(Ordering::Acquire);
        self.core.checkpoints.start(Frozen { table, sequence, cut });
        Ok(())
    }

    /// Empties the log if that is possible now; otherwise the next start reads it.
    fn settle(&self, writer: &mut Writer) -> Result<(), String> {
        self.core.checkpoints.wait_until_idle()?;
        if writer.log.bytes() > 0 {
            self.freeze(writer).map_err(|error| format!("{error:?}"))?;
            self.core.checkpoints.wait_until_idle()?;
        }
        let (ordinal, segment) = writer.log.end();
        let sequence = self.core.sequence.load(Ordering::Acquire);
        let marker = Marker { sequence, ordinal, segment, clean: true };
        marker.store(&self.core.files, &self.core.dir).map_err(|error| files::cause(&error))
    }

    fn stop_threads(&self) {
        self.core.checkpoints.stop();
        self.core.compactions.stop();
        self.core.pool.stop();
        self.core.syncer.stop();
        let Threads { mut quick, compaction } = std::mem::take(&mut *self.threads.lock());
        if self.core.compactions.wait_until_stopped(COMPACTION_WAIT) {
            quick.extend(compaction);
        }
        for thread in quick {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }

    /// The sequence of the newest commit, also of those before a restart.
    fn sequence(&self) -> u64 {
        self.core.sequence.load(Ordering::Acquire)
    }

    fn write(&self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError> {
        let mut writer = self.writer.lock();
        if writer.closed {
            return Err(CommitError::Refused("the store is closed".into()));
        }
        if let Some(cause) = self.core.health.cause() {
            return Err(CommitError::Refused(cause));
        }
        if writer.buffer_bytes >= self.memtable_bytes || writer.log.bytes() >= self.log_bytes {
            self.freeze(&mut writer)?;
        }
        self.core.checkpoints.pace(self.fullness(&writer));
        writer.log.append(sequence, mutations)?;
        let forgotten = self.core.only_buffered(mutations);
        let mut tables = self.core.tables.write();
        tables.active.put_all(mutations.iter().map(Mutation::change));
        self.core.stretches.hide(mutations.iter().map(|mutation| mutation.change().0));
        forgotten.into_iter().for_each(|key| tables.active.forget(key));
        writer.buffer_bytes = tables.active.bytes();
        self.core.log_bytes.store(writer.log.bytes(), Ordering::Relaxed);
        self.core.sequence.store(sequence, Ordering::Release);
        Ok(())
    }
}

impl Store for EmbeddedStore {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn transaction(self: Arc<Self>) -> Box<dyn Transaction> {
        Box::new(Direct(self))
    }

    fn next_sequence(&self) -> u64 {
        self.issued.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let core = &self.core;
        let (active, frozen) = {
            // Commands ask while they read: a commit that waits meanwhile must not come between.
            let tables = core.tables.read_recursive();
            (tables.active.bytes(), tables.frozen.as_ref().map_or(0, |table| table.bytes()))
        };
        let (spares, spare_bytes) = core.pool.ready();
        let mut figures = vec![
            ("sequence", self.sequence()),
            ("buffer_bytes", (active + frozen) as u64),
            ("log_bytes", core.log_bytes.load(Ordering::Relaxed)),
            ("log_syncs", core.syncer.count.load(Ordering::Relaxed)),
            ("log_sync_us", core.syncer.took_us.load(Ordering::Relaxed)),
            ("log_spare_files", spares),
            ("log_spare_bytes", spare_bytes),
            ("checkpoints_begun", core.checkpoints.begun.load(Ordering::Relaxed)),
            ("checkpoints", core.checkpoints.done.load(Ordering::Relaxed)),
            ("checkpoint_failures", core.checkpoints.failed.load(Ordering::Relaxed)),
            ("compactions", core.compactions.done.load(Ordering::Relaxed)),
        ];
        figures.extend(core.cache.figures());
        figures.push(("scan_cache_bytes", core.stretches.bytes() as u64));
        figures.extend(core.tree.figures());
        if let Ok(disk) = rustix::fs::statvfs(&core.dir) {
            figures.push(("disk_free_bytes", disk.f_bavail * disk.f_frsize));
        }
        figures
    }

    fn write_failure(&self) -> Option<String> {
        let core = &self.core;
        if let Some(cause) = core.health.cause() {
            return Some(cause);
        }
        // These may be over before the next commit shows it.
        let refusing = core.health.refusing.load(Ordering::Relaxed);
        refusing.then(|| core.pool.failure().or_else(|| core.checkpoints.failure())).flatten()
    }

    fn close(&self) -> Result<(), String> {
        let mut writer = self.writer.lock();
        if std::mem::replace(&mut writer.closed, true) {
            return Ok(());
        }
        let synced = match self.core.health.cause() {
            Some(cause) => Err(cause),
            None => self.core.syncer.sync(&self.core.files, &self.core.health),
        };
        if let Err(cause) = self.settle(&mut writer) {
            tracing::warn!(%cause, "no checkpoint on closing; the next start reads the log");
        }
        self.stop_threads();
        synced
    }
}

impl Local for EmbeddedStore {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot)) {
        let tables = self.core.tables.read();
        f(&EmbeddedSnapshot::new(&self.core, &tables));
    }

    fn commit(&self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError> {
        let started = clock::monotonic();
        let outcome = self.write(sequence, mutations);
        self.core.health.refusing.store(outcome.is_err(), Ordering::Relaxed);
        let took = clock::monotonic().saturating_duration_since(started).as_micros() as u64;
        let usual = self.commit_us.load(Ordering::Relaxed);
        // One slow commit among quick ones decides nothing; a disk that has become slow is noticed
        // after a few.
        let took = took.min(10 * INLINE_COMMIT_US_MAX);
        self.commit_us.store((usual * 7 + took) / 8, Ordering::Relaxed);
        outcome
    }

    fn may_block(&self) -> bool {
        // Without a sync a commit is one write into the page cache, less than a hand-over to another
        // thread. It waits only while the log or the buffer is full, as every writer then must.
        self.durability == Durability::Sync
    }

    fn commit_blocks(&self) -> bool {
        self.may_block() && self.commit_us.load(Ordering::Relaxed) > INLINE_COMMIT_US_MAX
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // Without `close` this leaves the directory as a kill would.
        self.stop_threads();
    }
}
