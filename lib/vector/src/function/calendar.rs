//! Parts of a date in UTC.

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
        let (year, month, day) = civil(days);
        let part = match self {
            Self::Minute => within / 60 % 60,
            Self::Hour => within / 3600,
            // The epoch was a Thursday.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => day,
            Self::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
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
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let within = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day number, by shifting the year to begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}
