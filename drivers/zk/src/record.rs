//! Records of the stored log in all their sizes. Pure: bytes in, records out, never a panic.

use jiff::civil::DateTime;

use crate::time;

/// Who punched, as the record has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who<'a> {
    /// The printed id.
    Text(&'a str),
    /// The printed id or the terminal's internal number of the user: only the user list tells.
    Number(u32),
}

/// One punch as the terminal recorded it, in its log or in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    pub who: Who<'a>,
    pub local: DateTime,
    /// How the person was recognised; tables differ between models.
    pub verify: u8,
    /// What the person was doing.
    pub state: u8,
    pub work_code: Option<u32>,
}

/// Why bytes are no record. Shown to support engineers beside the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the record has no time")]
    NoTime,
    #[error("the record's time names no real date")]
    NoSuchDate,
    #[error("the record names no person")]
    Nobody,
    #[error("the record's person is not printable text")]
    NotText,
    #[error("the record has another size than its log")]
    Size,
}

/// A layout of log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Form {
    /// 8 bytes: number, verify, time, state.
    A8,
    /// 8 bytes: number, verify, state, time (ZEM500, MA300 and others).
    B8,
    /// 16 bytes with a numeric person.
    Number16,
    /// 40 bytes or more with a person of text; those over 40 only append to it. The record's size.
    Text(u8),
}

/// The longest record that [`Form::Text`] is used for.
pub const LONGEST: usize = 64;

impl Form {
    /// Bytes of one record.
    pub fn size(self) -> usize {
        match self {
            Self::A8 | Self::B8 => 8,
            Self::Number16 => 16,
            Self::Text(size) => usize::from(size).max(40),
        }
    }

    /// Whether its person is a number, for which the user list is needed.
    pub fn is_numeric(self) -> bool {
        !matches!(self, Self::Text(_))
    }

    /// Reads one record of [`Form::size`] bytes.
    pub fn decode(self, raw: &[u8]) -> Result<Record<'_>, Unreadable> {
        if raw.len() != self.size() {
            return Err(Unreadable::Size);
        }
        let short = |at: usize| u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
        let long = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        Ok(match self {
            Self::A8 => Record {
                who: Who::Number(short(0)),
                local: instant(long(3))?,
                verify: raw[2],
                state: raw[7],
                work_code: None,
            },
            Self::B8 => {
                let (verify, state) = unpack(raw[2], raw[3]);
                Record { who: Who::Number(short(0)), local: instant(long(4))?, verify, state, work_code: None }
            }
            Self::Number16 => Record {
                who: Who::Number(long(0)),
                local: instant(long(4))?,
                verify: raw[8],
                state: raw[9],
                work_code: Some(long(12)).filter(|code| *code != 0),
            },
            // The number at 0 is the user's internal one in some firmware and a running number in other: never used.
            Self::Text(_) => Record {
                local: instant(long(27))?,
                who: Who::Text(person(&raw[2..26])?),
                verify: raw[26],
                state: raw[31],
                work_code: Some(long(32)).filter(|code| *code != 0),
            },
        })
    }
}

fn instant(packed: u32) -> Result<DateTime, Unreadable> {
    time::decode(packed).ok_or(if packed == 0 { Unreadable::NoTime } else { Unreadable::NoSuchDate })
}

/// A printed id: text up to a NUL. What stands behind it is rubbish.
pub fn person(field: &[u8]) -> Result<&str, Unreadable> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok("") => Err(Unreadable::Nobody),
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(Unreadable::NotText),
    }
}

/// A ZEM500 keeps the state in the high half of the byte that holds the verify code elsewhere, and nothing in the
/// state's own. Terminals with these records know no verify code over 15.
pub fn unpack(verify: u8, state: u8) -> (u8, u8) {
    if state == 0 && (0x10..0x60).contains(&verify) { (verify & 0x0f, verify >> 4) } else { (verify, state) }
}

/// The records of a body as read in bulk: a count of bytes, and so many bytes. A body that is not what it claims is refused.
pub fn records(body: &[u8]) -> Result<&[u8], BodyWrong> {
    let Some((claimed, records)) = body.split_at_checked(4) else {
        return if body.is_empty() { Ok(body) } else { Err(BodyWrong { claimed: 4, held: body.len() }) };
    };
    let claimed = u32::from_le_bytes(claimed.try_into().expect("four bytes were taken")) as usize;
    if claimed == records.len() { Ok(records) } else { Err(BodyWrong { claimed, held: records.len() }) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer claims {claimed} bytes and holds {held}")]
pub struct BodyWrong {
    pub claimed: usize,
    pub held: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_be_what_it_claims() {
        assert_eq!(records(&[]), Ok(&[][..]));
        assert_eq!(records(&[0; 4]), Ok(&[][..]));
        assert_eq!(records(&[2, 0, 0, 0, 7, 8]), Ok(&[7, 8][..]));
        assert_eq!(records(&[2, 0, 0, 0, 7]), Err(BodyWrong { claimed: 2, held: 1 }));
        assert_eq!(records(&[2, 0, 0, 0, 7, 8, 9]), Err(BodyWrong { claimed: 2, held: 3 }));
        assert!(records(&[1, 2]).is_err());
        assert!(records(&[0xff, 0xff, 0xff, 0xff, 1]).is_err());
    }

    #[test]
    fn a_person_is_text_up_to_the_first_nul() {
        assert_eq!(person(b"007\0rubbish\x01"), Ok("007"));
        assert_eq!(person("张三".as_bytes()), Ok("张三"));
        assert_eq!(person(b"\0\0"), Err(Unreadable::Nobody));
        assert_eq!(person(b"a\x01b"), Err(Unreadable::NotText));
        assert_eq!(person(&[0xd5, 0xc5]), Err(Unreadable::NotText));
    }

    #[test]
    fn a_packed_state_is_told_from_a_plain_one() {
        assert_eq!(unpack(0x28, 0), (8, 2));
        assert_eq!(unpack(15, 1), (15, 1));
        assert_eq!(unpack(15, 0), (15, 0));
        assert_eq!(unpack(0xff, 0), (0xff, 0));
    }
}
