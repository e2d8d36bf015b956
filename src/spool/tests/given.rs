//! A number that was given is never given again, whatever became of its record.

use std::fs;

use jiff::civil::date;

use super::{damage::flip, repair::segments, *};
use crate::{
    outbox::Outbox,
    spool::{FindingKind, Verdict, prove, repair},
};

/// A closed store in which ten punches of the door, and then ten of the gate, were delivered.
async fn delivered() -> House {
    let house = House::new();
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for terminal in ["door", "gate"] {
        put(&spool, terminal, log(0..10)).await;
        for segment in drain(&mut outbox, 10).await {
            outbox.confirm(&segment.ledger, segment.first(), segment.last());
        }
    }
    drop(outbox);
    spool.close().await;
    house
}

/// Flips a bit in the last punch of a terminal.
fn damage_last(house: &House, terminal: &str) {
    let (_, last) = exported(&house.state_dir()).filter(|(ledger, _)| ledger.terminal == terminal).last().unwrap();
    let path = segments(house).remove(0);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(16).position(|window| window == last.id.0).unwrap();
    flip(&path, at as u64);
}

fn without_index(house: &House) {
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
}

/// One more punch of a terminal, as it is handed out: its ledger and its number.
async fn next_punch(spool: &Spool, terminal: &str) -> (i64, u64) {
    let mut outbox = spool.outbox("mqtt");
    let before = undelivered(spool);
    assert_eq!(put(spool, terminal, log(5000..5001)).await.new, 1);
    let segments = drain(&mut outbox, before + 1).await;
    let is_it = |segment: &&Segment| {
        segment.ledger.terminal == terminal && segment.entries.iter().any(|entry| entry.person == "5000")
    };
    let segment = segments.iter().find(is_it).expect("it is handed out");
    (segment.ledger.begun, segment.last())
}

fn begun(house: &House, terminal: &str) -> i64 {
    verify(&house.state_dir()).unwrap().ledgers.iter().find(|it| it.terminal == terminal).unwrap().ledger
}

fn is_sure(house: &House, terminal: &str) -> bool {
    prove(&house.state_dir(), terminal, date(2026, 11, 20)).unwrap().is_whole()
}

#[tokio::test]
async fn the_number_of_a_damaged_last_punch_is_not_given_again() {
    for repaired in [false, true] {
        let house = delivered().await;
        let old = begun(&house, "door");
        damage_last(&house, "door");
        without_index(&house);
        let report = verify(&house.state_dir()).unwrap();
        let door = report.ledgers.iter().find(|it| it.terminal == "door").unwrap();
        assert_eq!((door.last, door.missing[0].first, door.missing[0].last), (10, 10, 10), "it was delivered");
        assert!(report.notes.iter().any(|note| note.starts_with("nothing of door stands behind")), "{report:?}");
        if repaired {
            let report = repair(&house.state_dir(), false).unwrap();
            assert_eq!(
                (report.losses[0].first, report.losses[0].last, &report.ended[..]),
                (10, 10, &["door".into()][..])
            );
        }
        let spool = house.open();
        let (ledger, number) = next_punch(&spool, "door").await;
        assert!(ledger != old && number == 1, "repaired: {repaired}");
        assert_eq!(spool.status().ledgers.iter().find(|it| it.ledger.begun == old).unwrap().lost, [(10, 10)]);
        spool.close().await;
        assert!(!is_sure(&house, "door") && is_sure(&house, "gate") == repaired);
    }
}

#[tokio::test]
async fn a_ledger_whose_last_numbers_may_have_stood_in_damage_ends() {
    for repaired in [false, true] {
        let house = House::new();
        let spool = house.open();
        for terminal in ["door", "gate"] {
            put(&spool, terminal, log(0..10)).await;
        }
        spool.close().await;
        let old = [begun(&house, "door"), begun(&house, "gate")];
        damage_last(&house, "door");
        without_index(&house);
        if repaired {
            let report = repair(&house.state_dir(), false).unwrap();
            assert_eq!((report.losses.len(), &report.ended[..]), (0, &["door".to_owned()][..]), "{report:?}");
        }
        let spool = house.open();
        assert_ne!(next_punch(&spool, "door").await.0, old[0]);
        assert_eq!(next_punch(&spool, "gate").await, (old[1], 11), "it goes on behind the damage");
        spool.close().await;
        assert!(!is_sure(&house, "door"));
    }
}

#[tokio::test]
async fn the_place_of_a_ledger_that_nothing_names_is_not_given_again() {
    for repaired in [false, true] {
        let house = delivered().await;
        let path = segments(&house).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let name = bytes.windows(7).position(|window| window == b"SN-gate").unwrap();
        let groups: Vec<_> = bytes.windows(4).enumerate().filter(|(_, it)| *it == b"PGgp").map(|(at, _)| at).collect();
        let nth = groups.iter().rposition(|at| *at < name).unwrap();
        bytes[groups[nth]..groups[nth + 1]].fill(0xff);
        fs::write(&path, bytes).unwrap();
        without_index(&house);
        let note = "punches up to 10 of ledger 2 of this journal were delivered";
        assert!(verify(&house.state_dir()).unwrap().notes.iter().any(|it| it.starts_with(note)));
        if repaired {
            let report = repair(&house.state_dir(), false).unwrap();
            assert!(report.nameless[0].starts_with(note) && report.losses.is_empty(), "{report:?}");
        }
        let spool = house.open();
        assert!(spool.findings().iter().any(|it| it.kind == FindingKind::Damage && it.text.starts_with(note)));
        // The index knows it as well.
        spool.close().await;
        let spool = house.open();
        assert_eq!(next_punch(&spool, "shed").await.1, 1);
        spool.close().await;
        assert!(!is_sure(&house, "door"), "they may have been the door's");
    }
}

#[tokio::test]
async fn segments_alone_do_not_tell_how_far_their_ledgers_went() {
    let house = delivered().await;
    let old = begun(&house, "door");
    without_index(&house);
    fs::remove_file(house.state_dir().join("journal/lock")).unwrap();
    let spool = house.open();
    assert_ne!(next_punch(&spool, "door").await.0, old);
    spool.close().await;
    let report = verify(&house.state_dir()).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole, "{report:?}");
    assert!(!is_sure(&house, "gate"), "it may have had more");
}

#[tokio::test]
async fn ids_that_are_gone_leave_it_open_how_far_a_ledger_went() {
    for repaired in [false, true] {
        let house = House::new();
        let spool = house.open();
        let mut outbox = spool.outbox("mqtt");
        put(&spool, "gate", log(0..10)).await;
        for n in (0..600).step_by(10) {
            put(&spool, "door", log(n..n + 10)).await;
        }
        for segment in drain(&mut outbox, 610).await {
            outbox.confirm(&segment.ledger, segment.first(), segment.last());
        }
        until_retired(&house, &spool, &mut outbox, 2).await;
        drop(outbox);
        spool.close().await;
        let old = [begun(&house, "door"), begun(&house, "gate")];
        fs::remove_file(house.state_dir().join("journal/00000002.ids")).unwrap();
        without_index(&house);
        if repaired {
            assert_eq!(repair(&house.state_dir(), false).unwrap().ended, ["gate"]);
        }
        let spool = house.open();
        assert_ne!(next_punch(&spool, "gate").await.0, old[1]);
        assert_eq!(next_punch(&spool, "door").await.0, old[0]);
        spool.close().await;
        assert!(!is_sure(&house, "gate") && !is_sure(&house, "door"));
    }
}

#[tokio::test]
async fn punches_before_the_name_of_their_ledger_are_not_lost() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..10)).await;
    put(&spool, "gate", log(0..10)).await;
    put(&spool, "door", log(10..20)).await;
    spool.close().await;
    // The first name of the door; it is named once more with its second punches.
    let path = segments(&house).remove(0);
    let at = fs::read(&path).unwrap().windows(7).position(|window| window == b"SN-door").unwrap();
    flip(&path, at as u64);
    without_index(&house);
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    assert_eq!(numbers(&drain(&mut outbox, 30).await, "door"), (1..=20).collect::<Vec<u64>>());
    assert!(spool.status().ledgers.iter().all(|it| it.lost.is_empty()), "{:?}", spool.status().ledgers);
    assert_eq!(put(&spool, "door", log(0..20)).await, Stored { new: 0, twins: 20, set_aside: 0 });
    drop(outbox);
    spool.close().await;
}
