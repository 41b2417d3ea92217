//! Times as they are given on the command line, and as they stand in NDJSON.

use skald_model::calendar::{date_of, days_of};

pub(super) const NS_PER_DAY: i64 = 86_400 * NS_PER_S;
const NS_PER_S: i64 = 1_000_000_000;

/// A time that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is {text:?}; it must be seconds since 1970, a date, or RFC 3339 such as 2026-01-31T00:00:00Z"
)]
pub(crate) struct BadTime {
    name: &'static str,
    text: String,
}

/// Nanoseconds since 1970.
pub(super) fn parse(name: &'static str, text: &str) -> Result<i64, BadTime> {
    let bad = || BadTime { name, text: text.to_owned() };
    if let Some(days) = date(text) {
        return days.checked_mul(NS_PER_DAY).ok_or_else(bad);
    }
    skald_querier::loki_time(text).ok_or_else(bad)
}

/// Days since 1970 of `2026-01-31`.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| -> Option<i64> {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let days = days_of(year, month, day);
    // A day that the month lacks is one of the next.
    (date_of(days) == (year, month, day)).then_some(days)
}

/// `2026-01-31T00:00:00.123456789Z`, with so many digits behind the point.
pub(super) fn rfc3339(ns: i64, digits: usize) -> String {
    let (days, of_day) = (ns.div_euclid(NS_PER_DAY), ns.rem_euclid(NS_PER_DAY));
    let (year, month, day) = date_of(days);
    let (seconds, fraction) = (of_day / NS_PER_S, of_day % NS_PER_S);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{fraction:09}");
    let fraction = fraction.get(..digits).unwrap_or(&fraction);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_dates_or_rfc_3339() {
        let parse = |text| parse("--start", text);
        assert_eq!(parse("2026-01-31"), parse("2026-01-31T00:00:00Z"));
        assert_eq!(parse("1767225600"), parse("2026-01-01T01:00:00+01:00"));
        assert_eq!(parse("1767225600.5"), Ok(1_767_225_600_500_000_000));
        for bad in ["", "x", "2026-02-30", "2026-1-1", "9999-01-01"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(rfc3339(1_767_225_600_000_000_007, 9), "2026-01-01T00:00:00.000000007Z");
        assert_eq!(rfc3339(-1_000_000, 3), "1969-12-31T23:59:59.999Z");
    }
}
