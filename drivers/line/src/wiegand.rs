//! Wiegand: the bits of a card as readers and converters hand them on, with their parity.
//!
//! 26 bits (H10301): parity, facility 8, card 16, parity; the first parity bit makes bits 1 to 13 even, the last one bits 14
//! to 26 odd. 34 bits: parity, 32 bits, parity, even over the first 17 and odd over the last 17.

/// Where the first bit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the highest bit of the first byte, as in OSDP and most converters.
    Left,
    /// The last bit is the lowest one of the last byte, as in many registers.
    Right,
}

/// What a string of bits meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Card {
    /// 26 bits with right parity.
    Bits26 { facility: u8, card: u16 },
    /// 34 bits with right parity.
    Bits34(u32),
    /// Any other length: the bits, left aligned, and how many. Nothing is known of their parity.
    Other { bits: usize, bytes: Vec<u8> },
}

/// Why a string of bits is no card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCard {
    #[error("a card with {0} bits: there are 1 to 512")]
    Length(usize),
    #[error("{bits} bits are announced, {bytes} bytes came")]
    Short { bits: usize, bytes: usize },
    #[error("the parity of its {0} bits is wrong")]
    Parity(usize),
}

/// Longest string of bits that is taken for a card.
const MOST_BITS: usize = 512;

/// Reads `bits` bits. `check` is whether parity counts.
pub fn decode(bits: usize, bytes: &[u8], align: Align, check: bool) -> Result<Card, NoCard> {
    if !(1..=MOST_BITS).contains(&bits) {
        return Err(NoCard::Length(bits));
    }
    if bytes.len() < bits.div_ceil(8) {
        return Err(NoCard::Short { bits, bytes: bytes.len() });
    }
    let first = match align {
        Align::Left => 0,
        Align::Right => bytes.len() * 8 - bits,
    };
    let bit = |at: usize| bytes[(first + at) / 8] >> (7 - (first + at) % 8) & 1;
    let ones = |from: usize, to: usize| (from..to).map(|at| u32::from(bit(at))).sum::<u32>() % 2;
    let number = |from: usize, to: usize| (from..to).fold(0_u32, |number, at| number << 1 | u32::from(bit(at)));
    match bits {
        26 | 34 if check && (ones(0, bits / 2) != 0 || ones(bits / 2, bits) != 1) => Err(NoCard::Parity(bits)),
        26 => Ok(Card::Bits26 { facility: number(1, 9) as u8, card: number(9, 25) as u16 }),
        34 => Ok(Card::Bits34(number(1, 33))),
        _ => {
            let mut left = vec![0; bits.div_ceil(8)];
            for at in 0..bits {
                left[at / 8] |= bit(at) << (7 - at % 8);
            }
            Ok(Card::Other { bits, bytes: left })
        }
    }
}

/// The bits of a number with both parity bits, left aligned: for simulated readers. `bits` is 26 or 34.
pub fn encode(bits: usize, number: u32) -> Vec<u8> {
    let body = bits - 2;
    let mut string = vec![0_u8; bits];
    for at in 0..body {
        string[1 + at] = (number >> (body - 1 - at) & 1) as u8;
    }
    string[0] = string[1..bits / 2].iter().sum::<u8>() % 2;
    string[bits - 1] = 1 - string[bits / 2..bits - 1].iter().sum::<u8>() % 2;
    let mut bytes = vec![0; bits.div_ceil(8)];
    for (at, bit) in string.iter().enumerate() {
        bytes[at / 8] |= bit << (7 - at % 8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facility, card, the bytes left and right aligned.
    const CARDS: [(u8, u16, [u8; 4], [u8; 4]); 4] = [
        (123, 45678, [0xbd, 0xd9, 0x37, 0x40], [0x02, 0xf7, 0x64, 0xdd]),
        (1, 1, [0x80, 0x80, 0x00, 0x80], [0x02, 0x02, 0x00, 0x02]),
        (255, 65535, [0x7f, 0xff, 0xff, 0xc0], [0x01, 0xff, 0xff, 0xff]),
        (0, 0, [0x00, 0x00, 0x00, 0x40], [0x00, 0x00, 0x00, 0x01]),
    ];

    #[test]
    fn twenty_six_bits_are_a_facility_and_a_card() {
        for (facility, card, left, right) in CARDS {
            let expected = Ok(Card::Bits26 { facility, card });
            assert_eq!(decode(26, &left, Align::Left, true), expected);
            assert_eq!(decode(26, &right, Align::Right, true), expected);
            assert_eq!(encode(26, u32::from(facility) << 16 | u32::from(card)), left);
        }
    }

    #[test]
    fn thirty_four_bits_are_a_number() {
        for (number, left, right) in [
            (0x04a1_b2c3, [0x02, 0x50, 0xd9, 0x61, 0xc0], [0x00, 0x09, 0x43, 0x65, 0x87]),
            (0xdead_beef, [0xef, 0x56, 0xdf, 0x77, 0x80], [0x03, 0xbd, 0x5b, 0x7d, 0xde]),
        ] {
            assert_eq!(decode(34, &left, Align::Left, true), Ok(Card::Bits34(number)));
            assert_eq!(decode(34, &right, Align::Right, true), Ok(Card::Bits34(number)));
            assert_eq!(encode(34, number), left);
        }
    }

    #[test]
    fn one_wrong_bit_is_found_wherever_it_is() {
        for at in 0..26 {
            let mut bytes = CARDS[0].2;
            bytes[at / 8] ^= 0x80 >> (at % 8);
            assert_eq!(decode(26, &bytes, Align::Left, true), Err(NoCard::Parity(26)), "bit {at}");
            assert!(decode(26, &bytes, Align::Left, false).is_ok());
        }
    }

    #[test]
    fn other_lengths_are_kept_as_they_are() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff];
        let expected = vec![0xff, 0xff, 0xff, 0xff, 0xf8];
        assert_eq!(decode(37, &bytes, Align::Left, true), Ok(Card::Other { bits: 37, bytes: expected }));
        assert_eq!(decode(0, &bytes, Align::Left, true), Err(NoCard::Length(0)));
        assert_eq!(decode(41, &bytes, Align::Left, true), Err(NoCard::Short { bits: 41, bytes: 5 }));
        assert_eq!(decode(usize::MAX, &bytes, Align::Left, true), Err(NoCard::Length(usize::MAX)));
    }
}
