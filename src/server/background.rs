//! The thread that does what no client asks for: sweeps expired keys and collects garbage.
//!
//! It searches snapshots, hands what it finds to the writer in small batches and waits for each, so
//! that at most one of them is ever in a client's way. After a batch it rests a multiple of the time
//! the batch took, unless it is far behind; with nothing to do it looks again a few times a second.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::batch::{Chores, Writer};
use crate::clock;
use crate::data::KeyspaceId;
use crate::data::background::{Audit, Chore, Collector, Sweep, keyspaces};
use crate::limits::{
    AUDIT_STEP, BACKGROUND_INTERVAL, CHORES_INLINE_MAX, CHORES_MAX, CHORES_PAUSE_MAX, CHORES_REST,
    COMMAND_DEADLINE, REFUSED_PAUSE_MAX, REFUSED_PAUSE_MIN, SWEEP_BEHIND_MS,
};
use crate::store::{Mode, ReadError, Snapshot, Store, wait};

/// The running thread; [`Background::stop`] ends it.
pub struct Background {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts the thread. It must be stopped before `writer` is closed.
    pub fn start(store: Arc<dyn Store>, writer: Arc<Writer>) -> io::Result<Background> {
        let (stop, stopped) = channel();
        let blocks = store.local().is_none_or(|local| local.commit_blocks());
        let limit = if blocks { CHORES_MAX } else { CHORES_INLINE_MAX };
        let work = Work {
            store,
            limit,
            writer,
            sweep: Sweep::default(),
            collector: Collector::default(),
            audit: Audit::default(),
        };
        let thread = std::thread::Builder::new().name("background".to_owned());
        let thread = thread.spawn(move || work.run(&stopped))?;
        Ok(Background { stop, thread })
    }

    /// Ends the thread and waits until the batch it is at, if any, is done.
    pub fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// How a round went.
enum Round {
    /// There was nothing to do.
    Idle,
    /// Something was done; there may be more.
    Worked,
    /// As `Worked`, and it is high time for the rest.
    Behind,
}

struct Work {
    store: Arc<dyn Store>,
    /// Records in one batch at most.
    limit: usize,
    writer: Arc<Writer>,
    sweep: Sweep,
    collector: Collector,
    audit: Audit,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut refused_pause = REFUSED_PAUSE_MIN;
        loop {
            let began = clock::monotonic();
            let round = self.round();
            let pause = match round {
                Some(Round::Idle) => BACKGROUND_INTERVAL,
                Some(Round::Worked) => (began.elapsed() * CHORES_REST).min(CHORES_PAUSE_MAX),
                Some(Round::Behind) => Duration::ZERO,
                None => refused_pause,
            };
            refused_pause = match round {
                Some(_) => REFUSED_PAUSE_MIN,
                None => (refused_pause * 2).min(REFUSED_PAUSE_MAX),
            };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// One batch of each kind of work; `None` when the store cannot be read or written.
    fn round(&mut self) -> Option<Round> {
        if self.store.write_failure().is_some() {
            return None;
        }
        let keyspaces = self.search(&mut |snapshot| keyspaces(snapshot, 0))?;
        let now_ms = clock::unix_ms();
        let due =
            self.search(&mut |snapshot| self.sweep.due(snapshot, &keyspaces, now_ms, self.limit))?;
        self.submit(&due)?;
        self.sweep.done(&due, &keyspaces, now_ms, self.limit);
        let garbage = self.search(&mut |snapshot| self.collector.garbage(snapshot, self.limit))?;
        self.submit(&garbage)?;
        self.collector.done(&garbage);
        self.audit(&keyspaces)?;
        let behind = matches!(due.first(), Some(Chore::Expire { at_ms, .. })
            if now_ms.saturating_sub(*at_ms) > SWEEP_BEHIND_MS);
        Some(match due.is_empty() && garbage.is_empty() {
            true => Round::Idle,
            false if behind => Round::Behind,
            false => Round::Worked,
        })
    }

    /// A few steps through the registry, on stores whose writes may be blind.
    fn audit(&mut self, keyspaces: &[KeyspaceId]) -> Option<()> {
        let found = self.search(&mut |snapshot| {
            if snapshot.answers_at_once() {
                return Ok(None);
            }
            self.audit.next(snapshot, keyspaces, AUDIT_STEP).map(Some)
        })?;
        let Some((chores, next)) = found else { return Some(()) };
        self.submit(&chores)?;
        self.audit = next;
        Some(())
    }

    /// Searches the store as it is now; `None` when it cannot be read.
    fn search<T>(&self, find: &mut dyn FnMut(&dyn Snapshot) -> Result<T, ReadError>) -> Option<T> {
        let mut transaction = Arc::clone(&self.store).transaction();
        transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
        let found = wait::read(&mut *transaction, find);
        found.inspect_err(|error| tracing::warn!(?error, "background work cannot read")).ok()
    }

    /// Has the writer do these and waits; `None` if it could not.
    fn submit(&self, chores: &[Chore]) -> Option<()> {
        if chores.is_empty() {
            return Some(());
        }
        let (done, answer) = channel();
        self.writer.submit_chores(Chores { chores: chores.to_vec(), done });
        answer.recv().ok().map(|_| ())
    }
}
