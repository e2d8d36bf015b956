//! The supervisor under a paused clock, with drivers that fail in every way there is.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use driver_api::{Delivery, Driver, DriverError, Line, async_trait, fake::FakeGateway};

use super::*;
use crate::health::TerminalState;

/// Does what its script says, run after run; the last word of the script goes on for ever.
struct Scripted {
    script: &'static [&'static str],
    runs: AtomicUsize,
    left: AtomicUsize,
    began: Mutex<Vec<Instant>>,
}

#[async_trait]
impl Driver for Scripted {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        self.began.lock().unwrap().push(Instant::now());
        match self.script[run.min(self.script.len() - 1)] {
            "panic" => panic!("a bug"),
            "unreachable" => {
                Err(DriverError::Unreachable { peer: "192.0.2.1".into(), source: io::ErrorKind::TimedOut.into() })
            }
            "refused" => Err(DriverError::Refused { peer: "192.0.2.1".into(), reason: "wrong key".into() }),
            "busy" => Err(DriverError::Busy { peer: "192.0.2.1".into(), reason: "another program".into() }),
            "garbled" => Err(DriverError::Garbled { peer: "192.0.2.1".into(), what: "a web page".into() }),
            "two minutes" => {
                link.terminals()[0].online();
                sleep(LONG).await;
                Err(DriverError::Unreachable {
                    peer: "192.0.2.1".into(),
                    source: io::ErrorKind::ConnectionReset.into(),
                })
            }
            "stuck" => std::future::pending().await,
            _ => {
                link.terminals()[0].online();
                loop {
                    tokio::select! {
                        () = link.closing() => break,
                        job = link.next_job() => job.done(Ok("done".into())),
                    }
                }
                self.left.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

const LONG: Duration = Duration::from_secs(120);

static KIND: Kind = Kind {
    name: "scripted",
    title: "for tests",
    delivery: Delivery::Logged,
    operations: &["info"],
    plan: |_, _, _| vec![],
};

fn line(terminal: &str, fingerprint: u64, script: &'static [&'static str]) -> (Arc<Scripted>, PlannedLine) {
    let driver =
        Arc::new(Scripted { script, runs: AtomicUsize::new(0), left: AtomicUsize::new(0), began: Mutex::default() });
    let line = Line { key: terminal.into(), terminals: vec![terminal.into()], driver: driver.clone() };
    (driver, PlannedLine { driver: &KIND, line, fingerprint })
}

/// A supervisor whose reports reach its health, as in the gateway.
fn supervisor() -> (Supervisor, Health) {
    struct Door(FakeGateway, Health);
    #[async_trait]
    impl Gateway for Door {
        async fn put(
            &self,
            terminal: &str,
            serial: &str,
            batch: driver_api::Batch,
        ) -> Result<driver_api::Stored, driver_api::NotStored> {
            self.0.put(terminal, serial, batch).await
        }
        async fn load_cursor(&self, _: &str, _: &str) -> Option<Vec<u8>> {
            None
        }
        async fn save_cursor(&self, _: &str, _: &str, _: Vec<u8>) -> Result<(), driver_api::NotStored> {
            Ok(())
        }
        async fn holdings(&self, _: &str, _: &str) -> driver_api::Holdings {
            driver_api::Holdings::default()
        }
        async fn booked_under(&self, _: &str) -> Option<String> {
            None
        }
        fn report(&self, terminal: &str, report: driver_api::Report) {
            self.1.report(terminal, report);
        }
        fn clock_trusted(&self) -> bool {
            true
        }
    }
    let health = Health::default();
    (Supervisor::new(Arc::new(Door(FakeGateway::default(), health.clone())), health.clone()), health)
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(Duration::from_secs(3600), waiting).await.is_ok(), "waited in vain: {what}");
}

fn state(health: &Health, terminal: &str) -> TerminalState {
    health.terminals()[terminal].state
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_is_started_again_and_harms_no_other() {
    let (mut supervisor, health) = supervisor();
    let (good, good_line) = line("good", 1, &["serve"]);
    let (bad, bad_line) = line("bad", 1, &["panic", "panic", "serve"]);
    supervisor.apply(vec![good_line, bad_line]).await;
    until("the bad one failed", || state(&health, "bad") == TerminalState::Offline).await;
    let shown = health.conditions();
    assert_eq!((shown[0].kind.code, shown[0].cause.as_str()), ("driver-failed", "it panicked: a bug"));
    until("the bad one serves", || state(&health, "bad") == TerminalState::Online).await;
    assert_eq!(bad.runs.load(Ordering::SeqCst), 3);
    assert_eq!(good.runs.load(Ordering::SeqCst), 1);
    // It may come and go, and is held for a while.
    sleep(Duration::from_secs(6)).await;
    assert_eq!(health.conditions(), []);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_refuses_is_not_knocked_at_in_a_loop() {
    let (mut supervisor, health) = supervisor();
    let (driver, planned) = line("front-door", 1, &["refused"]);
    supervisor.apply(vec![planned]).await;
    sleep(Duration::from_secs(30)).await;
    // Once more soon, in case the refusal was the answer to a damaged question.
    assert_eq!(driver.runs.load(Ordering::SeqCst), 2);
    assert_eq!(state(&health, "front-door"), TerminalState::Refused);
    assert_eq!(health.conditions()[0].cause, "192.0.2.1 refused us: wrong key");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(driver.runs.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn each_end_of_a_driver_is_a_condition_within_its_time_and_is_over_when_it_serves() {
    for (script, code) in [
        (&["unreachable", "unreachable", "unreachable", "unreachable", "serve"][..], Code::TerminalOffline),
        (&["busy", "busy", "busy", "busy", "serve"], Code::TerminalBusy),
        (&["garbled", "garbled", "garbled", "garbled", "serve"], Code::TerminalGarbled),
        (&["refused", "refused", "serve"], Code::TerminalRefuses),
        (&["panic", "panic", "serve"], Code::DriverFailed),
    ] {
        let (mut supervisor, health) = supervisor();
        let (_, planned) = line("front-door", 1, script);
        let kind = code.kind();
        let begun = Instant::now();
        supervisor.apply(vec![planned]).await;
        let shown = || health.conditions().into_iter().map(|it| it.kind.code).collect::<Vec<_>>();
        until("it is told", || !shown().is_empty()).await;
        assert_eq!(shown(), [kind.code]);
        let told = begun.elapsed();
        assert!(
            told >= kind.shown_after && told < kind.shown_after + Duration::from_secs(2),
            "{}: {told:?}",
            kind.code
        );
        until("it serves", || state(&health, "front-door") == TerminalState::Online).await;
        let served = Instant::now();
        until("it is over", || shown().is_empty()).await;
        let over = served.elapsed();
        assert!(over < kind.clears_after + Duration::from_secs(2), "{}: {over:?}", kind.code);
    }
}

/// From each run to the next one, in seconds.
fn pauses(driver: &Scripted) -> Vec<f64> {
    let began = driver.began.lock().unwrap();
    began.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_line_that_fails_comes_back_later_each_time_and_soon_after_it_has_served_for_long() {
    let (mut supervisor, _) = supervisor();
    const AWAY: &str = "unreachable";
    const SCRIPT: &[&str] =
        &[AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, "two minutes", AWAY, AWAY, "serve"];
    let (driver, planned) = line("front-door", 1, SCRIPT);
    // A neighbour that is well is not held up by any of it.
    let (good, good_line) = line("good", 1, &["serve"]);
    supervisor.apply(vec![planned, good_line]).await;
    until("it was tried fourteen times", || driver.runs.load(Ordering::SeqCst) == 14).await;
    let pauses = pauses(&driver);
    assert!((1.5..=2.5).contains(&pauses[0]) && (3.0..=5.0).contains(&pauses[1]), "{pauses:?}");
    assert!(pauses[6..10].iter().all(|pause| (22.5..=37.5).contains(pause)), "{pauses:?}");
    let served = LONG.as_secs_f64();
    assert!((served + 1.5..=served + 2.5).contains(&pauses[10]) && (3.0..=5.0).contains(&pauses[11]), "{pauses:?}");
    assert_eq!(good.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_ordered_does_not_wait_for_the_pause_to_be_over() {
    let (mut supervisor, health) = supervisor();
    let (driver, planned) = line("front-door", 1, &["serve"]);
    supervisor.apply(vec![planned]).await;
    until("it serves", || state(&health, "front-door") == TerminalState::Online).await;
    assert!(supervisor.restart("front-door") && !supervisor.restart("nobody"));
    let asked = Instant::now();
    until("it runs again", || driver.runs.load(Ordering::SeqCst) == 2).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(driver.left.load(Ordering::SeqCst), 1, "the one before has left");
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_disturb_what_did_not_change() {
    let (mut supervisor, health) = supervisor();
    let (same, same_line) = line("same", 1, &["serve"]);
    let (changed, changed_line) = line("changed", 1, &["serve"]);
    let (gone, gone_line) = line("gone", 1, &["serve"]);
    supervisor.apply(vec![same_line, changed_line, gone_line]).await;
    until("all serve", || health.terminals().values().all(|t| t.state == TerminalState::Online)).await;

    let (_, same_again) = line("same", 1, &["panic"]);
    let (successor, successor_line) = line("changed", 2, &["serve"]);
    let (_, new_line) = line("new", 1, &["serve"]);
    let applied = supervisor.apply(vec![same_again, successor_line, new_line]).await;
    assert_eq!(applied, Applied { started: 2, stopped: 2, untouched: 1 });
    until("the new ones serve", || state(&health, "new") == TerminalState::Online).await;
    assert_eq!(same.runs.load(Ordering::SeqCst), 1);
    assert_eq!((changed.left.load(Ordering::SeqCst), successor.runs.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(gone.left.load(Ordering::SeqCst), 1);
    assert!(!health.terminals().contains_key("gone"));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_does_not_leave_is_abandoned() {
    let (mut supervisor, _) = supervisor();
    let (driver, planned) = line("stuck", 1, &["stuck"]);
    supervisor.apply(vec![planned]).await;
    until("it runs", || driver.runs.load(Ordering::SeqCst) == 1).await;
    let began = Instant::now();
    supervisor.stop().await;
    assert!(began.elapsed() <= LEAVING + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_job_reaches_its_terminal_or_is_answered_with_the_reason() {
    let (mut supervisor, health) = supervisor();
    let (_, planned) = line("front-door", 1, &["serve"]);
    let (away, away_line) = line("away", 1, &["unreachable"]);
    supervisor.apply(vec![planned, away_line]).await;
    until("it serves", || state(&health, "front-door") == TerminalState::Online).await;
    until("it failed", || away.runs.load(Ordering::SeqCst) > 0 && state(&health, "away") == TerminalState::Offline)
        .await;
    assert_eq!(supervisor.ask("front-door", Operation::Info).unwrap().await, Ok("done".into()));
    assert_eq!(supervisor.ask("front-door", Operation::Restart).err(), Some(JobFailed::NotSupported));
    assert_eq!(supervisor.ask("nobody", Operation::Info).err(), Some(JobFailed::UnknownTerminal));
    assert_eq!(supervisor.ask("away", Operation::Info).err(), Some(JobFailed::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_line_whose_task_is_gone_is_told() {
    let (mut supervisor, _) = supervisor();
    let (_, one) = line("one", 1, &["serve"]);
    let (_, other) = line("other", 1, &["serve"]);
    supervisor.apply(vec![one, other]).await;
    assert_eq!(supervisor.ended(), [""; 0]);
    let lost = supervisor.running.values().find(|running| running.terminals == ["other"]).unwrap();
    lost.task.abort();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(supervisor.ended(), ["other"]);
}
