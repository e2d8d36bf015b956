//! Groups that stand in a journal once more, and groups that have the numbers of others.

use std::ops::Range;

use super::*;
use crate::spool::{
    group::framed,
    lock::Lock,
    repair::extract::{Whole, extract},
    segment::SegmentHeader,
};

fn store_of(house: &House) -> [u8; 16] {
    store_id(&journal(house)).unwrap().unwrap()
}

/// The whole groups of a file, in its order.
fn groups(house: &House, path: &Path) -> Vec<Whole> {
    extract(seed(&store_of(house)), &fs::read(path).unwrap(), SEGMENT_HEADER, 0).groups
}

fn bytes_of(path: &Path, place: Range<usize>) -> Vec<u8> {
    fs::read(path).unwrap()[place].to_vec()
}

/// Writes bytes right behind the last group of a file, into the room that is reserved.
fn behind(house: &House, path: &Path, bytes: &[u8]) {
    let end = groups(house, path).last().unwrap().place.end;
    let mut all = fs::read(path).unwrap();
    all.resize(all.len().max(end + bytes.len()), 0);
    all[end..end + bytes.len()].copy_from_slice(bytes);
    fs::write(path, all).unwrap();
}

/// The same records under another number.
fn renumbered(store: [u8; 16], group: &[u8], number: u64) -> Vec<u8> {
    let mut new = Group::new(seed(&store));
    framed(&group[GROUP_HEADER..]).for_each(|record| new.keep(record));
    new.seal(number).to_vec()
}

fn without_index(house: &House) {
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
}

/// Every number of a group stands once, and they rise.
fn numbers_rise(house: &House, how: &str) {
    let files = segments(house);
    let numbers: Vec<_> = files.iter().flat_map(|path| groups(house, path)).map(|group| group.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{how}: {numbers:?}");
}

#[tokio::test]
async fn an_old_group_behind_the_last_one_is_taken_for_no_new_one() {
    async fn short() -> House {
        let house = House::new();
        let spool = house.open();
        put(&spool, "door", log(0..10)).await;
        put(&spool, "gate", log(0..3)).await;
        spool.close().await;
        house
    }
    let whole = short().await;
    let count = groups(&whole, &segments(&whole)[0]).len();
    let picks = (0..count).map(|one| one..one + 1).chain(std::iter::once(0..count));
    for (pick, indexed) in picks.flat_map(|pick| [(pick.clone(), true), (pick, false)]) {
        let how = format!("groups {pick:?}, index {indexed}");
        let house = short().await;
        let path = segments(&house).remove(0);
        let places: Vec<_> = groups(&house, &path)[pick].iter().map(|group| group.place.clone()).collect();
        let old: Vec<u8> = places.into_iter().flat_map(|place| bytes_of(&path, place)).collect();
        behind(&house, &path, &old);
        if !indexed {
            without_index(&house);
        }
        let spool = house.open();
        assert!(!spool.findings().iter().any(|it| it.kind == FindingKind::Damage), "{how}: {:?}", spool.findings());
        assert_eq!(put(&spool, "door", log(0..15)).await, Stored { new: 5, twins: 10, set_aside: 0 }, "{how}");
        spool.close().await;
        numbers_rise(&house, &how);
        // What was cut off is kept, and nothing of it has to be mended.
        assert!(house.quarantined().iter().any(|name| name.starts_with("segment-00000001")), "{how}");
        assert_eq!(house.persons("door").len(), 15, "{how}");
        assert!(!repair(&house.state_dir(), false).unwrap().needed, "{how}");
        without_index(&house);
        let spool = house.open();
        drain(&mut spool.outbox("mqtt"), 18).await;
        let next: Vec<_> = spool.status().ledgers.iter().map(|it| it.next).collect();
        assert_eq!((undelivered(&spool), next), (18, vec![16, 4]), "{how}");
    }
}

#[tokio::test]
async fn an_old_group_at_the_end_is_left_out_by_a_repair_before_the_start_too() {
    let house = store().await;
    let before = outcome(&house);
    let (first, last) = (segments(&house).remove(0), segments(&house).pop().unwrap());
    // Of an older file, and of its own.
    let (old, own) = (groups(&house, &first).remove(3).place, groups(&house, &last).remove(0).place);
    let bytes = [bytes_of(&first, old), bytes_of(&last, own)].concat();
    behind(&house, &last, &bytes);
    let report = checked(&house);
    assert_eq!(report.verdict(), Verdict::Damaged, "{report:?}");
    assert!(report.faults.iter().any(|it| it.what.contains("whose numbers stand before already")), "{report:?}");
    let done = mended(&house, "two old groups").await;
    assert!(done.rewritten[0].why.contains("2 stood before already"), "{done:?}");
    assert!(done.losses.is_empty() && held(&house).is_superset(&before.0), "{done:?}");
}

/// As an earlier version left a store: an old group stands once more behind a group, and all those behind are counted on
/// from it.
async fn counted_on(first: u32, more: u32) -> (House, BTreeSet<(String, u64, String)>) {
    let house = House::new();
    let spool = house.open();
    for n in 0..first {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
        put(&spool, "gate", log(n * 3..n * 3 + 3)).await;
    }
    spool.close().await;
    let path = segments(&house).pop().unwrap();
    let last = groups(&house, &path).pop().unwrap().number;
    let spool = house.open();
    for n in first..first + more {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
        put(&spool, "gate", log(n * 3..n * 3 + 3)).await;
    }
    spool.close().await;
    let all = held(&house);
    let store = store_of(&house);
    let old = segments(&house).remove(0);
    let stale = bytes_of(&old, groups(&house, &old).remove(0).place);
    let fallen = |number: u64| number - last + 1;
    let mut end = 0;
    for path in segments(&house) {
        let mut header = SegmentHeader::of_file(&path).unwrap().unwrap();
        if header.first_group > last {
            header.first_group = fallen(header.first_group);
        }
        let mut bytes = header.bytes().to_vec();
        for group in groups(&house, &path) {
            let here = bytes_of(&path, group.place);
            if group.number <= last {
                bytes.extend(here);
                if group.number == last {
                    bytes.extend(&stale);
                }
            } else {
                end = fallen(group.number);
                bytes.extend(renumbered(store, &here, end));
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    let (lock, _) = Lock::take(&journal(&house)).unwrap();
    lock.closed(&store, end).unwrap();
    without_index(&house);
    (house, all)
}

#[tokio::test]
async fn groups_that_have_the_numbers_of_others_are_kept_by_a_repair() {
    // In one file; over the end of a file; and where the old group is of an earlier file.
    for (first, more) in [(3, 2), (3, 10), (2, 40), (40, 30)] {
        let how = format!("{first} and {more}");
        let (whole, all) = counted_on(first, more).await;
        assert_eq!(checked(&whole).verdict(), Verdict::Damaged, "{how}");
        assert_eq!(held(&whole), all, "{how}: it can be read");

        let house = House::new();
        copy(&whole.state_dir(), &house.state_dir());
        let report = repair(&house.state_dir(), false).unwrap();
        assert!(report.done && report.losses.is_empty() && report.ended.is_empty(), "{how}: {report:?}");
        assert_eq!(report.left_out, 0, "{how}: {report:?}");
        assert!(report.rewritten.iter().any(|it| it.why.contains("had the numbers of others")), "{how}: {report:?}");
        assert_eq!(outcome(&house), (all.clone(), Vec::new(), Verdict::Whole), "{how}");
        assert!(!repair(&house.state_dir(), false).unwrap().needed, "{how}");
        let spool = house.open();
        let (count, mut outbox) = (all.len(), spool.outbox("mqtt"));
        let came = drain(&mut outbox, count).await;
        let came: usize = came.iter().map(|segment| segment.entries.len()).sum();
        assert_eq!((came, undelivered(&spool)), (count, count), "{how}");
        drop(outbox);
        let again = put(&spool, "door", log(0..(first + more) * 10)).await;
        assert_eq!(again.twins, (first + more) as usize * 10, "{how}");
        put(&spool, "door", live([9000])).await;
        spool.close().await;
        assert!(checked(&house).is_whole(), "{how}");

        // A start without a repair loses nothing either, and one afterwards finds all of it.
        let spool = whole.open();
        drain(&mut spool.outbox("mqtt"), count).await;
        let again = put(&spool, "door", log(0..(first + more) * 10)).await;
        assert_eq!((again.new, undelivered(&spool)), (0, count), "{how}");
        put(&spool, "door", live([9000])).await;
        spool.close().await;
        let report = repair(&whole.state_dir(), false).unwrap();
        assert!(report.losses.is_empty() && report.ended.is_empty(), "{how}: {report:?}");
        assert!(held(&whole).is_superset(&all) && checked(&whole).is_whole(), "{how}: {:?}", checked(&whole));
    }
}

#[tokio::test]
async fn a_bit_among_numbers_that_are_used_twice_costs_one_punch() {
    let (whole, all) = counted_on(3, 40).await;
    for file in 0..segments(&whole).len() {
        for at in (100..8_000).step_by(1_171) {
            let house = House::new();
            copy(&whole.state_dir(), &house.state_dir());
            let path = segments(&house).remove(file);
            if at + 300 > fs::metadata(&path).unwrap().len() {
                continue;
            }
            flip(&path, at);
            let done = repair(&house.state_dir(), false).unwrap();
            let report = checked(&house);
            assert!(report.faults.is_empty() && missing(&report) <= 1, "file {file}, byte {at}: {done:?} {report:?}");
            assert_ne!(report.verdict(), Verdict::Damaged, "file {file}, byte {at}: {done:?} {report:?}");
            assert!(all.len() <= held(&house).len() + 1, "file {file}, byte {at}: {done:?}");
        }
    }
}

#[tokio::test]
async fn punches_that_stand_there_twice_are_left_out_once_and_for_all() {
    let house = store().await;
    let (store, before) = (store_of(&house), outcome(&house));
    // As an earlier version took an old group for a write that was cut short: with a number of its own, and others behind it.
    let (first, last) = (segments(&house).remove(0), segments(&house).pop().unwrap());
    let old = bytes_of(&first, groups(&house, &first).remove(0).place);
    let number = groups(&house, &last).pop().unwrap().number + 1;
    behind(&house, &last, &renumbered(store, &old, number));
    without_index(&house);
    let spool = house.open();
    put(&spool, "door", live([5000])).await;
    spool.close().await;
    let report = checked(&house);
    assert!(report.faults.iter().any(|it| it.what.contains("stand here a second time")), "{report:?}");
    let done = repair(&house.state_dir(), false).unwrap();
    assert!(done.rewritten.iter().any(|it| it.why.contains("of door stand in it a second time")), "{done:?}");
    assert_eq!((done.losses.is_empty(), done.left_out, done.set_aside.len()), (true, 0, 2), "{done:?}");
    let after = outcome(&house);
    assert_eq!((after.0.len(), after.2), (before.0.len() + 1, Verdict::Whole));
    assert!(!repair(&house.state_dir(), false).unwrap().needed);
    house.open().close().await;
    assert!(checked(&house).is_whole());
}

#[tokio::test]
async fn another_punch_under_a_number_that_is_given_is_told_and_kept_aside() {
    let house = store().await;
    let (store, path) = (store_of(&house), segments(&house).pop().unwrap());
    let group = bytes_of(&path, groups(&house, &path).remove(0).place);
    let mut new = Group::new(seed(&store));
    for record in records(&group[GROUP_HEADER..]).flatten() {
        match record {
            Record::Punch(it) => {
                let mut entry = it.entry(&mut ZoneNames::default()).unwrap();
                entry.id = driver_api::PunchId([9; 16]);
                new.push(&Record::Punch(PunchRecord::of(it.ledger, &entry)));
            }
            record => new.push(&record),
        }
    }
    let punches = records(&group[GROUP_HEADER..]).flatten().filter(|it| matches!(it, Record::Punch(_))).count();
    let number = groups(&house, &path).pop().unwrap().number + 1;
    behind(&house, &path, new.seal(number));
    let done = repair(&house.state_dir(), false).unwrap();
    assert_eq!((done.left_out, done.losses.is_empty()), (punches as u64, true), "{done:?}");
    assert!(checked(&house).is_whole(), "{:?}", checked(&house));
}
