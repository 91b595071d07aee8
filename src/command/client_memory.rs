//! Memory that connections take beyond the small buffers each of them has: `--client-memory-max`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the large buffers of all connections together may take.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    /// A budget of `max` bytes, none of them used.
    pub fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), max })
    }

    /// Takes `bytes` until the charge is dropped; `None` if they are not there.
    pub fn charge(self: &Arc<Budget>, bytes: usize) -> Option<Charge> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { budget: Arc::clone(self), bytes };
        (used + bytes <= self.max).then_some(charge)
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes so many bytes more; whether they were there.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let budget = &self.budget;
        let used = budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        used + bytes <= budget.max
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
