//! What one sees of a demo: a few lines drawn again and again on a terminal, plain lines everywhere else.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    stage::{Reading, Stage},
    tally::Arrival,
};
use crate::console;

/// Terminals that get a line of their own.
const SHOWN: usize = 8;
/// Between two plain lines.
const PLAIN: Duration = Duration::from_secs(1);

pub(super) struct View {
    out: Box<dyn Write>,
    manner: Manner,
    began: Instant,
}

enum Manner {
    /// So many lines are drawn, and are drawn over the next time.
    Live {
        drawn: usize,
    },
    Plain {
        next: Instant,
    },
}

impl View {
    /// On standard output, or beside it when something else is to be printed there.
    pub(super) fn open(beside: bool) -> Self {
        let (out, terminal): (Box<dyn Write>, _) = match beside {
            true => (Box::new(io::stderr()), io::stderr().is_terminal()),
            false => (Box::new(io::stdout()), io::stdout().is_terminal()),
        };
        let began = Instant::now();
        let manner = if terminal { Manner::Live { drawn: 0 } } else { Manner::Plain { next: began } };
        Self { out, manner, began }
    }

    /// From now on times are told from now on.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Something that happened, or that one must know: it stays.
    pub(super) fn say(&mut self, words: &str) -> io::Result<()> {
        let erase = self.erase();
        writeln!(self.out, "{erase}{words}")?;
        self.out.flush()
    }

    /// The same with the time.
    pub(super) fn happened(&mut self, words: &str) -> io::Result<()> {
        let time = self.time();
        self.say(&format!("{time}  {words}"))
    }

    /// How things stand.
    pub(super) fn show(&mut self, stage: &Stage, reading: &Reading) -> io::Result<()> {
        let time = self.time();
        match &mut self.manner {
            Manner::Plain { next } => {
                if Instant::now() < *next {
                    return Ok(());
                }
                *next = Instant::now() + PLAIN;
                let last = stage
                    .witness()
                    .arrivals()
                    .latest
                    .back()
                    .map_or(String::new(), |last| format!("  last {}", one(last)));
                writeln!(self.out, "{time}  {}{last}", counts(reading))?;
            }
            Manner::Live { .. } => {
                let lines = live(&time, stage, reading);
                let erase = self.erase();
                // Lines that are too long are cut by the terminal, so that their number is what was drawn.
                writeln!(self.out, "{erase}\x1b[?7l{}\x1b[?7h", lines.join("\n"))?;
                self.manner = Manner::Live { drawn: lines.len() };
            }
        }
        self.out.flush()
    }

    /// What takes away the lines that are drawn.
    fn erase(&mut self) -> String {
        match &mut self.manner {
            Manner::Live { drawn } if *drawn > 0 => format!("\x1b[{}A\r\x1b[J", std::mem::take(drawn)),
            _ => String::new(),
        }
    }

    fn time(&self) -> String {
        let seconds = self.began.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

fn counts(reading: &Reading) -> String {
    let Reading { punched, delivered, repeated, gauge } = reading;
    let super::verdict::Claims { durable, twins, waiting } = gauge.claims;
    let link = if gauge.link.is_empty() { "unknown" } else { &gauge.link };
    let mut line = format!(
        "punched {punched:<5} durable {durable:<5} delivered {delivered:<5} waiting {waiting:<5} twins {twins:<4} broker {link}"
    );
    if *repeated > 0 {
        write!(line, "  repeated {repeated}").expect("a text takes everything");
    }
    line
}

fn live(time: &str, stage: &Stage, reading: &Reading) -> Vec<String> {
    // What the gateway calls wrong has lasted a while; nobody shall read that all is well while the broker is away.
    let headline = match &reading.gauge {
        gauge if gauge.link == "down" && gauge.headline == console::headline(&[]) => "the broker is away",
        gauge => &gauge.headline,
    };
    let mut lines =
        vec![String::new(), format!("{time}  {}", counts(reading)), format!("       {headline}"), String::new()];
    let (punched, arrivals) = (stage.crowd.tally().by_terminal.clone(), stage.witness().arrivals());
    for terminal in stage.crowd.terminals.iter().take(SHOWN) {
        let name = &terminal.name;
        let count = |of: &std::collections::BTreeMap<String, u64>| of.get(name).copied().unwrap_or(0);
        let state = reading.gauge.states.get(name).map_or("unknown", String::as_str);
        lines.push(format!(
            "  {name:<12} {state:<10} punched {:<5} delivered {:<5} {}",
            count(&punched),
            count(&arrivals.by_terminal),
            terminal.kind
        ));
    }
    let more = stage.crowd.terminals.len().saturating_sub(SHOWN);
    if more > 0 {
        let online = reading.gauge.states.values().filter(|state| *state == "online").count();
        lines.push(format!("  and {more} more; {online} of {} are online", stage.crowd.terminals.len()));
    }
    lines.push(String::new());
    lines.extend(arrivals.latest.iter().map(|arrival| format!("  arrived  {}", one(arrival))));
    lines
}

/// One punch in a line.
fn one(arrival: &Arrival) -> String {
    let Arrival { place, person, local, direction, verify, origin } = arrival;
    format!(
        "{} {:<12} {person} {direction:<3} by {verify:<8} number {:<5} {origin}",
        local.time(),
        place.terminal,
        place.seq
    )
}
