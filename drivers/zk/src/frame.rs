//! Packets: the TCP wrapper, the inner packet and its checksum. Bytes in, packets out; no sockets.

use std::fmt;

/// Starts every packet on TCP; nothing of the kind on UDP.
pub const MAGIC: [u8; 4] = [0x50, 0x50, 0x82, 0x7d];
/// The wrapper's magic and length.
pub const WRAPPER: usize = 8;
/// Command, checksum, session and reply id in front of the data.
pub const HEADER: usize = 8;
/// Longest inner packet taken: terminals send up to 65,480 bytes, some say they might send more.
pub const LIMIT: usize = 1 << 20;

/// An inner packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    pub command: u16,
    /// The session id; in an event the event's flag; in the answer to some commands a value.
    pub session: u16,
    pub reply: u16,
    pub data: Vec<u8>,
}

impl fmt::Debug for Packet {
    /// Without the data, which may hold personal numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, session, reply, data } = self;
        write!(f, "Packet {{ command: {command}, session: {session:#06x}, reply: {reply}, {} bytes }}", data.len())
    }
}

/// What is wrong with bytes that should be a packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("{}", magic_explained(.0))]
    Magic([u8; 4]),
    #[error("a frame claims {0} bytes; between 8 and {LIMIT} are possible")]
    Length(u32),
    #[error("a packet of {0} bytes is shorter than its header")]
    Short(usize),
    /// The packet's own numbers are given, but nothing of it can be believed.
    #[error("the checksum of a packet fails")]
    Checksum,
}

fn magic_explained(magic: &[u8; 4]) -> String {
    let who = match magic {
        b"HTTP" => "a web server answers there: the terminal's own port is usually 4370",
        b"SSH-" => "an SSH server answers there: the terminal's own port is usually 4370",
        _ => {
            "not a terminal of this protocol (access panels such as C3 and inBio use port 4370 too, and speak another)"
        }
    };
    format!("wrong magic {:?}: {who}", magic.escape_ascii().to_string())
}

/// The ones'-complement sum over little-endian words, its own field taken as zero.
pub fn checksum(inner: &[u8]) -> u16 {
    let word = |pair: &[u8]| u64::from(u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = inner.chunks(2).map(word).sum();
    sum -= inner.get(2..4).map_or(0, word);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Packet {
    pub fn new(command: u16, session: u16, reply: u16, data: impl Into<Vec<u8>>) -> Self {
        Self { command, session, reply, data: data.into() }
    }

    /// The inner packet as sent: alone in a UDP datagram, wrapped on TCP.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.data.len());
        for word in [self.command, 0, self.session, self.reply] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.data);
        let sum = checksum(&bytes).to_le_bytes();
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }

    /// Reads an inner packet. A checksum that fails is told beside the packet, for those who tolerate it.
    pub fn decode(inner: &[u8]) -> Result<(Self, Result<(), FrameError>), FrameError> {
        let Some((header, data)) = inner.split_at_checked(HEADER) else {
            return Err(FrameError::Short(inner.len()));
        };
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (found, right) = (word(2), checksum(inner));
        // In this arithmetic 0000 and FFFF are one number.
        let same = found == right || (matches!(found, 0 | 0xffff) && matches!(right, 0 | 0xffff));
        let packet = Self::new(word(0), word(4), word(6), data);
        Ok((packet, if same { Ok(()) } else { Err(FrameError::Checksum) }))
    }
}

/// Wraps an inner packet for TCP.
pub fn wrap(inner: &[u8]) -> Vec<u8> {
    let length = u32::try_from(inner.len()).expect("we send short packets");
    [&MAGIC[..], &length.to_le_bytes(), inner].concat()
}

/// Length of the whole frame, wrapper included, at the start of `stream`; `None` while the wrapper is not all there. Bytes
/// that cannot become a magic are refused before the wrapper is complete.
pub fn frame_length(stream: &[u8]) -> Result<Option<usize>, FrameError> {
    let start = &stream[..stream.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        let mut magic = [0; 4];
        magic[..start.len()].copy_from_slice(start);
        return Err(FrameError::Magic(magic));
    }
    let Some(length) = stream.get(4..WRAPPER) else { return Ok(None) };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes were taken"));
    match length as usize {
        inner @ HEADER..=LIMIT => Ok(Some(WRAPPER + inner)),
        _ => Err(FrameError::Length(length)),
    }
}
