//! `match()` and `search()` of JSONPath, within bounds.
//!
//! Those of serde_json_path compile the expression for every value they look at, and let it become as
//! large as it likes. Registered functions go before built-in ones of the same name.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

use crate::limits::{
    JSON_REGEX_BYTES_MAX, JSON_REGEX_PROGRAM_BYTES_MAX, JSON_REGEX_TEXT_BYTES_MAX,
    JSON_REGEXES_KEPT,
};

/// An expression as it was given, and compiled if it is one.
struct Known {
    text: String,
    whole: bool,
    regex: Option<Regex>,
}

thread_local! {
    /// The expressions used last, the newest first.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

#[serde_json_path::function(name = "match")]
fn matches(value: ValueType, regex: ValueType) -> LogicalType {
    test(&value, &regex, true)
}

#[serde_json_path::function(name = "search")]
fn searches(value: ValueType, regex: ValueType) -> LogicalType {
    test(&value, &regex, false)
}

/// Whether the whole value, or a part of it, matches; false if either is no string or too long.
fn test(value: &ValueType<'_>, regex: &ValueType<'_>, whole: bool) -> LogicalType {
    let (Some(Value::String(value)), Some(Value::String(regex))) =
        (value.as_value(), regex.as_value())
    else {
        return LogicalType::False;
    };
    if value.len() > JSON_REGEX_TEXT_BYTES_MAX || regex.len() > JSON_REGEX_BYTES_MAX {
        return LogicalType::False;
    }
    KNOWN.with_borrow_mut(|known| {
        let place = known.iter().position(|known| known.whole == whole && known.text == *regex);
        match place {
            Some(place) => known[..=place].rotate_right(1),
            None => {
                known.truncate(JSON_REGEXES_KEPT - 1);
                let compiled = compile(regex, whole);
                known.insert(0, Known { text: regex.clone(), whole, regex: compiled });
            }
        }
        known[0].regex.as_ref().is_some_and(|regex| regex.is_match(value)).into()
    })
}

/// The expression, whose `.` matches neither `\r` nor `\n` (RFC 9485).
fn compile(text: &str, whole: bool) -> Option<Regex> {
    let anchored = if whole { format!("^(?:{text})$") } else { format!("(?:{text})") };
    RegexBuilder::new(&anchored)
        .crlf(true)
        .size_limit(JSON_REGEX_PROGRAM_BYTES_MAX)
        .dfa_size_limit(JSON_REGEX_PROGRAM_BYTES_MAX)
        .build()
        .ok()
}
