//! A frame and what it says: pure.

use driver_api::{Direction, DirectionMark, Mark, Raw};
use jiff::civil::DateTime;
use line::wiegand::{self, Card};

use crate::{
    checksum::{hex, unhex},
    reader::{CardIs, Reader, Show},
};

/// Somebody at a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub card: String,
    /// Which reader on the line, where the frame says it.
    pub unit: Option<String>,
    pub direction: DirectionMark,
    /// The reader's own wall time.
    pub time: Option<DateTime>,
    /// The reader's own number of this read.
    pub sequence: Option<String>,
}

/// Why a frame gave nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The line is to blame.
    #[error("{0}")]
    Checksum(String),
    /// It came as it was sent, and does not say what it should.
    #[error("{0}")]
    Content(String),
}

/// What a frame says; `None` where it says that nobody was there, with the unit that says so.
pub fn read(reader: &Reader, frame: &[u8]) -> Result<Result<Read, Option<String>>, Unread> {
    let content = match &reader.checksum {
        Some(checksum) => checksum.strip(frame).map_err(Unread::Checksum)?,
        None => frame,
    };
    meaning(reader, content).map_err(Unread::Content)
}

fn meaning(reader: &Reader, content: &[u8]) -> Result<Result<Read, Option<String>>, String> {
    if reader.card == CardIs::Bytes {
        let mut bytes = content.to_vec();
        if let crate::framing::Framing::Fixed { sync, .. } = &reader.framing {
            bytes.drain(..sync.len().min(bytes.len()));
        } else if let crate::framing::Framing::Prefixed { at, wide, .. } = &reader.framing {
            bytes.drain(..(at + 1 + usize::from(*wide)).min(bytes.len()));
        }
        return Ok(Ok(plain(of_bytes(reader, bytes)?)));
    }
    let text = std::str::from_utf8(content).map_err(|_| "it is no text")?.trim();
    if !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err("there are control characters in it".into());
    }
    let Some(pattern) = &reader.pattern else {
        return Ok(Ok(plain(card(reader, text)?)));
    };
    let found = pattern.0.captures(text).ok_or("it is not written as this reader writes")?;
    let group = |name| found.name(name).map(|it| it.as_str());
    let unit = group("unit").map(str::to_owned);
    let Some(written) = group("card") else { return Ok(Err(unit)) };
    let direction = match group("dir") {
        None => Mark::absent(),
        Some(code) => {
            let value = reader.directions.get(code).copied().unwrap_or(Direction::Unknown);
            Mark { value, raw: Some(Raw::Text(code.to_owned())) }
        }
    };
    let time = match (group("time"), &reader.time) {
        (Some(time), Some(form)) => {
            let read = DateTime::strptime(form, time).map_err(|error| format!("{time:?} is no time: {error}"))?;
            Some(whole(read))
        }
        _ => None,
    };
    let sequence = group("seq").map(str::to_owned);
    Ok(Ok(Read { card: card(reader, written)?, unit, direction, time, sequence }))
}

/// Without the part of a second.
pub(crate) fn whole(local: DateTime) -> DateTime {
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}

fn plain(card: String) -> Read {
    Read { card, unit: None, direction: Mark::absent(), time: None, sequence: None }
}

/// A card as it is written in text.
fn card(reader: &Reader, written: &str) -> Result<String, String> {
    if written.is_empty() {
        return Err("the card is missing".into());
    }
    let bytes = || unhex(written.as_bytes()).ok_or_else(|| format!("{written:?} are no pairs of hex digits"));
    match reader.card {
        CardIs::Text => Ok(written.to_owned()),
        CardIs::Dec => {
            let number: u64 = written.parse().map_err(|_| format!("{written:?} is no number that fits"))?;
            if reader.show == Show::AsIs { Ok(written.to_owned()) } else { number_shown(reader.show, number) }
        }
        CardIs::Em4100 => match bytes()?[..] {
            [_, a, b, c, d] => shown(reader, vec![a, b, c, d]),
            _ => Err(format!("{written:?} are not ten hex digits")),
        },
        CardIs::Hex if reader.show == Show::AsIs && !reader.reverse => bytes().map(|_| written.to_owned()),
        CardIs::Hex => shown(reader, bytes()?),
        CardIs::Wiegand26 | CardIs::Wiegand34 | CardIs::WiegandAuto | CardIs::Bytes => of_bytes(reader, bytes()?),
    }
}

fn of_bytes(reader: &Reader, bytes: Vec<u8>) -> Result<String, String> {
    let bits = match (reader.card, bytes.len()) {
        (CardIs::Wiegand26, _) | (CardIs::WiegandAuto, 4) => 26,
        (CardIs::Wiegand34, _) | (CardIs::WiegandAuto, 5) => 34,
        (CardIs::WiegandAuto, other) => return Err(format!("{other} bytes are neither 26 nor 34 bits")),
        (_, 0) => return Err("the card is missing".into()),
        _ => return shown(reader, bytes),
    };
    match wiegand::decode(bits, &bytes, reader.align, reader.parity).map_err(|why| why.to_string())? {
        Card::Bits26 { facility, card } => {
            let [high, low] = card.to_be_bytes();
            shown(reader, vec![facility, high, low])
        }
        Card::Bits34(number) if reader.show == Show::FcCn => Ok(format!("{number:010}")),
        Card::Bits34(number) => shown(reader, number.to_be_bytes().to_vec()),
        Card::Other { bits, bytes } => Ok(format!("{}:{bits}", hex(&bytes))),
    }
}

fn shown(reader: &Reader, mut bytes: Vec<u8>) -> Result<String, String> {
    if reader.reverse {
        bytes.reverse();
    }
    match reader.show {
        Show::AsIs | Show::Hex => Ok(hex(&bytes)),
        // More than 32 bits would show another card than the one that is there.
        other if bytes.len() <= 4 => {
            number_shown(other, bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        _ => Err(format!("{} bytes are more than {:?} can show: show = \"hex\" can", bytes.len(), reader.show)),
    }
}

fn number_shown(show: Show, number: u64) -> Result<String, String> {
    match show {
        Show::Dec => Ok(number.to_string()),
        Show::Dec10 if number <= u32::MAX.into() => Ok(format!("{number:010}")),
        // Two cards that differ only above these bits would become one person.
        Show::FcCn if number < 1 << 24 => Ok(format!("{},{:05}", number >> 16, number & 0xffff)),
        Show::FcCn | Show::Dec10 => Err(format!("the card has more bits than {show:?} can show")),
        Show::Hex | Show::AsIs => Ok(format!("{number:X}")),
    }
}
