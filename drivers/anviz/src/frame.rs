//! Frames: `A5 | unit u32 | command | (result) | length u16 | data | CRC`, big endian but for the CRC. Bytes in, frames out.
//!
//! A frame whose command has its highest bit set is an answer, and has a result in front of its length; one without is a
//! question, or something that a terminal says by itself.

use std::fmt;

/// Starts every frame.
pub const START: u8 = 0xa5;
/// Marks the command of an answer.
pub const ANSWER: u8 = 0x80;
/// Most data in one frame. The manual says 600.
pub const LIMIT: usize = 1024;
/// Start, unit, command, length.
const HEAD: usize = 8;
const CRC: usize = 2;

/// The reflected CCITT sum, from ffff and without a final turn (CRC-16/MCRF4XX).
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |mut crc, byte| {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x8408 } else { crc >> 1 };
        }
        crc
    })
}

/// One frame, either way.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The terminal's number on its bus; 0 in a question asks whoever hears it.
    pub unit: u32,
    /// With [`ANSWER`] in an answer.
    pub command: u8,
    /// 0 is well; nothing in a question.
    pub result: u8,
    pub data: Vec<u8>,
}

impl fmt::Debug for Frame {
    /// Without the data, which may hold personal numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, command, result, data } = self;
        write!(f, "Frame {{ unit: {unit}, command: {command:#04x}, result: {result}, {} bytes }}", data.len())
    }
}

impl Frame {
    pub fn question(unit: u32, command: u8, data: impl Into<Vec<u8>>) -> Self {
        Self { unit, command: command & !ANSWER, result: 0, data: data.into() }
    }

    /// An answer to a question of this command.
    pub fn answer(unit: u32, command: u8, result: u8, data: impl Into<Vec<u8>>) -> Self {
        Self { unit, command: command | ANSWER, result, data: data.into() }
    }

    pub fn is_answer(&self) -> bool {
        self.command & ANSWER != 0
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![START];
        bytes.extend_from_slice(&self.unit.to_be_bytes());
        bytes.push(self.command);
        if self.is_answer() {
            bytes.push(self.result);
        }
        let length = u16::try_from(self.data.len()).expect("we send short frames");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.data);
        let sum = crc(&bytes).to_le_bytes();
        bytes.extend_from_slice(&sum);
        bytes
    }
}

/// What the bytes at the start of a buffer are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    /// A frame of so many bytes.
    Frame(Frame, usize),
    /// The beginning of something that may become a frame.
    Perhaps,
    /// No frame begins here.
    Nothing,
    /// A whole frame by its length, and its CRC fails.
    Damaged,
}

fn start(bytes: &[u8]) -> Start {
    match bytes.first() {
        None => return Start::Perhaps,
        Some(&START) => {}
        Some(_) => return Start::Nothing,
    }
    let Some(&command) = bytes.get(5) else { return Start::Perhaps };
    let head = if command & ANSWER == 0 { HEAD } else { HEAD + 1 };
    let Some(&[high, low]) = bytes.get(head - 2..head) else { return Start::Perhaps };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LIMIT {
        return Start::Nothing;
    }
    let end = head + length;
    let Some(&[low, high]) = bytes.get(end..end + CRC) else { return Start::Perhaps };
    if crc(&bytes[..end]) != u16::from_le_bytes([low, high]) {
        return Start::Damaged;
    }
    let unit = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    let result = if command & ANSWER == 0 { 0 } else { bytes[6] };
    Start::Frame(Frame { unit, command, result, data: bytes[head..end].to_vec() }, end + CRC)
}

/// Finds frames in whatever arrives, however it is cut and whatever lies between them.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Bytes that belonged to no frame.
    pub noise: u64,
    /// Frames whose CRC failed.
    pub damaged: u64,
}

impl Parser {
    /// Where arriving bytes are put.
    pub fn room(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next frame that is complete.
    #[allow(clippy::should_implement_trait, reason = "what is not complete today may be tomorrow: no iterator")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            match start(&self.buffer) {
                Start::Frame(frame, length) => {
                    self.buffer.drain(..length);
                    return Some(frame);
                }
                Start::Perhaps => return None,
                Start::Damaged => {
                    self.damaged += 1;
                    self.skip();
                }
                Start::Nothing => self.skip(),
            }
        }
    }

    /// Nothing more will come of what began and is not complete: whatever lies behind its first byte may be a frame.
    pub fn give_up(&mut self) -> Option<Frame> {
        while !self.buffer.is_empty() {
            self.skip();
            if let Some(frame) = self.next() {
                return Some(frame);
            }
        }
        None
    }

    /// Forgets what is not complete.
    pub fn clear(&mut self) {
        self.noise += self.buffer.len() as u64;
        self.buffer.clear();
    }

    /// Drops one byte, and all up to where the next frame may begin.
    fn skip(&mut self) {
        let next = self.buffer.iter().skip(1).position(|byte| *byte == START);
        let dropped = next.map_or(self.buffer.len(), |at| at + 1);
        self.noise += dropped as u64;
        self.buffer.drain(..dropped);
    }
}
