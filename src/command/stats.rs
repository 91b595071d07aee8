//! What the process has done so far: the figures of `INFO` and of the metrics endpoint.
//!
//! Each worker counts in a [`Shard`] of its own, once per batch and without contention; whoever wants
//! to know sums the shards up. `CONFIG RESETSTAT` moves the origin and touches no shard.

mod connections;
mod groups;
mod registry;
mod shard;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::metrics::Durations;
use crate::store::Mode;

pub use self::connections::{Ending, Rejection};
pub use self::groups::{GroupCounts, GroupShard, GroupTotals};
pub use self::registry::{Registry, registry};
pub use self::shard::Shard;
pub use self::turns::{BufferCounts, LoopTotals, TurnCounts};

/// The codes error replies begin with; any other counts as the first.
pub const ERROR_KINDS: &[&str] = &[
    "ERR",
    "WRONGTYPE",
    "EXECABORT",
    "NOPROTO",
    "WRONGPASS",
    "NOAUTH",
    "NOPERM",
    "MISCONF",
    "TIMEOUT",
    "OOM",
    "BUSYKEY",
    "UNBLOCKED",
];

/// The place in [`ERROR_KINDS`] of the code that an error's text begins with.
pub fn error_kind(text: &[u8]) -> u8 {
    let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
    let kind = ERROR_KINDS.iter().position(|kind| kind.as_bytes() == code);
    kind.unwrap_or(0) as u8
}

/// Sums about one command.
#[derive(Debug, Clone, Default)]
pub struct CommandTotals {
    /// Times it ran.
    pub calls: u64,
    /// Its share of the time between arrival and reply, in nanoseconds.
    pub nanoseconds: u64,
    /// Times it ran and answered with an error.
    pub failed: u64,
    /// Times it was refused before it could run: these are no calls.
    pub rejected: u64,
    /// How long its replies took.
    pub latency: Durations<u64>,
}

/// Sums over all shards; all but `connections` can be counted from `CONFIG RESETSTAT` on.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// By command number.
    pub commands: Vec<CommandTotals>,
    /// By place in [`ERROR_KINDS`].
    pub errors: [u64; ERROR_KINDS.len()],
    /// See [`Shard::processed`].
    pub processed: u64,
    /// See [`Shard::batches`].
    pub batches: u64,
    /// See [`Shard::bytes_in`].
    pub bytes_in: u64,
    /// See [`Shard::bytes_out`].
    pub bytes_out: u64,
    /// See [`Shard::hits`].
    pub hits: u64,
    /// See [`Shard::misses`].
    pub misses: u64,
    /// See [`Shard::allowed`].
    pub allowed: u64,
    /// See [`Shard::denied`].
    pub denied: u64,
    /// Connections accepted.
    pub received: u64,
    /// Connections refused, by [`Rejection`].
    pub rejected: [u64; Rejection::ALL.len()],
    /// Keys removed because their time had come.
    pub expired: u64,
    /// TLS handshakes that began a session.
    pub tls_full: u64,
    /// TLS handshakes that resumed one.
    pub tls_resumed: u64,
    /// TLS handshakes that failed.
    pub tls_failed: u64,
}

impl Totals {
    fn add(&mut self, shard: &Shard) {
        self.commands.resize(shard.commands.len(), CommandTotals::default());
        for (total, counts) in self.commands.iter_mut().zip(&shard.commands) {
            total.calls += counts.calls.get();
            total.nanoseconds += counts.nanoseconds.get();
            total.failed += counts.failed.get();
            total.rejected += counts.rejected.get();
            if let Some(latency) = counts.latency.get() {
                total.latency.include(latency);
            }
        }
        for (total, count) in self.errors.iter_mut().zip(&shard.errors) {
            *total += count.get();
        }
        self.processed += shard.processed.get();
        self.batches += shard.batches.get();
        self.bytes_in += shard.bytes_in.get();
        self.bytes_out += shard.bytes_out.get();
        self.hits += shard.hits.get();
        self.misses += shard.misses.get();
        self.allowed += shard.allowed.get();
        self.denied += shard.denied.get();
    }

    /// What was added since `origin`.
    fn since(mut self, origin: &Totals) -> Totals {
        for (total, before) in self.commands.iter_mut().zip(&origin.commands) {
            total.calls -= before.calls;
            total.nanoseconds -= before.nanoseconds;
            total.failed -= before.failed;
            total.rejected -= before.rejected;
            total.latency.subtract(&before.latency);
        }
        for (total, before) in self.errors.iter_mut().zip(&origin.errors) {
            *total -= before;
        }
        Totals {
            processed: self.processed - origin.processed,
            batches: self.batches - origin.batches,
            bytes_in: self.bytes_in - origin.bytes_in,
            bytes_out: self.bytes_out - origin.bytes_out,
            hits: self.hits - origin.hits,
            misses: self.misses - origin.misses,
            allowed: self.allowed - origin.allowed,
            denied: self.denied - origin.denied,
            received: self.received - origin.received,
            rejected: std::array::from_fn(|at| self.rejected[at] - origin.rejected[at]),
            expired: self.expired - origin.expired,
            tls_full: self.tls_full - origin.tls_full,
            tls_resumed: self.tls_resumed - origin.tls_resumed,
            tls_failed: self.tls_failed - origin.tls_failed,
            ..self
        }
    }
}

/// A rate is told over at least this time.
const RATE_MS_MIN: u64 = 100;

/// Totals at the last two times somebody asked for rates.
#[derive(Debug, Default)]
struct Sample {
    at_ms: u64,
    figures: [u64; 3],
    rates: [f64; 3],
}

/// The counters of the process.
#[derive(Default)]
pub struct Stats {
    /// Groups on a store across a network.
    pub groups: GroupCounts,
    /// What is done without a client asking.
    pub background: BackgroundCounts,
    shards: Mutex<Vec<Arc<Shard>>>,
    group_shards: Mutex<Vec<Arc<GroupShard>>>,
    origin: Mutex<Totals>,
    sample: Mutex<Sample>,
    received: AtomicU64,
    rejected: [AtomicU64; Rejection::ALL.len()],
    expired: AtomicU64,
    tls_full: AtomicU64,
    tls_resumed: AtomicU64,
    tls_failed: AtomicU64,
}

/// What is done without a client asking.
#[derive(Debug, Default)]
pub struct BackgroundCounts {
    /// When the key expired that had been overdue longest when expired keys were last searched for, in Unix
    /// milliseconds; 0 if there was none.
    pub oldest_due_ms: AtomicU64,
    /// Records removed that nothing referred to any more.
    pub orphans: AtomicU64,
}

impl Stats {
    /// A new worker's counters.
    pub fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new());
        self.shards.lock().push(Arc::clone(&shard));
        shard
    }

    /// The counters of groups that one thread at a time executes.
    pub fn group_shard(&self, mode: Mode) -> Arc<GroupShard> {
        let shard = Arc::new(GroupShard::new(mode));
        self.group_shards.lock().push(Arc::clone(&shard));
        shard
    }

    /// What became of the groups of one kind, since the process started.
    pub fn group_totals(&self, mode: Mode) -> GroupTotals {
        let mut totals = GroupTotals::default();
        let shards = self.group_shards.lock();
        shards.iter().filter(|shard| shard.mode == mode).for_each(|shard| totals.add(shard));
        totals
    }

    /// How the event loops have been doing, `now_ms` after the start of the process.
    pub fn loop_totals(&self, now_ms: u64) -> LoopTotals {
        let mut totals = LoopTotals::default();
        self.shards.lock().iter().for_each(|shard| totals.add(shard, now_ms));
        totals
    }

    /// Counts a connection that was accepted.
    pub fn connection_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn connection_rejected(&self, why: Rejection) {
        self.rejected[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a TLS handshake that succeeded.
    pub fn tls_handshake(&self, resumed: bool) {
        let count = if resumed { &self.tls_resumed } else { &self.tls_full };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a TLS handshake that failed.
    pub fn tls_handshake_failed(&self) {
        self.tls_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts keys removed because their time had come.
    pub fn keys_expired(&self, count: usize) {
        self.expired.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Everything since the process started.
    pub fn since_start(&self) -> Totals {
        let mut totals = Totals {
            received: self.received.load(Ordering::Relaxed),
            rejected: self.rejected.each_ref().map(|count| count.load(Ordering::Relaxed)),
            expired: self.expired.load(Ordering::Relaxed),
            tls_full: self.tls_full.load(Ordering::Relaxed),
            tls_resumed: self.tls_resumed.load(Ordering::Relaxed),
            tls_failed: self.tls_failed.load(Ordering::Relaxed),
            ..Totals::default()
        };
        self.shards.lock().iter().for_each(|shard| totals.add(shard));
        totals
    }

    /// Everything since the last [`Stats::reset`].
    pub fn totals(&self) -> Totals {
        // The origin first: what is counted in between belongs to the new totals.
        let origin = self.origin.lock();
        self.since_start().since(&origin)
    }

    /// Begins to count from nothing.
    pub fn reset(&self) {
        let mut origin = self.origin.lock();
        *origin = self.since_start();
        *self.sample.lock() = Sample::default();
    }

    /// Requests, bytes in and bytes out per second, since somebody asked the last time.
    pub fn rates(&self, totals: &Totals, now_ms: u64) -> [f64; 3] {
        let mut sample = self.sample.lock();
        let figures = [totals.processed, totals.bytes_in, totals.bytes_out];
        let passed_ms = now_ms.saturating_sub(sample.at_ms);
        if passed_ms >= RATE_MS_MIN {
            let first = sample.at_ms == 0;
            let rate = |now: u64, before: u64| {
                let added = now.saturating_sub(before) as f64;
                if first { 0.0 } else { added * 1000.0 / passed_ms as f64 }
            };
            let before = sample.figures;
            let rates = std::array::from_fn(|index| rate(figures[index], before[index]));
            *sample = Sample { at_ms: now_ms, figures, rates };
        }
        sample.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_and_reset_moves_the_origin() {
        let stats = Stats::default();
        let (one, two) = (stats.shard(), stats.shard());
        one.calls(0, 3, 500);
        one.latency(0, 3, 1_000);
        two.calls(0, 2, 700);
        two.latency(0, 2, 9_000_000);
        two.error(error_kind(b"WRONGTYPE of key"));
        two.error(error_kind(b"NEVERHEARD of it"));
        let totals = stats.totals();
        assert_eq!((totals.commands[0].calls, totals.commands[0].nanoseconds), (5, 1_200));
        assert_eq!(totals.commands[0].latency.count(), 5);
        assert_eq!(totals.errors[..2], [1, 1]);
        stats.reset();
        one.calls(0, 1, 100);
        one.latency(0, 1, 1_000);
        assert_eq!(stats.totals().commands[0].calls, 1);
        assert_eq!(stats.totals().commands[0].latency.count(), 1);
        assert_eq!(stats.since_start().commands[0].calls, 6);
    }
}
