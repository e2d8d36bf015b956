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
