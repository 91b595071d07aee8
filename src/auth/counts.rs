//! How often tokens were verified, and the engine run for them. What happens with every command is counted
//! by the workers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of all tokens of the process.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    known: AtomicU64,
    evaluated: AtomicU64,
}

/// [`Counts`] as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Tokens that were accepted.
    pub accepted: u64,
    /// Tokens that were not.
    pub refused: u64,
    /// Of both, those that had been verified before.
    pub known: u64,
    /// Times the Datalog engine was run for one.
    pub evaluated: u64,
}

impl Counts {
    /// Notes whether a token was accepted.
    pub(super) fn verified(&self, accepted: bool) {
        let count = if accepted { &self.accepted } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a token had been verified before.
    pub(super) fn was_known(&self) {
        self.known.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the engine was run.
    pub(super) fn evaluated(&self) {
        self.evaluated.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn get(&self) -> Counted {
        let Counts { accepted, refused, known, evaluated } = self;
        let [accepted, refused, known, evaluated] =
            [accepted, refused, known, evaluated].map(|count| count.load(Ordering::Relaxed));
        Counted { accepted, refused, known, evaluated }
    }
}
