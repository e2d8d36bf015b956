//! The words of one event, and what they say. Pure.

use driver_api::{Direction, DirectionMark, Mark, Raw, SetAside, Verify, VerifyMark};
use jiff::{civil::DateTime, tz::TimeZone};

use crate::{
    map::{Codes, Record, Stamp},
    value::{Field, time},
};

/// One event as the terminal shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub person: String,
    pub sequence: Option<u64>,
    /// Wall time of the terminal's zone, where the record has a time.
    pub local: Option<DateTime>,
    pub direction: DirectionMark,
    pub verify: VerifyMark,
}

impl Record {
    /// What the words say; `None` when they say that nobody is there.
    pub fn decode(&self, words: &[u16], zone: &TimeZone) -> Result<Option<Event>, String> {
        let named = |field: &str, why: String| format!("{field}: {why}");
        let absent = self.present.is_some_and(|at| words.get(at) == Some(&0));
        let bits = self.bits.as_ref().map(|field| field.number(words)).transpose().map_err(|why| named("bits", why))?;
        if absent || bits == Some(0) || self.person.of(words).is_some_and(|card| card.iter().all(|word| *word == 0)) {
            return Ok(None);
        }
        let person = self.person.text(words, bits).map_err(|why| named("person", why))?;
        if person.is_empty() {
            return Ok(None);
        }
        let sequence = self.sequence.as_ref().map(|field| field.number(words)).transpose();
        let local = self.time.as_ref().map(|stamp| stamp.local(words, zone)).transpose();
        Ok(Some(Event {
            person,
            sequence: sequence.map_err(|why| named("sequence", why))?,
            local: local.map_err(|why| named("time", why))?,
            direction: mark::<Direction>(self.direction.as_ref(), words).map_err(|why| named("direction", why))?,
            verify: mark::<Verify>(self.verify.as_ref(), words).map_err(|why| named("verify", why))?,
        }))
    }
}

impl Stamp {
    fn local(&self, words: &[u16], zone: &TimeZone) -> Result<DateTime, String> {
        let at = time(self.form, self.order, words.get(self.at..).unwrap_or_default())?;
        if !self.utc {
            return Ok(at);
        }
        let utc = at.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        Ok(utc.with_time_zone(zone.clone()).datetime())
    }
}

fn mark<T: Copy + Default>(field: Option<&(Field, Codes<T>)>, words: &[u16]) -> Result<Mark<T>, String> {
    let Some((field, codes)) = field else { return Ok(Mark::absent()) };
    let code = field.number(words)?;
    let value = codes.iter().find(|(known, _)| *known == code).map(|(_, value)| *value);
    // A code of four words may be larger than what a raw code has room for; as text it has.
    let raw = i64::try_from(code).map_or_else(|_| Raw::Text(code.to_string()), Raw::Number);
    Ok(Mark { value: value.unwrap_or_default(), raw: Some(raw) })
}

/// Words that make no punch, kept as they stood on the wire.
pub fn set_aside(words: &[u16], reason: String) -> SetAside {
    let mut raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    raw.truncate(SetAside::LIMIT);
    SetAside { raw, reason, nth: 1 }
}
