//! The date of a message (RFC 5322 section 3.3).

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date-time of `seconds` since 1970 in UTC, as in `Thu, 1 Jan 1970 00:00:00 +0000`.
pub fn date_time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS[(days % 7) as usize];
    let month = MONTHS[month];
    format!("{weekday}, {day} {month} {year} {:02}:{:02}:{:02} +0000", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month from 0 and day from 1 of a day counted from 1 January 1970.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let february = if days_of(year) == 366 { 29 } else { 28 };
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn days_of(year: u64) -> u64 {
    if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::date_time;

    #[test]
    fn knows_the_calendar() {
        assert_eq!(date_time(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(date_time(951_826_271), "Tue, 29 Feb 2000 12:11:11 +0000");
        assert_eq!(date_time(951_868_800), "Wed, 1 Mar 2000 00:00:00 +0000");
        assert_eq!(date_time(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 +0000");
    }
}
