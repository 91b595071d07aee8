//! Moving a full write buffer into the LSM tree, and compacting the tree, each on a thread of its
//! own.
//!
//! A checkpoint first writes the buffer's records into the tree and corrects the cache, then writes
//! the marker that says where the log goes on, lets go of the buffer and gives the log's files
//! back. Replaying a log over a tree that already has its records changes nothing, so a crash
//! between any two steps is harmless; and until the last step reads find the records in the buffer,
//! so a failure is too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Core;
use super::files::cause;
use super::log::Cut;
use super::marker::Marker;
use crate::limits::TREE_RUNS_MAX;
use crate::store::memtable::Memtable;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A write buffer on its way into the tree.
pub struct Frozen {
    /// Its records; readers share it.
    pub table: Arc<Memtable>,
    /// Sequence of the newest commit in it.
    pub sequence: u64,
    /// The log that holds the same.
    pub cut: Cut,
}

/// How much fuller the active buffer may be than the checkpoint is far, in permille, before commits
/// are held up a little.
const LEAD: u64 = 250;
/// The share of writing the records; syncing them, of unknown duration, is the rest.
const WRITING: u64 = 600;
/// [`Checkpoints::progress`] when no commit is to be held up.
const IDLE: u64 = 0;
/// A commit is held up at most this many times for this long.
const PAUSES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(1);

/// The work of the checkpoint thread, and its state.
#[derive(Default)]
pub struct Checkpoints {
    state: Mutex<State>,
    work: Condvar,
    settled: Condvar,
    /// Share of the current checkpoint that is done, in permille; `IDLE` when there is none or when
    /// waiting for it is pointless.
    progress: AtomicU64,
    /// Checkpoints begun.
    pub begun: AtomicU64,
    /// Checkpoints done, cleaning up included.
    pub done: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
}

#[derive(Default)]
struct State {
    pending: Option<Frozen>,
    /// A buffer was handed over and is not in the tree yet.
    busy: bool,
    failure: Option<String>,
    stopping: bool,
}

impl Checkpoints {
    /// Waits until nothing is under way; the error is the cause why that does not end.
    pub fn wait_until_idle(&self) -> Result<(), String> {
        let mut state = self.state.lock();
        while state.busy {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.stopping {
                return Err("the store is closed".into());
            }
            self.settled.wait(&mut state);
        }
        Ok(())
    }

    /// Holds a commit up for some milliseconds when the active buffer, `full` permille of its
    /// bound, fills faster than the last one is moved. Otherwise the commit that fills it would
    /// have to wait for all the rest at once.
    pub fn pace(&self, full: u64) {
        for _ in 0..PAUSES_MAX {
            let progress = self.progress.load(Ordering::Relaxed);
            if progress == IDLE || full <= progress + LEAD {
                return;
            }
            let mut state = self.state.lock();
            if state.busy {
                self.settled.wait_for(&mut state, PAUSE);
            }
        }
    }

    /// Hands a buffer over; nothing else may be under way.
    pub fn start(&self, frozen: Frozen) {
        let mut state = self.state.lock();
        state.busy = true;
        state.pending = Some(frozen);
        self.begun.fetch_add(1, Ordering::Release);
        self.progress.store(1, Ordering::Relaxed);
        self.work.notify_one();
    }

    /// Lets the next buffer come.
    fn settle(&self) {
        let mut state = self.state.lock();
        state.busy = false;
        state.failure = None;
        self.progress.store(IDLE, Ordering::Relaxed);
        self.settled.notify_all();
    }

    /// Why the checkpoint under way does not succeed.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    /// Tries again at once rather than after the usual delay.
    #[cfg(test)]
    pub fn retry_now(&self) {
        self.work.notify_all();
    }

    /// Ends [`run`] after the current attempt.
    pub fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_all();
        self.settled.notify_all();
    }
}

/// Body of the checkpoint thread.
pub fn run(core: &Core) {
    let checkpoints = &core.checkpoints;
    let mut state = checkpoints.state.lock();
    while !state.stopping {
        let Some(frozen) = state.pending.take() else {
            checkpoints.work.wait(&mut state);
            continue;
        };
        drop(state);
        if repeat_until_done(core, &frozen) {
            let mut tables = core.tables.write();
            tables.frozen = None;
            let outdated = core.stretches.clear();
            drop(tables);
            drop(outdated);
            checkpoints.settle();
            clean_up(core, frozen);
            checkpoints.done.fetch_add(1, Ordering::Release);
        }
        state = checkpoints.state.lock();
    }
}

/// `false` when the store was closed before it succeeded; the log still has everything then.
fn repeat_until_done(core: &Core, frozen: &Frozen) -> bool {
    let checkpoints = &core.checkpoints;
    let mut ingested = false;
    let mut delay = RETRY_FIRST;
    while let Err(cause) = checkpoint(core, frozen, &mut ingested) {
        checkpoints.failed.fetch_add(1, Ordering::Relaxed);
        checkpoints.progress.store(IDLE, Ordering::Relaxed);
        tracing::warn!(%cause, "checkpoint failed; the log keeps the records, trying again");
        let mut state = checkpoints.state.lock();
        state.failure = Some(cause);
        checkpoints.settled.notify_all();
        if !state.stopping {
            checkpoints.work.wait_for(&mut state, delay);
        }
        if state.stopping {
            return false;
        }
        drop(state);
        delay = (delay * 2).min(RETRY_MAX);
    }
    true
}

/// What no commit has to wait for.
fn clean_up(core: &Core, frozen: Frozen) {
    let Frozen { table, cut, .. } = frozen;
    core.syncer.forget_before(cut.segment);
    if let Err(error) = core.pool.recycle(cut.older) {
        // Harmless: the next start removes files the log no longer needs.
        tracing::warn!(%error, "old log files could not be reused");
    }
    core.compactions.request();
    drop(table);
}

fn checkpoint(core: &Core, frozen: &Frozen, ingested: &mut bool) -> Result<(), String> {
    if !*ingested {
        core.compactions.wait_for_room(core)?;
        // The cache may be corrected before the tree has the records, for the buffer hides it
        // still.
        let (records, mut done) = (frozen.table.len() as u64, 0);
        let note = |key: &[u8], value: Option<&[u8]>| {
            drop(core.cache.note(key, value));
            done += 1;
            core.checkpoints.progress.store(1 + WRITING * done / records, Ordering::Relaxed);
        };
        if let Err(error) = core.tree.ingest(&frozen.table, note) {
            core.remove_leftovers();
            return Err(text(&error));
        }
        *ingested = true;
    }
    let Cut { ordinal, segment, .. } = frozen.cut;
    let marker = Marker { sequence: frozen.sequence, ordinal, segment, clean: false };
    marker.store(&core.files, &core.dir).map_err(|error| cause(&error))
}

/// What an error of the tree is called in front of clients.
pub fn text(error: &lsm_tree::Error) -> String {
    match error {
        lsm_tree::Error::Io(error) => cause(error),
        other => format!("the LSM tree failed: {other:?}"),
    }
}

/// The work of the compaction thread, and its state.
#[derive(Default)]
pub struct Compactions {
    state: Mutex<CompactionState>,
    work: Condvar,
    settled: Condvar,
    /// Pieces of compaction done.
    pub done: AtomicU64,
}

#[derive(Default)]
struct CompactionState {
    wanted: bool,
    failure: Option<String>,
    stopping: bool,
    stopped: bool,
}

impl Compactions {
    /// Has the thread look whether there is something to do.
    pub fn request(&self) {
        self.state.lock().wanted = true;
        self.work.notify_one();
    }

    /// Waits while the tree has too many runs to take another one.
    fn wait_for_room(&self, core: &Core) -> Result<(), String> {
        let mut state = self.state.lock();
        while core.tree.runs() >= TREE_RUNS_MAX && !state.stopping {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.wanted = true;
            self.work.notify_one();
            self.settled.wait(&mut state);
        }
        Ok(())
    }

    /// Ends [`compact_always`] after the current piece.
    pub fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_all();
        self.settled.notify_all();
    }

    /// Whether the thread has ended, for which this waits not much longer than `timeout`.
    pub fn wait_until_stopped(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        while !state.stopped {
            if self.settled.wait_for(&mut state, timeout).timed_out() {
                break;
            }
        }
        state.stopped
    }
}

/// Body of the compaction thread.
pub fn compact_always(core: &Core) {
    let compactions = &core.compactions;
    let mut state = compactions.state.lock();
    while !state.stopping {
        if !state.wanted {
            compactions.work.wait(&mut state);
            continue;
        }
        state.wanted = false;
        drop(state);
        let outcome = core.tree.compact();
        if outcome.is_err() {
            core.remove_leftovers();
        }
        state = compactions.state.lock();
        match outcome {
            Ok(more) => {
                compactions.done.fetch_add(u64::from(more), Ordering::Relaxed);
                state.wanted |= more;
                state.failure = None;
            }
            Err(error) => {
                let cause = text(&error);
                tracing::warn!(%cause, "compaction failed; trying again");
                state.failure = Some(cause);
                state.wanted = true;
            }
        }
        compactions.settled.notify_all();
        if state.failure.is_some() && !state.stopping {
            compactions.work.wait_for(&mut state, RETRY_MAX);
        }
    }
    state.stopped = true;
    compactions.settled.notify_all();
}
