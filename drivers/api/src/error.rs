//! What a driver says when it fails, sorted by what happens next.

use std::io;

/// Why a driver's line ended. The supervisor decides by the variant; the vendor's own code and words go inside.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Tried again, a little later each time.
    #[error("cannot reach {peer}")]
    Unreachable { peer: String, source: io::Error },
    /// The terminal serves somebody else, or wants to be left alone. Tried again, later each time.
    #[error("{peer} is busy: {reason}")]
    Busy { peer: String, reason: String },
    /// A person must act: wrong key, wrong terminal. Tried again only after minutes, or when the config changes.
    #[error("{peer} refused us: {reason}")]
    Refused { peer: String, reason: String },
    /// The connection is dropped and opened anew.
    #[error("{peer} broke the protocol: {what}")]
    Garbled { peer: String, what: String },
    /// Our own disk did not take the punches. The terminal keeps them.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// The punches are not on our disk: the terminal must keep them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    #[error("the disk is full")]
    DiskFull,
    #[error("the disk failed: {0}")]
    DiskFailed(String),
    /// The gateway is going down.
    #[error("the store is closed")]
    Closed,
}
