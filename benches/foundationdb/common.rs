//! What the measuring programs share: options, latencies, and one line of JSON for each measurement.

use std::time::{Duration, Instant};

use clap::{Arg, value_parser};

/// An option that is a whole number of at least one.
pub fn whole_number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(default)
        .value_parser(value_parser!(u64).range(1..))
        .help(help)
}

/// What was measured: named figures, printed as one JSON object on a line of its own.
pub struct Report(Vec<(&'static str, String)>);

impl Report {
    /// A report on the measurement called `name`.
    pub fn new(name: &str) -> Report {
        Report(vec![("name", format!("{name:?}"))])
    }

    /// Adds a whole number.
    pub fn count(mut self, name: &'static str, value: u64) -> Report {
        self.0.push((name, value.to_string()));
        self
    }

    /// Adds a number.
    pub fn number(mut self, name: &'static str, value: f64) -> Report {
        self.0.push((name, format!("{value:.4}")));
        self
    }

    /// Adds plain text.
    #[allow(dead_code, reason = "not every program has something to say")]
    pub fn text(mut self, name: &'static str, value: &str) -> Report {
        self.0.push((name, format!("{value:?}")));
        self
    }

    /// Adds pairs of numbers.
    #[allow(dead_code, reason = "not every program has a curve")]
    pub fn pairs(mut self, name: &'static str, pairs: Vec<(f64, f64)>) -> Report {
        let pairs: Vec<_> = pairs.iter().map(|(x, y)| format!("[{x:.6}, {y:.3}]")).collect();
        self.0.push((name, format!("[{}]", pairs.join(", "))));
        self
    }

    /// Adds how latencies are distributed, in milliseconds.
    pub fn latencies(self, mut taken: Vec<Duration>) -> Report {
        taken.sort_unstable();
        let at = |share: f64| {
            let index = (taken.len() as f64 * share) as usize;
            taken.get(index.min(taken.len().saturating_sub(1))).map_or(0.0, milliseconds)
        };
        self.number("p50_ms", at(0.5)).number("p99_ms", at(0.99)).number("max_ms", at(1.0))
    }

    /// Prints the line, and the same for people on standard error.
    pub fn print(&self) {
        let pairs: Vec<_> =
            self.0.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        println!("{{{}}}", pairs.join(", "));
        let figures = self.0[1..].iter().filter(|(_, value)| !value.starts_with('['));
        let words: Vec<_> = figures.map(|(name, value)| format!("{name} {value}")).collect();
        eprintln!("{}: {}", self.0[0].1.trim_matches('"'), words.join(", "));
    }
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Now, for programs that are nothing but clocks.
#[allow(clippy::disallowed_methods, reason = "measures; is no part of the server")]
pub fn now() -> Instant {
    Instant::now()
}
