//! A terminal's wall time in its two forms: a packed number in records, six plain bytes in events.

use jiff::civil::{Date, DateTime, Time};

/// Years written with two digits end here.
const LAST_YEAR: i16 = 2099;

/// Before this year a terminal's clock has never been set, or has lost its battery.
pub const FIRST_SANE_YEAR: i16 = 2010;

/// Reads the packed form. `None` for zero, which means *no time*, and for values that name no real date: all months
/// have 31 days in it.
pub fn decode(packed: u32) -> Option<DateTime> {
    if packed == 0 {
        return None;
    }
    let (days, second) = (packed / 86_400, packed % 86_400);
    let (months, day) = (days / 31, days % 31);
    let (years, month) = (months / 12, months % 12);
    // All of these are small: no division above leaves more than 133 years.
    real(2000 + years as i16, month as i8 + 1, day as i8 + 1, second / 3600, second / 60 % 60, second % 60)
}

/// Reads the six bytes of events: year of the century, month, day, hour, minute, second.
pub fn decode_six(bytes: [u8; 6]) -> Option<DateTime> {
    let [year, month, day, hour, minute, second] = bytes;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let local = real(2000 + i16::from(year), month, day, hour.into(), minute.into(), second.into())?;
    // The same moment would be zero in the packed form, where it means no time: one rule for both.
    (encode(local) != 0).then_some(local)
}

fn real(year: i16, month: i8, day: i8, hour: u32, minute: u32, second: u32) -> Option<DateTime> {
    if year > LAST_YEAR {
        return None;
    }
    let small = |value: u32| i8::try_from(value).ok();
    let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    Some(Date::new(year, month, day).ok()?.to_datetime(time))
}

/// Packs a wall time; the century is left out.
pub fn encode(local: DateTime) -> u32 {
    let year = local.year().rem_euclid(100) as u32;
    let days = (year * 12 + local.month() as u32 - 1) * 31 + local.day() as u32 - 1;
    days * 86_400 + local.hour() as u32 * 3600 + local.minute() as u32 * 60 + local.second() as u32
}

/// The six bytes of events.
pub fn encode_six(local: DateTime) -> [u8; 6] {
    let year = local.year().rem_euclid(100) as u8;
    let [month, day] = [local.month() as u8, local.day() as u8];
    [year, month, day, local.hour() as u8, local.minute() as u8, local.second() as u8]
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn wall_times_are_packed_as_terminals_do() {
        for (local, packed) in [
            (date(2018, 6, 25).at(17, 50, 35, 0), 0x2368_b36b),
            (date(2024, 2, 29).at(12, 34, 56, 0), 0x2e48_c970),
            (date(2026, 11, 22).at(19, 56, 40, 0), 0x3384_a4f8),
            (date(2099, 12, 31).at(23, 59, 59, 0), 0xbf92_f7ff),
        ] {
            assert_eq!(decode(packed), Some(local));
            assert_eq!(encode(local), packed);
            assert_eq!(decode_six(encode_six(local)), Some(local));
        }
        assert_eq!(encode(date(2000, 1, 1).at(0, 0, 0, 0)), 0);
    }

    #[test]
    fn what_is_no_date_is_not_made_one() {
        for packed in [0, 0x3035_0234, 0xffff_ffff] {
            assert_eq!(decode(packed), None, "{packed:#x}");
        }
        for bytes in [[25, 2, 30, 21, 12, 20], [25, 13, 1, 0, 0, 0], [25, 1, 1, 24, 0, 0], [255; 6], [0, 1, 1, 0, 0, 0]]
        {
            assert_eq!(decode_six(bytes), None, "{bytes:?}");
        }
    }
}
