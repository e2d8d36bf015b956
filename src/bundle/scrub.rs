//! The last look at every text that leaves in a bundle: no secret of the config, no number that could be a card's.

use std::{fs, path::Path};

use serde_json::Value;
use toml::Table;

use crate::config;

/// What must not be read in any text.
pub struct Scrub {
    /// Longest first, so that no part of one stays behind.
    secrets: Vec<String>,
}

/// A number of so many digits that stands alone could be a card's, or that of a person.
const CARD: usize = 8;
/// A secret that is shorter than this would be found in every other word.
const SHORTEST: usize = 4;
/// What stands under these names is no card: serial numbers, keys and hashes.
const KNOWN: [&str; 10] =
    ["serial", "public_key", "key", "sha256", "head", "hash", "prev", "bundle", "at_us", "CODE_LINE"];

impl Scrub {
    /// Knows the secrets of a config, which need not be one that can be used.
    pub fn of(config: &Path) -> Self {
        let table = fs::read_to_string(config).ok().and_then(|text| text.parse::<Table>().ok()).unwrap_or_default();
        let mut secrets = config::secrets(&table);
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// A text without them.
    pub fn text(&self, text: &str) -> String {
        without_cards(&self.without_secrets(text))
    }

    /// All texts of a document without them.
    pub fn clean(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|one| self.clean(one)),
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    match member {
                        Value::String(text) if KNOWN.contains(&&**name) => *text = self.without_secrets(text),
                        member => self.clean(member),
                    }
                }
            }
            _ => {}
        }
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Runs of digits that stand alone, with `***` in the place of long ones.
fn without_cards(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(at);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (run, behind) = digits.split_at(end);
        shown += before;
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let alone = !joined(shown.chars().next_back()) && !joined(behind.chars().next());
        shown += if alone && run.len() >= CARD { "***" } else { run };
        rest = behind;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cards_go_and_times_ports_and_serials_stay() {
        for (text, shown) in [
            ("card 0012345678 refused", "card *** refused"),
            ("2026-11-20T08:58:31.123456789Z", "2026-11-20T08:58:31.123456789Z"),
            ("cannot reach 192.0.2.10:4370", "cannot reach 192.0.2.10:4370"),
            ("CEXA204060001 and A12345678", "CEXA204060001 and A12345678"),
            ("12345678", "***"),
            ("1234567", "1234567"),
            ("卡12345678", "卡***"),
            ("", ""),
        ] {
            assert_eq!(without_cards(text), shown.to_owned(), "{text}");
        }
    }

    #[test]
    fn a_secret_goes_wherever_it_stands() {
        let scrub = Scrub { secrets: vec!["user:MARKER".into(), "MARKER".into()] };
        let mut document =
            json!({ "serial": "12345678 MARKER", "a": [{ "b": "mqtts://user:MARKER@host" }], "n": 12345678 });
        scrub.clean(&mut document);
        assert_eq!(document, json!({ "serial": "12345678 ***", "a": [{ "b": "mqtts://***@host" }], "n": 12345678 }));
    }
}
