//! Bytes of readers and the punches they mean: a folder of `tests/captures` is a case, and needs no code here.
//!
//! `terminal.hex` begins with `reader NAME` and may go on with lines of its file (`with key = value`), then `bytes HEX` or
//! `text "..."`, as they come over the wire; `#` begins a remark.

use std::{fs, path::Path};

use driver_api::Problems;
use driver_serial_ascii::{
    decode::read,
    framing::{Cut, Framer},
    reader::Reader,
    readers,
};
use serde_json::{Value, json};
use tokio::time::Instant;

fn wire(line: &str) -> Vec<u8> {
    match line.split_once(' ') {
        Some(("bytes", hex)) => hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(),
        Some(("text", text)) => {
            let text: String = serde_json::from_str(text).unwrap();
            text.into_bytes()
        }
        _ => panic!("{line:?}"),
    }
}

#[test]
fn every_capture_gives_its_punches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let text = fs::read_to_string(case.join("terminal.hex")).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let name = lines[0].strip_prefix("reader ").unwrap();
        let mut description = readers::find(name).unwrap().to_owned();
        for more in lines.iter().filter_map(|line| line.strip_prefix("with ")) {
            let key = more.split(' ').next().unwrap();
            let kept: Vec<&str> = description.lines().filter(|line| line.split(' ').next() != Some(key)).collect();
            description = kept.join("\n") + "\n" + more;
        }
        let mut problems = Problems::default();
        let reader = Reader::parse(name, &description, &mut problems).unwrap_or_else(|| panic!("{problems:#?}"));
        let mut framer = Framer::new(reader.framing.clone(), reader.patience);
        let (mut reads, mut refused, mut dropped) = (Vec::new(), Vec::new(), 0);
        let now = Instant::now();
        let mut take = |cut: Cut| match cut {
            Cut::Frame(frame) => match read(&reader, &frame) {
                Ok(Ok(read)) => reads.push(json!({
                    "person": read.card,
                    "unit": read.unit,
                    "direction": read.direction,
                    "local": read.time,
                    "native": read.sequence,
                })),
                Ok(Err(_)) => {}
                Err(why) => refused.push(why.to_string()),
            },
            Cut::Dropped(..) => dropped += 1,
        };
        for line in lines.iter().filter(|line| line.starts_with("bytes") || line.starts_with("text")) {
            framer.feed(&wire(line), now);
            while let Some(cut) = framer.next_cut() {
                take(cut);
            }
        }
        if let Some(cut) = framer.expire(now + reader.patience) {
            take(cut);
        }
        let found = json!({ "punches": reads, "refused": refused, "dropped": dropped });
        if std::env::var_os("UPDATE_CAPTURES").is_some() {
            fs::write(case.join("punches.json"), serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        }
        let expected: Value = serde_json::from_str(&fs::read_to_string(case.join("punches.json")).unwrap()).unwrap();
        assert_eq!(found, expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 12, "only {cases} captures were found");
}

#[test]
fn every_reader_that_ships_is_well() {
    for (name, text) in readers::READERS {
        let mut problems = Problems::default();
        let reader = Reader::parse(name, text, &mut problems);
        assert!(reader.is_some() && problems.errors.is_empty(), "{name}: {problems:#?}");
    }
}

#[test]
fn a_wrong_description_is_told_with_its_mend() {
    for (text, why, mend) in [
        ("framing = \"lines\"", "unknown variant `lines`", "write it like this: framing = \"line\""),
        ("", "it is missing", "add a line: framing = \"line\""),
        ("framing = \"line\"\nframe_timout = \"1s\"", "there is no such key", "did you mean frame_timeout?"),
        ("framing = \"fixed\"", "a fixed frame has a length", "add a line: length = 9 (all of its bytes)"),
        ("framing = \"length_prefix\"", "nobody says where the length stands", "add a line: length_at = 1"),
        (
            "framing = \"stx_etx\"\nend = \"02\"",
            "start, end and escape are not all different",
            "give each its own byte",
        ),
        ("framing = \"line\"\npattern = '('", "unclosed group", "correct it"),
        ("framing = \"line\"\npattern = 'x'", "which part is the card", "put the card in (?<card>...)"),
        (
            "framing = \"line\"\npattern = '(?<card>.)(?<who>.)'",
            "nobody knows what \"who\" is",
            "card, unit, dir, time and seq",
        ),
        ("framing = \"line\"\nwaits = true", "it waits, and nobody says for what", "add a line: ack = \"06\""),
        ("framing = \"line\"\nack = \"6\"", "not at most 64 bytes as hex digits", "write it like this: \"06\""),
        (
            "framing = \"line\"\ntime = \"%H\"",
            "a time needs both its place and its form",
            "put (?<time>...) into pattern",
        ),
        ("framing = \"line\"\nmax_length = 1000000", "between 4 and 4096", "correct the number"),
        ("framing = ", "the file is no TOML", "correct the place that it tells"),
    ] {
        let mut problems = Problems::default();
        assert!(Reader::parse("x", text, &mut problems).is_none(), "{text}");
        let told = problems.errors.iter().any(|it| it.why.contains(why) && it.mend.contains(mend));
        assert!(told, "{text}: {:#?}", problems.errors);
    }
}
