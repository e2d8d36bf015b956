//! From what an installer answers to a gateway at work: the answers, the config that follows from them, how that is tried before it lies
//! anywhere, put in place as a whole, started, and watched until the first punch. It asks nobody and shows nothing: screens are
//! `cli::setup`.
//!
//! Nothing is written before [`Plan::put`]. What is tried until then lies in memory alone: the config as text, keys out of an enrolment
//! file or typed by hand in memory files, and keys that lie somewhere are read where they lie.

mod answers;
mod credential;
mod draft;
mod enrol;
mod existing;
mod first_punch;
mod place;
mod terminal;
#[cfg(test)]
mod tests;
mod unit;
mod zone;

pub use answers::{Answers, Source};
pub use credential::{Credential, Stores, credential_name};
pub use draft::{Changes, Draft, Trial, try_out};
pub use enrol::{EnrolError, Enrolment};
pub use existing::{Existing, existing};
pub use first_punch::{Seen, delivered, first_punch, seen, until_answers, until_settled};
pub use place::{Fate, NewFile, Plan, PutError};
pub use terminal::{Terminal, example_keys, example_listen};
pub use unit::{Start, Systemd, by_hand, start, systemd};
pub use zone::own_zone;
