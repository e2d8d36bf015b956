//! The contract of every driver, as a suite that each one runs over its simulated terminals.
//!
//! A driver's tests implement [`Bench`] and call [`check`], or the clauses one by one. The gateway behind the door is a
//! [`FakeGateway`](crate::fake::FakeGateway); the sockets are real. Whether the driver dials or is dialled makes no difference here.
//!
//! Each clause gets a bench of its own and panics with a sentence when the driver breaks it.

mod running;

use std::{collections::HashSet, future::Future, time::Duration};

use async_trait::async_trait;
use tokio::time::{sleep, timeout};

pub use self::running::Running;

use crate::{Job, Kind, Operation};

/// Longest wait for anything that must happen. Generous, since machines that run tests are noisy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What stands on a driver's test bench: at least two simulated terminals, each with a name of its own.
///
/// Persons handed to [`Bench::punch`] are short numbers such as `"1001"`, which every protocol can carry, and the driver
/// must hand them over exactly so.
#[async_trait]
pub trait Bench: Send + Sync {
    fn kind(&self) -> &'static Kind;

    /// The content of `[driver.<name>]` as TOML.
    fn settings(&self) -> String {
        String::new()
    }

    /// Name and content of each `[[terminal]]` block, as TOML without the gateway's own keys (`name`, `driver`, `zone`).
    fn terminals(&self) -> Vec<(String, String)>;

    /// Somebody punches at the terminal with this number (from 0). Returns when the terminal has recorded it; it tells
    /// the driver in its own way and time. No two calls make equal punches.
    async fn punch(&self, terminal: usize, person: &str);

    /// How many punches this terminal may have forgotten, because it was told that they arrived. Always 0 for
    /// terminals that keep their log whatever they are told.
    fn forgotten(&self, terminal: usize) -> usize;

    /// Cuts this terminal's connections in the middle of whatever is going on. It can be reached, or comes back by itself,
    /// at once.
    async fn cut(&self, terminal: usize);

    /// Makes the terminal tell again what it has told before: cut it if its log is read anyway, else let it resend.
    async fn repeat(&self, terminal: usize);

    /// Puts these bytes on this terminal's wire in place of, or in front of, something that it would have said. Returns
    /// when they are certain to be sent with the next exchange, or were sent.
    async fn garbage(&self, terminal: usize, bytes: &[u8]);
}

/// All clauses, one after the other. `bench` makes a new bench for each.
pub async fn check<B, F>(bench: impl Fn() -> F)
where
    B: Bench,
    F: Future<Output = B>,
{
    punches_arrive_once_and_unchanged(&bench().await).await;
    nothing_is_forgotten_before_it_is_on_disk(&bench().await).await;
    a_full_disk_loses_nothing(&bench().await).await;
    twins_are_harmless(&bench().await).await;
    a_cut_line_loses_nothing(&bench().await).await;
    garbage_at_one_terminal_harms_no_other(&bench().await).await;
    a_hostile_wire_never_makes_it_panic(&bench().await).await;
    closing_takes_under_a_second(&bench().await).await;
    a_job_is_answered_or_dropped(&bench().await).await;
}

/// Ten punches, ten punches in the store, with the persons as they were.
pub async fn punches_arrive_once_and_unchanged(bench: &dyn Bench) {
    let running = Running::start(bench);
    let people = punch_some(bench, 0, 1000, 10).await;
    running.until_stored("ten punches are stored", 0, 10).await;
    assert_eq!(running.people(0), people, "the persons are not those who punched");
    running.close().await;
}

/// With a slow store, the terminal never forgets more than is stored.
pub async fn nothing_is_forgotten_before_it_is_on_disk(bench: &dyn Bench) {
    let running = Running::start(bench);
    running.gateway.set_slow(Duration::from_millis(150));
    let people = punch_some(bench, 0, 1000, 20).await;
    running
        .gateway
        .until("twenty punches are stored through a slow store", PATIENCE, |gateway| {
            running.assert_nothing_forgotten_early(bench, 0);
            gateway.punches(&running.names[0]).len() >= 20
        })
        .await;
    assert_eq!(running.people(0), people, "something was lost or doubled at a slow store");
    running.close().await;
}

/// While the disk is full nothing is acknowledged; as soon as there is room everything arrives, with nobody's help.
pub async fn a_full_disk_loses_nothing(bench: &dyn Bench) {
    let running = Running::start(bench);
    let mut people = punch_some(bench, 0, 1000, 3).await;
    running.until_stored("three punches are stored", 0, 3).await;
    running.gateway.set_full(true);
    people.extend(punch_some(bench, 0, 2000, 5).await);
    running
        .gateway
        .until("the driver meets the full disk again and again", PATIENCE, |gateway| {
            running.assert_nothing_forgotten_early(bench, 0);
            gateway.refusals() >= 8 // more than punches: what was refused is tried again
        })
        .await;
    running.gateway.set_full(false);
    running.until_stored("the punches of the full disk arrive", 0, 8).await;
    assert_eq!(running.people(0), people, "something was lost or doubled at a full disk");
    running.close().await;
}

/// Told again, a punch keeps its id: nothing is stored twice.
pub async fn twins_are_harmless(bench: &dyn Bench) {
    let running = Running::start(bench);
    let mut people = punch_some(bench, 0, 1000, 4).await;
    running.until_stored("four punches are stored", 0, 4).await;
    for round in 1..=3 {
        bench.repeat(0).await;
        people.extend(punch_some(bench, 0, 1000 + round * 100, 1).await);
        running.until_stored("a punch after a repetition is stored", 0, people.len()).await;
    }
    assert_eq!(running.people(0), people, "a repetition was stored as something new");
    running.close().await;
}

/// Cut in the middle of punches, again and again: all of them arrive, each once.
pub async fn a_cut_line_loses_nothing(bench: &dyn Bench) {
    let running = Running::start(bench);
    let mut people = HashSet::new();
    for round in 0..5 {
        people.extend(punch_some(bench, 0, 1000 + round * 100, 2).await);
        bench.cut(0).await;
        people.extend(punch_some(bench, 0, 1050 + round * 100, 2).await);
    }
    running.until_stored("all punches around five cuts are stored", 0, people.len()).await;
    running.assert_nothing_forgotten_early(bench, 0);
    assert_eq!(running.people(0), people, "something was lost or doubled at a cut line");
    running.close().await;
}

/// One terminal talks rubbish; the other is served all the same, and the first one too when it comes to its senses.
pub async fn garbage_at_one_terminal_harms_no_other(bench: &dyn Bench) {
    let running = Running::start(bench);
    for (round, bytes) in garbage().iter().enumerate() {
        bench.garbage(0, bytes).await;
        punch_some(bench, 1, 1000 + round as u32, 1).await;
        running.until_stored("the other terminal is served", 1, round + 1).await;
    }
    let people = punch_some(bench, 0, 5000, 1).await;
    running.until_stored("the terminal is served again after its rubbish", 0, 1).await;
    assert_eq!(running.people(0), people);
    running.close().await;
}

/// Hostile bytes between punches: no panic, no invented punch, none lost.
pub async fn a_hostile_wire_never_makes_it_panic(bench: &dyn Bench) {
    let running = Running::start(bench);
    let mut people = HashSet::new();
    for (round, bytes) in garbage().iter().enumerate() {
        people.extend(punch_some(bench, 0, 1000 + round as u32, 1).await);
        bench.garbage(0, bytes).await;
        bench.repeat(0).await;
    }
    running.until_stored("all punches between the rubbish are stored", 0, people.len()).await;
    assert_eq!(running.people(0), people, "rubbish was taken for a punch, or took one away");
    running.close().await; // tells of a panic
}

/// It leaves in time: at once after its start, while it serves, and while the store keeps it waiting.
pub async fn closing_takes_under_a_second(bench: &dyn Bench) {
    Running::start(bench).close().await;
    let running = Running::start(bench);
    punch_some(bench, 0, 1000, 1).await;
    running.until_stored("a punch is stored", 0, 1).await;
    running.close().await;
    let running = Running::start(bench);
    running.gateway.set_slow(PATIENCE);
    punch_some(bench, 0, 2000, 1).await;
    sleep(Duration::from_millis(100)).await; // perhaps it waits at the store by now; any state will do
    running.close().await;
}

/// Who asks for something gets an answer, or sees his job dropped; he never waits for ever.
pub async fn a_job_is_answered_or_dropped(bench: &dyn Bench) {
    let running = Running::start(bench);
    punch_some(bench, 0, 1000, 1).await;
    running.until_stored("a punch is stored", 0, 1).await;
    let all = [Operation::Info, Operation::Reconcile { from: None, to: None }, Operation::Users];
    // Whoever does not say that it can do something is never asked to.
    let offered = |operation: &Operation| bench.kind().operations.contains(&operation.name());
    for operation in all.into_iter().filter(offered) {
        let what = operation.name();
        let (job, answer) = Job::new(running.names[0].as_str(), operation);
        running.send(0, job).await;
        assert!(timeout(PATIENCE, answer).await.is_ok(), "{what} was neither answered nor dropped");
    }
    assert_eq!(running.people(0).len(), 1, "a job added a punch");
    running.close().await;
}

/// Somebody after somebody punches; returns who.
async fn punch_some(bench: &dyn Bench, terminal: usize, first: u32, count: u32) -> HashSet<String> {
    let people: Vec<String> = (first..first + count).map(|number| number.to_string()).collect();
    for person in &people {
        bench.punch(terminal, person).await;
    }
    people.into_iter().collect()
}

/// Rubbish of several kinds: other protocols, huge lengths, nothing but zeros or ones, and noise (always the same).
pub fn garbage() -> Vec<Vec<u8>> {
    let mut noise: u32 = 0x9e37_79b9;
    let noise = (0..700).map(|_| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise as u8
    });
    vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        b"GET /iclock/cdata?SN=&table=ATTLOG&Stamp=99999999999999999999 HTTP/1.1\r\nContent-Length: -1\r\n\r\n"
            .to_vec(),
        [&[0x50, 0x50, 0x82, 0x7d, 0xff, 0xff, 0xff, 0x7f][..], &[0x41; 40]].concat(),
        noise.collect(),
    ]
}
