//! Times and Go's layouts (`2006-01-02T15:04:05.000Z07:00`). Everything is UTC.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "calendar fields are reduced to their ranges before they are narrowed"
)]

use skald_model::calendar::{date_of, days_of};

const NS: i64 = 1_000_000_000;
/// Go's zero time, 1 January of year 1, in Unix seconds.
pub(super) const ZERO_SECONDS: i64 = -62_135_596_800;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The time of day, for `now`.
#[expect(
    clippy::disallowed_methods,
    reason = "a template says when it runs; nothing is decided by it"
)]
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// Pieces of a layout, those that begin others first.
const PIECES: [&str; 32] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "Z07:00", "Z0700", "-07:00", "-0700", "-07",
    "002", "__2", "_2", "01", "02", "03", "04", "05", "06", "15", "PM", "pm", "1", "2", "3", "4",
    "5", ".0", ",0", ".9", ",9",
];

/// A point of the calendar.
#[derive(Clone, Copy, Debug)]
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    weekday: usize,
    year_day: u32,
}

fn civil(seconds: i64, nanos: u32) -> Civil {
    let days = seconds.div_euclid(86_400);
    let second_of_day = seconds.rem_euclid(86_400) as u32;
    let (year, month, day) = date_of(days);
    Civil {
        year,
        month: month as u32,
        day: day as u32,
        hour: second_of_day / 3_600,
        minute: second_of_day / 60 % 60,
        second: second_of_day % 60,
        nanos,
        weekday: (days + 4).rem_euclid(7) as usize,
        year_day: (days - days_of(year, 1, 1)) as u32 + 1,
    }
}

fn at(time: Option<i64>) -> Civil {
    match time {
        Some(ns) => civil(ns.div_euclid(NS), ns.rem_euclid(NS) as u32),
        None => civil(ZERO_SECONDS, 0),
    }
}

/// The layout piece `text` begins with. Fractions of seconds take all their digits.
fn piece(text: &str) -> Option<&str> {
    let found = PIECES.iter().find(|p| text.starts_with(**p))?;
    if !found.starts_with(['.', ',']) {
        return Some(&text[..found.len()]);
    }
    let digit = &found[1..2];
    let len = 1 + text[1..].bytes().take_while(|b| [*b] == digit.as_bytes()).count();
    // A fraction only counts when no other digit follows.
    (!text[len..].starts_with(|c: char| c.is_ascii_digit())).then(|| &text[..len])
}

pub(super) fn format(layout: &str, time: Option<i64>) -> String {
    let t = at(time);
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        match piece(rest) {
            Some(found) => {
                out.push_str(&field(found, &t));
                rest = &rest[found.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn field(piece: &str, t: &Civil) -> String {
    let month = MONTHS[(t.month as usize + 11) % 12];
    let day = DAYS[t.weekday % 7];
    let twelve = (t.hour + 11) % 12 + 1;
    match piece {
        "January" => month.to_owned(),
        "Jan" => month[..3].to_owned(),
        "Monday" => day.to_owned(),
        "Mon" => day[..3].to_owned(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", t.year),
        "06" => format!("{:02}", t.year.rem_euclid(100)),
        "01" => format!("{:02}", t.month),
        "1" => t.month.to_string(),
        "02" => format!("{:02}", t.day),
        "_2" => format!("{:2}", t.day),
        "2" => t.day.to_string(),
        "002" => format!("{:03}", t.year_day),
        "__2" => format!("{:3}", t.year_day),
        "15" => format!("{:02}", t.hour),
        "03" => format!("{twelve:02}"),
        "3" => twelve.to_string(),
        "04" => format!("{:02}", t.minute),
        "4" => t.minute.to_string(),
        "05" => format!("{:02}", t.second),
        "5" => t.second.to_string(),
        "PM" => if t.hour < 12 { "AM" } else { "PM" }.to_owned(),
        "pm" => if t.hour < 12 { "am" } else { "pm" }.to_owned(),
        "Z07:00" | "Z0700" => "Z".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07" => "+00".to_owned(),
        fraction => {
            let digits = format!("{:09}", t.nanos);
            let kept = &digits[..(fraction.len() - 1).min(9)];
            if !fraction.contains('9') {
                return format!("{}{kept}", &fraction[..1]);
            }
            match kept.trim_end_matches('0') {
                "" => String::new(),
                kept => format!("{}{kept}", &fraction[..1]),
            }
        }
    }
}

/// As Go prints a time: `2006-01-02 15:04:05.999999999 -0700 MST`.
pub(super) fn default_format(time: Option<i64>) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", time)
}

/// Reads `text` by `layout`; `None`, Go's zero time, when it does not fit.
pub(super) fn parse(layout: &str, text: &str) -> Option<i64> {
    let mut t = Civil {
        year: 0,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        weekday: 0,
        year_day: 0,
    };
    let mut zone_seconds = 0i64;
    let mut afternoon = None;
    let mut rest = text;
    let mut layout = layout;
    while let Some(c) = layout.chars().next() {
        let Some(found) = piece(layout) else {
            rest = rest.strip_prefix(c)?;
            layout = &layout[c.len_utf8()..];
            continue;
        };
        layout = &layout[found.len()..];
        match found {
            "January" | "Jan" => t.month = named(&mut rest, &MONTHS, found.len() == 3)? as u32 + 1,
            "Monday" | "Mon" => drop(named(&mut rest, &DAYS, found.len() == 3)?),
            "MST" => rest = rest.strip_prefix("UTC").or_else(|| rest.strip_prefix("GMT"))?,
            "2006" => t.year = i64::from(digits(&mut rest, 4, 4)?),
            "06" => {
                let year = i64::from(digits(&mut rest, 2, 2)?);
                t.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            "01" => t.month = digits(&mut rest, 2, 2)?,
            "1" => t.month = digits(&mut rest, 1, 2)?,
            "02" => t.day = digits(&mut rest, 2, 2)?,
            "_2" | "2" => {
                rest = rest.strip_prefix(' ').filter(|_| found == "_2").unwrap_or(rest);
                t.day = digits(&mut rest, 1, 2)?;
            }
            "15" | "03" => t.hour = digits(&mut rest, 2, 2)?,
            "3" => t.hour = digits(&mut rest, 1, 2)?,
            "04" => t.minute = digits(&mut rest, 2, 2)?,
            "4" => t.minute = digits(&mut rest, 1, 2)?,
            "05" | "5" => {
                t.second = digits(&mut rest, found.len(), 2)?;
                // Go takes a fraction that the layout does not mention.
                if piece(layout).is_none_or(|p| !p.starts_with(['.', ','])) {
                    fraction(&mut rest, &mut t.nanos);
                }
            }
            "PM" | "pm" => {
                let word = rest.get(..2)?.to_ascii_lowercase();
                afternoon =
                    Some(if word == "pm" { true } else { (word == "am").then_some(false)? });
                rest = &rest[2..];
            }
            "Z07:00" | "Z0700" if rest.starts_with('Z') => rest = &rest[1..],
            "Z07:00" | "-07:00" => zone_seconds = zone(&mut rest, true)?,
            "Z0700" | "-0700" => zone_seconds = zone(&mut rest, false)?,
            f if f.starts_with(['.', ',']) => fraction(&mut rest, &mut t.nanos),
            _ => return None,
        }
    }
    match afternoon {
        Some(true) if t.hour < 12 => t.hour += 12,
        Some(false) if t.hour == 12 => t.hour = 0,
        _ => {}
    }
    finish(&t, zone_seconds).filter(|_| rest.is_empty())
}

fn finish(t: &Civil, zone_seconds: i64) -> Option<i64> {
    let leap = t.year % 4 == 0 && (t.year % 100 != 0 || t.year % 400 == 0);
    let last_day = match t.month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last_day).contains(&t.day) || t.hour > 23 || t.minute > 59 || t.second > 59 {
        return None;
    }
    let days = days_of(t.year, t.month.into(), t.day.into());
    let seconds =
        days * 86_400 + i64::from(t.hour) * 3_600 + i64::from(t.minute) * 60 + i64::from(t.second)
            - zone_seconds;
    seconds.checked_mul(NS)?.checked_add(i64::from(t.nanos))
}

fn digits(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let len = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if len < min {
        return None;
    }
    let value = rest[..len].parse().ok()?;
    *rest = &rest[len..];
    Some(value)
}

fn named(rest: &mut &str, names: &[&str], short: bool) -> Option<usize> {
    let at = names.iter().position(|name| {
        let name = if short { &name[..3] } else { *name };
        rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
    })?;
    let len = if short { 3 } else { names[at].len() };
    *rest = &rest[len..];
    Some(at)
}

fn fraction(rest: &mut &str, nanos: &mut u32) {
    let Some(after) = rest.strip_prefix(['.', ',']) else { return };
    let len = after.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return;
    }
    let padded: String = after[..len.min(9)].chars().chain("000000000".chars()).take(9).collect();
    *nanos = padded.parse().unwrap_or(0);
    *rest = &after[len..];
}

fn zone(rest: &mut &str, colon: bool) -> Option<i64> {
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let hours = digits(rest, 2, 2)?;
    if colon {
        *rest = rest.strip_prefix(':')?;
    }
    let minutes = digits(rest, 2, 2)?;
    Some(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

/// Zones need a database that is not here; only UTC is known.
pub(super) fn check_zone(zone: &str) -> Result<(), String> {
    if matches!(zone, "" | "UTC" | "Local" | "GMT" | "Etc/UTC") {
        return Ok(());
    }
    Err(format!("time zone {zone:?} is not supported"))
}

/// The number of digits tells the unit: 5 days, 10 seconds, 13 ms, 16 µs, 19 ns.
pub(super) fn unix_to_time(text: &str) -> Result<i64, String> {
    let bad = || format!("unable to parse time '{text}'");
    let value: i64 = text.parse().map_err(|_| bad())?;
    let unit = match text.len() {
        5 => 86_400 * NS,
        10 => NS,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(bad()),
    };
    value.checked_mul(unit).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_print_and_read_back() {
        let t = Some(1_767_229_199_201_733_084);
        assert_eq!(format("2006-01-02T15:04:05.000Z07:00", t), "2026-01-01T00:59:59.201Z");
        assert_eq!(format("Mon Jan _2 3:04PM 2006", t), "Thu Jan  1 12:59AM 2026");
        assert_eq!(format("02/01/06 15h", t), "01/01/26 00h");
        assert_eq!(parse("2006-01-02", "2021-11-02"), Some(1_635_811_200 * NS));
        assert_eq!(
            parse("2006-01-02T15:04:05Z07:00", "2021-11-02T02:00:00.5+02:00"),
            Some(1_635_811_200 * NS + NS / 2)
        );
        assert_eq!(parse("2006-01-02", "2021-02-30"), None);
        assert_eq!(parse("2006-01-02", "x"), None);
        assert_eq!(default_format(None), "0001-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn digits_tell_the_unit() {
        assert_eq!(unix_to_time("1700000000"), Ok(1_700_000_000 * NS));
        assert_eq!(unix_to_time("19675"), Ok(19_675 * 86_400 * NS));
        assert!(unix_to_time("123").is_err());
    }
}
