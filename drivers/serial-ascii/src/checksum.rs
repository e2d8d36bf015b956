//! Checksums at the end of a frame.

use serde::Deserialize;

/// How the sum is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Xor8,
    Sum8,
    /// Two's complement of the sum.
    Lrc8,
    Crc16Modbus,
    Crc16CcittFalse,
    Crc16Xmodem,
}

/// What it is made over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The bytes as they stand on the wire.
    #[default]
    Ascii,
    /// The bytes that the hex digits mean.
    Decoded,
}

/// How it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coded {
    /// As bytes.
    #[default]
    Raw,
    /// As hex digits, the high one first, in either case.
    Hex,
}

/// The checksum of a reader's frames: it stands at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub kind: Kind,
    pub over: Over,
    pub coded: Coded,
    /// Stands between content and checksum, and belongs to neither.
    pub separator: Option<u8>,
    /// So many bytes at the beginning are not summed.
    pub skip: usize,
}

impl Kind {
    /// The sum, and how many bytes it has.
    pub fn sum(self, bytes: &[u8]) -> (u16, usize) {
        let wrapping = || bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        match self {
            Self::Xor8 => (bytes.iter().fold(0, |sum, byte| sum ^ byte).into(), 1),
            Self::Sum8 => (wrapping().into(), 1),
            Self::Lrc8 => (wrapping().wrapping_neg().into(), 1),
            Self::Crc16Modbus => (reflected(bytes), 2),
            Self::Crc16CcittFalse => (straight(0xffff, bytes), 2),
            Self::Crc16Xmodem => (straight(0, bytes), 2),
        }
    }

    /// The bytes as they stand on the wire: Modbus has the low one first, the others the high one.
    fn bytes(self, sum: u16, size: usize) -> Vec<u8> {
        match (size, self) {
            (1, _) => vec![sum as u8],
            (_, Self::Crc16Modbus) => sum.to_le_bytes().to_vec(),
            _ => sum.to_be_bytes().to_vec(),
        }
    }
}

fn straight(init: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(init, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

fn reflected(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xa001 })
    })
}

impl Checksum {
    /// Checks a frame, and leaves the content.
    pub fn strip<'a>(&self, frame: &'a [u8]) -> Result<&'a [u8], String> {
        let size = self.kind.sum(&[]).1 * if self.coded == Coded::Hex { 2 } else { 1 };
        let at = frame.len().checked_sub(size).ok_or("the frame is shorter than its checksum")?;
        let (body, found) = frame.split_at(at);
        let body = match self.separator {
            None => body,
            Some(separator) => body
                .strip_suffix(&[separator])
                .ok_or_else(|| format!("no {:?} stands before the checksum", char::from(separator)))?,
        };
        let right = self.of(body)?;
        if found.eq_ignore_ascii_case(&right) {
            return Ok(body);
        }
        Err(format!("the checksum is {:?}, and {:?} stands there", show(&right), show(found)))
    }

    /// The checksum of a content, as it is written.
    pub fn of(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let summed = body.get(self.skip..).ok_or("the frame is shorter than what is not summed of it")?;
        let (sum, size) = match self.over {
            Over::Ascii => self.kind.sum(summed),
            Over::Decoded => self.kind.sum(&unhex(summed).ok_or("its content is not made of pairs of hex digits")?),
        };
        let bytes = self.kind.bytes(sum, size);
        Ok(match self.coded {
            Coded::Raw => bytes,
            Coded::Hex => hex(&bytes).into_bytes(),
        })
    }
}

fn show(bytes: &[u8]) -> String {
    if bytes.iter().all(u8::is_ascii_graphic) { String::from_utf8_lossy(bytes).into_owned() } else { hex(bytes) }
}

/// Pairs of hex digits, in either case, as bytes.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

/// Bytes as upper-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_catalogues() {
        let nine = b"123456789";
        for (kind, sum) in [
            (Kind::Xor8, 0x31),
            (Kind::Sum8, 0xdd),
            (Kind::Lrc8, 0x23),
            (Kind::Crc16Modbus, 0x4b37),
            (Kind::Crc16CcittFalse, 0x29b1),
            (Kind::Crc16Xmodem, 0x31c3),
        ] {
            assert_eq!(kind.sum(nine).0, sum, "{kind:?}");
        }
    }

    #[test]
    fn a_frame_of_an_rdm6300_is_checked_over_its_decoded_bytes() {
        let it = Checksum { kind: Kind::Xor8, over: Over::Decoded, coded: Coded::Hex, separator: None, skip: 0 };
        assert_eq!(it.strip(b"0100A1B2C3D1"), Ok(&b"0100A1B2C3"[..]));
        assert_eq!(it.strip(b"7C0055F0EB32"), Ok(&b"7C0055F0EB"[..]));
        assert_eq!(it.strip(b"0100a1b2c3d1"), Ok(&b"0100a1b2c3"[..]));
        for at in 0..12 {
            let mut frame = *b"0100A1B2C3D1";
            frame[at] = if frame[at] == b'7' { b'8' } else { b'7' };
            assert!(it.strip(&frame).is_err(), "digit {at}");
        }
        for short in [&b""[..], b"D", b"1D1"] {
            assert!(it.strip(short).is_err());
        }
    }

    #[test]
    fn a_checksum_behind_a_star_leaves_the_dollar_out() {
        let it = Checksum { kind: Kind::Xor8, over: Over::Ascii, coded: Coded::Hex, separator: Some(b'*'), skip: 1 };
        let sum = String::from_utf8(it.of(b"$PUNCH,1001,080105").unwrap()).unwrap();
        assert_eq!(it.strip(format!("$PUNCH,1001,080105*{sum}").as_bytes()), Ok(&b"$PUNCH,1001,080105"[..]));
        assert!(it.strip(format!("$PUNCH,1001,080105{sum}").as_bytes()).is_err());
    }

    #[test]
    fn a_modbus_sum_has_its_low_byte_first() {
        let it = Checksum { kind: Kind::Crc16Modbus, over: Over::Ascii, coded: Coded::Raw, separator: None, skip: 0 };
        assert_eq!(it.strip(b"123456789\x37\x4b"), Ok(&b"123456789"[..]));
    }
}
