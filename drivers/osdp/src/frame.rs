//! Frames of OSDP as they stand on the wire (IEC 60839-11-5): found in a stream and checked, not decrypted.
//!
//! The protocol itself is the library's business. What passes by is looked at for what the library does not tell: whether
//! somebody answers at all, whether frames are whole, and how a secure channel fails. The code of a command or reply is never
//! encrypted.
//!
//! `53 | address, replies with 80 added | length, low byte first | control | [security block] | code | data | CRC or checksum`

/// Longest frame that is believed; the standard's own limit.
pub const MOST: usize = 1440;
const START: u8 = 0x53;

/// Codes of commands and replies that are told apart here.
pub mod code {
    pub const POLL: u8 = 0x60;
    pub const ID: u8 = 0x61;
    pub const CAP: u8 = 0x62;
    pub const OUT: u8 = 0x68;
    pub const LED: u8 = 0x69;
    pub const BUZ: u8 = 0x6a;
    pub const CHLNG: u8 = 0x76;
    pub const SCRYPT: u8 = 0x77;
    pub const ACK: u8 = 0x40;
    pub const NAK: u8 = 0x41;
    pub const PDCAP: u8 = 0x46;
    pub const LSTATR: u8 = 0x48;
    pub const OSTATR: u8 = 0x4a;
    pub const RAW: u8 = 0x50;
    pub const KEYPAD: u8 = 0x53;
    pub const CCRYPT: u8 = 0x76;
    pub const RMAC_I: u8 = 0x78;
    pub const BUSY: u8 = 0x79;
}

/// One whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 0 to 126, or 127 for all.
    pub address: u8,
    pub reply: bool,
    /// 0 to 3; 0 starts anew.
    pub sequence: u8,
    /// The type of its security block.
    pub security: Option<u8>,
    pub code: u8,
    /// As it stands there, with the message authentication where there is one.
    pub data: Vec<u8>,
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Frame(Frame),
    /// It looked like a frame, and its checksum is wrong.
    Broken,
}

/// CRC-16 of OSDP: polynomial 1021, from 1D0F.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0x1d0f, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// Finds frames in a stream.
#[derive(Debug, Default)]
pub struct Finder {
    pending: Vec<u8>,
    raw: Vec<u8>,
    /// Bytes that belonged to no frame.
    pub noise: u64,
}

impl Finder {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes);
    }

    /// Forgets what was begun: another one speaks now.
    pub fn begin_anew(&mut self) {
        self.noise += self.pending.len() as u64;
        self.pending.clear();
    }

    /// The bytes of the frame that was found last.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The next frame; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Found> {
        loop {
            let start = self.pending.iter().position(|byte| *byte == START).unwrap_or(self.pending.len());
            // FF goes in front of frames, and 00 and FF are an idle line.
            self.noise += self.pending.drain(..start).filter(|byte| !matches!(byte, 0 | 0xff)).count() as u64;
            let length = usize::from(*self.pending.get(2)?) | usize::from(*self.pending.get(3)?) << 8;
            let control = *self.pending.get(4)?;
            let check = if control & 4 == 0 { 1 } else { 2 };
            if !(6 + check..=MOST).contains(&length) {
                self.noise += 1;
                self.pending.remove(0);
                continue;
            }
            let frame = self.pending.get(..length)?;
            return match decode(frame, check) {
                Some(found) => {
                    self.raw = self.pending.drain(..length).collect();
                    Some(Found::Frame(found))
                }
                // A frame may begin inside of it.
                None => {
                    self.noise += 1;
                    self.pending.remove(0);
                    Some(Found::Broken)
                }
            };
        }
    }
}

fn decode(frame: &[u8], check: usize) -> Option<Frame> {
    let (body, sum) = frame.split_at(frame.len() - check);
    let right = match sum {
        [low, high] => u16::from_le_bytes([*low, *high]) == crc(body),
        [sum] => body.iter().fold(*sum, |sum, byte| sum.wrapping_add(*byte)) == 0,
        _ => false,
    };
    if !right {
        return None;
    }
    let [_, address, _, _, control, rest @ ..] = body else { return None };
    let (security, rest) = match (control & 8 != 0, rest) {
        (false, _) => (None, rest),
        (true, [length, kind, ..]) if *length >= 2 => (Some(*kind), rest.get(usize::from(*length)..)?),
        (true, _) => return None,
    };
    let (code, data) = rest.split_first()?;
    Some(Frame {
        address: address & 0x7f,
        reply: address & 0x80 != 0,
        sequence: control & 3,
        security,
        code: *code,
        data: data.to_vec(),
    })
}

impl Frame {
    /// Its bytes, with a CRC and without security: for simulated readers that misbehave.
    pub fn encode(&self) -> Vec<u8> {
        let length = (self.data.len() + 8) as u16;
        let address = self.address & 0x7f | u8::from(self.reply) << 7;
        let [low, high] = length.to_le_bytes();
        let mut bytes = vec![START, address, low, high, self.sequence & 3 | 4, self.code];
        bytes.extend(&self.data);
        bytes.extend(crc(&bytes).to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<Found>, u64) {
        let mut finder = Finder::default();
        finder.feed(bytes);
        (std::iter::from_fn(|| finder.next_frame()).collect(), finder.noise)
    }

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0xe5cc);
    }

    #[test]
    fn frames_that_were_recorded_are_read() {
        let (found, noise) =
            all(&hex("FF 53 65 09 00 04 61 00 D9 7A 53 E5 14 00 04 45 BE BA FE 01 01 AF BE AD DE AD DE AD 07 FD \
             FF 53 65 09 00 05 62 00 BA 18"));
        let frame = |reply, sequence, code, data: &str| {
            Found::Frame(Frame { address: 101, reply, sequence, security: None, code, data: hex(data) })
        };
        let pdid = "BE BA FE 01 01 AF BE AD DE AD DE AD";
        let expected = [frame(false, 0, code::ID, "00"), frame(true, 0, 0x45, pdid), frame(false, 1, code::CAP, "00")];
        assert_eq!((found, noise), (expected.to_vec(), 0));
    }

    #[test]
    fn a_frame_is_found_behind_noise_and_one_that_is_broken() {
        let good = Frame { address: 5, reply: true, sequence: 2, security: None, code: code::ACK, data: vec![] };
        let mut broken = good.encode();
        broken[5] ^= 1;
        let (found, noise) = all(&[&[0xff, 0x00, 0x53, 0x01, 0x02][..], &broken, &good.encode()].concat());
        assert_eq!(found.last(), Some(&Found::Frame(good)));
        assert!(found.contains(&Found::Broken) && noise > 0);
    }

    #[test]
    fn a_security_block_is_stepped_over() {
        let mut bytes = vec![0x53, 0xe5, 0, 0, 0x0c, 2, 0x16, code::ACK, 1, 2, 3, 4];
        bytes[2] = bytes.len() as u8 + 2;
        bytes.extend(crc(&bytes).to_le_bytes());
        let (found, _) = all(&bytes);
        let Found::Frame(frame) = &found[0] else { panic!("{found:?}") };
        assert_eq!((frame.security, frame.code, frame.data.as_slice()), (Some(0x16), code::ACK, &[1, 2, 3, 4][..]));
    }
}
