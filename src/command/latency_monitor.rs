//! `LATENCY`: what took longer than a threshold, and how long commands take in general.
//!
//! There is a fixed set of events. Whoever does something that is one notes how long it took; that costs a
//! load where the monitor is off, as it is at first.

mod doctor;
mod graph;
mod histogram;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::help::help;
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::clock;
use crate::limits::LATENCY_SAMPLES_MAX;

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const LATENCY: Flags = ANY_TIME.and(Flags::ADMIN).and(Flags::NOSCRIPT).and(Flags::OPERATOR);

/// The row of `LATENCY`.
pub const TABLE: &[Spec] = &[Spec::new("latency", -2, Flags::NONE, Keys::NONE, help)
    .doc(Group::Server, "2.8.13", "Depends on subcommand.", "Groups the commands about latency.")
    .with(&[
        sub("latency|doctor", 2, LATENCY, doctor::doctor, "2.8.13")
            .about("Tells in words what took long, and what to look at."),
        sub("latency|graph", 3, LATENCY, graph::graph, "2.8.13")
            .about("Draws how long the samples of an event took."),
        sub("latency|help", 2, ANY_TIME, help, "2.8.13").about("Lists the subcommands."),
        sub("latency|histogram", -2, LATENCY, histogram::histogram, "7.0.0")
            .about("Tells how the latencies of commands are spread."),
        sub("latency|history", 3, LATENCY, history, "2.8.13")
            .about("Lists the samples of an event, with the times at which it took long."),
        sub("latency|latest", 2, LATENCY, latest, "2.8.13")
            .about("Lists the latest sample and the longest of each event."),
        sub("latency|reset", -2, LATENCY, reset, "2.8.13")
            .about("Forgets the samples of some events, or of all."),
    ])];

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    since: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Server, since, "O(1)", "")
}

/// What may take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A command that may take time in proportion to something, from its arrival to its reply.
    Command,
    /// A command in constant or logarithmic time, from its arrival to its reply.
    FastCommand,
    /// Making the writes of a group durable.
    Commit,
    /// Fetching records from a networked store, and the version to read them at.
    Reads,
    /// A turn of a worker's event loop, during which it serves nobody else.
    EventLoop,
}

/// Number of events.
const EVENTS: usize = 5;

impl Event {
    /// All events, in the order in which they are told.
    pub const ALL: [Event; EVENTS] =
        [Event::Command, Event::FastCommand, Event::Commit, Event::Reads, Event::EventLoop];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::FastCommand => "fast-command",
            Event::Commit => "commit",
            Event::Reads => "reads",
            Event::EventLoop => "event-loop",
        }
    }

    fn named(name: &[u8]) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name().as_bytes() == name)
    }
}

/// The longest that happened in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    /// Unix seconds.
    at_s: u64,
    ms: u64,
}

/// What is known of an event that took long at least once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Series {
    /// Oldest first, at most [`LATENCY_SAMPLES_MAX`].
    samples: VecDeque<Sample>,
    /// The longest ever.
    max_ms: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.at_s == sample.at_s => last.ms = last.ms.max(sample.ms),
            _ => {
                if self.samples.len() == LATENCY_SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }
}

/// What took long.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    /// 0 if it is off.
    threshold_ms: AtomicU64,
    events: Mutex<[Series; EVENTS]>,
}

impl LatencyMonitor {
    /// From now on what takes so many milliseconds is noted; nothing is if this is 0.
    pub(super) fn set_threshold_ms(&self, threshold_ms: u64) {
        self.threshold_ms.store(threshold_ms, Ordering::Relaxed);
    }

    /// Notes how many milliseconds something took, if that is long.
    #[inline]
    pub fn note(&self, event: Event, ms: u64) {
        if self.is_long(ms) {
            self.add(event, Sample { at_s: clock::unix_ms() / 1000, ms });
        }
    }

    /// Whether what took so many milliseconds is noted.
    #[inline]
    pub fn is_long(&self, ms: u64) -> bool {
        let threshold_ms = self.threshold_ms.load(Ordering::Relaxed);
        threshold_ms != 0 && ms >= threshold_ms
    }

    #[cold]
    fn add(&self, event: Event, sample: Sample) {
        self.events.lock()[event as usize].add(sample);
    }

    /// Whether anything is noted at present.
    fn is_on(&self) -> bool {
        self.threshold_ms.load(Ordering::Relaxed) != 0
    }

    /// What is known of an event; `None` if it never took long.
    fn series(&self, event: Event) -> Option<Series> {
        let series = self.events.lock()[event as usize].clone();
        Some(series).filter(|series| !series.samples.is_empty())
    }

    /// Every event that took long.
    fn all(&self) -> Vec<(Event, Series)> {
        let known = |event| Some((event, self.series(event)?));
        Event::ALL.into_iter().filter_map(known).collect()
    }

    /// Forgets an event's samples; whether there were any.
    fn forget(&self, event: Event) -> bool {
        let forgotten = std::mem::take(&mut self.events.lock()[event as usize]);
        !forgotten.samples.is_empty()
    }
}

fn latest(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let events = ctx.server.observing.latency.all();
    ctx.reply.array(events.len());
    for (event, series) in events {
        let last = series.samples.back().expect("an event that took long has a sample");
        ctx.reply.array(4);
        ctx.reply.bulk(event.name().as_bytes());
        for number in [last.at_s, last.ms, series.max_ms] {
            ctx.reply.integer(number as i64);
        }
    }
    Ok(())
}

fn history(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let latency = &ctx.server.observing.latency;
    let series = Event::named(ctx.arg(2)).and_then(|event| latency.series(event));
    let samples = series.unwrap_or_default().samples;
    ctx.reply.array(samples.len());
    for Sample { at_s, ms } in samples {
        ctx.reply.array(2);
        ctx.reply.integer(at_s as i64);
        ctx.reply.integer(ms as i64);
    }
    Ok(())
}

/// Has its effect at once, so that what follows in a pipeline sees it.
fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let latency = &ctx.server.observing.latency;
    let named = ctx.args.from(2);
    let events: Vec<Event> = match named.is_empty() {
        true => Event::ALL.to_vec(),
        false => named.iter().filter_map(Event::named).collect(),
    };
    let forgotten = events.into_iter().filter(|event| latency.forget(*event)).count();
    ctx.reply.integer(forgotten as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample_and_a_series_so_many() {
        let mut series = Series::default();
        for (at_s, ms) in [(1, 20), (1, 30), (1, 10), (2, 5)] {
            series.add(Sample { at_s, ms });
        }
        assert_eq!(series.samples, [Sample { at_s: 1, ms: 30 }, Sample { at_s: 2, ms: 5 }]);
        (3..=LATENCY_SAMPLES_MAX as u64 + 1).for_each(|at_s| series.add(Sample { at_s, ms: 1 }));
        assert_eq!(series.samples.len(), LATENCY_SAMPLES_MAX);
        assert_eq!((series.samples[0].at_s, series.max_ms), (2, 30));
    }

    #[test]
    fn what_is_under_the_threshold_is_not_noted() {
        let latency = LatencyMonitor::default();
        latency.note(Event::Commit, 1_000_000);
        assert!(latency.all().is_empty() && !latency.is_on());
        latency.set_threshold_ms(10);
        latency.note(Event::Commit, 9);
        latency.note(Event::Reads, 10);
        assert!(latency.series(Event::Commit).is_none());
        assert_eq!(latency.all()[0].0, Event::Reads);
        assert!(latency.forget(Event::Reads) && !latency.forget(Event::Reads));
    }

    #[test]
    fn events_are_numbered_in_their_order() {
        for (at, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!((event as usize, Event::named(event.name().as_bytes())), (at, Some(event)));
        }
    }
}
