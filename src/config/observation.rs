//! What is noted about slow commands: the settings that `CONFIG SET` may change while the process runs.
//!
//! The texts and the complaints about them are those of Redis 7.0's `CONFIG SET`; at start the same readers
//! take the values of command line, file and environment.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::limits;
use crate::num;

/// From when on a command is slow, and what is kept about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// A batch that takes so many microseconds is noted in the slow log; none is if this is negative.
    pub slower_than_us: i64,
    /// Entries of the slow log that are kept of each tenant; never more than [`limits::SLOWLOG_ENTRIES_MAX`].
    pub slowlog_len_max: usize,
    /// What takes so many milliseconds becomes a latency event; nothing does if this is 0.
    pub latency_threshold_ms: u64,
    /// Whether it is measured how long commands take and what for: for `INFO latencystats`, `LATENCY
    /// HISTOGRAM`, the metrics, and the entries of the slow log.
    pub latency_tracking: bool,
    /// Of which percentiles `INFO latencystats` tells.
    pub percentiles: Percentiles,
}

impl Default for Observation {
    fn default() -> Observation {
        Observation {
            slower_than_us: 10_000,
            slowlog_len_max: 128,
            latency_threshold_ms: 0,
            latency_tracking: true,
            percentiles: Percentiles(Arc::new([50.0, 99.0, 99.9])),
        }
    }
}

/// Numbers from 0 to 100, at most [`limits::PERCENTILES_MAX`] of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentiles(Arc<[f64]>);

// None of them is NaN.
impl Eq for Percentiles {}

impl Percentiles {
    /// All of them, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    pub(super) fn read(name: &str, text: &str) -> Result<Percentiles, String> {
        let invalid = || format!("Invalid {name} parameters");
        let parts = text.split(' ').filter(|_| !text.is_empty());
        let numbers = parts.map(|part| num::parse_f64(part.as_bytes()).ok_or_else(invalid));
        let numbers = numbers.collect::<Result<Vec<f64>, String>>()?;
        if !numbers.iter().all(|number| (0.0..=100.0).contains(number)) {
            return Err(format!("{name} parameters should sit between [0.0,100.0]"));
        }
        if numbers.len() > limits::PERCENTILES_MAX {
            return Err(invalid());
        }
        Ok(Percentiles(numbers.into()))
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            write!(out, "{}{number}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// One of the settings of an [`Observation`].
pub struct Adjustable {
    /// Its name, everywhere.
    pub name: &'static str,
    /// Reads the text into its field, or says in Redis's words what is wrong with it.
    pub read: fn(&mut Observation, &str) -> Result<(), String>,
    /// The field's value as `CONFIG GET` shows it.
    pub show: fn(&Observation) -> String,
}

/// All settings of an [`Observation`].
pub static ADJUSTABLE: &[Adjustable] = &[
    Adjustable {
        name: "slowlog-log-slower-than",
        read: |observed, text| {
            observed.slower_than_us = integer(text, -1..=i64::MAX)?;
            Ok(())
        },
        show: |observed| observed.slower_than_us.to_string(),
    },
    Adjustable {
        name: "slowlog-max-len",
        read: |observed, text| {
            observed.slowlog_len_max = integer(text, 0..=i64::MAX)? as usize;
            Ok(())
        },
        show: |observed| observed.slowlog_len_max.to_string(),
    },
    Adjustable {
        name: "latency-monitor-threshold",
        read: |observed, text| {
            observed.latency_threshold_ms = integer(text, 0..=i64::MAX)? as u64;
            Ok(())
        },
        show: |observed| observed.latency_threshold_ms.to_string(),
    },
    Adjustable {
        name: "latency-tracking",
        read: |observed, text| {
            observed.latency_tracking = match text.to_ascii_lowercase().as_str() {
                "yes" => true,
                "no" => false,
                _ => return Err("argument must be 'yes' or 'no'".to_owned()),
            };
            Ok(())
        },
        show: |observed| if observed.latency_tracking { "yes" } else { "no" }.to_owned(),
    },
    Adjustable {
        name: PERCENTILES,
        read: |observed, text| {
            observed.percentiles = Percentiles::read(PERCENTILES, text)?;
            Ok(())
        },
        show: |observed| observed.percentiles.to_string(),
    },
];

const PERCENTILES: &str = "latency-tracking-info-percentiles";

impl Adjustable {
    /// The setting with this name in any case.
    pub fn by_name(name: &str) -> Option<&'static Adjustable> {
        ADJUSTABLE.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
    }
}

fn integer(text: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    let number = num::parse_i64(text.as_bytes())
        .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    if range.contains(&number) {
        return Ok(number);
    }
    Err(format!("argument must be between {} and {} inclusive", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<String, String> {
        let mut observed = Observation::default();
        let setting = Adjustable::by_name(name).unwrap();
        (setting.read)(&mut observed, text)?;
        Ok((setting.show)(&observed))
    }

    #[test]
    fn defaults_are_those_of_redis() {
        let shown = ADJUSTABLE.iter().map(|setting| (setting.show)(&Observation::default()));
        assert_eq!(shown.collect::<Vec<_>>(), ["10000", "128", "0", "yes", "50 99 99.9"]);
    }

    #[test]
    fn percentiles_are_read_and_shown_as_redis_does() {
        let name = "Latency-Tracking-Info-Percentiles";
        for (text, shown) in [
            ("", ""),
            ("50", "50"),
            ("0.0001 1e1 50.5000 99.99999 100.0", "0.0001 10 50.5 99.99999 100"),
            ("0x10", "16"),
        ] {
            assert_eq!(read(name, text).as_deref(), Ok(shown));
        }
        for text in [" ", "50  99", "abc", "nan", &"1 ".repeat(1000)] {
            let problem = "Invalid latency-tracking-info-percentiles parameters";
            assert_eq!(read(name, text).unwrap_err(), problem, "{text}");
        }
        for text in ["-1", "50 101", "inf"] {
            let problem = "latency-tracking-info-percentiles parameters should sit between \
                           [0.0,100.0]";
            assert_eq!(read(name, text).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn integers_keep_to_their_range() {
        assert_eq!(read("slowlog-log-slower-than", "-1").as_deref(), Ok("-1"));
        let problem = "argument must be between -1 and 9223372036854775807 inclusive";
        assert_eq!(read("slowlog-log-slower-than", "-2").unwrap_err(), problem);
        let problem = "argument couldn't be parsed into an integer";
        assert_eq!(read("slowlog-max-len", "1kb").unwrap_err(), problem);
    }
}
