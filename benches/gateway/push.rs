//! Terminals that push: punches per second with the disk before every answer, a crowd that only polls, and a siege.
//!
//! The terminals are a process of their own (`zk-push-load`), so that the daemon's time and memory are the daemon's alone.
//! Beside each rate stands what the same generator gets from a server that answers at once and stores nothing, and what one
//! bare fdatasync for each answer would give.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Plan,
    latency::disk_alone,
    process,
    report::{Bar, Report, median},
    rig,
    support::{
        daemon::Daemon,
        push::{blocks, free_address},
    },
};

const TERMINALS: usize = 50;
const POLLING: usize = 500;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let Some(load) = plan.load.as_deref() else { return eprintln!("skipped: push needs --load") };
    let seconds = if plan.quick { 2 } else { 5 };
    rates(plan, load, seconds, report).await;
    crowd(load, if plan.quick { 20 } else { 40 }, report).await;
    siege(load, if plan.quick { 10 } else { 30 }, report).await;
}

fn config(count: usize, listen: SocketAddr) -> String {
    let serials: Vec<String> = (1..=count).map(|n| format!("LOAD{n:04}")).collect();
    blocks(listen, "", serials.iter().map(String::as_str))
}

/// What the generator told.
async fn run(load: &Path, words: &[String]) -> Value {
    let (load, words) = (load.to_owned(), words.to_vec());
    let output = tokio::task::spawn_blocking(move || Command::new(load).args(words).stderr(Stdio::inherit()).output());
    let output = output.await.expect("it is waited for").expect("the generator runs");
    serde_json::from_slice(&output.stdout).expect("it tells JSON")
}

fn words(what: &str, to: SocketAddr, count: usize, seconds: u64, more: &[&str]) -> Vec<String> {
    let mut words = vec![what.into(), to.to_string(), format!("LOAD:{count}"), seconds.to_string()];
    words.extend(more.iter().map(ToString::to_string));
    words
}

/// A process that ends with us.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn rates(plan: &Plan, load: &Path, seconds: u64, report: &mut Report) {
    let broker = rig::broker();
    let gateway = free_address();
    let bound = free_address();
    let echo = Command::new(load).arg("echo").arg(bound.to_string()).stdout(Stdio::null()).spawn();
    let _echo = Echo(echo.expect("the generator runs"));
    let daemon = Daemon::start(&broker, &config(TERMINALS, gateway));
    rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
    sleep(Duration::from_secs(1)).await;
    // The index and the connections are warm, as on every day but the first.
    run(load, &words("post", gateway, TERMINALS, 1, &["1"])).await;

    let modes: [(&str, &str, &[&str], f64, f64); 3] = [
        ("batches of 100", "batch_100", &["100"], 15_000.0, 25.0),
        ("one per POST, new connection each", "single_new", &["1"], 1_000.0, f64::INFINITY),
        ("one per POST, keep-alive", "single_kept", &["1", "--keep-alive"], 5_000.0, 80.0),
    ];
    for (what, key, more, bar, cpu_bar) in modes {
        let (mut runs, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..plan.runs {
            let mut disk = disk_alone(daemon.path("bare"));
            disk.sort_by(f64::total_cmp);
            let batch: f64 = more[0].parse().expect("a number");
            bare.push(batch * disk.len() as f64 / (disk.iter().sum::<f64>() / 1e3));
            let quick = run(load, &words("post", bound, TERMINALS, seconds.min(3), more)).await;
            let cpu = process::cpu_s(daemon.pid());
            let mut told = run(load, &words("post", gateway, TERMINALS, seconds, more)).await;
            // Delivery is part of the price.
            rig::until_status(&daemon, Duration::from_millis(50), |it| it.queue.undelivered == 0).await;
            let punches = told["punches"].as_f64().expect("a number");
            told["cpu_us_per_punch"] = ((process::cpu_s(daemon.pid()) - cpu) / punches * 1e6).into();
            told["answers_only_per_s"] = quick["per_s"].clone();
            runs.push(told);
        }
        let of = |name: &str| median(runs.iter().map(|run| run[name].as_f64().expect("a number")));
        let bound = ("the generator against answers alone:", of("answers_only_per_s"));
        report.beside(
            format!("push, {TERMINALS} terminals, {what}"),
            of("per_s"),
            "punches/s",
            bound,
            Bar::AtLeast(bar),
        );
        let bound = ("a bare fdatasync each:", median(bare.iter().copied()));
        report.beside(format!("push, {what}: the same"), of("per_s"), "punches/s", bound, Bar::None);
        let p99 = if key == "single_new" { Bar::AtMost(250.0) } else { Bar::None };
        report.row(format!("push, {what}: p99"), of("p99_ms"), "ms", p99);
        let cpu = if cpu_bar.is_finite() { Bar::AtMost(cpu_bar) } else { Bar::None };
        report.row(format!("push, {what}: CPU with delivery"), of("cpu_us_per_punch"), "us/punch", cpu);
        report.row(format!("push, {what}: refused or failed"), of("failed"), "", Bar::AtMost(0.0));
        report.figures(&format!("push_{key}"), json!({ "runs": runs, "bare_per_s": bare }));
    }
}

async fn crowd(load: &Path, seconds: u64, report: &mut Report) {
    let broker = rig::broker();
    let gateway = free_address();
    let daemon = Daemon::start(&broker, &config(POLLING, gateway));
    rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
    let polling = words("poll", gateway, POLLING, seconds + 15, &["10"]);
    let measuring = async {
        rig::until_status(&daemon, Duration::from_millis(100), |it| it.terminals.online == POLLING).await;
        sleep(Duration::from_secs(3)).await;
        let cpu = process::cpu_s(daemon.pid());
        sleep(Duration::from_secs(seconds)).await;
        (process::cpu_s(daemon.pid()) - cpu) / seconds as f64 * 100.0
    };
    let (told, cpu) = tokio::join!(run(load, &polling), measuring);
    let rss = process::rss_kib(daemon.pid()) as f64 / 1024.0;
    report.row(format!("push, {POLLING} terminals polling every 10 s: CPU"), cpu, "% of a core", Bar::AtMost(3.0));
    report.row(format!("push, {POLLING} terminals polling: memory"), rss, "MiB", Bar::AtMost(30.0));
    report.figures("push_poll", json!({ "cpu_percent": cpu, "rss_mib": rss, "polls": told }));
}

async fn siege(load: &Path, seconds: u64, report: &mut Report) {
    let broker = rig::broker();
    let gateway = free_address();
    let daemon = Daemon::start(&broker, &config(TERMINALS, gateway));
    rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
    let told = run(load, &words("siege", gateway, TERMINALS, seconds, &[])).await;
    let peak = process::peak_kib(daemon.pid()) as f64 / 1024.0;
    let of = |name: &str| told[name].as_f64().expect("a number");
    report.row("push, siege (48 MB bodies, 500 slow, 1,000 flapping): memory at most", peak, "MiB", Bar::AtMost(128.0));
    report.row("push, siege: good terminals' p99", of("p99_ms"), "ms", Bar::AtMost(1000.0));
    report.row("push, siege: good terminals' punches not taken", of("failed"), "", Bar::AtMost(0.0));
    report.figures("push_siege", json!({ "peak_mib": peak, "good": told }));
}
