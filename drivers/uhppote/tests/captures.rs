//! Bytes of boards and the punches they mean: a folder of `tests/captures` is a case, and needs no code here.
//!
//! `board.hex` says what the board's ring holds, a line each: `event HEX` is an answer to the question for an event (zeros at
//! its end may be left out), in the order of the ring; `config LINE` is a line of the terminal's block; `#` begins a remark.
//! `stored.json` is what the gateway must store: punches, and the reasons of what is set aside.

mod support;

use std::{fs, path::Path};

use driver_uhppote::{
    event::Event,
    packet::Packet,
    sim::{Entry, Model},
};
use jiff::civil::DateTime;
use serde_json::{Value, json};
use support::Site;

fn packet(text: &str) -> Packet {
    let digits: String = text.split_whitespace().collect();
    let mut bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    bytes.resize(64, 0);
    Packet::parse(&bytes).unwrap()
}

/// What the board says under this heading.
fn lines<'a>(board: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = board.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(first, _)| *first == heading).map(|(_, rest)| rest).collect()
}

async fn stored(board: &str, expected: &Value) -> Value {
    let packets: Vec<Packet> = lines(board, "event").into_iter().map(packet).collect();
    let (first, serial) = (Event::of(&packets[0]).index, packets[0].serial());
    let model = Model { first, serial, ..Model::default() };
    let block = lines(board, "config").join("\n");
    let site = Site::with(model, &block, |it| {
        for packet in &packets {
            let event = Event::of(packet);
            it.record_unheard(Entry {
                kind: event.kind.code(),
                granted: event.granted,
                door: event.door,
                direction: event.direction,
                card: event.card,
                local: event.local.unwrap_or(DateTime::MIN),
                reason: event.reason,
                odd_time: Some(packet.bytes(20)),
            });
        }
    })
    .await;
    let count = |key: &str| expected[key].as_array().unwrap().len();
    site.until("all is stored", |site| {
        site.punches().len() >= count("punches") && site.gateway().set_aside(support::NAME).len() >= count("set_aside")
    })
    .await;
    site.until_polled(2).await;
    let punches: Vec<Value> = site
        .punches()
        .into_iter()
        .map(|punch| {
            json!({
                "person": punch.person,
                "local": punch.local,
                "direction": punch.direction,
                "verify": punch.verify,
                "native": punch.native,
                "flags": punch.flags,
            })
        })
        .collect();
    let set_aside: Vec<String> = site.gateway().set_aside(support::NAME).into_iter().map(|raw| raw.reason).collect();
    site.running.close().await;
    json!({ "punches": punches, "set_aside": set_aside })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_capture_gives_its_punches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let read = |file: &str| fs::read_to_string(case.join(file)).unwrap();
        let expected: Value = serde_json::from_str(&read("stored.json")).unwrap();
        assert_eq!(stored(&read("board.hex"), &expected).await, expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 3, "only {cases} captures were found");
}
