//! Bodies as lines, lines as fields: bytes in, slices out, nothing copied.

use memchr::memchr;

/// The non-empty lines of a body. Lines end in LF or CRLF, the last one may lack its end.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, behind) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = behind;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
        None
    })
}

/// The fields of a line, divided by TAB. TAB and LF are never the second byte of a GBK character, so this is safe
/// before any decoding.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\t')
}

/// `key=value` pairs divided by `separator`. What holds no `=` is left out.
pub(crate) fn pairs(line: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(move |byte| *byte == separator).filter_map(|pair| {
        let equals = memchr(b'=', pair)?;
        Some((pair[..equals].trim_ascii(), &pair[equals + 1..]))
    })
}

/// The value of a key, whatever the case of its letters.
pub(crate) fn value<'a>(line: &'a [u8], separator: u8, key: &str) -> Option<&'a [u8]> {
    pairs(line, separator).find(|(found, _)| found.eq_ignore_ascii_case(key.as_bytes())).map(|(_, value)| value)
}

/// A whole number, and nothing else in the field but spaces around it.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_line_end_gives_the_same_lines() {
        let wanted: Vec<&[u8]> = vec![b"a", b"b"];
        for body in ["a\nb\n", "a\nb", "a\r\nb\r\n", "\n\na\n \t \r\n\nb\n\n"] {
            assert_eq!(lines(body.as_bytes()).collect::<Vec<_>>(), wanted, "{body:?}");
        }
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_a_key_any_case() {
        assert_eq!(value(b"pin=1\tName=a=b", b'\t', "NAME"), Some(&b"a=b"[..]));
        assert_eq!(value(b"pin=1\tx", b'\t', "x"), None);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_line_gets_lost(words in prop::collection::vec("[a-z]{1,9}", 0..9)) {
            let body = words.join("\n");
            let found: Vec<_> = lines(body.as_bytes()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }
}
