//! Questions and answers on a line: a connection, or a bus with several terminals.
//!
//! An answer carries its unit and its command, and nothing of its question. So what arrived before a question is sorted
//! out first, and after silence or damage the line must have been quiet for a while before the next question: a late answer
//! would be taken for that of another one.

use std::{collections::VecDeque, io, time::Duration};

use driver_api::DriverError;
use line::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use crate::{
    command::said,
    frame::{ANSWER, Frame, Parser},
    record::{Raw, SIZE},
};

/// Live records kept until somebody looks. They are hints: the log has the records.
const LIVE: usize = 256;
/// Longest wait for a line to become quiet.
const NOISY: Duration = Duration::from_secs(5);

/// A line at work.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    parser: Parser,
    /// As people know it.
    peer: String,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// Records that terminals told of by themselves, with their units.
    pub(crate) live: VecDeque<(u32, Raw)>,
    /// Frames that answered no question of ours.
    pub(crate) strays: u64,
    /// Something was heard on this line.
    heard: bool,
    sent: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no answer")]
    Silence,
    #[error("its answer was damaged on the way")]
    Damaged,
    /// The line is gone.
    #[error(transparent)]
    Gone(#[from] io::Error),
}

impl Wire {
    pub(crate) fn new(stream: Stream, peer: String, patience: Duration) -> Self {
        let (parser, live) = (Parser::default(), VecDeque::new());
        Self { stream, parser, peer, patience, live, strays: 0, heard: false, sent: Vec::new() }
    }

    /// Takes out what this unit told of by itself.
    pub(crate) fn told_by(&mut self, unit: u32) -> Vec<Raw> {
        let (mine, others) = self.live.drain(..).partition::<Vec<_>, _>(|(other, _)| *other == unit);
        self.live.extend(others);
        mine.into_iter().map(|(_, raw)| raw).collect()
    }

    /// Bytes and frames that were of no use so far.
    pub(crate) fn rubbish(&self) -> (u64, u64, u64) {
        (self.parser.noise, self.parser.damaged, self.strays)
    }

    /// Asks up to `attempts` times. Whoever must not be asked twice is asked once.
    pub(crate) async fn ask(
        &mut self,
        question: &Frame,
        attempts: u32,
        fits: impl Fn(&Frame) -> bool,
    ) -> Result<Frame, NoAnswer> {
        let mut attempt = 1;
        loop {
            match self.attempt(question, &fits).await {
                Err(NoAnswer::Gone(error)) => return Err(error.into()),
                Err(_) if attempt < attempts => {
                    attempt += 1;
                    self.quiet().await?;
                }
                Err(failed) => {
                    self.quiet().await?;
                    return Err(failed);
                }
                Ok(answer) => return Ok(answer),
            }
        }
    }

    async fn attempt(&mut self, question: &Frame, fits: &impl Fn(&Frame) -> bool) -> Result<Frame, NoAnswer> {
        self.sort_arrived().await?;
        let damaged = self.parser.damaged;
        let deadline = Instant::now() + self.patience;
        let bytes = question.encode();
        match timeout_at(deadline, self.write(&bytes)).await {
            Ok(done) => done?,
            Err(_) => return Err(NoAnswer::Gone(timed_out("it takes no more bytes"))),
        }
        self.sent = bytes;
        let is_it = |frame: &Frame| {
            frame.command == question.command | ANSWER
                && (frame.unit == question.unit || question.unit == 0)
                && fits(frame)
        };
        loop {
            while let Some(frame) = self.parser.next() {
                if let Some(answer) = self.sort(frame, &is_it).await? {
                    return Ok(answer);
                }
            }
            match timeout_at(deadline, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
        }
        // Noise that looked like the beginning of a long frame may have swallowed the answer.
        while let Some(frame) = self.parser.give_up() {
            if let Some(answer) = self.sort(frame, &is_it).await? {
                return Ok(answer);
            }
        }
        Err(if self.parser.damaged > damaged { NoAnswer::Damaged } else { NoAnswer::Silence })
    }

    /// Waits for somebody to say something unasked; answers what wants an answer. Whether it is worth a look:
    /// [`Wire::live`]. Safe to drop in a `select!` up to its first byte, and what was read stays read.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        self.read().await
    }

    /// Takes note of what has been heard.
    pub(crate) async fn note(&mut self) -> io::Result<()> {
        while let Some(frame) = self.parser.next() {
            self.sort(frame, &|_| false).await?;
        }
        Ok(())
    }

    /// Takes note of all that has arrived, without waiting.
    async fn sort_arrived(&mut self) -> io::Result<()> {
        // Bounded: somebody who talks without end is noise soon enough.
        for _ in 0..64 {
            match timeout(Duration::ZERO, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
            self.note().await?;
        }
        Ok(())
    }

    /// Drops all that comes until nothing has come for a while.
    async fn quiet(&mut self) -> io::Result<()> {
        let until = Instant::now() + NOISY;
        let pause = (self.patience / 2).clamp(Duration::from_millis(30), Duration::from_secs(1));
        while Instant::now() < until {
            match timeout(pause, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
            self.note().await?;
        }
        self.parser.clear();
        Ok(())
    }

    async fn sort(&mut self, frame: Frame, is_it: &impl Fn(&Frame) -> bool) -> io::Result<Option<Frame>> {
        self.heard = true;
        match frame.command {
            said::RECORD => {
                if let Some(raw) = frame.data.first_chunk::<SIZE>()
                    && self.live.len() < LIVE
                {
                    self.live.push_back((frame.unit, *raw));
                }
            }
            said::HEARTBEAT | said::CHANGE => {
                self.write(&Frame::answer(frame.unit, frame.command, 0, []).encode()).await?;
            }
            _ if is_it(&frame) => return Ok(Some(frame)),
            // An adapter for RS-485 may hear itself.
            _ if !frame.is_answer() && frame.encode() == self.sent => {}
            _ => {
                debug!(?frame, "frame dropped that answers no question");
                self.strays += 1;
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.stream.read_buf(self.parser.room()).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// As the supervisor wants it.
    pub(crate) fn error(&self, failed: NoAnswer) -> DriverError {
        let peer = self.peer.clone();
        match failed {
            NoAnswer::Gone(_) if !self.heard && !self.stream.is_serial() => DriverError::Busy {
                peer,
                reason: "it closed the connection before it said a word: it may serve another client".into(),
            },
            NoAnswer::Gone(source) => DriverError::Unreachable { peer, source },
            NoAnswer::Silence if !self.heard && self.parser.noise > 0 => {
                let what = format!("{} bytes came, and none of them made sense", self.parser.noise);
                DriverError::Garbled { peer, what }
            }
            NoAnswer::Silence => DriverError::Unreachable { peer, source: timed_out("no answer") },
            NoAnswer::Damaged => DriverError::Garbled { peer, what: failed.to_string() },
        }
    }

    pub(crate) fn garbled(&self, what: impl Into<String>) -> DriverError {
        DriverError::Garbled { peer: self.peer.clone(), what: what.into() }
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> DriverError {
        DriverError::Refused { peer: self.peer.clone(), reason: reason.into() }
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}
