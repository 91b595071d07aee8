//! How groups are doing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::{Count, Durations, STAGES, Sizes, Times};
use crate::store::Mode;

/// What became of the groups of one kind that one thread at a time executes.
#[derive(Debug)]
pub struct GroupShard {
    /// Whether they write.
    pub mode: Mode,
    /// Groups under way.
    pub in_flight: Count,
    /// Reads of a networked store that were saved, see [`crate::store::Account::equal_reads`]; of each
    /// group, those of its last attempt.
    pub equal_reads: Count,
    /// Groups divided.
    pub splits: Count,
    commands: Sizes<Count>,
    bytes: Sizes<Count>,
    stages: [Durations<Count>; STAGES],
}

impl GroupShard {
    pub(super) fn new(mode: Mode) -> GroupShard {
        GroupShard {
            mode,
            in_flight: Count::default(),
            equal_reads: Count::default(),
            splits: Count::default(),
            commands: Sizes::default(),
            bytes: Sizes::default(),
            stages: Default::default(),
        }
    }

    /// Counts a group that executed so many commands of clients, wrote so many bytes and spent its time so.
    /// Background work alone is no group.
    pub fn group(&self, commands: usize, bytes: usize, times: &Times) {
        if commands == 0 {
            return;
        }
        self.commands.record(commands as u64);
        self.bytes.record(bytes as u64);
        for (stage, ns) in times.iter() {
            self.stages[stage as usize].record(ns, 1);
        }
    }
}

/// Sums over the groups of one kind.
#[derive(Debug, Clone, Default)]
pub struct GroupTotals {
    /// Groups under way.
    pub in_flight: u64,
    /// See [`GroupShard::equal_reads`].
    pub equal_reads: u64,
    /// See [`GroupShard::splits`].
    pub splits: u64,
    /// Commands in a group.
    pub commands: Sizes<u64>,
    /// Bytes written by a group.
    pub bytes: Sizes<u64>,
    /// By [`Stage`](crate::metrics::Stage).
    pub stages: [Durations<u64>; STAGES],
}

impl GroupTotals {
    pub(super) fn add(&mut self, shard: &GroupShard) {
        self.in_flight += shard.in_flight.get();
        self.equal_reads += shard.equal_reads.get();
        self.splits += shard.splits.get();
        self.commands.include(&shard.commands);
        self.bytes.include(&shard.bytes);
        self.stages.iter_mut().zip(&shard.stages).for_each(|(sum, stage)| sum.include(stage));
    }
}

/// What became of groups whose first attempt did not succeed.
#[derive(Debug, Default)]
pub struct GroupCounts {
    /// Attempts that conflicted with other writers.
    pub conflicts: AtomicU64,
    /// Groups executed again, for whatever reason.
    pub retries: AtomicU64,
    /// Commits whose outcome had to be looked up, and that had taken place.
    pub unknown_committed: AtomicU64,
    /// Those that had not.
    pub unknown_not_committed: AtomicU64,
    /// Those of which it could not be found out.
    pub unknown_unresolved: AtomicU64,
    /// Groups answered with `-TIMEOUT`.
    pub timeouts: AtomicU64,
}

impl GroupCounts {
    /// Commits whose outcome had to be looked up.
    pub fn unknown(&self) -> u64 {
        [&self.unknown_committed, &self.unknown_not_committed, &self.unknown_unresolved]
            .map(|count| count.load(Ordering::Relaxed))
            .into_iter()
            .sum()
    }
}
