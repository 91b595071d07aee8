//! Appending commits to the log, and how durable they then are.
//!
//! One writer appends. In `sync` mode every append is synced before it returns; in `interval` mode
//! a thread syncs what has accumulated; in `none` mode only closing does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::files::{Files, cause};
use super::record::{self, Numbers};
use super::segments::{Pool, Segment};
use super::{Durability, Health};
use crate::clock;
use crate::limits::LOG_RECORD_BYTES_MAX;
use crate::store::{CommitError, Mutations};

/// Where the log ended when it was read at the start.
pub struct Position {
    /// Segment to go on in.
    pub segment: Segment,
    /// First free byte of it.
    pub offset: u64,
    /// Ordinal of the last record.
    pub ordinal: u64,
    /// Segments before, from the first since the last checkpoint on.
    pub older: Vec<Arc<Segment>>,
    /// Bytes of records since the last checkpoint.
    pub bytes: u64,
}

/// The end of the log. Owned by the writer.
pub struct Log {
    files: Files,
    salt: u64,
    durability: Durability,
    pool: Arc<Pool>,
    syncer: Arc<Syncer>,
    health: Arc<Health>,
    active: Arc<Segment>,
    offset: u64,
    ordinal: u64,
    older: Vec<Arc<Segment>>,
    bytes: u64,
    buffer: Vec<u8>,
}

/// What a checkpoint has to know about the log it makes obsolete.
pub struct Cut {
    /// Ordinal of the last record before the cut.
    pub ordinal: u64,
    /// First segment after the cut.
    pub segment: u64,
    /// The segments before it.
    pub older: Vec<Arc<Segment>>,
}

impl Log {
    /// A log that goes on at `position`.
    pub fn new(
        files: Files,
        salt: u64,
        durability: Durability,
        pool: Arc<Pool>,
        syncer: Arc<Syncer>,
        health: Arc<Health>,
        position: Position,
    ) -> Self {
        Self {
            files,
            salt,
            durability,
            pool,
            syncer,
            health,
            active: Arc::new(position.segment),
            offset: position.offset,
            ordinal: position.ordinal,
            older: position.older,
            bytes: position.bytes,
            buffer: Vec::new(),
        }
    }

    /// Bytes of records since the last cut.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ordinal of the last record, and number of the current segment.
    pub fn end(&self) -> (u64, u64) {
        (self.ordinal, self.active.number)
    }

    /// Number of the current segment and end of its records.
    #[cfg(test)]
    pub fn place(&self) -> (u64, u64) {
        (self.active.number, self.offset)
    }

    /// Appends a commit and makes it as durable as configured.
    pub fn append(&mut self, sequence: u64, mutations: &Mutations) -> Result<(), CommitError> {
        let size = record::size(mutations);
        if size > LOG_RECORD_BYTES_MAX.min(self.pool.segment_bytes() as usize) {
            return Err(CommitError::Refused("the transaction is too large".into()));
        }
        while self.offset + size as u64 > self.active.capacity {
            self.next_segment()?;
        }
        let durable = self.syncer.durable.load(Ordering::Acquire);
        let numbers = Numbers { sequence, ordinal: self.ordinal + 1, durable };
        let seed = record::seed(self.salt, self.active.number);
        record::encode(&mut self.buffer, seed, numbers, mutations);
        if let Err(error) = self.files.append(&self.active.file, &self.buffer, self.offset) {
            return Err(self.append_failed(&error));
        }
        self.sync(numbers.ordinal)?;
        self.ordinal += 1;
        self.offset += self.buffer.len() as u64;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    fn sync(&mut self, ordinal: u64) -> Result<(), CommitError> {
        if self.durability != Durability::Sync {
            self.syncer.add(&self.active, ordinal);
            return Ok(());
        }
        match self.syncer.sync_file(&self.files, &self.active) {
            Ok(()) => {
                self.syncer.durable.store(ordinal, Ordering::Release);
                Ok(())
            }
            Err(error) => Err(self.fail_for_good(&cause(&error))),
        }
    }

    /// A record that was not written to its end is no record, so the commit is surely not there,
    /// and the next one overwrites what is. No room on the disk is no reason to stop for good.
    fn append_failed(&mut self, error: &std::io::Error) -> CommitError {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let cause = cause(error);
        match error.kind() {
            StorageFull | QuotaExceeded => CommitError::Refused(cause),
            _ => self.fail_for_good(&cause),
        }
    }

    /// After a failed sync nobody knows what the disk holds, and a second sync would claim success
    /// without writing it. So nothing is written any more, except over the failed record's header:
    /// if that reaches the disk, the commit is surely gone.
    fn fail_for_good(&mut self, cause: &str) -> CommitError {
        self.health.fail(cause);
        match self.files.erase(&self.active.file, self.offset, record::HEADER_BYTES) {
            Ok(()) => CommitError::Refused(cause.to_owned()),
            Err(_) => CommitError::Unknown(cause.to_owned()),
        }
    }

    fn next_segment(&mut self) -> Result<(), CommitError> {
        let next = Arc::new(self.pool.take().map_err(CommitError::Refused)?);
        self.older.push(std::mem::replace(&mut self.active, next));
        self.offset = 0;
        Ok(())
    }

    /// Goes on in a new segment, so that all before it can go once a checkpoint is done.
    pub fn cut(&mut self) -> Result<Cut, CommitError> {
        self.next_segment()?;
        self.bytes = 0;
        let older = std::mem::take(&mut self.older);
        Ok(Cut { ordinal: self.ordinal, segment: self.active.number, older })
    }
}

/// Syncs what was appended without a sync.
#[derive(Default)]
pub struct Syncer {
    /// Highest ordinal known to be durable.
    pub durable: AtomicU64,
    /// Syncs of the log so far.
    pub count: AtomicU64,
    /// Microseconds they took.
    pub took_us: AtomicU64,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    /// Segments with unsynced records, in order.
    segments: Vec<Arc<Segment>>,
    ordinal: u64,
    stopping: bool,
}

impl Syncer {
    fn add(&self, segment: &Arc<Segment>, ordinal: u64) {
        let mut pending = self.pending.lock();
        pending.ordinal = ordinal;
        if pending.segments.last().is_none_or(|last| last.number != segment.number) {
            pending.segments.push(Arc::clone(segment));
            if pending.segments.len() == 1 {
                self.changed.notify_one();
            }
        }
    }

    fn sync_file(&self, files: &Files, segment: &Segment) -> io::Result<()> {
        let began = clock::monotonic();
        let synced = files.sync(&segment.file);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.took_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        synced
    }

    /// Forgets segments that a checkpoint made obsolete.
    pub fn forget_before(&self, number: u64) {
        self.pending.lock().segments.retain(|segment| segment.number >= number);
    }

    /// Makes everything appended so far durable.
    pub fn sync(&self, files: &Files, health: &Health) -> Result<(), String> {
        let (segments, ordinal) = {
            let mut pending = self.pending.lock();
            (std::mem::take(&mut pending.segments), pending.ordinal)
        };
        for segment in &segments {
            if let Err(error) = self.sync_file(files, segment) {
                let cause = cause(&error);
                health.fail(&cause);
                return Err(cause);
            }
        }
        if !segments.is_empty() {
            self.durable.fetch_max(ordinal, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Body of the thread of `interval` mode. Sleeps without a timer while there is nothing to do.
    pub fn sync_always(&self, files: &Files, health: &Health, interval: Duration) {
        let mut pending = self.pending.lock();
        while !pending.stopping {
            if pending.segments.is_empty() {
                self.changed.wait(&mut pending);
                continue;
            }
            // Only stopping ends this wait early: a segment added meanwhile is not the first.
            self.changed.wait_for(&mut pending, interval);
            drop(pending);
            if self.sync(files, health).is_err() {
                return;
            }
            pending = self.pending.lock();
        }
    }

    /// Ends [`Syncer::sync_always`].
    pub fn stop(&self) {
        self.pending.lock().stopping = true;
        self.changed.notify_all();
    }
}
