//! Disks that do not give all of a file, and names and sizes that no file of ours has.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::{
    outbox::Outbox,
    spool::{
        FindingKind, OpenError, Verdict,
        disk::faulty::{Spoilt, spoil},
        repair, scrub,
        segment::{SEGMENT_HEADER, list},
    },
};

fn files(house: &House) -> Vec<PathBuf> {
    list(&house.state_dir().join("journal")).unwrap().into_iter().map(|file| file.path).collect()
}

fn drop_index(house: &House) {
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
}

fn told(spool: &Spool, words: &str) -> bool {
    spool.findings().iter().any(|it| it.kind == FindingKind::Damage && it.text.contains(words))
}

/// A closed store with so many punches in groups of ten, in several segments.
async fn filled(punches: u32) -> House {
    let house = House::new();
    let spool = house.open();
    for n in (0..punches).step_by(10) {
        put(&spool, "door", log(n..n + 10)).await;
    }
    spool.close().await;
    house
}

/// Two sectors in the middle of a file, for good.
fn bad_sectors(path: &Path) -> Spoilt {
    spoil(path, 4096..4608, usize::MAX)
}

#[tokio::test]
async fn a_bad_sector_costs_the_punches_in_it_and_no_others() {
    for indexed in [true, false] {
        for segment in [0, 1] {
            let house = filled(300).await;
            let path = files(&house)[segment].clone();
            let before = fs::read(&path).unwrap();
            let _spoilt = bad_sectors(&path);
            let name = format!("the disk does not give bytes 4096 to 4607 of {:08}.seg", segment + 1);
            let report = verify(&house.state_dir()).unwrap();
            assert_eq!((report.verdict(), report.ledgers[0].missing.len()), (Verdict::Damaged, 1), "{report:?}");
            assert!(report.faults.iter().any(|fault| fault.what.contains(&name)), "{report:?}");
            let lost = report.ledgers[0].missing[0].last + 1 - report.ledgers[0].missing[0].first;
            assert!((1..12).contains(&lost), "{report:?}");
            assert_eq!(persons(&house.state_dir(), "door").len() as u64, 300 - lost);

            if !indexed {
                drop_index(&house);
            }
            let spool = house.open();
            let mut outbox = spool.outbox("mqtt");
            let handed_out = numbers(&drain(&mut outbox, 300 - lost as usize).await, "door");
            assert_eq!(handed_out.len() as u64, 300 - lost, "{indexed} {segment}: {:?}", spool.findings());
            assert!(told(&spool, &name), "{:?}", spool.findings());
            assert_eq!(put(&spool, "door", log(300..301)).await.new, 1);
            scrub::scrub(&spool.open.board);
            assert!(told(&spool, &name), "{:?}", spool.findings());
            spool.close().await;
            assert_eq!(fs::read(&path).unwrap(), before, "it is kept as it is");
        }
    }
}

#[tokio::test]
async fn an_error_that_came_once_costs_nothing() {
    let house = filled(300).await;
    drop_index(&house);
    let _spoilt = [spoil(&files(&house)[0], 4096..4608, 2), spoil(&files(&house)[1], 0..100, 2)];
    let spool = house.open();
    assert!(!told(&spool, ""), "{:?}", spool.findings());
    assert_eq!(spool.status().ledgers[0].punches, 300);
}

/// The end of the newest segment: its last groups, and the room behind them.
#[tokio::test]
async fn what_cannot_be_read_at_the_end_is_never_cut_off_nor_written_over() {
    for (closed, room) in [(true, false), (false, false), (false, true)] {
        let house = House::new();
        let spool = house.open();
        put(&spool, "door", log(0..5)).await;
        put(&spool, "gate", log(0..40)).await;
        put(&spool, "door", log(5..60)).await;
        let end = spool.open.board.end.borrow().offset;
        if closed {
            spool.close().await
        } else {
            drop(spool)
        }
        let path = files(&house)[0].clone();
        drop_index(&house);
        let before = fs::read(&path).unwrap();
        let spoilt = spoil(&path, if room { end + 600..end + 1200 } else { end - 300..end }, usize::MAX);
        let spool = house.open();
        assert!(told(&spool, "the disk does not give bytes"), "{:?}", spool.findings());
        let held = spool.status().ledgers.iter().map(|it| it.punches).sum::<u64>();
        assert!(if room { held == 100 } else { (80..100).contains(&held) }, "{held}");
        // Nobody knows what stood there, so that no number can be given twice.
        put(&spool, "door", live([100])).await;
        assert_eq!(spool.status().ledgers.iter().filter(|it| it.ledger.terminal == "door").count(), 2);
        spool.close().await;
        assert_eq!(fs::read(&path).unwrap(), before, "{closed} {room}");
        assert_eq!(files(&house).len(), 2);
        assert_eq!(verify(&house.state_dir()).unwrap().verdict(), Verdict::Damaged);

        // One day the disk gives it all.
        drop(spoilt);
        drop_index(&house);
        let spool = house.open();
        let mut outbox = spool.outbox("mqtt");
        assert_eq!(drain(&mut outbox, 101).await.iter().map(|it| it.entries.len()).sum::<usize>(), 101);
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_read_costs_no_more_than_is_in_its_sector() {
    let house = filled(300).await;
    let _spoilt = spoil(&files(&house)[1], 0..SEGMENT_HEADER as u64, usize::MAX);
    drop_index(&house);
    let spool = house.open();
    assert!(told(&spool, "00000002.seg: its header is damaged"), "{:?}", spool.findings());
    assert!((285..300).contains(&spool.status().ledgers[0].punches), "{:?}", spool.findings());
}

#[tokio::test]
async fn what_the_disk_does_not_give_is_not_retired() {
    let house = filled(600).await;
    let _spoilt = bad_sectors(&files(&house)[0]);
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    let held = persons(&house.state_dir(), "door").len();
    let segments = drain(&mut outbox, held).await;
    outbox.confirm(&ledger_of(&segments), 1, 600);
    drain(&mut outbox, 0).await;
    spool.retire().await.unwrap();
    assert_eq!(verify(&house.state_dir()).unwrap().retired_segments, 0);
}

#[tokio::test]
async fn a_file_of_any_size_costs_neither_the_start_nor_memory() {
    for (of, cut) in [(0, false), (usize::MAX, false), (usize::MAX, true)] {
        let house = filled(300).await;
        let path = files(&house)[of.min(files(&house).len() - 1)].clone();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let too_long = |report: &crate::spool::VerifyReport| {
            report.faults.iter().any(|it| it.what.contains("has 1099511627776 bytes, more than a file of the journal"))
        };
        let report = verify(&house.state_dir()).unwrap();
        assert!(too_long(&report) && report.ledgers[0].missing.is_empty(), "{report:?}");
        if cut {
            drop_index(&house);
        }
        let spool = house.open();
        let mut outbox = spool.outbox("mqtt");
        assert_eq!(numbers(&drain(&mut outbox, 300).await, "door").len(), 300);
        put(&spool, "door", log(300..301)).await;
        scrub::scrub(&spool.open.board);
        assert!(told(&spool, "more than a file of the journal ever has"), "{:?}", spool.findings());
        spool.close().await;
        assert_eq!(path.metadata().unwrap().len(), 1 << 40, "nobody knows what stands behind");
        let repaired = repair(&house.state_dir(), false).unwrap();
        assert_eq!((repaired.set_aside.len(), repaired.losses.len()), (2, 0), "{repaired:?}");
        assert!(repaired.rewritten[0].why.contains("more than a file"), "{repaired:?}");
        assert!(path.metadata().unwrap().len() < 1 << 20);
        assert_eq!(house.persons("door").len(), 301);
    }
}

#[tokio::test]
async fn a_name_that_leads_to_no_file_keeps_nobody_from_the_files() {
    type Name = fn(&Path);
    let names: [(&str, Name); 4] = [
        ("a link that leads to no file", |path| symlink("/nowhere/at/all", path).unwrap()),
        ("a link that leads to no file", |path| symlink(path, path).unwrap()),
        ("a pipe, a socket or a device", |path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
    ];
    for indexed in [true, false] {
        for (what, name) in names {
            let house = filled(300).await;
            let before = files(&house);
            fs::rename(&before[1], house.dir.path().join("elsewhere")).unwrap();
            name(&before[1]);
            // And in the place of the segment that is begun next.
            let next = before[0].with_file_name(format!("{:08}.seg", before.len() + 1));
            name(&next);
            if !indexed {
                drop_index(&house);
            }
            let report = verify(&house.state_dir()).unwrap();
            assert_eq!(report.verdict(), Verdict::Damaged, "{what}: {report:?}");
            assert!(report.notes.iter().any(|it| it.starts_with("00000002.seg") && it.contains(what)), "{report:?}");
            assert!(report.faults.iter().any(|it| it.what.contains("00000002.seg is not there")), "{report:?}");
            let there: BTreeSet<_> = persons(&house.state_dir(), "door").into_iter().collect();
            assert!((150..300).contains(&there.len()));

            let spool = house.open();
            let mut outbox = spool.outbox("mqtt");
            assert_eq!(numbers(&drain(&mut outbox, there.len()).await, "door").len(), there.len(), "{what}");
            for n in (300..600).step_by(10) {
                put(&spool, "door", log(n..n + 10)).await;
            }
            spool.close().await;
            assert!(!next.is_file() && files(&house).len() > before.len(), "{what}: {:?}", files(&house));
        }
    }
}

#[tokio::test]
async fn a_quarantine_that_cannot_be_written_to_stops_nobody_who_needs_none() {
    let house = filled(300).await;
    fs::write(house.state_dir().join("quarantine"), "a file").unwrap();
    let paths = files(&house);
    super::damage::flip(&paths[0], 3000);
    let spool = house.open();
    let end = *spool.open.board.end.borrow();
    put(&spool, "door", log(300..310)).await;
    drop(spool);
    // Nothing but its last group is torn.
    super::damage::flip(&paths[end.segment as usize - 1], end.offset + 300);
    drop_index(&house);
    let spool = house.open();
    assert!(told(&spool, "they cannot be kept in quarantine too: "), "{:?}", spool.findings());
    assert!(told(&spool, "state/quarantine: File exists"), "{:?}", spool.findings());
    let mut outbox = spool.outbox("mqtt");
    assert_eq!(numbers(&drain(&mut outbox, 308).await, "door").len(), 308);
    put(&spool, "gate", live([1])).await;
    spool.close().await;

    // What has to be moved there before anything is read waits for it, and says so.
    fs::copy(&paths[0], paths[0].with_file_name("00000070.seg")).unwrap();
    let refused = house.try_open().err().unwrap();
    assert!(
        matches!(&refused, OpenError::Quarantine { path, .. } if path.ends_with("state/quarantine")),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("make it a folder"), "{refused}");
    fs::remove_file(house.state_dir().join("quarantine")).unwrap();
    house.open().close().await;
}
