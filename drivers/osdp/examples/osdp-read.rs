//! The driver at the command line: serves readers of one bus and prints what they tell, an object a line, until standard input ends.
//!
//!     osdp-read ADDRESS UNIT=KEYFILE...      a reader each; `UNIT=` takes one without a key
//!
//! Lines on standard input: `unlock UNIT DOOR SECONDS`, `beep UNIT`. Nothing is stored: for a look at a reader, and for checks against readers that are
//! not ours.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use driver_api::{Job, Link, Operation, Problems, Report, Section, TerminalBlock, fake::FakeGateway};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    time::sleep,
};

fn told(report: &Report) -> Option<Value> {
    match report {
        Report::Online => Some(json!({ "state": "online" })),
        Report::Offline { why } => Some(json!({ "state": "offline", "why": why })),
        Report::Trouble { trouble, cause } => Some(json!({ "trouble": trouble.code(), "cause": cause })),
        Report::Relief(trouble) => Some(json!({ "relief": trouble.code() })),
        _ => None,
    }
}

fn operation(words: &[&str]) -> Option<Operation> {
    match words {
        ["unlock", _, door, seconds] => {
            Some(Operation::Unlock { door: door.parse().ok()?, seconds: seconds.parse().ok()? })
        }
        ["beep", _] => Some(Operation::Signal { light: None, seconds: 0, beeps: 1 }),
        _ => None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, units @ ..] = &words[..] else { return Err("ADDRESS UNIT=KEYFILE...".into()) };
    let section = |prefix: &str, text: &str| -> Result<Section, toml::de::Error> {
        Ok(Section::new(prefix, text.parse()?, Path::new(".")))
    };
    let (mut blocks, mut names) = (Vec::new(), Vec::new());
    for word in units {
        let (unit, key) = word.split_once('=').ok_or("a reader is UNIT=KEYFILE")?;
        let secret = if key.is_empty() { "insecure = true".into() } else { format!("key_file = {key:?}") };
        let text = format!("address = {address:?}\nunit = {unit}\n{secret}");
        blocks.push(TerminalBlock {
            name: unit.to_owned(),
            zone: jiff::tz::TimeZone::system(),
            section: section(&format!("terminal {unit:?} "), &text)?,
        });
        names.push(unit.to_owned());
    }
    let mut problems = Problems::default();
    let lines = (driver_osdp::KIND.plan)(section("driver.osdp.", "")?, blocks, &mut problems);
    if let Some(problem) = problems.errors.first() {
        return Err(problem.to_string().into());
    }
    let line = lines.into_iter().next().ok_or("nothing was planned")?;
    let gateway = FakeGateway::default();
    let (link, parts) = Link::new(Arc::new(gateway.clone()), &line.terminals);
    let running = tokio::spawn(async move { line.driver.run(link).await });
    let (mut punches, mut reports) = (vec![0; names.len()], vec![0; names.len()]);
    let mut input = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = input.next_line() => {
                let Some(line) = line? else { break };
                let words: Vec<&str> = line.split_whitespace().collect();
                let Some(operation) = operation(&words) else {
                    println!("{}", json!({ "not_understood": line }));
                    continue;
                };
                let (job, answer) = Job::new(words[1], operation);
                parts.jobs.send(job).await?;
                println!("{}", match answer.await? {
                    Ok(done) => json!({ "done": done }),
                    Err(why) => json!({ "failed": why.to_string() }),
                });
            }
            () = sleep(Duration::from_millis(20)) => {}
        }
        for (index, name) in names.iter().enumerate() {
            let all = gateway.reports(name);
            for report in all.iter().skip(reports[index]) {
                if let Some(Value::Object(mut told)) = told(report) {
                    told.insert("unit".into(), name.clone().into());
                    println!("{}", Value::Object(told));
                }
            }
            reports[index] = all.len();
            let all = gateway.punches(name);
            for punch in all.iter().skip(punches[index]) {
                println!("{}", json!({ "unit": name, "person": punch.person, "local": punch.local }));
            }
            punches[index] = all.len();
        }
    }
    parts.closing.send(true)?;
    Ok(running.await??)
}
