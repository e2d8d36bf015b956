//! What a simulated board holds.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use jiff::{SignedDuration, Timestamp, civil::DateTime};

use super::{Model, fault::Fault};
use crate::{
    bcd,
    packet::{Packet, function},
};

/// An event as it lies in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: u8,
    pub granted: bool,
    pub door: u8,
    pub direction: u8,
    pub card: u32,
    pub local: DateTime,
    pub reason: u8,
    /// In place of the time, these bytes.
    pub odd_time: Option<[u8; 7]>,
}

impl Default for Entry {
    /// A card at reader 1 of door 1 that is let in.
    fn default() -> Self {
        Self {
            kind: 1,
            granted: true,
            door: 1,
            direction: 1,
            card: 0,
            local: DateTime::constant(2026, 11, 22, 8, 1, 5, 0),
            reason: 1,
            odd_time: None,
        }
    }
}

/// How a board says that an event is not in its ring any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// By a mark of its own.
    Overwritten,
    /// As if there had never been one.
    Nothing,
    /// It gives the newest one in its place.
    Newest,
}

pub(super) struct State {
    pub(super) model: Model,
    pub(super) ring: VecDeque<(u32, Entry)>,
    next: u32,
    pub(super) index: u32,
    /// Its clock minus ours; nothing while it has no date.
    pub(super) offset: Option<SignedDuration>,
    pub(super) listener: Option<SocketAddr>,
    pub(super) opened: [u32; 4],
    pub(super) cards: Vec<u32>,
    pub(super) faults: Vec<Fault>,
    pub(super) journal: Vec<u8>,
    /// Answers that come too late.
    pub(super) late: Vec<Vec<u8>>,
    pub(super) echoes: Vec<Vec<u8>>,
    /// A copy of each datagram comes so much later.
    pub(super) doubled: Option<Duration>,
    sequence: u32,
}

impl State {
    pub(super) fn new(model: Model) -> Self {
        Self {
            next: model.first,
            model,
            ring: VecDeque::new(),
            index: 0,
            offset: Some(SignedDuration::ZERO),
            listener: None,
            opened: [0; 4],
            cards: Vec::new(),
            faults: Vec::new(),
            journal: Vec::new(),
            late: Vec::new(),
            echoes: Vec::new(),
            doubled: None,
            sequence: 0,
        }
    }

    pub(super) fn now(&self) -> Option<DateTime> {
        let there = Timestamp::now().checked_add(self.offset?).ok()?;
        let local = there.to_zoned(self.model.zone.clone()).datetime();
        Some(local.with().subsec_nanosecond(0).build().expect("a whole second is a time"))
    }

    pub(super) fn record(&mut self, entry: Entry) {
        self.ring.push_back((self.next, entry));
        self.next += 1;
        if self.ring.len() > self.model.capacity {
            self.ring.pop_front();
        }
    }

    pub(super) fn reset(&mut self) {
        self.ring.clear();
        self.next = 1;
        self.index = 0;
        self.listener = None;
    }

    /// An event's block in this packet.
    pub(super) fn event(packet: Packet, index: u32, entry: &Entry) -> Packet {
        packet
            .with(8, &index.to_le_bytes())
            .with(12, &[entry.kind, entry.granted.into(), entry.door, entry.direction])
            .with(16, &entry.card.to_le_bytes())
            .with(20, &entry.odd_time.unwrap_or_else(|| bcd::encode(entry.local)))
            .with(27, &[entry.reason])
    }

    /// Its state, with the newest event.
    pub(super) fn status(&mut self) -> Packet {
        self.sequence += 1;
        let mut packet = Packet::new(function::STATUS, self.model.serial);
        if let Some((index, entry)) = self.ring.back() {
            packet = Self::event(packet, *index, entry);
        }
        packet = packet.with(40, &self.sequence.to_le_bytes());
        match self.now().map(bcd::encode) {
            Some([_, year, month, day, hour, minute, second]) => {
                packet.with(37, &[hour, minute, second]).with(51, &[year, month, day])
            }
            None => packet,
        }
    }

    /// Its newest event as a datagram for the listener.
    pub(super) fn live_event(&self) -> Vec<u8> {
        let mut packet = Packet::new(function::STATUS, self.model.serial);
        if let Some((index, entry)) = self.ring.back() {
            packet = Self::event(packet, *index, entry);
        }
        let mut bytes = packet.as_bytes().to_vec();
        if self.model.old_events {
            bytes[0] = 0x19;
        }
        bytes
    }
}
