//! What the store counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Kind;

/// Counters since the store was opened.
#[derive(Default)]
pub struct Figures {
    /// Transactions begun, each attempt counted.
    pub transactions: AtomicU64,
    /// Read versions obtained from the cluster.
    pub read_versions: AtomicU64,
    /// Keys and ranges read.
    pub reads: AtomicU64,
    /// Commits that succeeded.
    pub commits: AtomicU64,
    /// Assumptions that turned out wrong before the commit.
    pub wrong_assumptions: AtomicU64,
    conflicts: AtomicU64,
    unknown: AtomicU64,
    too_old: AtomicU64,
    future_version: AtomicU64,
    process_behind: AtomicU64,
    throttled: AtomicU64,
    locked: AtomicU64,
    timeouts: AtomicU64,
    other: AtomicU64,
}

impl Figures {
    /// Counts a failure.
    pub fn count(&self, kind: Kind) {
        let counter = match kind {
            Kind::Conflict => &self.conflicts,
            Kind::Unknown => &self.unknown,
            Kind::TooOld => &self.too_old,
            Kind::FutureVersion => &self.future_version,
            Kind::ProcessBehind => &self.process_behind,
            Kind::Throttled => &self.throttled,
            Kind::Locked => &self.locked,
            Kind::TimedOut => &self.timeouts,
            Kind::TooLarge | Kind::Other => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, named.
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        [
            ("transactions", &self.transactions),
            ("read_versions", &self.read_versions),
            ("reads", &self.reads),
            ("commits", &self.commits),
            ("wrong_assumptions", &self.wrong_assumptions),
            ("conflicts", &self.conflicts),
            ("commits_unknown", &self.unknown),
            ("retries_too_old", &self.too_old),
            ("retries_future_version", &self.future_version),
            ("retries_process_behind", &self.process_behind),
            ("retries_throttled", &self.throttled),
            ("retries_locked", &self.locked),
            ("timeouts", &self.timeouts),
            ("other_failures", &self.other),
        ]
        .into_iter()
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
        .collect()
    }
}
