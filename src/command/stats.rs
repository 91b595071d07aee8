//! What the process has done so far: the figures of `INFO` and of the metrics endpoint.
//!
//! Each worker counts in a [`Shard`] of its own, once per batch and without contention; whoever wants
//! to know sums the shards up. `CONFIG RESETSTAT` moves the origin and touches no shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Spec;
use super::latency::Latency;
use super::table::top_level;
use crate::metrics::Metrics;

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
    "NOSCRIPT",
];

/// A counter that one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only ever called by one thread at a time, so it needs no locked instruction.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.get().wrapping_add(count), Ordering::Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of all commands and subcommands: indices of the counters about them.
pub struct Registry {
    specs: Vec<&'static Spec>,
    /// Rows that lie side by side: their first address, and the first one's number.
    runs: Vec<(usize, usize)>,
}

/// Every command and subcommand, numbered.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut specs: Vec<&'static Spec> =
            top_level().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
        specs.sort_unstable_by_key(|&spec| address(spec));
        let mut runs = Vec::new();
        let mut expected = 0;
        for (number, &spec) in specs.iter().enumerate() {
            if address(spec) != expected {
                runs.push((address(spec), number));
            }
            expected = address(spec) + size_of::<Spec>();
        }
        Registry { specs, runs }
    })
}

fn address(spec: &'static Spec) -> usize {
    std::ptr::from_ref(spec).addr()
}

impl Registry {
    /// The command's number.
    #[inline]
    pub fn number(&self, spec: &'static Spec) -> usize {
        let address = address(spec);
        let run = self.runs.partition_point(|&(first, _)| first <= address);
        let (first, number) = self.runs[run - 1];
        number + (address - first) / size_of::<Spec>()
    }

    /// All commands, by number.
    pub fn specs(&self) -> &[&'static Spec] {
        &self.specs
    }
}

/// Counters about one command.
#[derive(Debug, Default)]
struct CommandCounts {
    calls: Count,
    nanoseconds: Count,
    failed: Count,
    rejected: Count,
    latency: OnceLock<Box<Latency<Count>>>,
}

/// One worker's counters.
#[derive(Debug)]
pub struct Shard {
    commands: Box<[CommandCounts]>,
    errors: [Count; ERROR_KINDS.len()],
    /// Requests taken, whatever became of them.
    pub processed: Count,
    /// Batches run.
    pub batches: Count,
    /// Bytes of requests.
    pub bytes_in: Count,
    /// Bytes of replies.
    pub bytes_out: Count,
    /// Keys that a reading command found.
    pub hits: Count,
    /// Keys that a reading command did not find.
    pub misses: Count,
}

impl Shard {
    fn new() -> Shard {
        Shard {
            commands: registry().specs.iter().map(|_| CommandCounts::default()).collect(),
            errors: Default::default(),
            processed: Count::default(),
            batches: Count::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            hits: Count::default(),
            misses: Count::default(),
        }
    }

    /// Counts `calls` of one command whose replies were ready `latency_ns` after their arrival,
    /// `busy_ns` of which are theirs.
    #[inline]
    pub fn calls(&self, number: usize, calls: u64, latency_ns: u64, busy_ns: u64) {
        let command = &self.commands[number];
        command.calls.add(calls);
        command.nanoseconds.add(busy_ns);
        command.latency.get_or_init(Box::default).at(latency_ns).add(calls);
    }

    /// Counts a failed call and its error.
    pub fn failed(&self, number: usize, kind: u8) {
        self.commands[number].failed.add(1);
        self.errors[usize::from(kind)].add(1);
    }

    /// Counts a command that was refused before it could run; its error is counted apart.
    pub fn rejected(&self, number: usize) {
        self.commands[number].rejected.add(1);
    }

    /// Counts an error reply that no command gave.
    pub fn error(&self, text: &[u8]) {
        self.errors[usize::from(error_kind(text))].add(1);
    }
}

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
    pub latency: Latency<u64>,
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
    /// Connections accepted.
    pub received: u64,
    /// Connections refused.
    pub rejected: u64,
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
                total.latency.combine(latency, |sum, count| *sum += count.get());
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
    }

    /// What was added since `origin`.
    fn since(mut self, origin: &Totals) -> Totals {
        for (total, before) in self.commands.iter_mut().zip(&origin.commands) {
            total.calls -= before.calls;
            total.nanoseconds -= before.nanoseconds;
            total.failed -= before.failed;
            total.rejected -= before.rejected;
            total.latency.combine(&before.latency, |sum, count| *sum -= count);
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
            received: self.received - origin.received,
            rejected: self.rejected - origin.rejected,
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
    shards: Mutex<Vec<Arc<Shard>>>,
    origin: Mutex<Totals>,
    sample: Mutex<Sample>,
    received: AtomicU64,
    rejected: AtomicU64,
    expired: AtomicU64,
    tls_full: AtomicU64,
    tls_resumed: AtomicU64,
    tls_failed: AtomicU64,
    metrics: OnceLock<Metrics>,
}

/// What became of groups whose first attempt did not succeed.
#[derive(Debug, Default)]
pub struct GroupCounts {
    /// Attempts that conflicted with other writers.
    pub conflicts: AtomicU64,
    /// Groups executed again, for whatever reason.
    pub retries: AtomicU64,
    /// Commits whose outcome had to be looked up.
    pub unknown: AtomicU64,
    /// Groups answered with `-TIMEOUT`.
    pub timeouts: AtomicU64,
}

impl Stats {
    /// A new worker's counters.
    pub fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new());
        self.shards.lock().push(Arc::clone(&shard));
        shard
    }

    /// Counts a connection that was accepted.
    pub fn connection_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn connection_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
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
            rejected: self.rejected.load(Ordering::Relaxed),
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

    /// The metrics endpoint, if there is one.
    #[inline]
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.get()
    }

    /// Makes the metrics endpoint known; at most once, before connections are served.
    pub fn set_metrics(&self, metrics: Metrics) {
        let first = self.metrics.set(metrics).is_ok();
        debug_assert!(first, "there is one endpoint");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_own_number() {
        let registry = registry();
        for (number, &spec) in registry.specs().iter().enumerate() {
            assert_eq!(registry.number(spec), number, "{}", spec.name);
        }
    }

    #[test]
    fn shards_are_summed_and_reset_moves_the_origin() {
        let stats = Stats::default();
        let (one, two) = (stats.shard(), stats.shard());
        one.calls(0, 3, 1_000, 500);
        two.calls(0, 2, 9_000_000, 700);
        two.error(b"WRONGTYPE of key");
        two.error(b"NEVERHEARD of it");
        let totals = stats.totals();
        assert_eq!((totals.commands[0].calls, totals.commands[0].nanoseconds), (5, 1_200));
        assert_eq!(totals.commands[0].latency.total(), 5);
        assert_eq!(totals.errors[..2], [1, 1]);
        stats.reset();
        one.calls(0, 1, 1_000, 100);
        assert_eq!(stats.totals().commands[0].calls, 1);
        assert_eq!(stats.totals().commands[0].latency.total(), 1);
        assert_eq!(stats.since_start().commands[0].calls, 6);
    }
}
