//! Messages: always 64 bytes, little endian, without a checksum. Bytes in, packets out; no sockets.
//!
//! `17 | function | 0 0 | serial number u32 | data, padded with zeros`; an answer carries the function of its question.

use std::fmt;

/// Bytes of every message.
pub const LENGTH: usize = 64;
/// The protocol's own port, UDP and TCP.
pub const PORT: u16 = 60_000;
/// Starts every message.
const START: u8 = 0x17;
/// Starts live events of firmware 6.62.
const START_OF_OLD_EVENTS: u8 = 0x19;
/// Stands in messages that change what cannot be changed back, against those that go astray.
pub const MAGIC: [u8; 4] = [0x55, 0xaa, 0xaa, 0x55];

/// What a board is asked for.
pub mod function {
    /// Its state and its newest event; also the function of live events.
    pub const STATUS: u8 = 0x20;
    pub const SET_TIME: u8 = 0x30;
    pub const OPEN_DOOR: u8 = 0x40;
    /// How many cards it knows.
    pub const CARDS: u8 = 0x58;
    /// One of them, by its place from 1 on.
    pub const CARD: u8 = 0x5c;
    pub const GET_DOOR: u8 = 0x82;
    pub const SET_LISTENER: u8 = 0x90;
    pub const GET_LISTENER: u8 = 0x92;
    /// Who it is. With serial number 0 every board that hears it answers.
    pub const CONTROLLER: u8 = 0x94;
    pub const EVENT: u8 = 0xb0;
    pub const SET_INDEX: u8 = 0xb2;
    pub const GET_INDEX: u8 = 0xb4;
}

/// What would make a board forget, change its address or admit somebody: never sent by this driver.
pub mod never {
    pub const PUT_CARD: u8 = 0x50;
    pub const DELETE_CARD: u8 = 0x52;
    pub const DELETE_ALL_CARDS: u8 = 0x54;
    pub const SET_DOOR: u8 = 0x80;
    pub const SET_PASSCODES: u8 = 0x8c;
    pub const SET_ADDRESS: u8 = 0x96;
    pub const FACTORY: u8 = 0xc8;
    pub const ALL: [u8; 7] = [PUT_CARD, DELETE_CARD, DELETE_ALL_CARDS, SET_DOOR, SET_PASSCODES, SET_ADDRESS, FACTORY];
}

/// One message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet([u8; LENGTH]);

impl fmt::Debug for Packet {
    /// Without the data, which may hold card numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet {{ function: {:#04x}, serial: {} }}", self.function(), self.serial())
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("{0} bytes; a message has 64")]
    Length(usize),
    #[error("it begins with {0:#04x}, a message with 0x17")]
    Start(u8),
}

impl Packet {
    pub fn new(function: u8, serial: u32) -> Self {
        let mut bytes = [0; LENGTH];
        bytes[0] = START;
        bytes[1] = function;
        bytes[4..8].copy_from_slice(&serial.to_le_bytes());
        Self(bytes)
    }

    /// The same with these bytes at this place.
    ///
    /// # Panics
    /// When they do not fit: places are ours, never the wire's.
    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| PacketError::Length(bytes.len()))?;
        match (bytes[0], bytes[1]) {
            (START, _) | (START_OF_OLD_EVENTS, function::STATUS) => Ok(Self(bytes)),
            (start, _) => Err(PacketError::Start(start)),
        }
    }

    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    pub fn function(&self) -> u8 {
        self.0[1]
    }

    pub fn serial(&self) -> u32 {
        self.u32(4)
    }

    /// So many bytes at this place; places are ours, never the wire's.
    pub fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|offset| self.0[at + offset])
    }

    pub fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }
}
