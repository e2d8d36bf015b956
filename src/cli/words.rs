//! Times and sizes in words, and back.

use driver_api::Period;
use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    tz::TimeZone,
};

use crate::inquiry::{DAYS_END, NotWall, Wall};

/// `3 d 4 h`, `5 min`, `12 s`: the two largest units.
pub(super) fn lasting(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(3);
    let mut words = format!("{} {}", seconds / units[first].1, units[first].0);
    if let Some((name, unit)) = units.get(first + 1) {
        let rest = seconds % units[first].1 / unit;
        if rest > 0 {
            words += &format!(" {rest} {name}");
        }
    }
    words
}

/// How long ago; what lies ahead is now.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    lasting(u64::try_from(now.as_second() - then.as_second()).unwrap_or(0))
}

/// `3.1 MiB`
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = count as f64;
    let mut unit = "B";
    for next in units {
        if shown < 1024.0 {
            break;
        }
        shown /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{count} B") } else { format!("{shown:.1} {unit}") }
}

/// `12,480`
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `+840 ms`, `-3 s`, `+26 y`: how far a terminal's clock is ahead.
pub(super) fn skew(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    match ms.unsigned_abs() {
        size @ ..10_000 => format!("{sign}{size} ms"),
        size => {
            // Two units are said: to the nearest of the second one.
            let seconds = (size + 500) / 1000;
            let unit = match seconds {
                86_400.. => 3_600,
                3_600.. => 60,
                _ => 1,
            };
            format!("{sign}{}", lasting((seconds + unit / 2) / unit * unit))
        }
    }
}

/// Reads an instant: a length of time back from now, an instant, or a date or wall time of this machine.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let mend = || "write 2h, 3d, 2026-11-20, 2026-11-20T08:00 or 2026-11-20T00:00:00Z".to_owned();
    if let Some(Period(back)) = Period::parse(text) {
        return Timestamp::now().checked_sub(back).map_err(|_| mend());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    // With a zone in brackets it would be an instant of that zone, and no wall time of this machine.
    let wall = Wall::parse(text).ok().and_then(|wall| wall.moment(Time::midnight())).ok_or_else(mend)?;
    wall.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp()).map_err(|_| mend())
}

/// The beginning of a time by a terminal's clock.
pub(super) fn from_wall(text: &str) -> Result<DateTime, String> {
    wall_or(text, Time::midnight())
}

/// The end of one.
pub(super) fn to_wall(text: &str) -> Result<DateTime, String> {
    wall_or(text, DAYS_END)
}

fn wall_or(text: &str, time: Time) -> Result<DateTime, String> {
    let mend = || "write 2026-11-20 or 2026-11-20T08:00, as the terminal's clock shows it".to_owned();
    match Wall::parse(text) {
        Err(zoned @ NotWall::Zoned { .. }) => Err(zoned.to_string()),
        Err(NotWall::Unread) => Err(mend()),
        Ok(wall) => wall.moment(time).ok_or_else(mend),
    }
}

/// An instant as this machine's wall shows it.
pub(super) fn wall(instant: Timestamp) -> String {
    instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
