//! A report out of a state folder, while the daemon runs or not.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Dependencies, Firmware, Report};
use crate::{incident, metrics, spool};

/// Where advisories lie, within a state folder.
pub const ADVISORIES: &str = "advisories";

/// Something of it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {error}")]
pub struct Unreadable {
    what: String,
    error: io::Error,
}

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub state_dir: PathBuf,
    pub from: Timestamp,
    /// Up to and without.
    pub to: Timestamp,
    /// A file or folder of advisories that must be there; `None` is the one in the state folder, if it is there.
    pub advisories: Option<PathBuf>,
    pub firmware: Firmware,
}

impl Wanted {
    /// Reads the whole journal: blocks on the disk, for seconds with a long one.
    pub fn read(&self) -> Result<Report, Unreadable> {
        let Self { state_dir, from, to, advisories, firmware } = self;
        let history = spool::history(state_dir, *from, *to).map_err(unreadable("the journal"))?;
        let series = match metrics::read(&state_dir.join(metrics::RING_FILE), *from, *to) {
            // A gateway that never ran has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => metrics::Series { columns: vec![], rows: vec![] },
            series => series.map_err(unreadable(metrics::RING_FILE))?,
        };
        let incidents = incident::history(state_dir).map_err(unreadable("the log of incidents"))?;
        let dependencies = look_up(state_dir, advisories.as_deref())?;
        let incidents = incidents.into_values().collect();
        Ok(Report::new((*from, *to), Timestamp::now(), history, &series, incidents, firmware, dependencies))
    }
}

fn look_up(state_dir: &Path, named: Option<&Path>) -> Result<Dependencies, Unreadable> {
    let usual = state_dir.join(ADVISORIES);
    let place = named.unwrap_or(&usual);
    let look = || {
        let found = Dependencies::look_up(place)?;
        // Who names a list means one.
        if named.is_some() && found.list.is_none() {
            fs::metadata(place)?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no advisory for a Rust crate is in it"));
        }
        Ok(found)
    };
    look().map_err(unreadable(format!("{}, the list of advisories,", place.display())))
}

fn unreadable(what: impl Into<String>) -> impl FnOnce(io::Error) -> Unreadable {
    |error| Unreadable { what: what.into(), error }
}
