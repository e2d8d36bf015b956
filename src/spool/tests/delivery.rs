//! The outbox, and what is retired behind it.

use super::*;
use crate::{
    outbox::Outbox,
    spool::{Filter, scanner::Scanner},
};

#[tokio::test]
async fn a_live_punch_does_not_wait_behind_a_backlog() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..1000)).await;
    let mut outbox = spool.outbox("mqtt");
    let first = within(outbox.next()).await;
    assert_eq!((first.first(), first.last()), (1, 200), "a backlog comes in full segments");
    put(&spool, "gate", live([7])).await;
    let second = within(outbox.next()).await;
    assert_eq!((second.ledger.terminal.as_str(), second.first()), ("gate", 1));
    let rest = drain(&mut outbox, 800).await;
    assert_eq!(numbers(&rest, "door"), (201..=1000).collect::<Vec<u64>>());
    assert_eq!(numbers(&rest, "gate"), [0u64; 0], "the journal's copy of a live punch passes in silence");
}

#[tokio::test]
async fn what_was_taken_back_comes_again_and_what_was_confirmed_does_not() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..700)).await;
    put(&spool, "gate", live(0..5)).await;
    let mut outbox = spool.outbox("mqtt");
    let segments = drain(&mut outbox, 705).await;
    let door = segments.iter().find(|it| it.ledger.terminal == "door").unwrap().ledger.clone();
    assert_eq!(numbers(&segments, "door").len() + numbers(&segments, "gate").len(), 705);
    outbox.confirm(&door, 201, 400);
    outbox.take_back();
    let again = drain(&mut outbox, 505).await;
    assert_eq!(numbers(&again, "door"), (1..=200).chain(401..=700).collect::<Vec<u64>>());
    assert_eq!(numbers(&again, "gate"), [1, 2, 3, 4, 5]);
    assert_eq!(again[0].first(), 1, "oldest first");
    let queue = &spool.status().queues[0];
    assert_eq!(queue.undelivered, 505);
    assert!(queue.oldest.is_some() && queue.bytes > 500 * 100);
    spool.close().await;
    // The journal alone knows it too.
    let undelivered = || -> u64 { verify(&house.state_dir()).unwrap().ledgers.iter().map(|it| it.undelivered).sum() };
    assert_eq!(undelivered(), 505);

    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    let after = drain(&mut outbox, 505).await;
    assert_eq!(numbers(&after, "door"), (1..=200).chain(401..=700).collect::<Vec<u64>>());
    outbox.confirm(&door, 1, 700);
    outbox.confirm(&after.iter().find(|it| it.ledger.terminal == "gate").unwrap().ledger.clone(), 1, 5);
    let queue = &spool.status().queues[0];
    assert_eq!((queue.undelivered, queue.oldest, queue.bytes), (0, None, 0));
    spool.close().await;
    assert_eq!(undelivered(), 0);
}

#[tokio::test]
async fn five_hundred_ledgers_mixed_are_all_delivered() {
    let house = House::new();
    let spool = house.open();
    for round in 0..4u32 {
        let puts = (0..500).map(|n| {
            let (spool, name) = (spool.clone(), format!("t{n}"));
            async move { put(&spool, &name, log(round * 10..round * 10 + 10)).await }
        });
        futures_util::future::join_all(puts).await;
    }
    let mut outbox = spool.outbox("mqtt");
    let mut found: std::collections::HashMap<String, Vec<u64>> = std::collections::HashMap::new();
    for segment in drain(&mut outbox, 20_000).await {
        assert!(segment.entries.windows(2).all(|two| two[0].seq + 1 == two[1].seq && two[0].head() == two[1].prev));
        let all = found.entry(segment.ledger.terminal.clone()).or_default();
        all.extend(segment.entries.iter().map(|entry| entry.seq));
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    assert_eq!(found.len(), 500);
    for mut all in found.into_values() {
        all.sort_unstable();
        assert_eq!(all, (1..=40).collect::<Vec<u64>>());
    }
    assert_eq!(spool.status().queues[0].undelivered, 0);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", log(0..3000)).await;
    let mut outbox = spool.outbox("mqtt");
    let mut all = Vec::new();
    // Polls once and drops, until the reading thread is done: then once is enough.
    while all.len() < 3000 {
        match futures_util::FutureExt::now_or_never(outbox.next()) {
            Some(segment) => all.extend(segment.entries.iter().map(|entry| entry.seq)),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(all, (1..=3000).collect::<Vec<u64>>());
}

#[tokio::test]
async fn delivered_segments_are_retired_and_their_ids_are_kept() {
    let house = House::new();
    let spool = house.open();
    for n in 0..20 {
        put(&spool, "door", log(n * 50..n * 50 + 50)).await;
    }
    put(&spool, "gate", log(0..10)).await;
    let mut outbox = spool.outbox("mqtt");
    let mut seen = 0;
    while seen < 1010 {
        let segment = within(outbox.next()).await;
        seen += segment.entries.len();
        if segment.ledger.terminal == "door" && segment.first() < 500 {
            outbox.confirm(&segment.ledger, segment.first(), segment.last());
        }
    }
    let segments = verify(&house.state_dir()).unwrap().segments;
    // It happens by itself, too, and who was first does not matter.
    spool.retire().await.unwrap();
    let retired = verify(&house.state_dir()).unwrap().retired_segments;
    assert!(retired > 0 && retired < segments, "{retired} of {segments}: what is not confirmed stays");
    let head = spool.status().ledgers[0].head;
    let check = |spool: &Spool, how: &str| {
        let report = verify(&house.state_dir()).unwrap();
        assert!(report.is_whole(), "{how}: {report:?}");
        assert_eq!((report.retired_segments, report.punches + report.retired_punches), (retired, 1010), "{how}");
        let status = spool.status();
        assert_eq!((status.ledgers[0].head, status.ledgers[0].punches), (head, 1000), "{how}");
        assert_eq!(status.queues[0].undelivered, 410, "{how}");
    };
    check(&spool, "open");
    assert_eq!(put(&spool, "door", log(0..1000)).await.twins, 1000);
    spool.close().await;
    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    check(&spool, "rebuilt");
    assert_eq!(put(&spool, "door", log(0..1000)).await.twins, 1000, "twins of what is retired are still known");
    let mut outbox = spool.outbox("mqtt");
    assert_eq!(numbers(&drain(&mut outbox, 410).await, "door"), (601..=1000).collect::<Vec<u64>>());
    let mut other = spool.outbox("another");
    assert!(numbers(&drain(&mut other, 410).await, "door").len() >= 400, "a new destination gets what is still there");
}

#[tokio::test]
async fn nothing_young_and_nothing_undelivered_is_retired() {
    let mut house = House::new();
    house.retention = Duration::from_secs(3600);
    let spool = house.open();
    for n in 0..20 {
        put(&spool, "door", log(n * 50..n * 50 + 50)).await;
    }
    assert_eq!(spool.retire().await.unwrap(), 0, "there is nobody who could have confirmed");
    let mut outbox = spool.outbox("mqtt");
    for segment in drain(&mut outbox, 1000).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    assert_eq!(spool.retire().await.unwrap(), 0, "all is confirmed, and not an hour old");
}

#[tokio::test]
async fn recent_punches_come_newest_first() {
    let house = House::new();
    let spool = house.open();
    let mut follower = spool.subscribe();
    put(&spool, "door", log(0..500)).await;
    put(&spool, "gate", log(0..3)).await;
    let seqs = |found: Vec<(Arc<Ledger>, crate::ledger::Entry)>| found.iter().map(|(_, it)| it.seq).collect::<Vec<_>>();
    let gate = Filter { terminal: Some("gate".into()), limit: 2, ..Filter::default() };
    assert_eq!(seqs(spool.recent(gate).await.unwrap()), [3, 2]);
    let all = seqs(spool.recent(Filter { limit: 600, ..Filter::default() }).await.unwrap());
    assert_eq!(all, (1..=3).rev().chain((1..=500).rev()).collect::<Vec<u64>>());
    let person = Filter { person: Some("17".into()), limit: 9, ..Filter::default() };
    assert_eq!(seqs(spool.recent(person).await.unwrap()), [18]);
    let future = Filter { since: Some(jiff::Timestamp::MAX), limit: 9, ..Filter::default() };
    assert_eq!(spool.recent(future).await.unwrap().len(), 0);
    assert_eq!(within(follower.recv()).await.unwrap().entry.person, "0");
}

#[tokio::test]
async fn a_cursor_comes_back() {
    let house = House::new();
    let spool = house.open();
    assert_eq!(spool.load_cursor("door", "SN"), None);
    spool.save_cursor("door", "SN", b"17").unwrap();
    spool.close().await;
    let spool = house.open();
    assert_eq!(spool.load_cursor("door", "SN").as_deref(), Some(&b"17"[..]));
    assert_eq!(spool.load_cursor("door", "SN2"), None);
}

#[tokio::test]
async fn a_journal_without_a_segment_is_read_once_and_not_without_end() {
    let house = House::new();
    let spool = house.open();
    let board = &spool.open.board;
    let (destination, end) = (board.destination("mqtt"), *board.end.borrow());
    let drained = destination.state().drained;
    let mut scanner = Scanner::new(board, drained);
    scanner.fill(board, &destination, end).unwrap();
    assert!(scanner.has_read_to(end), "it would be asked again at once: {end:?}");
    drop(scanner);
    put(&spool, "door", log(0..3)).await;
    assert!(!Scanner::new(board, drained).has_read_to(*board.end.borrow()));
    assert_eq!(numbers(&drain(&mut spool.outbox("mqtt"), 3).await, "door"), [1, 2, 3]);
}
