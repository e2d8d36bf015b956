//! Bytes of terminals and the punches they mean: a folder of `tests/captures` is a case, and needs no code here.
//!
//! `terminal.hex` says what the terminal holds and tells, a line each: `page HEX` is a whole answer with records, `record HEX` a
//! record, both in its log; `live HEX` is a frame that it tells of by itself, with its record in the log too; `config LINE` is
//! a line of the terminal's block; `#` begins a remark. `stored.json` is what the gateway must store.

mod support;

use std::{fs, path::Path};

use driver_anviz::{
    frame::{Frame, Parser},
    record::page,
    sim::Model,
};
use serde_json::{Value, json};
use support::Site;

fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn frame(text: &str) -> Frame {
    let mut parser = Parser::default();
    parser.room().extend(bytes(text));
    parser.next().expect("a whole frame with a right sum")
}

/// What the terminal says under this heading.
fn lines<'a>(terminal: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = terminal.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(first, _)| *first == heading).map(|(_, rest)| rest).collect()
}

async fn stored(terminal: &str, expected: &Value) -> Value {
    let site = Site::with(Model::default(), &lines(terminal, "config").join("\n"), |it| {
        for text in lines(terminal, "page") {
            page(&frame(text).data).unwrap().into_iter().for_each(|raw| it.record(0, raw));
        }
        for text in lines(terminal, "record") {
            it.record(0, bytes(text).try_into().unwrap());
        }
    })
    .await;
    site.until_polled(1).await;
    for text in lines(terminal, "live") {
        site.terminal.happen(0, &frame(text).data.try_into().unwrap());
    }
    site.until_marked(site.terminal.records(0).0).await;
    let count = |key: &str| expected[key].as_array().unwrap().len();
    assert_eq!(site.punches().len(), count("punches"));
    let punches: Vec<Value> = site
        .punches()
        .into_iter()
        .map(|punch| {
            json!({
                "person": punch.person,
                "local": punch.local,
                "direction": punch.direction,
                "verify": punch.verify,
                "work_code": punch.work_code,
                "nth": punch.nth,
                "origin": punch.origin,
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
        assert_eq!(stored(&read("terminal.hex"), &expected).await, expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 3, "only {cases} captures were found");
}
