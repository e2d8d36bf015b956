//! Files that stand where they do not belong, and journals that have lost their end.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{
    damage::{copy, flip},
    *,
};
use crate::{
    outbox::Outbox,
    spool::{FindingKind, repair, segment::list},
};

fn files(house: &House) -> Vec<PathBuf> {
    list(&house.state_dir().join("journal")).unwrap().into_iter().map(|file| file.path).collect()
}

fn drop_index(house: &House) {
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
}

fn all(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

fn found(spool: &Spool, words: &str) -> bool {
    spool.findings().iter().any(|it| it.kind == FindingKind::Damage && it.text.contains(words))
}

/// A closed store with so many punches in groups of ten, in several segments.
async fn filled(house: &House, punches: u32) {
    fill(house, 0..punches).await;
}

#[tokio::test]
async fn a_stub_that_says_nothing_costs_no_segment() {
    for junk in [&b""[..], b"PGjrnl", &[0; 48], &[7; 500]] {
        let house = House::new();
        filled(&house, 200).await;
        let segment = files(&house)[1].clone();
        fs::write(segment.with_extension("ids"), junk).unwrap();
        let spool = house.open();
        assert!(found(&spool, "00000002.ids"), "{:?}", spool.findings());
        assert_eq!(house.quarantined().len(), 1);
        let mut outbox = spool.outbox("mqtt");
        assert_eq!(numbers(&drain(&mut outbox, 200).await, "door").len(), 200, "{junk:?}");
    }
}

/// Delivers all that waits and retires the first segment, of which a copy is given back.
async fn retire_first(house: &House) -> (PathBuf, Vec<u8>) {
    let first = files(house)[0].clone();
    let bytes = fs::read(&first).unwrap();
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for segment in drain(&mut outbox, undelivered(&spool)).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    until_retired(house, &spool, &mut outbox, 1).await;
    drop(outbox);
    spool.close().await;
    assert!(!first.exists() && first.with_extension("ids").exists());
    (first, bytes)
}

async fn fill(house: &House, numbers: std::ops::Range<u32>) {
    let spool = house.open();
    for n in numbers.step_by(10) {
        put(&spool, "door", log(n..n + 10)).await;
    }
    spool.close().await;
}

/// Two branches of one store went on from a copy, and somebody put what is left of a segment of one beside the segment of the
/// other, which nobody has got yet.
#[tokio::test]
async fn a_stub_of_another_branch_costs_no_segment() {
    // A copy knows that it is one and begins new ledgers; without its lock file it gives the same numbers to other punches.
    for (locked, repaired) in [(true, false), (false, false), (false, true)] {
        let (house, branch) = (House::new(), House::new());
        fill(&house, 0..10).await;
        copy(&house.state_dir(), &branch.state_dir());
        if !locked {
            fs::remove_file(branch.state_dir().join("journal/lock")).unwrap();
        }
        fill(&branch, 1000..1300).await;
        let stub = retire_first(&branch).await.0.with_extension("ids");
        fill(&house, 2000..2300).await;
        fs::copy(&stub, files(&house)[0].with_extension("ids")).unwrap();
        let report = verify(&house.state_dir()).unwrap();
        assert!(report.faults.iter().any(|it| it.what.contains("not what is left of 00000001.seg")), "{report:?}");
        if repaired {
            repair(&house.state_dir(), false).unwrap();
        }
        let spool = house.open();
        assert!(repaired || found(&spool, "00000001.ids is not what is left"), "{:?}", spool.findings());
        assert_eq!(house.quarantined().len(), 1, "{:?}", house.quarantined());
        let mut outbox = spool.outbox("mqtt");
        assert_eq!(numbers(&drain(&mut outbox, 310).await, "door").len(), 310);
        assert_eq!(house.persons("door"), [all(0..10), all(2000..2300)].concat());
    }
}

#[tokio::test]
async fn a_retirement_that_was_cut_off_is_finished_and_what_cannot_be_read_is_kept() {
    let house = House::new();
    fill(&house, 0..300).await;
    let (segment, mut bytes) = retire_first(&house).await;
    fs::write(&segment, &bytes).unwrap();
    assert!(verify(&house.state_dir()).unwrap().is_whole());
    let spool = house.open();
    assert_eq!((spool.findings(), segment.exists(), house.quarantined().len()), (vec![], false, 0));
    spool.close().await;
    bytes[3000] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let spool = house.open();
    assert!(found(&spool, "was retired, and not all of it can be read"), "{:?}", spool.findings());
    assert_eq!((segment.exists(), house.quarantined().len()), (false, 1));
    assert!(verify(&house.state_dir()).unwrap().is_whole());
}

#[tokio::test]
async fn segments_under_wrong_names_go_back_to_their_places() {
    type Muddle = fn(&[PathBuf]);
    let muddles: [(&str, Muddle); 4] = [
        ("swapped", |files| {
            let aside = files[0].with_extension("x");
            for (from, to) in [(&files[1], &aside), (&files[2], &files[1]), (&aside, &files[2])] {
                fs::rename(from, to).unwrap();
            }
        }),
        ("in a ring", |files| {
            let aside = files[0].with_extension("x");
            for (from, to) in [(&files[0], &aside), (&files[1], &files[0]), (&files[2], &files[1]), (&aside, &files[2])]
            {
                fs::rename(from, to).unwrap();
            }
        }),
        ("the last one", |files| fs::rename(&files[files.len() - 1], files[0].with_file_name("00000070.seg")).unwrap()),
        ("one in the middle", |files| fs::rename(&files[1], files[0].with_file_name("00000070.seg")).unwrap()),
    ];
    for (how, muddle) in muddles {
        for indexed in [true, false] {
            let house = House::new();
            filled(&house, 600).await;
            let before = files(&house);
            assert!(before.len() > 3);
            muddle(&before);
            if !indexed {
                drop_index(&house);
            }
            let spool = house.open();
            assert!(found(&spool, "under a wrong name"), "{how}: {:?}", spool.findings());
            let mut outbox = spool.outbox("mqtt");
            assert_eq!(numbers(&drain(&mut outbox, 600).await, "door"), (1..=600).collect::<Vec<u64>>(), "{how}");
            assert_eq!(put(&spool, "door", log(600..601)).await.new, 1);
            assert_eq!(house.persons("door"), all(0..601), "{how}");
            assert_eq!(house.quarantined(), Vec::<String>::new(), "{how}");
        }
    }
    // A second file of a place that is taken stays a stranger.
    let house = House::new();
    filled(&house, 600).await;
    let before = files(&house);
    fs::copy(&before[1], before[0].with_file_name("00000070.seg")).unwrap();
    let spool = house.open();
    assert!(found(&spool, "not of this place"), "{:?}", spool.findings());
    assert_eq!(house.persons("door"), all(0..600));
}

#[tokio::test]
async fn a_damaged_beginning_costs_no_more_than_it_hit() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..5)).await;
    drop(spool);
    // A segment of its own, with one group in it.
    let spool = house.open();
    put(&spool, "door", log(5..60)).await;
    drop(spool);
    let last = files(&house).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    for zeros in [30, 400] {
        let mut damaged = bytes.clone();
        damaged[..zeros].fill(0);
        fs::write(&last, &damaged).unwrap();
        if house.state_dir().join("index").exists() {
            drop_index(&house);
        }
        let spool = house.open();
        assert!(spool.status().ledgers.iter().map(|it| it.punches).sum::<u64>() >= 50, "{:?}", spool.findings());
        drop(spool);
    }
}

/// A store that was closed in order, has lost its end since, and has no index any more.
#[tokio::test]
async fn no_number_is_given_twice_when_nobody_knows_what_the_journal_lost() {
    let house = House::new();
    filled(&house, 200).await;
    let old = house.open();
    let ledger = old.status().ledgers[0].ledger.clone();
    old.close().await;
    fs::remove_file(files(&house).pop().unwrap()).unwrap();
    drop_index(&house);
    let spool = house.open();
    assert!(found(&spool, "punches behind that may be gone"), "{:?}", spool.findings());
    let kept = spool.status().ledgers[0].punches as usize;
    assert!((100..200).contains(&kept));
    assert_eq!(put(&spool, "door", log(0..200)).await, Stored { new: 200 - kept, twins: kept, set_aside: 0 });
    let ledgers = spool.status().ledgers;
    assert_eq!((ledgers.len(), &ledgers[0].ledger), (2, &ledger), "those that came again stand in another ledger");
    spool.close().await;
    let report = verify(&house.state_dir()).unwrap();
    assert!(!report.is_whole(), "the groups that are gone are missed for ever: {report:?}");
    assert!(!found(&house.open(), "punches behind that may be gone"), "it is told once");
}

/// The last group was durable, as the lock file of a closed store tells, or the index.
#[tokio::test]
async fn one_bad_bit_in_a_last_group_that_was_durable_costs_one_punch() {
    for (indexed, closed) in [(true, true), (false, true), (true, false)] {
        let house = House::new();
        let spool = house.open();
        put(&spool, "door", log(0..1)).await;
        let begin = spool.open.board.end.borrow().offset;
        put(&spool, "door", log(1..41)).await;
        let end = spool.open.board.end.borrow().offset;
        spool.close().await;
        if !closed {
            drop(house.open());
        }
        let path = files(&house)[0].clone();
        flip(&path, begin + (end - begin) / 2);
        if !indexed {
            drop_index(&house);
        }
        let spool = house.open();
        let status = spool.status();
        assert_eq!(status.ledgers[0].punches, 40, "{indexed} {closed}: {:?}", spool.findings());
        assert_eq!(status.ledgers[0].lost.len(), 1, "{indexed} {closed}");
        let mut outbox = spool.outbox("mqtt");
        let handed_out: BTreeSet<u64> = numbers(&drain(&mut outbox, 40).await, "door").into_iter().collect();
        assert_eq!((handed_out.len(), handed_out.last()), (40, Some(&41)), "{indexed} {closed}");
        // Without an index nobody knows whether there was one more behind the last that can be read.
        let stored = put(&spool, "door", log(0..41)).await;
        assert_eq!(stored.new, 1, "{indexed} {closed}");
        assert_eq!(spool.status().ledgers.len(), if indexed { 1 } else { 2 });
    }
}
