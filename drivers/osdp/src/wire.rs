//! The line as the library sees it, and what is learnt of a reader from the bytes that pass by.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libosdp::{Channel, ChannelError};
use line::Stream;
use tokio::time::Instant;

use crate::frame::{Finder, Found, code};

/// Most bytes that wait to be written; commands are some dozens.
const MOST_PENDING: usize = 4096;
/// Answers that are remembered, for those who wait for one.
const REMEMBERED: usize = 32;

/// The line that all readers of a bus share.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) stream: Option<Stream>,
    pending: VecDeque<u8>,
    /// Why it is gone.
    pub(crate) failed: Option<io::Error>,
    /// Bytes that came while nobody was asked.
    pub(crate) unasked: u64,
}

/// What passed by of one reader, since its session began.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    commands: Finder,
    replies: Finder,
    /// Whole frames of this reader, for the library.
    whole: VecDeque<u8>,
    /// When its last command went out.
    pub(crate) asked: Option<Instant>,
    /// It has answered that.
    pub(crate) answered: bool,
    last_command: u8,
    /// When it last answered, with a whole frame.
    pub(crate) heard: Option<Instant>,
    pub(crate) answers: u64,
    /// Commands that brought nothing in time.
    pub(crate) unanswered: u64,
    pub(crate) broken: u64,
    /// Whole answers of another address while this one was asked.
    pub(crate) foreign: u64,
    pub(crate) round_trip_ms: u64,
    /// What it said of a secure channel.
    pub(crate) security: Security,
    /// Command and reply, oldest first.
    pub(crate) log: VecDeque<(u8, u8)>,
}

/// How far a secure channel came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nobody has asked for it yet.
    #[default]
    NotAsked,
    /// It refuses it.
    Refused,
    /// It answered the challenge; whether rightly, the library knows.
    Challenged,
    /// It has taken our answer.
    Agreed,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    pub(crate) fn over(stream: Stream) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        stream.try_read(room)
    }

    /// Writes what goes out now; the rest waits.
    pub(crate) fn push(&mut self) {
        while !self.pending.is_empty() {
            let Some(stream) = &mut self.stream else { return };
            let written = stream.try_write(self.pending.make_contiguous());
            match written {
                Ok(0) => return,
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.failed = Some(error),
            }
        }
    }

    /// Drops what nobody asked for: late answers, noise.
    pub(crate) fn drain(&mut self) {
        let mut room = [0; 256];
        // Whoever talks without end is not waited for.
        for _ in 0..64 {
            match self.read(&mut room) {
                Ok(count) => {
                    self.unasked += room[..count].iter().filter(|byte| !matches!(byte, 0 | 0xff)).count() as u64
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.failed = Some(error),
            }
        }
    }
}

impl Seen {
    /// For a new session with the same reader: what was counted goes on.
    pub(crate) fn renewed(&self) -> Self {
        Self { broken: self.broken, foreign: self.foreign, unanswered: self.unanswered, ..Self::default() }
    }

    fn command(&mut self, bytes: &[u8]) {
        if self.asked.is_some() && !self.answered {
            self.unanswered += 1;
        }
        (self.asked, self.answered) = (Some(Instant::now()), false);
        self.replies.begin_anew();
        self.whole.clear();
        self.commands.feed(bytes);
        while let Some(found) = self.commands.next_frame() {
            if let Found::Frame(frame) = found {
                self.last_command = frame.code;
            }
        }
    }

    fn reply(&mut self, address: u8, bytes: &[u8]) {
        self.replies.feed(bytes);
        while let Some(found) = self.replies.next_frame() {
            let frame = match found {
                Found::Frame(frame) if frame.reply && frame.address == address => frame,
                // Another one's answer, late, or with an address that two have: not this one's. An echo of our own is no harm.
                Found::Frame(frame) => {
                    self.foreign += u64::from(frame.reply);
                    continue;
                }
                Found::Broken => {
                    self.broken += 1;
                    continue;
                }
            };
            self.whole.extend(self.replies.raw());
            self.answered = true;
            self.answers += 1;
            self.heard = Some(Instant::now());
            self.round_trip_ms = self.asked.map_or(0, |asked| asked.elapsed().as_millis() as u64);
            self.security = match (self.last_command, frame.code) {
                (code::CHLNG, code::CCRYPT) => Security::Challenged,
                (code::SCRYPT, code::RMAC_I) => Security::Agreed,
                (code::CHLNG | code::SCRYPT, code::NAK) => Security::Refused,
                _ => self.security,
            };
            if frame.code != code::BUSY {
                self.log.push_back((self.last_command, frame.code));
            }
            while self.log.len() > REMEMBERED {
                self.log.pop_front();
            }
        }
    }
}

/// One reader's way to the line, for the library.
pub(crate) struct Tap {
    pub(crate) address: u8,
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Channel for Tap {
    fn get_id(&self) -> i32 {
        self.address.into()
    }

    /// Hands on whole frames of this reader alone. One wrong bit would end the library's session, and what the answer told were
    /// gone; of an answer that does not come it asks for the same once more.
    fn read(&mut self, room: &mut [u8]) -> Result<usize, ChannelError> {
        let mut wire = lock(&self.wire);
        let mut seen = lock(&self.seen);
        let mut heard = [0; 512];
        match wire.read(&mut heard) {
            Ok(count) => seen.reply(self.address, &heard[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The library would give the reader up for minutes; the bus knows what to do with a line that is gone.
            Err(error) => wire.failed = Some(error),
        }
        let count = room.len().min(seen.whole.len());
        for (to, from) in room.iter_mut().zip(seen.whole.drain(..count)) {
            *to = from;
        }
        if count == 0 { Err(ChannelError::WouldBlock) } else { Ok(count) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        let mut wire = lock(&self.wire);
        // What still lies there is the answer to a question that nobody asks any more.
        wire.drain();
        if wire.pending.len() < MOST_PENDING {
            wire.pending.extend(bytes);
        }
        wire.push();
        lock(&self.seen).command(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ChannelError> {
        lock(&self.wire).drain();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ChannelError> {
        Ok(())
    }
}
