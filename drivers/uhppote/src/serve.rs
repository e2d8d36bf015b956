//! Serving one board: who is it, what is new in its ring, how is its clock, what does somebody want of it.

use std::time::Duration;

use driver_api::{Clock, DriverError, Job, Link, Report, Skew, Store, Terminal, Trouble};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::RngExt;
use tokio::{
    select,
    time::{Instant, sleep_until},
};
use tracing::info;

use crate::{
    board::{Board, Controller},
    cursor::Cursor,
    ear::Ear,
    settings::Settings,
    transport::Wire,
};

/// Live events that turned out to be nothing new make us deaf for so long: anybody may send them.
const DEAF: Duration = Duration::from_secs(1);

/// A board and all that is known of it.
pub(crate) struct Serving<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) zone: &'a TimeZone,
    pub(crate) link: &'a Link,
    pub(crate) terminal: Terminal,
    pub(crate) board: Board,
    pub(crate) controller: Controller,
    pub(crate) store: Store,
    pub(crate) cursor: Cursor,
    pub(crate) skew: Option<Skew>,
    /// The board's code of its own troubles.
    pub(crate) error: u8,
    /// The newest time in the ring, as far as it was read.
    pub(crate) latest: Option<DateTime>,
    pub(crate) ear: Option<Ear>,
    /// The newest event that a datagram told of.
    pub(crate) announced: u32,
    /// Events read since everything older was, and not told of before.
    pub(crate) untold: u32,
    /// Everything that was there at the beginning has been read.
    pub(crate) settled: bool,
    /// Questions in a row for an event that the board should have and does not give.
    pub(crate) denials: u32,
    strays: u64,
    pub(crate) next_poll: Instant,
    deaf_until: Instant,
}

enum Work {
    Heard(u32),
    Poll,
    Job(Job),
}

impl<'a> Serving<'a> {
    /// Finds out who is there. Nothing is booked for a board that is not the configured one.
    pub(crate) async fn begin(settings: &'a Settings, zone: &'a TimeZone, link: &'a Link) -> Result<Self, DriverError> {
        let terminal = link.terminals().first().cloned().expect("a line of this driver has one terminal");
        let wire = Wire::open(&settings.address, settings.timeout).await?;
        let mut board = Board::new(wire, settings.serial);
        let controller = match board.controller().await {
            Ok(controller) => controller,
            Err(silence) => match board.anybody().await {
                Some(other) if other.serial != settings.serial => {
                    let cause = format!("board {} answers at its address, not {}", other.serial, settings.serial);
                    terminal.trouble(Trouble::WrongTerminal, cause.as_str());
                    let reason = format!(
                        "{cause}; nothing was read: correct the address, or the serial if the board was replaced"
                    );
                    return Err(board.wire.refused(reason));
                }
                _ => return Err(silence),
            },
        };
        terminal.relief(Trouble::WrongTerminal);
        let store = terminal.store(&settings.serial.to_string());
        terminal.report(Report::Identity {
            serial: store.serial().to_owned(),
            model: controller.model(),
            firmware: controller.version.clone(),
            platform: String::new(),
        });
        terminal.online();
        let holdings = store.holdings().await;
        let saved = store.load_cursor().await.and_then(|saved| Cursor::parse(&saved));
        let cursor = saved.filter(|cursor| cursor.is_believable(&holdings)).unwrap_or_default();
        if let Some(lost) = &cursor.lost {
            terminal.trouble(Trouble::EventsLost, lost.words());
        }
        Ok(Self {
            settings,
            zone,
            link,
            terminal,
            board,
            controller,
            store,
            cursor,
            skew: None,
            error: 0,
            latest: holdings.latest,
            ear: None,
            announced: 0,
            untold: 0,
            settled: false,
            denials: 0,
            strays: 0,
            next_poll: Instant::now(),
            deaf_until: Instant::now(),
        })
    }

    /// Serves until something goes wrong; leaving is the caller's business, at any moment.
    pub(crate) async fn run(&mut self) -> Result<std::convert::Infallible, DriverError> {
        // Before the ring is read, so that nothing can fall between the two.
        self.listen().await?;
        loop {
            let work = select! {
                index = hear(self.ear.as_ref()) => Work::Heard(index),
                () = sleep_until(self.next_poll) => Work::Poll,
                job = self.link.next_job() => Work::Job(job),
            };
            match work {
                Work::Heard(index) => self.heard(index).await?,
                Work::Poll => {
                    self.poll().await?;
                    self.watch_line();
                }
                Work::Job(job) => self.job(job).await?,
            }
        }
    }

    /// Reads what is new, then looks at the clock.
    async fn poll(&mut self) -> Result<(), DriverError> {
        let all = self.catch_up().await?;
        if all {
            self.look_after_clock().await?;
            // At odd moments, since each then narrows what is known of the skew.
            let odd = rand::rng().random_range(0.9..1.1);
            self.next_poll = Instant::now() + self.settings.poll.mul_f64(odd);
        } else {
            self.next_poll = Instant::now(); // and whoever waits for a job has his turn in between
        }
        Ok(())
    }

    async fn heard(&mut self, index: u32) -> Result<(), DriverError> {
        if self.announced == 0 {
            self.terminal.relief(Trouble::NoLiveEvents);
        }
        self.announced = self.announced.max(index);
        self.untold = 0;
        if index <= self.cursor.index {
            return Ok(());
        }
        if Instant::now() < self.deaf_until {
            self.next_poll = self.next_poll.min(self.deaf_until);
            return Ok(());
        }
        let before = self.cursor.index;
        if !self.catch_up().await? {
            self.next_poll = Instant::now();
        }
        if self.cursor.index == before {
            self.deaf_until = Instant::now() + DEAF;
        }
        Ok(())
    }

    /// Listens for live events where the config wants that, and sees to it that the board sends them there. Without them
    /// punches come with the next poll: none of what goes wrong here stops anything.
    async fn listen(&mut self) -> Result<(), DriverError> {
        let Some(listen) = self.settings.listen else { return Ok(()) };
        match Ear::open(listen, self.board.target().ip(), self.settings.serial).await {
            Ok(ear) => self.ear = Some(ear),
            Err(error) => {
                let cause = format!("our own port {listen} cannot be opened: {error}");
                self.terminal.trouble(Trouble::NoLiveEvents, cause);
                return Ok(());
            }
        }
        let std::net::SocketAddr::V4(ours) = listen else { return Ok(()) };
        let theirs = self.board.listener().await?;
        if theirs == ours {
            return Ok(());
        }
        if self.settings.set_listener {
            if self.board.set_listener(ours).await? {
                info!(before = %theirs, now = %ours, "board sends its live events to us now");
                return Ok(());
            }
            self.terminal.trouble(Trouble::NoLiveEvents, format!("it sends them to {theirs} and does not take {ours}"));
        } else if !ours.ip().is_unspecified() || theirs.port() != ours.port() {
            let cause = format!("it sends them to {theirs}; set_listener = true would set that to {ours}");
            self.terminal.trouble(Trouble::NoLiveEvents, cause);
        }
        Ok(())
    }

    /// Says when answers arrive that fit no question, until none do.
    fn watch_line(&mut self) {
        let strays = self.board.wire.strays;
        if strays > self.strays {
            let cause = format!("{} datagrams that answered no question of ours", strays - self.strays);
            self.terminal.trouble(Trouble::LineNoisy, cause);
        } else {
            self.terminal.relief(Trouble::LineNoisy);
        }
        self.strays = strays;
    }

    pub(crate) fn clock(&self) -> Clock {
        self.skew.map_or(Clock::UNKNOWN, Skew::as_clock)
    }
}

async fn hear(ear: Option<&Ear>) -> u32 {
    match ear {
        Some(ear) => ear.hear().await,
        None => std::future::pending().await,
    }
}
