//! The fields of a line as a punch again, as far as what was changed in them can be noticed.

use driver_api::{Clock, ClockSource, Direction, Flag, Mark, Origin, Punch, PunchId, Raw, Verify};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::chain::{Link, comes_out, head};
use crate::{spool, wire};

/// So many equal punches in one second are tried before a line is called changed.
const EQUAL: u32 = 1000;

pub(super) const EXPORTED: &str = "import what punchgate journal export has written, unchanged";
const CHANGED: &str = "export it again: a spreadsheet that makes 7 of 007, or another date of a date, changes a punch";

/// Why a line is wrong, and the mend.
pub(super) type Wrong = (String, &'static str);

/// A good line.
pub(super) struct Line {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) punch: Punch,
    pub(super) link: Link,
}

/// What both formats have.
pub(super) struct Fields {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) id: String,
    pub(super) person: String,
    pub(super) local: String,
    pub(super) zone: String,
    pub(super) utc: String,
    pub(super) clock: Clock,
    pub(super) place: Place,
    pub(super) direction: Direction,
    pub(super) verify: Verify,
    /// Each as it may have been meant: CSV cannot tell a number from a text, nor nothing from an empty one.
    pub(super) direction_raw: Vec<Option<Raw>>,
    pub(super) verify_raw: Vec<Option<Raw>>,
    pub(super) native: Vec<Option<String>>,
    pub(super) work_code: Option<String>,
    pub(super) flags: Result<Vec<Flag>, String>,
}

/// Where it stood in its ledger.
pub(super) struct Place {
    pub(super) ledger: i64,
    pub(super) seq: u64,
    pub(super) prev: String,
    pub(super) head: String,
}

pub(super) fn punch(fields: Fields) -> Result<Line, Wrong> {
    let Fields { terminal, serial, id, person, local, clock, direction, verify, work_code, flags, .. } = fields;
    if !wire::is_id(&terminal) {
        return Err((format!("terminal {terminal:?} is not 1 to 40 of a-z, 0-9 and -"), EXPORTED));
    }
    let flags = flags.map_err(|why| (why, EXPORTED))?;
    let id = PunchId::parse(&id).ok_or_else(|| (format!("{id:?} is no punch id"), EXPORTED))?;
    let local: DateTime =
        local.parse().map_err(|_| (format!("{local:?} is no wall time such as 2026-11-20T08:58:31"), CHANGED))?;
    let zone = self::zone(&fields.zone)
        .ok_or_else(|| (format!("{:?} is no time zone that this machine knows", fields.zone), "install tzdata"))?;
    let utc: Timestamp = fields.utc.parse().map_err(|_| (format!("{:?} is no instant", fields.utc), CHANGED))?;
    let ([is, or], _) = spool::instants(local, &zone);
    if ![is, or].contains(&utc) {
        return Err((
            format!(
                "{local} in its zone {} is {is}, and its utc says {utc}: one of the three was changed",
                fields.zone
            ),
            "export it again; if nothing was changed, the two machines have different time zone data: update tzdata on both",
        ));
    }
    possible(clock)?;
    let Place { ledger, seq, prev, head: behind } = fields.place;
    let link = Link { ledger, seq, prev: head(&prev)?, head: head(&behind)? };
    let mut punch = Punch {
        person,
        local,
        zone: Some(zone),
        direction: Mark { value: direction, raw: None },
        verify: Mark { value: verify, raw: None },
        work_code,
        native: None,
        nth: 1,
        origin: Origin::Import,
        clock,
        flags,
    };
    // Which of several equal punches of one second it is stands nowhere but in its id.
    for nth in 1..=EQUAL {
        punch.nth = nth;
        for direction in &fields.direction_raw {
            for verify in &fields.verify_raw {
                for native in &fields.native {
                    (punch.direction.raw, punch.verify.raw) = (direction.clone(), verify.clone());
                    punch.native.clone_from(native);
                    if PunchId::of(&serial, &punch) == id {
                        if !comes_out(&link, id, &punch) {
                            let why = "the head of its chain does not come out: its seq, prev or head was changed";
                            return Err((why.into(), EXPORTED));
                        }
                        return Ok(Line { terminal, serial, punch, link });
                    }
                }
            }
        }
    }
    Err((format!("its id {id} is not that of a punch with these fields: one of them was changed"), CHANGED))
}

/// More milliseconds than lie between the ends of the calendar.
const CALENDAR: i64 = 20_000 * 366 * 86_400_000;

/// Whether a clock can ever have been measured so.
fn possible(clock: Clock) -> Result<(), Wrong> {
    let Clock { skew_ms, err_ms, how } = clock;
    let why = match () {
        () if skew_ms.is_some_and(|skew| !(-CALENDAR..=CALENDAR).contains(&skew)) => "no clock can be so far off",
        () if err_ms.is_some_and(|err| !(0..=CALENDAR).contains(&err)) => "no error can be so large, or below 0",
        () if skew_ms.is_none() && err_ms.is_some() => "there is an error of what was not measured",
        () if skew_ms.is_some() && how == ClockSource::Unknown => "what was measured was measured somehow",
        () => return Ok(()),
    };
    let told = |ms: Option<i64>| ms.map_or_else(|| "nothing".into(), |ms| format!("{ms} ms"));
    Err((format!("its clock was off by {}, give or take {}: {why}", told(skew_ms), told(err_ms)), EXPORTED))
}

/// As exported: an IANA name or an offset.
fn zone(name: &str) -> Option<TimeZone> {
    if let Ok(zone) = TimeZone::get(name) {
        return Some(zone);
    }
    let (sign, rest) = match name.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let known = (0..26).contains(&hours) && (0..60).contains(&minutes);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().filter(|_| known).map(TimeZone::fixed)
}
