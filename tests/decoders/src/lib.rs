//! Everything that reads bytes from outside, as functions of bytes alone. `fuzz/` runs them under a fuzzer, and
//! `tests/mutations.rs` under a seeded one of its own where there is none. What they must not do is panic, hang, or say that
//! something is whole which they were not given.

use std::{fs, path::Path};

use driver_zk::{
    event,
    form::{Hints, choose},
    frame::{Packet, frame_length},
    record::{Form, records},
    sizes, user,
};

/// Each with its name; `fuzz/fuzz_targets` has a file for each.
pub const ALL: &[(&str, fn(&[u8]))] = &[("zk", zk), ("zk_push", zk_push), ("journal", journal), ("config", config)];

/// Packets, records, events and lists of ZK terminals.
pub fn zk(bytes: &[u8]) {
    if let Ok(Some(long)) = frame_length(bytes) {
        assert!(long >= 16, "a frame is no shorter than its wrapper and header");
    }
    if let Ok((packet, Ok(()))) = Packet::decode(bytes) {
        assert!(packet.data.len() <= bytes.len());
    }
    let forms = [Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49)];
    for form in forms {
        let _ = event::decode(bytes, Some(form));
        let known = Hints { count: None, now: jiff::civil::date(2026, 11, 20).at(0, 0, 0, 0), known: Some(form) };
        if let Ok(found) = choose(bytes, &known) {
            assert!(bytes.len().is_multiple_of(found.size()));
        }
        for raw in bytes.chunks(form.size()) {
            let _ = form.decode(raw);
        }
    }
    let _ = (event::decode(bytes, None), sizes::decode(bytes), records(bytes), user::decode(bytes, None));
}

/// Heads, targets and bodies of push terminals.
pub fn zk_push(bytes: &[u8]) {
    driver_zk_push::decoders::all(bytes);
}

/// A segment of the journal that holds these bytes.
pub fn journal(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let journal = folder.path().join("journal");
    if fs::create_dir(&journal).and_then(|()| fs::write(journal.join("00000001.seg"), bytes)).is_err() {
        return; // the machine's fault
    }
    let report = punchgate::spool::verify(folder.path()).expect("the folder can be read");
    let read = punchgate::spool::export(folder.path()).expect("the folder can be read");
    let punches = read.flatten().filter(|one| matches!(one, punchgate::spool::Exported::Punch(..))).count() as u64;
    // A tail that is no whole group is not counted, and what is whole of it is given out.
    assert!(report.unfinished_bytes > 0 || !report.is_whole() || punches == report.punches, "{report:?}: {punches}");
}

/// A config file that holds these bytes.
pub fn config(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("config.toml");
    if fs::write(&path, bytes).is_ok() {
        load(&path);
    }
}

fn load(path: &Path) {
    if let Err(rejected) = punchgate::config::load(path, punchgate::drivers::DRIVERS) {
        assert!(!rejected.to_string().is_empty(), "a refusal has words");
    }
}
