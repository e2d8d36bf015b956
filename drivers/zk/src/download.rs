//! Reading users and log in bulk: as a snapshot in chunks, or in the old way. All of it or nothing.

use std::ops::Range;

use driver_api::DriverError;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    collect::{Collected, collect, collect_datagram},
    command::{ask, meaning, reply},
    frame::Packet,
    session::Session,
};

/// A chunk with its header stays under 65,536 bytes.
pub(crate) const CHUNK_TCP: usize = 0xffc0;
/// What a terminal puts into one datagram. Datagrams carry no offset, and overtake each other or come twice: only a chunk
/// that fits into one lies where it was asked for.
pub(crate) const CHUNK_UDP: usize = 1024;
/// A terminal that puts less than this into a datagram is not followed.
const DATAGRAM_LEAST: usize = 64;
/// Slow lines carry this where they cannot carry more.
pub(crate) const CHUNK_LEAST: usize = 2048;
/// Largest body taken from a terminal that does not tell its capacity.
pub(crate) const BODY_LIMIT: usize = 64 << 20;
/// In front of the records: how many bytes they are.
pub(crate) const HEADER: usize = 4;
/// A chunk is asked for again so often.
const AGAIN: u32 = 3;
/// On UDP a big log has thousands of them, and any may be lost.
const AGAIN_UDP: u32 = 7;

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
    /// Never more than this: a larger chunk broke the line.
    pub(crate) most: usize,
    /// Reads in a row that broke the line.
    pub(crate) broken: u32,
    /// Nothing is read in bulk before.
    pub(crate) not_before: Option<Instant>,
    /// The terminal knows no snapshots.
    pub(crate) legacy: bool,
    /// A piece out of the middle of a snapshot is not what lies there: only whole reads tell anything.
    pub(crate) blind: bool,
}

impl Manner {
    pub(crate) fn new(is_udp: bool) -> Self {
        let chunk = if is_udp { CHUNK_UDP } else { CHUNK_TCP };
        Self { chunk, most: chunk, broken: 0, not_before: None, legacy: false, blind: false }
    }

    /// The line broke while so many bytes from there were on their way: some terminals hang up over chunks that are too large
    /// for them. A last one, smaller than those that went well, was not too large.
    fn ask_for_less(&mut self, start: usize, size: usize) {
        if size <= CHUNK_LEAST || (start > 0 && size < self.chunk) {
            return;
        }
        self.most = self.most.min((size / 2).max(CHUNK_LEAST));
        self.chunk = self.chunk.min(self.most);
    }
}

/// A read under way. Memory grows with what has arrived, never with what was announced.
#[derive(Debug)]
pub(crate) struct Download {
    total: usize,
    body: Vec<u8>,
    /// It came in one go, in however many packets.
    streamed: bool,
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
            reply::DATA | reply::OK_DATA => Ok(Self { total: answer.data.len(), body: answer.data, streamed: false }),
            reply::OK => {
                let Some(total) = answer.data.get(1..5) else {
                    return Err(ReadFailed::Bad("the terminal did not say how much there is to read".into()));
                };
                let total = u32::from_le_bytes(total.try_into().expect("four bytes were taken")) as usize;
                if (HEADER..=limit).contains(&total) {
                    Ok(Self { total, body: Vec::new(), streamed: false })
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
        if !session.is_udp() {
            manner.chunk = (manner.chunk * 2).min(manner.most);
        }
        Ok(self.body)
    }

    /// Whether datagrams may have overtaken each other, or come twice, without anybody being able to tell: then all of it is
    /// read once more, and what differs is not used.
    pub(crate) fn is_doubtful(&self, session: &Session) -> bool {
        session.is_udp() && (self.streamed || session.is_loose())
    }

    /// Reads all of it.
    pub(crate) async fn whole(
        session: &mut Session,
        what: What,
        limit: usize,
        manner: &mut Manner,
    ) -> Result<Vec<u8>, ReadFailed> {
        let (body, doubtful) = Self::once(session, what, limit, manner).await?;
        if !doubtful {
            return Ok(body);
        }
        let (again, _) = Self::once(session, what, limit, manner).await?;
        agreed(body, &again)
    }

    async fn once(
        session: &mut Session,
        what: What,
        limit: usize,
        manner: &mut Manner,
    ) -> Result<(Vec<u8>, bool), ReadFailed> {
        let mut download = Self::begin(session, what, limit, manner).await?;
        while !download.is_whole() {
            if let Err(failed) = download.step(session, manner).await {
                return Err(abandon(session, failed).await);
            }
        }
        let doubtful = download.is_doubtful(session);
        Ok((download.finish(session, manner).await?, doubtful))
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
            Collected::Whole => Ok(Self { total: body.len(), body, streamed: true }),
            Collected::Refused(code) => Err(ReadFailed::Refused(code)),
            Collected::Wrong(what) => Err(ReadFailed::Bad(what)),
            Collected::Silence => {
                Err(session.silent(&format!("no more bytes after {} of a whole answer", body.len())).into())
            }
            Collected::Narrow(size) | Collected::Heedless(size) => Err(ReadFailed::Bad(format!("{size} bytes came"))),
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
    let mut heedless = true;
    let single = session.is_udp() && !session.is_loose();
    let again = if session.is_udp() { AGAIN_UDP } else { AGAIN };
    for _ in 0..=again {
        let size = manner.chunk.min(range.len());
        let mut data = [0; 8];
        data[..4].copy_from_slice(&(start as u32).to_le_bytes());
        data[4..].copy_from_slice(&(size as u32).to_le_bytes());
        let answered = async {
            let asked = session.send(ask::CHUNK, &data).await?;
            match single {
                true => collect_datagram(session, asked, size, body).await,
                false => collect(session, asked, None, Some(size), size, body).await,
            }
        };
        let collected = answered.await.inspect_err(|_| manner.ask_for_less(start, size))?;
        heedless &= matches!(collected, Collected::Heedless(_));
        match collected {
            Collected::Whole => return Ok(()),
            Collected::Narrow(most) => {
                manner.chunk = most.clamp(DATAGRAM_LEAST, CHUNK_UDP);
                wrong = format!("{most} bytes came of {size}");
            }
            Collected::Heedless(other) => wrong = format!("{other} bytes came, {size} were asked for"),
            Collected::Wrong(what) => wrong = what,
            Collected::Refused(code) => wrong = format!("the terminal answered {}", meaning(code)),
            Collected::Silence => {
                wrong = format!("no more bytes after {} of {}", start + body.len() - before, range.end);
                // On UDP a datagram was lost. On TCP nothing is lost: the terminal, or the line, is gone.
                if !session.is_udp() {
                    manner.chunk = (manner.chunk / 4).max(CHUNK_LEAST);
                    return Err(session.silent(&wrong).into());
                }
            }
        }
        body.truncate(before);
    }
    // Of no use in chunks that are not what was asked for: the next read is one in the old way, and a second one to prove it.
    manner.legacy |= single && heedless;
    Err(ReadFailed::Bad(format!("the chunk at {start} failed {} times: {wrong}", again + 1)))
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

/// What two reads of the same agree in: the first of them, when the second begins with it. A punch may have come in between.
pub(crate) fn agreed(first: Vec<u8>, second: &[u8]) -> Result<Vec<u8>, ReadFailed> {
    let grown = match (first.get(HEADER..), second.get(HEADER..)) {
        (Some(first), Some(second)) if !first.is_empty() => second.starts_with(first),
        _ => false,
    };
    if grown || first == second {
        return Ok(first);
    }
    Err(ReadFailed::Bad("two reads in a row differ: datagrams were lost, or came twice or in another order".into()))
}
