//! Stores broken in every way that an editor, a disk or a tired administrator knows, and what repair makes of them.

mod forged;
mod interrupted;
mod losses;
mod twice;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use super::{
    damage::{copy, flip},
    *,
};
use crate::{
    ledger::Head,
    spool::{
        FindingKind, OpenError, RepairError, RepairReport, Verdict, VerifyReport,
        group::{GROUP_HEADER, Group, GroupHeader, records},
        record::{LedgerRecord, PunchRecord, Record, ZoneNames},
        repair,
        repair::repair_on,
        segment::{SEGMENT_HEADER, list, seed, segment_path},
        walk::store_id,
    },
};

const PUNCHES: u32 = 700;

/// A closed store of several segments, with two terminals.
pub(super) async fn store() -> House {
    let house = House::new();
    let spool = house.open();
    for n in (0..PUNCHES).step_by(10) {
        put(&spool, "door", log(n..n + 10)).await;
        put(&spool, "gate", log(n..n + 3)).await;
    }
    spool.close().await;
    assert!(segments(&house).len() >= 5, "{:?}", segments(&house));
    house
}

fn journal(house: &House) -> PathBuf {
    house.state_dir().join("journal")
}

pub(super) fn segments(house: &House) -> Vec<PathBuf> {
    list(&journal(house)).unwrap().into_iter().map(|file| file.path).collect()
}

fn checked(house: &House) -> VerifyReport {
    verify(&house.state_dir()).unwrap()
}

fn missing(report: &VerifyReport) -> u64 {
    report.ledgers.iter().flat_map(|it| &it.missing).map(|hole| hole.last + 1 - hole.first).sum()
}

/// All that stands in a store, by what makes each the same for ever.
pub(super) fn held(house: &House) -> BTreeSet<(String, u64, String)> {
    exported(&house.state_dir()).map(|(ledger, entry)| (ledger.terminal.clone(), entry.seq, entry.person)).collect()
}

/// All that a repair decides.
type Outcome = (BTreeSet<(String, u64, String)>, Vec<(String, u64, u64, bool)>, Verdict);

fn outcome(house: &House) -> Outcome {
    let report = checked(house);
    assert!(report.faults.is_empty(), "{report:?}");
    let holes = |it: &crate::spool::LedgerReport| {
        let terminal = it.terminal.clone();
        let hole =
            move |hole: &crate::spool::Missing| (terminal.clone(), hole.first, hole.last, hole.recorded.is_some());
        it.missing.iter().map(hole).collect::<Vec<_>>()
    };
    (held(house), report.ledgers.iter().flat_map(holes).collect(), report.verdict())
}

/// Repairs, and sees to it that what comes out is a store like any other that tells what it lost.
async fn mended(house: &House, how: &str) -> RepairReport {
    let before = held(house);
    let dry = repair(&house.state_dir(), true).unwrap();
    let report = repair(&house.state_dir(), false).unwrap();
    assert!(dry.needed && !dry.done && report.done, "{how}: {dry:?}");
    assert_eq!((&dry.rewritten, &dry.losses, &dry.ended), (&report.rewritten, &report.losses, &report.ended), "{how}");
    let after = checked(house);
    assert!(after.faults.is_empty() && after.verdict() != Verdict::Damaged, "{how}: {after:?}");
    assert!(held(house).is_superset(&before), "{how}: what could be read before is gone");
    let folder = report.set_aside_in.clone().unwrap();
    for name in &report.set_aside {
        assert!(folder.join(name).exists(), "{how}: {name} is not set aside");
    }
    let again = repair(&house.state_dir(), false).unwrap();
    assert!(!again.needed, "{how}: {again:?}");

    let told = missing(&after);
    let recorded: u64 = report.losses.iter().map(|loss| loss.last + 1 - loss.first).sum();
    assert_eq!(told, recorded, "{how}: {report:?}");
    let spool = house.open();
    assert!(!spool.findings().iter().any(|it| it.kind == FindingKind::Damage), "{how}: {:?}", spool.findings());
    let open: u64 = spool.status().ledgers.iter().flat_map(|it| &it.open_losses).map(|it| it.last + 1 - it.first).sum();
    assert_eq!(open, told, "{how}");

    // The terminals still have it all: what is lost comes again, once, under new numbers, and the loss is made good.
    let door = put(&spool, "door", log(0..PUNCHES)).await;
    let gate = put(&spool, "gate", log((0..PUNCHES).filter(|n| n % 10 < 3))).await;
    assert_eq!(door.new + door.twins, PUNCHES as usize, "{how}");
    assert!((door.new + gate.new) as u64 >= told, "{how}: {} came again of {told}", door.new + gate.new);
    put(&spool, "door", live([PUNCHES])).await;
    assert!(spool.status().ledgers.iter().all(|it| it.open_losses.is_empty()), "{how}: {:?}", spool.status().ledgers);
    spool.close().await;
    let end = checked(house);
    assert!(end.faults.is_empty() && end.verdict() != Verdict::Damaged, "{how}: {end:?}");
    assert_eq!(missing(&end), told, "{how}: lost numbers stay missing");
    assert_eq!(
        persons(&house.state_dir(), "door").into_iter().collect::<BTreeSet<_>>().len(),
        PUNCHES as usize + 1,
        "{how}"
    );
    report
}

type Break = fn(&House, &[PathBuf]);

const BREAKS: &[(&str, Break)] = &[
    ("a bit of a punch", |_, files| flip(&files[1], 5_000)),
    ("a header", |_, files| flip(&files[2], 20)),
    ("the first header", |_, files| flip(&files[0], 9)),
    ("the length of a group", |_, files| {
        let at = nth_group(&files[2], 3);
        flip(&files[2], at + 5);
    }),
    ("the number of a group", |_, files| {
        let at = nth_group(&files[2], 4);
        flip(&files[2], at + 8);
    }),
    ("three bits in three files", |_, files| {
        flip(&files[0], 3_000);
        flip(&files[1], 9_000);
        flip(&files[3], 777);
    }),
    ("zeros over the middle", |_, files| wipe(&files[1], 3_000..9_000)),
    ("a zeroed segment", |_, files| wipe(&files[2], 0..u64::MAX)),
    ("the first segment zeroed", |_, files| wipe(&files[0], 0..u64::MAX)),
    ("the last segment zeroed", |_, files| wipe(files.last().unwrap(), 0..u64::MAX)),
    ("a deleted segment", |_, files| fs::remove_file(&files[1]).unwrap()),
    ("two deleted segments", |_, files| {
        fs::remove_file(&files[1]).unwrap();
        fs::remove_file(&files[2]).unwrap();
    }),
    ("the first segment deleted", |_, files| fs::remove_file(&files[0]).unwrap()),
    ("the last segment deleted", |_, files| fs::remove_file(files.last().unwrap()).unwrap()),
    ("two segments swapped", |_, files| {
        let other = files[1].with_extension("other");
        fs::rename(&files[1], &other).unwrap();
        fs::rename(&files[2], &files[1]).unwrap();
        fs::rename(&other, &files[2]).unwrap();
    }),
    ("a segment copied over another", |_, files| _ = fs::copy(&files[1], &files[2]).unwrap()),
    ("a segment cut short", |_, files| truncate(&files[1], 6_000)),
    ("a segment cut within its header", |_, files| truncate(&files[1], 20)),
    ("the last segment cut short", |_, files| truncate(files.last().unwrap(), 3_000)),
    ("garbage behind a segment", |_, files| append(&files[1], b"PGgp garbage")),
    ("garbage behind the last segment", |_, files| append(files.last().unwrap(), &[0x5a; 300])),
    ("garbage in the middle", |_, files| {
        let mut bytes = fs::read(&files[2]).unwrap();
        let at = nth_group(&files[2], 5) as usize;
        bytes.splice(at..at, *b"inserted by an editor");
        fs::write(&files[2], bytes).unwrap();
    }),
    ("a line end changed by an editor", |_, files| {
        let text = fs::read(&files[2]).unwrap();
        let changed: Vec<u8> =
            text.into_iter().flat_map(|b| if b == b'\n' { vec![b'\r', b'\n'] } else { vec![b] }).collect();
        fs::write(&files[2], changed).unwrap();
    }),
    ("no lock file, and a bit", |house, files| {
        fs::remove_file(journal(house).join("lock")).unwrap();
        flip(&files[1], 4_000);
    }),
    ("every header", |_, files| files.iter().for_each(|file| flip(file, 12))),
    ("no index, and the last segment deleted", |house, files| {
        fs::remove_dir_all(house.state_dir().join("index")).unwrap();
        fs::remove_file(files.last().unwrap()).unwrap();
    }),
];

pub(super) fn nth_group(path: &Path, nth: usize) -> u64 {
    let bytes = fs::read(path).unwrap();
    let mut places = bytes.windows(4).enumerate().filter(|(_, window)| *window == b"PGgp").map(|(at, _)| at as u64);
    places.nth(nth).unwrap()
}

fn wipe(path: &Path, range: std::ops::Range<u64>) {
    let mut bytes = fs::read(path).unwrap();
    let end = range.end.min(bytes.len() as u64) as usize;
    bytes[range.start as usize..end].fill(0);
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, long: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(long).unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    let mut all = fs::read(path).unwrap();
    all.extend_from_slice(bytes);
    fs::write(path, all).unwrap();
}

#[tokio::test]
async fn a_store_broken_in_any_way_is_told_and_mended() {
    let whole = store().await;
    let all = held(&whole);
    for (how, spoil) in BREAKS {
        let house = House::new();
        copy(&whole.state_dir(), &house.state_dir());
        spoil(&house, &segments(&house));
        let report = checked(&house);
        assert_eq!(report.verdict(), Verdict::Damaged, "{how}: {report:?}");
        assert!(report.faults.iter().all(|fault| !fault.mend.is_empty()), "{how}");
        let repaired = mended(&house, how).await;
        let lost: u64 = repaired.losses.iter().map(|loss| loss.last + 1 - loss.first).sum();
        match *how {
            "a header"
            | "the first header"
            | "every header"
            | "two segments swapped"
            | "garbage behind a segment"
            | "garbage behind the last segment"
            | "garbage in the middle"
            | "the length of a group"
            | "the number of a group" => assert_eq!(lost, 0, "{how}: {repaired:?}"),
            "a bit of a punch" | "no lock file, and a bit" => assert!(lost <= 1, "{how}: {repaired:?}"),
            "three bits in three files" => assert!(lost <= 3, "{how}: {repaired:?}"),
            _ => assert!(lost < all.len() as u64 / 2, "{how}: {repaired:?}"),
        }
    }
}

#[tokio::test]
async fn any_flipped_bit_is_mended_and_costs_one_punch_at_most() {
    let whole = store().await;
    let files = segments(&whole);
    let (number, long) = (files.len(), fs::metadata(&files[1]).unwrap().len());
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..40 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let house = House::new();
        copy(&whole.state_dir(), &house.state_dir());
        let (file, at) = (seed as usize % (number - 1), seed >> 20);
        flip(&segments(&house)[file], at % (long - 200));
        if checked(&house).is_whole() {
            continue; // zeros of reserved room have no meaning
        }
        let done = repair(&house.state_dir(), false).unwrap();
        let report = checked(&house);
        assert!(report.faults.is_empty() && missing(&report) <= 1, "round {round}, file {file}: {done:?} {report:?}");
    }
}

#[tokio::test]
async fn a_newer_version_and_a_running_daemon_are_left_alone() {
    let house = store().await;
    let spool = house.open();
    assert!(matches!(repair(&house.state_dir(), false), Err(RepairError::InUse(_))));
    assert!(!repair(&house.state_dir(), true).unwrap().needed);
    spool.close().await;
    assert!(!repair(&house.state_dir(), false).unwrap().needed);
    let path = segment_path(&journal(&house), 2);
    let mut bytes = fs::read(&path).unwrap();
    let ours = bytes.clone();
    // One bit of the version is damage as any other: the punches behind it are read.
    bytes[6] ^= 2;
    fs::write(&path, &bytes).unwrap();
    assert!(checked(&house).faults.iter().any(|it| it.what.contains("is damaged")));
    assert!(repair(&house.state_dir(), true).unwrap().needed);
    bytes[6] = b'2';
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let fault = checked(&house).faults.into_iter().find(|it| it.what.contains("version 2")).unwrap();
    assert!(fault.mend.contains("later"), "{fault:?}");
    assert!(matches!(repair(&house.state_dir(), false), Err(RepairError::Newer(_))));
    // Nor does a daemon take for damage what it cannot read: after a way back to this version it says so, and touches nothing.
    let files = |house: &House| segments(house).into_iter().map(|it| (fs::read(&it).unwrap(), it)).collect::<Vec<_>>();
    let before = files(&house);
    assert!(matches!(Spool::open(&house.settings()), Err(OpenError::Newer(file)) if file == path));
    assert_eq!(files(&house), before);
    // With the newer version, or its file, everything goes on.
    fs::write(&path, &ours).unwrap();
    house.open().close().await;
    assert!(checked(&house).is_whole());
}

#[tokio::test]
async fn numbers_that_are_missing_without_a_word_are_recorded() {
    let house = store().await;
    wipe(&segments(&house)[1], 3_000..6_000);
    let lost = repair(&house.state_dir(), false).unwrap().losses;
    // The file that tells of them goes, and the lock file knows no more of it than a backup would.
    fs::remove_file(segments(&house).pop().unwrap()).unwrap();
    say(&house.state_dir(), |lock| lock["last_group"] = (lock["last_group"].as_u64().unwrap() - 1).into());
    assert_eq!(checked(&house).verdict(), Verdict::Damaged);
    let report = repair(&house.state_dir(), false).unwrap();
    assert!(report.done && report.ended.is_empty() && !lost.is_empty(), "{report:?}");
    assert_eq!((report.losses, checked(&house).verdict()), (lost, Verdict::Mended));
    assert!(!repair(&house.state_dir(), false).unwrap().needed);
}

#[tokio::test]
async fn a_file_is_believed_by_what_is_in_it_and_not_by_a_number_that_is_far_off() {
    use crate::outbox::Outbox;
    let house = store().await;
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for segment in drain(&mut outbox, undelivered(&spool)).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    until_retired(&house, &spool, &mut outbox, 4).await;
    drop(outbox);
    spool.close().await;
    let whole = outcome(&house);
    let broken = || {
        let broken = House::new();
        copy(&house.state_dir(), &broken.state_dir());
        broken
    };
    for name in ["99999999.ids", "18446744073709551615.ids", "99999999.seg", "18446744073709551615.seg"] {
        let odd = broken();
        fs::write(journal(&odd).join(name), b"junk".repeat(30)).unwrap();
        let report = repair(&odd.state_dir(), false).unwrap();
        assert_eq!((&report.rewritten[..], &report.set_aside[..1]), (&[][..], &[name.to_owned()][..]), "{report:?}");
        assert_eq!(outcome(&odd), whole, "{name}");
    }
    // A slip of the pen, and a header that does not tell of it.
    let odd = broken();
    fs::rename(journal(&odd).join("00000003.ids"), journal(&odd).join("00300003.ids")).unwrap();
    flip(&journal(&odd).join("00300003.ids"), 3);
    let report = repair(&odd.state_dir(), false).unwrap();
    assert_eq!(report.rewritten.iter().map(|it| &it.file[..]).collect::<Vec<_>>(), ["00000003.ids"]);
    assert_eq!(outcome(&odd), whole);
    // Many that are really gone are told as one.
    let odd = broken();
    fs::remove_file(journal(&odd).join("00000001.ids")).unwrap();
    fs::remove_file(journal(&odd).join("00000002.ids")).unwrap();
    let report = repair(&odd.state_dir(), false).unwrap();
    assert_eq!(report.rewritten[0].file, "00000001.ids to 00000002.ids");
    assert_eq!(checked(&odd).verdict(), Verdict::Mended);
}
