//! How the event loops and their buffers are doing.

use super::connections::Ending;
use super::shard::Shard;
use crate::metrics::{Count, Durations, Peak, STAGES, Sizes};

/// One worker's registered buffers.
#[derive(Debug, Default)]
pub struct BufferCounts {
    /// How many there are.
    pub registered: Count,
    /// Those that a connection receives into or sends from.
    pub in_use: Count,
    /// Times a connection took ordinary memory because none was free.
    pub fallbacks: Count,
}

/// One worker's event loop.
#[derive(Debug, Default)]
pub struct TurnCounts {
    /// Operations submitted for connections.
    pub submissions: Count,
    /// Operations of connections that were completed.
    pub completions: Count,
    durations: Durations<Count>,
    longest_ns: Peak,
    /// When the present turn began, in milliseconds from the start of the process, and one; 0 between
    /// turns.
    began_ms: Count,
}

impl TurnCounts {
    /// A turn begins, `at_ms` after the start of the process.
    pub fn begin(&self, at_ms: u64) {
        self.began_ms.set(at_ms + 1);
    }

    /// The turn took so long, and ends `at_ms` after the start of the process.
    pub fn end(&self, ns: u64, at_ms: u64) {
        self.durations.record(ns, 1);
        self.longest_ns.note(ns, at_ms / 1000);
        self.began_ms.set(0);
    }
}

/// Sums over the event loops, since the process started.
#[derive(Debug, Clone, Default)]
pub struct LoopTotals {
    /// By [`Stage`](crate::metrics::Stage).
    pub stages: [Durations<u64>; STAGES],
    /// Commands in a batch.
    pub batch_commands: Sizes<u64>,
    /// See [`Shard::slow`].
    pub slow: u64,
    /// See [`Shard::throttled`].
    pub throttled: u64,
    /// See [`Shard::throttled_us`].
    pub throttled_us: u64,
    /// Connections that ended, by [`Ending`].
    pub closed: [u64; Ending::ALL.len()],
    /// See [`BufferCounts`].
    pub buffers: u64,
    /// See [`BufferCounts`].
    pub buffers_in_use: u64,
    /// See [`BufferCounts`].
    pub fallbacks: u64,
    /// See [`TurnCounts`].
    pub submissions: u64,
    /// See [`TurnCounts`].
    pub completions: u64,
    /// How long turns took.
    pub turns: Durations<u64>,
    /// The longest of the last seconds.
    pub longest_turn_ns: u64,
    /// How long the turn has been going on that began first of those under way, in milliseconds.
    pub present_turn_ms: u64,
}

impl LoopTotals {
    pub(super) fn add(&mut self, shard: &Shard, now_ms: u64) {
        self.stages.iter_mut().zip(&shard.stages).for_each(|(sum, stage)| sum.include(stage));
        self.batch_commands.include(&shard.batch_commands);
        self.slow += shard.slow.get();
        self.throttled += shard.throttled.get();
        self.throttled_us += shard.throttled_us.get();
        self.closed.iter_mut().zip(&shard.closed).for_each(|(sum, count)| *sum += count.get());
        self.buffers += shard.buffers.registered.get();
        self.buffers_in_use += shard.buffers.in_use.get();
        self.fallbacks += shard.buffers.fallbacks.get();
        let TurnCounts { submissions, completions, durations, longest_ns, began_ms } = &shard.turns;
        self.submissions += submissions.get();
        self.completions += completions.get();
        self.turns.include(durations);
        self.longest_turn_ns = self.longest_turn_ns.max(longest_ns.get(now_ms / 1000));
        let present = began_ms.get().checked_sub(1).map_or(0, |began| now_ms.saturating_sub(began));
        self.present_turn_ms = self.present_turn_ms.max(present);
    }
}
