//! Bytes of terminals and the punches they mean: a folder of `tests/captures` is a case, and needs no code here.
//!
//! `terminal.hex` says what the terminal holds and tells, a line each: `form 8a|8b|16|40|49`, `user UID ID`, `record HEX`
//! (in its log), `event HEX` (told live); `#` begins a remark, spaces in bytes do not matter. `punches.json` is what the
//! gateway must store, in any order.

mod support;

use std::{fs, path::Path};

use driver_zk::{record::Form, sim::Model};
use serde_json::{Value, json};
use support::Site;

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn form(text: &str) -> Form {
    match text {
        "8a" => Form::A8,
        "8b" => Form::B8,
        "16" => Form::Number16,
        size => Form::Text(size.parse().unwrap()),
    }
}

/// What the terminal says under this heading.
fn lines<'a>(terminal: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = terminal.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(first, _)| *first == heading).map(|(_, rest)| rest).collect()
}

async fn punches_of(terminal: &str, expected: usize) -> Vec<Value> {
    let model = Model::of(form(lines(terminal, "form")[0]));
    let site = Site::with(model, "", |it| {
        for user in lines(terminal, "user") {
            let (uid, id) = user.split_once(' ').unwrap();
            it.add_user(uid.parse().unwrap(), id, "Somebody");
        }
        for record in lines(terminal, "record") {
            it.append_raw(&bytes(record));
        }
    })
    .await;
    site.until_settled().await;
    for event in lines(terminal, "event") {
        site.terminal.tell(&bytes(event));
    }
    site.until_stored(expected).await;
    let punches = site.punches().into_iter().map(|punch| {
        json!({
            "person": punch.person,
            "local": punch.local,
            "direction": punch.direction,
            "verify": punch.verify,
            "work_code": punch.work_code,
            "origin": punch.origin,
            "flags": punch.flags,
        })
    });
    let punches = punches.collect();
    site.running.close().await;
    punches
}

#[tokio::test(flavor = "multi_thread")]
async fn every_capture_gives_its_punches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let read = |file: &str| fs::read_to_string(case.join(file)).unwrap();
        let expected: Vec<Value> = serde_json::from_str(&read("punches.json")).unwrap();
        let mut found = punches_of(&read("terminal.hex"), expected.len()).await;
        for punch in &expected {
            let at = found.iter().position(|other| other == punch);
            let at = at.unwrap_or_else(|| panic!("{}: {punch} is not among {found:#?}", case.display()));
            found.remove(at);
        }
        cases += 1;
    }
    assert!(cases >= 6, "only {cases} captures were found");
}
