//! Journals and indexes that are not as they were left.

use std::{fs, os::unix::fs::FileExt};

use super::*;
use crate::{
    outbox::Outbox,
    spool::{
        FindingKind, scrub,
        segment::{SEGMENT_HEADER, list},
    },
};

pub(super) fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

fn all(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn damage_costs_the_record_it_hit_and_is_told() {
    let house = House::new();
    let spool = house.open();
    for n in 0..10 {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
    }
    spool.close().await;
    let first = list(&house.state_dir().join("journal")).unwrap()[0].path.clone();
    flip(&first, 2500);
    let report = verify(&house.state_dir()).unwrap();
    assert!(!report.is_whole());
    assert_eq!((report.ledgers[0].missing.len(), report.punches), (1, 99), "{report:?}");
    let hole = (report.ledgers[0].missing[0].first, report.ledgers[0].missing[0].last);

    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    let handed_out = numbers(&drain(&mut outbox, 99).await, "door");
    assert_eq!(handed_out, (1..=100).filter(|seq| *seq != hole.0).collect::<Vec<u64>>(), "its neighbours are kept");
    let finding = spool.findings().into_iter().find(|it| it.kind == FindingKind::Damage).unwrap();
    assert!(finding.text.contains("segment 1 byte"), "{}", finding.text);
    assert_eq!(house.quarantined().len(), 1);
    drop((outbox, spool));

    // Without the index all of that is found out from the journal.
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    assert_eq!(spool.status().ledgers[0].lost, [hole]);
    assert_eq!(house.quarantined().len(), 1, "the same bytes are kept once");
    // The terminal still has it: it comes again, under a new number.
    assert_eq!(put(&spool, "door", log(0..100)).await, Stored { new: 1, twins: 99, set_aside: 0 });
}

#[tokio::test]
async fn every_flipped_bit_is_noticed() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..3)).await;
    put(&spool, "door", log(3..4)).await;
    spool.close().await;
    let path = list(&house.state_dir().join("journal")).unwrap()[0].path.clone();
    let good = fs::read(&path).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let whole = verify(&house.state_dir()).unwrap();
    assert_eq!((whole.is_whole(), whole.punches), (true, 4));
    for at in SEGMENT_HEADER..used {
        flip(&path, at as u64);
        let report = verify(&house.state_dir()).unwrap();
        assert!(!report.is_whole() || report.unfinished_bytes > 0, "byte {at}");
        assert!(report.punches >= 2, "byte {at}: {report:?}");
        fs::write(&path, &good).unwrap();
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_at_any_byte() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..2)).await;
    let end = spool.open.board.end.borrow().offset;
    put(&spool, "door", log(2..5)).await;
    let torn_end = spool.open.board.end.borrow().offset;
    drop(spool);
    let path = list(&house.state_dir().join("journal")).unwrap()[0].path.clone();
    let good = fs::read(&path).unwrap();
    for cut in (end..torn_end).step_by(23).chain([end + 1, torn_end - 1]) {
        let mut torn = good.clone();
        torn[cut as usize..].fill(0);
        fs::write(&path, &torn).unwrap();
        // The index is as old as the journal's first group at most.
        fs::remove_dir_all(house.state_dir().join("index")).ok();
        // Whoever reads the disk alone, out of a box that is dead, finds what the next start will keep.
        let (found, report) = (house.persons("door"), verify(&house.state_dir()).unwrap());
        assert!(report.is_whole() && report.punches == found.len() as u64, "cut at {cut}: {report:?}");
        let spool = house.open();
        let kept = house.persons("door").len();
        assert!((2..5).contains(&kept), "cut at {cut}: {kept}");
        assert_eq!(house.persons("door"), found, "cut at {cut}");
        if cut > end {
            assert!(spool.findings().iter().any(|it| it.kind == FindingKind::TornTail), "cut at {cut}");
            assert!(!house.quarantined().is_empty());
        }
        assert_eq!(put(&spool, "door", log(0..6)).await.new, 6 - kept);
        assert_eq!(house.persons("door"), all(0..6));
        drop(spool);
        for file in list(&house.state_dir().join("journal")).unwrap() {
            fs::remove_file(file.path).unwrap();
        }
    }
}

#[tokio::test]
async fn the_last_group_is_not_given_up_for_one_bad_bit() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..1)).await;
    let end = spool.open.board.end.borrow().offset;
    put(&spool, "door", log(1..4)).await;
    spool.close().await;
    let path = list(&house.state_dir().join("journal")).unwrap()[0].path.clone();
    flip(&path, end + 8); // the group's own number: every record in it is whole
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let _spool = house.open();
    assert_eq!(house.persons("door"), all(0..4));
}

#[tokio::test]
async fn indexes_that_were_set_aside_do_not_fill_the_disk() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..3)).await;
    spool.close().await;
    for name in ["index-1700000001", "index-1700000002", "index-1700000003", "kept-by-hand"] {
        fs::create_dir_all(house.state_dir().join("quarantine").join(name)).unwrap();
    }
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    fs::write(house.state_dir().join("index"), "no folder").unwrap();
    let _spool = house.open();
    assert_eq!(house.persons("door"), all(0..3));
    let kept = house.quarantined();
    assert_eq!((kept.len(), &kept[0][..], &kept[2][..]), (3, "index-1700000003", "kept-by-hand"), "{kept:?}");
}

#[tokio::test]
async fn the_index_can_be_lost_in_every_way() {
    type Spoil = fn(&Path, &Path);
    let spoils: [(&str, Spoil); 6] = [
        ("deleted", |index, _| fs::remove_dir_all(index).unwrap()),
        ("old", |index, old| {
            fs::remove_dir_all(index).unwrap();
            copy(old, index);
        }),
        ("garbage", |index, _| fs::write(index.join("db"), [0x5a; 70_000]).unwrap()),
        ("cut short", |index, _| {
            let db = fs::OpenOptions::new().write(true).open(index.join("db")).unwrap();
            db.set_len(1000).unwrap();
        }),
        ("no directory", |index, _| {
            fs::remove_dir_all(index).unwrap();
            fs::write(index, "?").unwrap();
        }),
        ("power cut", |index, _| {
            say(index.parent().unwrap(), |lock| lock["open_in_boot"] = "x".into());
        }),
    ];
    for (how, spoil) in spoils {
        let house = House::new();
        let old = house.dir.path().join("old");
        let spool = house.open();
        put(&spool, "door", log(0..50)).await;
        spool.close().await;
        let index = house.state_dir().join("index");
        copy(&index, &old);
        let spool = house.open();
        put(&spool, "door", live(50..200)).await;
        put(&spool, "gate", live(0..10)).await;
        let mut outbox = spool.outbox("mqtt");
        let segments = drain(&mut outbox, 210).await;
        let ledger = ledger_of(&segments);
        outbox.confirm(&ledger, 1, 120);
        drop(outbox);
        let before = spool.status();
        spool.close().await;
        spoil(&index, &old);

        let spool = house.open();
        let after = spool.status();
        let told = |status: &crate::spool::SpoolStatus| {
            let each = status
                .ledgers
                .iter()
                .map(|it| (it.ledger.clone(), it.next, it.head, it.punches, it.confirmed_through.clone()));
            (each.collect::<Vec<_>>(), status.queues[0].undelivered)
        };
        assert_eq!(told(&after), told(&before), "{how}");
        let rebuilt = after.findings.iter().any(|it| it.kind == FindingKind::IndexRebuilt);
        assert_eq!(rebuilt, how != "old", "{how}: {:?}", after.findings);
        assert_eq!(put(&spool, "door", log(0..201)).await, Stored { new: 1, twins: 200, set_aside: 0 }, "{how}");
        let mut outbox = spool.outbox("mqtt");
        let rest = numbers(&drain(&mut outbox, 91).await, "door");
        assert_eq!(rest, (121..=201).collect::<Vec<u64>>(), "{how}");
    }
}

#[tokio::test]
async fn an_index_of_another_store_is_set_aside() {
    let (ours, theirs) = (House::new(), House::new());
    for house in [&ours, &theirs] {
        let spool = house.open();
        put(&spool, "door", log(0..20)).await;
        spool.close().await;
    }
    let index = ours.state_dir().join("index");
    fs::remove_dir_all(&index).unwrap();
    copy(&theirs.state_dir().join("index"), &index);
    let spool = ours.open();
    assert!(spool.findings()[0].text.contains("another store"));
    assert_eq!(put(&spool, "door", log(0..21)).await.twins, 20);
    assert_eq!(ours.quarantined().len(), 1);
    drop(spool);
    // A segment of another store is none of ours either.
    let stray = theirs.state_dir().join("journal/00000001.seg");
    fs::copy(stray, ours.state_dir().join("journal/00000007.seg")).unwrap();
    let spool = ours.open();
    assert!(spool.findings()[0].text.contains("not of this place"), "{:?}", spool.findings());
    assert_eq!(ours.persons("door"), all(0..21));
}

/// Two copies of a store, each with a group of the same number at the same place.
#[tokio::test]
async fn an_index_of_a_copy_that_went_on_by_itself_is_set_aside() {
    let (whole, ours, theirs) = (House::new(), House::new(), House::new());
    let spool = whole.open();
    put(&spool, "door", log(10..30)).await;
    spool.close().await;
    let mut ends = Vec::new();
    for (house, numbers) in [(&ours, 40..45), (&theirs, 50..55)] {
        copy(&whole.state_dir(), &house.state_dir());
        let spool = house.open();
        put(&spool, "door", log(numbers)).await;
        ends.push(*spool.open.board.end.borrow());
        spool.close().await;
    }
    assert_eq!(ends[0], ends[1]);
    let index = ours.state_dir().join("index");
    fs::remove_dir_all(&index).unwrap();
    copy(&theirs.state_dir().join("index"), &index);
    let spool = ours.open();
    let why = &spool.findings()[0].text;
    assert!(why.contains("a copy of this store that went on by itself"), "{why}");
    // What came to the copy alone was never here, and is no twin.
    assert_eq!(put(&spool, "door", log(50..55)).await, Stored { new: 5, twins: 0, set_aside: 0 });
    assert_eq!(put(&spool, "door", log(10..45)).await, Stored { new: 10, twins: 25, set_aside: 0 });
    spool.close().await;
    assert_eq!(ours.persons("door").len(), 40);
    // Its own index is believed.
    assert_eq!(ours.open().findings(), []);
}

#[tokio::test]
async fn no_number_is_used_twice_when_the_journal_lost_its_end() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..5)).await;
    drop(spool);
    let path = house.state_dir().join("journal/00000001.seg");
    let older = fs::read(&path).unwrap();
    let spool = house.open();
    put(&spool, "door", log(5..9)).await;
    let ledger = spool.status().ledgers[0].ledger.clone();
    spool.close().await;
    fs::write(&path, older).unwrap();
    let spool = house.open();
    assert!(spool.findings().iter().any(|it| it.text.contains("begins a new ledger")), "{:?}", spool.findings());
    assert_eq!(put(&spool, "door", log(0..9)).await, Stored { new: 4, twins: 5, set_aside: 0 });
    let ledgers = spool.status().ledgers;
    assert_eq!((ledgers[0].ledger.clone(), ledgers[0].next, &ledgers[0].lost[..]), (ledger, 10, &[(6, 9)][..]));
    assert_eq!((ledgers[1].ledger.begun > ledgers[0].ledger.begun, ledgers[1].next), (true, 5));
    assert_eq!(spool.holdings("door", "SN-door").punches, 9);
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

#[tokio::test]
async fn damage_of_what_is_delivered_is_found_by_reading_through() {
    let house = House::new();
    let spool = house.open();
    for n in 0..10 {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
    }
    let mut outbox = spool.outbox("mqtt");
    drain(&mut outbox, 100).await;
    scrub::scrub(&spool.open.board);
    assert_eq!(spool.findings(), []);
    flip(&list(&house.state_dir().join("journal")).unwrap()[0].path, 2500);
    scrub::scrub(&spool.open.board);
    let text = spool.findings().into_iter().find(|it| it.kind == FindingKind::Damage).unwrap().text;
    assert!(text.contains("segment 1 byte") && text.contains("of door ledger"), "{text}");
}
