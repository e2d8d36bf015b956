//! Whatever the bytes: decoders give an answer, and no bytes are lost or invented.

use driver_anviz::{
    frame::{Frame, LIMIT, Parser},
    record::{self, Counters, Record},
};
use jiff::civil::Date;
use proptest::prelude::*;

fn frames() -> impl Strategy<Value = Frame> {
    (any::<u32>(), any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(
        |(unit, command, result, data)| {
            let frame = Frame { unit, command, result, data };
            if frame.is_answer() { frame } else { Frame { result: 0, ..frame } }
        },
    )
}

proptest! {
    #[test]
    fn decoders_never_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
        let mut parser = Parser::default();
        for piece in bytes.chunks(size) {
            parser.room().extend_from_slice(piece);
            while let Some(frame) = parser.next() {
                prop_assert!(frame.data.len() <= LIMIT);
            }
        }
        while parser.give_up().is_some() {}
        prop_assert!(parser.room().is_empty());
        let _ = record::page(&bytes);
        let _ = Counters::of(&bytes);
        let _ = record::clock(&bytes);
        let _ = record::u24(&bytes);
        prop_assert!(record::text(&bytes).len() <= 64);
    }

    #[test]
    fn frames_read_back_however_they_are_cut(list in prop::collection::vec(frames(), 0..6), size in 1_usize..90) {
        let bytes: Vec<u8> = list.iter().flat_map(Frame::encode).collect();
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(size) {
            parser.room().extend_from_slice(piece);
            while let Some(frame) = parser.next() {
                found.push(frame);
            }
        }
        prop_assert_eq!(found, list);
        prop_assert_eq!((parser.noise, parser.damaged), (0, 0));
    }

    #[test]
    fn one_wrong_bit_is_never_taken_for_a_frame(frame in frames(), at: prop::sample::Index) {
        let mut bytes = frame.encode();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut parser = Parser::default();
        parser.room().extend_from_slice(&bytes);
        prop_assert_ne!(parser.next(), Some(frame));
    }

    #[test]
    fn a_record_reads_back(raw: [u8; 14]) {
        let record = Record::of(&raw);
        prop_assert_eq!(record.encode(), raw);
        let epoch = Date::constant(2000, 1, 2);
        let local = record.local(epoch).unwrap();
        prop_assert_eq!(record::seconds(local, epoch), record.seconds);
    }

    #[test]
    fn a_clock_reads_back(data: [u8; 6]) {
        if let Some(local) = record::clock(&data) {
            prop_assert_eq!(record::encode_clock(local), data);
        }
    }
}
