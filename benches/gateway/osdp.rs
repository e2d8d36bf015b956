//! Thirty-two OSDP readers with a secure channel each on one line, in a process of their own: from a card to a subscriber, one
//! card after the other and all in one moment, and what the bus costs. The line is a pseudo terminal, which has no speed: what
//! is measured is the gateway's part, not that of a cable.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    Plan, process,
    reader::Reader,
    report::{Bar, Report, median, percentile},
    rig,
    support::daemon::Daemon,
};

const READERS: usize = 32;
const SETTLED: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
/// Between two cards; so many a second pass no gate.
const APART: Duration = Duration::from_millis(150);

/// The simulated readers.
struct Readers {
    child: Child,
    said: BufReader<ChildStdout>,
    address: String,
    keys: Vec<String>,
}

impl Readers {
    fn start(program: &std::path::Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--serial", "--units", &READERS.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("--osdp names the program osdp-reader");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut last_word = || {
            let mut line = String::new();
            said.read_line(&mut line).expect("it speaks");
            line.split_whitespace().last().expect("it says something").to_owned()
        };
        let address = last_word();
        let keys = (0..READERS).map(|_| last_word()).collect();
        Self { child, said, address, keys }
    }

    fn blocks(&self, daemon: &Daemon) -> String {
        let block = |(number, key): (usize, &String)| {
            let (unit, file) = (number + 1, daemon.path(format!("{number}.key")));
            fs::write(&file, key).expect("a key can be written");
            format!(
                "[[terminal]]\nname = \"gate-{unit}\"\ndriver = \"osdp\"\naddress = \"{}\"\nunit = {unit}\n\
                 card = \"number\"\nkey_file = {file:?}\n\n",
                self.address
            )
        };
        self.keys.iter().enumerate().map(block).collect()
    }

    fn punch(&mut self, unit: usize, person: u32) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "punch {unit} {person}").expect("it listens");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it answers");
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let Some(program) = &plan.osdp else { return eprintln!("skipped: OSDP readers need --osdp") };
    let broker = rig::broker();
    let subscriber = Reader::start(broker.settings("reader"), true).await;
    let mut runs = Vec::new();
    for run in 0..plan.runs {
        let mut readers = Readers::start(program);
        let daemon = Daemon::start(&broker, "");
        rig::until_status(&daemon, Duration::from_millis(50), |it| it.link.state == "up").await;
        sleep(SETTLED).await;
        let idle = process::rss_kib(daemon.pid());
        daemon.configure(&broker, &readers.blocks(&daemon));
        daemon.signal(rustix::process::Signal::HUP);
        let begun = Instant::now();
        rig::until_status(&daemon, Duration::from_millis(100), |it| it.terminals.online == READERS).await;
        let served = begun.elapsed().as_secs_f64();
        sleep(SETTLED).await;
        let before = process::cpu_s(daemon.pid());
        sleep(MEASURED).await;
        let cpu = (process::cpu_s(daemon.pid()) - before) / MEASURED.as_secs_f64() * 100.0;
        let extra = process::rss_kib(daemon.pid()).saturating_sub(idle) as f64 / 1024.0;

        let mut person = 1_000_000 * (run as u32 + 1);
        let arrived = async |people: &[(String, Instant)]| {
            let there = subscriber
                .until(|seen| people.iter().map(|(who, _)| seen.persons.get(who).copied()).collect::<Option<Vec<_>>>());
            let there = timeout(Duration::from_secs(60), there).await.expect("every card arrives");
            there.iter().zip(people).map(|(at, (_, shown))| (*at - *shown).as_secs_f64() * 1e3).collect::<Vec<f64>>()
        };
        let mut shown = Vec::new();
        for number in 0..plan.live / 10 {
            person += 1;
            let at = Instant::now();
            readers.punch(number * 7 % READERS + 1, person);
            shown.push((person.to_string(), at));
            sleep(APART).await;
        }
        let mut took = arrived(&shown).await;
        shown.clear();
        for unit in 1..=READERS {
            person += 1;
            let at = Instant::now();
            readers.punch(unit, person);
            shown.push((person.to_string(), at));
        }
        let at_once = arrived(&shown).await.into_iter().fold(0.0, f64::max);
        let online = rig::until_status(&daemon, Duration::from_millis(50), |_| true).await.terminals.online;
        runs.push(json!({
            "served_s": served, "cpu_percent": cpu, "extra_mib": extra, "at_once_ms": at_once,
            "p50_ms": percentile(&mut took, 50), "p99_ms": percentile(&mut took, 99), "lost": READERS - online,
        }));
    }
    let of = |name: &str| median(runs.iter().map(|run: &Value| run[name].as_f64().expect("a number")));
    let what = format!("{READERS} OSDP readers on one line");
    report.row(format!("{what}: from the first question to all served"), of("served_s"), "s", Bar::None);
    report.row(format!("{what}: card -> subscriber, p50"), of("p50_ms"), "ms", Bar::None);
    report.row(format!("{what}: card -> subscriber, p99"), of("p99_ms"), "ms", Bar::AtMost(2000.0));
    // A reader waits for eight seconds until it takes its panel for gone.
    report.row(format!("{what}: a card at each in one moment, the last"), of("at_once_ms"), "ms", Bar::AtMost(8000.0));
    report.row(format!("{what}: readers lost meanwhile"), of("lost"), "", Bar::AtMost(0.0));
    report.row(format!("{what}: CPU"), of("cpu_percent"), "% of a core", Bar::None);
    report.row(format!("{what}: memory over idle"), of("extra_mib"), "MiB", Bar::AtMost(20.0));
    report.figures("osdp", json!(runs));
}
