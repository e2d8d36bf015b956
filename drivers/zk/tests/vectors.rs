//! Published and computed bytes of the protocol, against the pure parts. `[captured]` ones were seen on real wires.

use driver_zk::{
    command::{ask, reply},
    commkey, event,
    form::{Hints, choose},
    frame::{FrameError, MAGIC, Packet, frame_length, wrap},
    record::{Form, Record, Who},
    time,
    user::{User, Width},
};
use jiff::civil::{DateTime, date};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A text field of 24 bytes.
fn field(text: &str) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(24, 0);
    field
}

fn wall() -> DateTime {
    date(2026, 11, 22).at(19, 56, 40, 0)
}

#[test]
fn packets_are_written_and_read_byte_for_byte() {
    const SESSION: u16 = 0x1234;
    let chunk = |start: u32, size: u32| [start.to_le_bytes(), size.to_le_bytes()].concat();
    let cases: Vec<(&str, u16, u16, u16, Vec<u8>)> = vec![
        ("5050827d08000000 e80317fc00000000", ask::CONNECT, 0, 0, vec![]),
        ("5050827d08000000 e80316fc00000100", ask::CONNECT, 0, 1, vec![]),
        ("5050827d08000000 d007fbe534120000", reply::OK, SESSION, 0, vec![]),
        ("5050827d08000000 d507f6e534120000", reply::UNAUTH, SESSION, 0, vec![]),
        (
            "5050827d0c000000 4e040948341201004136326b",
            ask::AUTH,
            SESSION,
            1,
            commkey::scramble(1234, SESSION, 50).into(),
        ),
        ("5050827d08000000 e903d8e934120a00", ask::EXIT, SESSION, 10, vec![]),
        ("5050827d08000000 eb03dde934120300", ask::DISABLE, SESSION, 3, vec![]),
        ("5050827d0c000000 eb03a1e9341203003c000000", ask::DISABLE, SESSION, 3, vec![60, 0, 0, 0]),
        ("5050827d08000000 ea03dee934120300", ask::ENABLE, SESSION, 3, vec![]),
        ("5050827d08000000 c90000ed34120200", ask::GET_TIME, SESSION, 2, vec![]),
        ("5050827d0c000000 d0077d0d34120200f8a48433", reply::OK, SESSION, 2, time::encode(wall()).to_le_bytes().into()),
        (
            "5050827d0c000000 ca0045f53412030070c9482e",
            ask::SET_TIME,
            SESSION,
            3,
            time::encode(date(2024, 2, 29).at(12, 34, 56, 0)).to_le_bytes().into(),
        ),
        (
            "5050827d16000000 0b00b9a4341204007e53657269616c4e756d62657200",
            ask::OPTION,
            SESSION,
            4,
            b"~SerialNumber\0".to_vec(),
        ),
        (
            "5050827d24000000 d00768ee341204007e53657269616c4e756d6265723d41494f5231393239363030333100",
            reply::OK,
            SESSION,
            4,
            b"~SerialNumber=AIOR192960031\0".to_vec(),
        ),
        (
            "5050827d13000000 df05e7d9341204000109000500000000000000",
            ask::BUFFER,
            SESSION,
            4,
            hex("0109000500000000000000"),
        ),
        (
            "5050827d13000000 df05e6da34120500010d000000000000000000",
            ask::BUFFER,
            SESSION,
            5,
            hex("010d000000000000000000"),
        ),
        (
            "5050827d15000000 d007e463341205000004093d0004093d0000000000",
            reply::OK,
            SESSION,
            5,
            hex("0004093d0004093d0000000000"),
        ),
        ("5050827d10000000 e00524e83412060000000000c0ff0000", ask::CHUNK, SESSION, 6, chunk(0, 65_472)),
        ("5050827d10000000 e005a4de34120600c0f03c0044180000", ask::CHUNK, SESSION, 6, chunk(3_993_792, 6_212)),
        ("5050827d10000000 dc0528d834120600c0ff000000100000", reply::PREPARE, SESSION, 6, chunk(65_472, 4096)),
        ("5050827d08000000 de05e6e734120700", ask::FREE, SESSION, 7, vec![]),
        ("5050827d0c000000 f401ceeb3412080001000000", ask::EVENT, SESSION, 8, vec![1, 0, 0, 0]),
        ("5050827d0c000000 f401ceeb3412090000000000", ask::EVENT, SESSION, 9, vec![0; 4]),
        ("5050827d0c000000 1f0085ed341209001e000000", ask::UNLOCK, SESSION, 9, vec![30, 0, 0, 0]),
    ];
    for (text, command, session, reply, data) in cases {
        let (bytes, packet) = (hex(text), Packet::new(command, session, reply, data));
        assert_eq!(wrap(&packet.encode()), bytes, "{packet:?}");
        assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())));
        assert_eq!(Packet::decode(&bytes[8..]), Ok((packet, Ok(()))));
    }
}

#[test]
fn captured_checksums_are_good() {
    for text in [
        "0b0058efc5c005007e4f5300",                     // [captured] an option's name
        "0b005a17f38d03005a4b4661636556657273696f6e00", // [captured] the same, longer
        "d007296af38d0a0009",                           // [captured] of odd length
        "f401a7fc0001000064",                           // [captured] an event: finger score
        "d007f6f702003700",                             // [captured] a state in the place of the session
    ] {
        let bytes = hex(text);
        let (packet, sound) = Packet::decode(&bytes).unwrap();
        assert_eq!(sound, Ok(()), "{text}");
        assert_eq!(packet.encode(), bytes);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Packet::decode(&wrong).unwrap().1, Err(FrameError::Checksum), "{text} bit {bit}");
        }
    }
}

#[test]
fn impossible_frames_are_refused_before_memory_is_taken() {
    assert_eq!(frame_length(&hex("5050827dffffff7f")), Err(FrameError::Length(0x7fff_ffff)));
    assert_eq!(frame_length(&hex("5050827d04000000d0070000")), Err(FrameError::Length(4)));
    assert_eq!(frame_length(b"HTTP/1.1"), Err(FrameError::Magic(*b"HTTP")));
    assert_eq!(frame_length(&hex("d007fbe534120000")), Err(FrameError::Magic([0xd0, 7, 0xfb, 0xe5])));
    assert_eq!(frame_length(&MAGIC[..3]), Ok(None));
    assert_eq!(Packet::decode(&[0; 7]), Err(FrameError::Short(7)));
}

fn text<'a>(id: &'a str, local: DateTime, verify: u8, state: u8) -> Record<'a> {
    Record { who: Who::Text(id), local, verify, state, work_code: None }
}

fn number(id: u32, verify: u8, state: u8) -> Record<'static> {
    Record { who: Who::Number(id), local: wall(), verify, state, work_code: None }
}

#[test]
fn live_punches_of_every_size_are_read() {
    // [captured] two terminals
    let data = [field("999111333"), hex("0100120619112905")].concat();
    let punch = text("999111333", date(2018, 6, 25).at(17, 41, 5, 0), 1, 0);
    assert_eq!(event::decode(&data, None), Ok(vec![punch.clone()]));
    let data = [field("1140064"), hex("0f00120b1d0c3703")].concat();
    assert_eq!(event::decode(&data, None), Ok(vec![text("1140064", date(2018, 11, 29).at(12, 55, 3, 0), 15, 0)]));

    let tail = hex("0f011a0b16133828");
    let short = [hex("ea03"), tail.clone()].concat();
    for data in [short.clone(), [hex("ea030000"), tail.clone()].concat(), [short.clone(), vec![0; 4]].concat()] {
        assert_eq!(event::decode(&data, None), Ok(vec![number(1002, 15, 1)]), "{} bytes", data.len());
    }
    for more in [0, 4, 5, 20] {
        let data = [field("1002"), tail.clone(), vec![0; more]].concat();
        assert_eq!(event::decode(&data, None), Ok(vec![text("1002", wall(), 15, 1)]), "32 and {more} bytes");
    }
}

#[test]
fn several_punches_in_one_event_are_told_apart_or_kept_raw() {
    let tail = hex("0f011a0b16133828");
    let long = [field("1002"), tail.clone()].concat();
    assert_eq!(event::decode(&[long.clone(), long.clone()].concat(), None).unwrap().len(), 2);
    let twelve = [hex("ea030000"), tail.clone()].concat();
    // Three of 12 bytes are as long as one of 36, and two of 36 as six of 12.
    assert_eq!(event::decode(&twelve.repeat(3), None), Ok(vec![number(1002, 15, 1); 3]));
    let thirty_six = [long, vec![0; 4]].concat();
    assert_eq!(event::decode(&thirty_six.repeat(2), None).unwrap().len(), 2);
    for size in [0, 1, 8, 11, 33, 53] {
        assert!(event::decode(&vec![1; size], None).is_err(), "{size} bytes");
    }
}

#[test]
fn log_records_of_every_form_are_read() {
    assert_eq!(Form::A8.decode(&hex("02000ff8a4843301")), Ok(number(2, 15, 1)));
    assert_eq!(Form::B8.decode(&hex("02000f01f8a48433")), Ok(number(2, 15, 1)));
    // [captured] a ZEM500, with the state in the high half of the verify byte
    let packed = hex("07002800a8eba71e");
    let packed = Form::B8.decode(&packed).unwrap();
    assert_eq!((packed.who, packed.verify, packed.state), (Who::Number(7), 8, 2));
    assert_eq!(packed.local, date(2016, 1, 1).at(19, 2, 0, 0));
    // [captured]
    let sixteen = hex("15000000ec154f230000000000000000");
    let sixteen = Form::Number16.decode(&sixteen).unwrap();
    assert_eq!((sixteen.who, sixteen.local), (Who::Number(21), date(2018, 6, 6).at(7, 31, 56, 0)));
    let sixteen = hex("ea030000f8a484330f0100000c000000");
    let sixteen = Form::Number16.decode(&sixteen).unwrap();
    assert_eq!(sixteen, Record { work_code: Some(12), ..number(1002, 15, 1) });
    // [captured] two terminals
    let forty = [hex("0d00"), field("999111333"), hex("016bb36823 00 00000000ff000000")].concat();
    let punch = text("999111333", date(2018, 6, 25).at(17, 50, 35, 0), 1, 0);
    assert_eq!(Form::Text(40).decode(&forty), Ok(punch));
    let forty = [hex("0100"), field("10036"), hex("0fb8ebc92900"), vec![0; 8]].concat();
    assert_eq!(Form::Text(40).decode(&forty), Ok(text("10036", date(2021, 10, 24).at(13, 42, 16, 0), 15, 0)));
    let longer = [hex("0200"), field("1002"), hex("0ff8a48433010c000000ff000000"), vec![0; 9]].concat();
    let punch = Record { work_code: Some(12), ..text("1002", wall(), 15, 1) };
    assert_eq!(Form::Text(49).decode(&longer), Ok(punch));
}

#[test]
fn the_form_is_found_with_the_right_count_a_wrong_one_or_none() {
    let now = date(2026, 11, 23).at(0, 0, 0, 0);
    let second = |index: u32| (time::encode(date(2026, 11, 20).at(8, 0, 0, 0)) + index * 7).to_le_bytes();
    let logs: Vec<(Form, Vec<u8>)> = vec![
        (Form::A8, (0..50).flat_map(|i| [&[i as u8 + 1, 0, 1][..], &second(i), &[(i % 2) as u8]].concat()).collect()),
        (Form::B8, (0..50).flat_map(|i| [&[i as u8 + 1, 0, 1, (i % 2) as u8][..], &second(i)].concat()).collect()),
        (
            Form::Number16,
            (0..50)
                .flat_map(|i| [&[i as u8 + 1, 0, 0, 0][..], &second(i), &[1, 0, 0, 0, 0, 0, 0, 0]].concat())
                .collect(),
        ),
        (
            Form::Text(40),
            (0..50)
                .flat_map(|i| [&[1, 0][..], &field(&format!("{}", 1000 + i)), &[1], &second(i), &[0; 9]].concat())
                .collect(),
        ),
        (
            Form::Text(49),
            (0..50)
                .flat_map(|i| [&[1, 0][..], &field(&format!("{}", 1000 + i)), &[1], &second(i), &[0; 18]].concat())
                .collect(),
        ),
    ];
    for (form, log) in &logs {
        for count in [Some(50), Some(47), Some(53), None] {
            assert_eq!(
                choose(log, &Hints { count, now, known: None }).as_ref(),
                Ok(form),
                "{form:?} by count {count:?}"
            );
        }
        for records in [1, 2, 3] {
            let few = &log[..records * form.size()];
            let hints = Hints { count: Some(records as u32), now, known: None };
            assert_eq!(choose(few, &hints).as_ref(), Ok(form), "{records} records of {form:?}");
        }
        assert!(choose(&log[1..], &Hints { count: Some(50), now, known: Some(*form) }).is_err());
    }
    assert!(choose(&[0x55; 80], &Hints { count: None, now, known: None }).is_err());
    assert!(choose(&[], &Hints { count: Some(0), now, known: None }).is_err());
}

/// A log of one form: person, state and time of each record.
fn log(form: Form, records: impl IntoIterator<Item = (u8, u8, DateTime)>) -> Vec<u8> {
    let raw = |(person, state, local): (u8, u8, DateTime)| {
        let time = time::encode(local).to_le_bytes();
        match form {
            Form::A8 => [&[person, 0, 1][..], &time, &[state]].concat(),
            Form::B8 => [&[person, 0, 1, state][..], &time].concat(),
            Form::Number16 => [&[person, 0, 0, 0][..], &time, &[1, state, 0, 0, 0, 0, 0, 0]].concat(),
            Form::Text(size) => {
                let rest = vec![0; usize::from(size) - 32];
                [&[1, 0][..], &field(&person.to_string()), &[1], &time, &[state], &rest].concat()
            }
        }
    };
    records.into_iter().flat_map(raw).collect()
}

/// So many punches from a time on, of five people who come and go.
fn punches(first: DateTime, count: u8) -> impl Iterator<Item = (u8, u8, DateTime)> {
    (0..count)
        .map(move |i| (i % 5 + 1, i % 2, first.checked_add(jiff::Span::new().seconds(97 * i64::from(i))).unwrap()))
}

const NOW: DateTime = date(2026, 11, 23).at(0, 0, 0, 0);
const REAL: DateTime = date(2026, 11, 20).at(8, 0, 0, 0);
const UNSET: DateTime = date(2000, 1, 1).at(0, 12, 0, 0);
const AHEAD: DateTime = date(2027, 10, 25).at(17, 0, 0, 0);

const FORMS: [Form; 5] = [Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49)];

#[test]
fn a_wrong_clock_is_no_other_form() {
    for form in FORMS {
        for first in [UNSET, AHEAD] {
            let log = log(form, punches(first, 30));
            // Some firmware always tells the count 0; half and twice were seen as well.
            for count in [Some(30), Some(15), Some(60), None] {
                let hints = Hints { count, now: NOW, known: None };
                match choose(&log, &hints) {
                    Ok(found) => assert_eq!(found, form, "{first} by count {count:?}"),
                    Err(unclear) => assert_eq!(count, Some(15), "{form:?} {first}: {unclear}"),
                }
            }
        }
    }
}

#[test]
fn a_form_that_was_used_holds_when_the_clock_goes_wrong() {
    for form in FORMS {
        for (real, wrong) in [(20, 60), (1, 200), (0, 1), (0, 3)] {
            for first in [UNSET, AHEAD] {
                let log = log(form, punches(REAL, real).chain(punches(first, wrong)));
                for count in [Some(u32::from(real + wrong)), Some(u32::from(real + wrong) * 2), None] {
                    let hints = Hints { count, now: NOW, known: Some(form) };
                    assert_eq!(choose(&log, &hints), Ok(form), "{real} and {wrong} from {first} by count {count:?}");
                }
            }
        }
    }
}

#[test]
fn a_clear_form_beats_a_count_that_is_told_wrong() {
    for form in FORMS {
        let log = log(form, punches(REAL, 30));
        for count in [Some(15), Some(60), Some(6), Some(150), None] {
            assert_eq!(choose(&log, &Hints { count, now: NOW, known: None }), Ok(form), "by count {count:?}");
        }
    }
}

#[test]
fn a_form_is_given_up_for_one_that_explains_what_it_does_not() {
    for (before, form) in [(Form::Text(40), Form::Text(49)), (Form::B8, Form::Text(40)), (Form::B8, Form::Number16)] {
        let log = log(form, punches(REAL, 40));
        let hints = Hints { count: Some(40), now: NOW, known: Some(before) };
        assert_eq!(choose(&log, &hints), Ok(form), "{before:?} before");
    }
}

#[test]
fn where_two_forms_explain_the_same_none_is_guessed() {
    let two = log(Form::B8, punches(UNSET, 2));
    for count in [Some(2), None] {
        let hints = Hints { count, now: NOW, known: None };
        let unclear = choose(&two, &hints).unwrap_err();
        assert!(unclear.to_string().contains("more than one way"), "{unclear}");
        // With a punch of today it is clear.
        let three = log(Form::B8, punches(UNSET, 2).chain(punches(REAL, 1)));
        assert_eq!(choose(&three, &hints), Ok(Form::B8));
    }
}

#[test]
fn users_of_both_widths_are_read() {
    let short = hex("02000e31323334 00 416e610000000000 92100000 00 01 0000 ea030000");
    assert_eq!(Width::Short.decode(&short), Ok(User { uid: 2, id: "1002".into(), privilege: 14 }));
    // [captured] with rubbish behind the password
    let mut long = hex("0d0000343434 00 c69a807c 4e6564");
    long.resize(35, 0);
    long.extend(hex("de000000 02 0100 0100 0200 0000"));
    long.extend(field("555"));
    assert_eq!(Width::Long.decode(&long), Ok(User { uid: 13, id: "555".into(), privilege: 0 }));
}
