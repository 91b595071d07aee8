//! Numbers as Redis reads and writes them.
//!
//! Strict where Redis is strict, byte for byte the same output: commands, the parser and the
//! configuration use these and nothing else to turn text into numbers and back.

use atoi::{FromRadix10Checked, FromRadix10SignedChecked};

/// Reads a signed 64-bit integer: no space, no `+`, no leading zero, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if digits.len() == text.len() => Some(0),
        [b'1'..=b'9', ..] => match i64::from_radix_10_signed_checked(text) {
            (Some(value), used) if used == text.len() => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// Reads an unsigned 64-bit integer, as strictly as [`parse_i64`].
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        b"0" => Some(0),
        [b'1'..=b'9', ..] => match u64::from_radix_10_checked(text) {
            (Some(value), used) if used == text.len() => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// Formats a double as C's `%.17g`, the form of doubles in replies.
pub fn format_g17(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_string();
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    if (-4..17).contains(&exponent) {
        let decimals = (16 - exponent) as usize;
        trim_zeros(&format!("{value:.decimals$}")).to_string()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs())
    }
}

/// Removes zeros at the end of a fraction, and the point if nothing is left behind it.
fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
