//! Counts what a batch did, once it is done.

use std::time::Duration;

use super::{Batch, Op};
use crate::command::Spec;
use crate::command::state::Server;
use crate::command::stats::{Shard, registry};
use crate::metrics::Metrics;

/// Counts runs of equal commands at once: pipelines repeat themselves.
struct Counter<'s> {
    shard: &'s Shard,
    metrics: Option<&'s Metrics>,
    latency_ns: u64,
    /// Each command's share of it.
    busy_ns: u64,
    run: Option<(&'static Spec, u64)>,
    last: Option<usize>,
}

impl Counter<'_> {
    #[inline]
    fn command(&mut self, spec: &'static Spec) {
        match &mut self.run {
            Some((known, count)) if std::ptr::eq(*known, spec) => *count += 1,
            _ => {
                self.flush();
                self.run = Some((spec, 1));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((spec, count)) = self.run.take() {
            let number = registry().number(spec);
            self.shard.calls(number, count, self.latency_ns, self.busy_ns * count);
            self.last = Some(number);
            if let Some(metrics) = self.metrics {
                metrics.command(number, self.latency_ns);
            }
        }
    }
}

impl Batch {
    /// Counts the batch in `shard`, `latency` after its arrival. Returns the last command's number.
    pub fn record(&mut self, server: &Server, shard: &Shard, latency: Duration) -> Option<usize> {
        let latency_ns = latency.as_nanos() as u64;
        let commands = self.ops.len().max(1) as u64;
        let metrics = server.stats.metrics();
        let busy_ns = latency_ns / commands;
        let refused = |reply: &[u8]| {
            if let Some(text) = reply.strip_prefix(b"-") {
                shard.error(text);
            }
        };
        let mut counter = Counter { shard, metrics, latency_ns, busy_ns, run: None, last: None };
        for op in &self.ops {
            match op {
                Op::Run { spec, .. } => counter.command(spec),
                Op::Exec(transaction) => {
                    transaction.iter().for_each(|(spec, _)| counter.command(spec));
                }
                Op::Error(text) => shard.error(text),
                Op::Literal(bytes) => refused(bytes),
                Op::Discard(bytes) => refused(bytes),
            }
        }
        counter.flush();
        let last = counter.last;
        let tally = &mut self.client.tally;
        shard.hits.add(std::mem::take(&mut tally.hits));
        shard.misses.add(std::mem::take(&mut tally.misses));
        for (spec, kind) in tally.failures.drain(..) {
            shard.failed(registry().number(spec), kind);
        }
        for spec in tally.rejections.drain(..) {
            shard.rejected(registry().number(spec));
        }
        shard.processed.add(self.ops.len() as u64);
        shard.batches.add(1);
        if let Some(metrics) = metrics {
            metrics.batch(self.ops.len());
        }
        last
    }
}
