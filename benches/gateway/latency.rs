//! From a punch at a terminal to a subscriber, durable on the way.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    Plan,
    reader::Reader,
    report::{Bar, Report, median, percentile},
    rig,
    support::daemon::Daemon,
};

const PER_SECOND: u32 = 200;
const TERMINALS: usize = 4;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let broker = rig::broker();
    let reader = Reader::start(broker.settings("reader"), true).await;
    let mut terminals = Vec::new();
    for number in 0..TERMINALS {
        terminals.push(rig::terminal(number, 0).await);
    }
    let daemon = Daemon::start(&broker, &rig::blocks(&terminals));
    let listening = async {
        while terminals.iter().any(|terminal| terminal.listeners() == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(rig::LIMIT, listening).await.expect("the gateway listens to its terminals");
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (mut p50, mut p99, mut bare50, mut bare99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..plan.runs {
        let mut bare = disk_alone(daemon.path("bare"));
        bare50.push(percentile(&mut bare, 50));
        bare99.push(percentile(&mut bare, 99));
        let mut clock = interval(Duration::from_secs(1) / PER_SECOND);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut punched = Vec::new();
        for n in 0..plan.live {
            clock.tick().await;
            let person = format!("{}", 1_000_000 * (run + 1) + n);
            let at = Instant::now();
            terminals[n % TERMINALS].punch(&person);
            punched.push((person, at));
        }
        let all_there = reader.until(|seen| punched.iter().all(|it| seen.persons.contains_key(&it.0)).then_some(()));
        timeout(Duration::from_secs(60), all_there).await.expect("every punch arrives");
        let seen = reader.seen();
        let mut took: Vec<f64> =
            punched.iter().map(|(person, at)| (seen.persons[person] - *at).as_secs_f64() * 1e3).collect();
        p50.push(percentile(&mut took, 50));
        p99.push(percentile(&mut took, 99));
    }
    let of = |all: &[f64]| median(all.iter().copied());
    let what = format!("punch -> subscriber at {PER_SECOND}/s");
    let rows = [("p50", &p50, &bare50, 1.0), ("p99", &p99, &bare99, 8.0)];
    for (name, ours, bare, bar) in rows {
        let beside = ("one bare fdatasync:", of(bare));
        report.beside(format!("{what}: {name}"), of(ours), "ms", beside, Bar::AtMost(bar));
    }
    report.figures("latency", json!({ "p50_ms": p50, "p99_ms": p99, "bare_p50_ms": bare50, "bare_p99_ms": bare99 }));
}

/// What one small write and fdatasync takes in a file with its room reserved.
pub(crate) fn disk_alone(path: std::path::PathBuf) -> Vec<f64> {
    let mut file = fs::File::create(path).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20).expect("room");
    file.sync_all().expect("a disk that syncs");
    let one = |_| {
        let begun = Instant::now();
        file.write_all(&[0x5a; 155]).expect("a disk that writes");
        file.sync_data().expect("a disk that syncs");
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..400).map(one).collect()
}
