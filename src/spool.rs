//! The spool. (Being built.)

use std::{path::PathBuf, time::Duration};

/// Where punches are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// `gateway.state_dir`; the journal lies in `journal/`, the index in `index/`.
    pub state_dir: PathBuf,
    pub tenant: String,
    pub gateway: String,
    /// How long a delivered punch is kept for replay.
    pub retention: Duration,
    /// Punches are refused while less than this is free on the disk, in bytes.
    pub min_free_bytes: u64,
}
