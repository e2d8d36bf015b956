//! What is remembered of a terminal between runs. It saves work; nothing depends on it.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::settings::Dialect;

/// Kept as JSON through the door.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cursor {
    /// The last `Stamp` of each table whose upload was stored, as the text that it was: integers, ISO times and words
    /// occur, and firmwares want it back letter by letter.
    pub stamps: BTreeMap<String, String>,
    pub dialect: Option<Dialect>,
    /// It said so itself, in a handshake.
    pub dialect_told: bool,
    /// `pushver` and `language` of the last handshake.
    pub version: Option<String>,
    pub language: Option<String>,
    pub exchange_tried: bool,
    /// The address that it spoke from first.
    pub address: Option<IpAddr>,
    /// Up to here, in its wall time, its log was compared with the ledger.
    pub compared_to: Option<DateTime>,
    /// The latest of what it noted about itself, in its wall time.
    pub operated: Option<DateTime>,
    /// Records in its log, when it last said.
    pub records: Option<u64>,
}

impl Cursor {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        // What cannot be read was written by another version, or is damaged: begin anew.
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text, numbers and no map with other keys")
    }

    /// Takes a stamp if it is one that can be sent back in a line of options. True if that is news.
    pub(crate) fn stamp(&mut self, table: &str, stamp: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if stamp.is_empty() || stamp.len() > 40 || !stamp.bytes().all(plain) {
            return false;
        }
        match self.stamps.get_mut(table) {
            Some(held) if held == stamp => false,
            Some(held) => {
                stamp.clone_into(held);
                true
            }
            None => {
                self.stamps.insert(table.to_owned(), stamp.to_owned());
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_letter_by_letter() {
        let mut cursor = Cursor::default();
        for stamp in ["82983982", "9999", "2011-04-05T17:40:20", "None", "0"] {
            assert!(cursor.stamp("ATTLOG", stamp));
            assert!(!cursor.stamp("ATTLOG", stamp));
            assert_eq!(Cursor::read(&cursor.bytes()).stamps["ATTLOG"], stamp);
        }
        for bad in ["", "1\nRealtime=0", "\t", &"9".repeat(41), "é"] {
            assert!(!cursor.stamp("ATTLOG", bad), "{bad:?}");
        }
    }

    #[test]
    fn a_damaged_cursor_is_no_cursor() {
        assert_eq!(Cursor::read(b"\xff\x00"), Cursor::default());
        assert_eq!(Cursor::read(b"{\"stamps\":{\"ATTLOG\":\"7\"},\"later\":1}").stamps["ATTLOG"], "7");
    }
}
