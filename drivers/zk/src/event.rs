//! Live punches in all the sizes that terminals send.

use crate::{
    record::{Form, Record, Unreadable, Who, person, unpack},
    time,
};

/// Sizes of one live punch: those of a numeric person, then those of text.
const SIZES: [usize; 7] = [10, 12, 14, 32, 36, 37, 52];

/// Why an event was not understood. Its bytes are kept, and the log tells what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventWrong {
    #[error("no known event has this size")]
    Size,
    #[error("in the event: {0}")]
    Record(#[from] Unreadable),
    #[error("several punches in one event, and it is not clear how they are divided")]
    Unclear,
}

/// Reads the data of an attendance event: one punch, or several of one size. `form` is the layout of the terminal's log,
/// if known: both must give the same codes for one punch.
pub fn decode(data: &[u8], form: Option<Form>) -> Result<Vec<Record<'_>>, EventWrong> {
    let single =
        if SIZES.contains(&data.len()) { one(data, form).map_err(EventWrong::from) } else { Err(EventWrong::Size) };
    if let Ok(record) = single {
        return Ok(vec![record]);
    }
    let mut readings = SIZES
        .into_iter()
        .filter(|size| data.len() >= 2 * size && data.len().is_multiple_of(*size))
        .filter_map(|size| data.chunks_exact(size).map(|raw| one(raw, form).ok()).collect::<Option<Vec<_>>>());
    match (readings.next(), readings.next()) {
        (Some(records), None) => Ok(records),
        (Some(_), Some(_)) => Err(EventWrong::Unclear),
        (None, _) => Err(single.expect_err("a single punch was returned above")),
    }
}

/// Reads one punch, of one of [`SIZES`].
fn one(data: &[u8], form: Option<Form>) -> Result<Record<'_>, Unreadable> {
    let (who, rest) = match data.len() {
        10 | 14 => (Who::Number(u16::from_le_bytes([data[0], data[1]]).into()), &data[2..]),
        12 => (Who::Number(u32::from_le_bytes([data[0], data[1], data[2], data[3]])), &data[4..]),
        _ => (Who::Text(person(&data[..24])?), &data[24..]),
    };
    // Where numbers are short the log is of 8 bytes, and its codes may be packed: see `unpack`.
    let packed = match form {
        Some(form) => form == Form::B8,
        None => matches!(data.len(), 10 | 14),
    };
    let (verify, state) = if packed { unpack(rest[0], rest[1]) } else { (rest[0], rest[1]) };
    let six = [rest[2], rest[3], rest[4], rest[5], rest[6], rest[7]];
    let local = time::decode_six(six).ok_or(Unreadable::NoSuchDate)?;
    Ok(Record { who, local, verify, state, work_code: None })
}
