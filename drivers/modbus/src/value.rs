//! Registers and what they mean: numbers, cards, texts, times. Pure, and safe with any words.

use jiff::civil::{Date, DateTime, Time};

/// A value's place among the words that were read, and its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// In words, from the first word of the record.
    pub at: usize,
    pub words: usize,
    pub form: Form,
    pub order: Order,
}

/// How a value is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An unsigned number of 1 to 4 words, shown in decimal digits.
    Number,
    /// Decimal digits, four to a word; leading zeros belong to them.
    Bcd,
    /// ASCII, two letters to a word, up to a NUL.
    Text,
    /// Hexadecimal digits, four to a word.
    Hex,
    /// 26 bits, right-aligned in two words: parity, 8 bits of facility, 16 of card, parity. Shown as `FFFNNNNN`.
    Wiegand26,
}

/// Which byte stands where; the letters are those that vendors print, A being the highest byte of a number of two words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Abcd,
    /// Low word first.
    Cdab,
    /// Low byte first within each word.
    Badc,
    /// Both.
    Dcba,
}

/// How a time is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Two words: seconds since 1970.
    Unix,
    /// Two words: seconds since 2000.
    Since2000,
    /// Three words of decimal digits: YYMM DDhh mmss.
    Bcd,
    /// Six words: year, month, day, hour, minute, second.
    Words,
}

impl TimeForm {
    pub fn words(self) -> usize {
        match self {
            Self::Unix | Self::Since2000 => 2,
            Self::Bcd => 3,
            Self::Words => 6,
        }
    }
}

impl Order {
    /// Words as bytes, highest byte first.
    pub fn bytes(self, words: &[u16]) -> Vec<u8> {
        let swapped = |word: u16| if matches!(self, Self::Badc | Self::Dcba) { word.swap_bytes() } else { word };
        let bytes = |word: &u16| swapped(*word).to_be_bytes();
        if matches!(self, Self::Cdab | Self::Dcba) {
            words.iter().rev().flat_map(bytes).collect()
        } else {
            words.iter().flat_map(bytes).collect()
        }
    }

    /// What [`Order::bytes`] reads.
    pub fn words(self, bytes: &[u8]) -> Vec<u16> {
        let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let swapped = |word: u16| if matches!(self, Self::Badc | Self::Dcba) { word.swap_bytes() } else { word };
        let mut words: Vec<u16> = bytes.chunks(2).map(|pair| swapped(word(pair))).collect();
        if matches!(self, Self::Cdab | Self::Dcba) {
            words.reverse();
        }
        words
    }
}

impl Field {
    /// The words of this field, if all of them are there.
    pub fn of<'w>(&self, words: &'w [u16]) -> Option<&'w [u16]> {
        words.get(self.at..self.at.checked_add(self.words)?)
    }

    /// As a number; the lowest 64 bits of a longer one.
    pub fn number(&self, words: &[u16]) -> Result<u64, String> {
        let bytes = self.order.bytes(self.of(words).ok_or("the record is too short for it")?);
        Ok(bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte)))
    }

    /// As text. `bits` is how many of the lowest bits count, where the terminal tells.
    pub fn text(&self, words: &[u16], bits: Option<u64>) -> Result<String, String> {
        let bytes = self.order.bytes(self.of(words).ok_or("the record is too short for it")?);
        let digits = || bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self.form {
            Form::Number => Ok(self.number(words)?.to_string()),
            Form::Hex => {
                let digits = digits();
                let wanted = bits.map_or(digits.len(), |bits| usize::try_from(bits.div_ceil(4)).unwrap_or(usize::MAX));
                match digits.len().checked_sub(wanted) {
                    Some(from) => Ok(digits[from..].to_owned()),
                    None => {
                        Err(format!("it says {} bits, and there is room for {}", bits.unwrap_or(0), bytes.len() * 8))
                    }
                }
            }
            Form::Bcd => {
                let digits = digits();
                if digits.bytes().all(|digit| digit.is_ascii_digit()) {
                    Ok(digits)
                } else {
                    Err(format!("{digits} are no decimal digits"))
                }
            }
            Form::Text => {
                let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                if text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
                    Ok(String::from_utf8_lossy(text).trim().to_owned())
                } else {
                    Err(format!("{:?} is no plain text", String::from_utf8_lossy(text)))
                }
            }
            Form::Wiegand26 => wiegand26(self.number(words)?),
        }
    }
}

/// The first parity bit makes its 12 neighbours even, the last one its 12 odd.
fn wiegand26(bits: u64) -> Result<String, String> {
    let ones = |bits: u64| bits.count_ones() % 2;
    if bits >> 26 != 0 {
        return Err(format!("{bits:#x} is more than 26 bits"));
    }
    if ones(bits >> 13) != 0 || ones(bits & 0x1fff) != 1 {
        return Err(format!("the parity of {bits:#09x} is wrong"));
    }
    Ok(format!("{:03}{:05}", bits >> 17 & 0xff, bits >> 1 & 0xffff))
}

/// A time as a wall clock or UTC shows it; which of the two, the map says.
pub fn time(form: TimeForm, order: Order, words: &[u16]) -> Result<DateTime, String> {
    let words = words.get(..form.words()).ok_or("the record is too short for it")?;
    let seconds = || order.bytes(words).iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
    match form {
        TimeForm::Unix => since(Date::constant(1970, 1, 1), seconds()),
        TimeForm::Since2000 => since(Date::constant(2000, 1, 1), seconds()),
        TimeForm::Bcd => {
            let mut parts = [0; 6];
            for (part, byte) in parts.iter_mut().zip(order.bytes(words)) {
                if byte >> 4 > 9 || byte & 15 > 9 {
                    return Err(format!("{byte:02x} are no decimal digits"));
                }
                *part = i16::from(byte >> 4) * 10 + i16::from(byte & 15);
            }
            wall(parts)
        }
        TimeForm::Words => {
            let mut parts = [0; 6];
            for (part, word) in parts.iter_mut().zip(order.bytes(words).chunks(2)) {
                *part =
                    i16::try_from(u16::from_be_bytes([word[0], word[1]])).map_err(|_| "a part of it is too large")?;
            }
            wall(parts)
        }
    }
}

/// What [`time`] reads; for setting a terminal's clock.
pub fn time_words(form: TimeForm, order: Order, at: DateTime) -> Result<Vec<u16>, String> {
    let since = |date: Date| {
        let seconds = at.duration_since(date.at(0, 0, 0, 0)).as_secs();
        let seconds = u32::try_from(seconds).map_err(|_| format!("{at} does not fit its clock"))?;
        Ok(order.words(&seconds.to_be_bytes()))
    };
    let bcd = |part: i64| (part / 10 * 16 + part % 10) as u8;
    let parts = [at.year().into(), at.month().into(), at.day().into(), at.hour().into(), at.minute().into()];
    let parts = [parts[0], parts[1], parts[2], parts[3], parts[4], i64::from(at.second())];
    match form {
        TimeForm::Unix => since(Date::constant(1970, 1, 1)),
        TimeForm::Since2000 => since(Date::constant(2000, 1, 1)),
        TimeForm::Bcd => Ok(order.words(&parts.map(|part| bcd(part % 100)))),
        TimeForm::Words => {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| (*part as u16).to_be_bytes()).collect();
            Ok(order.words(&bytes))
        }
    }
}

fn since(date: Date, seconds: i64) -> Result<DateTime, String> {
    date.at(0, 0, 0, 0).checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(|error| error.to_string())
}

fn wall([year, month, day, hour, minute, second]: [i16; 6]) -> Result<DateTime, String> {
    let year = if (0..100).contains(&year) { 2000 + year } else { year };
    let small = |part: i16| i8::try_from(part).map_err(|_| format!("{part} is no part of a date"));
    let date = Date::new(year, small(month)?, small(day)?).map_err(|error| error.to_string())?;
    let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).map_err(|error| error.to_string())?;
    Ok(date.to_datetime(time))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn field(words: usize, form: Form, order: Order) -> Field {
        Field { at: 0, words, form, order }
    }

    #[test]
    fn four_orders_read_one_number() {
        for (order, words) in [
            (Order::Abcd, [0x0102, 0x0304]),
            (Order::Cdab, [0x0304, 0x0102]),
            (Order::Badc, [0x0201, 0x0403]),
            (Order::Dcba, [0x0403, 0x0201]),
        ] {
            assert_eq!(field(2, Form::Number, order).number(&words), Ok(0x0102_0304), "{order:?}");
            assert_eq!(order.words(&[1, 2, 3, 4]), words);
        }
        assert_eq!(field(4, Form::Number, Order::Cdab).number(&[4, 3, 2, 1]), Ok(0x0001_0002_0003_0004));
    }

    #[test]
    fn cards_read_as_they_are_printed() {
        let text = |words: &[u16], form, bits| field(words.len(), form, Order::Abcd).text(words, bits);
        assert_eq!(text(&[0x0012, 0x3456], Form::Bcd, None).as_deref(), Ok("00123456"));
        assert!(text(&[0x001a], Form::Bcd, None).unwrap_err().contains("no decimal digits"));
        assert_eq!(text(&[0x3132, 0x3300], Form::Text, None).as_deref(), Ok("123"));
        assert!(text(&[0x311b], Form::Text, None).is_err());
        assert_eq!(text(&[0x00ab, 0xcdef], Form::Hex, None).as_deref(), Ok("00abcdef"));
        assert_eq!(text(&[0x00ab, 0xcdef], Form::Hex, Some(26)).as_deref(), Ok("0abcdef"));
        assert!(text(&[0x00ab], Form::Hex, Some(26)).is_err());
        assert!(text(&[0x00ab], Form::Hex, Some(u64::MAX)).is_err());
        // Facility 123, card 4567: 1 01111011 0001000111010111 0, and what one flipped bit makes of it.
        let bits: u32 = 1 << 25 | 123 << 17 | 4567 << 1;
        assert_eq!(text(&[(bits >> 16) as u16, bits as u16], Form::Wiegand26, None).as_deref(), Ok("12304567"));
        assert!(text(&[(bits >> 16) as u16, bits as u16 ^ 2], Form::Wiegand26, None).is_err());
        assert_eq!(field(1, Form::Number, Order::Badc).text(&[0x0700], None).as_deref(), Ok("7"));
    }

    #[test]
    fn times_read_back_what_is_written() {
        let at = date(2026, 11, 20).at(8, 58, 31, 0);
        for form in [TimeForm::Unix, TimeForm::Since2000, TimeForm::Bcd, TimeForm::Words] {
            for order in [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba] {
                let words = time_words(form, order, at).unwrap();
                assert_eq!(words.len(), form.words());
                assert_eq!(time(form, order, &words), Ok(at), "{form:?} {order:?}");
            }
        }
        assert_eq!(time_words(TimeForm::Bcd, Order::Abcd, at), Ok(vec![0x2611, 0x2008, 0x5831]));
        assert!(time(TimeForm::Bcd, Order::Abcd, &[0x2613, 0x2008, 0x5831]).is_err());
        assert!(time(TimeForm::Words, Order::Abcd, &[2026, 2, 30, 1, 1, 1]).is_err());
        assert!(time(TimeForm::Unix, Order::Abcd, &[1]).is_err());
    }
}
