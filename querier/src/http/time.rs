//! Times and durations as clients write them.

use skald_model::calendar::{days_in_month, days_of};
use skald_runtime::HumanDuration;

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// What Go prints for the smallest and largest times of the Prometheus API.
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";
/// Far enough from the ends of `i64` that lookbacks and offsets cannot overflow.
const FAR_MS: i64 = i64::MAX / 4;

/// A time of the Prometheus API in milliseconds: float seconds or RFC 3339.
pub(crate) fn prometheus_time(s: &str) -> Option<i64> {
    match s {
        MIN_TIME => return Some(-FAR_MS),
        MAX_TIME => return Some(FAR_MS),
        _ => {}
    }
    let ms = match s.parse::<f64>() {
        Ok(seconds) => whole(seconds * 1000.0)?,
        Err(_) => {
            let (seconds, nanos) = rfc3339(s)?;
            seconds.checked_mul(1000)?.checked_add(i64::from(nanos) / NS_PER_MS)?
        }
    };
    (ms.abs() <= FAR_MS).then_some(ms)
}

/// A duration of either API in milliseconds: float seconds or `1h30m`.
pub(crate) fn duration_ms(s: &str) -> Option<i64> {
    let ms = match s.parse::<f64>() {
        Ok(seconds) => whole(seconds * 1000.0)?,
        Err(_) => match s.strip_prefix('-') {
            Some(positive) => -positive.parse::<HumanDuration>().ok()?.as_millis(),
            None => s.parse::<HumanDuration>().ok()?.as_millis(),
        },
    };
    (ms.abs() <= FAR_MS).then_some(ms)
}

/// A time of the Loki API in nanoseconds: float seconds, whole seconds, nanoseconds or RFC 3339.
pub fn loki_time(s: &str) -> Option<i64> {
    if s.contains('.')
        && let Ok(seconds) = s.parse::<f64>()
    {
        return whole(seconds * 1000.0)?.checked_mul(NS_PER_MS);
    }
    if let Ok(number) = s.parse::<i64>() {
        return if s.len() <= 10 { number.checked_mul(NS_PER_S) } else { Some(number) };
    }
    let (seconds, nanos) = rfc3339(s)?;
    seconds.checked_mul(NS_PER_S)?.checked_add(i64::from(nanos))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be finite and within range")]
fn whole(v: f64) -> Option<i64> {
    (v.abs() < 9e18).then(|| v.round() as i64)
}

/// Seconds since the epoch and nanoseconds within the second.
fn rfc3339(s: &str) -> Option<(i64, u32)> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = s.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let b = s.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|(i, m)| b.get(*i) != Some(m)) || !matches!(b.get(10), Some(b'T' | b't')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let (nanos, zone) = fraction(s.get(19..)?)?;
    let day_seconds = hour * 3600 + minute * 60 + second;
    Some((days_of(year, month, day) * 86_400 + day_seconds - offset(zone)?, nanos))
}

/// The decimals after the seconds, and what follows them.
fn fraction(s: &str) -> Option<(u32, &str)> {
    let Some(rest) = s.strip_prefix('.') else { return Some((0, s)) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let digits = rest.get(..end).filter(|d| !d.is_empty())?;
    let padded = format!("{digits:0<9}");
    Some((padded.get(..9)?.parse().ok()?, &rest[end..]))
}

/// Seconds east of Greenwich of `Z`, `+02:00` or `-02:00`.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_takes_seconds_and_rfc3339() {
        let cases = [
            ("1767225600", 1_767_225_600_000),
            ("1767225600.5004", 1_767_225_600_500),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01T02:00:00.123456+02:00", 1_767_225_600_123),
            ("1969-12-31T23:59:59Z", -1000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ];
        for (text, want) in cases {
            assert_eq!(prometheus_time(text), Some(want), "{text}");
        }
        let bad = [
            "",
            "x",
            "NaN",
            "inf",
            "1e300",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+2:00",
            "ä026-01-01T00:00:00Z",
        ];
        for text in bad {
            assert_eq!(prometheus_time(text), None, "{text}");
        }
    }

    #[test]
    fn loki_tells_seconds_from_nanoseconds_by_length() {
        assert_eq!(loki_time("1767225600"), Some(1_767_225_600_000_000_000));
        assert_eq!(loki_time("1767225600000000001"), Some(1_767_225_600_000_000_001));
        assert_eq!(loki_time("4"), Some(4_000_000_000));
        // Milliseconds are not known: so many digits are nanoseconds.
        assert_eq!(loki_time("1700000000000"), Some(1_700_000_000_000));
        assert_eq!(loki_time("1767225600.25"), Some(1_767_225_600_250_000_000));
        assert_eq!(loki_time("2026-01-01T00:00:00.000000001Z"), Some(1_767_225_600_000_000_001));
        assert_eq!(
            (loki_time("x"), loki_time("1e400."), loki_time("9999-01-01T00:00:00Z")),
            (None, None, None)
        );
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let text = |ns| {
            let mut json = crate::json::Json::default();
            json.rfc3339_ns(ns);
            String::from_utf8(json.into_vec()).unwrap()
        };
        assert_eq!(text(1_767_225_600_000_000_001), "2026-01-01T00:00:00.000000001Z");
        assert_eq!(text(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        for day in (-100_000..100_000).step_by(37) {
            let ns = day * 86_400 * NS_PER_S + 43_199 * NS_PER_S + 987_654_321;
            assert_eq!(loki_time(&text(ns)), Some(ns), "{}", text(ns));
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        assert_eq!(duration_ms("15"), Some(15_000));
        assert_eq!(duration_ms("0.1"), Some(100));
        assert_eq!(duration_ms("15000ms"), Some(15_000));
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms("-1h"), Some(-3_600_000));
        assert_eq!(
            (duration_ms("1e300"), duration_ms("x"), duration_ms("NaN")),
            (None, None, None)
        );
    }
}
