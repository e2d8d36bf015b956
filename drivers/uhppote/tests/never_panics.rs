//! Whatever the bytes: decoders give an answer.

use driver_uhppote::{
    bcd,
    event::{Event, Kind, Status},
    packet::{LENGTH, Packet},
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn decoders_never_panic_on_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..130),
        start in prop_oneof![Just(0x17_u8), Just(0x19), any::<u8>()],
    ) {
        let _ = Packet::parse(&bytes);
        let mut whole = bytes.clone();
        whole.resize(LENGTH, 0);
        whole[0] = start;
        if let Ok(packet) = Packet::parse(&whole) {
            let event = Event::of(&packet);
            prop_assert_eq!(Kind::of(event.kind.code()), event.kind);
            let _ = Status::of(&packet);
            let _ = driver_uhppote::discover::Controller::of(&packet).model();
        }
    }

    #[test]
    fn every_packed_date_is_one_or_nothing(bytes: [u8; 7]) {
        if let Some(local) = bcd::date_time(bytes) {
            prop_assert_eq!(bcd::encode(local), bytes);
        }
    }
}
