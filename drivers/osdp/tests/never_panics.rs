//! Whatever the bytes: frames are found or not, cards are persons or not, and nothing grows without end.

use driver_osdp::{
    card::{KEYS_PATIENCE, Keys, MOST_KEYS, Show, person},
    frame::{Finder, Found, Frame, MOST},
};
use proptest::prelude::*;
use tokio::time::Instant;

fn found(bytes: &[u8], size: usize) -> (Vec<Frame>, u64) {
    let mut finder = Finder::default();
    let (mut frames, mut steps) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        finder.feed(piece);
        while let Some(found) = finder.next_frame() {
            steps += 1;
            assert!(steps <= bytes.len() + 1, "it finds without end");
            if let Found::Frame(frame) = found {
                assert!(frame.data.len() < MOST);
                frames.push(frame);
            }
        }
    }
    (frames, finder.noise)
}

fn frame() -> impl Strategy<Value = Frame> {
    (0_u8..127, any::<bool>(), 0_u8..4, any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(
        |(address, reply, sequence, code, data)| Frame { address, reply, sequence, security: None, code, data },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_searched(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x53), 0_u8..16], 0..500), size in 1_usize..60) {
        let (frames, _) = found(&bytes, size);
        // Where reads end means nothing.
        prop_assert_eq!(found(&bytes, 1).0, frames);
    }

    #[test]
    fn a_frame_reads_back_and_no_flipped_bit_is_overlooked(frame in frame(), bit: prop::sample::Index, size in 1_usize..20) {
        let bytes = frame.encode();
        prop_assert_eq!(found(&bytes, size).0, vec![frame.clone()]);
        let mut wrong = bytes.clone();
        let at = bit.index(wrong.len() * 8);
        wrong[at / 8] ^= 0x80 >> (at % 8);
        prop_assert!(!found(&wrong, size).0.contains(&frame));
    }

    #[test]
    fn any_card_is_a_person_or_none(bits: usize, small in 0_usize..600, bytes in prop::collection::vec(any::<u8>(), 0..70), wiegand: bool) {
        for show in [Show::Auto, Show::Hex, Show::Number] {
            let _ = person(wiegand, bits, &bytes, show);
            if let Ok(person) = person(wiegand, small, &bytes, show) {
                prop_assert!(!person.is_empty() && small <= bytes.len() * 8);
            }
        }
    }

    #[test]
    fn two_cards_of_one_length_are_two_persons(one: u32, other: u32) {
        for show in [Show::Auto, Show::Hex, Show::Number] {
            let card = |number| person(true, 34, &line::wiegand::encode(34, number), show).unwrap();
            prop_assert_eq!(one == other, card(one) == card(other));
        }
    }

    #[test]
    fn any_keys_are_numbers_of_bounded_length(presses in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let (mut keys, mut now) = (Keys::default(), Instant::now());
        for press in presses {
            for number in keys.press(&press, now) {
                prop_assert!((1..=MOST_KEYS).contains(&number.len()) && number.bytes().all(|it| it.is_ascii_digit()));
            }
            now += KEYS_PATIENCE / 3;
        }
    }
}
