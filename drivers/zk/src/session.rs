//! One login at a terminal: questions and their answers, with the events in between.

use std::{collections::VecDeque, io, time::Duration};

use driver_api::{DriverError, Terminal, Way};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::{
    command::{ATTENDANCE, ask, reply},
    frame::Packet,
    settings::Settings,
    tap,
    transport::{Wire, WireError},
};

/// Reply ids run from 0 to one below this.
const REPLY_IDS: u16 = 0xffff;
/// Asked again so often when an answer is damaged, or lost on UDP.
pub(crate) const ATTEMPTS: u32 = 3;
/// Answers to questions that nobody asked, in a row, until the terminal is given up.
const STRAYS: u32 = 3;
/// Events kept while something else is going on. More than that is a flood; the log tells the rest.
const EVENTS: usize = 4096;

/// A connection with a session of its own. Whoever opens it calls [`Session::exit`] in the end: a terminal that was left
/// without a word keeps its only place taken for a while.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) wire: Wire,
    peer: String,
    terminal: Terminal,
    /// The command that was sent last.
    asked: u16,
    patience: Duration,
    pub(crate) key: Option<u32>,
    tolerate_checksum: bool,
    loose_reply_ids: bool,
    pub(crate) id: u16,
    pub(crate) next_reply: u16,
    pub(crate) key_used: bool,
    pub(crate) registered: bool,
    strays: u32,
    damaged: u64,
    /// Data of attendance events with their arrival, acknowledged and not yet booked.
    pub(crate) events: VecDeque<(Instant, Vec<u8>)>,
    /// Set when an event could not be kept or believed: the log must be read.
    pub(crate) missed: bool,
}

/// What came of waiting for an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Packet(Packet),
    /// Something came that may have been the answer, and its checksum fails.
    Damaged,
    Silence,
}

enum Sorted {
    Event,
    Damaged,
    Answer(Packet),
}

impl Session {
    /// Connects, and says nothing yet.
    pub(crate) async fn open(settings: &Settings, terminal: Terminal) -> Result<Self, DriverError> {
        let peer = settings.address.to_string();
        let wire = match timeout(settings.timeout, Wire::open(&settings.address)).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(source)) => return Err(DriverError::Unreachable { peer, source }),
            Err(_) => return Err(DriverError::Unreachable { peer, source: timed_out("no connection") }),
        };
        Ok(Self {
            wire,
            peer,
            terminal,
            asked: 0,
            patience: settings.timeout,
            key: settings.comm_key,
            tolerate_checksum: settings.tolerate_checksum,
            loose_reply_ids: settings.loose_reply_ids,
            id: 0,
            next_reply: 0,
            key_used: false,
            registered: false,
            strays: 0,
            damaged: 0,
            events: VecDeque::new(),
            missed: false,
        })
    }

    pub(crate) fn is_udp(&self) -> bool {
        self.wire.is_udp()
    }

    /// Whether any packet passes for an answer, whatever it answers.
    pub(crate) fn is_loose(&self) -> bool {
        self.loose_reply_ids
    }

    /// How long a plain answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Packets whose checksum failed so far.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Whether the terminal asked for a key and took ours.
    pub(crate) fn key_used(&self) -> bool {
        self.key_used
    }

    /// Asks and waits for the answer, which may be a refusal. The session ends when the terminal has forgotten us.
    pub(crate) async fn request(&mut self, command: u16, data: &[u8]) -> Result<Packet, DriverError> {
        self.request_within(command, data, ATTEMPTS, self.patience).await
    }

    /// Asks a single time: for what must not be done twice.
    pub(crate) async fn request_once(&mut self, command: u16, data: &[u8]) -> Result<Packet, DriverError> {
        self.request_within(command, data, 1, self.patience).await
    }

    pub(crate) async fn request_within(
        &mut self,
        command: u16,
        data: &[u8],
        attempts: u32,
        patience: Duration,
    ) -> Result<Packet, DriverError> {
        let answer = self.exchange_within(command, data, attempts, patience).await?;
        if answer.command != reply::UNAUTH {
            return Ok(answer);
        }
        // It was restarted, it forgot us, or another terminal has its address now: over UDP nothing else tells the last
        // from the others. So the session is over, and whoever is there is asked who it is before anything of it is booked.
        Err(self.busy("it does not know our login any more: it was restarted, or another terminal has its address"))
    }

    pub(crate) async fn exchange(&mut self, command: u16, data: &[u8], attempts: u32) -> Result<Packet, DriverError> {
        self.exchange_within(command, data, attempts, self.patience).await
    }

    async fn exchange_within(
        &mut self,
        command: u16,
        data: &[u8],
        attempts: u32,
        patience: Duration,
    ) -> Result<Packet, DriverError> {
        // A datagram may be lost on its way, so on UDP the patience is divided among several questions.
        let patience = if self.is_udp() && attempts > 1 { patience / 2 } else { patience };
        let mut trouble = "it asked for the same again and again";
        for attempt in 1..=attempts {
            let asked = self.send(command, data).await?;
            match self.answer(asked, Instant::now() + patience).await? {
                Answer::Packet(packet) if packet.command == reply::RETRY => {}
                Answer::Packet(packet) => return Ok(packet),
                Answer::Damaged => {
                    trouble =
                        "checksums failed again and again; if this terminal is known for it, set tolerate_checksum"
                }
                Answer::Silence if self.is_udp() && attempt < attempts => {}
                Answer::Silence => return Err(self.silent(&format!("no answer to command {command}"))),
            }
        }
        Err(self.garbled(trouble))
    }

    /// Sends a question; its reply id.
    pub(crate) async fn send(&mut self, command: u16, data: &[u8]) -> Result<u16, DriverError> {
        let asked = self.next_reply;
        self.next_reply = (asked + 1) % REPLY_IDS;
        self.transmit(&Packet::new(command, self.id, asked, data)).await?;
        Ok(asked)
    }

    async fn transmit(&mut self, packet: &Packet) -> Result<(), DriverError> {
        let inner = packet.encode();
        // An event's acknowledgement is no question.
        if packet.command != reply::OK {
            self.asked = packet.command;
        }
        self.terminal.frame(Way::ToTerminal, inner.len() as u64, || tap::words(&inner, None));
        match timeout(self.patience, self.wire.send(&inner)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error.into())),
            Err(_) => Err(self.silent("it takes no more bytes")),
        }
    }

    /// Waits for a packet that answers the question with this reply id. Events are put aside on the way, late answers to
    /// older questions dropped.
    pub(crate) async fn answer(&mut self, asked: u16, deadline: Instant) -> Result<Answer, DriverError> {
        loop {
            let inner = match timeout_at(deadline, self.wire.receive()).await {
                Err(_) => return Ok(Answer::Silence),
                Ok(received) => received.map_err(|error| self.lost(error))?,
            };
            self.tell(&inner);
            let packet = match self.sort(&inner).await? {
                Sorted::Event => continue,
                Sorted::Damaged => return Ok(Answer::Damaged),
                Sorted::Answer(packet) => packet,
            };
            if packet.reply == asked || self.loose_reply_ids {
                self.strays = 0;
                return Ok(Answer::Packet(packet));
            }
            let age = (u32::from(asked) + u32::from(REPLY_IDS) - u32::from(packet.reply)) % u32::from(REPLY_IDS);
            debug!(age, command = packet.command, "answer to another question dropped");
            if age > u32::from(REPLY_IDS) / 2 {
                self.strays += 1;
                if self.strays >= STRAYS {
                    let hint = "it answers with other reply ids than ours; if it always does, set loose_reply_ids";
                    return Err(self.garbled(hint));
                }
            }
        }
    }

    /// Waits for the terminal to say something unasked. Safe to drop in a `select!`; then call [`Session::note`].
    pub(crate) async fn unasked(&mut self) -> Result<Vec<u8>, DriverError> {
        self.wire.receive().await.map_err(|error| lost(&self.peer, error))
    }

    /// Takes note of a packet from [`Session::unasked`].
    pub(crate) async fn note(&mut self, inner: &[u8]) -> Result<(), DriverError> {
        self.tell(inner);
        if let Sorted::Answer(packet) = self.sort(inner).await? {
            debug!(command = packet.command, "answer dropped that nobody waits for");
        }
        Ok(())
    }

    fn tell(&self, inner: &[u8]) {
        self.terminal.frame(Way::FromTerminal, inner.len() as u64, || tap::words(inner, Some(self.asked)));
    }

    async fn sort(&mut self, inner: &[u8]) -> Result<Sorted, DriverError> {
        let (packet, sound) = Packet::decode(inner).map_err(|error| self.garbled(error))?;
        if sound.is_err() {
            self.damaged += 1;
            if !self.tolerate_checksum {
                // Nothing in it can be believed, not even what it is. If it was an event, the log has the punch.
                self.missed |= packet.command == ask::EVENT;
                return Ok(Sorted::Damaged);
            }
        }
        if packet.command != ask::EVENT {
            return Ok(Sorted::Answer(packet));
        }
        if packet.session & ATTENDANCE != 0 {
            if self.events.len() < EVENTS {
                self.events.push_back((Instant::now(), packet.data));
            } else {
                self.missed = true;
            }
        }
        // Acknowledged at once, before it is on disk: this acknowledgement only asks for the next event. The terminal
        // forgets nothing by it, its log keeps the punch, and the log is read when we fail to store this one.
        self.transmit(&Packet::new(reply::OK, self.id, 0, [])).await?;
        Ok(Sorted::Event)
    }

    pub(crate) fn silent(&self, what: &str) -> DriverError {
        DriverError::Unreachable { peer: self.peer.clone(), source: timed_out(what) }
    }

    pub(crate) fn garbled(&self, what: impl ToString) -> DriverError {
        DriverError::Garbled { peer: self.peer.clone(), what: what.to_string() }
    }

    pub(crate) fn busy(&self, reason: impl Into<String>) -> DriverError {
        DriverError::Busy { peer: self.peer.clone(), reason: reason.into() }
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> DriverError {
        DriverError::Refused { peer: self.peer.clone(), reason: reason.into() }
    }

    pub(crate) fn lost(&self, error: WireError) -> DriverError {
        lost(&self.peer, error)
    }
}

fn lost(peer: &str, error: WireError) -> DriverError {
    let peer = peer.to_owned();
    match error {
        WireError::Io(source) => DriverError::Unreachable { peer, source },
        WireError::Closed | WireError::ClosedInside => {
            DriverError::Unreachable { peer, source: io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()) }
        }
        WireError::Frame(error) => DriverError::Garbled { peer, what: error.to_string() },
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}
