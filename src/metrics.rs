//! Numbers for graphs: as OpenMetrics for whoever scrapes them, and as a ring of minutes on our own disk.
//!
//! It knows no part of the gateway: it is handed a [`Snapshot`], and writes it down or out. Names and units follow the
//! conventions of Prometheus: base units, `_total` for what only rises. How many series there are is bounded by whoever makes the
//! snapshot.

mod exposition;
mod ring;
mod server;

use std::{net::SocketAddr, path::PathBuf};

pub use exposition::{Format, expose};
pub use ring::{COLUMNS, KEPT_MINUTES, RING_FILE, Ring, Series, read};
pub use server::{Metrics, OpenError};

/// Where metrics may be asked for; neither, and nobody can.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Of this machine alone.
    pub listen: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises, but for a restart.
    Counter,
}

/// All numbers of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Whole, with its unit, and without `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// Labels and value.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub families: Vec<Family>,
}

impl Snapshot {
    /// Adds a number without labels; one that is not known is left out.
    pub fn one(&mut self, kind: Kind, name: &'static str, help: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.families.push(Family { name, help, kind, samples: vec![(vec![], value)] });
        }
    }

    /// Adds numbers that differ in their labels.
    pub fn many(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        samples: Vec<(Vec<(&'static str, String)>, f64)>,
    ) {
        if !samples.is_empty() {
            self.families.push(Family { name, help, kind, samples });
        }
    }

    /// The number without labels of that name.
    pub fn value(&self, name: &str) -> Option<f64> {
        let family = self.families.iter().find(|family| family.name == name)?;
        family.samples.iter().find(|(labels, _)| labels.is_empty()).map(|(_, value)| *value)
    }
}
