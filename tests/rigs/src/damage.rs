//! What is done to a store while the gateway is off, and what that may cost.

use std::{collections::BTreeSet, fs, ops::Range, os::unix::fs::FileExt, path::Path};

use anyhow::Context;

use crate::{anatomy::Segment, storage::segments};

#[derive(Debug, Clone)]
pub(crate) enum Damage {
    /// The newest segment ends here.
    Cut(u64),
    /// It has only zeros from here on, as where room was reserved and a write was cut short.
    Torn(u64),
    Flip {
        file: String,
        bit: u64,
    },
    Missing(String),
    Zeroed(String),
    Swapped(String, String),
    LaterVersion(String),
    Index,
}

impl Damage {
    pub(crate) fn apply(&self, state: &Path) -> anyhow::Result<()> {
        let journal = state.join("journal");
        let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| -> anyhow::Result<()> {
            let path = journal.join(name);
            let mut bytes = fs::read(&path)?;
            change(&mut bytes);
            Ok(fs::write(&path, bytes)?)
        };
        let newest = || -> anyhow::Result<fs::File> {
            let path = segments(&journal)?.pop().context("a segment")?;
            Ok(fs::File::options().write(true).open(path)?)
        };
        match self {
            Self::Cut(at) => newest()?.set_len(*at)?,
            Self::Torn(at) => {
                let file = newest()?;
                let long = file.metadata()?.len();
                file.write_all_at(&vec![0; long.saturating_sub(*at) as usize], *at)?;
            }
            Self::Flip { file, bit } => change(file, &|bytes| bytes[(bit / 8) as usize] ^= 1 << (bit % 8))?,
            Self::Missing(name) => fs::remove_file(journal.join(name))?,
            Self::Zeroed(name) => change(name, &|bytes| bytes.fill(0))?,
            Self::Swapped(one, other) => {
                fs::rename(journal.join(one), journal.join("swap"))?;
                fs::rename(journal.join(other), journal.join(one))?;
                fs::rename(journal.join("swap"), journal.join(other))?;
            }
            Self::LaterVersion(name) => change(name, &|bytes| {
                bytes[6] = b'2';
                let crc = crc32c::crc32c(&bytes[..40]);
                bytes[40..44].copy_from_slice(&crc.to_le_bytes());
            })?,
            Self::Index => fs::remove_dir_all(state.join("index"))?,
        }
        Ok(())
    }

    /// The bytes that are not what they were: of which file, and which.
    pub(crate) fn place<'a>(&self, whole: &'a [Segment]) -> Option<(&'a Segment, Range<u64>)> {
        let named = |name: &String| whole.iter().find(|segment| segment.name == *name);
        match self {
            Self::Cut(at) | Self::Torn(at) => whole.last().map(|newest| (newest, *at..newest.used)),
            Self::Flip { file, bit } => named(file).map(|segment| (segment, bit / 8..bit / 8 + 1)),
            Self::Missing(name) | Self::Zeroed(name) => named(name).map(|segment| (segment, 0..segment.used)),
            // All bytes are there.
            Self::LaterVersion(name) | Self::Swapped(name, _) => named(name).map(|segment| (segment, 0..1)),
            Self::Index => None,
        }
    }

    /// The persons of those punches that have lost a byte. No others may be missing for long.
    pub(crate) fn costs(&self, whole: &[Segment]) -> BTreeSet<String> {
        let place = self.place(whole).into_iter();
        place.flat_map(|(segment, bytes)| segment.hit(bytes).map(|punch| punch.person.clone())).collect()
    }
}
