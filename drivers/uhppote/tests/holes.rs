//! Events that are not where they should be: overwritten, spoilt, or told before they can be read.

mod support;

use std::time::{Duration, Instant};

use driver_api::{Report, Trouble};
use driver_uhppote::{
    packet::function,
    sim::{Fault, Gone, Harm, Model},
};
use support::{Site, card};

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_went_round_is_read_on_at_once_however_the_board_says_that_events_are_gone() {
    for gone in [Gone::Overwritten, Gone::Nothing, Gone::Newest] {
        for scheme in ["udp", "tcp"] {
            let model = Model { capacity: 100, gone, ..Model::default() };
            let site = Site::over(scheme, model, "", |board| {
                (0..50).for_each(|at| board.record_unheard(card(board, 1000 + at)));
            })
            .await;
            site.until_stored(50).await;
            site.board.record_all((0..300).map(|at| card(&site.board, 2000 + at)));
            let since = Instant::now();
            site.until_stored(150).await;
            assert!(since.elapsed() < Duration::from_secs(10), "{gone:?} over {scheme}: {:?}", since.elapsed());
            let cause = site.until_troubled(Trouble::EventsLost).await;
            assert_eq!(cause, "200 events between 51 and 250 were gone from its ring before they were read");
            site.until_reported("the gap", |report| *report == Report::Gaps { missing: 200 }).await;
            site.running.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_middle_is_passed_as_a_whole() {
    let site = Site::with(Model::default(), "", |board| {
        (0..300).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        board.spoil(51..=250);
    })
    .await;
    site.until_stored(100).await;
    assert_eq!(site.people()[50], "1250");
    let cause = site.until_troubled(Trouble::EventsLost).await;
    assert_eq!(cause, "200 events between 51 and 250 were gone from its ring before they were read");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_and_not_given_is_waited_for_and_that_is_told() {
    let site = Site::with(Model::default(), "", |board| {
        (0..3).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        let nothing = [&[0x17, 0xb0, 0, 0][..], &405_419_896_u32.to_le_bytes(), &[0; 56]].concat();
        board.harm(Fault { function: Some(function::EVENT), times: 1_000_000, harm: Harm::Instead(nothing) });
    })
    .await;
    let cause = site.until_troubled(Trouble::LogUnreadable).await;
    assert_eq!(cause, "it says that its newest event is 3, and gives none from 1 on");
    site.board.heal();
    site.until_stored(3).await;
    site.until_relieved(Trouble::LogUnreadable).await;
    assert_eq!(site.trouble(Trouble::EventsLost), None);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_was_filled_anew_up_to_our_mark_is_read() {
    let site = Site::with(Model::default(), "", |board| {
        (0..20).for_each(|at| board.record_unheard(card(board, 1000 + at)));
    })
    .await;
    site.until_stored(20).await;
    let asked = site.asked(function::EVENT);
    site.until_polled(3).await;
    assert_eq!(site.asked(function::EVENT), asked, "a ring in which nothing happened is not looked at");
    site.board.reset_with((0..20).map(|at| card(&site.board, 2000 + at)));
    site.until_stored(40).await;
    assert!(site.until_troubled(Trouble::LogShrank).await.contains("20 were read before, now the newest is 20"));
    site.running.close().await;
}
