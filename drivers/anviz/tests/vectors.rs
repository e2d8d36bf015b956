//! Published bytes of the protocol against the pure parts; every one of them carries a right checksum.

use driver_anviz::{
    command::{CLEAR_MARKS, ask, page, said},
    frame::{ANSWER, Frame, LIMIT, Parser, crc},
    record::{self, Counters, PageError, Record, u24},
};
use jiff::civil::{Date, date};

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The only frame in these bytes.
fn frame(text: &str) -> Frame {
    let mut parser = Parser::default();
    parser.room().extend(hex(text));
    let frame = parser.next().unwrap_or_else(|| panic!("no frame: {text}"));
    assert_eq!((parser.next(), parser.noise, parser.damaged), (None, 0, 0), "{text}");
    frame
}

#[test]
fn the_checksum_is_the_one_of_the_catalogue() {
    assert_eq!(crc(b"123456789"), 0x6f91);
}

#[test]
fn questions_are_written_byte_for_byte() {
    let clock = record::encode_clock(date(2026, 11, 22).at(8, 1, 5, 0));
    let login = [&b"admin\0\0\0\0\0\0\0"[..], b"12345\0\0\0\0\0\0\0"].concat();
    let cases: Vec<(&str, u32, u8, Vec<u8>)> = vec![
        ("A5 00 00 00 00 38 00 00 93 D6", 0, ask::GET_CLOCK, vec![]),
        ("A5 00 00 00 01 3C 00 00 49 A9", 1, ask::COUNTERS, vec![]),
        ("A5 00 00 00 01 40 00 02 02 19 3E C0", 1, ask::RECORDS, vec![page::FIRST_NEW, page::MOST]),
        ("A5 00 00 00 01 40 00 02 00 19 8E F3", 1, ask::RECORDS, vec![page::NEXT, page::MOST]),
        ("A5 00 00 00 01 40 00 02 10 19 1F 66", 1, ask::RECORDS, vec![0x10, page::MOST]),
        ("A5 00 00 00 01 4E 00 04 02 00 00 02 9E 6D", 1, ask::CLEAR, vec![CLEAR_MARKS, 0, 0, 2]),
        ("A5 00 00 00 01 39 00 06 1A 0B 16 08 01 05 09 9A", 1, ask::SET_CLOCK, clock.to_vec()),
        ("A5 00 00 00 01 5E 00 00 BC 19", 1, ask::OPEN, vec![]),
        ("A5 00 00 00 01 24 00 00 1E EA", 1, ask::SERIAL, vec![]),
        ("A5 00 00 00 01 7F 00 00 5B 40", 1, said::HEARTBEAT, vec![]),
        (
            "A5 00 00 00 01 04 00 18 61 64 6D 69 6E 00 00 00 00 00 00 00 31 32 33 34 35 00 00 00 00 00 00 00 96 F2",
            1,
            ask::LOGIN,
            login,
        ),
    ];
    for (text, unit, command, data) in cases {
        let question = Frame::question(unit, command, data);
        assert_eq!(question.encode(), hex(text));
        assert_eq!(frame(text), question);
    }
}

#[test]
fn answers_are_read() {
    let counters = frame("A5 00 00 00 01 BC 00 00 12 00 00 78 00 00 50 00 00 03 00 00 76 00 11 A0 00 00 02 E9 E0");
    assert_eq!((counters.unit, counters.command, counters.result), (1, ask::COUNTERS | ANSWER, 0));
    assert_eq!(Counters::of(&counters.data), Some(Counters { users: 120, records: 4512, new: 2 }));
    assert_eq!(frame("A5 00 00 00 01 C0 01 00 00 AF 65").result, 1);
    assert_eq!(record::page(&frame("A5 00 00 00 01 C0 00 00 01 00 FB 58").data), Ok(vec![]));
    assert_eq!(u24(&frame("A5 00 00 00 01 CE 00 00 03 00 00 02 28 DA").data), Some(2));
    assert_eq!(frame("A5 00 00 00 01 B9 00 00 00 55 9C"), Frame::answer(1, ask::SET_CLOCK, 0, []));
    assert_eq!(frame("A5 00 00 00 01 DE 00 00 00 90 52"), Frame::answer(1, ask::OPEN, 0, []));
    assert_eq!(frame("A5 00 00 00 01 FF 00 00 00 78 C1"), Frame::answer(1, said::HEARTBEAT, 0, []));
    let clock = frame("A5 00 00 00 01 B8 00 00 06 1A 0B 16 08 01 05 F7 45");
    assert_eq!(record::clock(&clock.data), Some(date(2026, 11, 22).at(8, 1, 5, 0)));
    let serial = frame("A5 00 00 00 01 A4 00 00 10 30 32 35 30 31 30 30 39 31 32 33 34 35 36 37 38 28 F3");
    assert_eq!(record::text(&serial.data), "0250100912345678");
}

#[test]
fn records_are_read_by_their_epoch() {
    let page = frame(
        "A5 00 00 00 01 C0 00 00 1D 02 00 00 00 03 E9 32 94 0C 41 08 80 00 00 00 \
         00 00 00 03 EA 32 94 98 A0 01 81 00 00 00 2D 5A",
    );
    let records = record::page(&page.data).unwrap();
    let (usual, manual) = (date(2000, 1, 2), date(2000, 1, 1));
    let first = Record::of(&records[0]);
    assert_eq!(first, Record { user: 1001, seconds: 848_563_265, backup: 8, kind: 0x80, work_code: 0 });
    assert_eq!(first.local(usual), Some(date(2026, 11, 22).at(8, 1, 5, 0)));
    assert_eq!(first.local(manual), Some(date(2026, 11, 21).at(8, 1, 5, 0)));
    let second = Record::of(&records[1]);
    assert_eq!((second.user, second.backup, second.kind), (1002, 1, 0x81));
    assert_eq!(second.local(usual), Some(date(2026, 11, 22).at(18, 0, 0, 0)));
    let live = frame("A5 00 00 00 01 DF 00 00 0E 00 00 00 03 E9 32 94 0C 41 08 80 00 00 00 12 42");
    assert_eq!(live.command, said::RECORD);
    assert_eq!(live.data, records[0]);
}

#[test]
fn lengths_that_lie_are_refused() {
    assert_eq!(record::page(&[]), Err(PageError::Empty));
    assert_eq!(record::page(&[2, 0, 0]), Err(PageError::Length { count: 2, bytes: 2 }));
    assert_eq!(record::page(&[0; 15]), Err(PageError::Length { count: 0, bytes: 14 }));
    assert_eq!(record::page(&vec![255; 1 + 254 * 14]), Err(PageError::Length { count: 255, bytes: 254 * 14 }));
    assert_eq!(Counters::of(&[0; 17]), None);
    assert_eq!(u24(&[0, 0]), None);
    assert_eq!(record::clock(&[26, 13, 1, 0, 0, 0]), None);
    assert_eq!(record::clock(&[255, 255, 255, 255, 255, 255]), None);
    assert_eq!(record::clock(&[26, 1, 1, 0, 0]), None);
}

#[test]
fn the_longest_time_is_a_date_and_the_widest_user_a_number() {
    let record = Record::of(&[0xff; 14]);
    assert_eq!((record.user, record.work_code), (0x00ff_ffff_ffff, 0x00ff_ffff));
    assert!(record.local(Date::constant(2000, 1, 2)).is_some());
    assert_eq!(record.encode(), [0xff; 14]);
}

#[test]
fn frames_are_found_in_whatever_lies_around_them() {
    let good = hex("A5 00 00 00 01 B9 00 00 00 55 9C");
    let mut wrong = good.clone();
    wrong[9] ^= 1;
    // Noise, half a frame, a frame with a wrong sum, a length that cannot be, and the good one twice.
    let head_that_lies = hex("A5 00 00 00 01 B9 00 FF FF");
    let all = [&b"noise"[..], &wrong, &head_that_lies, &good, &[0xa5, 0xa5], &good].concat();
    for size in [1, 2, 3, 7, all.len()] {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for piece in all.chunks(size) {
            parser.room().extend_from_slice(piece);
            while let Some(frame) = parser.next() {
                found.push(frame);
            }
        }
        while let Some(frame) = parser.give_up() {
            found.push(frame);
        }
        assert_eq!(found, [Frame::answer(1, ask::SET_CLOCK, 0, []), Frame::answer(1, ask::SET_CLOCK, 0, [])], "{size}");
        assert!(parser.damaged >= 1 && parser.noise > 0);
    }
}

#[test]
fn noise_that_looks_like_a_long_frame_swallows_nothing_for_good() {
    let good = hex("A5 00 00 00 01 B9 00 00 00 55 9C");
    let mut parser = Parser::default();
    parser.room().extend([&hex("A5 00 00 00 01 3C 03 FF")[..], &good].concat());
    assert_eq!(parser.next(), None, "it waits for {LIMIT} bytes");
    assert_eq!(parser.give_up(), Some(Frame::answer(1, ask::SET_CLOCK, 0, [])));
}
