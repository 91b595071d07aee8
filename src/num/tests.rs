//! The property: Redis 7.0.15 gives the same answers. The tables hold what it replied, on x86-64,
//! to seeded random input and to hand-picked edges.

use super::{LongDouble, format_f64, format_g17, parse_f64, parse_i64, parse_u64};

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().map(|line| line.split('\t').collect())
}

#[test]
fn integers_are_read_strictly() {
    for value in [0, 1, -1, 9, 10, 1234567890123456789, i64::MAX, i64::MIN] {
        assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
    }
    let refused = "-|+1|01|-0|-01|00| 1|1 |1a|a|1.0|--1|1_0|0x1|9223372036854775808|\
                   -9223372036854775809|18446744073709551616|99999999999999999999999999|1\0|";
    for text in refused.split('|') {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn unsigned_integers_are_read_strictly() {
    for value in [0, 1, 10, u64::MAX] {
        assert_eq!(parse_u64(value.to_string().as_bytes()), Some(value));
    }
    for text in ["", "-1", "+1", "01", "-0", " 1", "1 ", "18446744073709551616"] {
        assert_eq!(parse_u64(text.as_bytes()), None, "{text:?}");
    }
}

/// `ZADD z <text> m`, then `ZSCORE z m`.
#[test]
fn doubles_agree_with_redis() {
    for row in rows(include_str!("zscore.tsv")) {
        let [text, expected] = row[..] else { panic!("two columns") };
        let ours = parse_f64(text.as_bytes()).map(|value| format_g17(value).to_vec());
        let ours = ours.unwrap_or_else(|| b"invalid".to_vec());
        assert_eq!(String::from_utf8_lossy(&ours), expected, "{text}");
    }
}

#[test]
fn texts_no_table_can_hold_are_refused() {
    for text in ["", " 1", "1 ", "1\0", "\t1", "1\n", "0x", "0x.", ".", "1e", "0x1p", "nan"] {
        assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(parse_f64(b"1\xff"), None);
}

#[test]
fn doubles_read_back_as_they_were() {
    // A linear congruential walk over bit patterns.
    let mut bits: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = f64::from_bits(bits);
        if value.is_finite() {
            assert_eq!(parse_f64(&format_g17(value)), Some(value));
            assert_eq!(parse_f64(&format_f64(value)), Some(value));
        }
    }
}

#[test]
fn stored_doubles_keep_integer_digits() {
    let cases: [(f64, &str); 12] = [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-1e16, "-10000000000000000"),
        (1e17, "100000000000000000"),
        (4611686018427387904.0, "4611686018427387904"),
        (9223372036854775808.0, "9.2233720368547758e+18"),
        (0.1, "0.10000000000000001"),
        (1e-5, "1.0000000000000001e-05"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ];
    for (value, expected) in cases {
        assert_eq!(String::from_utf8_lossy(&format_f64(value)), expected);
    }
    assert_eq!(&*format_g17(1e17), b"1e+17");
    assert_eq!(&*format_g17(1e16), b"10000000000000000");
    assert_eq!(&*format_g17(-0.0), b"-0");
    assert_eq!(&*format_g17(-5e-324), b"-4.9406564584124654e-324");
}

/// `SET k <a>`, then `INCRBYFLOAT k <b>`.
#[test]
fn long_double_sums_agree_with_redis() {
    for row in rows(include_str!("incrbyfloat.tsv")) {
        let [a, b, expected] = row[..] else { panic!("three columns") };
        let sum = LongDouble::parse(a.as_bytes())
            .and_then(|a| LongDouble::parse(b.as_bytes()).map(|b| a + b));
        let ours = match sum {
            None => "invalid".to_string(),
            Some(sum) if sum.is_nan() || sum.is_infinite() => "not-finite".to_string(),
            Some(sum) => sum.format(),
        };
        assert_eq!(ours, expected, "{a} + {b}");
    }
}

#[test]
fn long_doubles_at_the_ends_of_their_range() {
    let largest = LongDouble::parse(b"1.18973149535723176502e4932").unwrap();
    let digits = largest.format();
    assert_eq!(digits.len(), 4933);
    assert!(digits.starts_with("118973149535723176502"));
    assert!((largest + largest).is_infinite());
    let infinity = LongDouble::parse(b"inf").unwrap();
    assert_eq!(infinity.format(), "inf");
    assert!((infinity + LongDouble::parse(b"-inf").unwrap()).is_nan());
    assert_eq!(LongDouble::parse(b"3.7e-4951").unwrap().format(), "0");
    assert_eq!(LongDouble::parse(b"-3.7e-4951").unwrap().format(), "0");
    assert_eq!(LongDouble::from_f64(13.361389338970184).format(), "13.36138933897018433");
    assert_eq!(LongDouble::parse(&[b'1'; 5120]), None);
}
