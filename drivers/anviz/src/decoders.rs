//! Every decoder of what terminals send, each on bytes of anybody's choice: for fuzzing. What must hold whatever the bytes are
//! is asserted here.

use std::collections::BTreeMap;

use driver_api::{Batch, Clock, Origin};
use jiff::civil::Date;

use crate::{
    booking::{Codes, Equals},
    frame::{Frame, LIMIT, Parser},
    record::{self, Counters, Raw, Record, SIZE},
};

/// Bytes of a line: frames are found or not, wherever reads end; what is found reads back, and what is not is counted.
pub fn frames(bytes: &[u8]) {
    let found = |size: usize| {
        let (mut parser, mut frames) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(size) {
            parser.room().extend_from_slice(piece);
            frames.extend(std::iter::from_fn(|| parser.next()));
        }
        frames.extend(std::iter::from_fn(|| parser.give_up()));
        assert!(parser.room().is_empty());
        let known: usize = frames.iter().map(|frame| frame.encode().len()).sum();
        assert_eq!(known as u64 + parser.noise, bytes.len() as u64, "each byte is of a frame or noise");
        frames
    };
    let whole = found(bytes.len().max(1));
    assert_eq!(found(5), whole);
    for frame in whole {
        assert!(frame.data.len() <= LIMIT);
        answers(&frame);
    }
}

fn answers(frame: &Frame) {
    contents(&frame.data);
}

/// The data of any answer: a page, counters, a clock, a name.
pub fn contents(bytes: &[u8]) {
    if let Some(counters) = Counters::of(bytes) {
        assert!(counters.read().is_none_or(|read| read <= counters.records));
    }
    if let Some(local) = record::clock(bytes) {
        assert_eq!(record::encode_clock(local)[..], bytes[..6]);
    }
    let _ = record::u24(bytes);
    let text = record::text(bytes);
    assert!(text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    if let Ok(users) = record::users(bytes) {
        assert!(users.len() * 27 < bytes.len() && users.iter().all(|user| *user < 1 << 40));
    }
    if let Ok(records) = record::page(bytes) {
        assert_eq!(records.len() * SIZE + 1, bytes.len());
        booked(&records);
    }
}

/// Each record is a punch or set aside, and none is lost.
fn booked(records: &[Raw]) {
    let codes = Codes { epoch: Date::constant(2000, 1, 2), verify: BTreeMap::new(), states: BTreeMap::new() };
    let (mut equals, mut batch) = (Equals::default(), Batch::default());
    for raw in records {
        assert_eq!(Record::of(raw).encode(), *raw);
        let nth = equals.nth(raw);
        codes.book(raw, nth, (Origin::Backfill, Clock::UNKNOWN), &mut batch);
    }
    assert_eq!(batch.punches.len() + batch.set_aside.len(), records.len());
    assert!(batch.punches.iter().all(|punch| punch.nth >= 1 && punch.person != "0"));
}
