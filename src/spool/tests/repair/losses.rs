//! How long a loss is told.

use super::*;

#[tokio::test]
async fn a_loss_is_told_until_somebody_says_that_it_is_known() {
    let house = store().await;
    fs::remove_file(segment_path(&journal(&house), 2)).unwrap();
    repair(&house.state_dir(), false).unwrap();
    let told = missing(&checked(&house));
    let spool = house.open();
    let open = |spool: &Spool| spool.status().ledgers.iter().map(|it| it.open_losses.len()).sum::<usize>();
    assert_eq!(open(&spool), 2);
    assert!(spool.acknowledge(Some("door")).await.unwrap() > 0);
    assert_eq!(open(&spool), 1);
    assert!(spool.acknowledge(None).await.unwrap() > 0);
    assert_eq!((open(&spool), spool.acknowledge(None).await.unwrap()), (0, 0));
    drop(spool);
    // Neither a crash nor a lost index forgets it.
    fs::remove_dir_all(house.state_dir().join("index")).unwrap();
    let spool = house.open();
    assert_eq!(open(&spool), 0);
    drop(spool);
    let report = checked(&house);
    assert_eq!((missing(&report), report.verdict()), (told, Verdict::Mended));
    let settled = |it: &crate::spool::Missing| it.recorded.as_ref().unwrap().settled == Some("acknowledged");
    assert!(report.ledgers.iter().flat_map(|it| &it.missing).all(settled));
}

#[tokio::test]
async fn what_was_lost_stays_told_when_its_neighbours_are_retired() {
    use crate::outbox::Outbox;
    let house = store().await;
    fs::remove_file(segment_path(&journal(&house), 2)).unwrap();
    repair(&house.state_dir(), false).unwrap();
    let told = missing(&checked(&house));
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    put(&spool, "door", live(1000..1200)).await;
    for segment in drain(&mut outbox, undelivered(&spool)).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    put(&spool, "door", live(1200..1400)).await;
    for segment in drain(&mut outbox, undelivered(&spool)).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    until_retired(&house, &spool, &mut outbox, 5).await;
    drop(outbox);
    spool.close().await;
    let report = checked(&house);
    assert_eq!((report.verdict(), missing(&report)), (Verdict::Mended, told), "{report:?}");
    assert!(report.retired_segments >= 5);

    // Wherever the bytes of a stub are hit, what is told of the rest is true.
    let long = fs::metadata(journal(&house).join("00000004.ids")).unwrap().len();
    for at in (20..long).step_by(211) {
        let broken = House::new();
        copy(&house.state_dir(), &broken.state_dir());
        flip(&journal(&broken).join("00000004.ids"), at);
        let done = repair(&broken.state_dir(), false).unwrap();
        let report = checked(&broken);
        assert_eq!(report.verdict(), Verdict::Mended, "byte {at}: {done:?} {report:?}");
    }

    // A stub can be damaged, or go, too.
    for spoil in
        [|path: &Path| flip(path, 300), |path: &Path| fs::remove_file(path).unwrap(), |path: &Path| flip(path, 3)]
    {
        let broken = House::new();
        copy(&house.state_dir(), &broken.state_dir());
        spoil(&journal(&broken).join("00000003.ids"));
        assert_eq!(checked(&broken).verdict(), Verdict::Damaged);
        let done = repair(&broken.state_dir(), false).unwrap();
        let report = checked(&broken);
        assert_eq!(report.verdict(), Verdict::Mended, "{done:?} {report:?}");
        let again = repair(&broken.state_dir(), true).unwrap();
        assert!(!again.needed, "{done:?} {again:?}");
        broken.open().close().await;
    }
}
