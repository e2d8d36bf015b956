//! The judge must not be too kind.

use jiff::civil::date;

use super::*;
use crate::demo::tally::{Arrivals, code};

fn punched(person: &str, second: i8) -> Punched {
    let local = Some(date(2026, 11, 20).at(8, 58, second, 0));
    let (verify, direction) = (code(Some(15.into())), code(Some(0.into())));
    Punched { terminal: "front-door".into(), person: person.into(), local, verify, direction }
}

fn tally(punches: &[Punched]) -> Tally {
    let mut tally = Tally::default();
    punches.iter().for_each(|punch| tally.add(punch.clone()));
    tally
}

/// The payload of a message with these punches, each with its number and id.
fn message(punches: &[(u64, &str, &Punched)]) -> Vec<u8> {
    let one = |(seq, id, punch): &(u64, &str, &Punched)| {
        serde_json::json!({
            "seq": seq, "id": id, "person": punch.person, "origin": "live",
            "local": punch.local.unwrap_or(date(2026, 11, 20).at(9, 0, 0, 0)),
            "direction": {"value": "in", "raw": 0}, "verify": {"value": "face", "raw": 15},
        })
    };
    let punches: Vec<_> = punches.iter().map(one).collect();
    serde_json::to_vec(&serde_json::json!({"data": {"terminal": "front-door", "ledger": 7, "punches": punches}}))
        .unwrap()
}

fn claims(durable: u64) -> Option<Claims> {
    Some(Claims { durable, twins: 0, waiting: 0 })
}

fn only_problem(verdict: &Verdict) -> &str {
    assert!(!verdict.agrees);
    let [problem] = &verdict.problems[..] else { panic!("{:?}", verdict.problems) };
    problem
}

#[test]
fn all_that_was_punched_and_nothing_else_agrees_even_when_it_came_twice() {
    let (one, two) = (punched("1001", 1), punched("1002", 2));
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one), (2, "b", &two)]));
    arrived.take(&message(&[(2, "b", &two)]));
    let verdict = judge(&tally(&[one, two]), &arrived, claims(2));
    assert!(verdict.agrees, "{:?}", verdict.problems);
    assert_eq!((verdict.delivered, verdict.lost, verdict.invented, verdict.repeated), (2, 0, 0, 1));
}

#[test]
fn a_lost_punch_is_told() {
    let (one, two) = (punched("1001", 1), punched("1002", 2));
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one)]));
    let verdict = judge(&tally(&[one, two]), &arrived, claims(2));
    assert_eq!(
        only_problem(&verdict),
        "1 punches never arrived, such as that of 1002 at front-door, 2026-11-20T08:58:02"
    );
    assert_eq!((verdict.lost, verdict.invented), (1, 0));
}

#[test]
fn of_two_equal_punches_in_one_second_both_must_arrive() {
    let one = punched("1001", 1);
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one)]));
    let both = tally(&[one.clone(), one.clone()]);
    assert_eq!(judge(&both, &arrived, claims(2)).lost, 1);
    arrived.take(&message(&[(2, "b", &one)]));
    assert!(judge(&both, &arrived, claims(2)).agrees);
}

#[test]
fn a_twin_under_another_id_is_told() {
    let one = punched("1001", 1);
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one), (2, "b", &one)]));
    let verdict = judge(&tally(&[one]), &arrived, claims(1));
    assert!(only_problem(&verdict).contains("nobody had punched"));
    assert_eq!((verdict.lost, verdict.invented), (0, 1));
}

#[test]
fn one_id_at_two_places_and_two_ids_at_one_place_are_told() {
    let (one, two) = (punched("1001", 1), punched("1002", 2));
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one), (2, "a", &one)]));
    assert!(
        only_problem(&judge(&tally(std::slice::from_ref(&one)), &arrived, claims(1)))
            .contains("different punches or places")
    );
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one), (1, "b", &two)]));
    assert!(only_problem(&judge(&tally(&[one, two]), &arrived, claims(2))).contains("has two ids"));
}

#[test]
fn a_gap_in_the_numbers_is_told() {
    let (one, two) = (punched("1001", 1), punched("1002", 2));
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one), (3, "b", &two)]));
    let verdict = judge(&tally(&[one, two]), &arrived, claims(2));
    assert_eq!(only_problem(&verdict), "front-door, ledger 7 lacks number 2");
}

#[test]
fn of_a_terminal_without_a_clock_each_punch_counts_whenever_it_came() {
    let one = Punched { local: None, ..punched("1001", 0) };
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one)]));
    assert!(judge(&tally(std::slice::from_ref(&one)), &arrived, claims(1)).agrees);
    let twice = tally(&[one.clone(), one.clone()]);
    let lost = judge(&twice, &arrived, claims(2));
    assert_eq!(only_problem(&lost), "1 punches never arrived, such as that of 1001 at front-door");
    arrived.take(&message(&[(2, "b", &one)]));
    assert!(judge(&twice, &arrived, claims(2)).agrees);
    // One that has a clock must come with that clock's time.
    let clocked = judge(&tally(&[punched("1001", 1), punched("1001", 2)]), &arrived, claims(2));
    assert_eq!((clocked.lost, clocked.invented), (2, 2));
}

#[test]
fn what_the_gateway_claims_must_agree_as_well() {
    let one = punched("1001", 1);
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one)]));
    let all = tally(&[one]);
    assert!(only_problem(&judge(&all, &arrived, claims(2))).contains("on the gateway's disk"));
    let waiting = Claims { durable: 1, twins: 0, waiting: 3 };
    assert!(only_problem(&judge(&all, &arrived, Some(waiting))).contains("still wait"));
    assert!(only_problem(&judge(&all, &arrived, None)).contains("did not say"));
}

#[test]
fn a_message_that_makes_no_sense_is_told() {
    let one = punched("1001", 1);
    let mut arrived = Arrivals::default();
    arrived.take(&message(&[(1, "a", &one)]));
    arrived.take(b"{}");
    assert!(only_problem(&judge(&tally(&[one]), &arrived, claims(1))).contains("made no sense"));
}
