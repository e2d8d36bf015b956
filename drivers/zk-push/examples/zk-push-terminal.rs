//! Simulated push terminals from the command line: for demonstrations, training, and other servers than ours.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use driver_zk_push::sim::{Model, PushTerminal};
use jiff::tz::TimeZone;
use tokio::time::{Instant, interval, sleep};

const USAGE: &str = "\
usage: zk-push-terminal SERVER [--terminals N] [--serial PREFIX] [--security] [--keep-alive]
                        [--batch N] [--poll SECONDS] [--zone NAME] [--backlog N]
                        [--punches N] [--every MILLISECONDS] [--for SECONDS]

SERVER is HOST:PORT of an ADMS server. Serial numbers are PREFIX0001 and so on (SIM0001).
Each terminal sends --backlog records (0), then --punches live ones (10), one --every so often (1000).
It ends when everything is acknowledged, or after --for seconds (60), and fails if something is not.";

struct Options {
    server: SocketAddr,
    terminals: usize,
    serial: String,
    backlog: usize,
    punches: usize,
    every: Duration,
    limit: Duration,
    model: Model,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            say(&format!("{why}\n{USAGE}"));
            return ExitCode::from(64);
        }
    };
    let terminals: Vec<_> = (1..=options.terminals)
        .map(|number| {
            let serial = format!("{}{number:04}", options.serial);
            PushTerminal::start(Model { serial, ..options.model.clone() })
        })
        .collect();
    let now = TimeZone::to_datetime(&options.model.zone, jiff::Timestamp::now());
    let past = now.checked_sub(jiff::Span::new().hours(1)).unwrap_or(now);
    for terminal in terminals.iter().filter(|_| options.backlog > 0) {
        terminal.backlog(options.backlog, past);
    }
    let end = Instant::now() + options.limit;
    let mut clock = interval(options.every.max(Duration::from_millis(1)));
    for number in 0..options.punches {
        clock.tick().await;
        for terminal in &terminals {
            terminal.punch(&format!("{}", 2000 + number));
        }
    }
    let count = |of: fn(&PushTerminal) -> usize| terminals.iter().map(of).sum::<usize>();
    while count(PushTerminal::acknowledged) < count(PushTerminal::recorded) && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
    }
    let (recorded, acknowledged) = (count(PushTerminal::recorded), count(PushTerminal::acknowledged));
    say(&format!(
        "{} terminals, {recorded} recorded, {acknowledged} acknowledged, {} answers refused, {} commands",
        terminals.len(),
        count(PushTerminal::refusals),
        count(|terminal| terminal.commands().len()),
    ));
    if recorded == acknowledged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let server = words.next().ok_or("no server")?;
    let server = server.parse().map_err(|_| format!("{server} is no HOST:PORT"))?;
    let mut options = Options {
        server,
        terminals: 1,
        serial: "SIM".into(),
        backlog: 0,
        punches: 10,
        every: Duration::from_secs(1),
        limit: Duration::from_secs(60),
        model: Model::new("", server),
    };
    while let Some(key) = words.next() {
        match &*key {
            "--security" => options.model = options.model.security(),
            "--keep-alive" => options.model.keep_alive = true,
            _ => {
                let value = words.next().ok_or_else(|| format!("{key} wants a value"))?;
                let number = || value.parse::<usize>().map_err(|_| format!("{key} {value} is no number"));
                match &*key {
                    "--terminals" => options.terminals = number()?.clamp(1, 5000),
                    "--serial" => options.serial = value,
                    "--batch" => options.model.batch = number()?.max(1),
                    "--poll" => options.model.poll = Duration::from_secs(number()? as u64),
                    "--zone" => options.model.zone = TimeZone::get(&value).map_err(|error| error.to_string())?,
                    "--backlog" => options.backlog = number()?,
                    "--punches" => options.punches = number()?,
                    "--every" => options.every = Duration::from_millis(number()? as u64),
                    "--for" => options.limit = Duration::from_secs(number()? as u64),
                    _ => return Err(format!("{key} is not known")),
                }
            }
        }
    }
    debug_assert_eq!(options.server, options.model.server);
    Ok(options)
}

#[allow(clippy::print_stdout, reason = "a program of the command line talks there")]
fn say(text: &str) {
    println!("{text}");
}
