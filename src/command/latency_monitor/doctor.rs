//! `LATENCY DOCTOR`: the samples in words, and what to look at.

use std::fmt::Write as _;

use super::{Ctx, Event, Outcome, Series};

pub(super) fn doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let latency = &ctx.server.observing.latency;
    let text = report(&latency.all(), latency.is_on());
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

    #[test]
    fn it_says_whether_anything_is_noted() {
        assert!(report(&[], false).starts_with("The latency monitor is off."));
        assert!(report(&[], true).starts_with("Nothing took as long as"));
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
