//! What goes over a terminal's wire, for whoever traces it: told by drivers that can, only while somebody asked for it, and
//! without anything that says who somebody is.

use jiff::Timestamp;
use serde::Serialize;

/// The name under which a driver offers it among its operations. It is no job: a driver that has it calls
/// [`Terminal::frame`](crate::Terminal::frame) for every frame.
pub const TRACE: &str = "trace";

/// Whither a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    FromTerminal,
    ToTerminal,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frame {
    pub at: Timestamp,
    pub way: Way,
    /// As it went over the wire, in bytes.
    pub bytes: u64,
    /// What it is: its kind, its numbers, and bytes only where they can hold nothing of a person and no secret.
    pub what: String,
}
