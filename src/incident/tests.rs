//! The clock of incidents, and what is left of them after a crash.

use tokio::time::advance;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 + second).unwrap()
}

fn seen(severity: &'static str, subject: Option<&str>) -> Seen {
    let code = if severity == "high" { "disk-full" } else { "terminal-offline" };
    Seen { code, subject: subject.map(str::to_owned), severity, since: at(-20), cause: "no route".into() }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn kinds(changes: &[(Change, Incident)]) -> Vec<(Change, u64)> {
    changes.iter().map(|(change, incident)| (*change, incident.number)).collect()
}

fn book() -> Book {
    Book::of(Default::default(), Default::default(), Targets::default(), at(0))
}

#[test]
fn an_incident_opens_is_escalated_before_its_target_breaches_it_and_ends() {
    let mut book = book();
    let all = [seen("high", None), seen("medium", Some("front-door")), seen("low", Some("canteen"))];
    let opened = book.look(&all, at(0), Duration::ZERO);
    assert_eq!(kinds(&opened), [(Change::Opened, 1), (Change::Opened, 2)], "low has no target unless a site sets one");
    assert_eq!((opened[0].1.target_s, opened[1].1.target_s), (3600, 86_400));
    assert_eq!(book.look(&all, at(60), minutes(29)), []);
    assert_eq!(kinds(&book.look(&all, at(60), minutes(1))), [(Change::Escalated, 1)], "nobody has taken it");
    assert_eq!(book.look(&all, at(60), minutes(29)), []);
    assert_eq!(kinds(&book.look(&all, at(60), minutes(1))), [(Change::Breached, 1)]);
    assert_eq!(book.look(&all, at(60), minutes(1)), [], "a breach is told once");
    let ended = book.look(&all[1..], at(4000), minutes(2));
    assert_eq!(kinds(&ended), [(Change::Resolved, 1)]);
    let one = &ended[0].1;
    assert_eq!((one.open_s, one.resolved, one.breached.is_some()), (63 * 60, Some(at(4000)), true));
    assert_eq!(book.breaches(), 1);
}

#[test]
fn who_is_at_work_on_it_is_left_in_peace_for_longer() {
    let mut book = book();
    let all = [seen("high", None)];
    book.look(&all, at(0), Duration::ZERO);
    let by = |by: &str| Acknowledged { at: at(5), by: by.into(), how: "command".into() };
    assert_eq!(book.acknowledge(7, by("li-wei")), Err(NotAcknowledged::NotOpen(7)));
    book.acknowledge(1, by("li-wei")).unwrap();
    assert_eq!(book.acknowledge(1, by("wang")), Err(NotAcknowledged::Already { by: "li-wei".into(), at: at(5) }));
    assert_eq!(book.look(&all, at(60), minutes(44)), []);
    assert_eq!(kinds(&book.look(&all, at(60), minutes(1))), [(Change::Escalated, 1)]);
    assert_eq!(kinds(&book.look(&all, at(60), minutes(15))), [(Change::Breached, 1)], "and the clock is not stopped");
}

#[test]
fn what_comes_back_within_an_hour_is_the_same_incident_and_its_time_goes_on() {
    let mut book = book();
    let all = [seen("high", None)];
    book.look(&all, at(0), minutes(5));
    assert_eq!(book.look(&all, at(0), minutes(20)), []);
    assert_eq!(kinds(&book.look(&[], at(0), Duration::ZERO)), [(Change::Resolved, 1)]);
    let again = book.look(&all, at(0), minutes(59));
    assert_eq!((kinds(&again), again[0].1.reopened, again[0].1.open_s), (vec![(Change::Reopened, 1)], 1, 20 * 60));
    book.look(&[], at(0), minutes(1));
    assert_eq!(kinds(&book.look(&all, at(0), minutes(61))), [(Change::Opened, 2)]);
}

#[test]
fn the_clock_of_an_incident_does_not_jump_with_the_wall() {
    let mut book = book();
    let all = [seen("high", None)];
    book.look(&all, at(0), Duration::ZERO);
    assert_eq!(book.look(&all, at(400 * 86_400), minutes(1)), [], "a year forward is no hour");
    assert_eq!(book.look(&all, at(-400 * 86_400), minutes(1)), []);
    assert_eq!(kinds(&book.look(&all, at(-400 * 86_400), minutes(28))), [(Change::Escalated, 1)]);
}

#[tokio::test(start_paused = true)]
async fn incidents_survive_a_crash_with_number_clock_and_people() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let incidents = Incidents::new(folder.path(), Targets::default());
        incidents.open().unwrap();
        incidents
    };
    let incidents = open();
    let all = [seen("high", None), seen("medium", Some("front-door"))];
    assert_eq!(incidents.look(&all).len(), 2);
    assert_eq!(kinds(&incidents.notified("disk-full")), [(Change::Notified, 1)]);
    assert_eq!(incidents.notified("disk-full"), []);
    incidents.acknowledge(2, "li-wei", "command").unwrap();
    advance(minutes(40)).await;
    assert_eq!(kinds(&incidents.look(&all)), [(Change::Escalated, 1)]);
    incidents.keep_evidence(1, &serde_json::json!({ "doctor": [] })).unwrap();
    drop(incidents);

    // A crash in the middle of a line.
    let path = folder.path().join("incidents/log.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"{\"number\":3,\"co");
    std::fs::write(&path, bytes).unwrap();
    let incidents = open();
    let left = incidents.open_now();
    assert_eq!(left.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 2]);
    assert!(left[0].escalated.is_some() && left[0].notified.is_some() && left[0].open_s >= 40 * 60, "{left:?}");
    assert_eq!(left[1].acknowledged.as_ref().unwrap().by, "li-wei");
    assert_eq!(evidence(folder.path(), 1).unwrap().unwrap()["doctor"], serde_json::json!([]));
    assert_eq!(evidence(folder.path(), 9).unwrap(), None);

    // Whoever saw it must look again before it counts as over.
    assert_eq!(incidents.look(&[]), []);
    advance(minutes(1)).await;
    assert_eq!(incidents.look(&all[..1]), []);
    advance(minutes(19)).await;
    let changes = incidents.look(&all[..1]);
    assert_eq!(kinds(&changes), [(Change::Resolved, 2), (Change::Breached, 1)]);
    assert_eq!(history(folder.path()).unwrap().len(), 2);
    assert_eq!(open().breaches(), 1);
}

#[test]
fn a_log_that_got_long_is_written_anew_with_every_incident_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let incidents = Incidents::new(folder.path(), Targets { low: Some(hours(1)), ..Targets::default() });
    let mut one = seen("low", Some("canteen"));
    one.cause = "x".repeat(3000);
    for _ in 0..300 {
        incidents.look(std::slice::from_ref(&one));
        std::thread::sleep(Duration::from_millis(1));
        incidents.look(&[]);
    }
    let path = folder.path().join("incidents/log.jsonl");
    let before = (std::fs::metadata(&path).unwrap().len(), history(folder.path()).unwrap());
    drop(incidents);
    Incidents::new(folder.path(), Targets::default()).open().unwrap();
    let after = (std::fs::metadata(&path).unwrap().len(), history(folder.path()).unwrap());
    assert!(before.0 > 1 << 20 && after.0 < 10_000, "{} {}", before.0, after.0);
    assert_eq!(before.1, after.1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_let_them_be_read_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // Where the folder should be, there is a file.
    std::fs::write(folder.path().join("incidents"), "x").unwrap();
    let incidents = Incidents::new(folder.path(), Targets::default());
    let all = [seen("high", None)];
    assert_eq!(incidents.look(&all), []);
    assert!(incidents.trouble().is_some() && incidents.open_now().is_empty());
    assert_eq!(incidents.acknowledge(1, "li-wei", "local"), Err(NotAcknowledged::NotOpen(1)));
    std::fs::remove_file(folder.path().join("incidents")).unwrap();
    assert_eq!(incidents.look(&all), [], "not at once");
    advance(RETRY).await;
    assert_eq!(kinds(&incidents.look(&all)), [(Change::Opened, 1)]);
    assert_eq!(incidents.trouble(), None);
}
