//! Times as these terminals write them, and the notations in which we tell them theirs.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

/// `YYYY-MM-DD HH:MM:SS`, or with a `T`: all 19 characters and no other. A time that was cut off by a broken line is
/// shorter, and must never be taken for another time.
pub(crate) fn wall(field: &[u8]) -> Option<DateTime> {
    let field = field.trim_ascii();
    let shape = field.len() == 19
        && field.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => matches!(byte, b' ' | b'T'),
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    let part =
        |from: usize, to: usize| field[from..to].iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let small = |from: usize| i8::try_from(part(from, from + 2)).ok();
    DateTime::new(part(0, 4), small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()
}

/// The vendor's number of seconds, in which every month has 31 days (security dialect: `time_second`, `DateTime`).
pub(crate) fn from_vendor_seconds(seconds: i64) -> Option<DateTime> {
    if !(0..=i64::from(u32::MAX) * 4).contains(&seconds) {
        return None;
    }
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let small = |number: i64| i8::try_from(number).ok();
    DateTime::new(
        i16::try_from(2000 + days / (12 * 31)).ok()?,
        small(days / 31 % 12 + 1)?,
        small(days % 31 + 1)?,
        small(time / 3600)?,
        small(time / 60 % 60)?,
        small(time % 60)?,
        0,
    )
    .ok()
}

/// The other way; `None` before the year 2000.
pub(crate) fn to_vendor_seconds(at: DateTime) -> Option<i64> {
    let days = (i64::from(at.year()) - 2000) * 12 * 31 + (i64::from(at.month()) - 1) * 31 + i64::from(at.day()) - 1;
    let time = (i64::from(at.hour()) * 60 + i64::from(at.minute())) * 60 + i64::from(at.second());
    (days >= 0).then_some(days * 86_400 + time)
}

/// Our time in a zone, in whole seconds.
pub(crate) fn now_in(zone: &TimeZone, now: Timestamp) -> DateTime {
    let at = zone.to_datetime(now);
    DateTime::new(at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second(), 0).unwrap_or(at)
}

/// How the value of `TimeZone` is written; firmwares differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ZoneStyle {
    /// Whole hours as hours from -12 to 12, everything else in minutes.
    #[default]
    Number,
    /// `+05:30`
    Iso,
}

/// The value of the option `TimeZone` for an offset from UTC.
pub(crate) fn zone_option(offset: Offset, style: ZoneStyle) -> String {
    let minutes = offset.seconds() / 60;
    match style {
        ZoneStyle::Number if minutes % 60 == 0 && (-12 * 60..=12 * 60).contains(&minutes) => (minutes / 60).to_string(),
        ZoneStyle::Number => minutes.to_string(),
        ZoneStyle::Iso => iso_offset(offset, ":"),
    }
}

/// `+05:30`, with this between hours and minutes.
pub(crate) fn iso_offset(offset: Offset, between: &str) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{between}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_taken_whole_or_not_at_all() {
        let wanted = Some(date(2026, 11, 22).at(8, 0, 1, 0));
        assert_eq!(wall(b"2026-11-22 08:00:01"), wanted);
        assert_eq!(wall(b"2026-11-22T08:00:01"), wanted);
        for bad in [
            "2026-11-22 08:00:0",
            "2026-11-22 08:00:011",
            "2026-02-30 08:00:00",
            "2026-11-22 24:00:00",
            "1971--10--29 -23:-27:-54",
            "",
            "2026/11/22 08:00:01",
            "1732262400",
        ] {
            assert_eq!(wall(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_zone_is_written_so_that_no_clock_moves_wrongly() {
        let at = |seconds| Offset::from_seconds(seconds).unwrap();
        for (seconds, number, iso) in [
            (7 * 3600, "7", "+07:00"),
            (-5 * 3600, "-5", "-05:00"),
            (0, "0", "+00:00"),
            (19_800, "330", "+05:30"),
            (-12_600, "-210", "-03:30"),
            (20_700, "345", "+05:45"),
            (13 * 3600, "780", "+13:00"),
        ] {
            assert_eq!(zone_option(at(seconds), ZoneStyle::Number), number);
            assert_eq!(zone_option(at(seconds), ZoneStyle::Iso), iso);
        }
    }

    #[test]
    fn vendor_seconds_count_months_of_31_days() {
        assert_eq!(to_vendor_seconds(date(2000, 1, 1).at(0, 0, 0, 0)), Some(0));
        assert_eq!(to_vendor_seconds(date(2000, 2, 1).at(0, 0, 1, 0)), Some(31 * 86_400 + 1));
        assert_eq!(from_vendor_seconds(30 * 86_400 + 31 * 86_400), None, "the 31st of February");
    }

    proptest! {
        #[test]
        fn vendor_seconds_come_back(day in 0..20_000_i64, second in 0..86_400_i64) {
            let at = date(2000, 1, 1).at(0, 0, 0, 0)
                .checked_add(jiff::Span::new().days(day).seconds(second)).unwrap();
            prop_assert_eq!(to_vendor_seconds(at).and_then(from_vendor_seconds), Some(at));
        }

        #[test]
        fn no_bytes_make_it_panic(field: Vec<u8>, seconds: i64) {
            wall(&field);
            from_vendor_seconds(seconds);
        }
    }
}
