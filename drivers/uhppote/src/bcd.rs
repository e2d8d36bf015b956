//! Dates and times in packed decimals: `20 26 11 22 08 01 05`. Pure.

use jiff::civil::{Date, DateTime, Time};

/// Two decimal digits.
fn pair(byte: u8) -> Option<i8> {
    let (tens, ones) = (byte >> 4, byte & 0x0f);
    (tens <= 9 && ones <= 9).then(|| (tens * 10 + ones) as i8)
}

fn digits(number: i8) -> u8 {
    let number = number.unsigned_abs() % 100;
    ((number / 10) << 4) | (number % 10)
}

/// `YYYY MM DD`; nothing when it is no date, as the zeros of a board that knows none.
pub fn date(bytes: [u8; 4]) -> Option<Date> {
    let [century, year, month, day] = bytes.map(pair);
    Date::new(i16::from(century?) * 100 + i16::from(year?), month?, day?).ok().filter(|date| date.year() > 0)
}

/// `YY MM DD` of this century.
pub fn short_date([year, month, day]: [u8; 3]) -> Option<Date> {
    date([0x20, year, month, day])
}

/// `hh mm ss`
pub fn time(bytes: [u8; 3]) -> Option<Time> {
    let [hour, minute, second] = bytes.map(pair);
    Time::new(hour?, minute?, second?, 0).ok()
}

/// `YYYY MM DD hh mm ss`
pub fn date_time([century, year, month, day, hour, minute, second]: [u8; 7]) -> Option<DateTime> {
    Some(date([century, year, month, day])?.to_datetime(time([hour, minute, second])?))
}

/// The reverse of [`date_time`], for years 0 to 9999.
pub fn encode(local: DateTime) -> [u8; 7] {
    let year = local.year().clamp(0, 9999);
    let (century, year) = ((year / 100) as i8, (year % 100) as i8);
    [century, year, local.month(), local.day(), local.hour(), local.minute(), local.second()].map(digits)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date as day;

    use super::*;

    #[test]
    fn what_is_no_date_is_none() {
        let good = [0x20, 0x26, 0x11, 0x22, 0x08, 0x01, 0x05];
        assert_eq!(date_time(good), Some(day(2026, 11, 22).at(8, 1, 5, 0)));
        assert_eq!(encode(day(2026, 11, 22).at(8, 1, 5, 0)), good);
        for (at, byte) in [(2, 0x00), (2, 0x13), (3, 0x31), (3, 0x2a), (4, 0x24), (5, 0x60), (6, 0x5a), (0, 0xf0)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(date_time(bad), None, "{bad:02x?}");
        }
        assert_eq!(date_time([0; 7]), None);
        assert_eq!(date_time([0xff; 7]), None);
        assert_eq!(short_date([0x24, 0x02, 0x29]), Some(day(2024, 2, 29)));
        assert_eq!(short_date([0x26, 0x02, 0x29]), None);
    }
}
