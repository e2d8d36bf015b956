//! The packets of one bulk answer, put together.

use std::cmp::Ordering;

use driver_api::DriverError;
use tokio::time::Instant;

use crate::{
    command::reply,
    frame::Packet,
    session::{Answer, Session},
};

/// What came of an answer.
pub(crate) enum Collected {
    Whole,
    Refused(u16),
    Wrong(String),
    Silence,
    /// It puts only so many bytes into a datagram.
    Narrow(usize),
    /// It sends another number of bytes than it was asked for.
    Heedless(usize),
}

/// Takes the one datagram that holds a chunk. Its reply id says which question it answers, and the question where it lies; what
/// comes around it, before or after, or comes once more, tells nothing.
pub(crate) async fn collect_datagram(
    session: &mut Session,
    asked: u16,
    size: usize,
    body: &mut Vec<u8>,
) -> Result<Collected, DriverError> {
    let mut end = Instant::now() + session.patience() / 4;
    loop {
        let packet = match session.answer(asked, end).await? {
            Answer::Packet(packet) => packet,
            Answer::Damaged => return Ok(Collected::Wrong("a checksum failed".into())),
            Answer::Silence => return Ok(Collected::Silence),
        };
        match packet.command {
            reply::PREPARE => {
                let announced = packet.data.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
                if announced != size {
                    return Ok(Collected::Heedless(announced));
                }
            }
            reply::DATA | reply::OK_DATA => {
                let came = packet.data.len();
                return Ok(match came.cmp(&size) {
                    Ordering::Equal => {
                        body.extend_from_slice(&packet.data);
                        Collected::Whole
                    }
                    Ordering::Less => Collected::Narrow(came),
                    Ordering::Greater => Collected::Heedless(came),
                });
            }
            // The end of the answer overtook what it ends, or that is lost.
            reply::OK => end = end.min(Instant::now() + session.patience() / 20),
            code => return Ok(Collected::Refused(code)),
        }
    }
}

/// Gathers the packets of one answer: PREPARE with a size, DATA until it is reached, OK. Some terminals leave out the
/// first and the last. `asked_size` is how much must come; without it the terminal's own word counts, up to `limit`.
pub(crate) async fn collect(
    session: &mut Session,
    asked: u16,
    mut first: Option<Packet>,
    asked_size: Option<usize>,
    limit: usize,
    body: &mut Vec<u8>,
) -> Result<Collected, DriverError> {
    let start = body.len();
    let silence = if session.is_udp() { session.patience() / 4 } else { session.patience() * 2 };
    let end = Instant::now() + session.patience() * 12;
    let mut announced: Option<usize> = None;
    loop {
        let packet = match first.take() {
            Some(packet) => packet,
            None => match session.answer(asked, end.min(Instant::now() + silence)).await? {
                Answer::Packet(packet) => packet,
                Answer::Damaged => return Ok(Collected::Wrong("a checksum failed".into())),
                Answer::Silence => return Ok(Collected::Silence),
            },
        };
        let have = body.len() - start;
        match packet.command {
            reply::PREPARE => {
                let size = packet.data.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
                if announced.is_some() || have > 0 {
                    if session.is_udp() {
                        return Ok(Collected::Wrong("an answer was announced twice".into()));
                    }
                    return Err(session.garbled("an answer was announced twice"));
                }
                if asked_size.is_some_and(|asked| asked != size) || size > limit {
                    let asked = asked_size.map_or(format!("at most {limit}"), |asked| asked.to_string());
                    return Ok(Collected::Wrong(format!("{size} bytes announced, {asked} expected")));
                }
                announced = Some(size);
            }
            reply::DATA | reply::OK_DATA => {
                let expected = announced.or(asked_size);
                if have + packet.data.len() > expected.unwrap_or(limit) {
                    // Not an error of the line on TCP: we no longer know where we are.
                    return match session.is_udp() {
                        true => Ok(Collected::Wrong("a datagram came twice".into())),
                        false => Err(session.garbled("more bytes came than were announced")),
                    };
                }
                body.extend_from_slice(&packet.data);
                let whole = expected.is_none_or(|expected| have + packet.data.len() == expected);
                if announced.is_none() && whole {
                    return Ok(Collected::Whole);
                }
            }
            reply::OK => {
                if announced.is_none() && asked_size.is_none() && have == 0 {
                    // To the old read: nothing there, or all of it right here.
                    body.extend_from_slice(&packet.data);
                    return Ok(Collected::Whole);
                }
                return Ok(match announced.or(asked_size) {
                    Some(expected) if expected == have => Collected::Whole,
                    expected => Collected::Wrong(format!("{have} bytes came of {}", expected.unwrap_or_default())),
                });
            }
            code => return Ok(Collected::Refused(code)),
        }
    }
}
