//! The notebook as those see it who write into it and read from it.

mod returning;

use driver_api::Delivery;
use tokio::time::advance;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn shown(health: &Health) -> Vec<(&'static str, Option<String>)> {
    health.conditions().into_iter().map(|condition| (condition.kind.code, condition.subject)).collect()
}

/// Each code by itself: it appears when it has lasted, not before, and is over when it has been well, not before.
#[tokio::test(start_paused = true)]
async fn every_condition_appears_within_its_time_and_disappears_again() {
    for code in Code::ALL {
        let health = Health::default();
        let kind = code.kind();
        for subject in [None, Some("front-door")] {
            health.raise(*code, subject, "it is so");
            if !kind.shown_after.is_zero() {
                advance(kind.shown_after - seconds(1)).await;
                assert_eq!(shown(&health), [], "{} too early", kind.code);
                advance(seconds(1)).await;
            }
            assert_eq!(shown(&health), [(kind.code, subject.map(str::to_owned))], "{}", kind.code);
            health.clear(*code, subject);
            if !kind.clears_after.is_zero() {
                advance(kind.clears_after - seconds(1)).await;
                assert_eq!(shown(&health).len(), 1, "{} is over too early", kind.code);
                advance(seconds(1)).await;
            }
            assert_eq!(shown(&health), [], "{} does not end", kind.code);
        }
    }
}

fn hall(health: &Health, count: usize) -> Vec<String> {
    let names: Vec<String> = (1..=count).map(|number| format!("hall-{number}")).collect();
    for name in &names {
        health.know(name, "zk", Delivery::Logged);
        health.report(name, Report::Online);
    }
    health.set_groups([("192.0.2.0/24".to_owned(), names.iter().cloned().collect())].into());
    names
}

#[tokio::test(start_paused = true)]
async fn the_switch_is_told_and_not_its_forty_terminals() {
    let health = Health::default();
    let names = hall(&health, 40);
    // They find out one after the other, each by a time-out of its own; one has been dead since long.
    health.unserved(&names[0], TerminalState::Offline, Code::TerminalOffline, "no route");
    advance(seconds(3600)).await;
    assert_eq!(shown(&health), [("terminal-offline", Some("hall-1".to_owned()))]);
    for name in &names[1..] {
        health.unserved(name, TerminalState::Offline, Code::TerminalOffline, "no route");
        advance(Duration::from_millis(900)).await;
        let told = shown(&health);
        assert!(told.len() <= 1, "{told:?}");
    }
    let told = health.conditions();
    assert_eq!(shown(&health), [("terminals-cut-off", Some("192.0.2.0/24".to_owned()))]);
    assert!(told[0].cause.starts_with("40 of 40 terminals"), "{}", told[0].cause);
    // The switch is back, and with it all but one.
    for name in &names[1..] {
        health.report(name, Report::Online);
        advance(Duration::from_millis(100)).await;
    }
    // Somebody looks twice a second while anything changes.
    assert_eq!(shown(&health).len(), 1);
    advance(seconds(10)).await;
    assert_eq!(shown(&health), [("terminal-offline", Some("hall-1".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn a_few_of_many_terminals_are_told_one_by_one() {
    let health = Health::default();
    let names = hall(&health, 10);
    for name in &names[..4] {
        health.unserved(name, TerminalState::Offline, Code::TerminalOffline, "no route");
    }
    advance(seconds(60)).await;
    assert_eq!(shown(&health).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_network_explains_broker_and_terminals() {
    let health = Health::default();
    let names = hall(&health, 5);
    health.raise(Code::BrokerUnreachable, None, "no route");
    names.iter().for_each(|name| health.unserved(name, TerminalState::Offline, Code::TerminalOffline, "no route"));
    advance(seconds(3)).await;
    health.raise(Code::NetworkDown, None, "0 of 1 ports have a link");
    advance(seconds(90)).await;
    assert_eq!(shown(&health), [("gateway-network-down", None)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_wrong_before_a_restart_is_shown_with_its_old_since() {
    let before = Health::default();
    before.raise(Code::TerminalOffline, Some("front-door"), "no route");
    before.raise(Code::DiskNearlyFull, None, "70 MiB are free");
    before.raise(Code::BrokerUnreachable, None, "too young to be kept");
    before.raise(Code::TerminalUnknown, Some("CEXA1"), "a stranger");
    advance(seconds(5)).await;
    assert_eq!(before.kept().len(), 0, "what is young is not remembered, and strangers come again");
    advance(seconds(60)).await;
    before.clear(Code::BrokerUnreachable, None);
    advance(seconds(60)).await;
    let kept = before.kept();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["", "front-door"]);
    let told = |health: &Health| {
        let all = health.conditions().into_iter().filter(|it| it.kind.code != "terminal-unknown");
        // Both began in the same millisecond of the wall clock.
        all.map(|it| (it.kind.code, it.since.as_millisecond())).collect::<BTreeSet<_>>()
    };
    let after = Health::default();
    kept.iter().for_each(|(subject, all)| after.restore(subject, all.clone()));
    assert_eq!((told(&after), told(&after).len()), (told(&before), 2));
    // Raised again it goes on; what nobody raises again is dropped; what is well is over.
    after.raise(Code::TerminalOffline, Some("front-door"), "no route");
    advance(seconds(901)).await;
    let offline = told(&before).into_iter().filter(|(code, _)| *code == "terminal-offline").collect();
    assert_eq!(told(&after), offline);
    after.report("front-door", Report::Online);
    advance(seconds(5)).await;
    assert_eq!(after.conditions(), []);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_never_comes_is_told() {
    let health = Health::default();
    health.know("canteen", "zk-push", Delivery::Acked);
    advance(seconds(299)).await;
    assert_eq!(shown(&health), []);
    advance(seconds(1)).await;
    assert_eq!(shown(&health), [("terminal-never-heard", Some("canteen".to_owned()))]);
    health.report("canteen", Report::Online);
    assert_eq!(shown(&health), []);
}

#[test]
fn firmware_with_published_flaws_is_told_with_its_source_until_it_is_newer() {
    let health = Health::default();
    health.know("front-door", "zk", Delivery::Logged);
    let runs = |firmware: &str| Report::Identity {
        serial: "CEXA204060001".into(),
        model: "ProFace X".into(),
        firmware: firmware.into(),
        platform: String::new(),
    };
    health.report("front-door", runs("ZAM170-NF-1.8.25-7354-Ver1.0.0"));
    let told = health.conditions();
    assert_eq!(told[0].kind.code, "terminal-firmware-flawed");
    assert!(told[0].cause.contains("https://nvd.nist.gov/"), "{}", told[0].cause);
    health.report("front-door", runs("ZAM170-NF-1.9.0-8000-Ver1.0.0"));
    assert_eq!(health.conditions(), []);
}

#[test]
fn a_silence_is_told_against_a_terminals_own_hours_and_a_holiday_as_one() {
    let health = Health::default();
    let now = Timestamp::now();
    let hour = hours::hour(now);
    for name in ["a", "b", "c", "night"] {
        health.know(name, "zk", Delivery::Logged);
        health.report(name, Report::Online);
    }
    // In each of the last nine weeks somebody punched in these hours; but not in the last four of this one.
    let weeks = |name: &str| {
        for week in 0..10 {
            let end = hour - week * 168 - if week == 0 { 4 } else { 0 };
            health.punched_in(name, end - 40..end);
        }
    };
    weeks("a");
    let silent = |name: &str| {
        health.judge_silence(now);
        shown(&health).contains(&("terminal-silent", Some(name.to_owned())))
    };
    assert!(silent("a") && !silent("night"));
    health.punched("a", now);
    assert!(!silent("a"));

    let health = Health::default();
    for name in ["a", "b", "c"] {
        health.know(name, "zk", Delivery::Logged);
        health.report(name, Report::Online);
        for week in 0..10 {
            let end = hour - week * 168 - if week == 0 { 4 } else { 0 };
            health.punched_in(name, end - 40..end);
        }
    }
    health.judge_silence(now);
    assert_eq!(shown(&health), [("terminals-all-silent", None)]);
    health.punched("b", now);
    health.judge_silence(now);
    assert_eq!(shown(&health).len(), 2, "b is used: it is no holiday, and a and c are told");
}

#[test]
fn every_trouble_of_a_driver_has_a_condition() {
    for trouble in Trouble::ALL {
        assert_eq!(Code::of(*trouble).kind().code, trouble.code());
    }
}

#[test]
fn every_condition_says_what_to_do_in_both_languages() {
    for code in Code::ALL {
        let kind = code.kind();
        for text in [kind.title, kind.text, kind.mend] {
            assert!(!text.en.is_empty() && !text.zh.is_empty(), "{}", kind.code);
        }
        assert!(kind.code.chars().all(|c| c.is_ascii_lowercase() || c == '-') && kind.code.len() <= 40);
    }
}

#[test]
fn a_condition_keeps_its_since_and_takes_the_latest_cause() {
    let health = Health::default();
    health.raise(Code::DiskFull, None, "first");
    let since = health.conditions()[0].since;
    health.raise(Code::DiskFull, None, "second");
    let shown = health.conditions();
    assert_eq!((shown.len(), shown[0].since, shown[0].cause.as_str()), (1, since, "second"));
    health.clear(Code::DiskFull, None);
    assert_eq!(health.conditions(), []);
}

#[test]
fn a_young_condition_is_not_shown_yet() {
    let health = Health::default();
    health.raise(Code::TerminalOffline, Some("front-door"), "no route");
    assert_eq!(health.conditions(), []);
    assert!(health.notes().conditions.is_anything_young());
}

#[test]
fn the_cause_hides_its_consequences() {
    let health = Health::default();
    health.raise(Code::TerminalClockOff, Some("front-door"), "26 years behind");
    health.raise(Code::TerminalClockOff, Some("canteen"), "2 hours ahead");
    assert_eq!(health.conditions().len(), 2);
    health.raise(Code::TerminalClockUnset, Some("front-door"), "it is the year 2000 there");
    let shown: Vec<_> = health.conditions().into_iter().map(|c| (c.kind.code, c.subject)).collect();
    assert_eq!(
        shown,
        [("terminal-clock-unset", Some("front-door".to_owned())), ("terminal-clock-off", Some("canteen".to_owned()))]
    );
}

#[test]
fn a_clock_that_jumps_is_told_until_it_is_set_right_or_has_been_steady() {
    let health = Health::default();
    health.know("front-door", "zk", Delivery::Logged);
    let look = |skew| {
        let clock = Clock { skew_ms: Some(skew), err_ms: Some(500), how: driver_api::ClockSource::Probed };
        health.report("front-door", Report::Clock(clock));
        health.conditions().iter().any(|it| it.kind.code == "terminal-clock-jumped")
    };
    assert!(!look(200) && !look(30_000) && !look(59_000), "a drift is no jump");
    assert!(look(3_600_000), "an hour at once is one");
    assert!(look(3_600_100), "and is told for a while");
    assert!(!look(100), "until somebody sets it right");
    assert!(look(-86_400_000));
    let long_ago = Instant::now().checked_sub(STEADY).unwrap();
    health.edit(|notes, _| {
        notes.conditions.age_all(long_ago);
        true
    });
    assert!(!look(-86_400_000), "or it has been steady");
}

#[test]
fn no_terminal_is_blamed_for_a_step_of_our_own_clock() {
    let health = Health::default();
    health.know("front-door", "zk", Delivery::Logged);
    let look = |skew| {
        let clock = Clock { skew_ms: Some(skew), err_ms: Some(500), how: driver_api::ClockSource::Probed };
        health.report("front-door", Report::Clock(clock));
    };
    look(200);
    health.raise(Code::ClockStepped, None, "it was put ahead by 86400 s");
    look(-86_399_800);
    health.raise(Code::TerminalClockOff, Some("front-door"), "its clock is 23 h behind");
    let told: Vec<_> = health.conditions().into_iter().map(|it| it.kind.code).collect();
    assert_eq!(told, ["gateway-clock-stepped"]);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_comes_back_is_well_again() {
    let health = Health::default();
    health.know("front-door", "zk", Delivery::Logged);
    health.unserved("front-door", TerminalState::Refused, Code::TerminalRefuses, "wrong key");
    assert_eq!(health.conditions().len(), 1);
    health.report("front-door", Report::Online);
    assert!(health.unserved_by("front-door").is_none());
    advance(seconds(5)).await;
    assert_eq!(health.conditions(), []);
    assert_eq!(health.terminals()["front-door"].state, TerminalState::Online);
}

#[test]
fn one_terminal_of_a_line_may_be_away() {
    let health = Health::default();
    health.know("turnstile-1", "modbus", Delivery::Acked);
    health.report("turnstile-1", Report::Delivery(Delivery::Link));
    health.report("turnstile-1", Report::Online);
    health.report("turnstile-1", Report::Offline { why: "no answer from unit 3".into() });
    let known = health.terminals()["turnstile-1"].clone();
    assert_eq!((known.state, known.delivery), (TerminalState::Offline, Delivery::Link));
    assert!(health.notes().conditions.is_anything_young(), "the condition is raised, and young");
    health.report("turnstile-1", Report::Online);
    assert!(!health.notes().conditions.is_anything_young());
    assert_eq!(health.terminals()["turnstile-1"].state, TerminalState::Online);
}
