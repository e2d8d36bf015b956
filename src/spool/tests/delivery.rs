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

/// A store of which all is delivered, with the outbox that has it.
async fn delivered(house: &House) -> (Spool, crate::spool::SpoolOutbox) {
    let spool = house.open();
    for n in 0..20 {
        put(&spool, "door", log(n * 50..n * 50 + 50)).await;
        // It stands in the second segment and nowhere else.
        if n == 4 {
            put(&spool, "gate", log(0..3)).await;
        }
    }
    let mut outbox = spool.outbox("mqtt");
    for segment in drain(&mut outbox, 1003).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    drain(&mut outbox, 0).await;
    (spool, outbox)
}

/// Names of bytes in quarantine that could not be read.
fn damaged_bytes(house: &House) -> Vec<String> {
    house.quarantined().into_iter().filter(|name| name.starts_with("segment-")).collect()
}

#[tokio::test]
async fn what_is_damaged_is_kept_and_told_before_its_segment_is_retired() {
    use crate::spool::segment::{SEGMENT_HEADER, segment_path};
    let house = House::new();
    let (spool, mut outbox) = delivered(&house).await;
    let journal = house.state_dir().join("journal");
    let (first, second) = (segment_path(&journal, 1), segment_path(&journal, 2));
    super::damage::flip(&first, 2_500);
    let damaged = std::fs::read(&first).unwrap();
    // Of the second one nothing can be read at all.
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[SEGMENT_HEADER..].fill(0x5a);
    std::fs::write(&second, &bytes).unwrap();
    until_retired(&house, &spool, &mut outbox, 2).await;
    assert!(!first.exists() && !second.exists());
    let kept = damaged_bytes(&house);
    let read = |name: &String| std::fs::read(house.state_dir().join("quarantine").join(name)).unwrap();
    assert!(kept[0].starts_with("segment-00000001-byte-") && kept[1].starts_with("segment-00000002-byte-"), "{kept:?}");
    assert!(damaged.windows(read(&kept[0]).len()).any(|window| window == read(&kept[0])));
    assert_eq!(read(&kept[1]), bytes[SEGMENT_HEADER..]);

    let check = |spool: &Spool, how: &str| {
        let report = verify(&house.state_dir()).unwrap();
        assert_eq!(
            (&report.faults[..], report.verdict()),
            (&[][..], crate::spool::Verdict::Mended),
            "{how}: {report:?}"
        );
        let lost = |it: &crate::spool::LedgerStatus| it.lost.iter().map(|(first, last)| last + 1 - first).sum::<u64>();
        let open =
            |it: &crate::spool::LedgerStatus| it.open_losses.iter().map(|it| it.last + 1 - it.first).sum::<u64>();
        let ledgers = spool.status().ledgers;
        assert_eq!(ledgers.iter().map(open).collect::<Vec<_>>(), ledgers.iter().map(lost).collect::<Vec<_>>(), "{how}");
        let told = report.ledgers.iter().map(|it| it.missing.iter().map(|it| it.last + 1 - it.first).sum::<u64>());
        let mut told: Vec<u64> = told.collect();
        told.sort_unstable();
        assert_eq!((told[0], told[1] > 100, ledgers[0].lost.len()), (3, true, 2), "{how}: {report:?}");
        assert_eq!(spool.status().queues[0].undelivered, 0, "{how}");
    };
    check(&spool, "open");
    assert!(spool.findings().iter().any(|it| it.text.contains("the journal lost punches 1 to 3 of gate")));
    spool.close().await;
    for indexed in [true, false] {
        if !indexed {
            std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
        }
        let spool = house.open();
        drain(&mut spool.outbox("mqtt"), 0).await;
        check(&spool, if indexed { "opened again" } else { "rebuilt" });
        spool.close().await;
    }
}

#[tokio::test]
async fn what_was_retired_with_damage_comes_again_where_a_terminal_still_has_it() {
    let house = House::new();
    let (spool, mut outbox) = delivered(&house).await;
    super::damage::flip(&house.state_dir().join("journal/00000001.seg"), 2_500);
    until_retired(&house, &spool, &mut outbox, 1).await;
    assert_eq!(spool.status().ledgers[0].open_losses.len(), 1);
    assert_eq!(put(&spool, "door", log(0..1000)).await, Stored { new: 1, twins: 999, set_aside: 0 });
    put(&spool, "door", live([1000])).await;
    assert_eq!(spool.status().ledgers[0].open_losses, [], "it is made good");
}

#[tokio::test]
async fn a_damaged_segment_stays_while_its_bytes_cannot_be_kept() {
    let house = House::new();
    let (spool, mut outbox) = delivered(&house).await;
    let path = house.state_dir().join("journal/00000001.seg");
    super::damage::flip(&path, 2_500);
    let quarantine = house.state_dir().join("quarantine");
    std::fs::write(&quarantine, "in the way").unwrap();
    // The others do not wait for it.
    within(async {
        while path.with_file_name("00000002.seg").exists() {
            assert!(spool.retire().await.is_err());
            drain(&mut outbox, 0).await;
        }
    })
    .await;
    assert!(path.exists() && spool.status().ledgers[0].open_losses.is_empty());
    std::fs::remove_file(quarantine).unwrap();
    until_retired(&house, &spool, &mut outbox, 2).await;
    assert_eq!((path.exists(), damaged_bytes(&house).len()), (false, 1));
    assert_eq!(spool.status().ledgers[0].open_losses.len(), 1);
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
