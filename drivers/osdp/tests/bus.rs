//! Readers on a bus as they should be: cards, keys, switches, commands, many at once.

mod support;

use std::time::Duration;

use driver_api::{ClockSource, Delivery, JobFailed, Light, Operation, PunchId, Raw, Report, Trouble, Verify};
use driver_osdp::sim::Model;
use support::{Site, WAYS, Way, key, models};
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread")]
async fn a_card_at_a_reader_is_a_punch_over_a_secure_channel() {
    for way in WAYS {
        let site = Site::start(way, 1).await;
        site.until_online(0).await;
        assert!(site.bus.is_secure(0));
        site.bus.punch(0, "1001");
        site.until_stored(0, 1).await;
        let punch = site.punches(0).remove(0);
        assert_eq!((punch.person.as_str(), punch.nth, punch.clock.how), ("1001", 1, ClockSource::Arrival));
        assert_eq!((punch.verify.value, punch.verify.raw), (Verify::Card, Some(Raw::Number(1))));
        assert_eq!(punch.direction.raw, Some(Raw::Number(0)));
        assert_eq!(driver_osdp::KIND.delivery, Delivery::Link);
        let identity = site.reports(0).into_iter().find_map(|it| match it {
            Report::Identity { platform, model, .. } => Some((platform, model)),
            _ => None,
        });
        let (platform, model) = identity.unwrap();
        assert_eq!(platform, "OSDP, secure channel");
        assert!(model.starts_with("vendor "), "{model}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_cards_in_one_second_are_different_punches() {
    let site = Site::start(Way::Tcp, 1).await;
    site.until_online(0).await;
    for _ in 0..4 {
        site.bus.punch(0, "1001");
    }
    site.until_stored(0, 4).await;
    let mut ids: Vec<PunchId> = site.punches(0).iter().map(|punch| PunchId::of("gate-0", punch)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_of_other_lengths_and_wrong_parity() {
    let site = Site::start(Way::Serial, 1).await;
    site.until_online(0).await;
    site.bus.card(0, 26, vec![0xbd, 0xd9, 0x37, 0x40], true);
    site.bus.card(0, 32, vec![0x04, 0xa1, 0xb2, 0xc3], false);
    site.bus.card(0, 37, vec![1, 2, 3, 4, 0x80], true);
    site.bus.card(0, 26, vec![0x3d, 0xd9, 0x37, 0x40], true);
    site.until_stored(0, 3).await;
    assert_eq!(
        site.people(0),
        [(123 * 65536 + 45678).to_string(), "77705923".into(), (0x01_0203_0480_u64 >> 3).to_string()]
    );
    site.until_troubled(0, Trouble::RecordsSetAside).await;
    let kept = site.running.gateway.set_aside("gate-0");
    assert_eq!((kept.len(), kept[0].reason.as_str()), (1, "the parity of its 26 bits is wrong"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_a_number_when_they_are_done() {
    let site = Site::start(Way::Tcp, 1).await;
    site.until_online(0).await;
    for keys in ["10", "01", "#", "99*10", "02#"] {
        site.bus.keys(0, keys);
    }
    site.until_stored(0, 2).await;
    assert_eq!(site.people(0), ["1001", "1002"]);
    assert_eq!(site.punches(0)[0].verify.value, Verify::Password);
    site.bus.keys(0, "1003");
    site.until_stored(0, 3).await; // nobody ends it: five seconds do
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tamper_and_power_are_conditions_and_end() {
    let site = Site::start(Way::Tcp, 1).await;
    site.until_online(0).await;
    site.bus.status(0, true, false);
    site.until_troubled(0, Trouble::Tampered).await;
    site.bus.status(0, false, true);
    site.until_troubled(0, Trouble::PowerFailing).await;
    site.until("the switch is closed", |site| site.reports(0).contains(&Report::Relief(Trouble::Tampered))).await;
    site.bus.status(0, false, false);
    site.until("power is back", |site| site.reports(0).contains(&Report::Relief(Trouble::PowerFailing))).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_done_and_confirmed() {
    let site = Site::start(Way::Serial, 2).await;
    site.until_all_online(2).await;
    let done = site.ask(1, Operation::Unlock { door: 2, seconds: 3 }).await.unwrap();
    assert_eq!((&done["door"], &done["seconds"]), (&2.into(), &3.into()));
    let signal = Operation::Signal { light: Some(Light::Green), seconds: 1, beeps: 2 };
    site.ask(0, signal).await.unwrap();
    let commands = site.bus.commands();
    for (unit, command) in [(2, "output 1 30"), (1, "led Green"), (1, "buzzer 2")] {
        assert!(commands.contains(&(unit, command.into())), "{commands:?}");
    }
    assert!(matches!(site.ask(0, Operation::Unlock { door: 0, seconds: 3 }).await, Err(JobFailed::Refused(_))));
    assert_eq!(site.ask(0, Operation::Users).await, Err(JobFailed::NotSupported));
    let info = site.ask(0, Operation::Info).await.unwrap();
    assert_eq!((&info["secure"], &info["unit"]), (&true.into(), &1.into()));
    site.bus.switch(0, false);
    site.until_offline(0).await;
    assert_eq!(site.ask(0, Operation::Unlock { door: 1, seconds: 3 }).await, Err(JobFailed::NotConnected));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_is_confirmed_at_the_reader_when_it_is_stored() {
    let site = Site::with(Way::Tcp, &models(1), "confirm = true\n", |unit| Some(key(unit))).await;
    site.until_online(0).await;
    site.bus.punch(0, "1001");
    site.until_stored(0, 1).await;
    site.until("it beeps", |site| site.bus.commands().contains(&(1, "buzzer 1".into()))).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "how long it took is worth a look")]
async fn thirty_two_readers_on_one_bus_are_served_in_time() {
    let site = Site::start(Way::Serial, 32).await;
    site.until_all_online(32).await;
    let mut quickest = Duration::MAX;
    for round in 0..3 {
        let shown = Instant::now();
        for reader in 0..32 {
            site.bus.punch(reader, &(1000 + round * 100 + reader).to_string());
        }
        for reader in 0..32 {
            site.until_stored(reader, round + 1).await;
        }
        quickest = quickest.min(shown.elapsed());
    }
    // Thirty-two cards in one moment; the standard lets a reader wait for eight seconds. Of three rounds the best one counts:
    // what a busy machine adds is not the bus's.
    assert!(quickest < Duration::from_secs(8), "{quickest:?}");
    for reader in 0..32 {
        site.until_online(reader).await;
        let reports = site.reports(reader);
        // A machine that is busy for seconds may make one late, but never a suspect.
        let bad = |it: &Report| matches!(it, Report::Trouble { trouble: Trouble::ChannelUnsafe, .. });
        assert!(!reports.iter().any(bad), "{reader}: {reports:?}");
    }
    println!("32 cards shown at once are stored within {quickest:?}");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_full_nobody_is_asked_and_readers_keep_what_they_hold() {
    let site = Site::start(Way::Tcp, 2).await;
    site.until_all_online(2).await;
    site.running.gateway.set_full(true);
    site.bus.punch(0, "1001");
    site.bus.punch(1, "2001");
    sleep(Duration::from_millis(300)).await;
    for person in 1..=5 {
        site.bus.punch(0, &(1001 + person).to_string());
    }
    site.until("the store refused for a while", |site| site.running.gateway.refusals() >= 10).await;
    assert_eq!(site.punches(0).len() + site.punches(1).len(), 0);
    site.running.gateway.set_full(false);
    site.until_stored(0, 6).await;
    site.until_stored(1, 1).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_served_where_it_is_wanted_and_said() {
    let plain = [Model { unit: 7, key: None, install: false }];
    let site = Site::with(Way::Serial, &plain, "", |_| None).await;
    site.until_online(0).await;
    site.bus.punch(0, "1001");
    site.until_stored(0, 1).await;
    assert!(site.until_troubled(0, Trouble::UnsafeKey).await.contains("plain text"));
    site.running.close().await;
}
