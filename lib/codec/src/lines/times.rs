//! Times in lines: recognised, turned into a number, and written back to the letter.
//!
//! Most lines tell the time that the entry has too, so that the difference is what has to be kept.

use skald_model::calendar::{date_of, days_in_month, days_of};

use crate::wire::{self, WireError};

const DAY_S: i64 = 86_400;
const NS: i64 = 1_000_000_000;
/// Most bytes behind the digits of a time, such as `+00:00`.
const MAX_SUFFIX: usize = 8;

/// How a time is written: `2026-01-02T03:04:05.678Z`, or `03:04:05` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Between date and time of day; 0 when there is no date.
    between: u8,
    /// Before the digits of the fraction; 0 when there is none.
    mark: u8,
    /// Digits of the fraction, 0 to 9.
    digits: u8,
}

/// Length of the time that `text` begins with, if it does.
pub(super) fn len_of(text: &[u8]) -> Option<usize> {
    if !text.first()?.is_ascii_digit() || !matches!(text.get(2), Some(b':' | b'0'..=b'9')) {
        return None;
    }
    parse(text).map(|(_, _, len)| len)
}

/// The time that `text` begins with: its shape, itself in units of its last digit, its length.
pub(super) fn parse(text: &[u8]) -> Option<(Shape, i64, usize)> {
    let (between, days, clock) = match text.get(2)? {
        b':' => (0, 0, text),
        _ => {
            let (year, month, day) =
                (number(text, 0, 4)?, number(text, 5, 2)?, number(text, 8, 2)?);
            let between = *text.get(10)?;
            let dashes = text[4] == b'-' && text[7] == b'-';
            if !dashes || !matches!(between, b'T' | b' ' | b'_' | b't') || year == 0 {
                return None;
            }
            if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
                return None;
            }
            (between, days_of(year, month, day), text.get(11..)?)
        }
    };
    let (hour, minute, second) = (number(clock, 0, 2)?, number(clock, 3, 2)?, number(clock, 6, 2)?);
    if clock[2] != b':' || clock[5] != b':' || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match clock.get(8) {
        Some(b'.' | b',') => clock[9..].iter().take(10).take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    if fraction > 9 {
        return None;
    }
    let mark = if fraction > 0 { clock[8] } else { 0 };
    let seconds = days * DAY_S + hour * 3600 + minute * 60 + second;
    let shape = Shape { between, mark, digits: fraction as u8 };
    let fraction_value = if fraction > 0 { number(clock, 9, fraction)? } else { 0 };
    let value = seconds.checked_mul(shape.units())?.checked_add(fraction_value)?;
    let len = text.len() - clock.len() + 8 + if fraction > 0 { 1 + fraction } else { 0 };
    Some((shape, value, len))
}

/// A whole value that is a time and what follows it.
pub(super) fn parse_value(value: &[u8]) -> Option<(Shape, i64, &[u8])> {
    let (shape, time, len) = parse(value)?;
    let suffix = &value[len..];
    let is_zone = suffix.first().is_none_or(|b| matches!(b, b'Z' | b'z' | b'+' | b'-' | b' '));
    (is_zone && suffix.len() <= MAX_SUFFIX).then_some((shape, time, suffix))
}

fn number(text: &[u8], at: usize, n: usize) -> Option<i64> {
    text.get(at..at + n)?.iter().try_fold(0i64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

// === impl Shape ===

impl Shape {
    /// Units of the last digit in a second.
    fn units(self) -> i64 {
        10i64.pow(u32::from(self.digits.min(9)))
    }

    fn has_date(self) -> bool {
        self.between != 0
    }

    /// What an entry of this time would say.
    fn expected(self, timestamp_ns: i64) -> i64 {
        let value = timestamp_ns.div_euclid(NS / self.units());
        if self.has_date() { value } else { value.rem_euclid(DAY_S * self.units()) }
    }

    /// How far a time is from the one expected; undone by [`value`](Self::value).
    pub(super) fn delta(self, timestamp_ns: i64, value: i64) -> i64 {
        let delta = value.wrapping_sub(self.expected(timestamp_ns));
        if self.has_date() {
            return delta;
        }
        // The nearer way round the clock.
        let day = DAY_S * self.units();
        (delta + day / 2).rem_euclid(day) - day / 2
    }

    pub(super) fn value(self, timestamp_ns: i64, delta: i64) -> i64 {
        let value = self.expected(timestamp_ns).wrapping_add(delta);
        if self.has_date() { value } else { value.rem_euclid(DAY_S * self.units()) }
    }

    /// Writes a time as it was read. Years are four digits, whatever damaged bytes say.
    pub(super) fn write(self, value: i64, out: &mut Vec<u8>) {
        let (seconds, fraction) = (value.div_euclid(self.units()), value.rem_euclid(self.units()));
        let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        if self.has_date() {
            let (year, month, day) = date_of(days);
            let year = year.rem_euclid(10_000);
            let mut text = *b"0000-00-00T";
            two(&mut text, 0, year / 100);
            two(&mut text, 2, year % 100);
            two(&mut text, 5, month);
            two(&mut text, 8, day);
            text[10] = self.between;
            out.extend_from_slice(&text);
        }
        let mut text = *b"00:00:00";
        two(&mut text, 0, second / 3600);
        two(&mut text, 3, second / 60 % 60);
        two(&mut text, 6, second % 60);
        out.extend_from_slice(&text);
        if self.mark != 0 {
            out.push(self.mark);
            super::digits::put_fixed(fraction.unsigned_abs(), usize::from(self.digits), out);
        }
    }

    /// Bytes that are no digits.
    pub(super) fn marks(self) -> [u8; 4] {
        let or = |byte, other| if byte == 0 { other } else { byte };
        [or(self.between, b':'), or(self.mark, b':'), b':', b'-']
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.between, self.mark, self.digits]);
    }

    pub(super) fn take(rest: &mut &[u8]) -> Result<Self, WireError> {
        let [between, mark, digits] = wire::take_array(rest)?;
        if digits > 9 || (mark == 0) != (digits == 0) {
            return Err(WireError::Range("shape of a time"));
        }
        Ok(Self { between, mark, digits })
    }
}

fn two(text: &mut [u8], at: usize, value: i64) {
    if let Some([tens, ones]) = text.get_mut(at..at + 2).and_then(|t| t.first_chunk_mut::<2>()) {
        *tens = b'0' + (value.unsigned_abs() / 10 % 10) as u8;
        *ones = b'0' + (value.unsigned_abs() % 10) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_to_the_letter() {
        for text in [
            "2026-11-28T01:02:03.456789Z",
            "1970-01-01 00:00:00,000",
            "2024-02-29T23:59:59",
            "9999-12-31T00:00:00.1+02:00",
            "1900-01-01T00:00:00.123456789",
            "0001-01-01T00:00:00.1",
            "01:02:03",
            "23:59:59.999",
        ] {
            let (shape, value, suffix) = parse_value(text.as_bytes()).unwrap();
            for ts in [0, -1, 1_795_000_000_123_456_789, i64::MIN, i64::MAX] {
                let mut out = Vec::new();
                shape.write(shape.value(ts, shape.delta(ts, value)), &mut out);
                out.extend_from_slice(suffix);
                assert_eq!(String::from_utf8(out).unwrap(), text, "{ts}");
            }
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "2026-13-01T00:00:00",
            "2026-02-30T00:00:00",
            "24:00:00",
            "12:60:00",
            "2026-01-01",
            "1:2:3",
            "2026/01/02 03:04:05",
            "00:00:00.1234567890",
            "0001-01-01T00:00:00.123456789",
            "",
            "12",
            "12:3",
        ] {
            assert_eq!(len_of(text.as_bytes()), None, "{text}");
        }
    }
}
