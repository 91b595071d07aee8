//! One turn of the event loop, as those who measure see it.
//!
//! What a worker's ring has completed is all there when its tasks begin to run, so it all arrived then,
//! however long it takes until the last connection's turn has come. One look at the clock tells that for
//! all of them.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::command::stats::Shard;

/// See the module.
pub struct Tick {
    started: Instant,
    stats: Arc<Shard>,
    began: Cell<Option<Instant>>,
    /// What the turn did is accounted for up to here.
    mark: Cell<Instant>,
}

impl Tick {
    /// Turns of a worker with these counters, in a process that was started then.
    pub fn new(stats: Arc<Shard>, started: Instant) -> Tick {
        Tick { mark: Cell::new(started), started, stats, began: Cell::new(None) }
    }

    fn since_start_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis() as u64
    }

    /// Begins a turn, unless one is under way; `first` is called if it does. When it began.
    #[inline]
    pub fn begin(&self, first: impl FnOnce()) -> Instant {
        if let Some(began) = self.began.get() {
            return began;
        }
        let now = clock::monotonic();
        self.began.set(Some(now));
        self.mark.set(now);
        self.stats.turns.begin(self.since_start_ms(now));
        first();
        now
    }

    /// Up to when the turn is accounted for.
    pub fn mark(&self) -> Instant {
        self.mark.get()
    }

    /// Accounts for the turn up to `now`, if that is known.
    #[inline]
    pub fn account(&self, now: Option<Instant>) {
        if let Some(now) = now {
            self.mark.set(now);
        }
    }

    /// Ends the turn, if one is under way; how long it took, in milliseconds.
    pub fn end(&self) -> Option<u64> {
        let began = self.began.take()?;
        let now = clock::monotonic();
        let ns = now.duration_since(began).as_nanos() as u64;
        self.stats.turns.end(ns, self.since_start_ms(now));
        Some(ns / 1_000_000)
    }
}
