//! Numbers as Redis reads and writes them.
//!
//! Strict where Redis is strict, lax where it is lax, and byte for byte the same output: the
//! parser, the commands and the encoder use these and nothing else to turn text into numbers and
//! back.

mod long_double;

use std::io::Write;
use std::ops::Deref;

use atoi::{FromRadix10Checked, FromRadix10SignedChecked};
use rustc_apfloat::{Float, Round, ieee};

pub use long_double::LongDouble;

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

/// Reads a double as C's `strtod` does, if it takes the whole text: decimal, hexadecimal
/// (`0x1.8p3`) or infinite. Refused are a space in front, NaN, and what is too large or too small
/// for a double.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let literal = Literal::scan(text)?;
    let value = literal.value()?;
    // Zero and infinity are what is left of a literal that is neither but out of range.
    let is_finite = value != 0.0 && value.is_finite();
    (is_finite || matches!(literal.kind, Kind::Infinity | Kind::Zero)).then_some(value)
}

/// Reads a double where Redis leaves that to `strtod` alone: spaces in front are allowed, what is
/// out of range is infinite or zero, and so is no text at all, or what a zero byte cuts off.
pub fn parse_f64_lax(text: &[u8]) -> Option<f64> {
    match strtod_text(text) {
        Some(literal) => Literal::scan(literal)?.value(),
        None => Some(0.0),
    }
}

/// As [`parse_f64_lax`], but what is out of range is refused, and so is what is so small that a double
/// has fewer digits for it.
pub fn parse_f64_spaced(text: &[u8]) -> Option<f64> {
    match strtod_text(text) {
        Some(literal) => parse_f64(literal).filter(|value| !value.is_subnormal()),
        None => Some(0.0),
    }
}

/// What `strtod` gets to see of a text, without spaces in front; `None` if there is nothing to see.
fn strtod_text(text: &[u8]) -> Option<&[u8]> {
    let text = text.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let spaces = text.iter().take_while(|byte| is_space(byte)).count();
    Some(&text[spaces..])
}

/// A floating-point literal that C accepts, taken apart.
struct Literal<'a> {
    negative: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Infinity,
    /// No digit but zeros, whatever the exponent.
    Zero,
    /// Digits, perhaps with a point, perhaps with an exponent.
    Decimal(&'a str),
    /// The same behind `0x`, which is not included; the exponent is one of two.
    Hexadecimal(&'a str),
}

impl<'a> Literal<'a> {
    /// `None` if the text is not wholly a literal, or a NaN.
    fn scan(text: &'a [u8]) -> Option<Literal<'a>> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let kind = match unsigned {
            [b'0', b'x' | b'X', digits @ ..] => number(digits, u8::is_ascii_hexdigit, b'p')
                .map(|(text, zero)| if zero { Kind::Zero } else { Kind::Hexadecimal(text) }),
            [b'i' | b'I', ..] => (unsigned.eq_ignore_ascii_case(b"inf")
                || unsigned.eq_ignore_ascii_case(b"infinity"))
            .then_some(Kind::Infinity),
            _ => number(unsigned, u8::is_ascii_digit, b'e')
                .map(|(text, zero)| if zero { Kind::Zero } else { Kind::Decimal(text) }),
        };
        Some(Literal { negative, kind: kind? })
    }

    fn value(&self) -> Option<f64> {
        let magnitude = match self.kind {
            Kind::Infinity => f64::INFINITY,
            Kind::Zero => 0.0,
            Kind::Decimal(digits) => digits.parse().ok()?,
            Kind::Hexadecimal(digits) => {
                let text = hexadecimal(digits);
                let value = ieee::Double::from_str_r(&text, Round::NearestTiesToEven);
                f64::from_bits(value.ok()?.value.to_bits() as u64)
            }
        };
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

/// Checks that `text` is digits with at most one point among them, and then nothing or an exponent
/// that begins with `mark` in either case. Returns it, and whether its value is zero.
fn number(text: &[u8], is_digit: fn(&u8) -> bool, mark: u8) -> Option<(&str, bool)> {
    let is_mantissa = |byte: &u8| is_digit(byte) || *byte == b'.';
    let mantissa_len = text.iter().position(|byte| !is_mantissa(byte)).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_len);
    let digits = mantissa.iter().filter(|&byte| *byte != b'.');
    let exponent_fits = match exponent {
        [] => true,
        [first, b'+' | b'-', digits @ ..] | [first, digits @ ..] => {
            first.eq_ignore_ascii_case(&mark)
                && !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
        }
    };
    let digit_count = digits.clone().count();
    if digit_count == 0 || digit_count + 1 < mantissa.len() || !exponent_fits {
        return None;
    }
    let zero = digits.clone().all(|&digit| digit == b'0');
    Some((std::str::from_utf8(text).ok()?, zero))
}

/// The literal as `rustc_apfloat` wants it, which insists on an exponent.
fn hexadecimal(digits: &str) -> String {
    let exponent = if digits.contains(['p', 'P']) { "" } else { "p0" };
    format!("0x{digits}{exponent}")
}

/// A formatted number, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct NumberText {
    bytes: [u8; NumberText::BYTES_MAX],
    len: usize,
}

impl NumberText {
    /// Sign, 17 digits, point, up to four zeros in front or an exponent of three digits: 24.
    const BYTES_MAX: usize = 32;

    fn new(text: &[u8]) -> NumberText {
        let mut new = NumberText { bytes: [0; NumberText::BYTES_MAX], len: 0 };
        new.append(text);
        new
    }

    fn append(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }
}

impl Deref for NumberText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Formats a double as Redis stores it: integers up to 2^62 with all their digits, the rest as
/// [`format_g17`].
pub fn format_f64(value: f64) -> NumberText {
    const INTEGER_MAX: f64 = (1u64 << 62) as f64;
    if value.abs() <= INTEGER_MAX && value.trunc() == value && value != 0.0 {
        return NumberText::new(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    format_g17(value)
}

/// Formats a double as C's `%.17g`, the form of doubles in replies.
pub fn format_g17(value: f64) -> NumberText {
    // Integers of few enough digits need no rounding. Not -0, which an integer cannot be.
    if value.abs() < 1e16 && value.trunc() == value && value.to_bits() != (-0.0f64).to_bits() {
        return NumberText::new(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    if value.is_nan() {
        return NumberText::new(b"nan");
    }
    if value.is_infinite() {
        return NumberText::new(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    let mut scientific = [0u8; NumberText::BYTES_MAX];
    let mut rest = &mut scientific[..];
    write!(rest, "{:.16e}", value.abs()).expect("17 digits and an exponent fit");
    let unused = rest.len();
    let (mantissa, exponent) = scientific[..NumberText::BYTES_MAX - unused].split_at(18);
    let exponent: i32 = std::str::from_utf8(&exponent[1..])
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("{:e} writes a decimal exponent");
    let mut digits = [b'0'; 17];
    digits[0] = mantissa[0];
    digits[1..].copy_from_slice(&mantissa[2..]);
    let mut text = NumberText::new(if value.is_sign_negative() { b"-" } else { b"" });
    lay_out(&mut text, &digits, exponent);
    text
}

/// Writes `d.dddd * 10^exponent` as `%g` does: without zeros at the end of the fraction, and with
/// an exponent only if it is below -4 or past the digits.
fn lay_out(text: &mut NumberText, digits: &[u8; 17], exponent: i32) {
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    let with_fraction = |text: &mut NumberText, whole: usize| {
        text.append(&digits[..whole]);
        if significant > whole {
            text.append(b".");
            text.append(&digits[whole..significant]);
        }
    };
    match exponent {
        0..17 => with_fraction(text, exponent as usize + 1),
        -4..0 => {
            text.append(&b"0.000"[..1 + exponent.unsigned_abs() as usize]);
            text.append(&digits[..significant]);
        }
        _ => {
            with_fraction(text, 1);
            let sign: &[u8] = if exponent < 0 { b"e-" } else { b"e+" };
            text.append(sign);
            if exponent.abs() < 10 {
                text.append(b"0");
            }
            text.append(itoa::Buffer::new().format(exponent.abs()).as_bytes());
        }
    }
}

#[cfg(test)]
#[path = "num/tests.rs"]
mod tests;
