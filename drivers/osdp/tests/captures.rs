//! Bytes of readers and the persons they mean: a folder of `tests/captures` is a case, and needs no code here.
//!
//! `terminal.hex` holds lines `bytes HEX` as they went over the bus, in plain text; `#` begins a remark.

use std::{fs, path::Path};

use driver_osdp::{
    card::{Show, person},
    frame::{Finder, Found, code},
};
use serde_json::{Value, json};

#[test]
fn every_capture_gives_its_persons() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let text = fs::read_to_string(case.join("terminal.hex")).unwrap();
        let mut finder = Finder::default();
        let (mut persons, mut refused) = (Vec::new(), Vec::new());
        for line in text.lines().filter_map(|line| line.strip_prefix("bytes ")) {
            let bytes: Vec<u8> = line.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            finder.feed(&bytes);
            while let Some(found) = finder.next_frame() {
                let Found::Frame(frame) = found else { panic!("{}: a broken frame", case.display()) };
                if frame.code != code::RAW || !frame.reply {
                    continue;
                }
                // Reader, format, number of bits with the low byte first, bits.
                let [_, format, low, high, bits @ ..] = &frame.data[..] else { panic!("{}", case.display()) };
                match person(*format == 1, usize::from(u16::from_le_bytes([*low, *high])), bits, Show::Auto) {
                    Ok(person) => persons.push(person),
                    Err(why) => refused.push(why),
                }
            }
        }
        assert_eq!(finder.noise, 0, "{}", case.display());
        let expected: Value = serde_json::from_str(&fs::read_to_string(case.join("punches.json")).unwrap()).unwrap();
        assert_eq!(json!({ "persons": persons, "refused": refused }), expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 4, "only {cases} captures were found");
}
