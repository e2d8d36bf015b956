//! Five hundred Modbus TCP terminals, each looked at every second, in a process of their own: what they cost at rest.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Plan, process,
    report::{Bar, Report, median},
    rig,
    support::daemon::Daemon,
};

const TERMINALS: usize = 500;
const SETTLED: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);

/// The simulated terminals.
struct Terminals {
    child: Child,
    addresses: Vec<String>,
}

impl Terminals {
    fn start(program: &std::path::Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--lines", &TERMINALS.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("--modbus names the program modbus-terminal");
        let lines = BufReader::new(child.stdout.as_mut().expect("it is piped")).lines();
        let addresses = lines
            .take(TERMINALS)
            .map(|line| {
                line.expect("it speaks").split_whitespace().last().expect("it says where it listens").to_owned()
            })
            .collect();
        Self { child, addresses }
    }

    fn blocks(&self) -> String {
        let block = |(number, address): (usize, &String)| {
            format!(
                "[[terminal]]\nname = \"turnstile-{number}\"\ndriver = \"modbus\"\naddress = \"{address}\"\n\
                 map = \"event-fifo\"\npoll = \"1s\"\n\n"
            )
        };
        self.addresses.iter().enumerate().map(block).collect()
    }
}

impl Drop for Terminals {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let Some(program) = &plan.modbus else { return eprintln!("skipped: Modbus terminals need --modbus") };
    let broker = rig::broker();
    let terminals = Terminals::start(program);
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let daemon = Daemon::start(&broker, "");
        rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
        tokio::time::sleep(SETTLED).await;
        let idle = process::rss_kib(daemon.pid());
        let before = process::cpu_s(daemon.pid());
        tokio::time::sleep(SETTLED).await;
        let at_rest = (process::cpu_s(daemon.pid()) - before) / SETTLED.as_secs_f64() * 100.0;
        daemon.configure(&broker, &terminals.blocks());
        daemon.signal(rustix::process::Signal::HUP);
        rig::until_status(&daemon, Duration::from_millis(100), |it| it.terminals.online == TERMINALS).await;
        // The first health documents of all of them have gone by then.
        tokio::time::sleep(SETTLED * 2).await;
        let before = process::cpu_s(daemon.pid());
        tokio::time::sleep(MEASURED).await;
        let cpu = (process::cpu_s(daemon.pid()) - before) / MEASURED.as_secs_f64() * 100.0;
        let extra = process::rss_kib(daemon.pid()).saturating_sub(idle) as f64 / 1024.0;
        runs.push(json!({ "cpu_percent": cpu, "idle_cpu_percent": at_rest, "extra_mib": extra, "idle_mib": idle as f64 / 1024.0 }));
    }
    let of = |name: &str| median(runs.iter().map(|run: &Value| run[name].as_f64().expect("a number")));
    let what = format!("{TERMINALS} Modbus TCP terminals, each polled every second");
    report.row(format!("{what}: CPU"), of("cpu_percent"), "% of a core", Bar::AtMost(5.0));
    report.row(format!("{what}: memory over idle"), of("extra_mib"), "MiB", Bar::AtMost(20.0));
    report.figures("modbus", json!(runs));
}
