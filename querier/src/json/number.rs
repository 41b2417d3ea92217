//! Numbers in the notations of Prometheus and Loki.
#![expect(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "whole numbers are told apart exactly, and casts follow a range check"
)]

use std::io::Write;

/// How the part of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decimals {
    Three,
    Shortest,
}

/// Whole numbers below this have the same digits as an integer.
const EXACT: f64 = 1e15;

pub(super) fn uint(out: &mut Vec<u8>, mut v: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn int(out: &mut Vec<u8>, v: i64) {
    if v < 0 {
        out.push(b'-');
    }
    uint(out, v.unsigned_abs());
}

/// Shortest digits that read back to `v`, never with an exponent.
pub(super) fn plain(out: &mut Vec<u8>, v: f64) {
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if v.is_infinite() {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if v.abs() < EXACT && v.trunc() == v && (v != 0.0 || v.is_sign_positive()) {
        int(out, v as i64);
    } else {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{v}");
    }
}

/// As [`plain`], but `1e+21` and `1e-07` where the number is very large or very small.
pub(super) fn value(out: &mut Vec<u8>, v: f64) {
    let abs = v.abs();
    if abs.is_finite() && abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        exponential(out, v);
    } else {
        plain(out, v);
    }
}

/// Rust writes `1.5e-7`; the sign and at least two digits of the exponent are added.
fn exponential(out: &mut Vec<u8>, v: f64) {
    let start = out.len();
    let _ = write!(out, "{v:e}");
    let Some(e) = out[start..].iter().position(|b| *b == b'e').map(|i| start + i) else { return };
    let negative = out.get(e + 1) == Some(&b'-');
    let digits_at = e + 1 + usize::from(negative);
    let digits = out.split_off(digits_at);
    out.truncate(e + 1);
    out.push(if negative { b'-' } else { b'+' });
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(&digits);
}

pub(super) fn seconds(out: &mut Vec<u8>, ms: i64, decimals: Decimals) {
    if ms < 0 {
        out.push(b'-');
    }
    let abs = ms.unsigned_abs();
    uint(out, abs / 1000);
    let part = abs % 1000;
    if part == 0 {
        return;
    }
    let digit = |n: u64| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(part / 100), digit(part / 10), digit(part)]);
    if decimals == Decimals::Shortest {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_prometheus_does() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1.5e-7, "1.5e-07"),
            (-2.5e-12, "-2.5e-12"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (0.30000000000000004, "0.30000000000000004"),
            (123456789012345680.0, "123456789012345680"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (v, want) in cases {
            assert_eq!(text(|o| value(o, v)), want);
        }
    }

    #[test]
    fn plain_values_have_no_exponent() {
        assert_eq!(text(|o| plain(o, 1e21)), "1000000000000000000000");
        assert_eq!(text(|o| plain(o, 1e-7)), "0.0000001");
        assert_eq!(text(|o| plain(o, 0.016666666666666666)), "0.016666666666666666");
    }

    #[test]
    fn seconds_have_three_decimals_or_none() {
        for (ms, want) in [
            (0, "0"),
            (1000, "1"),
            (1005, "1.005"),
            (-100, "-0.100"),
            (1500, "1.500"),
            (-2000, "-2"),
        ] {
            assert_eq!(text(|o| seconds(o, ms, Decimals::Three)), want);
        }
        assert_eq!(text(|o| seconds(o, 1500, Decimals::Shortest)), "1.5");
        assert_eq!(text(|o| seconds(o, 1_767_228_420_000, Decimals::Shortest)), "1767228420");
        assert!(text(|o| seconds(o, i64::MIN, Decimals::Three)).starts_with("-9223372036854775"));
        assert_eq!(text(|o| int(o, i64::MIN)), i64::MIN.to_string());
    }
}
