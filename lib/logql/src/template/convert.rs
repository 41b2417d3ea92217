//! Conversions between values, as Go's cast helpers do them: what cannot be read is zero.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "saturating casts are what the language does"
)]

use super::value::Value;

/// An integer with an optional base prefix.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let body = text.trim_start_matches(['+', '-']);
    let (digits, radix) = match body.get(..2) {
        Some("0x" | "0X") => (&body[2..], 16),
        Some("0b" | "0B") => (&body[2..], 2),
        Some("0o" | "0O") => (&body[2..], 8),
        _ => (body, 10),
    };
    if text.len() - body.len() > 1 || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if text.starts_with('-') { value.checked_neg()? } else { value })
}

/// As Go does it on most machines: what has no place among the numbers is the least of them.
fn whole(f: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&f) { f as i64 } else { i64::MIN }
}

pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(i) => *i,
        Value::Float(f) => whole(*f),
        Value::Bool(b) => i64::from(*b),
        Value::Str(s) => {
            let trimmed = s.trim_start_matches('0');
            let text = if trimmed.is_empty() || trimmed.starts_with(['x', 'b', 'o']) {
                s
            } else {
                trimmed
            };
            parse_int(text)
                .or_else(|| {
                    // Digits behind the point count for nothing.
                    let (whole, fraction) = s.split_once('.')?;
                    let is_number = fraction.bytes().all(|b| b.is_ascii_digit());
                    parse_int(if matches!(whole, "" | "+" | "-") { "0" } else { whole })
                        .filter(|_| is_number)
                })
                .unwrap_or(0)
        }
        _ => 0,
    }
}

pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(i) => *i as f64,
        Value::Float(f) => *f,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Str(s) => crate::units::go_float(s).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// `round(x, places, from)`: up where the digits behind the places are at least `from`, else down, which
/// below zero is away from it.
pub(super) fn round(value: f64, places: i64, from: f64) -> f64 {
    let scale = 10f64.powi(places.clamp(-300, 300) as i32);
    let scaled = value * scale;
    if !scaled.is_finite() {
        return value;
    }
    let whole = if scaled.fract() >= from { scaled.ceil() } else { scaled.floor() };
    whole / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_numbers_or_zero() {
        let int = |s: &str| to_int(&Value::Str(s.to_owned()));
        assert_eq!(
            (int("12"), int("-3"), int("007"), int("0"), int("x"), int("")),
            (12, -3, 7, 0, 0, 0)
        );
        assert_eq!((int("12.0"), int("-2.25"), int(".5"), int("1.x")), (12, -2, 0, 0));
        assert!((round(1.255, 1, 0.5) - 1.3).abs() < 1e-12);
        assert!((round(1.255, 1, 0.6) - 1.2).abs() < 1e-12);
        assert!((round(-1.23, 1, 0.5) + 1.3).abs() < 1e-12);
        assert!((to_float(&Value::Str("1e3".into())) - 1e3).abs() < 1e-12);
    }
}
