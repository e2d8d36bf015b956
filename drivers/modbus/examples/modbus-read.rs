//! The driver at the command line: reads so many punches of one terminal and prints them, an object a line.
//!
//!     modbus-read ADDRESS UNIT MAP COUNT
//!
//! **They are acknowledged**: a terminal with an event memory forgets them. For checks against servers that are not ours.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{error::Error, path::Path, time::Duration};

use driver_api::{Link, Problems, Section, TerminalBlock, fake::FakeGateway};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, unit, map, count] = &words[..] else { return Err("ADDRESS UNIT MAP COUNT".into()) };
    let count: usize = count.parse()?;
    let block = format!("address = {address:?}\nunit = {unit}\nmap = {map:?}\npoll = \"100ms\"");
    let section = |prefix: &str, text: &str| -> Result<Section, toml::de::Error> {
        Ok(Section::new(prefix, text.parse()?, Path::new(".")))
    };
    let block = TerminalBlock {
        name: "terminal".into(),
        zone: jiff::tz::TimeZone::UTC,
        section: section("terminal ", &block)?,
    };
    let mut problems = Problems::default();
    let lines = (driver_modbus::KIND.plan)(section("driver.modbus.", "")?, vec![block], &mut problems);
    if let Some(problem) = problems.errors.first() {
        return Err(problem.to_string().into());
    }
    let line = lines.into_iter().next().ok_or("nothing was planned")?;
    let gateway = FakeGateway::default();
    let (link, parts) = Link::new(std::sync::Arc::new(gateway.clone()), &line.terminals);
    let running = tokio::spawn(async move { line.driver.run(link).await });
    gateway.until("the punches arrive", Duration::from_secs(30), |it| it.punches("terminal").len() >= count).await;
    // The acknowledgement follows the last punch.
    tokio::time::sleep(Duration::from_millis(500)).await;
    parts.closing.send(true)?;
    running.await??;
    for punch in gateway.punches("terminal") {
        // The keys in the order of the design, which a map of JSON would sort.
        println!(
            "{{\"person\":{},\"local\":{},\"native\":{},\"direction\":{},\"verify\":{}}}",
            json!(punch.person),
            json!(punch.local),
            json!(punch.native),
            json!(punch.direction.value),
            json!(punch.verify.value)
        );
    }
    Ok(())
}
