//! `birth`: who this gateway is and what it can do, published first on each connection.

use driver_api::Delivery;
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;
use crate::ledger::Head;

/// The retained document on `birth`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "Birth")]
pub struct Birth {
    /// Of the gateway's program.
    pub version: String,
    /// The number of this start of the gateway, or another number that rises with each.
    pub epoch: u64,
    pub drivers: Vec<Driver>,
    pub terminals: Vec<Terminal>,
    /// Where each terminal's ledger stood when this was written.
    pub ledgers: Vec<LedgerHead>,
    /// The keys whose signatures this gateway accepts.
    pub key_ids: Vec<String>,
    /// With which this gateway's responses and audit entries are signed: `ed25519:` and 32 bytes in base64url. Compare it with
    /// what `punchgate status` shows on site before you trust it.
    pub gateway_key: String,
    /// Signed commands that it takes.
    pub commands: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Driver {
    pub name: String,
    pub delivery: Delivery,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Terminal {
    pub name: String,
    pub driver: String,
    /// What one can ask of it.
    pub operations: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LedgerHead {
    pub terminal: String,
    pub serial: String,
    /// The second in which this ledger was begun (Unix time).
    pub ledger: i64,
    /// Number of its last punch; 0 when it has none.
    pub last: u64,
    /// The chain after that punch.
    #[schemars(with = "schema::Head")]
    pub head: Head,
    /// Numbers that damage took from the gateway's disk, as ranges from first to last: they will not come any more.
    /// At most the latest 16 of them.
    pub lost: Vec<(u64, u64)>,
}
