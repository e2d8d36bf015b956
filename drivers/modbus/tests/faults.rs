//! What may go wrong on a line: each ends in something counted and named, never in a wrong punch.

mod support;

use std::time::Duration;

use driver_api::{Delivery, JobFailed, Operation, Origin, Report, Trouble, contract::Running};
use driver_modbus::sim::{Device, Fault, Product, Simulator};
use support::{Blocks, QUICK, Site, WAYS, Way, block, name};
use tokio::time::{Instant, sleep};

const FIFO: &[Product] = &[Product::Fifo];

/// A fault in the midst of punches; all of them arrive, each once and unchanged.
async fn survives(way: Way, faults: &[Fault]) -> Site {
    let site = Site::start(way, FIFO).await;
    site.until_online(1).await;
    let mut expected = Vec::new();
    for (round, fault) in faults.iter().enumerate() {
        for person in 0..3 {
            expected.push((1000 + round * 10 + person).to_string());
            site.line.punch(1, 1000 + round as u32 * 10 + person as u32);
        }
        site.line.harm(Some(1), [fault.clone()]);
        site.until_stored(1, expected.len()).await;
    }
    site.until("every fault has happened", |site| site.line.faults_left() == 0).await;
    site.until("everything is acknowledged", |site| site.line.with(1, |device| device.waiting()) == 0).await;
    assert_eq!(site.people(1), expected, "{way:?} {faults:?}");
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_before_and_inside_frames_makes_no_punch() {
    for way in WAYS {
        let noise = [vec![0x00], vec![0xff; 3], vec![0x01, 0x03], (0..200).collect(), vec![0x11; 40]];
        let faults: Vec<Fault> =
            noise.into_iter().flat_map(|noise| [Fault::Before(noise.clone()), Fault::Inside(noise)]).collect();
        survives(way, &faults).await.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_between_frames_is_dropped() {
    for way in [Way::RtuOverTcp, Way::Serial] {
        // Behind a right answer: it lies there when the next question is asked, unless the machine is busy and it comes later.
        let site = survives(way, &vec![Fault::Twice; 4]).await;
        assert!(site.failed_reads(1) < 4, "a doubled answer costs nothing: {way:?}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_a_wrong_unit_and_single_bytes_do_no_harm() {
    for way in WAYS {
        let mut faults = vec![Fault::WrongUnit, Fault::Dripping, Fault::WrongUnit, Fault::Lost, Fault::Unheard];
        if way != Way::Tcp {
            faults.push(Fault::Flipped); // on TCP the network itself has checksums
        }
        let site = survives(way, &faults).await;
        assert!(site.failed_reads(1) >= 2, "faults are counted: {way:?}");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_nobodys_answer() {
    for way in WAYS {
        // Two units with the same registers: on a serial line their answers differ in one byte.
        let products = [Product::Fifo, Product::Fifo];
        let site = Site::start(way, &products).await;
        site.until_online(1).await;
        site.until_online(2).await;
        for round in 0..4 {
            site.line.harm(None, [Fault::Late(Duration::from_millis(170 + 40 * round))]);
            site.line.punch(1, 1000 + round as u32);
            site.line.punch(2, 2000 + round as u32);
            site.until_stored(1, round as usize + 1).await;
            site.until_stored(2, round as usize + 1).await;
        }
        assert_eq!(site.people(1), ["1000", "1001", "1002", "1003"], "{way:?}");
        assert_eq!(site.people(2), ["2000", "2001", "2002", "2003"], "{way:?}");
        site.running.close().await;
    }
}

/// Lengths of nothing, of all that there is and beyond; answers to another question, and to the one before.
#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_lie_and_answers_to_other_questions_are_counted_and_make_no_punch() {
    for way in WAYS {
        let mut faults: Vec<Fault> = [0, 1, 7, 0x7f, 0x80, 0xff].map(Fault::Length).into();
        faults.extend([0, 1, 3, 125, 127].map(Fault::Registers));
        faults.extend([0, 1, 6, 0x2b, 0x7f, 0x83].map(Fault::Function));
        faults.extend([Fault::Echo, Fault::Echo]);
        let count = faults.len();
        let site = survives(way, &faults).await;
        assert!(site.failed_reads(1) >= count / 2, "{way:?}: {} of {count} were told", site.failed_reads(1));
        let told = |it: &Report| matches!(it, Report::Trouble { trouble: Trouble::LineNoisy, .. });
        assert!(site.reports(1).iter().any(told), "{way:?}: the line is called noisy");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_are_told_in_words_and_end() {
    let site = Site::start(Way::Tcp, FIFO).await;
    site.until_online(1).await;
    site.line.harm(Some(1), [Fault::Exception(2), Fault::Exception(6), Fault::Exception(0x0b), Fault::Exception(0x77)]);
    site.line.punch(1, 1000);
    site.until_stored(1, 1).await;
    assert!(site.until_troubled(1, Trouble::LogUnreadable).await.contains("no such address: the map does not fit"));
    let why: Vec<String> = site
        .reports(1)
        .into_iter()
        .filter_map(|report| match report {
            Report::FailedRead { why } => Some(why),
            _ => None,
        })
        .collect();
    for words in ["exception 06: it is busy", "exception 0B: it does not answer the Modbus gateway", "exception 77"] {
        assert!(why.iter().any(|why| why.contains(words)), "{words}: {why:?}");
    }
    site.until("it is served again", |site| site.trouble(1, Trouble::LogUnreadable).is_none()).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_makes_no_twin_and_no_loss() {
    for way in WAYS {
        let site = Site::start(way, FIFO).await;
        site.until_online(1).await;
        for round in 0..6_u32 {
            // Status, window, acknowledgement: each in turn is done and its answer lost, or never heard.
            site.line.punch(1, 1000 + round);
            site.line.punch(1, 2000 + round);
            let fault = if round % 2 == 0 { Fault::Lost } else { Fault::Unheard };
            site.line.harm(Some(1), vec![fault; 1 + (round as usize % 3)]);
            site.until_stored(1, 2 * round as usize + 2).await;
        }
        site.until("all is acknowledged", |site| site.line.with(1, |device| device.forgotten()) == 12).await;
        assert_eq!(site.punches(1).len(), 12);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_reading_and_acknowledging_nothing_is_lost_or_doubled() {
    for product in [Product::Fifo, Product::Inveo] {
        let site = Site::start(Way::Tcp, &[product]).await;
        site.until_online(1).await;
        let mut running = site.running;
        for round in 1..=5_u32 {
            // The acknowledgement never arrives: the punch is stored, and still in the terminal.
            running.gateway.set_slow(Duration::from_millis(30));
            site.line.punch(1, 1000 + round);
            let stored = round as usize;
            running.until_stored("it is stored", 0, stored).await;
            site.line.harm(Some(1), [Fault::Unheard]);
            // The next process has the same disk.
            running = restart(running, &site.line, product).await;
            running.until_stored("nothing was lost", 0, stored).await;
        }
        let gateway = running.gateway.clone();
        gateway
            .until("all is acknowledged", Duration::from_secs(30), |_| {
                site.line.with(1, |device| device.waiting()) == 0
            })
            .await;
        assert_eq!(running.people(0).len(), 5, "{product:?}");
        running.close().await;
    }
}

/// Drops the driver where it stands, and runs another one behind the same gateway.
async fn restart(running: Running, line: &Simulator, product: Product) -> Running {
    Running::start_behind(running.kill().await, &Blocks::of(Way::Tcp, &[product], line, QUICK))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_cable_is_noticed_and_followed_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ttyUSB0");
    let plug = |line: &Simulator| {
        let _ = std::fs::remove_file(&path); // it may be the first time
        std::os::unix::fs::symlink(line.path(), &path).unwrap();
    };
    let line = Simulator::serial(vec![(1, Device::new(Product::Fifo))]).unwrap();
    plug(&line);
    let address = format!("address = \"serial://{}?baud=19200&parity=even\"", path.display());
    let block = format!("{address}\nmap = \"event-fifo\"\n{QUICK}");
    let running = Running::start(&Blocks(vec![(name(1), block)]));
    line.punch(1, 1000);
    running.until_stored("a punch before", 0, 1).await;
    let kept = line.with(1, |device| device.clone());
    drop(line);
    std::fs::remove_file(&path).unwrap();
    let gateway = running.gateway.clone();
    let offline = |report: &Report| matches!(report, Report::Offline { why } if why.contains("plug the adapter in"));
    gateway
        .until("it is told offline", Duration::from_secs(10), |gateway| gateway.reports(&name(1)).iter().any(offline))
        .await;
    let mut kept = kept;
    kept.punch(2000);
    let line = Simulator::serial(vec![(1, kept)]).unwrap();
    plug(&line);
    let back = Instant::now();
    running.until_stored("a punch after", 0, 2).await;
    assert!(back.elapsed() < Duration::from_secs(10), "an adapter that is back is served within 10 s");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_unit_does_not_delay_its_neighbour() {
    for way in [Way::Tcp, Way::Serial] {
        let site = Site::with(way, &[Product::Fifo, Product::Fifo], QUICK, |line| line.switch(2, false)).await;
        site.until_online(1).await;
        assert!(site.until_offline(2).await.contains("no answer within 150 ms"));
        // Its first attempts are dear; then it is asked seldom.
        sleep(Duration::from_secs(3)).await;
        let mut delays = Vec::new();
        for person in 0..200 {
            let begun = Instant::now();
            site.line.punch(1, 1000 + person);
            site.until_stored(1, person as usize + 1).await;
            delays.push(begun.elapsed());
        }
        delays.sort();
        // A look takes its turn each 20 ms; the test itself looks each 20 ms at the most.
        let p97 = delays[193];
        assert!(p97 < Duration::from_millis(120), "{way:?}: {p97:?}");
        site.line.switch(2, true);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_comes_back_is_served_again() {
    let site = Site::with(Way::RtuOverTcp, &[Product::Fifo, Product::Fifo], QUICK, |line| line.switch(1, false)).await;
    site.until_online(2).await;
    site.until_offline(1).await;
    site.line.punch(1, 1000);
    site.line.switch(1, true);
    site.until_stored(1, 1).await;
    site.until_online(1).await;
    assert_eq!(site.punches(1)[0].origin, Origin::Backfill);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_and_jumping_numbers_are_told_with_their_number() {
    let site = Site::with(Way::Tcp, FIFO, QUICK, |line| {
        line.with(1, |device| {
            device.capacity = 16;
            device.count_from(65_530);
            (0..10).for_each(|person| device.punch(1000 + person));
        });
    })
    .await;
    // The numbers go over 65535 without a loss.
    site.until_stored(1, 10).await;
    assert!(site.trouble(1, Trouble::EventsLost).is_none());
    site.line.switch(1, false);
    site.until_offline(1).await;
    (0..20).for_each(|person| site.line.punch(1, 2000 + person));
    site.line.switch(1, true);
    site.until_stored(1, 26).await;
    let cause = site.until_troubled(1, Trouble::EventsLost).await;
    assert!(cause.contains("memory was full") || cause.contains("4 lost"), "{cause}");
    site.until("the number is told", |site| {
        site.trouble(1, Trouble::EventsLost).is_some_and(|it| it.contains("4 lost"))
    })
    .await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_makes_no_sense_is_never_acknowledged() {
    let site = Site::with(Way::Tcp, FIFO, QUICK, |line| {
        line.with(1, |device| {
            device.punch(1000);
            device.registers.extend([(0x100, 3), (0x101, 42)]);
        });
    })
    .await;
    let cause = site.until_troubled(1, Trouble::LogUnreadable).await;
    assert!(cause.contains("65497 events wait, and has room for 256"), "{cause}");
    assert_eq!(site.line.with(1, |device| device.writes.len()), 0);
    site.line.with(1, |device| device.registers.clear());
    site.until_stored(1, 1).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_map_says_what_it_can_promise() {
    let products = [Product::Fifo, Product::Inveo, Product::RfIdeas, Product::Duali, Product::Counter];
    let site = Site::start(Way::Tcp, &products).await;
    let classes = [Delivery::Acked, Delivery::Link, Delivery::None, Delivery::None, Delivery::None];
    for (unit, class) in (1..).zip(classes) {
        site.until_online(unit).await;
        assert!(site.reports(unit).contains(&Report::Delivery(class)), "unit {unit} is not {class:?}");
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latches_and_counters_work_as_their_maps_say() {
    let products = [Product::Inveo, Product::RfIdeas, Product::Duali, Product::Counter];
    let site = Site::start(Way::Serial, &products).await;
    for unit in 1..=4 {
        site.until_online(unit).await;
    }
    site.line.with(4, |device| device.passages = [u32::MAX, 7]);
    for (count, person) in (1..).zip([0x00ab_cdef, 0x00ab_cdef, 0x1234]) {
        site.line.punch(1, person);
        site.until_stored(1, count).await;
        site.line.punch(2, person);
        site.until_stored(2, count).await;
        site.line.punch(4, 0);
    }
    assert_eq!(
        site.people(1),
        ["000000000000abcdef", "000000000000abcdef", "00000000000000001234"].map(|it| format!("{it:0>20}"))
    );
    assert_eq!(site.people(2), ["00abcdef", "00abcdef", "00001234"]);
    assert_eq!(site.punches(2)[0].native.as_deref(), Some("1"));
    // The same card twice is one event to a reader that only shows it.
    for person in [77, 77, 78] {
        site.line.punch(3, person);
        sleep(Duration::from_millis(100)).await;
    }
    site.until_stored(3, 2).await;
    assert_eq!(site.people(3), ["00000077", "00000078"]);
    let passages = |site: &Site| {
        site.reports(4).into_iter().rev().find_map(|report| match report {
            Report::Passages { total } => Some(total),
            _ => None,
        })
    };
    assert!(passages(&site).is_some());
    assert_eq!(site.punches(4).len(), 0, "a counter knows nobody");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_that_passed_unseen_are_counted() {
    let site = Site::start(Way::Tcp, &[Product::RfIdeas]).await;
    site.until_online(1).await;
    site.line.with(1, |device| (1..=3).for_each(|person| device.punch(person)));
    site.until_stored(1, 1).await;
    assert_eq!(site.people(1), ["00000003"]);
    assert!(site.until_troubled(1, Trouble::EventsLost).await.contains("2 lost"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_open_and_close_and_clocks_are_set() {
    let site = Site::start(Way::Serial, &[Product::Fifo, Product::RfIdeas]).await;
    site.until_online(1).await;
    site.until_online(2).await;
    site.ask(1, Operation::Unlock { door: 1, seconds: 1 }).await.unwrap();
    assert_eq!(site.line.with(1, |device| device.coils.get(&0).copied()), Some(true));
    site.until("the door closes by itself", |site| {
        site.line.with(1, |device| device.coils.get(&0).copied()) == Some(false)
    })
    .await;
    let refused = site.ask(1, Operation::Unlock { door: 2, seconds: 1 }).await;
    assert!(matches!(refused, Err(JobFailed::Refused(why)) if why.contains("1 doors")));
    assert!(matches!(site.ask(2, Operation::Unlock { door: 1, seconds: 1 }).await, Err(JobFailed::Refused(_))));
    site.ask(1, Operation::TimeSet).await.unwrap();
    assert!(site.line.with(1, |device| device.writes.iter().any(|(fc, addr, _)| (*fc, *addr) == (16, 0x120))));
    assert_eq!(site.ask(2, Operation::TimeSet).await, Err(JobFailed::NotSupported));
    assert_eq!(site.ask(1, Operation::Info).await.unwrap()["delivery"], "acked");
    // A door that cannot be reached is told, not tried in secret.
    site.line.switch(1, false);
    site.line.harm(Some(1), []);
    let silent = site.ask(1, Operation::Unlock { door: 1, seconds: 1 }).await;
    assert!(matches!(silent, Err(JobFailed::NoAnswer(_) | JobFailed::NotConnected)), "{silent:?}");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_makes_no_sense_is_kept_raw_and_holds_nobody_up() {
    let line = support::simulate(Way::Tcp, FIFO).await;
    line.with(1, |device| {
        device.append([1, 0, 0, 0x6a5f, 1, 1, 0, 2]); // nobody
        device.punch(1000);
    });
    let running = Running::start(&Blocks(vec![(name(1), block(Way::Tcp, &line, 1, "event-fifo", QUICK))]));
    running.until_stored("its neighbour", 0, 1).await;
    let aside = running.gateway.set_aside(&name(1));
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].raw[..4], [0, 1, 0, 0]);
    assert!(aside[0].reason.contains("empty"));
    running.close().await;
}
