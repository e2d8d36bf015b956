//! The decoders of the journal, each on bytes of anybody's choice: for fuzzing. And a real journal's bytes to begin with.

use std::{fs, io, path::Path};

use driver_api::{Clock, ClockSource, Direction, Flag, Mark, Origin, PunchId, Raw, Verify};
use jiff::civil::date;

use super::{
    group::{Group, GroupHeader, records, salvage},
    record::{ConfirmedRecord, LedgerRecord, PunchRecord, Record, SetAsideRecord, ZoneNames},
    segment::{Position, SegmentHeader, segment_path},
    walk::{Step, Walk},
};
use crate::ledger::{Entry, Ledger};

/// The body of a group whose checksum is right.
pub fn body(bytes: &[u8]) {
    let mut zones = ZoneNames::default();
    for record in records(bytes).flatten() {
        read(&record, &mut zones);
    }
}

/// Damaged bytes.
pub fn damaged(bytes: &[u8]) {
    let mut zones = ZoneNames::default();
    let found = salvage(0, bytes);
    assert!(found.lost.iter().all(|lost| lost.start < lost.end && lost.end <= bytes.len()), "{:?}", found.lost);
    found.records.iter().for_each(|record| read(record, &mut zones));
    if let Some(header) = GroupHeader::read(bytes) {
        assert!(header.body < 1 << 24);
    }
}

fn read(record: &Record<'_>, zones: &mut ZoneNames) {
    match record {
        Record::Ledger(ledger) => _ = ledger.ledger().origin(),
        Record::Punch(punch) => {
            if let Ok(entry) = punch.entry(zones) {
                // What was understood is written as it was read.
                assert_eq!(PunchRecord::of(punch.ledger, &entry).entry(zones), Ok(entry.clone()));
                let _ = entry.head();
            }
        }
        Record::Retired(retired) => assert!(retired.ids().count() <= 1 << 16),
        Record::SetAside(_) | Record::Confirmed(_) | Record::ConfirmedAt(_) | Record::Note(_) => {}
        Record::Lost(_) | Record::Settled(_) | Record::Repaired(_) | Record::Standing(_) => {}
    }
}

/// A segment's file, as the only one of a journal in this folder: everything in it is walked through.
pub fn segment(bytes: &[u8], folder: &Path) -> io::Result<()> {
    fs::write(segment_path(folder, 1), bytes)?;
    let from = Position { segment: 1, offset: 0 };
    let mut walk = Walk::new(folder, 0, from);
    let mut zones = ZoneNames::default();
    // A step consumes a byte at least.
    for _ in 0..=bytes.len() + 2 {
        match walk.next(None)? {
            Step::End { .. } => return Ok(()),
            _ => walk.records().flatten().for_each(|record| read(&record, &mut zones)),
        }
    }
    panic!("the walk does not end")
}

/// A small journal's only segment: header, and groups with a record of each kind.
pub fn sample() -> Vec<u8> {
    let ledger = Ledger {
        tenant: "acme".into(),
        gateway: "sz-03".into(),
        terminal: "front-door".into(),
        serial: "CEXA204060001".into(),
        begun: 1_763_600_000,
    };
    // The store whose id gives the seed 0 is none that is ever made; a seed is all that the readers take of it.
    let header = SegmentHeader { store: [0; 16], segment: 1, first_group: 1 };
    let (mut bytes, mut head) = (header.bytes().to_vec(), ledger.origin());
    for number in 1..4 {
        let mut group = Group::new(0);
        group.push(&Record::Ledger(LedgerRecord::of(1, &ledger, number, head)));
        let entry = entry(head, number);
        head = entry.head();
        group.push(&Record::Punch(PunchRecord::of(1, &entry)));
        let (raw, reason) = (&b"1001\t2026"[..], "no time");
        group.push(&Record::SetAside(SetAsideRecord {
            ledger: 1,
            id: [9; 16],
            raw,
            reason,
            stored: 1_763_600_000_000,
        }));
        group.push(&Record::Confirmed(ConfirmedRecord { destination: "mqtt", ledger: 1, first: 1, last: number }));
        bytes.extend_from_slice(group.seal(number));
    }
    bytes
}

fn entry(prev: crate::ledger::Head, seq: u64) -> Entry {
    Entry {
        seq,
        id: PunchId([seq as u8; 16]),
        prev,
        person: "007".into(),
        local: date(2026, 11, 20).at(8, 58, 31, 0),
        zone: "Asia/Shanghai".into(),
        utc: jiff::Timestamp::from_second(1_763_600_311).expect("that is a second"),
        clock: Clock { skew_ms: Some(-840), err_ms: Some(120), how: ClockSource::Probed },
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Face, raw: Some(Raw::Text("F".into())) },
        work_code: Some("12".into()),
        origin: Origin::Live,
        native: Some("4711".into()),
        flags: vec![Flag::DuplicateSecond],
        stored: jiff::Timestamp::from_second(1_763_600_312).expect("that is a second"),
    }
}
