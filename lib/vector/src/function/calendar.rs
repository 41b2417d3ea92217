//! Parts of a date in UTC.

use skald_model::calendar::{date_of, days_in_month, days_of};

/// What `hour()`, `month()` and their like take from a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatePart {
    Minute,
    Hour,
    /// Sunday is 0.
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

const SECONDS_PER_DAY: i64 = 86_400;
/// 2^63 seconds.
const END_OF_TIME: f64 = 9_223_372_036_854_775_808.0;

impl DatePart {
    /// The part of the second `seconds` after the epoch; fractions are cut off.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "saturates; parts of a date are small"
    )]
    pub fn of(self, seconds: f64) -> f64 {
        if seconds.is_nan() || seconds.abs() >= END_OF_TIME {
            return self.of_no_time();
        }
        let t = seconds as i64;
        let days = t.div_euclid(SECONDS_PER_DAY);
        let within = t.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = date_of(days);
        let part = match self {
            Self::Minute => within / 60 % 60,
            Self::Hour => within / 3600,
            // The epoch was a Thursday.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => day,
            Self::DayOfYear => days - days_of(year, 1, 1) + 1,
            Self::DaysInMonth => days_in_month(year, month),
            Self::Month => month,
            Self::Year => year,
        };
        part as f64
    }

    /// What Prometheus answers for times that 64 bits of seconds cannot say: on amd64 they all
    /// become the same one, the last second there is.
    fn of_no_time(self) -> f64 {
        match self {
            Self::Minute => 30.0,
            Self::Hour => 15.0,
            Self::DayOfWeek => 0.0,
            Self::DayOfMonth => 4.0,
            Self::DayOfYear => 339.0,
            Self::DaysInMonth => 31.0,
            Self::Month => 12.0,
            Self::Year => 292_277_026_596.0,
        }
    }
}

/// `1970-01-01T00:00:00Z` of seconds after the epoch.
pub fn rfc3339(seconds: i64) -> String {
    let (year, month, day) = date_of(seconds.div_euclid(SECONDS_PER_DAY));
    let within = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
