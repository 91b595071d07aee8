//! Counts what a batch did: once it is done, and again when its replies are written.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Batch, Op};
use crate::command::Spec;
use crate::command::stats::{Shard, registry};
use crate::metrics::{Stage, Timeline};

/// Commands that have been executed and whose replies are on their way.
#[derive(Debug, Clone)]
pub struct Written {
    /// Numbers of commands, and how many there were of each.
    calls: SmallVec<[(usize, u64); 4]>,
    timeline: Timeline,
    /// Error replies among theirs.
    pub errors: u64,
}

impl Written {
    /// Counts the time that the commands took until `now`, when their replies had left.
    pub fn record(mut self, shard: &Shard, now: Instant) {
        // Where there were none to leave, `now` is the beginning of the turn that executed them.
        let now = now.max(self.timeline.reached().unwrap_or(now));
        let total_ns = self.timeline.total(now).as_nanos() as u64;
        let mut commands = 0;
        for (number, count) in self.calls {
            shard.latency(number, count, total_ns);
            commands += count;
        }
        self.timeline.until(Stage::Flush, now);
        shard.stages(self.timeline.times(), commands);
    }
}

/// Counts runs of equal commands at once: pipelines repeat themselves.
struct Counter<'s> {
    shard: &'s Shard,
    /// Each command's share of the batch's time.
    busy_ns: u64,
    run: Option<(&'static Spec, u64)>,
    calls: SmallVec<[(usize, u64); 4]>,
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
            self.shard.calls(number, count, self.busy_ns * count);
            match self.calls.iter_mut().find(|(known, _)| *known == number) {
                Some((_, calls)) => *calls += count,
                None => self.calls.push((number, count)),
            }
        }
    }
}

impl Batch {
    /// Counts the executed batch in `shard`, `latency` after its arrival. What it returns is to be counted when
    /// the replies are written.
    pub fn record(&mut self, shard: &Shard, latency: Duration) -> Written {
        let busy_ns = latency.as_nanos() as u64 / self.ops.len().max(1) as u64;
        let mut errors = 0;
        let mut refused = |text: &[u8]| {
            shard.error(text);
            errors += 1;
        };
        let mut counter = Counter { shard, busy_ns, run: None, calls: SmallVec::new() };
        for op in &self.ops {
            match op {
                Op::Run { spec, .. } => counter.command(spec),
                Op::Exec(transaction) => {
                    transaction.iter().for_each(|(spec, _)| counter.command(spec));
                }
                Op::Error(text) => refused(text),
                Op::Literal(reply) => reply.strip_prefix(b"-").into_iter().for_each(&mut refused),
                Op::Discard(reply) => reply.strip_prefix(b"-").into_iter().for_each(&mut refused),
            }
        }
        let tally = &mut self.client.tally;
        tally.controls.drain(..).for_each(|spec| counter.command(spec));
        counter.flush();
        shard.hits.add(std::mem::take(&mut tally.hits));
        shard.misses.add(std::mem::take(&mut tally.misses));
        shard.allowed.add(std::mem::take(&mut tally.allowed));
        shard.denied.add(std::mem::take(&mut tally.denied));
        errors += tally.failures.len() as u64;
        for (spec, kind) in tally.failures.drain(..) {
            shard.failed(registry().number(spec), kind);
        }
        for spec in tally.rejections.drain(..) {
            shard.rejected(registry().number(spec));
        }
        shard.batch(self.ops.len());
        Written { calls: counter.calls, timeline: self.timeline, errors }
    }
}
