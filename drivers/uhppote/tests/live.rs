//! Live events: a reason to ask, and nothing else.

mod support;

use std::net::{SocketAddr, UdpSocket};

use driver_api::{Origin, Trouble};
use driver_uhppote::{
    packet::function,
    sim::{Entry, Fault, Harm, Model},
};
use support::{Site, card};

/// A port of loopback that was free a moment ago.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// With polls so seldom that what arrives soon was told live.
fn block(listen: SocketAddr, more: &str) -> String {
    format!("poll = \"1h\"\nlisten = \"{listen}\"\n{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_event_brings_its_punch_at_once() {
    for old_events in [false, true] {
        let listen = free();
        let site =
            Site::with(Model { old_events, ..Model::default() }, &block(listen, "set_listener = true"), |board| {
                board.swipe(1);
            })
            .await;
        site.until_stored(1).await;
        assert_eq!(site.board.listener(), Some(listen));
        site.board.swipe(2);
        site.until_stored(2).await;
        // One whose datagram is lost comes with the next.
        site.board.record_unheard(card(&site.board, 3));
        site.board.swipe(4);
        site.until_stored(4).await;
        let origins: Vec<Origin> = site.punches().iter().map(|punch| punch.origin).collect();
        assert_eq!(origins, [Origin::Backfill, Origin::Live, Origin::Live, Origin::Live]);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_set_only_when_that_is_asked_for() {
    let (listen, theirs) = (free(), free());
    let site = Site::with(Model::default(), &block(listen, ""), |board| board.set_listener(Some(theirs))).await;
    let cause = site.until_troubled(Trouble::NoLiveEvents).await;
    assert_eq!(cause, format!("it sends them to {theirs}; set_listener = true would set that to {listen}"));
    assert_eq!((site.board.listener(), site.asked(function::SET_LISTENER)), (Some(theirs), 0));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_makes_no_punch() {
    let listen = free();
    let site = Site::with(Model::default(), &block(listen, "set_listener = true"), |board| board.swipe(1)).await;
    site.until_stored(1).await;
    let forger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut forged = [0; 64];
    forged[..2].copy_from_slice(&[0x17, 0x20]);
    forged[4..8].copy_from_slice(&405_419_896_u32.to_le_bytes());
    forged[8..20].copy_from_slice(&[99, 0, 0, 0, 1, 1, 1, 1, 42, 0, 0, 0]);
    for _ in 0..50 {
        forger.send_to(&forged, listen).unwrap();
        forger.send_to(&forged[..63], listen).unwrap();
    }
    site.until_polled(1).await;
    site.board.blurt(&[0x17; 64]);
    site.board.swipe(2);
    site.until("the real one arrives", |site| site.people() == ["1", "2"]).await;
    assert!(site.asked(function::STATUS) < 20, "forged events made us ask {} times", site.asked(function::STATUS));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_told_of_are_missed_and_that_is_told() {
    let listen = free();
    let block = format!("listen = \"{listen}\"\nset_listener = true");
    let site = Site::with(Model::default(), &block, |board| board.swipe(1)).await;
    site.until_stored(1).await;
    site.until_polled(2).await;
    for number in 2..6 {
        site.board.record_unheard(card(&site.board, number));
    }
    site.until_stored(5).await;
    assert!(site.until_troubled(Trouble::NoLiveEvents).await.contains("that it had not told of"));
    site.board.record(Entry { card: 6, local: site.board.now(), ..Entry::default() });
    site.until_relieved(Trouble::NoLiveEvents).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_costs_the_live_events_and_no_punch() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let block = format!("listen = \"{}\"\nset_listener = true", taken.local_addr().unwrap());
    let site = Site::with(Model::default(), &block, |board| board.swipe(1)).await;
    assert!(site.until_troubled(Trouble::NoLiveEvents).await.contains("cannot be opened"));
    site.board.swipe(2);
    site.until_stored(2).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_falls_silent_and_comes_back_is_read_on() {
    let site = Site::with(Model::default(), "", |board| board.swipe(1)).await;
    site.until_stored(1).await;
    site.board.harm(Fault::times(7, Harm::Deaf));
    site.board.swipe(2);
    site.until_stored(2).await;
    site.running.close().await;
}
