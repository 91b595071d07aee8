//! Counters that one thread writes and any may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread at a time writes and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only ever called by one thread at a time, so it needs no locked instruction.
    #[inline]
    pub fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    /// Takes away, as [`Count::add`] adds.
    #[inline]
    pub fn subtract(&self, count: u64) {
        self.set(self.get().wrapping_sub(count));
    }

    /// Replaces the count.
    #[inline]
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The largest value of the last seconds, written like a [`Count`].
#[derive(Debug, Default)]
pub struct Peak {
    window: Count,
    now: Count,
    before: Count,
}

/// Seconds that a value counts at least; at most twice as many.
const WINDOW_S: u64 = 15;

impl Peak {
    /// Notes a value at `at_s`, in seconds from any fixed time.
    #[inline]
    pub fn note(&self, value: u64, at_s: u64) {
        let window = at_s / WINDOW_S;
        if window != self.window.get() {
            let is_next = window == self.window.get() + 1;
            self.before.set(if is_next { self.now.get() } else { 0 });
            self.now.set(0);
            self.window.set(window);
        }
        if value > self.now.get() {
            self.now.set(value);
        }
    }

    /// The largest value of the last 15 to 30 seconds.
    pub fn get(&self, at_s: u64) -> u64 {
        // Who writes may be a window ahead of who looked at the clock first.
        match (at_s / WINDOW_S).saturating_sub(self.window.get()) {
            0 => self.now.get().max(self.before.get()),
            1 => self.now.get(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_after_two_windows() {
        let peak = Peak::default();
        peak.note(7, 100);
        peak.note(3, 101);
        assert_eq!((peak.get(102), peak.get(110), peak.get(130)), (7, 7, 0));
        assert_eq!(peak.get(80), 7);
        peak.note(2, 110);
        assert_eq!((peak.get(110), peak.get(125)), (7, 2));
        peak.note(1, 200);
        assert_eq!(peak.get(200), 1);
    }
}
