//! How the text of a setting becomes a value, and back: numbers, sizes, durations, words.
//!
//! Every reader says in a few words what is wrong with a text; the caller knows where it is from.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ClientAuth, Durability, LogFormat, LogLevel, StoreKind};

/// A type whose values have names.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every name, and what it stands for; the first name of a value is the one shown.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for bool {
    const WORDS: &'static [(&'static str, bool)] =
        &[("yes", true), ("no", false), ("true", true), ("false", false)];
}

impl Word for ClientAuth {
    const WORDS: &'static [(&'static str, ClientAuth)] = &[
        ("off", ClientAuth::Off),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ];
}

impl Word for StoreKind {
    const WORDS: &'static [(&'static str, StoreKind)] = &[
        ("memory", StoreKind::Memory),
        ("embedded", StoreKind::Embedded),
        ("foundationdb", StoreKind::FoundationDb),
    ];
}

impl Word for Durability {
    const WORDS: &'static [(&'static str, Durability)] = &[
        ("sync", Durability::Sync),
        ("interval", Durability::Interval),
        ("none", Durability::None),
    ];
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, LogLevel)] = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("human", LogFormat::Human), ("json", LogFormat::Json)];
}

/// One of the words of `T`.
pub(super) fn word<T: Word>(text: &str) -> Result<T, String> {
    T::WORDS.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = T::WORDS.iter().map(|(name, _)| *name).collect();
        format!("{text} is not one of {}", names.join(", "))
    })
}

/// The word for `value`.
pub(super) fn word_text<T: Word>(value: T) -> &'static str {
    let found = T::WORDS.iter().find(|(_, other)| *other == value);
    found.map(|(name, _)| *name).expect("every value of a Word type has a name")
}

/// A whole number within `range`.
pub fn whole(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let outside = || format!("{text} is not between {} and {}", range.start(), range.end());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text} is not a whole number"));
    }
    let number = text.parse().map_err(|_| outside())?;
    if range.contains(&number) { Ok(number) } else { Err(outside()) }
}

/// Units of sizes as Redis reads them: `k` is a thousand, `kb` is 1024.
const SIZE_UNITS: [(&str, usize); 8] = [
    ("gb", 1 << 30),
    ("mb", 1 << 20),
    ("kb", 1 << 10),
    ("g", 1_000_000_000),
    ("m", 1_000_000),
    ("k", 1_000),
    ("b", 1),
    ("", 1),
];

/// Bytes: a number and one of [`SIZE_UNITS`], in either case.
pub fn size(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let unit = unit.to_ascii_lowercase();
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    let (false, Some(factor)) = (number.is_empty(), factor) else {
        return Err(format!("{text} is not a size such as 512kb, 64mb or 1gb"));
    };
    // A number past the word size is as far outside the range as one that fits it.
    let bytes = number.parse().ok().and_then(|count: usize| count.checked_mul(*factor));
    bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        format!(
            "{text} is not between {} and {}",
            size_text(*range.start()),
            size_text(*range.end())
        )
    })
}

/// `bytes` in the largest unit of 1024s that divides it.
pub(super) fn size_text(bytes: usize) -> String {
    let binary = &SIZE_UNITS[..3];
    match binary.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A duration: a number and `ms`, `s`, `m` or `h`; seconds without a unit.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let factor_ms = match unit {
        "ms" => Some(1),
        "s" | "" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let (false, Some(factor_ms)) = (number.is_empty(), factor_ms) else {
        return Err(format!("{text} is not a duration such as 250ms, 10s or 5m"));
    };
    let millis = number.parse().ok().and_then(|count: u64| count.checked_mul(factor_ms));
    let duration = millis.map(Duration::from_millis).filter(|time| range.contains(time));
    duration.ok_or_else(|| {
        let (least, most) = (duration_text(*range.start()), duration_text(*range.end()));
        format!("{text} is not between {least} and {most}")
    })
}

/// A duration within `range`, or `None` where the text is zero, which switches the setting off.
pub(super) fn duration_or_off(
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, String> {
    if duration(text, Duration::ZERO..=Duration::MAX)?.is_zero() {
        return Ok(None);
    }
    duration(text, range).map(Some).map_err(|problem| format!("{problem}, nor 0 for off"))
}

/// `duration` in seconds, or in milliseconds where it is not whole seconds.
pub(super) fn duration_text(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0".to_owned(),
        millis if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

/// Permission bits in octal, as `chmod` reads them.
pub(super) fn permissions(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let bits = u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| format!("{text} is not an octal mode such as 700"))
}

/// An IPv4 or IPv6 address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text} is not ADDR:PORT, such as 127.0.0.1:6379 or [::1]:6379"))
}

/// An address, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        text => address(text).map(Some).map_err(|problem| format!("{problem}, nor off")),
    }
}

/// The digits a text begins with, and the rest.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<usize> = 0..=usize::MAX;

    #[test]
    fn sizes_read_as_redis_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("1k", 1_000),
            ("1kb", 1_024),
            ("2m", 2_000_000),
            ("2mb", 2 << 20),
            ("3g", 3_000_000_000),
            ("3GB", 3 << 30),
        ] {
            assert_eq!(size(text, ANY), Ok(bytes), "{text}");
        }
        for text in ["", "mb", "1.5mb", "-1", "1 mb", "1tb", "0x10", "+1"] {
            let problem = size(text, ANY).expect_err(text);
            assert!(problem.contains("not a size such as"), "{text}: {problem}");
        }
    }

    #[test]
    fn sizes_outside_their_range_name_it() {
        let problem = |text| size(text, 1 << 20..=8 << 20).unwrap_err();
        assert_eq!(problem("9mb"), "9mb is not between 1mb and 8mb");
        assert_eq!(
            problem("18446744073709551615gb"),
            "18446744073709551615gb is not between 1mb and 8mb"
        );
        assert_eq!(
            problem("99999999999999999999"),
            "99999999999999999999 is not between 1mb and 8mb"
        );
    }

    #[test]
    fn sizes_show_as_they_are_read() {
        for bytes in [0, 1, 1_000, 1_024, 1_500, 5 << 20, 1 << 30, (1 << 30) + 1, 10_000_000] {
            assert_eq!(size(&size_text(bytes), ANY), Ok(bytes));
        }
        assert_eq!(size_text(256 << 20), "256mb");
    }

    #[test]
    fn durations_take_a_unit_or_are_seconds() {
        let all = Duration::ZERO..=Duration::MAX;
        for (text, millis) in [
            ("0", 0),
            ("5", 5_000),
            ("250ms", 250),
            ("1s", 1_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text, all.clone()), Ok(Duration::from_millis(millis)), "{text}");
            let shown = duration_text(Duration::from_millis(millis));
            assert_eq!(duration(&shown, all.clone()), Ok(Duration::from_millis(millis)), "{shown}");
        }
        for text in ["", "s", "1.5s", "-1s", "1 s", "1d", "1S"] {
            let problem = duration(text, all.clone()).expect_err(text);
            assert!(problem.contains("not a duration such as"), "{text}: {problem}");
        }
        let second = Duration::from_secs(1);
        let problem = |text| duration(text, second..=second * 60).unwrap_err();
        assert_eq!(problem("10ms"), "10ms is not between 1s and 60s");
        assert_eq!(
            problem("99999999999999999999h"),
            "99999999999999999999h is not between 1s and 60s"
        );
    }

    #[test]
    fn zero_switches_off() {
        let second = Duration::from_secs(1);
        assert_eq!(duration_or_off("0", second..=second), Ok(None));
        assert_eq!(duration_or_off("0ms", second..=second), Ok(None));
        assert_eq!(duration_or_off("1", second..=second), Ok(Some(second)));
        let problem = duration_or_off("2s", second..=second).unwrap_err();
        assert_eq!(problem, "2s is not between 1s and 1s, nor 0 for off");
    }

    #[test]
    fn whole_numbers_keep_to_their_range() {
        assert_eq!(whole("1", 1..=256), Ok(1));
        assert_eq!(whole("256", 1..=256), Ok(256));
        for text in ["0", "257", "-1", "99999999999999999999"] {
            assert_eq!(whole(text, 1..=256), Err(format!("{text} is not between 1 and 256")));
        }
        for text in ["", "two", "1.5", "0x10", "1k", "+1", "-"] {
            assert_eq!(whole(text, 1..=256), Err(format!("{text} is not a whole number")));
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(permissions("700"), Ok(0o700));
        assert_eq!(permissions("0770"), Ok(0o770));
        assert_eq!(permissions("0o770"), Ok(0o770));
        for text in ["", "800", "1777", "rwx", "-1"] {
            assert!(permissions(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_numeric_with_a_port() {
        for text in ["127.0.0.1:0", "0.0.0.0:6379", "[::1]:6379", "[::]:0"] {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        for text in ["", "6379", "127.0.0.1", "::1:6379", "localhost:6379", "1.2.3.4:65536"] {
            assert!(address(text).unwrap_err().contains("not ADDR:PORT"), "{text}");
        }
    }

    #[test]
    fn words_name_their_alternatives() {
        assert_eq!(word("memory"), Ok(StoreKind::Memory));
        assert_eq!(word("true"), Ok(true));
        assert_eq!(word_text(false), "no");
        let problem = word::<StoreKind>("disk").unwrap_err();
        assert_eq!(problem, "disk is not one of memory, embedded, foundationdb");
    }
}
