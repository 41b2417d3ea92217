//! Times as shippers write them, and as messages show them.

use skald_model::calendar::{self, date_of, days_in_month};

const NS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// Nanoseconds since 1970 of a date and time as RFC 3339 has it (a space for `T` and no zone, which
/// is UTC, are taken too), or of a number whose size tells its unit.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.as_bytes().get(4) == Some(&b'-') { date_time(text) } else { number(text) }
}

/// Seconds, milliseconds, microseconds or nanoseconds, by how many there are; only seconds and
/// milliseconds may have a fraction.
fn number(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let n: i64 = match whole.parse() {
        Ok(n) => n,
        // `1.7e9` comes from a printed float.
        Err(_) => return exponent(text),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return exponent(text);
    }
    // Dates from 1970 to 5138 in each unit.
    let unit = match n.unsigned_abs() {
        0..100_000_000_000 => NS_PER_SEC,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    let sign = if text.starts_with('-') { -1 } else { 1 };
    n.checked_mul(unit)?.checked_add(sign * fraction_of(fraction, unit))
}

#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn exponent(text: &str) -> Option<i64> {
    let v: f64 = Some(text).filter(|t| t.contains(['e', 'E']))?.parse().ok()?;
    v.is_finite().then_some((v * 1e9) as i64)
}

/// The digits behind a point as a part of `unit` nanoseconds.
fn fraction_of(digits: &str, unit: i64) -> i64 {
    let mut scale = unit;
    let mut out = 0;
    for digit in digits.bytes() {
        scale /= 10;
        out += scale * i64::from(digit.saturating_sub(b'0'));
    }
    out
}

fn date_time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days_of(year, month, day)?;
    if rest.is_empty() {
        return days.checked_mul(SECS_PER_DAY)?.checked_mul(NS_PER_SEC);
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = clock.find(['Z', 'z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone_at);
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut parts = clock.split(':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    // A leap second counts as the second before.
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    let seconds = days
        .checked_mul(SECS_PER_DAY)?
        .checked_add(hour * 3600 + minute * 60 + second.min(59))?
        .checked_sub(offset(zone.trim())?)?;
    seconds.checked_mul(NS_PER_SEC)?.checked_add(fraction_of(fraction, NS_PER_SEC))
}

/// Seconds east of Greenwich.
pub(crate) fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None | Some('Z' | 'z') => return (zone.len() <= 1).then_some(0),
        Some('+') => 1,
        Some('-') => -1,
        _ => return (zone == "UTC").then_some(0),
    };
    let number = zone.get(1..)?;
    let (hours, minutes) = match number.split_once(':') {
        Some(two) => two,
        None if number.len() == 2 => (number, "0"),
        None => number.split_at_checked(2)?,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A number of one to four digits.
fn digits(text: &str) -> Option<i64> {
    let ok = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

/// Days since 1970-01-01 of a date, if there is such a day.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then(|| calendar::days_of(year, month, day))
}

/// `2026-01-01T00:00:00Z`, whole seconds as Loki prints them.
pub(crate) fn rfc3339(ns: i64) -> String {
    let secs = ns.div_euclid(NS_PER_SEC);
    let (days, second) = (secs.div_euclid(SECS_PER_DAY), secs.rem_euclid(SECS_PER_DAY));
    let (year, month, day) = date_of(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_known_days() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_600 * NS_PER_SEC), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696 * NS_PER_SEC + 5), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43Z");
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in [-719_468, -1, 0, 59, 60, 11_016, 20_454, 73_050] {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), Some(days));
        }
        for (year, month, day) in [(2025, 2, 29), (2100, 2, 29), (2026, 13, 1), (2026, 4, 31)] {
            assert_eq!(days_of(year, month, day), None);
        }
    }

    #[test]
    fn reads_times_as_shippers_write_them() {
        let at = 1_767_225_600_000_000_000;
        for (text, want) in [
            ("2026-01-01T00:00:00Z", at),
            ("2026-01-01T00:00:00.123Z", at + 123_000_000),
            ("2026-01-01T02:00:00.000000001+02:00", at + 1),
            ("2025-12-31T19:00:00-0500", at),
            ("2026-01-01 00:00:00,5", at + 500_000_000),
            ("2026-01-01 00:00:00 UTC", at),
            ("2026-01-01T00:00", at),
            ("2026-01-01", at),
            ("1767225600", at),
            ("1767225600.25", at + 250_000_000),
            ("1767225600000", at),
            ("1767225600000000", at),
            ("1767225600000000000", at),
            ("1.7672256e9", at),
            ("-1.5", -1_500_000_000),
        ] {
            assert_eq!(parse(text), Some(want), "{text}");
        }
        for text in [
            "",
            "x",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+99:00",
            "2026-01-01X",
            "99999999999999999999",
            "1e300x",
            "2026-01-01T00:00:00.xZ",
            "NaN",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
