//! Whatever the bytes: decoders give an answer, and numbers out of the wire never index past them.

use driver_zk::{
    event,
    form::{Hints, choose},
    frame::{Packet, frame_length, wrap},
    record::{Form, records},
    sizes, time, user,
};
use jiff::civil::date;
use proptest::prelude::*;

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::A8), Just(Form::B8), Just(Form::Number16), any::<u8>().prop_map(Form::Text)]
}

proptest! {
    #[test]
    fn decoders_never_panic_on_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        form in form(),
        count in prop::option::of(any::<u32>()),
    ) {
        let _ = frame_length(&bytes);
        let _ = Packet::decode(&bytes);
        let _ = event::decode(&bytes, None);
        let _ = event::decode(&bytes, Some(form));
        let _ = sizes::decode(&bytes);
        let _ = records(&bytes);
        let _ = user::decode(&bytes, count);
        let now = date(2026, 11, 20).at(0, 0, 0, 0);
        if let Ok(found) = choose(&bytes, &Hints { count, now, known: Some(form) }) {
            prop_assert!(bytes.len().is_multiple_of(found.size()));
        }
        let _ = form.decode(&bytes);
        for raw in bytes.chunks(form.size()) {
            let _ = form.decode(raw);
        }
    }

    #[test]
    fn a_packet_reads_back_and_a_frame_is_as_long_as_it_says(
        command: u16, session: u16, reply: u16, data in prop::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..308,
    ) {
        let packet = Packet::new(command, session, reply, data);
        let inner = packet.encode();
        prop_assert_eq!(Packet::decode(&inner), Ok((packet, Ok(()))));
        let frame = wrap(&inner);
        prop_assert_eq!(frame_length(&frame), Ok(Some(frame.len())));
        prop_assert!(frame_length(&frame[..cut.min(frame.len())]).is_ok());
    }

    #[test]
    fn every_packed_time_is_a_date_or_nothing(packed: u32) {
        if let Some(local) = time::decode(packed) {
            prop_assert_eq!(time::encode(local), packed);
            prop_assert_eq!(time::decode_six(time::encode_six(local)), Some(local));
        }
    }
}
