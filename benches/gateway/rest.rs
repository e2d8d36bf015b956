//! Memory at rest: alone, and with two hundred terminals.

use std::time::Duration;

use serde_json::json;

use super::{
    Plan, process,
    report::{Bar, Report},
    rig,
    support::daemon::Daemon,
};

const TERMINALS: usize = 200;
const SETTLED: Duration = Duration::from_secs(5);

pub(crate) async fn measure(_: &Plan, report: &mut Report) {
    let broker = rig::broker();
    let daemon = Daemon::start(&broker, "");
    rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
    tokio::time::sleep(SETTLED).await;
    let (alone, own) = memory(&daemon);
    drop(daemon);

    let mut terminals = Vec::new();
    for number in 0..TERMINALS {
        terminals.push(rig::terminal(number, 100).await);
    }
    let daemon = Daemon::start(&broker, &rig::blocks(&terminals));
    rig::until_status(&daemon, Duration::from_millis(50), |it| {
        it.terminals.online == TERMINALS && it.queue.undelivered == 0
    })
    .await;
    tokio::time::sleep(SETTLED).await;
    let (cpu, (crowd, crowd_own)) = (process::cpu_s(daemon.pid()), memory(&daemon));
    tokio::time::sleep(SETTLED).await;
    let cpu = (process::cpu_s(daemon.pid()) - cpu) / SETTLED.as_secs_f64() * 100.0;
    report.row("memory at rest", alone, "MiB", Bar::AtMost(10.0));
    report.row("memory at rest: without pages of files", own, "MiB", Bar::None);
    report.row(format!("memory with {TERMINALS} terminals"), crowd, "MiB", Bar::AtMost(20.0));
    report.row(format!("memory with {TERMINALS} terminals: without pages of files"), crowd_own, "MiB", Bar::None);
    report.row(format!("CPU with {TERMINALS} quiet terminals"), cpu, "% of a core", Bar::AtMost(5.0));
    let peak = process::peak_kib(daemon.pid()) as f64 / 1024.0;
    report.figures(
        "rest",
        json!({
            "alone_mib": alone, "alone_own_mib": own, "crowd_mib": crowd, "crowd_own_mib": crowd_own, "crowd_peak_mib": peak,
            "crowd_cpu_percent": cpu,
        }),
    );
}

/// Resident memory, and what of it is no page of a file, in MiB.
fn memory(daemon: &Daemon) -> (f64, f64) {
    let mib = |kib: u64| kib as f64 / 1024.0;
    (mib(process::rss_kib(daemon.pid())), mib(process::own_kib(daemon.pid())))
}
