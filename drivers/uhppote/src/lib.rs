//! UHPPOTE door controllers and their many relabelled kin (UT0311-L01, -L02, -L04; "WG26 TCP/IP access control board").
//!
//! The gateway asks the board, over UDP or TCP port 60000, in messages of 64 bytes. **The board's ring of events is the
//! truth**: each has an index, and our mark says up to which of them everything is on our disk. Datagrams with live events
//! only make it fast: they are a reason to ask, and never become punches themselves.
//!
//! Bytes, pure, each usable from a fuzz target: [`packet`], [`bcd`], [`event`]. A board: `transport` (questions and answers),
//! `board` (what is asked), `ear` (live events). What is done with it: `serve`, `ring`, `booking`, `timekeeping`, `jobs`.
//! Boards that nobody told us of: [`discover`], only when somebody asks.
//!
//! Never sent, whatever happens: [`packet::never`].

pub mod bcd;
mod board;
mod booking;
mod cursor;
#[cfg(feature = "decoders")]
pub mod decoders;
pub mod discover;
mod ear;
pub mod event;
mod jobs;
pub mod packet;
mod ring;
mod serve;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod timekeeping;
mod transport;

use std::sync::Arc;

use driver_api::{Delivery, Driver, DriverError, Kind, Line, Link, Problems, Section, TerminalBlock, async_trait};
use jiff::tz::TimeZone;

use crate::{
    serve::Serving,
    settings::{Defaults, Settings},
};

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "uhppote",
    title: "UHPPOTE door controllers, WG26 TCP/IP boards (port 60000)",
    delivery: Delivery::Acked,
    operations: jobs::OPERATIONS,
    plan,
};

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    let defaults = Defaults::take(section, problems);
    settings::all(blocks, &defaults, problems)
        .into_iter()
        .map(|(name, zone, settings)| {
            let driver: Arc<dyn Driver> = Arc::new(Uhppote { settings, zone });
            Line { key: name.clone(), terminals: vec![name], driver }
        })
        .collect()
}

/// One board.
struct Uhppote {
    settings: Settings,
    zone: TimeZone,
}

#[async_trait]
impl Driver for Uhppote {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        // Whatever is going on is dropped when it is time to leave: what is not stored is still in the board's ring.
        tokio::select! {
            () = link.closing() => Ok(()),
            error = self.serve(&link) => Err(error),
        }
    }
}

impl Uhppote {
    async fn serve(&self, link: &Link) -> DriverError {
        let ended = match Serving::begin(&self.settings, &self.zone, link).await {
            Ok(mut serving) => serving.run().await,
            Err(error) => return error,
        };
        match ended {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }
}
