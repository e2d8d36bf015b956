//! What is read of a board's ring, in which order things happen, and what is said when the ring is not what it was.

mod support;

use std::time::Duration;

use driver_api::{Flag, Operation, Origin, Report, Trouble};
use driver_uhppote::{
    packet::function,
    sim::{Entry, Fault, Harm, Model},
};
use jiff::civil::date;
use serde_json::json;
use support::{Site, card};

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_read_from_its_oldest_event_on_and_each_event_once() {
    let site = Site::with(Model { first: 13_000, ..Model::default() }, "", |board| {
        (0..450).for_each(|at| board.record_unheard(card(board, 1000 + at)));
    })
    .await;
    site.until_stored(450).await;
    assert!(site.punches().iter().all(|punch| punch.origin == Origin::Backfill && punch.nth == 1));
    assert_eq!(site.punches()[0].native.as_deref(), Some("13000"));
    site.until_polled(3).await;
    site.board.record_unheard(card(&site.board, 7));
    site.until_stored(451).await;
    assert_eq!(site.gateway().twins(), 0, "what was read is not read again");
    assert_eq!(site.trouble(Trouble::EventsLost), None, "what went before our time is nobody's loss");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_punches_in_one_second_are_two() {
    let site = Site::with(Model::default(), "", |board| {
        let twice = card(board, 7);
        board.record_unheard(twice.clone());
        board.record_unheard(twice);
    })
    .await;
    site.until_stored(2).await;
    assert_eq!(site.people(), ["7", "7"]);
    // Told again by the whole ring, they are twins.
    let outcome = site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!(outcome, json!({ "records": 2, "new": 0, "twins": 2, "set_aside": 0 }));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_boards_index_follows_only_what_is_on_disk() {
    let site = Site::with(Model::default(), "set_index = true", |board| {
        (0..5).for_each(|at| board.record_unheard(card(board, 1000 + at)));
    })
    .await;
    site.until("the index follows", |site| site.board.index() == 5).await;
    site.gateway().set_full(true);
    site.board.swipe(77);
    site.until("the full disk was met", |site| site.gateway().refusals() > 2).await;
    assert_eq!(site.board.index(), 5);
    site.gateway().set_full(false);
    site.until("the index follows again", |site| site.board.index() == 6).await;
    assert_eq!(site.punches().len(), 6);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_set_index_the_index_of_others_is_left_alone() {
    let site = Site::with(Model::default(), "", |board| board.swipe(7)).await;
    site.until_stored(1).await;
    site.until_polled(2).await;
    assert_eq!((site.asked(function::SET_INDEX), site.asked(function::SET_LISTENER)), (0, 0));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_read_and_acknowledge_nothing_is_lost_and_nothing_is_doubled() {
    for harm in [Harm::Deaf, Harm::Mute] {
        let site = Site::with(Model::default(), "set_index = true", |board| {
            (0..5).for_each(|at| board.record_unheard(card(board, 1000 + at)));
            // The session dies at the acknowledgement: the three questions are not heard, or not answered.
            board.harm(Fault { function: Some(function::SET_INDEX), times: 3, harm: harm.clone() });
        })
        .await;
        site.until("it came back and acknowledged", |site| site.board.index() == 5).await;
        site.board.swipe(77);
        site.until_stored(6).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_went_round_is_told_with_what_is_lost_and_until_somebody_took_note() {
    let site = Site::with(Model { capacity: 10, ..Model::default() }, "", |board| {
        (0..5).for_each(|at| board.record_unheard(card(board, 1000 + at)));
    })
    .await;
    site.until_stored(5).await;
    // Away for a while: 20 more, of which the ring holds the last 10. 6 to 15 are gone.
    site.board.harm(Fault::times(6, Harm::Deaf));
    (0..20).for_each(|at| site.board.record_unheard(card(&site.board, 2000 + at)));
    site.until_stored(15).await;
    assert_eq!(site.people()[5], "2010");
    let cause = site.until_troubled(Trouble::EventsLost).await;
    assert_eq!(cause, "10 events between 6 and 15 were gone from its ring before they were read");
    site.until_reported("the gap", |report| *report == Report::Gaps { missing: 10 }).await;
    // Not forgotten with the session ...
    let told = |site: &Site| {
        let reports = site.gateway().reports(support::NAME);
        reports.iter().filter(|it| matches!(it, Report::Trouble { trouble: Trouble::EventsLost, .. })).count()
    };
    let before = told(&site);
    site.board.harm(Fault::times(6, Harm::Deaf));
    site.until("it is told again in the next session", |site| told(site) > before).await;
    // ... but when somebody has looked.
    let outcome = site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!(outcome, json!({ "records": 10, "new": 0, "twins": 10, "set_aside": 0 }));
    site.until_relieved(Trouble::EventsLost).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_was_reset_is_read_from_its_new_beginning() {
    for more in [2, 8] {
        // Fewer events than before, and more: the second is known by what stands at our mark.
        let site = Site::with(Model::default(), "", |board| {
            (0..5).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        })
        .await;
        site.until_stored(5).await;
        site.board.reset();
        (0..more).for_each(|at| site.board.record_unheard(card(&site.board, 2000 + at)));
        site.until_stored(5 + more as usize).await;
        assert!(site.until_troubled(Trouble::LogShrank).await.contains("numbered anew: 5 were read before"));
        assert_eq!(site.trouble(Trouble::EventsLost), None);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_word_of_an_empty_ring_is_not_believed() {
    // The state before the first event arrives after it, in place of a newer one.
    let site = Site::with(Model::default(), "poll = \"400ms\"", |_| {}).await;
    site.until_polled(1).await;
    site.board.harm(Fault::once(function::STATUS, Harm::Late));
    site.until_polled(2).await;
    (0..5).for_each(|at| site.board.record_unheard(card(&site.board, 1000 + at)));
    site.until_stored(5).await;
    site.until_polled(3).await;
    assert_eq!((site.trouble(Trouble::LogShrank), site.gateway().twins()), (None, 0));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_late_doubled_or_of_others_make_no_wrong_punch() {
    let site = Site::with(Model { clamps: true, ..Model::default() }, "", |board| {
        for at in 0..300 {
            board.record_unheard(card(board, 1000 + at));
            let harm = match at % 30 {
                0 => Harm::Late,
                5 => Harm::Echo,
                10 => Harm::Foreign,
                15 => Harm::Instead(vec![0x17; 64]),
                20 => Harm::Mute,
                25 => Harm::Deaf,
                _ => continue,
            };
            board.harm(Fault::once(function::EVENT, harm));
        }
    })
    .await;
    site.until_stored(300).await;
    let expected: Vec<String> = (1000..1300).map(|card| card.to_string()).collect();
    assert_eq!(site.people(), expected, "each once, and in the ring's order");
    assert_eq!(site.trouble(Trouble::EventsLost), None);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_no_question_is_told_until_it_stops() {
    let site = Site::start().await;
    site.until_polled(1).await;
    site.board.harm(Fault::once(function::STATUS, Harm::Bytes(vec![0; 64])));
    assert!(site.until_troubled(Trouble::LineNoisy).await.starts_with("1 datagrams"));
    site.until_relieved(Trouble::LineNoisy).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_other_lengths_are_counted_and_make_no_punch() {
    let site = Site::start().await;
    site.until_polled(1).await;
    for (round, length) in [0, 1, 8, 63, 65, 128, 1472].into_iter().enumerate() {
        site.board.harm(Fault::once(function::STATUS, Harm::Bytes(vec![0x17; length])));
        site.board.harm(Fault::once(function::EVENT, Harm::Bytes(vec![0x17; length])));
        site.until_troubled(Trouble::LineNoisy).await;
        site.board.record_unheard(card(&site.board, 1000 + round as u32));
        site.until_stored(round + 1).await;
        site.until_relieved(Trouble::LineNoisy).await;
    }
    let expected: Vec<String> = (1000..1007).map(|card| card.to_string()).collect();
    assert_eq!(site.people(), expected);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_board_denies_is_asked_for_again_before_it_is_given_up() {
    let site = Site::with(Model::default(), "", |board| {
        (0..3).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        let nothing = [&[0x17, 0xb0, 0, 0][..], &405_419_896_u32.to_le_bytes(), &[0; 56]].concat();
        // The first question is for the oldest event, and is answered; then event 1 is denied twice.
        board.harm(Fault::once(function::EVENT, Harm::Echo));
        board.harm(Fault { function: Some(function::EVENT), times: 2, harm: Harm::Instead(nothing) });
    })
    .await;
    site.until_stored(3).await;
    assert_eq!(site.trouble(Trouble::EventsLost), None);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_punch_is_left_out_and_what_makes_no_sense_is_kept_raw() {
    let site = Site::with(Model::default(), "", |board| {
        let it = |number| card(board, number);
        board.record_unheard(Entry { kind: 2, reason: 23, card: 4, ..it(4) });
        board.record_unheard(Entry { granted: false, reason: 6, ..it(5) });
        board.record_unheard(Entry { kind: 3, ..it(6) });
        board.record_unheard(Entry { odd_time: Some([0; 7]), ..it(7) });
        board.record_unheard(Entry { odd_time: Some([0x20, 0x26, 0x13, 0x45, 0, 0, 0]), ..it(8) });
        board.record_unheard(it(0));
        board.record_unheard(Entry { kind: 77, ..it(9) });
        board.record_unheard(Entry { local: date(2000, 1, 1).at(0, 0, 7, 0), ..it(10) });
        board.record_unheard(it(11));
    })
    .await;
    site.until_stored(2).await;
    assert_eq!(site.people(), ["10", "11"]);
    assert_eq!(site.punches()[0].flags, [Flag::ClockUnset]);
    let aside = site.gateway().set_aside(support::NAME);
    let reasons: Vec<&str> = aside.iter().map(|raw| &*raw.reason).collect();
    let no_date = "the event's time is no real date";
    let expected = [no_date, no_date, "the event names no card", "the event is of a kind that is not known"];
    assert_eq!(reasons, expected);
    assert!(site.until_troubled(Trouble::RecordsSetAside).await.starts_with("4 events"));
    site.board.swipe(12);
    site.until_relieved(Trouble::RecordsSetAside).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_cards_doors_and_directions_are_as_configured() {
    let block = "denied = true\ndoors = [1, 2]\ndirections = { \"2/1\" = \"out\" }";
    let site = Site::with(Model::default(), block, |board| {
        board.record_unheard(Entry { granted: false, reason: 15, ..card(board, 1) });
        board.record_unheard(Entry { door: 2, ..card(board, 2) });
        board.record_unheard(Entry { door: 3, ..card(board, 3) });
    })
    .await;
    site.until_stored(2).await;
    site.until_polled(2).await;
    let punches = site.punches();
    assert_eq!(site.people(), ["1", "2"]);
    assert_eq!(punches[0].flags, [Flag::Denied]);
    assert_eq!(serde_json::to_value(&punches[1].direction).unwrap(), json!({ "value": "out", "raw": "2/1" }));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_listed_by_number_and_deleted_ones_are_not() {
    let site = Site::with(Model::default(), "", |board| {
        board.swipe(7);
        board.set_cards(&[8_165_538, 0, 0, 8_165_539, 8_165_535]);
        board.harm(Fault::once(function::CARD, Harm::Mute));
    })
    .await;
    site.until_stored(1).await;
    let outcome = site.ask(Operation::Users).await.unwrap();
    assert_eq!(outcome, json!({ "count": 3, "users": ["8165535", "8165538", "8165539"] }));
    // A board that boasts is not asked for ever.
    let many: Vec<u32> = (1..=5000).collect();
    site.board.set_cards(&many);
    let outcome = site.ask(Operation::Users).await.unwrap();
    assert_eq!((&outcome["count"], outcome["users"].as_array().unwrap().len()), (&json!(5000), 1000));
    site.board.swipe(8);
    site.until_stored(2).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_board_at_the_address_is_refused() {
    let site = Site::with(Model::default(), "serial = 405419800", |board| board.swipe(7)).await;
    let cause = site.until_troubled(Trouble::WrongTerminal).await;
    assert_eq!(cause, "board 405419896 answers at its address, not 405419800");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(site.punches().is_empty() && site.asked(function::EVENT) == 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_over_tcp_is_read_too() {
    let site = Site::over("tcp", Model { pieces: 7, ..Model::default() }, "", |board| {
        (0..50).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        board.harm(Fault::once(function::EVENT, Harm::Close));
        board.harm(Fault::once(function::EVENT, Harm::Instead(b"HTTP/1.1 400 Bad Request\r\n".repeat(9))));
    })
    .await;
    site.until_stored(50).await;
    site.running.close().await;
}
