//! Bad input and faults: what a terminal, or whoever sits on its wire, may do to us.

mod support;

use driver_api::{Operation, Origin, Report, Trouble};
use driver_zk::{
    command::{ask, reply},
    record::Form,
    sim::{Bulk, Fault, Harm, Model, Second},
};
use support::{NAME, Site};
use tokio::io::AsyncWriteExt;

const QUICK: &str = "timeout = \"250ms\"\nreconcile = \"200ms\"";

/// A terminal with some punches and this fault at its first answers; all of it must arrive in the end.
async fn survives(model: Model, fault: Fault) -> Site {
    let what = format!("{fault:?}");
    let site = Site::with(Model { inline: 0, ..model }, QUICK, |terminal| {
        terminal.fill(100);
        terminal.harm(fault);
    })
    .await;
    site.running.until_stored(&what, 0, 100).await;
    site.until_settled().await;
    assert_eq!(site.punches().len(), 100, "{what}: something was invented");
    site.terminal.punch("77");
    site.running.until_stored(&what, 0, 101).await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_anywhere_is_not_used() {
    for bytes in (0..20).step_by(3) {
        survives(Model::default(), Fault::once(ask::GET_TIME, Harm::CutAfter(bytes))).await.running.close().await;
    }
    for command in [ask::CONNECT, ask::SIZES, ask::BUFFER, ask::CHUNK, ask::OPTION] {
        survives(Model::default(), Fault::once(command, Harm::CutAfter(13))).await.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_falls_silent_is_dialled_anew() {
    for command in [ask::CONNECT, ask::GET_TIME, ask::EVENT, ask::BUFFER, ask::CHUNK, ask::FREE] {
        survives(Model::default(), Fault::once(command, Harm::Stall)).await.running.close().await;
        // Half a frame and silence is the same.
        let half = Harm::Bytes(vec![0x50, 0x50, 0x82, 0x7d, 12, 0, 0, 0, 0xd0, 7]);
        survives(Model::default(), Fault::once(command, half)).await.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_is_told_and_its_packet_not_believed() {
    for command in [ask::GET_TIME, ask::SIZES, ask::BUFFER, ask::CHUNK] {
        let site = survives(Model::default(), Fault::once(command, Harm::Corrupt)).await;
        site.until_reported("the noise", |report| {
            matches!(report, Report::Trouble { trouble: Trouble::LineNoisy, .. })
        })
        .await;
        // A time out of that packet would have been days off.
        assert!(site.gateway().reports(NAME).iter().all(|report| match report {
            Report::Clock(clock) => clock.skew_ms.unwrap().abs() < 5000,
            _ => true,
        }));
        site.until_relieved(Trouble::LineNoisy).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_that_always_fail_can_be_tolerated() {
    let site = Site::with(Model { inline: 0, ..Model::default() }, "tolerate_checksum = true", |terminal| {
        terminal.fill(100);
        // The simulator flips a bit of the last byte: here that is padding of the last record.
        terminal.harm(Fault::always(ask::CHUNK, Harm::Corrupt));
    })
    .await;
    site.until_stored(100).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    for command in [ask::GET_TIME, ask::SIZES, ask::BUFFER, ask::CHUNK] {
        survives(Model::default(), Fault::once(command, Harm::Stale)).await.running.close().await;
    }
}

/// A question that was damaged on its way is answered with an error by terminals that do not look at checksums.
#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_that_is_not_told_once_gives_no_punch_another_id() {
    let refused = |times| Fault { times, ..Fault::once(ask::OPTION, Harm::Code(reply::ERROR)) };
    for times in 1..4 {
        let site = survives(Model::default(), refused(times)).await;
        site.terminal.harm(refused(times));
        site.terminal.harm(Fault::once(ask::SIZES, Harm::Close));
        let before = site.commands(ask::CONNECT);
        site.until("it is served again", |site| site.commands(ask::CONNECT) >= before + 2).await;
        site.terminal.punch("78");
        site.until_stored(102).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_tells_no_serial_number_any_more_is_not_read_until_a_person_says_who_it_is() {
    let site = survives(Model::default(), Fault::once(ask::SIZES, Harm::Close)).await;
    site.terminal.harm(Fault::always(ask::OPTION, Harm::Code(reply::ERROR)));
    site.terminal.harm(Fault::once(ask::SIZES, Harm::Close));
    let cause = site.until_troubled(Trouble::WrongTerminal).await;
    let serial = Model::default().serial;
    assert_eq!(cause, format!("it told the serial number {serial:?} before, and tells none now"));
    site.terminal.punch("78");
    site.terminal.heal();
    site.until_stored(102).await;
    site.until_relieved(Trouble::WrongTerminal).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_reply_ids_end_the_session_unless_they_are_allowed() {
    survives(Model::default(), Fault::once(ask::CHUNK, Harm::Foreign)).await.running.close().await;
    let site = Site::with(Model::default(), "loose_reply_ids = true", |terminal| {
        terminal.fill(10);
        terminal.harm(Fault { command: None, times: u32::MAX, harm: Harm::Foreign });
    })
    .await;
    site.until_stored(10).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_between_the_packets_of_an_answer_arrives_and_so_does_the_answer() {
    let site = Site::start(Model { inline: 0, data_packet: 1000, ..Model::default() }).await;
    site.until_settled().await;
    site.terminal.fill(100);
    site.terminal.harm(Fault::once(ask::GET_TIME, Harm::Event("70".into())));
    site.terminal.harm(Fault::once(ask::CHUNK, Harm::Event("80".into())));
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    let live = |person: &str| {
        site.punches().iter().any(|punch| punch.person.starts_with(person) && punch.origin == Origin::Live)
    };
    assert!(live("80"), "the event was lost between packets");
    assert_eq!(site.punches().iter().filter(|punch| punch.origin == Origin::Reread).count(), 100);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_cannot_be_are_refused_before_anything_is_asked_for() {
    for size in [0xffff_fff0, 3, 0] {
        let site = Site::with(Model { inline: 0, ..Model::default() }, QUICK, |terminal| {
            terminal.fill(10);
            terminal.harm(Fault::always(ask::BUFFER, Harm::Size(size)));
        })
        .await;
        let cause = site.until_troubled(Trouble::LogUnreadable).await;
        assert!(cause.contains(&format!("claims {size} bytes")), "{cause}");
        assert_eq!(site.commands(ask::CHUNK), 0);
        site.terminal.punch("77");
        site.running.until_stored("live punches still come", 0, 1).await;
        site.terminal.heal();
        site.until_stored(11).await;
        site.until_relieved(Trouble::LogUnreadable).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_chunk_is_asked_for_again_and_never_passed_on() {
    let model = Model { inline: 0, ..Model::default() };
    let fault = Fault { times: 3, ..Fault::once(ask::CHUNK, Harm::Short) };
    survives(model.clone(), fault).await.running.close().await;
    let site = Site::with(model, QUICK, |terminal| {
        terminal.fill(100);
        terminal.harm(Fault { times: 4, ..Fault::once(ask::CHUNK, Harm::Short) });
    })
    .await;
    let cause = site.until_troubled(Trouble::LogUnreadable).await;
    assert!(cause.contains("failed 4 times: 4003 bytes came of 4004"), "{cause}");
    site.until_stored(100).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_no_known_layout_is_refused() {
    let site = Site::with(Model::default(), QUICK, |terminal| {
        terminal.fill(10);
        terminal.append_raw(&[1; 3]);
    })
    .await;
    assert!(site.until_troubled(Trouble::LogUnreadable).await.contains("no record layout fits 403 bytes"));
    assert!(site.punches().is_empty());
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_log_is_told_with_its_number_and_tried_again() {
    let site = Site::with(Model::default(), QUICK, |terminal| {
        terminal.fill(10);
        terminal.harm(Fault::always(ask::BUFFER, Harm::Code(4989)));
        terminal.harm(Fault::always(ask::LOG, Harm::Code(4989)));
    })
    .await;
    assert!(site.until_troubled(Trouble::LogUnreadable).await.contains("4989"));
    site.terminal.punch("77");
    site.running.until_stored("live punches still come", 0, 1).await;
    site.terminal.heal();
    site.until_stored(11).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_without_snapshots_is_asked_for_one_only_once() {
    let site = Site::with(Model { bulk: Bulk::Legacy, ..Model::default() }, "reconcile = \"200ms\"", |terminal| {
        terminal.fill(10);
    })
    .await;
    site.until_stored(10).await;
    site.terminal.punch("77");
    site.until("the log was read again", |site| site.commands(ask::LOG) > 1).await;
    assert_eq!(site.commands(ask::BUFFER), 1);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_login_is_renewed_with_the_whole_greeting_and_events_still_come() {
    let site = Site::with(Model { comm_key: 1234, ..Model::default() }, &key("1234", QUICK), |_| {}).await;
    site.until_settled().await;
    let asked_who = site.commands(ask::OPTION);
    site.terminal.harm(Fault::once(ask::SIZES, Harm::Code(2005)));
    site.until("the login is renewed", |site| site.commands(ask::CONNECT) == 2).await;
    site.until("events are asked for again", |site| site.terminal.listeners() == 1).await;
    assert!(site.commands(ask::OPTION) > asked_who, "nobody asked who it is");
    site.terminal.punch("77");
    site.until_stored(1).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_unknown_size_is_kept_raw_and_acknowledged() {
    let site = Site::start(Model::default()).await;
    site.until_settled().await;
    for (count, size) in [8, 11, 33].into_iter().enumerate() {
        site.terminal.tell(&vec![7; size]);
        site.until("it is kept", |site| site.gateway().set_aside(NAME).len() == count + 1).await;
    }
    site.until("all are acknowledged", |site| site.terminal.acknowledged() == 3).await;
    site.until_troubled(Trouble::RecordsSetAside).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_with_the_mend() {
    use driver_api::DriverError;
    for (block, part) in [(key("4321", ""), "the comm key is wrong"), (String::new(), "wants a comm key")] {
        let error = first_error(Model { comm_key: 1234, ..Model::default() }, &block).await;
        let DriverError::Refused { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains(part) && reason.contains("Comm."), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_terminal_at_the_address_is_not_booked_under_this_name() {
    let site = Site::with(Model::default(), "serial = \"OTHER1\"", |terminal| terminal.fill(10)).await;
    let cause = site.until_troubled(Trouble::WrongTerminal).await;
    assert!(cause.contains("CEXA204060001") && cause.contains("OTHER1"), "{cause}");
    assert!(site.punches().is_empty());
    assert_eq!(site.commands(ask::BUFFER), 0);
    site.running.close().await;
    let error = first_error(Model::default(), "serial = \"OTHER1\"").await;
    assert!(matches!(error, driver_api::DriverError::Refused { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_terminal_is_called_busy_and_a_web_server_a_web_server() {
    use driver_api::DriverError;
    let terminal =
        driver_zk::sim::Simulator::start(Model { second: Second::Closed, ..Model::default() }, 0).await.unwrap();
    let mut first = tokio::net::TcpStream::connect(terminal.address()).await.unwrap();
    let connect = driver_zk::frame::Packet::new(ask::CONNECT, 0, 0, []);
    first.write_all(&driver_zk::frame::wrap(&connect.encode())).await.unwrap();
    while terminal.journal().is_empty() {
        tokio::task::yield_now().await;
    }
    let error = error_at(&format!("tcp://{}", terminal.address()), "").await;
    assert!(matches!(error, DriverError::Busy { .. }), "{error}");

    let error =
        first_error_with(Model::default(), "", Fault::once(ask::CONNECT, Harm::Bytes(b"HTTP/1.1 400".to_vec()))).await;
    let DriverError::Garbled { what, .. } = &error else { panic!("{error}") };
    assert!(what.contains("web server"), "{what}");

    for length in [0xffff_ff7f_u32, 4] {
        let frame = [&[0x50, 0x50, 0x82, 0x7d][..], &length.to_be_bytes(), &[0xd0, 7, 0, 0]].concat();
        let error = first_error_with(Model::default(), "", Fault::once(ask::CONNECT, Harm::Bytes(frame))).await;
        assert!(matches!(error, DriverError::Garbled { .. }), "{error}");
    }
    let error = first_error_with(Model::default(), "timeout = \"100ms\"", Fault::once(ask::CONNECT, Harm::Stall)).await;
    assert!(matches!(error, DriverError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_are_no_packets_or_fail_their_checksum_are_dropped() {
    for harm in [
        Harm::Bytes(vec![0x50, 0x50, 0x82, 0x7d, 8, 0, 0, 0, 1, 2]),
        Harm::Bytes(vec![1, 2, 3]),
        Harm::Corrupt,
        Harm::Stall,
    ] {
        let site = Site::over("udp", Model::of(Form::Number16), QUICK, |terminal| {
            terminal.fill(100);
            terminal.harm(Fault::once(ask::SIZES, harm.clone()));
            terminal.harm(Fault::once(ask::CHUNK, harm));
        })
        .await;
        site.until_stored(100).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_hangs_up_over_large_chunks_is_asked_for_smaller_ones() {
    let model = Model { largest_chunk: 16_384, ..Model::default() };
    let site = Site::with(model, QUICK, |terminal| terminal.fill(3000)).await;
    site.until_stored(3000).await;
    let connects = site.commands(ask::CONNECT);
    assert!(connects <= 4, "{connects}");
    // And not for larger ones again when they went well.
    for n in 1..5 {
        site.terminal.punch_unheard("77");
        site.terminal.punch_unheard("78");
        site.until("they are read", |site| site.punches().len() >= 3000 + n).await;
    }
    assert_eq!(site.commands(ask::CONNECT), connects);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_always_breaks_the_line_keeps_no_live_punch_back() {
    let model = Model { inline: 0, ..Model::default() };
    let site = Site::with(model, "timeout = \"250ms\"\nreconcile = \"3s\"", |terminal| {
        terminal.fill(100);
        terminal.harm(Fault::always(ask::CHUNK, Harm::CutAfter(20)));
    })
    .await;
    let cause = site.until_troubled(Trouble::LogUnreadable).await;
    assert!(cause.starts_with("2 times in a row its connection ended while its log was read"), "{cause}");
    let live = || site.punches().iter().filter(|punch| punch.origin == Origin::Live).count();
    for n in 0..300 {
        site.terminal.punch(&format!("9{n:03}"));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(live() > 100, "{} of 300 live punches came", live());
    site.terminal.heal();
    site.until("all of it is read", |site| site.punches().len() == 400).await;
    site.until_relieved(Trouble::LogUnreadable).await;
    site.running.close().await;
}

/// A block with a comm key out of a file; the file lives as long as the process.
fn key(key: &str, more: &str) -> String {
    use std::io::Write;
    let path = std::env::temp_dir().join(format!("punchgate-zk-test-{}-{key}.key", std::process::id()));
    writeln!(std::fs::File::create(&path).unwrap(), "{key}").unwrap();
    format!("comm_key_file = {:?}\n{more}", path.to_str().unwrap())
}

async fn first_error(model: Model, block: &str) -> driver_api::DriverError {
    let terminal = driver_zk::sim::Simulator::start(model, 0).await.unwrap();
    error_at(&format!("tcp://{}", terminal.address()), block).await
}

async fn first_error_with(model: Model, block: &str, fault: Fault) -> driver_api::DriverError {
    let terminal = driver_zk::sim::Simulator::start(model, 0).await.unwrap();
    terminal.harm(fault);
    error_at(&format!("tcp://{}", terminal.address()), block).await
}

/// Runs the driver once, until it gives up.
async fn error_at(address: &str, block: &str) -> driver_api::DriverError {
    use driver_api::{Link, Problems, Section, TerminalBlock, fake::FakeGateway};
    let table = format!("address = \"{address}\"\n{block}").parse().unwrap();
    let folder = std::path::Path::new(".");
    let section = Section::new("terminal ", table, folder);
    let block = TerminalBlock { name: NAME.into(), zone: jiff::tz::TimeZone::UTC, section };
    let mut problems = Problems::default();
    let nothing = Section::new("driver.zk.", "".parse().unwrap(), folder);
    let lines = (driver_zk::KIND.plan)(nothing, vec![block], &mut problems);
    let gateway = std::sync::Arc::new(FakeGateway::default());
    let (link, _parts) = Link::new(gateway, &lines[0].terminals);
    let run = tokio::time::timeout(driver_api::contract::PATIENCE, lines[0].driver.run(link));
    run.await.expect("it gives up in time").unwrap_err()
}
