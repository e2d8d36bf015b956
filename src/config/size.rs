//! A size on disk as one writes it: `"64MiB"`.

use serde::{Deserialize, Deserializer};

/// A number of bytes, from a whole number with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let bytes: u64 = match unit.trim_start() {
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        Some(Self(number.checked_mul(bytes)?))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("a size is a whole number with B, kB, MB, GB, KiB, MiB, GiB or TiB")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_people_write_it() {
        for (text, bytes) in [("64MiB", 67_108_864), ("1 GB", 1_000_000_000), ("0B", 0), ("4KiB", 4096)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "64", "MiB", "64mb", "-1B", "1.5GiB", "99999999999TiB", "64M"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
