//! `health`: the gateway itself.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Condition, fitted, schema, shorten};

/// The retained document on `health`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "GatewayHealth")]
pub struct GatewayHealth {
    /// When this was written.
    #[schemars(with = "schema::Instant")]
    pub at: Timestamp,
    pub version: String,
    pub uptime_s: u64,
    /// How often the gateway was started.
    pub boots: Option<u64>,
    pub terminals: u64,
    pub terminals_online: u64,
    pub queue: Queue,
    pub store: Store,
    pub link: Link,
    pub process: Process,
    pub host: Host,
    /// All that are to be shown, worst first.
    pub conditions: Vec<Condition>,
    /// How many more there are than have room here.
    pub conditions_left_out: u64,
}

impl GatewayHealth {
    /// As it is published.
    pub fn document(mut self) -> Vec<u8> {
        let (link, host) = (&mut self.link, &mut self.host);
        [&mut link.broker, &mut host.clock_source].into_iter().flatten().for_each(shorten);
        fitted(&mut self, |it| (&mut it.conditions, &mut it.conditions_left_out))
    }
}

/// Punches that the other side does not have yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Queue {
    pub undelivered: u64,
    /// When the oldest of them became durable.
    #[schemars(with = "Option<schema::Instant>")]
    pub oldest: Option<Timestamp>,
    /// What they take on disk.
    pub bytes: Option<u64>,
    /// How long the disk lasts at the present rate.
    pub hours_left: Option<f64>,
    /// Punches too large for the broker; they stay here.
    pub unsendable: u64,
}

/// The disk under the spool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Store {
    pub commit_p50_ms: Option<f64>,
    pub commit_p99_ms: Option<f64>,
    pub free_bytes: Option<u64>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Link {
    /// `connecting`, `up` or `down`.
    pub state: String,
    #[schemars(with = "schema::Instant")]
    pub since: Timestamp,
    /// `host:port`
    pub broker: Option<String>,
    /// From a publish to its acknowledgement.
    pub round_trip_ms: Option<f64>,
    /// Of our own certificate; negative when it has ended.
    pub certificate_days: Option<i64>,
    /// Of the broker's certificate.
    pub broker_certificate_days: Option<i64>,
    /// Messages on their way now.
    pub in_flight: u64,
    pub published: u64,
    pub acked: u64,
    pub refused: u64,
    pub reconnects: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Process {
    pub rss_bytes: Option<u64>,
    /// Of one core, since the last document.
    pub cpu_percent: Option<f64>,
    pub open_fds: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Host {
    /// What keeps its clock: `ntp` where a time server does, `rtc` where only the battery clock does.
    pub clock_source: Option<String>,
    /// Its clock minus the battery clock, which tells whole seconds.
    pub clock_offset_ms: Option<f64>,
    /// Whether the gateway believes it.
    pub clock_trusted: bool,
    /// The latest second that is known to be past, that of its last durable punch: a clock before it is not believed. Null
    /// where there is none so far.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub clock_floor: Option<Timestamp>,
    /// Average of the last minute.
    pub load: Option<f64>,
    pub disk_used_percent: Option<f64>,
    pub temperature_c: Option<f64>,
}
