//! What may go wrong on a bus: each ends in something counted and named, never in a wrong punch or a hang.

mod support;

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use driver_api::{
    Operation, Report, Trouble,
    contract::{Running, garbage},
};
use driver_osdp::{
    frame::{Frame, code},
    sim::{Fault, Model, Simulator},
};
use support::{Blocks, Site, WAYS, Way, key, models};
use tokio::time::{Instant, sleep};

/// A punch after a fault, of the first reader.
async fn serves(site: &Site, person: &str) {
    let before = site.punches(0).len();
    site.until_online(0).await;
    site.bus.punch(0, person);
    site.until_stored(0, before + 1).await;
    assert_eq!(site.people(0).last().unwrap(), person);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_named_and_nothing_is_taken() {
    for way in WAYS {
        // The first reader has another key than we think, the second one the right one.
        let site = Site::with(way, &models(2), "", |unit| Some(key(unit + u8::from(unit == 1)))).await;
        site.until_online(1).await;
        site.bus.punch(0, "1001");
        site.bus.punch(1, "2001");
        let cause = site.until_troubled(0, Trouble::ChannelUnsafe).await;
        assert!(cause.contains("does not have our key") || cause.contains("refuses our key"), "{cause}");
        site.until_offline(0).await;
        site.until_stored(1, 1).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(site.punches(0), []);
        assert_eq!(site.is_online(1), Some(true), "its neighbour is served");
        assert!(!site.reports(1).iter().any(|it| matches!(it, Report::Offline { .. })));
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_the_factorys_key_is_not_believed() {
    let plain = [Model { unit: 1, key: None, install: false }];
    let site = Site::with(Way::Tcp, &plain, "", |unit| Some(key(unit))).await;
    site.bus.punch(0, "1001");
    let cause = site.until_troubled(0, Trouble::ChannelUnsafe).await;
    assert!(cause.contains("does not have our key") || cause.contains("refuses our key"), "{cause}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(site.punches(0), []);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_on_the_way_is_named_and_nothing_is_taken() {
    let site = Site::start(Way::Tcp, 1).await;
    serves(&site, "1001").await;
    site.bus.harm_all(Some(Fault::Downgraded));
    site.bus.cut();
    let cause = site.until_troubled(0, Trouble::ChannelUnsafe).await;
    assert!(cause.contains("offers no secure channel, or somebody hides it"), "{cause}");
    site.bus.punch(0, "1002");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(site.people(0), ["1001"]);
    site.bus.harm_all(None);
    site.until("it is served again", |site| site.is_online(0) == Some(true)).await;
    site.until_stored(0, 2).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_answer_is_no_second_punch() {
    for fault in [Fault::Replayed, Fault::Forged] {
        let site = Site::start(Way::Tcp, 1).await;
        serves(&site, "1001").await;
        site.bus.harm_all(Some(fault.clone()));
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(site.people(0), ["1001"], "{fault:?}");
        if fault == Fault::Forged {
            site.until_troubled(0, Trouble::ChannelUnsafe).await;
        }
        site.bus.harm_all(None);
        serves(&site, "1002").await;
        assert_eq!(site.people(0), ["1001", "1002"], "{fault:?}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_frames_among_secure_ones_are_not_believed() {
    let site = Site::start(Way::Tcp, 1).await;
    serves(&site, "1001").await;
    // A card that somebody on the cable makes up, for each sequence number.
    for sequence in 0..4_u8 {
        site.until_online(0).await;
        let data = vec![0, 1, 26, 0, 0xbd, 0xd9, 0x37, 0x40];
        let made_up = Frame { address: 1, reply: true, sequence, security: None, code: code::RAW, data };
        site.bus.harm([Fault::Instead(made_up.encode())]);
        site.until("it was said", |site| site.bus.faults_left() == 0).await;
    }
    assert_eq!(site.people(0), ["1001"]);
    serves(&site, "1002").await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_before_instead_of_and_between_answers_makes_no_punch() {
    for way in WAYS {
        let site = Site::start(way, 1).await;
        let mut people = Vec::new();
        for (round, noise) in garbage().into_iter().enumerate() {
            site.until_online(0).await;
            people.push((1000 + round).to_string());
            site.bus.punch(0, &people[round]);
            site.bus.harm([Fault::Before(noise.clone()), Fault::Instead(noise.clone())]);
            site.bus.send(&noise);
            site.until_stored(0, round + 1).await;
        }
        assert_eq!(site.people(0), people);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_counted_and_the_line_is_called_noisy() {
    let site = Site::start(Way::Serial, 1).await;
    serves(&site, "1001").await;
    site.bus.harm(vec![Fault::Flipped; 4]);
    site.bus.punch(0, "1002");
    site.until_troubled(0, Trouble::LineNoisy).await;
    site.until_stored(0, 2).await;
    assert_eq!(site.people(0), ["1001", "1002"]);
    let info = site.ask(0, Operation::Info).await.unwrap();
    assert!(info["answers"].as_u64() > Some(0), "{info}");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_address_and_lengths_that_lie_are_counted_and_make_no_punch() {
    for way in WAYS {
        let site = Site::start(way, 1).await;
        let faults = [0, 1, 7, 8, 1440, 1441, 0x7fff, 0x8000, 0xffff].map(Fault::Length).into_iter();
        let mut people = Vec::new();
        for (round, fault) in faults.chain(vec![Fault::Foreign; 4]).enumerate() {
            site.until_online(0).await;
            people.push((1000 + round).to_string());
            site.bus.harm([fault]);
            site.bus.punch(0, &people[round]);
            site.until_stored(0, round + 1).await;
        }
        assert_eq!(site.people(0), people, "{way:?}");
        let cause = site.until_troubled(0, Trouble::LineNoisy).await;
        assert!(cause.contains("answers of others"), "{cause}");
        let info = site.info(0).await;
        assert!(info["answers_of_others"].as_u64() >= Some(4), "{info}");
        assert!(info["unanswered"].as_u64() > Some(0), "{info}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_or_late_is_asked_again_and_told_once() {
    for way in WAYS {
        let site = Site::start(way, 2).await;
        site.until_all_online(2).await;
        for round in 0..3 {
            site.bus.harm([Fault::Lost, Fault::Late(Duration::from_millis(260))]);
            site.bus.punch(0, &(1000 + round).to_string());
            site.bus.punch(1, &(2000 + round).to_string());
            site.until_stored(0, round + 1).await;
            site.until_stored(1, round + 1).await;
        }
        assert_eq!(site.people(0), ["1000", "1001", "1002"]);
        assert_eq!(site.people(1), ["2000", "2001", "2002"]);
        site.running.close().await;
    }
}

/// What a wrong speed looks like from here: bytes, and none of them a frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_the_wrong_speed_is_named() {
    let site = Site::start(Way::Serial, 1).await;
    site.until_online(0).await;
    site.bus.harm_all(Some(Fault::Instead(vec![0xf8, 0x00, 0x78, 0xfe, 0x53, 0x81, 0x08, 0x00, 0x04, 0x99, 0, 0])));
    let why = site.until_offline(0).await;
    assert!(!why.is_empty());
    site.until("frames are broken", |site| site.trouble(0, Trouble::LineNoisy).is_some()).await;
    site.bus.harm_all(None);
    serves(&site, "1001").await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_reader_harms_no_neighbour_and_comes_back() {
    for way in WAYS {
        let site = Site::start(way, 3).await;
        site.until_all_online(3).await;
        site.bus.switch(0, false);
        assert_eq!(site.until_offline(0).await, "it does not answer any more");
        for round in 0..10 {
            let shown = Instant::now();
            site.bus.punch(1, &(2000 + round).to_string());
            site.until_stored(1, round + 1).await;
            assert!(shown.elapsed() < Duration::from_secs(3), "{:?}", shown.elapsed());
        }
        site.bus.switch(0, true);
        serves(&site, "1001").await;
        assert!(!site.reports(2).iter().any(|it| matches!(it, Report::Offline { .. })));
        site.running.close().await;
    }
}

/// Away for longer than the library tries: it would leave it alone for five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_away_for_long_is_served_soon_after_it_is_back() {
    let site = Site::start(Way::Tcp, 2).await;
    site.until_all_online(2).await;
    site.bus.switch(0, false);
    site.until_offline(0).await;
    sleep(Duration::from_secs(16)).await;
    site.bus.switch(0, true);
    let back = Instant::now();
    site.until_online(0).await;
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    serves(&site, "1001").await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_an_address_is_named() {
    let bus = Simulator::tcp(&models(1), 0).await.unwrap();
    let there_and_not = models(2);
    let running = Running::start(&Blocks::of(&bus, &there_and_not, "", |unit| Some(key(unit))));
    let site = Site { bus, running };
    site.until_online(0).await;
    assert_eq!(site.until_offline(1).await, "nobody answers at address 2");
    serves(&site, "1001").await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_exchanged_needs_its_key() {
    let site = Site::start(Way::Tcp, 1).await;
    serves(&site, "1001").await;
    site.bus.replace(0, &Model { unit: 1, key: Some([7; 16]), install: false });
    site.bus.punch(0, "1002");
    site.until_troubled(0, Trouble::ChannelUnsafe).await;
    assert_eq!(site.people(0), ["1001"]);
    site.bus.replace(0, &models(1)[0]);
    serves(&site, "1003").await;
    assert_eq!(site.people(0), ["1001", "1003"]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_given_its_key_within_the_window_and_not_beyond() {
    let fresh = [Model { unit: 1, key: None, install: true }];
    // No window: the factory's key opens nothing.
    let site = Site::with(Way::Tcp, &fresh, "", |unit| Some(key(unit))).await;
    site.until_troubled(0, Trouble::ChannelUnsafe).await;
    assert_eq!(site.bus.commands(), []);
    site.running.close().await;

    // A window that is over is none.
    let over = "pair_until = \"2026-01-01T00:00:00Z\"\n";
    let site = Site::with(Way::Tcp, &fresh, over, |unit| Some(key(unit))).await;
    site.until_troubled(0, Trouble::ChannelUnsafe).await;
    assert_eq!(site.bus.commands(), []);
    site.running.close().await;

    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(120);
    let open = format!("pair_until = \"{until}\"\n");
    let site = Site::with(Way::Serial, &fresh, &open, |unit| Some(key(unit))).await;
    serves(&site, "1001").await;
    assert!(site.bus.commands().contains(&(1, "key".into())));
    assert!(site.reports(0).contains(&Report::Relief(Trouble::UnsafeKey)));
    // From now on it has the key, and no window is needed.
    let Site { bus, running } = site;
    running.close().await;
    let running = Running::start(&Blocks::of(&bus, &fresh, "", |unit| Some(key(unit))));
    let site = Site { bus, running };
    serves(&site, "1002").await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_server_that_leaves_is_dialled_again_and_readers_keep_what_they_hold() {
    let site = Site::start(Way::Tcp, 1).await;
    serves(&site, "1001").await;
    for round in 0..3 {
        site.bus.cut();
        site.until("it is away", |site| site.is_online(0) == Some(false)).await;
        site.bus.punch(0, &(2000 + round).to_string());
        site.until_stored(0, round + 2).await;
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_was_pulled_is_served_again_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let by_id = folder.path().join("usb-FTDI_A10KZ1-if00-port0");
    let plug = || {
        let bus = Simulator::serial(&models(1)).unwrap();
        let path = bus.address().trim_start_matches("serial://").split('?').next().unwrap().to_owned();
        symlink(&path, &by_id).unwrap();
        bus
    };
    let bus = plug();
    let blocks = Blocks::of(&bus, &models(1), "", |unit| Some(key(unit)));
    let running = Running::start(&Moved(blocks, by_id.clone()));
    let mut site = Site { bus, running };
    serves(&site, "1001").await;
    fs::remove_file(&by_id).unwrap();
    site.bus = plug(); // the old one is dropped: the cable is pulled
    site.until("the pulled cable is noticed", |site| {
        site.reports(0).iter().any(|it| matches!(it, Report::Offline { why } if why.contains("the line is gone")))
    })
    .await;
    let back = Instant::now();
    serves(&site, "1002").await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    site.running.close().await;
}

/// The same blocks at another path.
struct Moved(Blocks, std::path::PathBuf);

impl Moved {
    fn at(&self, block: &str, path: &Path) -> String {
        let lines = block.lines().map(|line| match line.starts_with("address") {
            true => format!("address = \"serial://{}?baud=115200\"", path.display()),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[driver_api::async_trait]
impl driver_api::contract::Bench for Moved {
    fn kind(&self) -> &'static driver_api::Kind {
        &driver_osdp::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let blocks = driver_api::contract::Bench::terminals(&self.0);
        blocks.into_iter().map(|(name, block)| (name, self.at(&block, &self.1))).collect()
    }

    async fn punch(&self, _: usize, _: &str) {}

    fn forgotten(&self, _: usize) -> usize {
        0
    }

    async fn cut(&self, _: usize) {}

    async fn repeat(&self, _: usize) {}

    async fn garbage(&self, _: usize, _: &[u8]) {}
}

#[test]
fn codes_are_those_of_the_standard() {
    assert_eq!([code::POLL, code::ID, code::CAP, code::CHLNG, code::SCRYPT], [0x60, 0x61, 0x62, 0x76, 0x77]);
}
