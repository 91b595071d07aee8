//! The files of the log: `log/<number>.log`, used in the order of their numbers.
//!
//! A file is ready before a commit needs it: its blocks are allocated and written, so that a sync
//! overwrites and needs no metadata. A thread prepares the next one while the current one fills,
//! and a checkpoint returns the files it made obsolete, which get new numbers and are used again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::files::{Files, cause};
use crate::limits::{LOG_FIRST_SEGMENT_BYTES, LOG_SPARES_MAX};

/// How long the preparing thread waits after a failure before it tries again by itself.
const RETRY: Duration = Duration::from_secs(1);

/// One file of the log.
pub struct Segment {
    /// Its place in the log, and part of its records' checksums.
    pub number: u64,
    /// Open for reading and writing.
    pub file: File,
    /// Bytes that are allocated; nothing is written past them.
    pub capacity: u64,
}

impl Segment {
    /// Opens an existing segment.
    pub fn open(dir: &Path, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(dir, number))?;
        let capacity = file.metadata()?.len();
        Ok(Self { number, file, capacity })
    }
}

/// The path of segment `number`.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// Numbers of the segments in `dir`, ascending. Leftovers of interrupted preparations are removed.
pub fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        match (path.extension().and_then(|extension| extension.to_str()), number) {
            (Some("log"), Some(number)) => numbers.push(number),
            (Some("tmp"), _) => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Segments ready for use, and the means to get more.
pub struct Pool {
    files: Files,
    dir: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    /// Wakes the preparing thread.
    wanted: Condvar,
    /// Wakes a commit that waits for a segment.
    settled: Condvar,
    /// Held while a file gets its number, so that files become ready in the order of their numbers.
    numbering: Mutex<u64>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Segment>,
    /// Size of the segment prepared last.
    newest_bytes: u64,
    /// Preparations asked for and finished, to tell a fresh outcome from an old one.
    asked: u64,
    answered: u64,
    failure: Option<String>,
    stopping: bool,
}

impl State {
    /// Whether there is a segment for whoever wants one, or why not; logged when it changes.
    fn conclude(&mut self, failure: Option<String>) {
        match (&self.failure, &failure) {
            (None, Some(cause)) => {
                tracing::warn!(%cause, "no room for the log; writes are refused once it is full");
            }
            (Some(_), None) => tracing::info!("there is room for the log again; writes are taken"),
            _ => {}
        }
        self.failure = failure;
    }
}

impl Pool {
    /// A pool that hands out `ready` first; the next segment made gets `next_number`.
    pub fn new(
        files: Files,
        dir: PathBuf,
        segment_bytes: u64,
        ready: Vec<Segment>,
        next_number: u64,
    ) -> Self {
        let state = State { ready: ready.into(), ..State::default() };
        Self {
            files,
            dir,
            segment_bytes,
            state: Mutex::new(state),
            wanted: Condvar::new(),
            settled: Condvar::new(),
            numbering: Mutex::new(next_number),
        }
    }

    /// Makes the first segment of a new log; quick, since it is small.
    pub fn create_first(files: &Files, dir: &Path, segment_bytes: u64) -> io::Result<()> {
        files.create_zeroed(&path(dir, 1), LOG_FIRST_SEGMENT_BYTES.min(segment_bytes))?;
        files.sync_dir(dir)
    }

    /// The next segment. Waits while one is being prepared; the error is the cause of a failure to.
    pub fn take(&self) -> Result<Segment, String> {
        let mut state = self.state.lock();
        state.asked += 1;
        let ticket = state.asked;
        loop {
            if let Some(segment) = state.ready.pop_front() {
                if state.ready.is_empty() {
                    self.wanted.notify_one();
                }
                return Ok(segment);
            }
            if state.stopping {
                return Err("the store is closed".into());
            }
            if state.answered >= ticket
                && let Some(failure) = &state.failure
            {
                return Err(failure.clone());
            }
            self.wanted.notify_one();
            self.settled.wait(&mut state);
        }
    }

    /// Size of the segments made, once the log has grown to it.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Why no segment could be made, while that is so and none is left.
    pub fn failure(&self) -> Option<String> {
        let state = self.state.lock();
        state.failure.clone().filter(|_| state.ready.is_empty())
    }

    /// Body of the preparing thread: keeps one segment ready until [`Pool::stop`].
    pub fn prepare_always(&self) {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return;
            }
            if !state.ready.is_empty() {
                state.conclude(None);
                self.wanted.wait(&mut state);
                continue;
            }
            let asked = state.asked;
            let bytes =
                (state.newest_bytes.max(LOG_FIRST_SEGMENT_BYTES) * 4).min(self.segment_bytes);
            drop(state);
            let made = self.make(bytes);
            state = self.state.lock();
            // Whoever asked since then may want to see a newer attempt.
            state.answered = asked;
            state.conclude(made.as_ref().err().map(cause));
            state.newest_bytes = made.as_ref().map_or(state.newest_bytes, |()| bytes);
            self.settled.notify_all();
            if made.is_err() && state.asked == asked {
                self.wanted.wait_for(&mut state, RETRY);
            }
        }
    }

    fn make(&self, bytes: u64) -> io::Result<()> {
        let temporary = self.dir.join("next.tmp");
        let file = self.files.create_zeroed(&temporary, bytes)?;
        self.enter(&temporary, file, bytes)
    }

    /// Gives the file at `from` the next number and makes it ready.
    fn enter(&self, from: &Path, file: File, capacity: u64) -> io::Result<()> {
        let mut next_number = self.numbering.lock();
        let number = *next_number;
        self.files.rename(&self.dir, from, &path(&self.dir, number))?;
        *next_number += 1;
        self.state.lock().ready.push_back(Segment { number, file, capacity });
        self.settled.notify_all();
        Ok(())
    }

    /// Takes back segments nobody will read again: reuses them, or removes them when there are
    /// enough.
    pub fn recycle(&self, segments: impl IntoIterator<Item = Arc<Segment>>) -> io::Result<()> {
        for segment in segments {
            let from = path(&self.dir, segment.number);
            let spares = self.state.lock().ready.len();
            if segment.capacity == self.segment_bytes && spares < LOG_SPARES_MAX {
                self.enter(&from, segment.file.try_clone()?, segment.capacity)?;
            } else {
                std::fs::remove_file(&from)?;
            }
        }
        Ok(())
    }

    /// Ends [`Pool::prepare_always`] and lets waiting commits fail.
    pub fn stop(&self) {
        self.state.lock().stopping = true;
        self.wanted.notify_all();
        self.settled.notify_all();
    }

    /// Number of segments ready, and their bytes.
    pub fn ready(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.ready.len() as u64, state.ready.iter().map(|segment| segment.capacity).sum())
    }
}
