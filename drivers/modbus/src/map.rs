//! A register map: where a product keeps its events, as its file says. See maps/ for those that ship.
//!
//! Addresses are those on the wire, from 0: what a manual prints as 40257 is holding register 256.

use std::time::Duration;

use driver_api::{Delivery, Direction, Verify};

use crate::value::{Field, Order, TimeForm};

/// All that the driver knows of a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What it is, for people.
    pub title: String,
    /// Between two looks at it.
    pub poll: Duration,
    pub capture: Capture,
    pub actions: Actions,
}

/// How it tells of what happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Capture {
    /// It keeps events, numbered, until it is told how far we came.
    Fifo(Fifo, Record),
    /// It shows the last event.
    Latch(Latch, Record),
    /// It counts, and knows nobody.
    Counter(Counter),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Fifo {
    pub status: Block,
    pub waiting: Waiting,
    /// Not zero: events were dropped. Offset in the status.
    pub overflow: Option<usize>,
    pub capacity: u16,
    /// The first record; they follow each other.
    pub window: Block,
    /// Records in the window, and words of one.
    pub records: u16,
    pub record_words: u16,
    /// The window is the memory itself: record `n` stands in place `n` modulo `records`.
    pub ring: bool,
    pub ack: Target,
    pub ack_mode: AckMode,
}

/// How many events wait. Offsets in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Where the next event goes, and the oldest one that is kept; both run modulo 65536.
    Indices {
        head: usize,
        tail: usize,
    },
    Count {
        count: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// The new tail is written.
    Tail,
    /// The number of the last event is written.
    Sequence,
    /// How many events were taken is written. A write whose answer is lost must not be repeated blindly.
    Count,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Latch {
    pub read: Block,
    pub news: News,
    /// Written when the event is stored, so that the next one can be shown.
    pub release: Option<(Target, u16)>,
}

/// What tells a new event from the last one.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A bit of its own; read before the event.
    Coil { fc: u8, addr: u16 },
    /// A word that is not zero.
    Flag { at: usize },
    /// A number that grows with every event. What stands there at first is taken as old, unless `first_is_new`.
    Sequence { field: Field, first_is_new: bool },
    /// Nothing: the same card twice is seen once.
    Change,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    pub read: Block,
    /// Each way with its counter.
    pub ways: Vec<Field>,
}

/// What stands in a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub person: Field,
    /// How many bits of the card count; zero bits are no card.
    pub bits: Option<Field>,
    /// Its number, which never changes. Required of a FIFO.
    pub sequence: Option<Field>,
    /// Without it, the gateway's own time.
    pub time: Option<Stamp>,
    pub direction: Option<(Field, Codes<Direction>)>,
    pub verify: Option<(Field, Codes<Verify>)>,
    /// A record where this word is zero is empty.
    pub present: Option<usize>,
}

pub type Codes<T> = Vec<(u64, T)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub at: usize,
    pub form: TimeForm,
    pub order: Order,
    /// It runs in UTC; else it shows the wall time of its zone.
    pub utc: bool,
}

/// What may be written, and nothing else ever is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actions {
    /// Doors from 1.
    pub unlock: Vec<Unlock>,
    pub time_set: Option<(Target, TimeForm, Order, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlock {
    pub target: Target,
    /// Written to open.
    pub open: u16,
    /// Written after the seconds asked for; without it the relay falls back by itself.
    pub close: Option<u16>,
}

/// Registers or bits that are read in one go. `fc` is 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub fc: u8,
    pub addr: u16,
    pub words: u16,
}

/// Where something is written: `fc` is 5 (a coil, value 0 or not), 6 or 16 (registers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub fc: u8,
    pub addr: u16,
}

/// The most registers of one read, and of one write.
pub const MOST_READ: u16 = 125;

impl Map {
    /// What can be promised with this map.
    pub fn delivery(&self) -> Delivery {
        match &self.capture {
            Capture::Fifo(..) => Delivery::Acked,
            // One event is held until we release it; those that come meanwhile are gone.
            Capture::Latch(Latch { release: Some(_), .. }, _) => Delivery::Link,
            Capture::Latch(..) | Capture::Counter(_) => Delivery::None,
        }
    }
}
