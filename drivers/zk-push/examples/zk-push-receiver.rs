//! The driver alone, behind a gateway that only remembers: for simulated terminals of others, and for trying a real one.
//!
//! What is stored comes out as JSON lines. Jobs go in, a line each: `info SERIAL`, `users SERIAL`, `reconcile SERIAL`.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use driver_api::{Job, Link, Operation, Problems, Section, TerminalBlock, fake::FakeGateway};
use driver_zk_push::KIND;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    time::interval,
};

const USAGE: &str = "usage: zk-push-receiver HOST:PORT SERIAL...";

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let listen = words.next().unwrap_or_default();
    let serials: Vec<String> = words.collect();
    let folder: Arc<Path> = Path::new(".").into();
    let section = |text: String| text.parse().map(|table| Section::new("", table, folder.clone()));
    let Ok(settings) = section(format!("listen = {listen:?}")) else {
        say(USAGE);
        return ExitCode::from(64);
    };
    let blocks = serials.iter().filter_map(|serial| {
        let section = section(format!("serial = {serial:?}")).ok()?;
        Some(TerminalBlock { name: serial.clone(), zone: TimeZone::UTC, section })
    });
    let mut problems = Problems::default();
    let mut lines = (KIND.plan)(settings, blocks.collect(), &mut problems);
    for problem in &problems.errors {
        say(&problem.to_string());
    }
    let Some(line) = lines.pop().filter(|_| problems.errors.is_empty() && !serials.is_empty()) else {
        say(USAGE);
        return ExitCode::from(64);
    };
    let gateway = FakeGateway::default();
    let (link, parts) = Link::new(Arc::new(gateway.clone()), &line.terminals);
    let mut running = tokio::spawn(async move { line.driver.run(link).await });
    let mut shown = vec![0; serials.len()];
    let mut ticks = interval(Duration::from_millis(20));
    let mut jobs = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            ended = &mut running => {
                say(&format!("the driver ended: {ended:?}"));
                return ExitCode::FAILURE;
            }
            _ = ticks.tick() => {
                for (serial, shown) in serials.iter().zip(&mut shown) {
                    let punches = gateway.punches(serial);
                    for punch in &punches[*shown..] {
                        let local = punch.local.to_string();
                        say(&json!({"serial": serial, "person": punch.person, "local": local, "nth": punch.nth,
                            "direction": punch.direction.raw, "verify": punch.verify.raw}).to_string());
                    }
                    *shown = punches.len();
                }
            }
            line = jobs.next_line() => {
                let Ok(Some(line)) = line else { return ExitCode::SUCCESS };
                let operation = match line.split(' ').next() {
                    Some("info") => Operation::Info,
                    Some("users") => Operation::Users,
                    Some("reconcile") => Operation::Reconcile { from: None, to: None },
                    _ => continue,
                };
                let (job, outcome) = Job::new(line.split(' ').nth(1).unwrap_or_default(), operation);
                if parts.jobs.send(job).await.is_ok() {
                    tokio::spawn(async move { say(&json!({"outcome": format!("{:?}", outcome.await)}).to_string()) });
                }
            }
        }
    }
}

#[allow(clippy::print_stdout, reason = "a program of the command line talks there")]
fn say(text: &str) {
    println!("{text}");
}
