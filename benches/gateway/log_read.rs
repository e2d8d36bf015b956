//! A terminal's whole log, from its wire to our disk, beside pyzk's bare read of the same terminal.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Plan, process,
    report::{Bar, Report, median},
    rig::{self, block},
    support::daemon::Daemon,
};

/// A simulated terminal in a process of its own.
struct Terminal {
    child: Child,
    address: String,
}

impl Terminal {
    fn start(program: &std::path::Path, records: usize) -> Self {
        let mut command = Command::new(program);
        command.args(["--records", &records.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("--terminal names the program zk-terminal");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("it speaks");
        let address = line.split_whitespace().last().expect("it says where it listens").to_owned();
        Self { child, address }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let Some(program) = &plan.terminal else { return eprintln!("skipped: reading a log needs --terminal") };
    let terminal = Terminal::start(program, plan.records);
    let (mut ours, mut pyzk) = (Vec::new(), Vec::new());
    for _ in 0..plan.runs {
        match &plan.pyzk {
            Some((python, script)) => pyzk.push(peer(python, script, &terminal.address, plan.records)),
            None => eprintln!("skipped: pyzk beside it, since there is no --pyzk"),
        }
        ours.push(gateway(&terminal.address, plan.records).await);
    }
    let of = |runs: &[Value], name: &str| median(runs.iter().map(|run| run[name].as_f64().expect("a number")));
    let n = plan.records;
    let rows = [
        ("wall_s", "wall", "s", Bar::None),
        ("cpu_s", "CPU of the gateway", "s", Bar::AtMost(0.3)),
        ("extra_mib", "extra memory at most", "MiB", Bar::AtMost(8.0)),
    ];
    for (name, what, unit, bar) in rows {
        let what = format!("{n} records, terminal to durable: {what}");
        if pyzk.is_empty() {
            report.row(what, of(&ours, name), unit, bar);
        } else {
            let other = of(&pyzk, name);
            let bar = if name == "wall_s" { Bar::AtMost(other / 10.0) } else { bar };
            report.beside(what, of(&ours, name), unit, ("pyzk, storing nothing:", other), bar);
        }
    }
    report.figures("read", json!({ "ours": ours, "pyzk": pyzk }));
}

/// The broker is away, so that nothing but reading and storing is measured.
async fn gateway(address: &str, records: usize) -> Value {
    let mut broker = rig::broker();
    broker.kill();
    let daemon = Daemon::start(&broker, "");
    rig::until_status(&daemon, Duration::from_millis(50), |status| status.link.state == "down").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (idle, cpu) = (process::rss_kib(daemon.pid()), process::cpu_s(daemon.pid()));
    daemon.configure(&broker, &block("terminal", address));
    let begun = Instant::now();
    daemon.signal(rustix::process::Signal::HUP);
    rig::until_status(&daemon, Duration::from_millis(20), |it| it.queue.undelivered >= records as u64).await;
    let (wall, used) = (begun.elapsed().as_secs_f64(), process::cpu_s(daemon.pid()) - cpu);
    // The index follows some seconds behind.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let extra = process::peak_kib(daemon.pid()).saturating_sub(idle) as f64 / 1024.0;
    let settled = process::cpu_s(daemon.pid()) - cpu;
    json!({ "wall_s": wall, "cpu_s": used, "extra_mib": extra, "idle_mib": idle as f64 / 1024.0, "cpu_settled_s": settled })
}

fn peer(python: &std::path::Path, script: &std::path::Path, address: &str, records: usize) -> Value {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let output = Command::new(python).arg(script).args([host, port]).output().expect("python starts");
    let figures: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("pyzk failed: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(figures["records"], records, "pyzk did not read all");
    figures
}
