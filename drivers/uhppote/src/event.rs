//! Events and the state of a board, out of packets. Pure: whatever the bytes, an answer and never a panic.

use jiff::civil::DateTime;

use crate::{bcd, packet::Packet};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such event.
    None,
    /// Somebody held a card to a reader.
    Card,
    /// A door or its button.
    Door,
    Alarm,
    /// The ring went round, and this event is gone.
    Overwritten,
    Other(u8),
}

impl Kind {
    pub fn of(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Card,
            2 => Self::Door,
            3 => Self::Alarm,
            0xff => Self::Overwritten,
            other => Self::Other(other),
        }
    }

    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Card => 1,
            Self::Door => 2,
            Self::Alarm => 3,
            Self::Overwritten => 0xff,
            Self::Other(code) => code,
        }
    }
}

/// Bytes of an event inside of a packet, from [`Event::AT`] on.
pub const SIZE: usize = 20;

/// One entry of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its number: from 1, one more for each event, for as long as nobody resets the board.
    pub index: u32,
    pub kind: Kind,
    pub granted: bool,
    /// 1 to 4
    pub door: u8,
    /// 1 in, 2 out: which of the door's two readers.
    pub direction: u8,
    pub card: u32,
    /// The board's wall time; nothing when it is no date.
    pub local: Option<DateTime>,
    /// Why it was granted or denied.
    pub reason: u8,
    /// The bytes as received.
    pub raw: [u8; SIZE],
}

impl Event {
    /// Where an event stands in a packet.
    pub const AT: usize = 8;

    pub fn of(packet: &Packet) -> Self {
        Self {
            index: packet.u32(8),
            kind: Kind::of(packet.byte(12)),
            granted: packet.byte(13) != 0,
            door: packet.byte(14),
            direction: packet.byte(15),
            card: packet.u32(16),
            local: bcd::date_time(packet.bytes(20)),
            reason: packet.byte(27),
            raw: packet.bytes(Self::AT),
        }
    }
}

/// The state of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Index of the newest event; 0 when there is none.
    pub newest: u32,
    /// That event, as far as the state tells it.
    pub last: Event,
    /// The board's wall time; nothing when it is no date.
    pub now: Option<DateTime>,
    /// Doors that stand open, from door 1.
    pub open: [bool; 4],
    /// The board's own code of what is wrong with it; 0 is well.
    pub error: u8,
}

impl Status {
    pub fn of(packet: &Packet) -> Self {
        let date = bcd::short_date(packet.bytes(51));
        let time = bcd::time(packet.bytes(37));
        Self {
            newest: packet.u32(8),
            last: Event::of(packet),
            now: date.zip(time).map(|(date, time)| date.to_datetime(time)),
            open: packet.bytes(28).map(|door: u8| door != 0),
            error: packet.byte(36),
        }
    }
}
