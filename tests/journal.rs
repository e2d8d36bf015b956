//! What lies on the disk, through the program itself: verified, broken, repaired, exported, imported and proved.

#[path = "cli/office.rs"]
#[allow(dead_code, reason = "the desk is for the tests of the command line")]
mod office;
#[path = "journal/store.rs"]
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use office::{program, run};
use punchgate::spool::Spool;
use store::{Store, told};

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn place_of(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).unwrap()
}

#[test]
fn a_stranger_reads_what_is_wrong_where_and_what_to_do() {
    type Edit = fn(&mut Vec<u8>);
    let edits: [(&str, Edit, &[&str]); 8] = [
        (
            "a punch",
            |bytes| *byte(bytes, b"047") ^= 1,
            &["fail their checksum: 19 punches and", "ledger", "48 is missing (before segment 1 byte"],
        ),
        ("the header", |bytes| bytes[30] ^= 1, &["the header of 00000001.seg is damaged"]),
        (
            "the version",
            |bytes| {
                bytes[6] = b'3';
                let crc = crc32c::crc32c(&bytes[..40]);
                bytes[40..44].copy_from_slice(&crc.to_le_bytes());
            },
            &["00000001.seg is of version 3", "use the version of Punchgate that wrote it"],
        ),
        ("the first half", |bytes| bytes[..4000].fill(0), &["begins with zeros", "stood there"]),
        ("the end", |bytes| bytes.truncate(used(bytes) - 2_000), &["fail their checksum", "when it was closed"]),
        ("garbage", |bytes| bytes.extend([0x5a; 99]), &["of which nothing is a record"]),
        ("all of it", |bytes| bytes.fill(0), &["00000001.seg begins with zeros", "when it was closed"]),
        (
            "the last group",
            |bytes| {
                let last = used(bytes) - 20;
                bytes[last] ^= 8;
            },
            &["fail their checksum"],
        ),
    ];
    for (how, edit, words) in edits {
        let store = Store::with("sz-03", 100);
        assert_eq!(store.journal(&["verify"]).0, 0);
        store.edit(edit);
        let (code, said) = store.journal(&["verify"]);
        assert_eq!(code, 1, "{how}: {said}");
        for word in words.iter().chain(&["mend: "]) {
            assert!(said.contains(word), "{how}: {word:?} is not in\n{said}");
        }
    }
}

#[test]
fn what_an_editor_does_to_the_folder_has_its_own_words() {
    type Edit = fn(&Path);
    let edits: [(&str, Edit, i32, &[&str]); 8] = [
        (
            "a folder with the name of a segment",
            |journal| fs::create_dir(journal.join("00000007.seg")).unwrap(),
            0,
            &["note: 00000007.seg is no file of the journal"],
        ),
        (
            "a link that leads nowhere in the place of a segment",
            |journal| {
                fs::remove_file(journal.join("00000001.seg")).unwrap();
                std::os::unix::fs::symlink("/nowhere/at/all", journal.join("00000001.seg")).unwrap();
            },
            1,
            &["note: 00000001.seg is no file of the journal, but a link that leads to no file", "when it was closed"],
        ),
        (
            "a copy that an editor made",
            |journal| fs::copy(journal.join("00000001.seg"), journal.join("00000001.seg~")).map(drop).unwrap(),
            0,
            &["note: 00000001.seg~ is no file of the journal", "every chain holds"],
        ),
        (
            "the lock emptied",
            |journal| fs::write(journal.join("lock"), "").unwrap(),
            0,
            &["note: journal/lock is not there or cannot be read", "every chain holds"],
        ),
        (
            "the lock of another store",
            |journal| {
                let text = fs::read_to_string(journal.join("lock")).unwrap();
                let store = text.find("\"store\":\"").unwrap() + 9;
                fs::write(journal.join("lock"), format!("{}0123{}", &text[..store], &text[store + 4..])).unwrap();
            },
            0,
            &["note: journal/lock names another store"],
        ),
        (
            "a segment emptied",
            |journal| fs::write(journal.join("00000001.seg"), "").unwrap(),
            1,
            &["00000001.seg is empty", "when it was closed"],
        ),
        (
            "nothing left that says which store it is",
            |journal| {
                fs::remove_file(journal.join("lock")).unwrap();
                fs::write(journal.join("00000001.seg"), "nothing here\n".repeat(50)).unwrap();
            },
            1,
            &["without the store's id no checksum can be tried", "mend: put journal/lock back from a backup"],
        ),
        (
            "all of it gone",
            |journal| fs::remove_dir_all(journal).unwrap(),
            1,
            &["there is no journal below", "put journal/ back from a backup"],
        ),
    ];
    for (how, edit, code, words) in edits {
        let store = Store::with("sz-03", 100);
        edit(&store.state().join("journal"));
        let (ended, said) = store.journal(&["verify"]);
        assert_eq!(ended, code, "{how}: {said}");
        for word in words {
            assert!(said.contains(word), "{how}: {word:?} is not in\n{said}");
        }
        let dry = store.journal(&["repair", "--dry-run"]);
        assert_eq!(dry.0, code, "{how}: {}", dry.1);
    }
}

#[test]
fn an_export_and_a_search_say_what_of_the_journal_they_could_not_read() {
    let store = Store::with("sz-03", 100);
    store.edit(|bytes| bytes.truncate(used(bytes) - 2_000));
    let (code, said) = store.journal(&["export"]);
    assert_eq!((code, said.contains("left out: ")), (1, true), "{said}");
    assert!(said.contains("should stand behind here"), "{said}");
    let why = Command::new(env!("CARGO_BIN_EXE_punchgate"))
        .args(["why", "nobody", "2026-11-20T08:00", "--state-dir"])
        .arg(store.state())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(said.contains("none of this person in what can be read"), "{said}");
    assert!(said.contains("of it cannot be read, and the punch may be there"), "{said}");
}

fn byte<'b>(bytes: &'b mut [u8], text: &[u8]) -> &'b mut u8 {
    let at = place_of(bytes, text);
    &mut bytes[at]
}

#[test]
fn a_repair_says_what_it_did_and_leaves_a_store_that_opens() {
    let store = Store::with("sz-03", 100);
    store.edit(|bytes| *byte(bytes, b"047") ^= 1);
    let broken = fs::read(store.segment()).unwrap();

    let (code, said) = store.journal(&["repair", "--dry-run"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing was changed: this was a dry run"), "{said}");
    assert_eq!(fs::read(store.segment()).unwrap(), broken);

    let spool = Spool::open(&store.settings("sz-03")).unwrap();
    let (code, said) = store.journal(&["repair"]);
    assert_eq!(code, 1);
    assert!(said.contains("is in use by a daemon") && said.contains("systemctl stop punchgate"), "{said}");
    drop(spool);
    // A start that trusts its index does not read old bytes: the damage is still there.
    let (code, said) = store.journal(&["repair", "--json"]);
    assert_eq!(code, 3, "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let folder = PathBuf::from(report["set_aside_in"].as_str().unwrap());
    assert!(folder.starts_with(store.state().join("quarantine")));
    assert_eq!(fs::read(folder.join("00000001.seg")).unwrap()[..used(&broken)], broken[..used(&broken)]);

    let (code, said) = store.journal(&["verify"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("48 is missing") && said.contains("recorded as lost at"), "{said}");
    assert_eq!(store.journal(&["repair"]), (0, "nothing is damaged, so nothing was done\n".into()));
    assert_eq!(store.ids().len(), 199);
    // Whoever asks for one that is there, and misses a second one, reads of the hole.
    let export = fs::read_to_string(store.export("jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    let (person, local) = (first["person"].as_str().unwrap(), first["local"].as_str().unwrap());
    let (code, said) = told(run(program(&["why", person, local, "--state-dir"]).arg(store.state())));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("number 48 is missing in the journal: it may be one more of this person"), "{said}");
    let spool = Spool::open(&store.settings("sz-03")).unwrap();
    assert_eq!(spool.status().ledgers.iter().map(|ledger| ledger.punches).sum::<u64>(), 199);
}

#[test]
fn punches_move_to_another_gateway_and_keep_their_ids() {
    let from = Store::with("sz-03", 100);
    for format in ["jsonl", "csv"] {
        let file = from.export(format);
        let to = Store::with("gz-01", 0);
        let (code, said) = to.import(&file, &["--dry-run"]);
        assert_eq!((code, said.contains("this was a dry run")), (0, true), "{said}");
        let (code, said) = to.import(&file, &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("200 are new here, 0 were here already"), "{format}: {said}");
        let (code, said) = to.import(&file, &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("0 are new here, 200 were here already"), "{format}: {said}");
        assert_eq!(to.ids(), from.ids(), "{format}");
        assert_eq!(to.journal(&["verify"]).0, 0);
        let text = fs::read_to_string(to.export("jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["origin"], "import");
        assert_eq!(first["clock"], serde_json::json!({"skew_ms": -840, "err_ms": 120, "how": "arrival"}));
        let there = fs::read_to_string(from.export("jsonl")).unwrap();
        let there: serde_json::Value = serde_json::from_str(there.lines().next().unwrap()).unwrap();
        for same in ["id", "person", "local", "utc", "zone", "direction", "verify", "work_code", "native", "flags"] {
            assert_eq!(first[same], there[same], "{format} {same}");
        }
        assert_ne!(first["prev"], there["prev"], "another ledger has another chain");
    }
}

#[test]
fn a_bad_line_is_named_and_nothing_is_half_imported() {
    let from = Store::with("sz-03", 40);
    let to = Store::with("gz-01", 0);
    let good = fs::read_to_string(from.export("csv")).unwrap();
    let file = to.folder.path().join("bad.csv");
    // As a spreadsheet does.
    fs::write(&file, good.replacen(",007,", ",7,", 1)).unwrap();
    let (code, said) = to.import(&file, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("bad.csv line 9: its id") && said.contains("a spreadsheet that makes 7 of 007"), "{said}");
    assert!(said.contains("nothing was imported: 1 of 80 lines are bad"), "{said}");
    assert!(to.ids().is_empty());
    let (code, said) = to.import(&file, &["--skip-bad"]);
    assert_eq!(code, 1);
    assert!(said.contains("79 are new here") && said.contains("1 bad lines were left out"), "{said}");

    let lines = fs::read_to_string(from.export("jsonl")).unwrap();
    let file = to.folder.path().join("bad.jsonl");
    let long = "x".repeat(70_000);
    fs::write(&file, format!("{{\"terminal\": 5}}\n\n{long}\n[\n{lines}")).unwrap();
    let (code, said) = to.import(&file, &[]);
    assert_eq!(code, 1);
    for word in ["line 1: invalid type", "line 3: it is longer than", "line 4: ", "3 of 83 lines are bad"] {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    let spool = Spool::open(&to.settings("gz-01")).unwrap();
    let (code, said) = to.import(&from.export("jsonl"), &[]);
    assert_eq!(code, 1);
    assert!(said.contains("is in use by another process; nothing was imported"), "{said}");
    drop(spool);
    let (code, said) = to.import(Path::new("/dev/null"), &[]);
    assert_eq!((code, said.contains("it is no plain file")), (1, true), "{said}");
}

/// Imports an export of which one line was changed.
fn changed(from: &Store, line: usize, change: impl FnOnce(&mut serde_json::Value)) -> (i32, String) {
    let to = Store::with("gz-01", 0);
    let text = fs::read_to_string(from.export("jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut lines[line]);
    let file = to.folder.path().join("changed.jsonl");
    fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (code, said) = to.import(&file, &[]);
    assert_eq!(to.ids().is_empty(), code != 0, "all of it or nothing: {said}");
    (code, said)
}

#[test]
fn a_changed_line_is_noticed_by_its_instant_its_clock_and_its_chain() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change, &str); 9] = [
        ("the zone", |line| line["zone"] = "UTC".into(), "and its utc says"),
        ("the instant", |line| line["utc"] = "1999-01-01T00:00:00Z".into(), "and its utc says"),
        ("the skew", |line| line["clock"]["skew_ms"] = i64::MAX.into(), "no clock can be so far off"),
        ("its error", |line| line["clock"]["err_ms"] = (-1).into(), "or below 0"),
        ("how", |line| line["clock"]["how"] = "unknown".into(), "was measured somehow"),
        ("the number", |line| line["seq"] = 7.into(), "the head of its chain does not come out"),
        ("the head", |line| line["head"] = "0".repeat(64).into(), "the head of its chain does not come out"),
        ("the terminal", |line| line["terminal"] = "canteen".into(), "by its chain it is number 4 of front-door"),
        ("the ledger", |line| line["ledger"] = 5.into(), "by its chain it is number 4 of front-door"),
    ];
    let from = Store::with("sz-03", 40);
    for (how, change, words) in changes {
        let (code, said) = changed(&from, 3, change);
        assert_eq!((code, said.contains(words)), (1, true), "{how}: {said}");
        assert!(said.contains("line 4: ") && said.contains("1 of 80 lines are bad"), "{how}: {said}");
    }
    // These stand in nothing that could be computed again, as docs/proof.md says.
    let unnoticed: [Change; 3] = [
        |line| line["direction"]["value"] = "out".into(),
        |line| line["work_code"] = "99".into(),
        |line| line["clock"]["skew_ms"] = 7.into(),
    ];
    for change in unnoticed {
        assert_eq!(changed(&from, 3, change).0, 0);
    }
    let to = Store::with("gz-01", 0);
    let file = to.folder.path().join("changed.csv");
    let good = fs::read_to_string(from.export("csv")).unwrap();
    fs::write(&file, good.replacen(",2026-11-20T00:00:00Z,", ",2026-11-20T08:00:00Z,", 1)).unwrap();
    let (code, said) = to.import(&file, &[]);
    assert_eq!((code, said.contains("and its utc says")), (1, true), "{said}");
}

#[test]
fn a_mark_that_an_editor_puts_before_the_first_line_does_no_harm() {
    let from = Store::with("sz-03", 40);
    for format in ["jsonl", "csv"] {
        let to = Store::with("gz-01", 0);
        let file = to.folder.path().join(format!("marked.{format}"));
        fs::write(&file, [b"\xef\xbb\xbf", &fs::read(from.export(format)).unwrap()[..]].concat()).unwrap();
        let (code, said) = to.import(&file, &[]);
        assert_eq!((code, to.ids() == from.ids()), (0, true), "{format}: {said}");
    }
}

#[test]
fn a_day_is_proved_in_a_few_lines() {
    let store = Store::with("sz-03", 100);
    let (code, said) = store.journal(&["proof", "front-door", "2026-11-20"]);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..3],
        ["terminal front-door", "day      2026-11-20", "punches  100, first 08:00:00, last 09:39:00"]
    );
    assert!(lines[3].starts_with("sum      ") && lines[3].len() == 28, "{said}");
    assert!(lines[4].ends_with(" of SN1: 1 to 100, 0 missing"), "{said}");
    assert!(said.contains("100 of them are not delivered yet"), "{said}");
    let (code, said) = store.journal(&["proof", "front-door", "2026-11-21"]);
    assert_eq!((code, said.contains("punches  0")), (0, true), "{said}");
    assert_eq!(store.journal(&["proof", "front-door", "someday"]).0, 2);
    let (code, said) = store.journal(&["proof", "frontdoor", "2026-11-20"]);
    assert_eq!((code, said.contains("punches")), (1, false), "{said}");
    assert!(said.contains("has never heard of a terminal named frontdoor"), "{said}");
    assert!(said.contains("it knows: canteen, front-door"), "{said}");
    store.edit(|bytes| *byte(bytes, b"047") ^= 1);
    let (code, said) = store.journal(&["proof", "front-door", "2026-11-20"]);
    assert_eq!((code, said.contains("1 missing"), said.contains("has holes")), (1, true, true), "{said}");

    let store = Store::with("sz-03", 100);
    store.edit(|bytes| bytes.truncate(48));
    let (code, said) = store.journal(&["proof", "front-door", "2026-11-20"]);
    assert_eq!((code, said.contains("punches  0")), (1, true), "{said}");
    assert!(said.contains("the count may not be whole: numbers 1 to 100 of ledger"), "{said}");
    assert!(said.contains("the journal once went further"), "{said}");
}

#[test]
fn the_other_side_comes_to_the_same_lines() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skipped("python3 is not here");
    }
    let store = Store::with("sz-03", 450);
    // What the broker would have got: the messages of every ledger, shuffled, one of them twice.
    let mut messages = Vec::new();
    let mut of_ledger = std::collections::BTreeMap::<_, Vec<_>>::new();
    for one in punchgate::spool::export(&store.state()).unwrap() {
        if let punchgate::spool::Exported::Punch(ledger, entry) = one.unwrap() {
            of_ledger.entry(ledger.terminal.clone()).or_default().push((ledger, entry));
        }
    }
    for entries in of_ledger.values() {
        for part in entries.chunks(70) {
            let all: Vec<_> = part.iter().map(|(_, entry)| entry.clone()).collect();
            messages.push(String::from_utf8(punchgate::wire::punch_event(&part[0].0, &all)).unwrap());
        }
    }
    // Another gateway has a terminal of that name too.
    for one in punchgate::spool::export(&Store::with("sz-04", 20).state()).unwrap() {
        if let punchgate::spool::Exported::Punch(ledger, entry) = one.unwrap() {
            messages.push(String::from_utf8(punchgate::wire::punch_event(&ledger, &[entry])).unwrap());
        }
    }
    messages.reverse();
    messages.push(messages[2].clone());
    let file = store.folder.path().join("messages.jsonl");
    fs::write(&file, messages.join("\n")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/proof.py");
    for day in ["2026-11-20", "2026-11-19"] {
        let mut python = Command::new("python3");
        python.args([script, "canteen", day, "sz-03"]).stdin(fs::File::open(&file).unwrap());
        let (code, theirs) = told(python.output().unwrap());
        assert_eq!(code, 0, "{theirs}");
        let (_, ours) = store.journal(&["proof", "canteen", day]);
        let ours = ours.split("\n\n").next().unwrap().trim_end();
        assert_eq!(ours, theirs.trim_end());
    }
}

#[allow(clippy::print_stdout, reason = "tests/run counts what was left out")]
fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}
