//! Disks that fail: what is refused, and how it goes on.

use std::io::ErrorKind;

use driver_api::{Batch, Flag, NotStored, SetAside};

use super::{damage::copy, *};
use crate::spool::{FindingKind, OpenError, SpoolTrouble, disk::faulty::Deed};

#[tokio::test]
async fn the_answer_comes_only_after_the_sync() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", live([1])).await;
    let before = house.disk.diary().len();
    put(&spool, "door", live([2, 3])).await;
    assert_eq!(
        house.disk.diary()[before..],
        [Deed::Write, Deed::Sync],
        "one write and one sync, and both before the answer"
    );
    house.disk.fail(&[Deed::Sync], ErrorKind::Other);
    let refused = within(spool.commit("door", "SN-door", &zone(), live([4]))).await;
    assert!(matches!(refused, Err(NotStored::DiskFailed(_))), "{refused:?}");
}

#[tokio::test]
async fn a_directory_is_synced_before_its_first_punch_is_acknowledged() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", live([1])).await;
    let diary = house.disk.diary();
    let created = diary.iter().position(|deed| *deed == Deed::Create).unwrap();
    let expected = [Deed::Create, Deed::Preallocate, Deed::Write, Deed::Sync, Deed::SyncDir, Deed::Write, Deed::Sync];
    assert_eq!(diary[created..], expected);
    assert!(diary[..created].contains(&Deed::SyncDir), "the directories' own names come first");
}

#[tokio::test]
async fn a_failed_sync_is_never_asked_again() {
    for failing in [Deed::Write, Deed::Sync] {
        let house = House::new();
        let spool = house.open();
        put(&spool, "door", log(0..5)).await;
        house.disk.fail(&[failing], ErrorKind::Other);
        let refused = within(spool.commit("door", "SN-door", &zone(), log(5..9))).await;
        assert!(matches!(refused, Err(NotStored::DiskFailed(_))));
        assert!(matches!(spool.troubles()[..], [SpoolTrouble::DiskFailed(_)]));
        house.disk.work();
        let before = house.disk.diary().len();
        assert_eq!(put(&spool, "door", log(3..9)).await, Stored { new: 4, twins: 2, set_aside: 0 });
        let since = &house.disk.diary()[before..];
        assert_eq!(since[..3], [Deed::Open, Deed::Truncate, Deed::Sync], "a new descriptor, cut to what is durable");
        assert_eq!(since[3], Deed::Create, "and the segment is written to no more");
        assert_eq!(spool.troubles(), []);
        assert!(spool.findings().iter().any(|finding| finding.kind == FindingKind::DiskRecovered));
        assert_eq!(house.persons("door"), (0..9).map(|n| n.to_string()).collect::<Vec<_>>());
        drop(spool);
        house.open();
        assert_eq!(house.persons("door").len(), 9);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let house = House::new();
    let spool = house.open();
    let mut changes = spool.changes();
    put(&spool, "door", log(0..5)).await;
    house.disk.set_free(Some(1000));
    assert_eq!(within(spool.commit("door", "SN-door", &zone(), log(5..9))).await, Err(NotStored::DiskFull));
    assert!(matches!(spool.troubles()[..], [SpoolTrouble::DiskFull(_)]));
    // What is on disk already may be acknowledged all the same.
    assert_eq!(put(&spool, "door", log(0..5)).await.twins, 5);
    changes.borrow_and_update();
    house.disk.set_free(None);
    // Nobody commits: it looks again by itself.
    within(changes.changed()).await.unwrap();
    assert_eq!(spool.troubles(), []);
    assert_eq!(put(&spool, "door", log(0..9)).await.new, 4);
}

#[tokio::test]
async fn no_room_for_a_new_segment_refuses_and_recovers() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..60)).await;
    house.disk.fail(&[Deed::Preallocate], ErrorKind::StorageFull);
    let mut stored = 60;
    let refused = loop {
        match within(spool.commit("door", "SN-door", &zone(), log(stored..stored + 20))).await {
            Ok(_) => stored += 20,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, NotStored::DiskFull);
    house.disk.work();
    put(&spool, "door", log(0..stored + 20)).await;
    assert_eq!(house.persons("door"), (0..stored + 20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_daemons_cannot_open_one_store() {
    let house = House::new();
    let spool = house.open();
    assert!(matches!(Spool::open(&house.settings()), Err(OpenError::InUse(_))));
    spool.close().await;
    Spool::open(&house.settings()).unwrap();
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let house = House::new();
    let spool = house.open();
    let other = spool.clone();
    put(&spool, "door", live([1])).await;
    spool.close().await;
    assert_eq!(within(other.commit("door", "SN-door", &zone(), live([2]))).await, Err(NotStored::Closed));
}

#[tokio::test]
async fn another_serial_begins_another_ledger_and_the_old_one_goes_on_when_it_returns() {
    let house = House::new();
    let spool = house.open();
    for serial in ["A", "B", "C", "A"] {
        let n = if serial == "A" { spool.holdings("door", "A").punches as u32 } else { 0 };
        within(spool.commit("door", serial, &zone(), log([n]))).await.unwrap();
    }
    assert_eq!((spool.booked_under("door").as_deref(), spool.booked_under("gate")), (Some("A"), None));
    let ledgers: Vec<_> = spool.status().ledgers;
    let told: Vec<_> = ledgers.iter().map(|it| (it.ledger.serial.as_str(), it.next)).collect();
    assert_eq!(told, [("A", 3), ("B", 2), ("C", 2)]);
    assert!(ledgers[0].ledger.begun < ledgers[1].ledger.begun && ledgers[1].ledger.begun < ledgers[2].ledger.begun);
}

#[tokio::test]
async fn a_record_set_aside_is_kept_once() {
    let house = House::new();
    let spool = house.open();
    let aside = |nth| SetAside { raw: vec![7; 40], reason: "no such month".into(), nth };
    let batch = Batch { set_aside: vec![aside(1), aside(2), aside(1)], ..Batch::default() };
    assert_eq!(put(&spool, "door", batch.clone()).await.set_aside, 2);
    drop(spool);
    let spool = house.open();
    assert_eq!(put(&spool, "door", batch).await.set_aside, 0);
    assert_eq!(spool.holdings("door", "SN-door").set_aside, 2);
    let mut monster = punch(1, Origin::Live);
    monster.person = "7".repeat(100_000);
    assert_eq!(put(&spool, "door", vec![monster].into()).await, Stored { new: 0, twins: 0, set_aside: 1 });
}

#[tokio::test]
async fn twins_are_dropped_within_a_batch_across_batches_and_across_starts() {
    let house = House::new();
    let spool = house.open();
    assert_eq!(put(&spool, "door", live([1, 2, 1])).await, Stored { new: 2, twins: 1, set_aside: 0 });
    let (one, two) = tokio::join!(put(&spool, "door", log(0..9)), put(&spool, "door", log(0..9)));
    assert_eq!((one.new + two.new, one.twins + two.twins), (7, 11));
    let mut second = punch(1, Origin::Reread);
    second.nth = 2;
    assert_eq!(put(&spool, "door", vec![second.clone()].into()).await.new, 1, "two in one second both live");
    spool.close().await;
    let spool = house.open();
    assert_eq!(put(&spool, "door", vec![second].into()).await.twins, 1);
    assert_eq!(put(&spool, "door", log(0..10)).await, Stored { new: 1, twins: 9, set_aside: 0 });
    let last = exported(&house.state_dir()).map(|it| it.1).find(|it| it.flags == [Flag::DuplicateSecond]);
    assert_eq!(last.unwrap().person, "1");
    assert_eq!(spool.status().twins_dropped, 10);
}

#[tokio::test]
async fn a_hundred_thousand_ids_in_one_second_are_no_burden() {
    // The clock of this terminal stands still at its first second.
    let house = House::new();
    let spool = house.open();
    let still = |n: u32| driver_api::Punch { local: date(2000, 1, 1).at(0, 0, 0, 0), ..punch(n, Origin::Backfill) };
    let batch: Batch = (0..5000).map(still).collect::<Vec<_>>().into();
    assert_eq!(put(&spool, "door", batch.clone()).await.new, 5000);
    spool.close().await;
    assert_eq!(put(&house.open(), "door", batch).await.twins, 5000);
}

#[tokio::test]
async fn a_store_whose_index_cannot_be_made_opens_delivers_and_refuses_until_it_can() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..30)).await;
    drop(spool);
    // As after a power cut, so that the index is not believed; and no room to move it out of the way.
    say(&house.state_dir(), |lock| lock["open_in_boot"] = "an earlier one".into());
    house.disk.fail(&[Deed::Rename], ErrorKind::StorageFull);
    let spool = house.open();
    assert!(matches!(spool.troubles()[..], [SpoolTrouble::IndexFailed(_)]), "{:?}", spool.troubles());
    let mut outbox = spool.outbox("mqtt");
    assert_eq!(numbers(&drain(&mut outbox, 30).await, "door"), (1..=30).collect::<Vec<u64>>());
    let refused = within(spool.commit("door", "SN-door", &zone(), log(30..31))).await;
    assert!(matches!(refused, Err(NotStored::DiskFailed(_))), "{refused:?}");
    let mut changes = spool.changes();
    house.disk.work();
    while !spool.troubles().is_empty() {
        within(changes.changed()).await.unwrap();
    }
    assert_eq!(put(&spool, "door", log(0..31)).await, Stored { new: 1, twins: 30, set_aside: 0 });
}

#[tokio::test]
async fn a_copy_of_a_store_begins_new_ledgers_and_knows_its_twins() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..5)).await;
    spool.close().await;
    let copy = House::new();
    let done = std::process::Command::new("cp").arg("-a").arg(house.state_dir()).arg(copy.state_dir()).status();
    assert!(done.unwrap().success());
    if std::fs::metadata(copy.state_dir()).unwrap().created().is_err() {
        return; // a file system that does not tell
    }
    let spool = copy.open();
    assert!(spool.findings().iter().any(|finding| finding.kind == FindingKind::Restored), "{:?}", spool.findings());
    assert_eq!(put(&spool, "door", log(0..7)).await, Stored { new: 2, twins: 5, set_aside: 0 });
    let told: Vec<_> = spool.status().ledgers.iter().map(|it| it.next).collect();
    assert_eq!(told, [6, 3], "the old ledger ends, and another begins");
    drop(spool);
    let again = copy.open();
    put(&again, "door", log(7..8)).await;
    assert_eq!(again.status().ledgers.len(), 2, "it is found out once");
}

/// As `cp -r`, `scp -r` and `tar x -m` do it: into the very files that are there, whose births stay.
#[tokio::test]
async fn an_old_copy_written_over_the_store_begins_new_ledgers() {
    for journal_alone in [false, true] {
        let house = House::new();
        let (state, backup) = (house.state_dir(), house.dir.path().join("backup"));
        let spool = house.open();
        put(&spool, "door", log(0..5)).await;
        spool.close().await;
        copy(&state, &backup);
        let spool = house.open();
        put(&spool, "door", log(5..9)).await;
        let ledger = spool.status().ledgers[0].ledger.clone();
        spool.close().await;
        std::thread::sleep(Duration::from_millis(50)); // nobody is so quick
        if journal_alone {
            std::fs::remove_dir_all(state.join("index")).unwrap();
            copy(&backup.join("journal"), &state.join("journal"));
        } else {
            copy(&backup, &state);
        }
        let spool = house.open();
        assert!(spool.findings().iter().any(|it| it.kind == FindingKind::Restored), "{:?}", spool.findings());
        assert_eq!(put(&spool, "door", log(20..24)).await.new, 4);
        let ledgers = spool.status().ledgers;
        assert_eq!((ledgers[0].ledger.clone(), ledgers[0].next), (ledger, 6), "6 to 9 were given away already");
        assert_eq!((ledgers.len(), ledgers[1].next), (2, 5));
        spool.close().await;
        assert!(!house.open().findings().iter().any(|it| it.kind == FindingKind::Restored), "it is told once");
    }
}
