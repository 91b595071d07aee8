//! `LATENCY DOCTOR`: the samples in words, and what to look at.

use std::fmt::Write as _;

use super::{Ctx, Event, Outcome, Series};
use crate::clock;
use crate::metrics::{Durations, STAGES, Stage};

pub(super) fn doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let latency = &ctx.server.observing.latency;
    let mut text = report(&latency.all(), latency.is_on());
    let now_ms = ctx.server.uptime_ms(clock::monotonic());
    text.push_str(&shares(&ctx.server.stats.loop_totals(now_ms).stages));
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

fn report(events: &[(Event, Series)], is_on: bool) -> String {
    let mut text = String::new();
    if !is_on {
        text.push_str(
            "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> has it note \
             what takes that long.\n",
        );
    } else if events.is_empty() {
        text.push_str("Nothing took as long as latency-monitor-threshold says so far.\n");
    }
    for (event, series) in events {
        let (name, max_ms) = (event.name(), series.max_ms);
        let Habit { mean_ms, deviation_ms, period_s } = Habit::of(series);
        let count = series.samples.len();
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(
            text,
            "{name}: {count} slow second{plural}, {mean_ms:.0} ms on average (deviation {deviation_ms:.0} ms)",
        );
        if let Some(period_s) = period_s {
            let _ = write!(text, ", one every {period_s:.1} s");
        }
        let _ = write!(text, "; {max_ms} ms at most.\n  {}\n", advice(*event));
    }
    text
}

/// What commands have spent their time on since the process started; nothing if that was not measured.
fn shares(stages: &[Durations<u64>; STAGES]) -> String {
    let sums = stages.each_ref().map(Durations::sum);
    let all = sums.iter().sum::<u64>() as f64;
    let mut shares: Vec<(Stage, u64)> = Stage::ALL.into_iter().zip(sums).collect();
    shares.retain(|(_, ns)| *ns > 0);
    shares.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    if shares.is_empty() {
        return String::new();
    }
    let told = shares.into_iter().map(|(stage, ns)| {
        let slow_us = stages[stage as usize].percentile(0.99);
        let (name, share) = (stage.name(), ns as f64 * 100.0 / all);
        format!("{name} {share:.0} % (p99 {slow_us:.0} us)")
    });
    let told = told.collect::<Vec<_>>().join(", ");
    format!("Since the start, the time of all commands has gone into: {told}.\n")
}

/// What the samples of an event are like.
struct Habit {
    mean_ms: f64,
    /// How far they are from the mean, on average.
    deviation_ms: f64,
    /// From one to the next, on average.
    period_s: Option<f64>,
}

impl Habit {
    fn of(series: &Series) -> Habit {
        let samples = &series.samples;
        let count = samples.len().max(1) as f64;
        let mean_ms = samples.iter().map(|sample| sample.ms as f64).sum::<f64>() / count;
        let off = samples.iter().map(|sample| (sample.ms as f64 - mean_ms).abs());
        let deviation_ms = off.sum::<f64>() / count;
        let span = samples.back().zip(samples.front());
        let span_s = span.map(|(last, first)| last.at_s.saturating_sub(first.at_s));
        let period_s = span_s.filter(|_| samples.len() > 1);
        Habit {
            mean_ms,
            deviation_ms,
            period_s: period_s.map(|span_s| span_s as f64 / (count - 1.0)),
        }
    }
}

/// What to look at when an event takes long.
fn advice(event: Event) -> &'static str {
    match event {
        Event::Command | Event::FastCommand => {
            "SLOWLOG GET says which commands these were, and of each where its time went: much execution \
             means that it worked on many elements or large values, much queue that others did, much commit \
             or reads that the store is slow."
        }
        Event::Commit => {
            "Making writes durable takes long. On the embedded store that is the disk: see what else writes \
             to it, and what `ringstone doctor` measures; on FoundationDB, the cluster's transaction logs."
        }
        Event::Reads => {
            "Fetching records takes long: see the load of the FoundationDB cluster's storage servers, and \
             the network to them."
        }
        Event::EventLoop => {
            "A worker served nobody else meanwhile: commands that work on very many elements hold up the \
             other connections of their worker. Ask for less at a time (SCAN and its like), or see whether \
             the machine has too few processors for --workers."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;
    use crate::metrics::Count;

    #[test]
    fn it_says_whether_anything_is_noted() {
        assert!(report(&[], false).starts_with("The latency monitor is off."));
        assert!(report(&[], true).starts_with("Nothing took as long as"));
    }

    #[test]
    fn it_tells_what_time_goes_into() {
        let spent = |ns: &[u64]| {
            let counts = Durations::<Count>::default();
            ns.iter().for_each(|&ns| counts.record(ns, 1));
            let mut sums = Durations::<u64>::default();
            sums.include(&counts);
            sums
        };
        let mut stages: [Durations<u64>; STAGES] = Default::default();
        assert_eq!(shares(&stages), "");
        stages[Stage::Execution as usize] = spent(&[50_000, 50_000]);
        stages[Stage::Commit as usize] = spent(&[300_000]);
        let told = "Since the start, the time of all commands has gone into: commit 75 % (p99 320 us), \
                    execution 25 % (p99 50 us).\n";
        assert_eq!(shares(&stages), told);
    }

    #[test]
    fn it_tells_what_the_samples_are_like() {
        let mut series = Series::default();
        for (at_s, ms) in [(10, 20), (11, 50), (12, 100), (15, 14)] {
            series.add(Sample { at_s, ms });
        }
        let mut one = Series::default();
        one.add(Sample { at_s: 10, ms: 7 });
        let text = report(&[(Event::Commit, series), (Event::Reads, one)], true);
        let lines: Vec<&str> = text.lines().collect();
        let commit = "commit: 4 slow seconds, 46 ms on average (deviation 29 ms), one every 1.7 s; \
                      100 ms at most.";
        assert_eq!(lines[0], commit);
        assert!(lines[1].starts_with("  Making writes durable"), "{text}");
        assert_eq!(
            lines[2],
            "reads: 1 slow second, 7 ms on average (deviation 0 ms); 7 ms at most."
        );
    }
}
