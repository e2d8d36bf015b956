//! A group: records that were written with one write and made durable with one fdatasync. Pure; no I/O.
//!
//! ```text
//! group   "PGgp"  body length u32   group number u64   records u32   CRC32C u32   body
//! body    record record ...
//! record  length u16   CRC32C u32   payload (one postcard enum)
//! ```
//! Numbers are little-endian. Every CRC begins with the store's random id, which no terminal can know: so nothing that a
//! terminal has us store can look like a record of ours, not even to a reader that has lost its place.

use std::ops::Range;

use super::record::Record;

pub(super) const GROUP_MAGIC: [u8; 4] = *b"PGgp";
/// Bytes before a group's body.
pub(super) const GROUP_HEADER: usize = 24;
/// A longer body was never written.
pub(super) const BODY_LIMIT: usize = 4 << 20;
const FRAME: usize = 6;

/// A group while it is being filled.
#[derive(Debug)]
pub(super) struct Group {
    bytes: Vec<u8>,
    records: u32,
    seed: u32,
    scratch: Vec<u8>,
}

impl Group {
    /// `seed` is the CRC of the store's id.
    pub(super) fn new(seed: u32) -> Self {
        Self { bytes: vec![0; GROUP_HEADER], records: 0, seed, scratch: vec![0; 256] }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.truncate(GROUP_HEADER);
        self.records = 0;
        if self.bytes.capacity() > 1 << 20 {
            self.bytes.shrink_to(1 << 18);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn push(&mut self, record: &Record<'_>) {
        // Into a slice first: appending to a vector byte by byte takes several times as long.
        let used = loop {
            match postcard::to_slice(record, &mut self.scratch).map(|payload| payload.len()) {
                Ok(used) => break used,
                Err(postcard::Error::SerializeBufferFull) if self.scratch.len() <= usize::from(u16::MAX) => {
                    let more = self.scratch.len() * 2;
                    self.scratch.resize(more, 0);
                }
                Err(error) => unreachable!("texts are cut before they come here, and there are no maps: {error}"),
            }
        };
        let payload = &self.scratch[..used];
        let long = u16::try_from(payload.len()).expect("texts and raw bytes are cut before they come here");
        let crc = crc32c::crc32c_append(self.seed, payload);
        self.bytes.extend_from_slice(&long.to_le_bytes());
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes.extend_from_slice(payload);
        self.records += 1;
    }

    /// Adds a record as it stands in another group.
    pub(super) fn keep(&mut self, framed: &[u8]) {
        self.bytes.extend_from_slice(framed);
        self.records += 1;
    }

    /// Adds all records of another group.
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes[GROUP_HEADER..]);
        self.records += other.records;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes to write, with the header filled in.
    pub(super) fn seal(&mut self, number: u64) -> &[u8] {
        let body = (self.bytes.len() - GROUP_HEADER) as u32;
        self.bytes[..4].copy_from_slice(&GROUP_MAGIC);
        self.bytes[4..8].copy_from_slice(&body.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.records.to_le_bytes());
        let crc = group_crc(self.seed, &self.bytes);
        self.bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// Over everything but the place of the CRC itself.
fn group_crc(seed: u32, group: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &group[..20]), &group[GROUP_HEADER..])
}

/// What a group's first bytes say; not to be believed before [`whole`] agrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupHeader {
    pub(super) body: usize,
    pub(super) number: u64,
    pub(super) crc: u32,
}

impl GroupHeader {
    /// `None` where no group can start.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < GROUP_HEADER || bytes[..4] != GROUP_MAGIC {
            return None;
        }
        let body = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
        let number = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
        let crc = u32::from_le_bytes(bytes[20..24].try_into().expect("four bytes"));
        (body <= BODY_LIMIT).then_some(Self { body, number, crc })
    }
}

/// Whether these bytes are one group exactly as it was written.
pub(super) fn whole(seed: u32, group: &[u8]) -> bool {
    GroupHeader::read(group).is_some_and(|header| header.body + GROUP_HEADER == group.len())
        && group[20..24] == group_crc(seed, group).to_le_bytes()
}

/// The records of a whole group's body. `None` stands for one that only a newer version can read.
pub(super) fn records(body: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    framed(body).map(|framed| postcard::from_bytes(&framed[FRAME..]).ok())
}

/// The same, each as its bytes stand there.
pub(super) fn framed(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let long = usize::from(u16::from_le_bytes(rest.first_chunk().copied()?));
        let (framed, behind) = rest.split_at_checked(FRAME + long)?;
        rest = behind;
        Some(framed)
    })
}

/// What can still be read of damaged bytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Salvage<'a> {
    pub(super) records: Vec<Record<'a>>,
    /// What is neither a record nor the header of a group.
    pub(super) lost: Vec<Range<usize>>,
}

/// Reads every record with a right checksum out of `bytes`, which begin where a group should.
pub(super) fn salvage(seed: u32, bytes: &[u8]) -> Salvage<'_> {
    let mut found = Salvage::default();
    let mut at = GROUP_HEADER.min(bytes.len());
    let mut lost = 0..0;
    if GroupHeader::read(bytes).is_none() {
        // Something happened to the header; records may begin anywhere behind it, or earlier.
        at = 0;
    }
    while at < bytes.len() {
        if let Some((record, end)) = record_at(seed, &bytes[at..]) {
            found.records.push(record);
            at += end;
        } else if GroupHeader::read(&bytes[at..]).is_some() {
            at += GROUP_HEADER;
        } else {
            if lost.end == at {
                lost.end += 1;
            } else {
                found.lost.extend((!lost.is_empty()).then(|| lost.clone()));
                lost = at..at + 1;
            }
            at += 1;
        }
    }
    found.lost.extend((!lost.is_empty()).then_some(lost));
    found
}

fn record_at(seed: u32, bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (frame, behind) = bytes.split_at_checked(FRAME)?;
    let long = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
    // The enum's byte comes first: most wrong places are told by it without a checksum over 64 KiB.
    let payload = behind.get(..long).filter(|payload| payload.first().is_some_and(|kind| *kind < 32))?;
    let crc = crc32c::crc32c_append(seed, payload);
    if frame[2..] != crc.to_le_bytes() {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, FRAME + long))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spool::record::{ConfirmedRecord, SetAsideRecord};

    fn confirmed(first: u64) -> Record<'static> {
        Record::Confirmed(ConfirmedRecord { destination: "mqtt", ledger: 1, first, last: first })
    }

    fn group(seed: u32, number: u64, records: u64) -> Vec<u8> {
        let mut group = Group::new(seed);
        (0..records).for_each(|n| group.push(&confirmed(n)));
        group.seal(number).to_vec()
    }

    #[test]
    fn a_group_reads_back_what_was_put_in() {
        let bytes = group(5, 9, 3);
        assert!(whole(5, &bytes));
        assert!(!whole(6, &bytes), "another store's group is none of ours");
        let back: Vec<_> = records(&bytes[GROUP_HEADER..]).collect();
        assert_eq!(back, [Some(confirmed(0)), Some(confirmed(1)), Some(confirmed(2))]);
        assert_eq!(GroupHeader::read(&bytes).unwrap().number, 9);
    }

    #[test]
    fn one_flipped_bit_costs_one_record() {
        let good = group(5, 9, 4);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(5, &bytes), "bit {bit}");
            let found = salvage(5, &bytes);
            assert!(found.records.len() >= 3, "bit {bit}: {found:?}");
            assert!(found.records.len() == 4 || !found.lost.is_empty(), "bit {bit}: a record went in silence");
        }
    }

    #[test]
    fn what_a_terminal_sends_never_looks_like_a_record() {
        // It knows our format, and not the store's id.
        let forged = group(0, 10, 1);
        let mut real = Group::new(5);
        real.push(&Record::SetAside(SetAsideRecord { ledger: 1, id: [7; 16], raw: &forged, reason: "odd", stored: 0 }));
        let mut bytes = real.seal(9).to_vec();
        bytes[GROUP_HEADER + FRAME + 2] ^= 1;
        assert_eq!(salvage(5, &bytes).records, []);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            salvage(1, &bytes);
            records(&bytes).for_each(drop);
            whole(1, &bytes);
        }
    }
}
