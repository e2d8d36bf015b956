//! What comes and goes.

use super::*;

/// How often a condition appears in a day in which it is so for `bad`, then not for `good`, again and again.
async fn alarms_in_a_day(bad: Duration, good: Duration) -> usize {
    let health = Health::default();
    let (mut alarms, mut before) = (0, false);
    let begun = Instant::now();
    let mut is_so = false;
    let mut turn = begun;
    while begun.elapsed() < seconds(86_400) {
        if Instant::now() >= turn {
            is_so = !is_so;
            turn += if is_so { bad } else { good };
            match is_so {
                true => health.raise(Code::TerminalOffline, Some("front-door"), "no route"),
                false => health.clear(Code::TerminalOffline, Some("front-door")),
            }
        }
        let now = !health.conditions().is_empty();
        alarms += usize::from(now && !before);
        before = now;
        advance(seconds(5)).await;
    }
    alarms
}

#[tokio::test(start_paused = true)]
async fn a_day_of_flapping_makes_a_handful_of_alarms() {
    for (bad, good, most) in [(30, 30, 2), (60, 120, 4), (120, 600, 7), (300, 1500, 8), (600, 3000, 9), (10, 60, 0)] {
        let alarms = alarms_in_a_day(seconds(bad), seconds(good)).await;
        assert!(alarms <= most, "{bad} s away, {good} s there: {alarms} alarms in a day, and {most} are the most");
        assert!(alarms > 0 || most == 0, "{bad} s away, {good} s there: nobody was told");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_well_for_hours_ends_at_once_again() {
    let health = Health::default();
    for _ in 0..3 {
        health.raise(Code::TerminalOffline, Some("front-door"), "no route");
        advance(seconds(20)).await;
        assert_eq!(health.conditions().len(), 1);
        health.clear(Code::TerminalOffline, Some("front-door"));
        advance(seconds(5)).await;
        assert_eq!(health.conditions(), []);
        advance(seconds(3 * 3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cause_says_that_it_is_only_held_and_how_often_it_came_back() {
    let health = Health::default();
    let cause = || health.conditions().into_iter().map(|condition| condition.cause).collect::<Vec<_>>();
    let (code, door) = (Code::TerminalOffline, Some("front-door"));
    for (so, held) in [
        ("no route", "no route (well again, and held)"),
        (
            "no route (it came back once in the last hours)",
            "no route (well again, and held; it came back once in the last hours)",
        ),
        (
            "no route (it came back 2 times in the last hours)",
            "no route (well again, and held; it came back 2 times in the last hours)",
        ),
    ] {
        health.raise(code, door, "no route");
        advance(seconds(60)).await;
        assert_eq!(cause(), [so]);
        health.clear(code, door);
        assert_eq!(cause(), [held]);
        advance(seconds(300)).await;
        assert!(cause().is_empty());
    }
}

/// What comes and goes is held for up to an hour. What goes on without its cause is told before.
#[tokio::test(start_paused = true)]
async fn a_cause_that_is_only_held_hides_nothing_that_goes_on() {
    let health = Health::default();
    let (cause, off) = (Code::ClockNotTrusted, Code::TerminalClockOff);
    let alone = [("gateway-clock-not-trusted", None)];
    for _ in 0..5 {
        health.raise(cause, None, "40 days behind");
        health.raise(off, Some("front-door"), "40 days ahead");
        assert_eq!(shown(&health), alone);
        health.clear(off, Some("front-door"));
        health.clear(cause, None);
        advance(seconds(1)).await;
        assert_eq!(shown(&health), alone);
        advance(seconds(1_000)).await;
        assert_eq!(shown(&health), []);
    }
    health.raise(cause, None, "40 days behind");
    health.raise(off, Some("canteen"), "2 hours ahead");
    advance(seconds(100)).await;
    assert_eq!(shown(&health), alone);
    health.clear(cause, None);
    advance(seconds(10)).await;
    health.raise(off, Some("front-door"), "2 hours ahead");
    advance(seconds(19)).await;
    assert_eq!(shown(&health), alone, "the cause may be about to return");
    let off_at = |name: &str| ("terminal-clock-off", Some(name.to_owned()));
    for (wait, more) in [(1, vec![off_at("canteen")]), (10, vec![off_at("canteen"), off_at("front-door")])] {
        assert_eq!(health.next_change().unwrap() - Instant::now(), seconds(wait));
        advance(seconds(wait)).await;
        assert_eq!(shown(&health), [&alone[..], &more].concat());
    }
    // Over again, it is held as anything else; and the cause hides it when it is back.
    health.clear(off, Some("front-door"));
    advance(seconds(1)).await;
    assert_eq!(shown(&health).len(), 3);
    health.raise(cause, None, "40 days behind");
    assert_eq!(shown(&health), alone);
}
