//! C's `long double` on x86-64, in which Redis computes `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! 64 bits of significand: the digits a client gets back differ from those of a double already for
//! 0.1 + 0.2, so that nothing less gives Redis's replies.

use std::ops::Add;

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round};

use super::{Kind, Literal, hexadecimal};

/// An 80-bit extended float, never a NaN when it was parsed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LongDouble(X87DoubleExtended);

/// Redis formats and reads long doubles in a buffer of this size.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Decimals of the format, and ten to their power.
const DECIMALS: usize = 17;
const DECIMALS_SCALE: u128 = 100_000_000_000_000_000;

impl LongDouble {
    /// Reads what C's `strtold` reads, if it takes the whole text; see [`super::parse_f64`] for
    /// what is refused. An infinity is read: whether it may be used is the caller's to decide.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let literal = Literal::scan(text)?;
        let in_range = |literal: &str| {
            let value = X87DoubleExtended::from_str_r(literal, Round::NearestTiesToEven);
            value.ok().map(|value| value.value).filter(|value| value.is_finite_non_zero())
        };
        let magnitude = match literal.kind {
            Kind::Infinity => X87DoubleExtended::INFINITY,
            Kind::Zero => X87DoubleExtended::ZERO,
            Kind::Decimal(digits) => in_range(digits)?,
            Kind::Hexadecimal(digits) => in_range(&hexadecimal(digits))?,
        };
        Some(LongDouble(if literal.negative { -magnitude } else { magnitude }))
    }

    /// The same value, which every double has.
    pub fn from_f64(value: f64) -> LongDouble {
        let mut loses_info = false;
        LongDouble(Double::from_bits(value.to_bits().into()).convert(&mut loses_info).value)
    }

    /// The nearest double: an infinity where there is none.
    pub fn to_f64(self) -> f64 {
        let mut loses_info = false;
        let double: Double = self.0.convert(&mut loses_info).value;
        f64::from_bits(double.to_bits() as u64)
    }

    /// Whether this is no number, such as the sum of opposite infinities.
    pub fn is_nan(self) -> bool {
        self.0.is_nan()
    }

    /// Whether this is an infinity, such as a sum past the range.
    pub fn is_infinite(self) -> bool {
        self.0.is_infinite()
    }

    /// Formats the value as Redis replies and stores it: up to 17 decimals, no zeros at their end,
    /// no exponent, up to 4,950 bytes.
    pub fn format(self) -> String {
        if !self.0.is_finite() {
            let text = if self.is_nan() { "nan" } else { "inf" };
            return if self.0.is_negative() { format!("-{text}") } else { text.to_string() };
        }
        let bits = self.0.to_bits();
        let significand = bits as u64;
        // Of the significand's lowest bit. Subnormal numbers have the exponent of the smallest
        // normal.
        let exponent = ((bits >> 64) as i32 & 0x7fff).max(1) - 16383 - 63;
        let sign = if self.0.is_negative() { "-" } else { "" };
        if exponent >= 0 {
            return format!("{sign}{}", shifted(significand, exponent as u32));
        }
        let (whole, fraction) = scaled_fraction(significand, exponent.unsigned_abs());
        let text = format!("{sign}{whole}.{fraction:0DECIMALS$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" { "0".to_string() } else { text.to_string() }
    }
}

/// The sum, rounded to the nearest.
impl Add for LongDouble {
    type Output = LongDouble;

    fn add(self, other: LongDouble) -> LongDouble {
        LongDouble((self.0 + other.0).value)
    }
}

/// The whole part of `significand / 2^shift`, and its fraction in units of the last decimal.
fn scaled_fraction(significand: u64, shift: u32) -> (u128, u128) {
    let whole = u128::from(significand).checked_shr(shift).unwrap_or(0);
    // At most 2^64 * 10^17, which is less than 2^121.
    let scaled = (u128::from(significand) - (whole << shift.min(64))) * DECIMALS_SCALE;
    if shift > 122 {
        // Less than half a unit.
        return (0, 0);
    }
    let remainder = scaled & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let mut fraction = scaled >> shift;
    if remainder > half || (remainder == half && fraction & 1 == 1) {
        fraction += 1;
    }
    if fraction == DECIMALS_SCALE { (whole + 1, 0) } else { (whole, fraction) }
}

/// The decimal digits of `significand * 2^shift`.
fn shifted(significand: u64, shift: u32) -> String {
    const LIMB: u64 = 1_000_000_000;
    // The least significant limb first.
    let mut limbs = vec![significand % LIMB, significand / LIMB % LIMB, significand / LIMB / LIMB];
    let mut left = shift;
    while left > 0 {
        let bits = left.min(32);
        left -= bits;
        let mut carry = 0;
        for limb in &mut limbs {
            let value = (*limb << bits) + carry;
            *limb = value % LIMB;
            carry = value / LIMB;
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
    }
    let digits: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_string() } else { digits.to_string() }
}
