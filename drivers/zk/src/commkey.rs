//! The comm key as a terminal wants it: scrambled with the session's number. It keeps nobody out who listens.

/// The four bytes of AUTH. `tick` may be any byte; 50 is customary.
pub fn scramble(key: u32, session: u16, tick: u8) -> [u8; 4] {
    let [b0, b1, b2, b3] = key.reverse_bits().wrapping_add(session.into()).to_le_bytes();
    let (_, b1, b2, b3) = (b0 ^ b'Z', b1 ^ b'K', b2 ^ b'S', b3 ^ b'O');
    // Halves swapped; the byte that came from b0 gives way to the tick, so the session's low byte never matters.
    [b2 ^ tick, b3 ^ tick, tick, b1 ^ tick]
}

/// Reads a key as it is typed at the terminal: 1 to 6 digits.
pub fn parse(text: &str) -> Option<u32> {
    let fits = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().expect("six digits are a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scramble_is_that_of_the_terminals() {
        for (key, session, tick, expected) in [
            (0, 0, 0x32, [0x61, 0x7d, 0x32, 0x79]),
            (0, 0x1234, 0x32, [0x61, 0x7d, 0x32, 0x6b]),
            (1, 0x1234, 0x32, [0x61, 0xfd, 0x32, 0x6b]),
            (1234, 0x1234, 0x32, [0x41, 0x36, 0x32, 0x6b]),
            (1234, 0x1f2e, 0x32, [0x41, 0x36, 0x32, 0x66]),
            (1234, 0x1f99, 0x32, [0x41, 0x36, 0x32, 0x66]),
            (1234, 0x2e2e, 0x32, [0x41, 0x36, 0x32, 0x57]),
            (5678, 0x1f2e, 0x32, [0x09, 0x09, 0x32, 0x66]),
            (8697, 0xb14e, 0x32, [0xe5, 0xe2, 0x32, 0xc8]),
            (123_456, 0xabcd, 0x32, [0x29, 0x7f, 0x32, 0x52]),
            (999_999, 0xffff, 0x32, [0x22, 0x81, 0x32, 0x96]),
            (999_999, 0xffff, 0x37, [0x27, 0x84, 0x37, 0x93]),
        ] {
            assert_eq!(scramble(key, session, tick), expected, "key {key}, session {session:#x}");
        }
    }

    #[test]
    fn a_key_is_one_to_six_digits() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("001234"), Some(1234));
        assert_eq!(parse("999999"), Some(999_999));
        for text in ["", "1234567", "12a", "-1", " 1", "+12"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
