//! Days as dates of the Gregorian calendar, and dates as days.
//!
//! Years are counted from March inside, so that the leap day is the last of its year; 400 years are an era.

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE: i64 = 719_468;
const DAYS_OF_ERA: i64 = 146_097;

/// Days since 1970-01-01 of a date, whose day may lie outside of its month.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_BEFORE
}

/// Year, month and day of so many days since 1970-01-01.
pub fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE;
    let (era, of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month, 1 to 12.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_each_other() {
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(date_of(20_785), (2026, 11, 28));
        let (mut year, mut month, mut day) = (-401, 1, 1);
        for days in days_of(year, month, day)..days_of(2401, 1, 1) {
            assert_eq!(date_of(days), (year, month, day));
            assert_eq!(days_of(year, month, day), days);
            day += 1;
            if day > days_in_month(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
