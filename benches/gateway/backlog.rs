//! A backlog of a million punches: memory, start, and how fast it drains when the broker is there again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Plan, process,
    reader::Reader,
    report::{Bar, Report, median},
    rig,
    support::{broker::Mosquitto, daemon::Daemon},
};

const TERMINALS: usize = 10;
const OFTEN: Duration = Duration::from_millis(20);

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let mut broker = rig::broker();
    let mut terminals = Vec::new();
    for number in 0..TERMINALS {
        terminals.push(rig::terminal(number, plan.backlog as usize / TERMINALS).await);
    }
    broker.kill();
    let begun = Instant::now();
    let mut daemon = Daemon::start(&broker, &rig::blocks(&terminals));
    rig::until_status(&daemon, Duration::from_millis(100), |it| it.queue.undelivered == plan.backlog).await;
    let filled = begun.elapsed().as_secs_f64();
    // So that each terminal's place in its log is known; then SIGKILL, the harder way to be stopped.
    tokio::time::sleep(Duration::from_secs(3)).await;
    daemon.kill();
    let kept = daemon.path("kept");
    rig::copy(&daemon.path("state"), &kept);

    let mut watched = Vec::new();
    let mut unwatched = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..plan.runs {
        starts.push(start(&mut daemon, &mut broker, &kept).await);
        watched.push(drain(plan, &mut daemon, &mut broker, &kept, true).await);
        unwatched.push(drain(plan, &mut daemon, &mut broker, &kept, false).await);
    }
    let n = plan.backlog;
    let of = |runs: &[Value], name: &str| median(runs.iter().map(|run| run[name].as_f64().expect("a number")));
    let rows = [
        ("start to first punch delivered", median(starts.iter().copied()), "s", Bar::AtMost(0.5)),
        ("memory, broker away", of(&watched, "rest_mib"), "MiB", Bar::AtMost(40.0)),
        ("memory at most while it drains", of(&watched, "peak_mib"), "MiB", Bar::AtMost(40.0)),
        ("first punch after the broker's return", of(&watched, "first_s"), "s", Bar::AtMost(1.0)),
        ("drain with a subscriber", of(&watched, "punches_per_s"), "punches/s", Bar::AtLeast(50_000.0)),
        ("drain without one", of(&unwatched, "punches_per_s"), "punches/s", Bar::AtLeast(50_000.0)),
        ("CPU of the drain", of(&watched, "cpu_us_per_punch"), "us/punch", Bar::None),
    ];
    for (what, figure, unit, bar) in rows {
        report.row(format!("{n} waiting: {what}"), figure, unit, bar);
    }
    report.row(format!("{n} punches from {TERMINALS} terminals to durable"), filled, "s", Bar::None);
    let figures = json!({ "fill_s": filled, "start_s": starts, "with_subscriber": watched, "without": unwatched });
    report.figures("backlog", figures);
}

/// The state as it was when the daemon was killed.
fn reset(daemon: &mut Daemon, kept: &Path) {
    daemon.kill();
    fs::remove_dir_all(daemon.path("state")).expect("the state is ours");
    rig::copy(kept, &daemon.path("state"));
}

async fn start(daemon: &mut Daemon, broker: &mut Mosquitto, kept: &Path) -> f64 {
    reset(daemon, kept);
    broker.restart();
    let reader = Reader::start(broker.settings("reader"), false).await;
    let begun = Instant::now();
    daemon.launch();
    let first = timeout(rig::LIMIT, reader.until(|seen| seen.first)).await.expect("a punch arrives");
    (first - begun).as_secs_f64()
}

async fn drain(plan: &Plan, daemon: &mut Daemon, broker: &mut Mosquitto, kept: &Path, watched: bool) -> Value {
    reset(daemon, kept);
    broker.kill();
    daemon.launch();
    rig::until_status(daemon, OFTEN, |it| {
        it.queue.undelivered == plan.backlog && it.terminals.online == TERMINALS && it.link.state == "down"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (rest, cpu) = (process::rss_kib(daemon.pid()) as f64 / 1024.0, process::cpu_s(daemon.pid()));
    let reader = watched.then(|| Reader::begin(broker.settings("reader"), false));
    broker.restart();
    let back = Instant::now();
    rig::until_status(daemon, OFTEN, |it| it.queue.undelivered < plan.backlog).await;
    let begun = Instant::now();
    rig::until_status(daemon, OFTEN, |it| it.queue.undelivered == 0).await;
    let wall = begun.elapsed().as_secs_f64();
    let cpu = (process::cpu_s(daemon.pid()) - cpu) / plan.backlog as f64 * 1e6;
    let peak = process::peak_kib(daemon.pid()) as f64 / 1024.0;
    let mut first = None;
    if let Some(reader) = reader {
        // What went out before the reader was subscribed is not its fault.
        let lost = plan.backlog - reader.seen().punches;
        first = reader.seen().first.map(|first| (first - back).as_secs_f64());
        eprintln!("the reader missed {lost} punches that went before it had subscribed");
    }
    json!({
        "wall_s": wall, "punches_per_s": plan.backlog as f64 / wall, "cpu_us_per_punch": cpu, "first_s": first,
        "rest_mib": rest, "peak_mib": peak,
    })
}
