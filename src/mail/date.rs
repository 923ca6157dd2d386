//! Dates as RFC 5322 §3.3 and as RFC 3339 write them.

use std::fmt;

use super::octets::{append_number, two_digits};

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
        shown(move |to| self.write_rfc5322(to))
    }

    /// As in a log (RFC 3339 §5.6), with milliseconds: `2026-08-22T13:44:35.000Z`.
    pub fn rfc3339(self) -> impl fmt::Display {
        shown(move |to| self.write_rfc3339(to))
    }

    /// Appends it as in a header field.
    pub fn write_rfc5322(self, to: &mut Vec<u8>) {
        let (weekday, month) = (WEEKDAYS[self.weekday % 7], MONTHS[self.month % 12]);
        to.extend_from_slice(&filled(*b"Sun, 00 Jan ", &[(0, weekday), (5, two_digits(self.day)), (8, month)]));
        self.write_year(to);
        let [hour, minute, second] = self.time();
        to.extend_from_slice(&filled(*b" 00:00:00 +0000", &[(1, hour), (4, minute), (7, second)]));
    }

    /// Appends it as in a log.
    pub fn write_rfc3339(self, to: &mut Vec<u8>) {
        self.write_year(to);
        let (month, day) = (two_digits(self.month as u64 + 1), two_digits(self.day));
        let [hour, minute, second] = self.time();
        let (tens, last) = (two_digits(self.milli / 10), two_digits(self.milli).get(1..).unwrap_or_default());
        let parts = [(1, month), (4, day), (7, hour), (10, minute), (13, second), (16, tens), (18, last)];
        to.extend_from_slice(&filled(*b"-00-00T00:00:00.000Z", &parts));
    }

    /// Dates are in every message and every line of the log: the formatter's own padding would cost more than all else of them.
    fn write_year(self, to: &mut Vec<u8>) {
        match self.year {
            0..10_000 => {
                [self.year / 100, self.year].iter().for_each(|year| to.extend_from_slice(two_digits(*year).as_bytes()))
            }
            year => append_number(year, to),
        }
    }

    /// Hour, minute and second.
    fn time(self) -> [&'static str; 3] {
        [self.second / 3600, self.second / 60 % 60, self.second % 60].map(two_digits)
    }
}

/// What shows as the text that is written.
fn shown(write: impl Fn(&mut Vec<u8>)) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let mut text = Vec::new();
        write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    })
}

/// A pattern with these texts in their places.
fn filled<const N: usize>(mut pattern: [u8; N], parts: &[(usize, &str)]) -> [u8; N] {
    for (at, part) in parts {
        if let Some(place) = pattern.get_mut(*at..at + part.len()) {
            place.copy_from_slice(part.as_bytes());
        }
    }
    pattern
}

/// Microseconds since the Unix epoch of a moment as RFC 3339 §5.6 writes it: `2026-08-22T15:44:35.5+02:00`. Years from 1970 to
/// 9999; a leap second is the second before it.
pub fn micros_of_rfc3339(text: &str) -> Option<u64> {
    let octets = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = octets.get(from..to)?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| digits.iter().fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| octets.get(at).is_some_and(|octet| wanted.contains(octet));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let marks = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let ranges = year >= 1970 && (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    let days = days_of_month(year, month);
    if !marks || !ranges || day == 0 || day > days {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    if fraction.is_empty() {
        return None;
    }
    let micros =
        fraction.bytes().chain([b'0'; 6]).take(6).fold(0, |micros, digit| 10 * micros + u64::from(digit - b'0'));
    let local = days_since_epoch(year, month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second.min(59);
    let east = seconds_east(zone)?;
    let seconds = i64::try_from(local).ok()?.checked_sub(east)?;
    u64::try_from(seconds).ok()?.checked_mul(MICROS_A_SECOND)?.checked_add(micros)
}

/// `Z`, or how far the clocks are ahead: `+02:00`.
fn seconds_east(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let octets = zone.as_bytes();
    let digit = |at: usize| octets.get(at).filter(|octet| octet.is_ascii_digit()).map(|octet| i64::from(octet - b'0'));
    let (hours, minutes) = (10 * digit(1)? + digit(2)?, 10 * digit(4)? + digit(5)?);
    let seconds = hours * 3600 + minutes * 60;
    match (octets[0], octets[3], octets.len()) {
        (b'+', b':', 6) if hours < 24 && minutes < 60 => Some(seconds),
        (b'-', b':', 6) if hours < 24 && minutes < 60 => Some(-seconds),
        _ => None,
    }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the Unix epoch to a day of 1970 or later; years are counted from March, as above.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, era_year) = (year / 400, year % 400);
    let year_day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_AN_ERA + era_year * 365 + era_year / 4 - era_year / 100 + year_day - DAYS_TO_EPOCH
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

    #[test]
    fn moments_are_read_as_they_are_written() {
        let of = micros_of_rfc3339;
        assert_eq!(of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(of("2026-08-22T13:44:35Z"), Some(1_787_406_275 * MICROS_A_SECOND));
        assert_eq!(of("2026-08-22t15:44:35.25+02:00"), Some(1_787_406_275 * MICROS_A_SECOND + 250_000));
        assert_eq!(of("2026-08-22 10:14:35.0000009-03:30"), Some(1_787_406_275 * MICROS_A_SECOND));
        assert_eq!(of("2016-12-31T23:59:60Z"), of("2016-12-31T23:59:59Z"));
        for bad in [
            "",
            "2026-08-22",
            "2026-08-22T13:44:35",
            "2026-08-22T13:44:35.Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-08-00T00:00:00Z",
            "2026-08-22T24:00:00Z",
            "2026-08-22T13:60:00Z",
            "2026-08-22T13:44:35+2:00",
            "2026-08-22T13:44:35+24:00",
            "2026-08-22T13:44:35+02:00x",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2026-08-22T13:44:3\u{e9}Z",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0u64..253_402_300_800_000) {
            let micros = millis * 1000;
            let written = Date::from_micros(micros).rfc3339().to_string();
            proptest::prop_assert_eq!(micros_of_rfc3339(&written), Some(micros));
        }

        #[test]
        fn any_text_is_read_without_harm(text in "[0-9T:.Z+é -]{0,40}|.{0,40}") {
            let _ = micros_of_rfc3339(&text);
        }
    }
}
