//! The door between the gateway and its drivers.
//!
//! A driver turns the bytes of one vendor's terminals into [`Punch`]es and hands them through the door. It sees
//! nothing else of the gateway: no store, no broker, no config file.
//!
//! * What a driver is: [`Kind`] (its entry in the list), [`Line`] (what is run and restarted as one), [`Driver`].
//! * What it is given: [`Link`] for its line, one [`Terminal`] handle for each of the line's terminals, and from that
//!   a [`Store`] as soon as the terminal's serial number is known.
//! * How its terminals are found when a person looks for them: [`Finder`].
//! * What it says when it fails: [`DriverError`], sorted by what happens next.
//!
//! The one rule above all: a driver lets its terminal forget a punch only after [`Store::put`] has returned `Ok`.

mod address;
pub mod contract;
mod door;
mod driver;
mod error;
pub mod fake;
mod finder;
mod identity;
mod job;
mod punch;
mod report;
mod section;
mod skew;
mod trace;

pub use address::{Address, Parity, SerialLine};
pub use door::{CONFIRMATIONS, Gateway, Link, LinkParts, Objection, Store, Terminal};
pub use driver::{Delivery, Driver, Kind, Line, TerminalBlock};
pub use error::{DriverError, NotStored};
pub use finder::{Finder, Finding, Found, Reach, shown};
pub use identity::{Occurrences, PunchId, SetAsideId};
pub use job::{Job, JobFailed, Light, Operation, User};
pub use punch::{
    Batch, Clock, ClockSource, Direction, DirectionMark, Flag, Mark, Origin, Punch, Raw, SetAside, Stored, Verify,
    VerifyMark,
};
pub use report::{Holdings, Report, Stranger, Trouble};
pub use section::{Period, Problem, Problems, Secret, Section, credential};
pub use skew::{NotSet, Skew, may_set};
pub use trace::{Frame, TRACE, Way};

/// Reexported so that drivers and gateway agree on one version.
pub use async_trait::async_trait;
