//! ZKTeco terminals that speak the standalone protocol (TCP or UDP, port 4370).
//!
//! The gateway dials the terminal, logs in, registers for live punches and reads the stored log. **The log is the truth**;
//! events only make it fast. See README.md beside this crate for models and menus.
//!
//! Bytes and records, pure, each usable from a fuzz target: [`frame`], [`record`], [`form`], [`event`], [`user`],
//! [`sizes`], [`time`], [`commkey`]. A connected terminal: `transport` (whole packets), `login`, `session`
//! (questions and answers), `download` and `collect` (bulk reads). What is done with it: `serve`, `reconcile`, `glance`,
//! `incident`, `booking`, `names`, `timekeeping`, `jobs`, and of these the weightier ones in `users` and `clearing`.
//!
//! Never sent, whatever happens: [`command::never`].

mod booking;
mod clearing;
mod collect;
pub mod command;
pub mod commkey;
mod count;
mod cursor;
mod discover;
mod download;
pub mod event;
pub mod form;
pub mod frame;
mod glance;
mod identity;
mod incident;
mod jobs;
mod login;
mod names;
mod people;
mod reconcile;
pub mod record;
mod serve;
mod session;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sizes;
mod tap;
pub mod time;
mod timekeeping;
mod transport;
pub mod user;
mod users;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use driver_api::{
    Address, Delivery, Driver, DriverError, Kind, Line, Link, Problems, Section, TerminalBlock, async_trait,
};
use jiff::tz::TimeZone;

use crate::{
    download::Manner,
    incident::Incidents,
    serve::Serving,
    session::Session,
    settings::{Defaults, Settings, Twice},
    timekeeping::Watched,
};

pub use crate::discover::{FINDER, FINDER_UDP};

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "zk",
    title: "ZKTeco terminals, standalone protocol (port 4370)",
    delivery: Delivery::Logged,
    operations: jobs::OPERATIONS,
    plan,
};

/// Good-bye to a terminal takes this long at most; the whole of closing must stay under a second.
const GOOD_BYE: Duration = Duration::from_millis(600);

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    let defaults = Defaults::take(section, problems);
    let mut twice = Twice::default();
    blocks
        .into_iter()
        .filter_map(|TerminalBlock { name, zone, section }| {
            let settings = Settings::take(section, defaults, problems)?;
            twice.look(&name, &settings, problems);
            let manner = Mutex::new(Manner::new(matches!(settings.address, Address::Udp { .. })));
            let driver: Arc<dyn Driver> =
                Arc::new(Zk { settings, zone, manner, watched: Mutex::default(), incidents: Mutex::default() });
            Some(Line { key: name.clone(), terminals: vec![name], driver })
        })
        .collect()
}

/// One terminal.
struct Zk {
    settings: Settings,
    zone: TimeZone,
    /// Learnt in one session and a help in the next; nothing is lost with it.
    manner: Mutex<Manner>,
    watched: Mutex<Watched>,
    incidents: Mutex<Incidents>,
}

#[async_trait]
impl Driver for Zk {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let terminal = link.terminals().first().cloned().expect("a line of this driver has one terminal");
        // Also of one that is away by now, unless another was put in its place.
        if let Some(serial) = terminal.booked_under().await
            && self.settings.serial.as_ref().is_none_or(|configured| *configured == serial)
        {
            incident::recall(&self.incidents, &terminal, &terminal.store(&serial)).await?;
        }
        let mut session = tokio::select! {
            () = link.closing() => return Ok(()),
            session = Session::open(&self.settings, terminal) => session?,
        };
        // Whatever is going on is dropped when it is time to leave: what is not stored is still in the terminal's log.
        let ended = tokio::select! {
            () = link.closing() => Ok(()),
            error = self.serve(&link, &mut session) => Err(error),
        };
        session.exit(GOOD_BYE).await;
        ended
    }
}

impl Zk {
    async fn serve(&self, link: &Link, session: &mut Session) -> DriverError {
        let kept = (&self.manner, &self.watched, &self.incidents);
        let serving = Serving::begin(&self.settings, &self.zone, kept, link, session).await;
        let ended = match serving {
            Ok(mut serving) => serving.run().await,
            Err(error) => return error,
        };
        match ended {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }
}
