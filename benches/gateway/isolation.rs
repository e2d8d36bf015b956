//! What the trouble of other drivers costs a terminal that is well: its latency while a terminal of every other driver is well,
//! and while all of these are silent or talk rubbish without end. Both in turn within one run, with the same terminals in the
//! same config, so that what is compared differs in nothing but the trouble.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    Plan,
    reader::Reader,
    report::{Bar, Report, median, percentile},
    rig,
    support::{
        daemon::Daemon,
        everyone::{Everyone, Illness, NAMES},
    },
};

const PER_SECOND: u32 = 100;
/// Between two pieces of rubbish of each.
const AGAIN: Duration = Duration::from_millis(50);

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let broker = rig::broker();
    let reader = Reader::start(broker.settings("reader"), true).await;
    let everyone = Everyone::start().await;
    let daemon = Daemon::start(&broker, "");
    rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
    daemon.configure(&broker, &everyone.blocks(&daemon.path("")));
    daemon.signal(rustix::process::Signal::HUP);
    let all_online = async || {
        rig::until_status(&daemon, Duration::from_millis(100), |it| it.terminals.online == NAMES.len()).await;
    };
    all_online().await;
    while everyone.zk.listeners() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let ill = AtomicBool::new(false);
    let measuring = async {
        let mut figures = [(); 2].map(|()| (Vec::new(), Vec::new()));
        let mut person = 1_000_000;
        for _ in 0..plan.runs.max(2) {
            for (phase, (p50, p99)) in figures.iter_mut().enumerate() {
                ill.store(phase == 1, Ordering::Relaxed);
                if phase == 0 {
                    sleep(2 * AGAIN).await;
                    (1..NAMES.len()).for_each(|at| everyone.heal(at));
                    all_online().await;
                }
                sleep(Duration::from_secs(3)).await;
                let mut took = latency(plan.live / 2, &mut person, &everyone, &reader).await;
                p50.push(percentile(&mut took, 50));
                p99.push(percentile(&mut took, 99));
            }
        }
        figures
    };
    let trouble = async {
        for round in 0.. {
            sleep(AGAIN).await;
            for at in 1..NAMES.len() {
                if ill.load(Ordering::Relaxed) {
                    // A second of silence, a second of rubbish.
                    let illness = if round / 20 % 2 == 0 { Illness::Silent } else { Illness::Rubbish };
                    everyone.harm(at, illness).await;
                }
            }
        }
    };
    let [(well50, well99), (ill50, ill99)] = tokio::select! {
        figures = measuring => figures,
        () = trouble => unreachable!("it never ends"),
    };
    let of = |all: &[f64]| median(all.iter().copied());
    let added: Vec<f64> = ill99.iter().zip(&well99).map(|(ill, well)| ill - well).collect();
    let what = "a zk terminal while one of each other driver misbehaves";
    report.beside(format!("{what}: p50"), of(&ill50), "ms", ("while they are well:", of(&well50)), Bar::None);
    report.beside(format!("{what}: p99"), of(&ill99), "ms", ("while they are well:", of(&well99)), Bar::None);
    report.row(format!("{what}: added to p99"), of(&added), "ms", Bar::AtMost(10.0));
    let figures = json!({
        "well_p50_ms": well50, "well_p99_ms": well99, "ill_p50_ms": ill50, "ill_p99_ms": ill99, "added_ms": added,
    });
    report.figures("isolation", figures);
}

/// From a punch to the subscriber, in milliseconds, so often.
async fn latency(count: usize, person: &mut u32, everyone: &Everyone, reader: &Reader) -> Vec<f64> {
    let mut clock = interval(Duration::from_secs(1) / PER_SECOND);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut punched = Vec::new();
    for _ in 0..count {
        clock.tick().await;
        *person += 1;
        let (who, at) = (person.to_string(), Instant::now());
        everyone.zk.punch(&who);
        punched.push((who, at));
    }
    let all_there = reader.until(|seen| punched.iter().all(|it| seen.persons.contains_key(&it.0)).then_some(()));
    timeout(Duration::from_secs(60), all_there).await.expect("every punch arrives");
    let seen = reader.seen();
    punched.iter().map(|(person, at)| (seen.persons[person] - *at).as_secs_f64() * 1e3).collect()
}
