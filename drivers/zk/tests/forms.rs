//! Every form in which terminals keep and tell punches.

mod support;

use driver_api::{Direction, Flag, Origin, Punch, PunchId, Raw, Trouble, Verify};
use driver_zk::{
    command::{ask, reply},
    record::Form,
    sim::{Bulk, Cutting, EventForm, Fault, Harm, Model},
};
use jiff::civil::date;
use support::Site;

const FORMS: [Form; 6] = [Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49), Form::Text(56)];

fn ids(punches: &[Punch]) -> Vec<PunchId> {
    punches.iter().map(|punch| PunchId::of("SN", punch)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_form_is_read_however_its_bytes_arrive() {
    let mut reference: Option<Vec<String>> = None;
    for form in FORMS {
        for (bulk, cutting, data_packet) in [
            (Bulk::Chunks, Cutting::Packets, usize::MAX),
            (Bulk::Chunks, Cutting::Glued, 1000),
            (Bulk::Chunks, Cutting::Pieces(7), 900),
            (Bulk::Bare, Cutting::Packets, 2000),
            (Bulk::Legacy, Cutting::Glued, 700),
        ] {
            let model = Model { bulk, cutting, data_packet, inline: 0, ..Model::of(form) };
            let site = Site::with(model, "", |terminal| terminal.fill(300)).await;
            site.until_stored(300).await;
            let people = site.people();
            assert_eq!(reference.get_or_insert(people.clone()), &people, "{form:?} {bulk:?} {cutting:?}");
            assert!(site.punches().iter().all(|punch| punch.origin == Origin::Backfill));
            site.running.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_terminals_are_read_over_udp() {
    for (form, bulk) in [(Form::A8, Bulk::Chunks), (Form::Number16, Bulk::Legacy), (Form::Text(40), Bulk::Bare)] {
        let model = Model { bulk, ..Model::of(form) };
        let site = Site::over("udp", model, "", |terminal| terminal.fill(1500)).await;
        site.until_stored(1500).await;
        site.until_settled().await;
        site.terminal.punch("77");
        site.until_stored(1501).await;
        assert_eq!(site.punches()[1500].origin, Origin::Live);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_is_read_whole_and_in_order() {
    let site = Site::with(Model::default(), "timeout = \"20s\"", |terminal| terminal.fill(20_000)).await;
    site.until_stored(20_000).await;
    let punches = site.punches();
    assert!(punches.is_sorted_by_key(|punch| punch.local));
    assert_eq!(punches.iter().map(|punch| &*punch.person).collect::<std::collections::HashSet<_>>().len(), 500);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_punch_and_its_record_are_one_punch() {
    for (form, event) in [
        (Form::A8, EventForm::Short10),
        (Form::B8, EventForm::Short14),
        (Form::Number16, EventForm::Long12),
        (Form::Text(40), EventForm::Text(32)),
        (Form::Text(40), EventForm::Text(36)),
        (Form::Text(40), EventForm::Text(37)),
        (Form::Text(49), EventForm::Text(52)),
    ] {
        let model = Model { event, ..Model::of(form) };
        let site = Site::with(model, "", |terminal| {
            terminal.fill(30);
            terminal.add_user(7, "4711", "Ana");
        })
        .await;
        site.until_settled().await;
        site.terminal.punch("4711");
        site.until_stored(31).await;
        let live = site.punches().pop().unwrap();
        assert_eq!((live.origin, &*live.person), (Origin::Live, "4711"), "{event:?}");
        assert_eq!(live.verify.value, Verify::Finger);
        assert_eq!(live.direction.raw, Some(Raw::Number(0)));
        site.until("the event is acknowledged", |site| site.terminal.acknowledged() == 1).await;
        site.terminal.cut();
        site.until("the log was read again", |site| site.gateway().twins() > 0).await;
        assert_eq!(site.punches().len(), 31, "{form:?}: record and event have two ids");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_number_is_named_by_the_user_list_and_an_unknown_one_is_marked() {
    for long_users in [false, true] {
        let model = Model { long_users, ..Model::of(Form::B8) };
        let site = Site::with(model, "", |terminal| {
            terminal.add_user(3, "1003", "Ana");
            terminal.add_user(4, "1004", "Ned");
            terminal.punch("1003");
            terminal.punch("9");
        })
        .await;
        site.until_stored(2).await;
        site.until_settled().await;
        site.terminal.add_user(5, "1005", "Zoe");
        site.terminal.punch("1004");
        site.until_stored(3).await;
        let punches = site.punches();
        assert_eq!(site.people(), ["1003", "9", "1004"]);
        assert_eq!(punches[1].flags, [Flag::UnknownPerson]);
        assert!(punches[0].flags.is_empty() && punches[2].flags.is_empty());
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_list_that_is_not_given_gives_nobody_another_name() {
    let refused = |times| Fault { times, ..Fault::once(ask::USERS, Harm::Code(reply::ERROR)) };
    for fault in [refused(1), refused(2), refused(u32::MAX)] {
        let waits = fault.times == u32::MAX;
        let model = Model { bulk: Bulk::Legacy, ..Model::of(Form::B8) };
        let site = Site::with(model, "", |terminal| {
            terminal.add_user(3, "1003", "Ana");
            terminal.punch_at("1003", date(2026, 11, 20).at(8, 0, 0, 0), 1, 0);
            terminal.harm(fault);
        })
        .await;
        if waits {
            let cause = site.until_troubled(Trouble::LogUnreadable).await;
            assert!(cause.contains("the list of its 1 users cannot be had"), "{cause}");
            site.terminal.punch("1003");
            site.until("the event is acknowledged", |site| site.terminal.acknowledged() == 1).await;
            assert_eq!(site.people(), Vec::<String>::new());
            site.terminal.heal();
        }
        site.until_stored(if waits { 2 } else { 1 }).await;
        site.until_relieved(Trouble::LogUnreadable).await;
        assert!(site.punches().iter().all(|it| it.person == "1003" && it.flags.is_empty()));
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_list_that_is_suddenly_empty_gives_nobody_another_name() {
    let site = Site::with(Model::of(Form::B8), "", |terminal| {
        terminal.add_user(3, "1003", "Ana");
        terminal.punch("1003");
    })
    .await;
    site.until_stored(1).await;
    site.until_settled().await;
    site.terminal.remove_user(3);
    let reconcile = || site.ask(driver_api::Operation::Reconcile { from: None, to: None });
    assert!(reconcile().await.is_err());
    assert!(site.trouble(Trouble::LogUnreadable).is_some());
    site.terminal.add_user(3, "1003", "Ana");
    reconcile().await.unwrap();
    assert_eq!(site.people(), ["1003"]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_enrolled_a_moment_ago_is_known_by_name_and_once() {
    let site = Site::with(Model::of(Form::B8), "", |terminal| {
        terminal.add_user(3, "1003", "Ana");
        terminal.punch("1003");
    })
    .await;
    site.until_stored(1).await;
    site.until_settled().await;
    // The driver's list is young, and does not have the newcomer.
    site.terminal.add_user(4, "1004", "Zoe");
    site.terminal.punch("1004");
    site.until_stored(2).await;
    site.ask(driver_api::Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!(site.people(), ["1003", "1004"]);
    assert!(site.punches()[1].flags.is_empty() && site.punches()[1].origin == Origin::Live);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_number_given_to_somebody_else_is_not_booked_for_who_had_it() {
    let site = Site::with(Model::of(Form::B8), "timeout = \"100ms\"", |terminal| {
        terminal.add_user(3, "1003", "Ana");
        terminal.punch("1003");
    })
    .await;
    site.until_stored(1).await;
    site.until_settled().await;
    site.terminal.remove_user(3);
    site.terminal.add_user(3, "2003", "Zoe");
    // No event tells that a list has grown old: twelve time-outs of this terminal must pass.
    tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    site.terminal.punch("2003");
    site.until_stored(2).await;
    assert_eq!(site.people(), ["1003", "2003"]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_means_somebody_else_gives_no_old_punch_another_name() {
    for form in [Form::B8, Form::Number16] {
        let site = Site::with(Model::of(form), "timeout = \"100ms\"", |terminal| {
            for (uid, id) in [(3, "1003"), (4, "1004")] {
                terminal.add_user(uid, id, "Ana");
                terminal.punch_at(id, date(2026, 11, 20).at(8, 0, 0, 0), 1, 0);
            }
        })
        .await;
        site.until_stored(2).await;
        site.until_settled().await;
        site.terminal.punch("1003");
        site.until_stored(3).await;
        let reconcile = || site.ask(driver_api::Operation::Reconcile { from: None, to: None });
        let as_before = ["1003", "1004", "1003"];
        site.terminal.remove_user(3);
        reconcile().await.unwrap();
        assert_eq!(site.people(), as_before, "{form:?}: his number means nobody");
        site.terminal.add_user(3, "2222", "Zoe");
        reconcile().await.unwrap();
        assert_eq!(site.people(), as_before, "{form:?}: his number means somebody else");
        site.terminal.punch_at("2222", date(2026, 11, 21).at(8, 0, 0, 0), 1, 0);
        reconcile().await.unwrap();
        assert_eq!(site.people(), ["1003", "1004", "1003", "2222"], "{form:?}");
        assert_eq!(reconcile().await.unwrap()["twins"], 4);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_may_mean_two_people_is_marked() {
    let site = Site::with(Model::of(Form::A8), "", |terminal| {
        for (uid, id) in [(1, "5"), (5, "1005"), (6, "6"), (7, "1007")] {
            terminal.add_user(uid, id, "Ana");
            terminal.punch_at(id, date(2026, 11, 20).at(8, 0, uid as i8, 0), 1, 0);
        }
    })
    .await;
    site.until_stored(4).await;
    site.until_settled().await;
    site.terminal.punch("1005");
    site.until_stored(5).await;
    let marked: Vec<_> = site.punches().iter().map(|it| it.flags == [Flag::UnknownPerson]).collect();
    assert_eq!((site.people().join(" "), marked), ("5 5 6 1007 5".into(), vec![false, true, false, false, true]));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_whose_battery_dies_keeps_its_form() {
    for cleared in [false, true] {
        let site = Site::with(Model::of(Form::B8), "", |terminal| terminal.fill(20)).await;
        site.until_stored(20).await;
        site.until_settled().await;
        if cleared {
            site.terminal.clear_log();
        }
        let unset = date(2000, 1, 1).at(0, 12, 0, 0);
        for second in 0..60 {
            let local = unset.checked_add(jiff::Span::new().seconds(97 * second)).unwrap();
            let time = driver_zk::time::encode(local).to_le_bytes();
            site.terminal.append_raw(&[&[second as u8 % 5 + 1, 0, 1, second as u8 % 2][..], &time].concat());
        }
        site.terminal.cut();
        site.until_stored(80).await;
        let punches = site.punches();
        assert!(punches[20..].iter().all(|it| it.local.date() == unset.date() && it.flags.contains(&Flag::ClockUnset)));
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_genuine_punches_in_one_second_both_live() {
    let site = Site::start(Model::default()).await;
    site.until_settled().await;
    let local = site.terminal.now();
    site.terminal.punch_at("7", local, 1, 0);
    site.terminal.punch_at("7", local, 1, 0);
    // The second event looks like a twin; the log, read soon because of that, tells that it is none.
    site.until_stored(2).await;
    let punches = site.punches();
    assert_eq!((punches[0].nth, punches[1].nth), (1, 2));
    assert_eq!(punches[1].flags, [Flag::DuplicateSecond]);
    assert_ne!(ids(&punches)[0], ids(&punches)[1]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_real_date_are_set_aside_and_hold_nobody_back() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.fill(20);
        for time in [[0x34, 0x02, 0x35, 0x30], [0; 4], [0xff; 4], [0; 4]] {
            let mut record = vec![0; 40];
            record[2] = b'5';
            record[27..31].copy_from_slice(&time);
            terminal.append_raw(&record);
        }
        terminal.append_raw(&[0xff; 40]);
        terminal.punch("1000");
    })
    .await;
    site.until_stored(21).await;
    site.until_settled().await;
    let aside = || site.gateway().set_aside(support::NAME);
    assert_eq!(aside().len(), 5);
    assert_eq!(aside().iter().map(|raw| raw.nth).collect::<Vec<_>>(), [1, 1, 1, 2, 1]);
    assert!(aside()[0].reason.contains("no real date") && aside()[1].reason.contains("no time"));
    // Read again, they are the same ones.
    site.ask(driver_api::Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!((aside().len(), site.punches().len()), (5, 21));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_kept_raw_and_named_where_they_are_certain_or_configured() {
    let site = Site::with(Model::default(), "verify = { 4 = \"card\", 25 = \"palm\" }", |terminal| {
        let local = date(2026, 11, 20).at(8, 0, 0, 0);
        for (person, verify, state) in [("1", 15, 1), ("2", 4, 5), ("3", 25, 0x87), ("4", 99, 255), ("5", 0, 9)] {
            terminal.punch_at(person, local, verify, state);
        }
    })
    .await;
    site.until_stored(5).await;
    let found: Vec<_> = site.punches().iter().map(|it| (it.verify.value, it.direction.value)).collect();
    assert_eq!(
        found,
        [
            (Verify::Face, Direction::Out),
            (Verify::Card, Direction::OvertimeOut),
            (Verify::Palm, Direction::Unknown),
            (Verify::Unknown, Direction::Unknown),
            (Verify::Password, Direction::Unknown),
        ]
    );
    assert_eq!(site.punches()[2].flags, [Flag::Denied]);
    assert_eq!(site.punches()[3].verify.raw, Some(Raw::Number(99)));
    site.running.close().await;
}
