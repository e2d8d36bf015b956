//! Reading users and log in bulk: as a snapshot in chunks, or in the old way. All of it or nothing.

use std::ops::Range;

use driver_api::DriverError;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    command::{ask, meaning, reply},
    frame::Packet,
    session::{Answer, Session},
};

/// A chunk with its header stays under 65,536 bytes.
pub(crate) const CHUNK_TCP: usize = 0xffc0;
/// Sent by the terminal in 1,024-byte datagrams.
pub(crate) const CHUNK_UDP: usize = 16_384;
/// Slow lines carry this where they cannot carry more.
pub(crate) const CHUNK_LEAST: usize = 2048;
/// Largest body taken from a terminal that does not tell its capacity.
pub(crate) const BODY_LIMIT: usize = 64 << 20;
/// In front of the records: how many bytes they are.
pub(crate) const HEADER: usize = 4;
/// A chunk is asked for again so often.
const AGAIN: u32 = 3;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Users,
    Log,
}

impl What {
    fn command_and_argument(self) -> (u16, u32) {
        match self {
            Self::Users => (ask::USERS, 5),
            Self::Log => (ask::LOG, 0),
        }
    }
}

/// Why a read came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFailed {
    /// The session is well, the terminal just does not want to.
    #[error("the terminal answered {}", meaning(*.0))]
    Refused(u16),
    /// What came was not what it claimed to be; nothing of it is used.
    #[error("{0}")]
    Bad(String),
    /// The session is over.
    #[error(transparent)]
    Lost(#[from] DriverError),
}

/// What a driver remembers of how its terminal is best read, from session to session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Bytes asked for at a time.
    pub(crate) chunk: usize,
    /// The terminal knows no snapshots.
    pub(crate) legacy: bool,
    /// A piece out of the middle of a snapshot is not what lies there: only whole reads tell anything.
    pub(crate) blind: bool,
}

/// A read under way. Memory grows with what has arrived, never with what was announced.
#[derive(Debug)]
pub(crate) struct Download {
    total: usize,
    body: Vec<u8>,
}

enum Collected {
    Whole,
    Refused(u16),
    Wrong(String),
    Silence,
}

impl Download {
    /// Asks for the snapshot. What is small arrives with it. `limit` is the largest body that can be true.
    pub(crate) async fn begin(
        session: &mut Session,
        what: What,
        limit: usize,
        manner: &mut Manner,
    ) -> Result<Self, ReadFailed> {
        if manner.legacy {
            return Self::legacy(session, what, limit).await;
        }
        let (command, argument) = what.command_and_argument();
        let mut data = vec![1];
        data.extend_from_slice(&command.to_le_bytes());
        data.extend_from_slice(&argument.to_le_bytes());
        data.extend_from_slice(&[0; 4]);
        // The terminal first copies its whole log.
        let patience = session.patience() * 6;
        let answer = session.request_within(ask::BUFFER, &data, 3, patience).await?;
        match answer.command {
            reply::DATA | reply::OK_DATA => Ok(Self { total: answer.data.len(), body: answer.data }),
            reply::OK => {
                let Some(total) = answer.data.get(1..5) else {
                    return Err(ReadFailed::Bad("the terminal did not say how much there is to read".into()));
                };
                let total = u32::from_le_bytes(total.try_into().expect("four bytes were taken")) as usize;
                if (HEADER..=limit).contains(&total) {
                    Ok(Self { total, body: Vec::new() })
                } else {
                    Err(ReadFailed::Bad(format!("the terminal claims {total} bytes; 4 to {limit} are possible")))
                }
            }
            reply::PREPARE => Self::collect_legacy(session, Some(answer), limit).await,
            refusal => {
                debug!(code = refusal, "buffered read refused, trying the old one");
                match Self::legacy(session, what, limit).await {
                    Ok(whole) => {
                        manner.legacy = true;
                        Ok(whole)
                    }
                    // The first answer says more of why than the second.
                    Err(ReadFailed::Refused(_)) => Err(ReadFailed::Refused(refusal)),
                    Err(other) => Err(other),
                }
            }
        }
    }

    /// Whether all has arrived.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.len() == self.total
    }

    /// Reads one more chunk.
    pub(crate) async fn step(&mut self, session: &mut Session, manner: &mut Manner) -> Result<(), ReadFailed> {
        let (start, total) = (self.body.len(), self.total);
        fetch(session, manner, start..total, &mut self.body).await
    }

    /// Bytes that the snapshot holds.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// A few bytes out of the snapshot.
    pub(crate) async fn piece(
        &self,
        session: &mut Session,
        manner: &mut Manner,
        range: Range<usize>,
    ) -> Result<Vec<u8>, ReadFailed> {
        let mut piece = Vec::new();
        while piece.len() < range.len() {
            fetch(session, manner, range.start + piece.len()..range.end, &mut piece).await?;
        }
        Ok(piece)
    }

    /// Lets the terminal free its snapshot, and gives the body.
    pub(crate) async fn finish(self, session: &mut Session, manner: &mut Manner) -> Result<Vec<u8>, ReadFailed> {
        release(session).await?;
        let best = if session.is_udp() { CHUNK_UDP } else { CHUNK_TCP };
        manner.chunk = (manner.chunk * 2).min(best);
        Ok(self.body)
    }

    /// Reads all of it.
    pub(crate) async fn whole(
        session: &mut Session,
        what: What,
        limit: usize,
        manner: &mut Manner,
    ) -> Result<Vec<u8>, ReadFailed> {
        let mut download = Self::begin(session, what, limit, manner).await?;
        while !download.is_whole() {
            if let Err(failed) = download.step(session, manner).await {
                return Err(abandon(session, failed).await);
            }
        }
        download.finish(session, manner).await
    }

    async fn legacy(session: &mut Session, what: What, limit: usize) -> Result<Self, ReadFailed> {
        let (command, argument) = what.command_and_argument();
        let data: &[u8] = if what == What::Users { &[argument as u8] } else { &[] };
        let asked = session.send(command, data).await?;
        let mut body = Vec::new();
        let collected = collect(session, asked, None, None, limit, &mut body).await?;
        Self::end_legacy(session, collected, body)
    }

    async fn collect_legacy(session: &mut Session, first: Option<Packet>, limit: usize) -> Result<Self, ReadFailed> {
        let asked = first.as_ref().map_or(0, |packet| packet.reply);
        let mut body = Vec::new();
        let collected = collect(session, asked, first, None, limit, &mut body).await?;
        Self::end_legacy(session, collected, body)
    }

    fn end_legacy(session: &Session, collected: Collected, body: Vec<u8>) -> Result<Self, ReadFailed> {
        match collected {
            Collected::Whole => Ok(Self { total: body.len(), body }),
            Collected::Refused(code) => Err(ReadFailed::Refused(code)),
            Collected::Wrong(what) => Err(ReadFailed::Bad(what)),
            Collected::Silence => {
                Err(session.silent(&format!("no more bytes after {} of a whole answer", body.len())).into())
            }
        }
    }
}

/// One chunk from the front of this range, or all of it; `manner.chunk` shrinks when the line is too slow for it.
async fn fetch(
    session: &mut Session,
    manner: &mut Manner,
    range: Range<usize>,
    body: &mut Vec<u8>,
) -> Result<(), ReadFailed> {
    let (start, before) = (range.start, body.len());
    let mut wrong = String::new();
    for _ in 0..=AGAIN {
        let size = manner.chunk.min(range.len());
        let mut data = [0; 8];
        data[..4].copy_from_slice(&(start as u32).to_le_bytes());
        data[4..].copy_from_slice(&(size as u32).to_le_bytes());
        let asked = session.send(ask::CHUNK, &data).await?;
        match collect(session, asked, None, Some(size), size, body).await? {
            Collected::Whole => return Ok(()),
            Collected::Wrong(what) => wrong = what,
            Collected::Refused(code) => wrong = format!("the terminal answered {}", meaning(code)),
            Collected::Silence => {
                manner.chunk = (manner.chunk / 4).max(CHUNK_LEAST);
                wrong = format!("no more bytes after {} of {}", start + body.len() - before, range.end);
                // On UDP a datagram was lost. On TCP nothing is lost: the terminal, or the line, is gone.
                if !session.is_udp() {
                    return Err(session.silent(&wrong).into());
                }
            }
        }
        body.truncate(before);
    }
    Err(ReadFailed::Bad(format!("the chunk at {start} failed {} times: {wrong}", AGAIN + 1)))
}

/// Gives up a read in a session that goes on.
pub(crate) async fn abandon(session: &mut Session, failed: ReadFailed) -> ReadFailed {
    if matches!(failed, ReadFailed::Lost(_)) {
        return failed;
    }
    match release(session).await {
        Ok(()) => failed,
        Err(lost) => lost.into(),
    }
}

async fn release(session: &mut Session) -> Result<(), DriverError> {
    session.request(ask::FREE, &[]).await.map(drop)
}

/// Gathers the packets of one answer: PREPARE with a size, DATA until it is reached, OK. Some terminals leave out the
/// first and the last. `asked_size` is how much must come; without it the terminal's own word counts, up to `limit`.
async fn collect(
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
