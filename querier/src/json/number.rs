//! Numbers in the notations of Prometheus and Loki.
#![expect(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "whole numbers are told apart exactly, and casts follow a range check"
)]

use std::io::Write;

use skald_model::calendar::date_of;

/// How the part of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decimals {
    Three,
    Shortest,
}

/// Whole numbers below this have the same digits as an integer.
const EXACT: f64 = 1e15;

pub(super) fn uint(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
}

pub(super) fn int(out: &mut Vec<u8>, v: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
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
        shortest(out, v);
    }
}

/// A finite number, not whole or large. The digits come with an exponent where their writer finds
/// that shorter, as in `1.5e-7`.
fn shortest(out: &mut Vec<u8>, v: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.push(b'-');
    }
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let part = part.trim_end_matches('0');
    let zeros = |out: &mut Vec<u8>, n: usize| out.extend(std::iter::repeat_n(b'0', n));
    // Exponents of doubles have three digits at most.
    let shift: i32 = exponent.parse().unwrap_or(0);
    let by = shift.unsigned_abs() as usize;
    if shift < 0 {
        // One digit stands before the point.
        out.extend_from_slice(b"0.");
        zeros(out, by.saturating_sub(1));
        out.extend_from_slice(whole.as_bytes());
        out.extend_from_slice(part.as_bytes());
    } else {
        out.extend_from_slice(whole.as_bytes());
        let (moved, rest) = part.split_at(by.min(part.len()));
        out.extend_from_slice(moved.as_bytes());
        zeros(out, by - moved.len());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
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

/// Every `i64` is a time between the years 1677 and 2262.
pub(super) fn rfc3339_ns(out: &mut Vec<u8>, ns: i64) {
    let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing to a vector cannot fail.
    let _ =
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
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
            // As near to .3, but Go prefers even digits.
            (1_079_083_333_333_333.0 + 0.25, "1079083333333333.2"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (v, want) in cases {
            assert_eq!(text(|o| value(o, v)), want);
        }
    }

    #[test]
    fn all_numbers_have_the_fewest_digits_that_read_back() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for i in 0..200_000u32 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let any = f64::from_bits(bits);
            let usual = (bits >> 40) as f64 / [1.0, 3.0, 1000.0, 60.0][i as usize % 4];
            for v in [any, usual, usual * 1e-9, usual * 1e12, -usual] {
                if v.is_finite() {
                    // Of two that are as near, Rust takes the other one at times.
                    let (got, rust) = (text(|o| plain(o, v)), format!("{v}"));
                    assert!(got.len() == rust.len() && got.parse() == Ok(v), "{got} {rust}");
                }
            }
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
