//! What terminals tell of themselves: pushed options, registration, `INFO`, and answers to it.

use crate::{
    lines::{lines, number, pairs},
    name,
};

/// What is wanted of all that a terminal may tell. Everything else, passwords and comm keys first, is left where it is.
/// (`~MaxAttLogCount` too: firmwares count it in ones, hundreds or ten-thousands.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub model: Option<String>,
    pub platform: Option<String>,
    pub firmware: Option<String>,
    pub language: Option<String>,
    pub users: Option<u64>,
    pub records: Option<u64>,
}

impl About {
    /// Takes one option; unknown ones are passed over. Keys may start with `~`.
    fn take(&mut self, key: &[u8], value: &[u8], fallback: &'static encoding_rs::Encoding) {
        let key = key.strip_prefix(b"~").unwrap_or(key);
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        let text = || {
            let text: String =
                name::decode(value.trim_ascii(), fallback).chars().filter(|c| !c.is_control()).take(64).collect();
            (!text.is_empty()).then_some(text)
        };
        let count = || number(value).and_then(|count| u64::try_from(count).ok());
        if is("DeviceName") {
            self.model = text().or(self.model.take());
        } else if is("Platform") {
            self.platform = text().or(self.platform.take());
        } else if is("FWVersion") || is("FirmVer") {
            self.firmware = text().or(self.firmware.take());
        } else if is("Language") {
            self.language = text().or(self.language.take());
        } else if is("UserCount") {
            self.users = count().or(self.users);
        } else if is("TransactionCount") {
            self.records = count().or(self.records);
        }
    }

    /// As JSON for whoever asked; only what is known.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut told = serde_json::Map::new();
        for (key, text) in [("model", &self.model), ("platform", &self.platform), ("firmware", &self.firmware)] {
            if let Some(text) = text {
                told.insert(key.into(), text.as_str().into());
            }
        }
        for (key, count) in [("users", self.users), ("records", self.records)] {
            if let Some(count) = count {
                told.insert(key.into(), count.into());
            }
        }
        told.into()
    }
}

/// `key=value` divided by commas or line ends, as in pushed options, `registry` and answers to `INFO`.
pub(crate) fn about(body: &[u8], fallback: &'static encoding_rs::Encoding) -> About {
    let mut about = About::default();
    for line in lines(body) {
        for (key, value) in pairs(line, b',') {
            about.take(key, value, fallback);
        }
    }
    about
}

/// The query key `INFO` of a first poll: firmware, users, fingerprints, records, address, and more. Tolerates fewer.
pub(crate) fn info(text: &str) -> About {
    let mut parts = text.split(',').map(str::trim);
    let firmware = parts.next().filter(|text| !text.is_empty());
    let firmware = firmware.map(|text| text.chars().filter(|c| !c.is_control()).take(64).collect());
    let mut count = || parts.next().and_then(|part| part.parse().ok());
    let (users, _fingers, records) = (count(), count(), count());
    About { firmware, users, records, ..About::default() }
}

/// `pushver` as numbers: `2.4.1`, or hidden in a firmware's `Ver 2.0.33S-20220623`.
pub(crate) fn version(text: &str) -> Option<[u16; 3]> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |end| start + end);
    let mut parts = text[start..end].split('.').map(str::parse::<u16>);
    let major = parts.next()?.ok()?;
    let minor = parts.next()?.ok()?; // a lone number is no version
    Some([major, minor, parts.next().and_then(Result::ok).unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pushed_options_tell_model_and_counts() {
        let told = about(
            b"~DeviceName=X Y,UserCount=17,BioDataFun=,TransactionCount=500,ComKey=88888888",
            encoding_rs::GB18030,
        );
        assert_eq!(told.model.as_deref(), Some("X Y"));
        assert_eq!((told.users, told.records), (Some(17), Some(500)));
        assert!(!format!("{told:?}").contains("88888888"));
    }

    #[test]
    fn the_first_poll_tells_counts() {
        let told = info("Ver 6.8.0(build640), 2, 0, 33, 192.0.2.1,10,-1,-12,101");
        assert_eq!(told.firmware.as_deref(), Some("Ver 6.8.0(build640)"));
        assert_eq!((told.users, told.records), (Some(2), Some(33)));
        assert_eq!(info(""), About::default());
    }

    #[test]
    fn a_version_is_found_in_what_firmwares_write() {
        assert_eq!(version("2.4.1"), Some([2, 4, 1]));
        assert_eq!(version("Ver 2.0.33S-20220623"), Some([2, 0, 33]));
        assert_eq!(version("3.1"), Some([3, 1, 0]));
        for junk in ["", "junk", "3", "99999.1", "..."] {
            assert_eq!(version(junk), None, "{junk}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, text: String) {
            about(&body, encoding_rs::WINDOWS_1252);
            info(&text);
            version(&text);
        }
    }
}
