//! Published bytes of the protocol, made with a client that is not ours, against the pure parts.

use driver_uhppote::{
    bcd,
    event::{Event, Kind, Status},
    packet::{MAGIC, Packet, PacketError, function},
};
use jiff::civil::date;

/// The serial number of the published bytes.
const SERIAL: u32 = 405_419_896;

/// Bytes, padded with zeros to a message.
fn message(text: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (at, byte) in text.split_whitespace().enumerate() {
        bytes[at] = u8::from_str_radix(byte, 16).unwrap();
    }
    bytes
}

#[test]
fn questions_are_written_byte_for_byte() {
    let ask = |function| Packet::new(function, SERIAL);
    let index = 13_579_u32.to_le_bytes();
    let time = bcd::encode(date(2026, 11, 22).at(8, 1, 5, 0));
    for (text, packet) in [
        ("17 94 00 00 78 37 2A 18", ask(function::CONTROLLER)),
        ("17 20 00 00 78 37 2A 18", ask(function::STATUS)),
        ("17 B0 00 00 78 37 2A 18 0B 35 00 00", ask(function::EVENT).with(8, &index)),
        ("17 B4 00 00 78 37 2A 18", ask(function::GET_INDEX)),
        ("17 B2 00 00 78 37 2A 18 0B 35 00 00 55 AA AA 55", ask(function::SET_INDEX).with(8, &index).with(12, &MAGIC)),
        ("17 40 00 00 78 37 2A 18 03", ask(function::OPEN_DOOR).with(8, &[3])),
        ("17 30 00 00 78 37 2A 18 20 26 11 22 08 01 05", ask(function::SET_TIME).with(8, &time)),
        (
            "17 90 00 00 78 37 2A 18 C0 A8 01 64 61 EA 00",
            ask(function::SET_LISTENER).with(8, &[192, 168, 1, 100]).with(12, &60_001_u16.to_le_bytes()),
        ),
    ] {
        assert_eq!(*packet.as_bytes(), message(text), "{packet:?}");
        assert_eq!(Packet::parse(&message(text)), Ok(packet));
    }
}

#[test]
fn an_event_is_read() {
    let bytes = message("17 B0 00 00 78 37 2A 18 0B 35 00 00 01 01 01 01 4E 61 BC 00 20 26 11 22 08 01 05 01");
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.function(), packet.serial()), (function::EVENT, SERIAL));
    let event = Event::of(&packet);
    assert_eq!((event.index, event.kind, event.granted, event.door, event.direction), (13_579, Kind::Card, true, 1, 1));
    assert_eq!((event.card, event.reason), (12_345_678, 1));
    assert_eq!(event.local, Some(date(2026, 11, 22).at(8, 1, 5, 0)));
    assert_eq!(event.raw[..], bytes[8..28]);
}

#[test]
fn live_events_of_firmware_6_62_are_read_and_no_other_start_is() {
    let mut bytes = message("19 20 00 00 78 37 2A 18 0B 35 00 00 01");
    assert_eq!(Event::of(&Packet::parse(&bytes).unwrap()).index, 13_579);
    bytes[1] = function::EVENT;
    assert_eq!(Packet::parse(&bytes), Err(PacketError::Start(0x19)));
    assert_eq!(Packet::parse(&message("18 20")), Err(PacketError::Start(0x18)));
    for length in [0, 1, 63, 65, 512, 65_507] {
        assert_eq!(Packet::parse(&vec![0x17; length]), Err(PacketError::Length(length)));
    }
}

#[test]
fn a_state_without_event_and_without_date_is_read() {
    let status = Status::of(&Packet::parse(&message("17 20 00 00 78 37 2A 18")).unwrap());
    assert_eq!((status.newest, status.now), (0, None));
    let packet = Packet::new(function::STATUS, SERIAL);
    let packet =
        packet.with(37, &[0x08, 0x01, 0x05]).with(51, &[0x26, 0x11, 0x22]).with(28, &[0, 1, 0, 0]).with(36, &[9]);
    let status = Status::of(&packet);
    assert_eq!(status.now, Some(date(2026, 11, 22).at(8, 1, 5, 0)));
    assert_eq!((status.open, status.error), ([false, true, false, false], 9));
}
