//! What may go wrong on a line: each ends in something counted and named, never in a wrong punch or a hang.

mod support;

use std::{fs, os::unix::fs::symlink, time::Duration};

use driver_api::{
    ClockSource, Delivery, Direction, Gateway, JobFailed, Operation, PunchId, Raw, Report, Trouble,
    contract::{Running, garbage},
};
use driver_serial_ascii::sim::{Product, Simulator};
use support::{Blocks, Site, WAYS, Way, name};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use tokio_serial::{SerialPort, SerialStream};

const LONG: &str = "repeat_window = \"60s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_held_is_one_punch_and_beyond_the_window_another() {
    let site = Site::start(Way::Tcp, &[Product::Rdm6300], "repeat_window = \"700ms\"\n").await;
    for _ in 0..8 {
        site.line.punch(0, "1001");
        sleep(Duration::from_millis(150)).await;
    }
    site.until_stored(0, 1).await;
    site.line.punch(0, "1002");
    site.until_stored(0, 2).await;
    sleep(Duration::from_millis(1500)).await;
    site.line.punch(0, "1001");
    site.until_stored(0, 3).await;
    assert_eq!(site.people(0), ["0000001001", "0000001002", "0000001001"]);
    assert!(site.info(0).await["repeats"].as_u64() >= Some(6));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_reads_in_one_second_are_told_apart_where_the_window_is_off() {
    let site = Site::start(Way::Tcp, &[Product::Digits], "repeat_window = \"0ms\"\n").await;
    for count in 1..=4 {
        site.line.punch(0, "1001");
        sleep(Duration::from_millis(20)).await;
        site.until_stored(0, count).await;
    }
    let punches = site.punches(0);
    let mut ids: Vec<PunchId> = punches.iter().map(|punch| PunchId::of("reader-0", punch)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    for pair in punches.windows(2) {
        assert!(pair[0].local != pair[1].local || pair[0].nth + 1 == pair[1].nth);
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_a_clock_gets_our_time_and_says_so() {
    let site = Site::start(Way::Serial, &[Product::Digits], "direction = \"in\"\n").await;
    let before = jiff::Timestamp::now();
    site.line.punch(0, "0010597059");
    site.until_stored(0, 1).await;
    let punch = site.punches(0).remove(0);
    let at = punch.local.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp(); // the bench runs in UTC
    assert!(at.as_second() >= before.as_second() && at <= jiff::Timestamp::now());
    assert_eq!((punch.clock.how, punch.clock.skew_ms), (ClockSource::Arrival, Some(0)));
    assert_eq!(
        (punch.person.as_str(), punch.direction.value, punch.direction.raw),
        ("0010597059", Direction::In, None)
    );
    assert_eq!(driver_serial_ascii::KIND.delivery, Delivery::None);
    assert!(!site.reports(0).iter().any(|it| matches!(it, Report::Delivery(_))), "nothing more is promised");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_counted_and_named_and_never_a_punch() {
    for way in WAYS {
        for product in [Product::Rdm6300, Product::Id12, Product::Waiting] {
            let site = Site::start(way, &[product], LONG).await;
            let mut expected = 0;
            for (round, noise) in garbage().into_iter().enumerate() {
                site.line.send(&noise);
                sleep(Duration::from_millis(30)).await;
                site.line.punch(0, &(1000 + round).to_string());
                expected += 1;
                site.until_stored(0, expected).await;
            }
            site.until_troubled(0, Trouble::LineNoisy).await;
            let info = site.info(0).await;
            assert!(info["noise"].as_u64() > Some(0) || info["wrong_checksums"].as_u64() > Some(0), "{info}");
            assert!(site.reports(0).iter().any(|it| matches!(it, Report::FailedRead { .. })));
            site.running.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_is_refused_and_asked_for_again() {
    let site = Site::start(Way::Serial, &[Product::Waiting], LONG).await;
    site.line.send(b"#0001,1001*FF\r");
    site.until_troubled(0, Trouble::LineNoisy).await;
    site.until("it hears NAK", |site| site.line.answers(0).1 == 1).await;
    assert_eq!(site.punches(0), []);
    assert_eq!(site.info(0).await["wrong_checksums"], 1);
    site.line.punch(0, "1001");
    site.until_stored(0, 1).await;
    site.until("it hears ACK", |site| site.line.forgotten(0) == 1).await;
    assert!(site.reports(0).contains(&Report::Delivery(Delivery::Acked)));
    site.running.close().await;
}

/// What wrong speed and parity look like from here: bytes that are not those that were sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_wrong_speed_or_parity_gives_nobody() {
    for product in [Product::Rdm6300, Product::Digits, Product::Waiting] {
        let site = Site::start(Way::Serial, &[product], LONG).await;
        for round in 0..40_u64 {
            let frame = product.frame("01", round, &(1000 + round).to_string());
            let parity: Vec<u8> = frame.iter().map(|byte| byte | 0x80).collect();
            let speed: Vec<u8> = frame.iter().flat_map(|byte| [byte << 3 | 6, byte >> 2 & 0xf8, 0]).collect();
            site.line.send(if round % 2 == 0 { &parity } else { &speed });
            site.line.send(&[0; 20]); // a break
            sleep(Duration::from_millis(5)).await;
        }
        site.until_troubled(0, Trouble::LineNoisy).await;
        assert_eq!(site.punches(0), [], "{product:?}");
        assert_eq!(site.running.gateway.set_aside(&name(0)), [], "noise does not fill the disk");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_one_by_one_and_frames_come_in_one_piece() {
    for way in WAYS {
        let site = Site::start(way, &[Product::Rdm6300], "repeat_window = \"0ms\"\n").await;
        site.line.pace(Some((1, Duration::from_millis(50))));
        site.line.punch(0, "1001");
        site.until_stored(0, 1).await;
        site.line.pace(None);
        for person in 0..200 {
            site.line.punch(0, &(2000 + person).to_string());
        }
        site.until_stored(0, 201).await;
        assert_eq!(site.people(0)[200], "0000002199");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_frames_in_one_go_are_as_many_punches() {
    for way in WAYS {
        let site = Site::start(way, &[Product::Rdm6300], "repeat_window = \"0ms\"\n").await;
        site.until_online(0).await;
        let frame = |number: u32| Product::Rdm6300.frame("", 0, &(1_000_000 + number).to_string());
        site.line.send(&(0..10_000).flat_map(frame).collect::<Vec<u8>>());
        let begun = Instant::now();
        while site.info(0).await["stored"] != 10_000 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{way:?}: {}", site.info(0).await);
            sleep(Duration::from_millis(100)).await;
        }
        let info = site.info(0).await;
        assert_eq!((&info["wrong_checksums"], &info["noise"], &info["frames"]), (&0.into(), &0.into(), &10_000.into()));
        assert_eq!(site.people(0)[9_999], "0001009999");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_twice_or_out_of_turn_is_no_second_punch_and_no_others() {
    let site = Site::start(Way::Serial, &[Product::Polled, Product::Polled], LONG).await;
    site.until_online(0).await;
    site.until_online(1).await;
    for _ in 0..3 {
        // Whoever is asked just then, the frame says whose it is.
        site.line.send(&Product::Polled.frame("01", 0, "1001"));
        site.line.send(&Product::Polled.frame("02", 0, "1002"));
        site.line.send(&Product::Polled.frame("09", 0, "1009"));
        sleep(Duration::from_millis(70)).await;
    }
    site.line.punch(1, "1003");
    site.until_stored(0, 1).await;
    site.until_stored(1, 2).await;
    assert_eq!((site.people(0), site.people(1)), (vec!["1001".into()], vec!["1002".into(), "1003".into()]));
    assert_eq!(site.running.gateway.strangers()[0].serial, "09");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_is_dropped_and_harms_none_behind_it() {
    let site = Site::start(Way::Tcp, &[Product::Digits], LONG).await;
    site.line.send(b"00105");
    sleep(Duration::from_millis(900)).await;
    site.line.punch(0, "0010597059");
    site.until_stored(0, 1).await;
    assert_eq!(site.people(0), ["0010597059"]);
    assert!(site.until_troubled(0, Trouble::LineNoisy).await.starts_with("half a frame"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_and_says_nothing_is_kept_raw_and_once() {
    let site = Site::start(Way::Tcp, &[Product::Digits], LONG).await;
    for _ in 0..5 {
        site.line.send(b"CARD ERROR 17\r\n");
    }
    site.line.punch(0, "1001");
    site.until_stored(0, 1).await;
    let kept = site.running.gateway.set_aside(&name(0));
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].raw.as_slice(), kept[0].reason.as_str()),
        (&b"CARD ERROR 17"[..], "it is not written as this reader writes")
    );
    site.until_troubled(0, Trouble::RecordsSetAside).await;
    // One that talks rubbish without end does not fill the disk.
    for number in 0..200 {
        site.line.send(format!("CARD ERROR {number}\r\n").as_bytes());
    }
    site.line.punch(0, "1002");
    site.until_stored(0, 2).await;
    assert!(site.running.gateway.set_aside(&name(0)).len() <= 60);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_on_one_line_are_told_apart_by_their_unit() {
    let site = Site::start(Way::Serial, &[Product::Direction, Product::Direction], LONG).await;
    site.line.punch(0, "1001");
    site.line.punch(1, "1001");
    site.line.send(b"R07:1003:IN\nR07:1004:OUT\n");
    site.line.punch(1, "1002");
    site.until_stored(0, 1).await;
    site.until_stored(1, 2).await;
    assert_eq!(site.people(1), ["1001", "1002"]);
    assert_eq!(site.punches(0)[0].direction.raw, Some(Raw::Text("IN".into())));
    let strangers = site.running.gateway.strangers();
    assert_eq!(strangers.len(), 2);
    assert!(strangers[0].serial == "07" && strangers[0].block.contains("unit = \"07\""), "{strangers:?}");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_readers_are_asked_in_turn_and_missed_when_they_are_silent() {
    for way in WAYS {
        let more = "timeout = \"1500ms\"\n";
        let site = Site::start(way, &[Product::Polled, Product::Polled], more).await;
        site.until_online(0).await;
        site.until_online(1).await;
        site.line.punch(0, "1001");
        site.line.punch(1, "1002");
        site.until_stored(0, 1).await;
        site.until_stored(1, 1).await;
        site.line.switch(0, false);
        assert_eq!(site.until_offline(0).await, "no answer within 1500 ms");
        site.line.punch(1, "1003");
        site.until_stored(1, 2).await;
        site.line.switch(0, true);
        site.until_online(0).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_not_heard_makes_no_second_punch() {
    for way in WAYS {
        let site = Site::start(way, &[Product::Waiting], "repeat_window = \"0ms\"\n").await;
        for round in 1..=5 {
            site.line.repeat(0);
            site.line.punch(0, "1001");
            site.until("it is let go", |site| site.line.forgotten(0) == round).await;
            assert_eq!(site.punches(0).len(), round, "the same card, a number each: {way:?}");
        }
        site.running.close().await;
    }
}

/// A frame whose answer is on its way when it comes again is answered once when the next frame follows, lest that be forgotten
/// unheard; and twice when none does, since the first answer may have been lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_crosses_its_answer_is_answered_once() {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let block = format!("address = \"tcp://{}\"\nreader = \"ack-line\"\n{LONG}", door.local_addr().unwrap());
    let running = Running::start(&Blocks(vec![(name(0), block)]));
    let mut reader = door.accept().await.unwrap().0;
    let frame = |number: u64| Product::Waiting.frame("", number, &format!("{}", 1000 + number));
    let (mut heard, mut number) = ([0; 8], 1);
    loop {
        reader.write_all(&frame(number)).await.unwrap();
        assert_eq!((reader.read(&mut heard).await.unwrap(), heard[0]), (1, 0x06));
        let answered = Instant::now();
        reader.write_all(&[frame(number), frame(number + 1)].concat()).await.unwrap();
        assert_eq!((reader.read(&mut heard).await.unwrap(), heard[0]), (1, 0x06));
        number += 2;
        if timeout(Duration::from_millis(400), reader.read(&mut heard)).await.is_err() {
            break;
        }
        // On a machine that is busy the second frame may come long after the answer.
        assert!(number < 20, "it was answered twice, {} ms after the first time", answered.elapsed().as_millis());
    }
    for _ in 0..2 {
        reader.write_all(&frame(number)).await.unwrap();
        assert_eq!((reader.read(&mut heard).await.unwrap(), heard[0]), (1, 0x06));
    }
    let count = number as usize;
    running.until_stored("each of them is stored", 0, count).await;
    assert_eq!(running.people(0).len(), count);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_answer_nothing_is_lost_or_doubled() {
    let site = Site::start(Way::Tcp, &[Product::Waiting], LONG).await;
    let (line, mut running) = (site.line, site.running);
    for round in 1..=6_usize {
        line.repeat(0); // the answer is lost
        running.gateway.set_slow(Duration::from_millis(if round % 2 == 0 { 200 } else { 0 }));
        line.punch(0, &(1000 + round).to_string());
        sleep(Duration::from_millis(100 + 40 * round as u64)).await;
        let gateway = running.kill().await;
        gateway.set_slow(Duration::ZERO);
        sleep(Duration::from_millis(1100)).await; // another second: it must not get another id
        running = Running::start_behind(gateway, &Blocks::of(&line, &[Product::Waiting], LONG));
        running.until_stored("it is stored", 0, round).await;
        while line.waiting(0) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(running.people(0).len(), 6);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_a_crash_made_old_gives_no_second_id_and_misses_nobody() {
    let site = Site::start(Way::Tcp, &[Product::Waiting], LONG).await;
    let Site { line, running } = site;
    let (gateway, reader) = (running.gateway.clone(), name(0));
    line.punch(0, "1001");
    running.until_stored("the first", 0, 1).await;
    running.gateway.until("it is answered", Duration::from_secs(5), |_| line.waiting(0) == 0).await;
    let old = gateway.load_cursor(&reader, &reader).await.unwrap();
    for person in 1002..1005 {
        line.punch(0, &person.to_string());
    }
    running.until_stored("the next", 0, 4).await;
    running.gateway.until("they are answered", Duration::from_secs(5), |_| line.waiting(0) == 0).await;
    line.repeat(0); // the answer is lost
    line.punch(0, "1005");
    running.until_stored("the last", 0, 5).await;
    let gateway = running.kill().await;
    gateway.save_cursor(&reader, &reader, old).await.unwrap();
    sleep(Duration::from_millis(1100)).await; // another second: it must not get another id
    let running = Running::start_behind(gateway, &Blocks::of(&line, &[Product::Waiting], LONG));
    running.gateway.until("it is answered at last", Duration::from_secs(10), |_| line.waiting(0) == 0).await;
    line.punch(0, "1006");
    running.until_stored("one more", 0, 6).await;
    let people: Vec<String> = running.gateway.punches(&reader).into_iter().map(|punch| punch.person).collect();
    assert_eq!(people, ["1001", "1002", "1003", "1004", "1005", "1006"]);
    let told = |it: &Report| matches!(it, Report::Trouble { trouble: Trouble::EventsLost, .. });
    assert!(!running.gateway.reports(&reader).iter().any(told), "each of them was stored");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_jump_tell_what_was_missed() {
    let site = Site::start(Way::Tcp, &[Product::Waiting], LONG).await;
    site.line.send(&Product::Waiting.frame("", 7, "1001"));
    site.line.send(&Product::Waiting.frame("", 11, "1002"));
    site.until_stored(0, 2).await;
    let cause = site.until_troubled(0, Trouble::EventsLost).await;
    assert_eq!(cause, "its number went from 7 to 11; 3 reads were missed so far");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_server_that_leaves_is_dialled_again() {
    let site = Site::start(Way::Tcp, &[Product::Rdm6300], LONG).await;
    for round in 1..=3 {
        site.line.cut();
        assert!(site.until_offline(0).await.contains("the line is gone"));
        site.line.punch(0, &(1000 + round).to_string());
        site.until_stored(0, round).await;
        assert_eq!(site.is_online(0), Some(true));
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_was_pulled_is_served_again_within_ten_seconds_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let by_id = folder.path().join("usb-FTDI_A10KZ1-if00-port0");
    let plug = || {
        let (far, near) = SerialStream::pair().unwrap();
        let device = near.name().unwrap();
        drop(near);
        symlink(&device, &by_id).unwrap();
        far
    };
    let mut far = plug();
    let block = format!("address = \"serial://{}?baud=9600\"\nreader = \"rdm6300\"\n", by_id.display());
    let running = Running::start(&Blocks(vec![(name(0), block)]));
    let online = |gateway: &driver_api::fake::FakeGateway| {
        gateway.reports(&name(0)).iter().rev().find_map(|it| match it {
            Report::Online => Some(true),
            Report::Offline { .. } => Some(false),
            _ => None,
        }) == Some(true)
    };
    let patience = Duration::from_secs(30);
    running.gateway.until("it is served", patience, online).await;
    far.write_all(&Product::Rdm6300.frame("", 0, "1001")).await.unwrap();
    running.until_stored("the first punch", 0, 1).await;
    fs::remove_file(&by_id).unwrap();
    drop(far);
    running.gateway.until("the pulled cable is noticed", patience, |gateway| !online(gateway)).await;
    let mut far = plug();
    let back = Instant::now();
    running.gateway.until("it is served again", patience, online).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    far.write_all(&Product::Rdm6300.frame("", 0, "1002")).await.unwrap();
    running.until_stored("the second punch", 0, 2).await;
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_at_the_port_is_told() {
    let line = Simulator::serial(&[Product::Rdm6300]).unwrap();
    let held = Running::start(&Blocks::of(&line, &[Product::Rdm6300], ""));
    sleep(Duration::from_millis(300)).await;
    let site = Site { running: Running::start(&Blocks::of(&line, &[Product::Rdm6300], "")), line };
    assert!(site.until_offline(0).await.contains("another program holds it"));
    held.close().await;
    site.until_online(0).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_cannot_do_is_refused() {
    let site = Site::start(Way::Tcp, &[Product::Rdm6300], "").await;
    let unlock = Operation::Unlock { door: 1, seconds: 3 };
    assert_eq!(site.ask(0, unlock).await, Err(JobFailed::NotSupported));
    site.running.close().await;
}
