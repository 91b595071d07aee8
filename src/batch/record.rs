//! Counts what a batch did: once it is done, and again when its replies are written.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Batch, Op};
use crate::command::Spec;
use crate::command::state::Mishap;
use crate::command::stats::{Shard, error_kind, registry};
use crate::metrics::Timeline;

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
        shard.stages(self.timeline.end(now), commands);
    }
}

/// Counts runs of equal commands at once: pipelines repeat themselves.
#[derive(Default)]
struct Counter {
    run: Option<(&'static Spec, u64)>,
    calls: SmallVec<[(usize, u64); 4]>,
}

impl Counter {
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
            match self.calls.iter_mut().find(|(known, _)| *known == number) {
                Some((_, calls)) => *calls += count,
                None => self.calls.push((number, count)),
            }
        }
    }

    /// One that was counted, before the last run ended, has not been executed after all.
    fn take_back(&mut self, spec: &'static Spec) {
        let number = registry().number(spec);
        if let Some((_, calls)) = self.calls.iter_mut().find(|(known, _)| *known == number) {
            *calls -= 1;
        }
    }
}

impl Batch {
    /// Counts the executed part of the batch in `shard`, which took so long. What it returns is to be counted
    /// when the replies are written.
    pub fn record(&mut self, shard: &Shard, busy: Duration) -> Written {
        let mut errors = 0;
        let mut answered = |kind: u8| {
            shard.error(kind);
            errors += 1;
        };
        let mut counter = Counter::default();
        for op in self.done() {
            match op {
                Op::Run { spec, .. } => counter.command(spec),
                Op::Exec(transaction) => {
                    transaction.iter().for_each(|(spec, _)| counter.command(spec));
                }
                other => other.error().into_iter().for_each(|text| answered(error_kind(text))),
            }
        }
        let done = self.first..self.first + self.done().len();
        let is_done = |request: u32| done.contains(&(request as usize));
        for &(spec, request) in self.client.tally.controls.iter().filter(|(_, at)| is_done(*at)) {
            counter.command(spec);
            if self.ops[request as usize - self.first].error().is_some() {
                shard.failed(registry().number(spec));
            }
        }
        for (spec, _) in self.client.tally.rejections.iter().filter(|(_, at)| is_done(*at)) {
            shard.rejected(registry().number(spec));
        }
        counter.flush();
        for mishap in &self.client.tally.mishaps {
            match *mishap {
                Mishap::Failed { spec, kind } => {
                    shard.failed(registry().number(spec));
                    answered(kind);
                }
                Mishap::Refused { spec, kind, .. } => {
                    counter.take_back(spec);
                    shard.rejected(registry().number(spec));
                    answered(kind);
                }
                Mishap::Discarded { op } => {
                    if let Op::Exec(transaction) = &self.ops[op as usize] {
                        transaction.iter().for_each(|(spec, _)| counter.take_back(spec));
                    }
                }
            }
        }
        counter.calls.retain(|(_, calls)| *calls > 0);
        self.client.tally.count(shard);
        let calls = counter.calls.iter().map(|(_, calls)| calls).sum();
        shard.batch(self.done().len(), calls);
        // Each call has the same share.
        let share_ns = busy.as_nanos() as u64 / calls.max(1);
        for &(number, calls) in &counter.calls {
            shard.calls(number, calls, share_ns * calls);
        }
        Written { calls: counter.calls, timeline: self.timeline, errors }
    }
}
