//! Stores that lost something, or that gave something away long ago: nobody shall read there that all is as it was.

use std::fs;

use jiff::civil::{DateTime, date};

use super::{
    damage::flip,
    repair::{held, nth_group, segments, store},
    *,
};
use crate::{
    inquiry::{Question, Site, Trail},
    outbox::Outbox,
    spool::{self, Doubtful, Proof, Verdict, prove, trace, verify},
};

/// Leaves a closed store as its daemon's death would; `boot`: in which run of the kernel.
fn killed(house: &House, boot: &str) {
    say(&house.state_dir(), |lock| {
        lock["open_in_boot"] = boot.into();
        lock["last_group"] = serde_json::Value::Null;
    });
}

fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

fn why(house: &House, person: &str, at: DateTime, terminal: &str) -> Trail {
    let question = Question { person: person.into(), at, within_s: 1800, terminal: Some(terminal.into()) };
    trace(&house.state_dir(), &question, &Site::default(), jiff::Timestamp::now()).unwrap()
}

/// By a terminal's own clock, as `punch` has it.
fn wall(n: u32) -> DateTime {
    date(2026, 11, 20).at(8, 0, 0, 0) + jiff::SignedDuration::from_secs(i64::from(n) * 7)
}

fn proof(house: &House, terminal: &str, day: i8) -> Proof {
    prove(&house.state_dir(), terminal, date(2026, 11, day)).unwrap()
}

/// A store of which the first files were delivered and retired.
async fn retired(files: usize) -> (House, Spool) {
    let house = House::new();
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for n in 0..90 {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
    }
    let segments = drain(&mut outbox, 900).await;
    outbox.confirm(&ledger_of(&segments), 1, 900);
    until_retired(&house, &spool, &mut outbox, files).await;
    (house, spool)
}

#[tokio::test]
async fn a_store_whose_last_file_is_gone_tells_whose_numbers_stood_in_it() {
    for how in ["closed", "killed"] {
        let house = store().await;
        if how == "killed" {
            killed(&house, &this_boot());
        }
        assert!(verify(&house.state_dir()).unwrap().is_whole(), "{how}");
        let before = held(&house);
        fs::remove_file(segments(&house).last().unwrap()).unwrap();
        let mut gone: Vec<_> = before.difference(&held(&house)).map(|(name, seq, _)| (name.clone(), *seq)).collect();
        gone.sort();

        let report = verify(&house.state_dir()).unwrap();
        assert_eq!((report.verdict(), report.faults.len()), (Verdict::Damaged, 1), "{how}: {report:?}");
        let said = if how == "closed" { "when it was closed" } else { "the daemon's index knows group" };
        assert!(report.faults[0].what.contains(said), "{how}: {:?}", report.faults);
        let each = report.ledgers.iter().flat_map(|it| it.missing.iter().map(move |hole| (it, hole)));
        let told = each.flat_map(|(it, hole)| (hole.first..=hole.last).map(|seq| (it.terminal.clone(), seq)));
        assert_eq!(told.collect::<Vec<_>>(), gone, "{how}");

        let trail = why(&house, "699", wall(699), "door");
        assert_eq!((trail.unreadable, trail.found.len()), (1, 0), "{how}: {trail:?}");
        let (first, last) = (gone.iter().find(|it| it.0 == "door").unwrap().1, 700);
        assert_eq!(trail.terminals[0].lost, [(first, last)], "{how}");
    }
}

#[tokio::test]
async fn where_nobody_knows_the_end_nobody_reads_that_nothing_is_missing() {
    for how in ["another boot", "no index", "garbage"] {
        let house = store().await;
        killed(&house, &if how == "another boot" { "an earlier one".to_owned() } else { this_boot() });
        let index = house.state_dir().join("index");
        match how {
            "no index" => fs::remove_dir_all(&index).unwrap(),
            "garbage" => fs::write(index.join("db"), [0x5a; 70_000]).unwrap(),
            _ => {}
        }
        fs::remove_file(segments(&house).last().unwrap()).unwrap();
        let report = verify(&house.state_dir()).unwrap();
        let said = "whether something is missing behind its last group is not known";
        assert!(report.notes.iter().any(|note| note.contains(said)), "{how}: {report:?}");
    }
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..5)).await;
    let report = verify(&house.state_dir()).unwrap();
    assert_eq!((report.in_use, report.notes), (true, vec![]), "who has it open knows its end");
}

#[tokio::test]
async fn a_damaged_last_group_of_a_daemon_that_was_killed_is_no_unfinished_write() {
    for how in ["closed", "killed"] {
        let house = House::new();
        let spool = house.open();
        for n in 0..10 {
            put(&spool, "door", log(n * 10..n * 10 + 10)).await;
        }
        spool.close().await;
        let path = segments(&house).pop().unwrap();
        if how == "killed" {
            killed(&house, &this_boot());
        }
        flip(&path, nth_group(&path, 9) + 300);
        let report = verify(&house.state_dir()).unwrap();
        assert_eq!((report.faults.len(), report.punches, report.unfinished_bytes), (1, 99, 0), "{how}: {report:?}");
        assert!(report.faults[0].what.contains("fail their checksum"), "{how}: {report:?}");
        assert_eq!(report.ledgers[0].missing.len(), 1, "{how}: {report:?}");

        let trail = why(&house, "99", wall(99), "door");
        assert_eq!((trail.unreadable, trail.found.len()), (1, 1), "{how}: its whole records are found: {trail:?}");

        assert!(spool::repair(&house.state_dir(), false).unwrap().done, "{how}");
        let report = verify(&house.state_dir()).unwrap();
        assert_eq!((report.faults.len(), report.punches), (0, 99), "{how}: {report:?}");
    }
}

#[tokio::test]
async fn what_retention_took_is_told_as_that_and_not_as_never_punched() {
    let (house, spool) = retired(1).await;
    // Its first punches: 7 s apart, all within half an hour of the first.
    let trail = why(&house, "3", wall(3), "door");
    let around = &trail.terminals[0];
    let kept = persons(&house.state_dir(), "door").len() as u64;
    assert_eq!(trail.retired, 900 - kept, "{trail:?}");
    let within = (0..900)
        .filter(|n| Question { person: String::new(), at: wall(3), within_s: 1800, terminal: None }.covers(wall(*n)));
    assert_eq!(around.punches + around.retired, within.count() as u64, "{trail:?}");
    assert!(around.retired > 0 && around.lost.is_empty(), "{trail:?}");
    // Who punched before is a neighbour all the same.
    let later = why(&house, "nobody", wall(0) + jiff::SignedDuration::from_hours(20), "door");
    assert_eq!((later.terminals[0].retired, later.terminals[0].before), (0, Some(wall(899))), "{later:?}");
    spool.close().await;
}

#[tokio::test]
async fn a_proof_says_when_its_count_may_not_be_whole() {
    for how in ["closed", "killed"] {
        let house = store().await;
        if how == "killed" {
            killed(&house, &this_boot());
        }
        let whole = proof(&house, "door", 20);
        assert!(whole.is_whole() && whole.punches == 700, "{how}: {whole:?}");
        fs::remove_file(segments(&house).last().unwrap()).unwrap();
        let told = proof(&house, "door", 20);
        let doubtful = Doubtful { ledger: whole.ledgers[0].ledger, first: told.punches + 1, last: Some(700) };
        assert_eq!((told.unreadable, told.end_lost, &told.doubtful[..]), (1, true, &[doubtful][..]), "{how}");
        assert!(!told.is_whole() && !proof(&house, "door", 21).is_whole(), "{how}");
        assert!(!proof(&house, "door", 19).is_whole(), "{how}: a log that was read late may have stood there");
    }
    let (house, spool) = retired(3).await;
    assert!(proof(&house, "door", 20).is_whole());
    assert!(!proof(&house, "nobody", 20).knows_terminal());
    spool.close().await;
    for gone in ["00000001.ids", "00000002.ids"] {
        let path = house.state_dir().join("journal").join(gone);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let told = proof(&house, "door", 20);
        assert_eq!((told.absent, told.is_whole()), (1, false), "{gone}: {told:?}");
        let missing: u64 = told.doubtful.iter().map(|it| it.last.unwrap() + 1 - it.first).sum();
        assert_eq!(told.punches + missing + told.ledgers[0].missing, 900, "{gone}: {told:?}");
        fs::write(&path, kept).unwrap();
    }
}

#[tokio::test]
async fn a_hole_between_punches_of_one_day_may_have_held_any_other() {
    let house = House::new();
    let spool = house.open();
    // Live punches of the 20th, and between them the log of another day, which was read late.
    for from in [0, 30_000, 100] {
        put(&spool, "door", log(from..from + 10)).await;
    }
    spool.close().await;
    assert_eq!((proof(&house, "door", 22).punches, proof(&house, "door", 22).is_whole()), (10, true));
    let path = segments(&house).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[nth_group(&path, 1) as usize..nth_group(&path, 2) as usize].fill(0xff);
    fs::write(&path, bytes).unwrap();
    for repaired in [false, true] {
        if repaired {
            spool::repair(&house.state_dir(), false).unwrap();
        }
        let told = proof(&house, "door", 22);
        let doubtful =
            Doubtful { ledger: verify(&house.state_dir()).unwrap().ledgers[0].ledger, first: 11, last: Some(20) };
        assert_eq!((told.punches, &told.doubtful[..], told.is_whole()), (0, &[doubtful][..], false));
    }
}

#[tokio::test]
async fn damage_and_the_group_that_stood_in_it_are_one_place() {
    let house = store().await;
    let path = segments(&house)[1].clone();
    flip(&path, nth_group(&path, 3) + 300);
    assert_eq!(verify(&house.state_dir()).unwrap().faults.len(), 1);
    assert_eq!(why(&house, "nobody", wall(0), "door").unreadable, 1);
    assert_eq!(proof(&house, "door", 20).unreadable, 1);
}

#[tokio::test]
async fn a_bad_record_that_came_late_is_told_for_the_time_before() {
    let house = House::new();
    let spool = house.open();
    let aside = driver_api::SetAside { raw: vec![0xff; 8], reason: "no date".into(), nth: 1 };
    put(&spool, "door", Batch { set_aside: vec![aside], ..Batch::default() }).await;
    // It is kept now, which is years from here.
    let trail = why(&house, "7", date(2019, 5, 6).at(8, 0, 0, 0), "door");
    assert_eq!((trail.terminals[0].set_aside, trail.terminals[0].set_aside_all), (0, 1), "{trail:?}");
    spool.close().await;
}
