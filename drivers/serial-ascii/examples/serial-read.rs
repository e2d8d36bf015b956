//! The driver at the command line: serves a reader and prints what it tells, an object a line, until standard input ends.
//!
//!     serial-read ADDRESS READER [KEY=VALUE...]      what stands behind READER goes into its block as it is
//!
//! A line on standard input shows the counters. Nothing is stored: for a look at a reader, and for checks against senders that are not ours.
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, reader, more @ ..] = &words[..] else { return Err("ADDRESS READER [KEY=VALUE...]".into()) };
    let section = |prefix: &str, text: &str| -> Result<Section, toml::de::Error> {
        Ok(Section::new(prefix, text.parse()?, Path::new(".")))
    };
    let text = format!("address = {address:?}\nreader = {reader:?}\n{}", more.join("\n"));
    let blocks = vec![TerminalBlock {
        name: "reader".into(),
        zone: jiff::tz::TimeZone::system(),
        section: section("terminal \"reader\" ", &text)?,
    }];
    let mut problems = Problems::default();
    let lines = (driver_serial_ascii::KIND.plan)(section("driver.serial-ascii.", "")?, blocks, &mut problems);
    if let Some(problem) = problems.errors.first() {
        return Err(problem.to_string().into());
    }
    let line = lines.into_iter().next().ok_or("nothing was planned")?;
    let gateway = FakeGateway::default();
    let (link, parts) = Link::new(Arc::new(gateway.clone()), &line.terminals);
    let running = tokio::spawn(async move { line.driver.run(link).await });
    let (mut punches, mut reports) = (0, 0);
    let mut input = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = input.next_line() => {
                if line?.is_none() {
                    break;
                }
                let (job, answer) = Job::new("reader", Operation::Info);
                parts.jobs.send(job).await?;
                println!("{}", match answer.await? {
                    Ok(info) => json!({ "info": info }),
                    Err(why) => json!({ "failed": why.to_string() }),
                });
            }
            () = sleep(Duration::from_millis(20)) => {}
        }
        let all = gateway.reports("reader");
        for report in all.iter().skip(reports).filter_map(told) {
            println!("{report}");
        }
        reports = all.len();
        let all = gateway.punches("reader");
        for punch in all.iter().skip(punches) {
            println!("{}", json!({ "person": punch.person, "direction": punch.direction, "local": punch.local }));
        }
        punches = all.len();
    }
    parts.closing.send(true)?;
    Ok(running.await??)
}
