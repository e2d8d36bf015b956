//! Firmware with published flaws: a short list that ships, each line with its source.
//!
//! Only what a terminal says of itself is compared, so what is not in the list is not known to be safe.

use super::terminal::TerminalHealth;

/// One published flaw, or a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// Drivers of terminals that may have it.
    pub drivers: &'static [&'static str],
    /// What its firmware, platform or model contains, compared without regard to case; one is enough.
    pub marks: &'static [&'static str],
    pub name: &'static str,
    /// What somebody on the network can do.
    pub effect: &'static str,
    pub source: &'static str,
}

pub const FLAWS: &[Flaw] = &[
    Flaw {
        drivers: &["zk", "zk-push"],
        marks: &["ZAM170-NF-1.8.25-7354"],
        name: "CVE-2023-3938 to CVE-2023-3943",
        effect: "commands run as root, files read and written, and people let in by a prepared QR code",
        source: "https://nvd.nist.gov/vuln/detail/CVE-2023-3939",
    },
    Flaw {
        drivers: &["anviz"],
        marks: &["M3"],
        name: "CVE-2019-11523",
        effect: "commands, opening the door among them, are taken from anybody",
        source: "https://nvd.nist.gov/vuln/detail/CVE-2019-11523",
    },
];

/// The flaws that are known of a terminal, by what it says of itself.
pub(super) fn flaws(terminal: &TerminalHealth) -> impl Iterator<Item = &'static Flaw> {
    flaws_of(terminal.driver, [&terminal.firmware, &terminal.platform, &terminal.model].map(|it| it.as_deref()))
}

/// The same by driver, and firmware, platform and model.
pub fn flaws_of(driver: &str, told: [Option<&str>; 3]) -> impl Iterator<Item = &'static Flaw> {
    // Whole words: an M30 is no M3, and a longer version is the same one with a suffix.
    let words: Vec<String> = told.into_iter().flatten().map(str::to_lowercase).collect();
    let has = move |mark: &str| {
        let mark = mark.to_lowercase();
        words.iter().any(|text| {
            text.match_indices(&mark).any(|(at, _)| {
                let ends = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
                ends(text[..at].chars().next_back()) && ends(text[at + mark.len()..].chars().next())
            })
        })
    };
    let driver = driver.to_owned();
    FLAWS.iter().filter(move |flaw| flaw.drivers.contains(&driver.as_str()) && flaw.marks.iter().any(|mark| has(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_is_found_by_whole_words_of_the_right_driver() {
        let count = |driver, firmware, model| flaws_of(driver, [firmware, None, model]).count();
        assert_eq!(count("zk", Some("ZAM170-NF-1.8.25-7354-Ver1.0.0"), None), 1);
        assert_eq!(count("zk-push", Some("Ver zam170-nf-1.8.25-7354-ver1.0.0"), None), 1);
        assert_eq!(count("zk", Some("ZAM170-NF-1.8.25-73541"), None), 0);
        assert_eq!(count("zk", Some("Ver 6.60 Apr 9 2010"), Some("M3")), 0);
        assert_eq!(count("anviz", None, Some("M3")), 1);
        assert_eq!(count("anviz", None, Some("M30")), 0);
        assert_eq!(count("anviz", None, None), 0);
    }

    #[test]
    fn every_flaw_names_its_source() {
        for flaw in FLAWS {
            assert!(flaw.source.starts_with("https://") && !flaw.drivers.is_empty() && !flaw.marks.is_empty());
        }
    }
}
