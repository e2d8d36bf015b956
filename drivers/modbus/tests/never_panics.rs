//! Whatever the words, and whatever the map: an answer or an error, and never a step beyond what was read.

use driver_api::Problems;
use driver_modbus::{
    map::{Capture, Map},
    maps::SHIPPED,
    schema,
    value::{Field, Form, Order, TimeForm, time, time_words},
};
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Number), Just(Form::Bcd), Just(Form::Text), Just(Form::Hex), Just(Form::Wiegand26)]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Abcd), Just(Order::Cdab), Just(Order::Badc), Just(Order::Dcba)]
}

fn time_form() -> impl Strategy<Value = TimeForm> {
    prop_oneof![Just(TimeForm::Unix), Just(TimeForm::Since2000), Just(TimeForm::Bcd), Just(TimeForm::Words)]
}

fn shipped() -> Vec<Map> {
    SHIPPED.iter().map(|(name, text)| schema::read(name, text, &mut Problems::default()).unwrap()).collect()
}

/// A map with one of its words changed into something else.
fn bent() -> impl Strategy<Value = String> {
    let junk = prop_oneof![
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\"\"".to_owned()),
        Just("{}".to_owned()),
        Just("[[1]]".to_owned()),
        Just("65535".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        "[a-z{}\\[\\]=\", 0-9]{0,12}",
    ];
    (0..SHIPPED.len(), any::<prop::sample::Index>(), junk).prop_map(|(which, at, junk)| {
        let text = SHIPPED[which].1;
        let values: Vec<_> = text.match_indices("= ").map(|(at, _)| at + 2).collect();
        let at = values[at.index(values.len())];
        let end = text[at..].find([',', ' ', '\n', '}']).map_or(text.len(), |end| at + end);
        format!("{}{junk}{}", &text[..at], &text[end..])
    })
}

proptest! {
    #[test]
    fn values_and_records_never_panic(
        words in prop::collection::vec(any::<u16>(), 0..40),
        at in any::<u16>(), count in 0_usize..40, form in form(), order in order(), clock in time_form(),
        bits in prop::option::of(any::<u64>()),
    ) {
        for at in [0, usize::from(at) % 50, usize::MAX] {
            let field = Field { at, words: count, form, order };
            let _ = field.number(&words);
            let _ = field.text(&words, bits);
        }
        if let Ok(at) = time(clock, order, &words)
            && let Ok(written) = time_words(clock, order, at)
        {
            prop_assert_eq!(time(clock, order, &written), Ok(at));
        }
        for map in shipped() {
            if let Capture::Fifo(_, record) | Capture::Latch(_, record) = map.capture {
                let _ = record.decode(&words, &TimeZone::UTC);
            }
        }
    }

    #[test]
    fn the_schema_never_panics_and_what_it_takes_can_be_read(text in bent(), words in prop::collection::vec(any::<u16>(), 0..130)) {
        let mut problems = Problems::default();
        let map = schema::read("bent", &text, &mut problems);
        prop_assert_eq!(map.is_none(), !problems.errors.is_empty(), "{}", text);
        if let Some(Map { capture: Capture::Fifo(_, record) | Capture::Latch(_, record), .. }) = map {
            let _ = record.decode(&words, &TimeZone::UTC);
        }
    }
}
