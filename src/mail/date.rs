//! Dates as RFC 5322 §3.3 and as RFC 3339 write them.

use std::fmt;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const MICROS_A_SECOND: u64 = 1_000_000;
const SECONDS_A_DAY: u64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const DAYS_AN_ERA: u64 = 146_097;
/// Days from 1 March of the year 0 to the Unix epoch.
const DAYS_TO_EPOCH: u64 = 719_468;

/// A moment in UTC as the calendar has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    year: u64,
    /// 0 to 11.
    month: usize,
    /// 1 to 31.
    day: u64,
    /// Days since a Sunday, 0 to 6.
    weekday: usize,
    /// Seconds since midnight.
    second: u64,
    milli: u64,
}

impl Date {
    /// The moment `micros` microseconds after the Unix epoch.
    pub fn from_micros(micros: u64) -> Date {
        let seconds = micros / MICROS_A_SECOND;
        let days = seconds / SECONDS_A_DAY;
        // Years counted from March have the leap day last, so that the months before it never move.
        let era_day = (days + DAYS_TO_EPOCH) % DAYS_AN_ERA;
        let era_year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
        let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
        let march_month = (5 * year_day + 2) / 153;
        let year = (days + DAYS_TO_EPOCH) / DAYS_AN_ERA * 400 + era_year + u64::from(march_month >= 10);
        Date {
            year,
            month: (march_month as usize + 2) % 12,
            day: year_day - (153 * march_month + 2) / 5 + 1,
            weekday: (days as usize + 4) % 7,
            second: seconds % SECONDS_A_DAY,
            milli: micros % MICROS_A_SECOND / 1000,
        }
    }

    /// As in a header field (RFC 5322 §3.3): `Sat, 22 Aug 2026 13:44:35 +0000`.
    pub fn rfc5322(self) -> impl fmt::Display {
        let (weekday, month) = (WEEKDAYS[self.weekday % 7], MONTHS[self.month % 12]);
        fmt::from_fn(move |f| {
            write!(f, "{weekday}, {:02} {month} {:04} ", self.day, self.year)?;
            self.write_time(f)?;
            f.write_str(" +0000")
        })
    }

    /// As in a log (RFC 3339 §5.6), with milliseconds: `2026-08-22T13:44:35.000Z`.
    pub fn rfc3339(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            write!(f, "{:04}-{:02}-{:02}T", self.year, self.month + 1, self.day)?;
            self.write_time(f)?;
            write!(f, ".{:03}Z", self.milli)
        })
    }

    fn write_time(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.second / 3600, self.second / 60 % 60, self.second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_written(seconds: u64, rfc5322: &str, rfc3339: &str) {
        let date = Date::from_micros(seconds * MICROS_A_SECOND + 7_999);
        assert_eq!(date.rfc5322().to_string(), format!("{rfc5322} +0000"));
        assert_eq!(date.rfc3339().to_string(), format!("{rfc3339}.007Z"));
    }

    #[test]
    fn known_moments() {
        is_written(0, "Thu, 01 Jan 1970 00:00:00", "1970-01-01T00:00:00");
        is_written(951_782_399, "Mon, 28 Feb 2000 23:59:59", "2000-02-28T23:59:59");
        is_written(951_782_400, "Tue, 29 Feb 2000 00:00:00", "2000-02-29T00:00:00");
        is_written(1_787_406_275, "Sat, 22 Aug 2026 13:44:35", "2026-08-22T13:44:35");
        is_written(4_107_542_400, "Mon, 01 Mar 2100 00:00:00", "2100-03-01T00:00:00");
        is_written(253_402_300_799, "Fri, 31 Dec 9999 23:59:59", "9999-12-31T23:59:59");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let days_of = |year: u64, month| match month {
            1 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..2 * DAYS_AN_ERA {
            let date = Date::from_micros(days * SECONDS_A_DAY * MICROS_A_SECOND);
            assert_eq!((date.year, date.month, date.day), (year, month, day), "day {days}");
            day += 1;
            if day > days_of(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month == 12 {
                (year, month) = (year + 1, 0);
            }
        }
    }

    #[test]
    fn the_last_moment_that_can_be_counted_is_a_date() {
        assert_eq!(Date::from_micros(u64::MAX).year, 586_524);
    }
}
