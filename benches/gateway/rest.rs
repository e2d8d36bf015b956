//! Memory at rest, alone and with two hundred terminals; and what the latter cost in a minute in which nobody punches, with
//! everything on: health on the broker, incidents, the ring of minutes, and somebody who takes numbers every 15 seconds.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use serde_json::json;

use super::{
    Plan, process,
    report::{Bar, Report},
    rig,
    support::daemon::Daemon,
};

const TERMINALS: usize = 200;
const SETTLED: Duration = Duration::from_secs(5);
/// What is done once after a start, reading past punches among it, is done by then.
const STARTED: Duration = Duration::from_secs(70);
/// So often somebody takes numbers, and as many times as make a minute.
const SCRAPED: Duration = Duration::from_secs(15);
const SCRAPES: u32 = 4;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
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
    let numbers = free_address();
    let metrics = format!("[metrics]\nlisten = \"{numbers}\"\n\n");
    let daemon = Daemon::start(&broker, &(metrics + &rig::blocks(&terminals)));
    rig::until_status(&daemon, Duration::from_millis(50), |it| {
        it.terminals.online == TERMINALS && it.queue.undelivered == 0
    })
    .await;
    tokio::time::sleep(SETTLED).await;
    let (crowd, crowd_own) = memory(&daemon);
    tokio::time::sleep(if plan.quick { SETTLED } else { STARTED }).await;
    let before = process::cpu_s(daemon.pid());
    let begun = std::time::Instant::now();
    let mut series = 0;
    for _ in 0..SCRAPES {
        tokio::time::sleep(SCRAPED).await;
        series = scrape(numbers).lines().filter(|line| !line.starts_with('#')).count();
    }
    let cpu = (process::cpu_s(daemon.pid()) - before) / begun.elapsed().as_secs_f64() * 100.0;
    assert!(series > 7 * TERMINALS, "{series} series");
    report.row("memory at rest", alone, "MiB", Bar::AtMost(10.0));
    report.row("memory at rest: without pages of files", own, "MiB", Bar::None);
    report.row(format!("memory with {TERMINALS} terminals"), crowd, "MiB", Bar::AtMost(20.0));
    report.row(format!("memory with {TERMINALS} terminals: without pages of files"), crowd_own, "MiB", Bar::None);
    let what = format!("CPU with {TERMINALS} quiet terminals in a minute, everything on");
    report.row(what, cpu, "% of a core", Bar::AtMost(2.0));
    let peak = process::peak_kib(daemon.pid()) as f64 / 1024.0;
    report.figures(
        "rest",
        json!({
            "alone_mib": alone, "alone_own_mib": own, "crowd_mib": crowd, "crowd_own_mib": crowd_own, "crowd_peak_mib": peak,
            "crowd_cpu_percent": cpu, "crowd_series": series,
        }),
    );
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("loopback has ports")
}

/// What a scraper takes.
fn scrape(from: SocketAddr) -> String {
    let mut line = TcpStream::connect(from).expect("numbers are served");
    line.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it listens");
    let mut text = String::new();
    line.read_to_string(&mut text).expect("it answers");
    text
}

/// Resident memory, and what of it is no page of a file, in MiB.
fn memory(daemon: &Daemon) -> (f64, f64) {
    let mib = |kib: u64| kib as f64 / 1024.0;
    (mib(process::rss_kib(daemon.pid())), mib(process::own_kib(daemon.pid())))
}
