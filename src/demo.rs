//! `punchgate demo`: a whole gateway at work on this machine, with nothing to install.
//!
//! ```text
//! people -> simulated terminals ==> gateway ==> valve ==> broker ==> witness
//!           tally: what was punched                                  arrivals: what came
//! ```
//!
//! Real are the bytes and sockets of the terminals, the gateway (`punchgate run` in a process of its own, with a config file
//! as anybody would write it), TLS with client certificates, and the broker (in a process of its own too). Simulated are the
//! terminals and the people. At the end both ends are compared, punch by punch; nothing that the gateway says of itself
//! suffices for that.

mod broker;
mod crowd;
mod gauge;
mod keys;
mod mischief;
mod part;
mod scene;
mod stage;
mod tally;
mod terminal;
mod valve;
mod verdict;
mod view;
mod witness;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

pub use broker::{BrokerSettings, serve_broker};
pub use part::{become_gateway, end_with};

use mischief::Mischief;
use stage::{Reading, Stage};
use verdict::Verdict;
use view::View;

/// What kind of demo.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long people punch; without it, until a signal comes.
    pub duration: Option<Duration>,
    pub cast: Cast,
    /// Take the broker away in the middle.
    pub outage: bool,
    /// Harm the terminals' lines.
    pub faults: bool,
    /// Where the demo's files stay.
    pub keep: Option<PathBuf>,
    /// The summary as JSON, alone on standard output.
    pub json: bool,
}

/// Which terminals stand in it.
#[derive(Debug, Clone, Copy)]
pub enum Cast {
    /// So many of ZKTeco's, of different kinds in turn.
    InTurn(u16),
    /// One for each driver there is.
    OfEachDriver,
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// When people have stopped punching, what is on its way may take so long. A terminal that was thrown out often is asked
/// again after some 40 s at the latest.
const SETTLING: Duration = Duration::from_secs(120);
/// Without an end, an outage begins after so long, and lasts so long.
const OUTAGE: Duration = Duration::from_secs(10);

/// Runs a demo to its end. True when everything agreed. To be polled by the main thread, since children end with the
/// thread that started them.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    let mut signals = Signals::new()?;
    let mut view = View::open(settings.json);
    view.say(
        "Starting a broker with TLS, simulated terminals and the gateway between them, all on this machine alone.",
    )?;
    let stage = tokio::select! {
        stage = Stage::set(settings.cast, settings.keep.as_deref()) => stage?,
        () = signals.next() => return Ok(false),
    };
    view.say(&format!("{}\nCtrl-C ends it, with a summary.\n", stage.how_to_look_in()))?;
    let mut play = Play { stage, view, signals, reading: Reading::default() };
    let seconds = play.punch(&settings).await?;
    play.settle().await?;
    let Play { stage, mut view, .. } = play;
    let (mut verdict, scene) = stage.strike().await?;
    verdict.seconds = seconds;
    if let Some(folder) = scene.kept() {
        view.say(&format!("Keys, config, logs and state are in {}", folder.display()))?;
    }
    print(&verdict, settings.json, &mut view)?;
    Ok(verdict.agrees)
}

fn print(verdict: &Verdict, json: bool, view: &mut View) -> io::Result<()> {
    match json {
        true => writeln!(io::stdout(), "{}", serde_json::to_string(verdict)?),
        false => view.say(&format!("\n{verdict}")),
    }
}

/// A demo in front of somebody.
struct Play {
    stage: Stage,
    view: View,
    signals: Signals,
    reading: Reading,
}

/// What happens to the broker next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Away(Instant),
    Back(Instant),
    Nothing,
}

impl Play {
    /// Lets people punch until it is time, or somebody has had enough. Seconds that it took.
    async fn punch(&mut self, settings: &Settings) -> anyhow::Result<u64> {
        let began = Instant::now();
        let end = settings.duration.map(|duration| began + duration);
        // In the middle third.
        let part = settings.duration.map_or(OUTAGE, |duration| duration / 3);
        let mut next = if settings.outage { Next::Away(began + part) } else { Next::Nothing };
        self.view.begin();
        self.stage.crowd.start();
        let mut mischief = settings.faults.then(|| Mischief::begin(&self.stage.crowd.terminals));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = at(end) => break,
                () = self.signals.next() => break,
                () = next.comes() => next = self.change(next, part).await?,
                _ = looks.tick() => {
                    for news in mischief.iter_mut().flat_map(Mischief::news) {
                        self.view.happened(&news)?;
                    }
                    self.look().await?;
                }
            }
        }
        self.stage.crowd.stop().await;
        if let Some(mischief) = &mut mischief {
            mischief.end().await;
        }
        if !self.stage.has_broker() {
            self.change(Next::Back(Instant::now()), part).await?;
        }
        self.view.happened("nobody punches any more; what is on its way is waited for")?;
        Ok(began.elapsed().as_secs())
    }

    /// Takes the broker away, or brings it back. What comes after that.
    async fn change(&mut self, next: Next, part: Duration) -> anyhow::Result<Next> {
        match next {
            Next::Away(_) => {
                self.stage.take_broker_away().await?;
                self.view.happened("the broker is killed; punches wait on the gateway's disk")?;
                Ok(Next::Back(Instant::now() + part))
            }
            Next::Back(_) => {
                self.stage.bring_broker_back().await?;
                self.view.happened("the broker is back, and knows nothing; the backlog drains")?;
                Ok(Next::Nothing)
            }
            Next::Nothing => Ok(Next::Nothing),
        }
    }

    /// Waits until nothing is on its way any more: for so long, or until somebody has had enough.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let late = Instant::now() + SETTLING;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = sleep_until(late) => return Ok(()),
                () = self.signals.next() => return Ok(()),
                _ = looks.tick() => self.look().await?,
            }
            if self.reading.is_settled() {
                return Ok(());
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        self.stage.is_alive()?;
        self.reading = self.stage.read(&self.reading).await;
        self.view.show(&self.stage, &self.reading)?;
        Ok(())
    }
}

impl Next {
    async fn comes(self) {
        match self {
            Self::Away(when) | Self::Back(when) => sleep_until(when).await,
            Self::Nothing => std::future::pending().await,
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C, what systemd sends, and what comes when the window is closed.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
