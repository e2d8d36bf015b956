//! From what a driver hands over to an entry of a ledger: the normalised instant, and the flags that we add. Pure.

use std::sync::Arc;

use driver_api::{Clock, Flag, Origin, Punch, PunchId};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::record::ZoneNames;
use crate::ledger::{Entry, Head};

/// Texts of one punch together, in bytes. No terminal has such; a longer one is set aside.
const TEXT_LIMIT: usize = 8 << 10;
/// A local date before this year is that of a clock that was never set: no terminal on sale is as old.
const FIRST_YEAR: i16 = 2010;
/// A punch may be so far ahead of our clock, in seconds, before it is flagged.
const FUTURE_LIMIT: i64 = 86_400;

/// Why a punch cannot be stored as one; `None` for all that terminals send.
pub(super) fn too_long(punch: &Punch) -> Option<String> {
    let raw = |raw: &Option<driver_api::Raw>| match raw {
        Some(driver_api::Raw::Text(text)) => text.len(),
        _ => 0,
    };
    let texts = punch.person.len()
        + punch.work_code.as_ref().map_or(0, String::len)
        + punch.native.as_ref().map_or(0, String::len)
        + raw(&punch.direction.raw)
        + raw(&punch.verify.raw);
    (texts > TEXT_LIMIT).then(|| format!("its texts are {texts} bytes long, and {TEXT_LIMIT} is the limit"))
}

/// About how many bytes of the journal a punch takes.
pub(super) fn weight(punch: &Punch) -> usize {
    160 + punch.person.len() + punch.native.as_ref().map_or(0, String::len)
}

/// Whole seconds: what an id and a record hold.
pub(super) fn whole_seconds(local: DateTime) -> DateTime {
    if local.subsec_nanosecond() == 0 {
        return local;
    }
    local.with().subsec_nanosecond(0).build().expect("a wall time without its fraction is a wall time")
}

/// The entry of a punch whose `local` is in whole seconds.
pub(super) fn entry(
    punch: Punch,
    id: PunchId,
    place: (u64, Head),
    zone: &TimeZone,
    now: Timestamp,
    zones: &mut ZoneNames,
) -> Entry {
    let (seq, prev) = place;
    let zone = punch.zone.as_ref().unwrap_or(zone);
    let (instants, odd) = instants(punch.local, zone);
    let utc = match punch.origin {
        Origin::Live => nearest(instants, punch.clock, now),
        _ => instants[0],
    };
    let mut flags = punch.flags;
    flags.extend(odd);
    if punch.local.year() < FIRST_YEAR {
        flags.push(Flag::ClockUnset);
    }
    if utc.as_second().saturating_sub(now.as_second()) > FUTURE_LIMIT {
        flags.push(Flag::Future);
    }
    if punch.nth > 1 {
        flags.push(Flag::DuplicateSecond);
    }
    flags.sort_unstable();
    flags.dedup();
    Entry {
        seq,
        id,
        prev,
        person: punch.person,
        local: punch.local,
        zone: zone_name(zone, utc, zones),
        utc,
        clock: punch.clock,
        direction: punch.direction,
        verify: punch.verify,
        work_code: punch.work_code,
        origin: punch.origin,
        native: punch.native,
        flags,
        stored: now,
    }
}

/// The instants of a wall time, the first and the last: one that happened twice has two; one that never happened is taken as
/// so much later as clocks were put forward. Both are told.
pub fn instants(local: DateTime, zone: &TimeZone) -> ([Timestamp; 2], Option<Flag>) {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let odd = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Fold { .. } => Some(Flag::AmbiguousTime),
        AmbiguousOffset::Gap { .. } => Some(Flag::NonexistentTime),
    };
    let last = if odd == Some(Flag::AmbiguousTime) { ambiguous.later() } else { ambiguous.compatible() };
    match (ambiguous.compatible(), last) {
        (Ok(first), Ok(last)) => ([first, last], odd),
        // Only the last day of year 9999 and the first of -9999 are out of reach.
        _ if local.year() > 0 => ([Timestamp::from_second(Timestamp::MAX.as_second()).expect("within"); 2], odd),
        _ => ([Timestamp::MIN; 2], odd),
    }
}

/// Of the two instants of a live punch the one that is now, by a clock that is so far off.
fn nearest([first, last]: [Timestamp; 2], clock: Clock, now: Timestamp) -> Timestamp {
    let there = now.as_millisecond().saturating_add(clock.skew_ms.unwrap_or(0));
    let away = |it: Timestamp| it.as_millisecond().abs_diff(there);
    if away(last) < away(first) { last } else { first }
}

/// IANA name, or the offset at that instant.
fn zone_name(zone: &TimeZone, at: Timestamp, zones: &mut ZoneNames) -> Arc<str> {
    if let Some(name) = zone.iana_name() {
        return zones.get(name);
    }
    let seconds = zone.to_offset(at).seconds();
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    zones.get(&format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60))
}

/// A wall time for [`driver_api::Holdings`].
pub(super) fn from_wall_seconds(seconds: i64) -> Option<DateTime> {
    Timestamp::from_second(seconds).ok().map(|at| Offset::UTC.to_datetime(at))
}

#[cfg(test)]
mod tests {
    use driver_api::{ClockSource, Mark};
    use jiff::civil::{date, datetime};

    use super::*;

    fn stored(local: DateTime, zone: &TimeZone, nth: u32) -> Entry {
        let punch = Punch {
            person: "007".into(),
            local,
            zone: None,
            direction: Mark::absent(),
            verify: Mark::absent(),
            work_code: None,
            native: None,
            nth,
            origin: Origin::Live,
            clock: Clock::UNKNOWN,
            flags: vec![Flag::Denied],
        };
        let now = "2026-11-20T01:00:00Z".parse().unwrap();
        let place = (1, Head([0; 32]));
        entry(punch, PunchId([0; 16]), place, zone, now, &mut ZoneNames::default())
    }

    #[test]
    fn a_wall_time_becomes_an_instant_in_its_zone() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let entry = stored(datetime(2026, 11, 20, 8, 58, 31, 0), &shanghai, 1);
        assert_eq!((entry.utc.to_string().as_str(), &*entry.zone), ("2026-11-20T00:58:31Z", "Asia/Shanghai"));
        assert_eq!(entry.flags, [Flag::Denied]);
        let india = stored(
            datetime(2026, 11, 20, 8, 0, 0, 0),
            &TimeZone::fixed(jiff::tz::offset(5).saturating_add(jiff::Span::new().minutes(30))),
            1,
        );
        assert_eq!((india.utc.to_string().as_str(), &*india.zone), ("2026-11-20T02:30:00Z", "+05:30"));
    }

    #[test]
    fn an_odd_time_is_flagged_and_kept() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (local, flag) in [
            (datetime(2000, 1, 1, 0, 0, 7, 0), Flag::ClockUnset),
            (datetime(2026, 11, 21, 9, 0, 0, 0), Flag::Future),
            (datetime(2026, 10, 25, 2, 30, 0, 0), Flag::AmbiguousTime),
            (datetime(2026, 3, 29, 2, 30, 0, 0), Flag::NonexistentTime),
        ] {
            let entry = stored(local, &berlin, 1);
            assert_eq!(
                (entry.local, entry.flags),
                (local, {
                    let mut flags = vec![flag, Flag::Denied];
                    flags.sort();
                    flags
                })
            );
        }
        let day_ahead = stored(datetime(2026, 11, 21, 1, 30, 0, 0), &berlin, 2);
        assert_eq!(day_ahead.flags, [Flag::DuplicateSecond, Flag::Denied]);
        // The ends of the calendar stop nobody.
        stored(date(9999, 12, 31).at(23, 59, 59, 0), &TimeZone::fixed(jiff::tz::offset(-12)), 1);
        stored(date(-9999, 1, 1).at(0, 0, 0, 0), &berlin, 1);
    }

    #[test]
    fn the_second_of_two_equal_hours_is_known_by_when_it_comes() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let instants = instants(datetime(2026, 10, 25, 2, 30, 0, 0), &berlin).0;
        assert_eq!(instants.map(|it| it.to_string()), ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
        let at = |text: &str, skew_ms| {
            let clock = Clock { skew_ms, err_ms: skew_ms.map(|_| 300), how: ClockSource::Probed };
            let nearest = nearest(instants, clock, text.parse().unwrap());
            instants.iter().position(|it| *it == nearest).unwrap()
        };
        assert_eq!([at("2026-10-25T00:30:02Z", None), at("2026-10-25T01:30:02Z", None)], [0, 1]);
        // The terminal is half an hour ahead, or behind.
        assert_eq!([at("2026-10-25T00:00:02Z", Some(1_800_000)), at("2026-10-25T01:00:02Z", Some(1_800_000))], [0, 1]);
        assert_eq!(
            [at("2026-10-25T01:00:02Z", Some(-1_800_000)), at("2026-10-25T02:00:02Z", Some(-1_800_000))],
            [0, 1]
        );
    }
}
