//! `LATENCY GRAPH`: the samples of an event as a drawing in characters, as Redis draws it.

use super::{Ctx, Event, Outcome, Sample, Series};
use crate::clock;

/// Samples side by side.
const COLUMNS: usize = 80;
/// Lines of a drawing.
const ROWS: usize = 4;
/// How far a line is filled, in thirds from below; what goes on above is drawn as [`FULL`].
const THIRDS: [char; 3] = ['_', 'o', '#'];
const FULL: char = '|';

pub(super) fn graph(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.arg(2);
    let known = Event::named(name)
        .and_then(|event| Some((event, ctx.server.observing.latency.series(event)?)));
    let Some((event, series)) = known else {
        let name = String::from_utf8_lossy(name);
        return Err(format!("ERR No samples available for event '{name}'").into());
    };
    let text = draw(event.name(), &series, clock::unix_ms() / 1000);
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

fn draw(name: &str, series: &Series, now_s: u64) -> String {
    let times = || series.samples.iter().map(|sample| sample.ms);
    let (high, low) = (times().max().unwrap_or(0), times().min().unwrap_or(0));
    let max = series.max_ms;
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {max} ms)\n");
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let samples: Vec<Sample> = series.samples.iter().copied().collect();
    for (at, part) in samples.chunks(COLUMNS).enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let steps = part.iter().map(|sample| step(sample.ms - low, high - low)).collect::<Vec<_>>();
        for row in (0..ROWS).rev() {
            line(&mut text, steps.iter().map(|&step| cell(step, row)));
        }
        line(&mut text, steps.iter().map(|_| ' '));
        // How long ago, from top to bottom.
        let ages: Vec<String> =
            part.iter().map(|sample| age(now_s.saturating_sub(sample.at_s))).collect();
        for row in 0..ages.iter().map(String::len).max().unwrap_or(0) {
            line(&mut text, ages.iter().map(|age| age.chars().nth(row).unwrap_or(' ')));
        }
    }
    text
}

fn line(text: &mut String, cells: impl Iterator<Item = char>) {
    text.extend(cells);
    text.push('\n');
}

/// The topmost third that a sample reaches, counted from the bottom of the drawing.
fn step(above: u64, range: u64) -> usize {
    let steps = THIRDS.len() * ROWS;
    let step = above as f64 * steps as f64 / range.max(1) as f64;
    (step as usize).min(steps - 1)
}

/// The character of a sample that reaches `step` in a row counted from the bottom.
fn cell(step: usize, row: usize) -> char {
    match step.checked_sub(row * THIRDS.len()) {
        None => ' ',
        Some(thirds) => THIRDS.get(thirds).copied().unwrap_or(FULL),
    }
}

/// A time that has passed, in the largest unit that it has at least one of.
fn age(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(samples: &[(u64, u64)], now_s: u64) -> String {
        let mut series = Series::default();
        samples.iter().for_each(|&(at_s, ms)| series.add(Sample { at_s, ms }));
        draw("command", &series, now_s)
    }

    #[test]
    fn it_is_what_redis_draws() {
        let text = drawn(&[(95, 20), (96, 50), (97, 100), (99, 12)], 100);
        let rule = "-".repeat(80);
        let expected = format!(
            "command - high 100 ms, low 12 ms (all time high 100 ms)\n{rule}\n  # \n  | \n #| \n\
             o||_\n    \n5431\nssss\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn equal_samples_lie_at_the_bottom_and_old_ones_have_larger_units() {
        let text = drawn(&[(0, 7), (90_000, 7), (93_540, 7), (93_570, 7)], 93_600);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines, ["    ", "    ", "    ", "____", "    ", "1113", "dhm0", "   s"]);
    }

    #[test]
    fn more_than_a_line_s_samples_go_on_below() {
        let samples: Vec<(u64, u64)> = (0..100).map(|at| (at, at + 1)).collect();
        let text = drawn(&samples, 99);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), (4 + 1 + 3) + 1 + (4 + 1 + 3));
        assert_eq!((lines[0].len(), lines[8], lines[9].len()), (80, "", 20));
    }
}
