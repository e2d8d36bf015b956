//! Exit codes, and the failures behind them.

use std::io;

use crate::{config::Rejected, console::AskError};

pub const OK: u8 = 0;
/// It failed, or what was looked at is not in order.
pub const FAILED: u8 = 1;
/// The arguments make no sense.
pub const USAGE: u8 = 2;
/// Nothing is wrong any more, and what is missing is recorded as lost.
pub const MENDED: u8 = 3;
/// EX_UNAVAILABLE: the daemon does not answer.
pub const UNREACHABLE: u8 = 69;
/// EX_CONFIG: the config has problems. The unit does not restart after it.
pub const CONFIG: u8 = 78;

/// Why a command ended without doing its work.
#[derive(Debug)]
pub enum Failure {
    /// Whoever read our output has left, as `head` does: no error.
    NobodyReads,
    Usage {
        why: String,
        mend: String,
    },
    Failed {
        why: String,
        mend: String,
    },
    Unreachable {
        why: String,
        mend: String,
    },
    Config(Rejected),
}

impl Failure {
    pub fn failed(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), mend: mend.into() }
    }

    pub fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => OK,
            Self::Usage { .. } => USAGE,
            Self::Failed { .. } => FAILED,
            Self::Unreachable { .. } => UNREACHABLE,
            Self::Config(_) => CONFIG,
        }
    }

    /// For people; nothing where nothing is to be said.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::NobodyReads => None,
            Self::Config(rejected) => Some(rejected.to_string()),
            Self::Usage { why, mend } | Self::Failed { why, mend } | Self::Unreachable { why, mend } => {
                let mend = if mend.is_empty() { String::new() } else { format!("\n    mend: {mend}") };
                Some(format!("punchgate: {why}{mend}"))
            }
        }
    }
}

impl From<io::Error> for Failure {
    /// For writing the output; other I/O says in its own words what it was about.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::failed(format!("the output cannot be written: {error}"), "look at the disk or pipe it goes to"),
        }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Self::Config(rejected)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Failed(failed) => Self::failed(failed.why, failed.mend),
            AskError::Broken(_) => Self::Unreachable {
                why: error.to_string(),
                mend: "ask again; what the daemon said last: journalctl -u punchgate -n 50".into(),
            },
            AskError::Unreachable { ref source, .. } => {
                let mend = match source.kind() {
                    io::ErrorKind::PermissionDenied => "ask as root, or as a user of the group punchgate",
                    io::ErrorKind::TimedOut => "it is there but does not answer: systemctl restart punchgate",
                    _ => "start it: systemctl start punchgate; what it said last: journalctl -u punchgate -n 50",
                };
                Self::Unreachable { why: format!("{error}: {source}"), mend: mend.into() }
            }
        }
    }
}
