//! Text that is not ASCII: names of devices and the like, in whatever encoding the firmware has.

use encoding_rs::Encoding;

/// Language 83 is simplified Chinese: there firmwares write GB 2312, and GB 18030 holds all of it.
const CHINESE: &str = "83";

/// The encoding to fall back to for a terminal: the configured one, else by the language that it told.
pub(crate) fn fallback(configured: Option<&'static Encoding>, language: Option<&str>) -> &'static Encoding {
    configured.unwrap_or(if language == Some(CHINESE) { encoding_rs::GB18030 } else { encoding_rs::WINDOWS_1252 })
}

/// UTF-8 where the bytes are UTF-8, else the fallback; what is unknown there too becomes U+FFFD. Never fails: no batch
/// is held back for a name.
pub(crate) fn decode(bytes: &[u8], fallback: &'static Encoding) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => fallback.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_the_terminals_encoding() {
        let zhang = [0xd5, 0xc5, 0xc8, 0xfd]; // GBK
        assert_eq!(decode(&zhang, fallback(None, Some("83"))), "张三");
        assert_eq!(decode("张三".as_bytes(), fallback(None, Some("83"))), "张三");
        assert_eq!(decode(b"Jos\xe9", fallback(None, Some("97"))), "José");
        assert_eq!(decode(b"\xcf\xe5", fallback(Some(encoding_rs::WINDOWS_1251), None)), "Пе");
        assert_eq!(decode(b"\xff", fallback(None, Some("83"))), "\u{fffd}");
    }
}
