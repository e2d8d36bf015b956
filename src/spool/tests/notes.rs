//! Notes live as punches do: over a crash, a lost index, a retired segment.

use std::time::Duration;

use super::*;
use crate::outbox::Outbox;
use crate::spool::{Note, NoteKind};

fn bodies(notes: &[Note]) -> Vec<(&str, &[u8])> {
    let mut found: Vec<_> = notes.iter().map(|note| (note.key.as_str(), &note.body[..])).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_note_is_there_after_a_crash_without_an_index_and_after_its_segment_was_retired() {
    let mut house = House::new();
    house.retention = Duration::ZERO;
    let spool = house.open();
    spool.note(NoteKind::Command, "a", b"accepted".to_vec()).await.unwrap();
    spool.note(NoteKind::Command, "b", b"accepted".to_vec()).await.unwrap();
    spool.note(NoteKind::Lockdown, "a", b"x".to_vec()).await.unwrap();
    spool.note(NoteKind::Command, "a", b"done".to_vec()).await.unwrap();
    let expected = [("a", &b"done"[..]), ("b", b"accepted")];
    assert_eq!(bodies(&spool.notes(NoteKind::Command).await.unwrap()), expected);
    assert_eq!(spool.noted(NoteKind::Command, "c").unwrap(), None);
    drop(spool); // as a crash leaves it

    let spool = house.open();
    assert_eq!(bodies(&spool.notes(NoteKind::Command).await.unwrap()), expected);
    drop(spool);

    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    assert_eq!(bodies(&spool.notes(NoteKind::Command).await.unwrap()), expected);
    assert_eq!(spool.noted(NoteKind::Lockdown, "a").unwrap().unwrap().body, b"x");
    // Fill segments, and deliver all, so that the first ones may go.
    let mut outbox = spool.outbox("mqtt");
    for n in 0..40 {
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
    }
    for segment in drain(&mut outbox, 400).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    until_retired(&house, &spool, &mut outbox, 1).await;
    drop(outbox);
    spool.close().await;
    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    assert_eq!(bodies(&spool.notes(NoteKind::Command).await.unwrap()), expected);
}

#[tokio::test]
async fn what_the_disk_refuses_is_not_noted() {
    let house = House::new();
    let spool = house.open();
    assert!(spool.note(NoteKind::Command, "a", vec![0; 1 << 20]).await.is_err());
    assert!(spool.noted(NoteKind::Command, "a").unwrap().is_none());
}

#[tokio::test]
async fn of_conditions_only_the_newest_stay_and_what_is_over_does_not_come_back() {
    let mut house = House::new();
    house.retention = Duration::ZERO;
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    let wrong = |n: u32| vec![b'x'; 100 + n as usize];
    for n in 0..120 {
        spool.note(NoteKind::Condition, "flaps", wrong(n)).await.unwrap();
        match n {
            0 => spool.note(NoteKind::Condition, "ends", wrong(n)).await.unwrap(),
            60 => spool.note(NoteKind::Condition, "ends", vec![]).await.unwrap(),
            _ => {}
        }
        put(&spool, "door", log(n * 10..n * 10 + 10)).await;
        // Before it is over a stub holds that it is not; and then all goes that may.
        if n == 39 || n == 119 {
            for segment in drain(&mut outbox, if n == 39 { 400 } else { 800 }).await {
                outbox.confirm(&segment.ledger, segment.first(), segment.last());
            }
            let report = verify(&house.state_dir()).unwrap();
            let all = if n == 39 { 1 } else { report.retired_segments + report.segments - 1 };
            until_retired(&house, &spool, &mut outbox, all).await;
        }
    }
    drop(outbox);
    spool.close().await;
    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    let notes = spool.notes(NoteKind::Condition).await.unwrap();
    assert_eq!(bodies(&notes), [("ends", &b""[..]), ("flaps", &wrong(119)[..])]);
    let stubs = std::fs::read_dir(house.state_dir().join("journal")).unwrap().map(|file| file.unwrap().path());
    let stubs: Vec<_> = stubs.filter(|path| path.extension().is_some_and(|it| it == "ids")).collect();
    let holds = |path: &&std::path::PathBuf| std::fs::read(path).unwrap().windows(100).any(|it| it == [b'x'; 100]);
    let holding = stubs.iter().filter(holds).count();
    assert!(holding <= 2 && stubs.len() > holding, "{holding} of {} stubs hold conditions", stubs.len());
}

/// The same punches by other names, with those that they had before.
fn renamed(numbers: std::ops::Range<u32>) -> Batch {
    let mut batch = log(numbers);
    for punch in &mut batch.punches {
        let now = format!("now-{}", punch.person);
        let before = std::mem::replace(&mut punch.person, now);
        batch.former.insert(punch.person.clone(), vec!["never".into(), before]);
    }
    batch
}

#[tokio::test]
async fn a_punch_that_is_there_under_a_former_name_is_a_twin() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..5)).await;
    let stored = put(&spool, "door", renamed(0..8)).await;
    assert_eq!((stored.twins, stored.new), (5, 3));
    // Before the first is durable, and after the index was lost.
    let mut both = log(10..12);
    let later = renamed(10..12);
    both.punches.extend(later.punches);
    both.former = later.former;
    let stored = put(&spool, "door", both).await;
    assert_eq!((stored.twins, stored.new), (2, 2));
    spool.note(NoteKind::Driver, "names", b"old".to_vec()).await.unwrap();
    spool.note(NoteKind::Driver, "names", b"new".to_vec()).await.unwrap();
    spool.close().await;
    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    assert_eq!(spool.noted(NoteKind::Driver, "names").unwrap().unwrap().body, b"new");
    let stored = put(&spool, "door", renamed(0..12)).await;
    assert_eq!((stored.twins, stored.new), (10, 2));
}
