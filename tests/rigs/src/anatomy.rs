//! Where in a journal each punch stands, byte by byte. Read from a store that is whole, by a reader that shares no code with
//! the gateway's: so whoever damages a byte knows which punches may be missing afterwards, and which may not.
//!
//! A segment is a header of 48 bytes and groups; a group is `PGgp`, the length of its body (u32), its number (u64), its count of
//! records (u32), a checksum, and the body; a record in it is a length (u16), a checksum (u32) and a payload in postcard's
//! form, whose first byte is its kind. `src/spool/segment.rs` and `group.rs` say the same.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use anyhow::{Context, bail, ensure};

use crate::storage::segments;

const HEADER: usize = 48;
const GROUP: usize = 24;
const FRAME: usize = 6;
const LEDGER: u8 = 0;
const PUNCH: u8 = 1;

/// One punch.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) person: String,
    pub(crate) terminal: String,
    pub(crate) seq: u64,
    /// Its record, with length and checksum.
    pub(crate) bytes: Range<u64>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) number: u64,
    /// The rest is zeros.
    pub(crate) used: u64,
    pub(crate) groups: Vec<Range<u64>>,
    pub(crate) punches: Vec<Place>,
}

impl Segment {
    /// Punches whose record has a byte in this range.
    pub(crate) fn hit(&self, bytes: Range<u64>) -> impl Iterator<Item = &Place> {
        self.punches.iter().filter(move |it| it.bytes.start < bytes.end && bytes.start < it.bytes.end)
    }

    /// Where the last group begins that holds a punch.
    pub(crate) fn last_group(&self) -> Option<u64> {
        let last = self.punches.last()?.bytes.start;
        self.groups.iter().rev().find(|group| group.contains(&last)).map(|group| group.start)
    }
}

/// All files of a journal, in order. Every byte must be accounted for.
pub(crate) fn dissect(journal: &Path) -> anyhow::Result<Vec<Segment>> {
    let mut names = BTreeMap::new();
    segments(journal)?.iter().map(|path| one(path, &mut names).with_context(|| path.display().to_string())).collect()
}

fn one(path: &Path, names: &mut BTreeMap<u64, String>) -> anyhow::Result<Segment> {
    let bytes = fs::read(path)?;
    let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
    let number = path.file_stem().context("a name")?.to_string_lossy().parse()?;
    let (mut groups, mut punches) = (Vec::new(), Vec::new());
    let mut at = HEADER;
    while bytes.get(at..at + 4) == Some(b"PGgp") {
        let long = u32::from_le_bytes(bytes[at + 4..at + 8].try_into()?) as usize;
        let end = at + GROUP + long;
        ensure!(end <= bytes.len(), "the group at {at} ends behind the file");
        groups.push(at as u64..end as u64);
        at += GROUP;
        while at < end {
            let long = usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into()?));
            let payload = bytes.get(at + FRAME..at + FRAME + long).context("a record ends behind its file")?;
            let place = at as u64..(at + FRAME + long) as u64;
            at += FRAME + long;
            let mut rest = Rest(&payload[1..]);
            match payload[0] {
                LEDGER => {
                    let number = rest.number()?;
                    names.insert(number, rest.text()?);
                }
                PUNCH => {
                    let (ledger, seq) = (rest.number()?, rest.number()?);
                    rest.skip(32 + 16)?; // head and id
                    let terminal = names.get(&ledger).context("a punch of a ledger without a name")?.clone();
                    punches.push(Place { person: rest.text()?, terminal, seq, bytes: place });
                }
                _ => {}
            }
        }
        ensure!(at == end, "the records of a group end at {at}, and the group at {end}");
    }
    if let Some(odd) = bytes[at..].iter().position(|byte| *byte != 0) {
        bail!("what stands at {} is no group", at + odd);
    }
    Ok(Segment { name, number, used: at as u64, groups, punches })
}

/// What of a payload is not read yet: numbers of 7 bits a byte, texts with their length in front.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self) -> anyhow::Result<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first().context("a number that ends early")?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            ensure!(shift < 64, "a number that does not end");
        }
    }

    fn skip(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.0 = self.0.get(bytes..).context("a record that ends early")?;
        Ok(())
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let long = usize::try_from(self.number()?)?;
        let text = self.0.get(..long).context("a text that ends early")?;
        self.0 = &self.0[long..];
        Ok(str::from_utf8(text)?.to_owned())
    }
}
