//! Datagrams come late, or twice, and answers do not say which question they answer.

mod support;

use std::time::Duration;

use driver_api::{Operation, Trouble};
use driver_uhppote::sim::{Gone, Model};
use serde_json::json;
use support::{Site, card};

/// A copy of each answer arrives when the next question is on its way.
const DOUBLED: Option<Duration> = Some(Duration::from_millis(2));

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_was_reset_is_read_from_its_beginning_though_all_comes_twice() {
    for after in [1, 2, 5] {
        let site = Site::with(Model::default(), "", |board| {
            (0..50).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        })
        .await;
        site.until_stored(50).await;
        site.board.double(Some(Duration::from_millis(after)));
        site.until_polled(2).await;
        site.board.reset_with((0..60).map(|at| card(&site.board, 2000 + at)));
        site.until_stored(110).await;
        let expected: Vec<String> = (1000..1050).chain(2000..2060).map(|card| card.to_string()).collect();
        assert_eq!(site.people(), expected, "copies after {after} ms");
        assert!(site.until_troubled(Trouble::LogShrank).await.contains("50 were read before, now the newest is 60"));
        assert_eq!(site.trouble(Trouble::EventsLost), None);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ring_lost_is_told_rightly_though_all_comes_twice() {
    for gone in [Gone::Overwritten, Gone::Nothing, Gone::Newest] {
        let site = Site::with(Model { capacity: 20, gone, ..Model::default() }, "", |board| {
            board.double(DOUBLED);
            (0..70).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        })
        .await;
        site.until_stored(20).await;
        assert_eq!(site.people()[0], "1050", "{gone:?}");
        assert_eq!(site.trouble(Trouble::EventsLost), None, "{gone:?}: it was never promised to us");
        let outcome = site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
        assert_eq!(outcome, json!({ "records": 20, "new": 0, "twins": 20, "set_aside": 0 }));
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_listed_each_once_though_all_comes_twice() {
    let site = Site::with(Model::default(), "", |board| {
        board.double(DOUBLED);
        board.swipe(7);
        board.set_cards(&[11, 12, 0, 13, 0, 0, 14, 15]);
    })
    .await;
    site.until_stored(1).await;
    let outcome = site.ask(Operation::Users).await.unwrap();
    assert_eq!(outcome, json!({ "count": 5, "users": ["11", "12", "13", "14", "15"] }));
    site.running.close().await;
}
