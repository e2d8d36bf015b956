//! Whatever the bytes: frames are cut, read or refused, in any pieces, and nothing grows without end.

use std::time::Duration;

use driver_api::Problems;
use driver_serial_ascii::{
    checksum::{Checksum, Coded, Kind, Over, hex, unhex},
    decode::read,
    framing::{Cut, Framer, Framing},
    reader::Reader,
    readers::READERS,
};
use line::wiegand::{self, Align};
use proptest::prelude::*;
use tokio::time::Instant;

/// All that comes out of these bytes, cut into pieces of these sizes.
fn cuts(framing: &Framing, bytes: &[u8], size: usize) -> Vec<Cut> {
    let mut framer = Framer::new(framing.clone(), Duration::from_millis(500));
    let now = Instant::now();
    let mut all = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        framer.feed(piece, now);
        while let Some(cut) = framer.next_cut() {
            if let Cut::Frame(frame) = &cut
                && frame.len() % 3 == 0
            {
                framer.rejected(frame);
            }
            all.push(cut);
            assert!(all.len() <= bytes.len() * 4 + 4, "more comes out than goes in");
        }
    }
    all.extend(framer.expire(now + Duration::from_secs(60)));
    all
}

fn framing() -> impl Strategy<Value = Framing> {
    let sync = || prop::collection::vec(0_u8..4, 0..4);
    prop_oneof![
        (4_usize..40).prop_map(|most| Framing::Line { most }),
        (prop::option::of(4_u8..6), 4_usize..40).prop_map(|(escape, most)| Framing::Enclosed {
            start: 2,
            end: 3,
            escape,
            most
        }),
        (sync(), 4_usize..20).prop_map(|(sync, length)| Framing::Fixed { sync, length }),
        (4_usize..40).prop_map(|most| Framing::Gap { gap: Duration::from_millis(20), most }),
        (sync(), 0_usize..8, any::<bool>(), 0_usize..10, 4_usize..300)
            .prop_map(|(sync, at, wide, more, most)| Framing::Prefixed { sync, at, wide, more, most }),
    ]
}

proptest! {
    #[test]
    fn every_stream_is_cut(
        framing in framing(),
        bytes in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>(), Just(b'\r'), Just(b'\n')], 0..400),
        size in 1_usize..50,
    ) {
        for cut in cuts(&framing, &bytes, size) {
            if let Cut::Frame(frame) = cut {
                let most = match &framing {
                    Framing::Line { most } | Framing::Enclosed { most, .. } | Framing::Gap { most, .. } | Framing::Prefixed { most, .. } => *most,
                    Framing::Fixed { length, .. } => *length,
                };
                prop_assert!(frame.len() <= most);
            }
        }
    }

    #[test]
    fn every_reader_that_ships_reads_or_refuses(bytes in prop::collection::vec(any::<u8>(), 0..200), index in 0..READERS.len()) {
        let (name, text) = READERS[index];
        let reader = Reader::parse(name, text, &mut Problems::default()).unwrap();
        let _ = read(&reader, &bytes);
        for cut in cuts(&reader.framing, &bytes, 7) {
            if let Cut::Frame(frame) = cut {
                let _ = read(&reader, &frame);
            }
        }
    }

    #[test]
    fn a_frame_with_a_flipped_digit_is_nobody(card: u32, at in 1_usize..13, flip in 1_u8..16) {
        let reader = Reader::parse("rdm6300", READERS[0].1, &mut Problems::default()).unwrap();
        let mut frame = driver_serial_ascii::sim::Product::Rdm6300.frame("", 0, &card.to_string());
        let right = read(&reader, &frame[1..13]).unwrap().unwrap();
        prop_assert_eq!(right.card, format!("{card:010}"));
        let digit = char::from(frame[at]).to_digit(16).unwrap() as u8;
        frame[at] = hex(&[digit ^ flip]).as_bytes()[1];
        prop_assert!(read(&reader, &frame[1..13]).is_err());
    }

    #[test]
    fn checksums_and_bits_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), bits: usize, skip in 0_usize..90) {
        for kind in [Kind::Xor8, Kind::Sum8, Kind::Lrc8, Kind::Crc16Modbus, Kind::Crc16CcittFalse, Kind::Crc16Xmodem] {
            for (over, coded) in [(Over::Ascii, Coded::Hex), (Over::Decoded, Coded::Raw)] {
                let it = Checksum { kind, over, coded, separator: None, skip };
                let _ = it.strip(&bytes);
                if let Ok(sum) = it.of(&bytes) {
                    let frame = [&bytes[..], &sum].concat();
                    prop_assert_eq!(it.strip(&frame), Ok(&bytes[..]));
                }
            }
        }
        for align in [Align::Left, Align::Right] {
            let _ = wiegand::decode(bits, &bytes, align, true);
            let _ = wiegand::decode(bits % 600, &bytes, align, false);
        }
        prop_assert_eq!(unhex(hex(&bytes).as_bytes()), Some(bytes));
    }

    #[test]
    fn any_description_is_taken_or_told(text in "(framing = \"(line|fixed|stx_etx|length_prefix)\"\n)?((length|max_length|length_at|checksum|pattern|ack|card) = [0-9\"a-z()]{0,8}\n){0,4}") {
        let mut problems = Problems::default();
        let taken = Reader::parse("x", &text, &mut problems);
        prop_assert!(taken.is_some() == problems.errors.is_empty());
    }
}
