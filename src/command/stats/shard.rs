//! What one worker counts.

use std::sync::OnceLock;

use super::turns::{BufferCounts, TurnCounts};
use super::{ERROR_KINDS, Ending, registry};
use crate::metrics::{Count, Durations, STAGES, Sizes, Times};

/// Counters about one command.
#[derive(Debug, Default)]
pub(super) struct CommandCounts {
    pub calls: Count,
    pub nanoseconds: Count,
    pub failed: Count,
    pub rejected: Count,
    /// Made when first used: most commands never are.
    pub latency: OnceLock<Box<Durations<Count>>>,
}

/// One worker's counters.
#[derive(Debug)]
pub struct Shard {
    pub(super) commands: Box<[CommandCounts]>,
    pub(super) errors: [Count; ERROR_KINDS.len()],
    pub(super) stages: [Durations<Count>; STAGES],
    pub(super) batch_commands: Sizes<Count>,
    /// Commands executed: the sum of all calls.
    pub processed: Count,
    /// Batches run.
    pub batches: Count,
    /// Batches that took at least `slowlog-log-slower-than`.
    pub slow: Count,
    /// Batches that had to wait because their tenant had sent too many commands.
    pub throttled: Count,
    /// How long they have waited, in microseconds.
    pub throttled_us: Count,
    /// Connections that ended, by [`Ending`].
    pub(super) closed: [Count; Ending::ALL.len()],
    /// Bytes of requests.
    pub bytes_in: Count,
    /// Bytes of replies.
    pub bytes_out: Count,
    /// Keys that a reading command found.
    pub hits: Count,
    /// Keys that a reading command did not find.
    pub misses: Count,
    /// Commands that a token allowed.
    pub allowed: Count,
    /// Commands that a token denied.
    pub denied: Count,
    /// The worker's buffers.
    pub buffers: BufferCounts,
    /// The worker's event loop.
    pub turns: TurnCounts,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard {
            commands: registry().specs().iter().map(|_| CommandCounts::default()).collect(),
            errors: Default::default(),
            stages: Default::default(),
            batch_commands: Sizes::default(),
            processed: Count::default(),
            batches: Count::default(),
            slow: Count::default(),
            throttled: Count::default(),
            throttled_us: Count::default(),
            closed: Default::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            hits: Count::default(),
            misses: Count::default(),
            allowed: Count::default(),
            denied: Count::default(),
            buffers: BufferCounts::default(),
            turns: TurnCounts::default(),
        }
    }

    /// Counts `calls` of one command, which took `busy_ns` of the time between arrival and reply.
    #[inline]
    pub fn calls(&self, number: usize, calls: u64, busy_ns: u64) {
        let command = &self.commands[number];
        command.calls.add(calls);
        command.nanoseconds.add(busy_ns);
    }

    /// Counts `calls` of one command whose replies were written `ns` after their arrival.
    #[inline]
    pub fn latency(&self, number: usize, calls: u64, ns: u64) {
        self.commands[number].latency.get_or_init(Box::default).record(ns, calls);
    }

    /// Counts a batch of so many requests, with so many calls.
    #[inline]
    pub fn batch(&self, requests: usize, calls: u64) {
        self.processed.add(calls);
        self.batches.add(1);
        self.batch_commands.record(requests as u64);
    }

    /// Counts what so many commands spent in each stage.
    #[inline]
    pub fn stages(&self, times: &Times, commands: u64) {
        for (stage, ns) in times.iter() {
            self.stages[stage as usize].record(ns, commands);
        }
    }

    /// Counts a failed call; its error is counted apart.
    pub fn failed(&self, number: usize) {
        self.commands[number].failed.add(1);
    }

    /// Counts a command that was refused before it could run; its error is counted apart.
    pub fn rejected(&self, number: usize) {
        self.commands[number].rejected.add(1);
    }

    /// Counts a connection that ended.
    pub fn closed(&self, why: Ending) {
        self.closed[why as usize].add(1);
    }

    /// Counts an error reply of this kind, a place in [`ERROR_KINDS`].
    pub fn error(&self, kind: u8) {
        self.errors[usize::from(kind)].add(1);
    }
}
