//! What a reader tells of a card or of keys, and who that is: pure.

use std::time::Duration;

use driver_api::{Raw, Verify, VerifyMark};
use line::wiegand::{self, Align, Card};
use serde::Deserialize;
use tokio::time::Instant;

/// A number that is typed without an end is done after so long.
pub const KEYS_PATIENCE: Duration = Duration::from_secs(5);
/// Longest number that is typed; more is somebody who leans on the keys.
pub const MOST_KEYS: usize = 20;

/// How a card is handed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// 26 bits as facility and card (`123,45678`), 34 bits as ten digits, anything else as hex digits and number of bits.
    #[default]
    Auto,
    /// Hex digits of the bits, left aligned, and their number: `BDD93740:26`.
    Hex,
    /// A plain decimal number: of 26 and 34 bits without their parity, of all bits otherwise.
    Number,
}

/// The person of a card.
///
/// `wiegand`: the reader says that the bits have Wiegand's parity. Readers that say nothing of the format send the same bits as
/// well as plain card numbers; there a wrong parity means that it is the latter.
pub fn person(wiegand: bool, bits: usize, bytes: &[u8], show: Show) -> Result<String, String> {
    let plain = || wiegand::decode(bits, bytes, Align::Left, false).map_err(|why| why.to_string());
    let hex = |bytes: &[u8]| format!("{}:{bits}", data_encoding::HEXUPPER.encode(bytes));
    let left = |card: Card| match card {
        Card::Other { bytes, .. } => bytes,
        // As they came, with the parity.
        _ => bytes[..bits.div_ceil(8)].to_vec(),
    };
    let card = match wiegand::decode(bits, bytes, Align::Left, true) {
        Err(wiegand::NoCard::Parity(_)) if !wiegand => Card::Other { bits, bytes: left(plain()?) },
        other => other.map_err(|why| why.to_string())?,
    };
    match (show, card) {
        (Show::Hex, card) => Ok(hex(&left(card))),
        (Show::Auto, Card::Bits26 { facility, card }) => Ok(format!("{facility},{card:05}")),
        (Show::Auto, Card::Bits34(number)) => Ok(format!("{number:010}")),
        (Show::Number, Card::Bits26 { facility, card }) => {
            Ok((u32::from(facility) << 16 | u32::from(card)).to_string())
        }
        (Show::Number, Card::Bits34(number)) => Ok(number.to_string()),
        (Show::Number, Card::Other { bits, bytes }) if bits <= 64 => {
            let number = bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
            Ok((number >> (bytes.len() * 8 - bits)).to_string())
        }
        (Show::Auto | Show::Number, Card::Other { bytes, .. }) => Ok(hex(&bytes)),
    }
}

/// How a card was read: the format that the reader gave.
pub fn by_card(wiegand: bool) -> VerifyMark {
    VerifyMark { value: Verify::Card, raw: Some(Raw::Number(wiegand.into())) }
}

pub fn by_keys() -> VerifyMark {
    VerifyMark { value: Verify::Password, raw: Some(Raw::Text("keys".into())) }
}

/// Keys on their way to a number.
#[derive(Debug, Default)]
pub struct Keys {
    typed: String,
    last: Option<Instant>,
}

impl Keys {
    /// Takes keys as they came; the numbers that are done. `*` begins anew, `#` ends.
    pub fn press(&mut self, keys: &[u8], now: Instant) -> Vec<String> {
        let mut done = Vec::new();
        done.extend(self.expire(now));
        for key in keys {
            match key {
                b'0'..=b'9' if self.typed.len() < MOST_KEYS => self.typed.push(char::from(*key)),
                b'*' | 0x7f => self.typed.clear(),
                b'#' | 0x0d if !self.typed.is_empty() => done.push(std::mem::take(&mut self.typed)),
                _ => {}
            }
        }
        self.last = Some(now);
        done
    }

    /// A number that nobody ended.
    pub fn expire(&mut self, now: Instant) -> Option<String> {
        let over = self.last.is_some_and(|last| now.duration_since(last) >= KEYS_PATIENCE);
        (over && !self.typed.is_empty()).then(|| std::mem::take(&mut self.typed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_shown_as_it_is_printed() {
        let bits26 = [0xbd, 0xd9, 0x37, 0x40];
        assert_eq!(person(true, 26, &bits26, Show::Auto).unwrap(), "123,45678");
        assert_eq!(person(false, 26, &bits26, Show::Auto).unwrap(), "123,45678");
        assert_eq!(person(true, 26, &bits26, Show::Hex).unwrap(), "BDD93740:26");
        assert_eq!(person(true, 26, &bits26, Show::Number).unwrap(), (123 * 65536 + 45678).to_string());
        let bits34 = [0x02, 0x50, 0xd9, 0x61, 0xc0];
        assert_eq!(person(true, 34, &bits34, Show::Auto).unwrap(), "0077705923");
        assert_eq!(person(true, 34, &bits34, Show::Number).unwrap(), "77705923");
        let raw32 = [0x04, 0xa1, 0xb2, 0xc3];
        assert_eq!(person(false, 32, &raw32, Show::Auto).unwrap(), "04A1B2C3:32");
        assert_eq!(person(false, 32, &raw32, Show::Number).unwrap(), "77705923");
    }

    #[test]
    fn wrong_parity_is_no_card_where_there_is_parity() {
        let wrong = [0x3d, 0xd9, 0x37, 0x40];
        assert_eq!(person(true, 26, &wrong, Show::Auto).unwrap_err(), "the parity of its 26 bits is wrong");
        assert_eq!(person(false, 26, &wrong, Show::Auto).unwrap(), "3DD93740:26");
        assert!(person(true, 0, &[], Show::Auto).is_err());
        assert!(person(false, 26, &[1, 2], Show::Number).is_err());
    }

    #[test]
    fn keys_become_a_number() {
        let (now, mut keys) = (Instant::now(), Keys::default());
        assert!(keys.press(b"10", now).is_empty());
        assert_eq!(keys.press(b"01#", now), ["1001"]);
        assert_eq!(keys.press(b"99*1002\r", now), ["1002"]);
        assert!(keys.press(b"##", now).is_empty());
        keys.press(b"1003", now);
        assert_eq!(keys.expire(now + KEYS_PATIENCE / 2), None);
        assert_eq!(keys.expire(now + KEYS_PATIENCE), Some("1003".into()));
        keys.press(&[b'7'; 300], now);
        assert_eq!(keys.press(b"#", now)[0].len(), MOST_KEYS);
    }
}
