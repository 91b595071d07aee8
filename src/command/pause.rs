//! `CLIENT PAUSE`: connections hold their batches back until it ends.
//!
//! Commands set and end a pause; every connection asks before it runs a batch, which costs one load
//! while there is none.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;

/// Whether batches are held back, and which.
#[derive(Debug, Default)]
pub struct Pause {
    /// End in Unix milliseconds, 0 without a pause.
    until_ms: AtomicU64,
    /// Hold back reads too.
    all: AtomicBool,
    /// The process is stopping: nothing is held back any more.
    finished: AtomicBool,
    changed: Notify,
    held: AtomicUsize,
}

impl Pause {
    /// Begins a pause, or makes the present one longer and stricter.
    pub fn begin(&self, now_ms: u64, duration_ms: u64, all: bool) {
        let active = self.until_ms.load(Ordering::Relaxed) > now_ms;
        self.all.store(all || active && self.all.load(Ordering::Relaxed), Ordering::Relaxed);
        let until_ms = now_ms.saturating_add(duration_ms);
        if active {
            self.until_ms.fetch_max(until_ms, Ordering::SeqCst);
        } else {
            self.until_ms.store(until_ms, Ordering::SeqCst);
        }
        // Looked at last: a pause that begins while the process stops is ended here or there.
        if self.finished.load(Ordering::SeqCst) {
            self.end();
        }
    }

    /// Ends the pause, and those to come as they begin.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
        self.end();
    }

    /// Ends the pause.
    pub fn end(&self) {
        self.until_ms.store(0, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether a batch, with or without writes, has to wait.
    #[inline]
    pub fn holds(&self, writes: bool) -> bool {
        self.until_ms.load(Ordering::Acquire) != 0 && self.left(writes).is_some()
    }

    fn left(&self, writes: bool) -> Option<Duration> {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        let left_ms = until_ms.saturating_sub(clock::unix_ms());
        if left_ms == 0 {
            // Over: back to one load per batch, unless somebody has begun another.
            let _ =
                self.until_ms.compare_exchange(until_ms, 0, Ordering::Relaxed, Ordering::Relaxed);
            return None;
        }
        let held = writes || self.all.load(Ordering::Relaxed);
        held.then(|| Duration::from_millis(left_ms))
    }

    /// Has those that wait look whether they still have to.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Returns when a batch may run, or need not any more because its client `is_killed`.
    pub async fn wait(&self, writes: bool, is_killed: impl Fn() -> bool) {
        self.held.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no end goes unnoticed.
            changed.as_mut().enable();
            let Some(left) = self.left(writes).filter(|_| !is_killed()) else { break };
            tokio::select! {
                () = tokio::time::sleep(left.min(Duration::from_secs(3600))) => {}
                () = changed => {}
            }
        }
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections that are waiting.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_holds_what_it_says_until_it_ends() {
        let pause = Pause::default();
        let now_ms = clock::unix_ms();
        assert!(!pause.holds(true));
        pause.begin(now_ms, 1_000_000, false);
        assert!(pause.holds(true) && !pause.holds(false));
        pause.begin(now_ms, 1, true);
        assert!(pause.holds(true) && pause.holds(false), "stricter, and not shorter");
        pause.end();
        assert!(!pause.holds(true) && !pause.holds(false));
        pause.begin(0, 1, true);
        assert!(!pause.holds(true), "long over");
        pause.finish();
        pause.begin(now_ms, 1_000_000, true);
        assert!(!pause.holds(true), "nothing is held while the process stops");
    }
}
