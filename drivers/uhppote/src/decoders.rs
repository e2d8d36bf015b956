//! The decoder of what boards send, on bytes of anybody's choice: for fuzzing. What must hold whatever the bytes are is
//! asserted here.

use driver_api::{Batch, Clock, Origin};

use crate::{
    bcd,
    board::Controller,
    booking::Rules,
    event::{Event, Kind, SIZE, Status},
    packet::{LENGTH, Packet, function},
};

/// Datagrams one after the other, as they come out of a connection, and what each would mean as an answer to any question.
pub fn packets(bytes: &[u8]) {
    // As a datagram: of another length it is none.
    assert_eq!(Packet::parse(bytes).is_ok(), bytes.len() == LENGTH && starts(bytes));
    for message in bytes.as_chunks::<LENGTH>().0 {
        let Ok(packet) = Packet::parse(message) else { continue };
        assert_eq!(packet.as_bytes(), message);
        event(&packet);
        let status = Status::of(&packet);
        assert!(status.now.is_none_or(|now| (2000..2100).contains(&now.year())));
        let controller = Controller::of(&packet);
        assert!(controller.model().is_ascii() && controller.version.is_ascii() && controller.mac.len() == 17);
    }
}

fn starts(bytes: &[u8]) -> bool {
    matches!(bytes, [0x17, ..] | [0x19, function::STATUS, ..])
}

/// An event is a punch, set aside, or nothing that counts, with every rule that there is.
fn event(packet: &Packet) {
    let event = Event::of(packet);
    assert_eq!(Kind::of(event.kind.code()), event.kind);
    assert_eq!(event.raw, packet.bytes::<SIZE>(Event::AT));
    if let Some(local) = event.local {
        assert_eq!(bcd::encode(local), packet.bytes::<7>(20));
    }
    for denied in [false, true] {
        let rules = Rules { denied, ..Rules::default() };
        let mut batch = Batch::default();
        rules.book(&event, Origin::Backfill, Clock::UNKNOWN, &mut batch);
        assert!(batch.punches.len() + batch.set_aside.len() <= 1);
        for punch in &batch.punches {
            assert!(event.kind == Kind::Card && event.card != 0 && (denied || event.granted));
            assert_eq!(punch.person, event.card.to_string());
        }
    }
}
