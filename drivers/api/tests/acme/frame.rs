//! Lines of an Acme AX terminal, and the punches they mean. Pure.

use driver_api::{Clock, Direction, Mark, Origin, Punch, Raw, Verify};
use jiff::{civil::DateTime, fmt::strtime};

/// Longest line that makes sense; a terminal that sends more is not one of ours.
pub const LONGEST: usize = 128;

/// `P NUMBER PERSON YYYYMMDDhhmmss I|O`: the number, and the punch.
pub fn punch(line: &str) -> Result<(u32, Punch), String> {
    let fields: Vec<&str> = line.split(' ').collect();
    let ["P", number, person, time, direction] = fields[..] else {
        return Err(format!("{line:?} has not the five fields of a punch"));
    };
    let number: u32 = number.parse().map_err(|_| format!("{number:?} is no number of a record"))?;
    if person.is_empty() || !person.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
        return Err(format!("{person:?} is nobody"));
    }
    let local: DateTime = strtime::parse("%Y%m%d%H%M%S", time)
        .and_then(|time| time.to_datetime())
        .map_err(|error| format!("{time:?} is no time: {error}"))?;
    let value = match direction {
        "I" => Direction::In,
        "O" => Direction::Out,
        _ => Direction::Unknown,
    };
    let punch = Punch {
        person: person.to_owned(),
        local,
        zone: None,
        direction: Mark { value, raw: Some(Raw::Text(direction.to_owned())) },
        verify: Mark { value: Verify::Card, raw: None },
        work_code: None,
        native: Some(number.to_string()),
        nth: 1,
        origin: Origin::Live,
        clock: Clock::UNKNOWN,
        flags: Vec::new(),
    };
    Ok((number, punch))
}
