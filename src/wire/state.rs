//! `state`: how the gateway stands. Also its last will.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GatewayState {
    Starting,
    Online,
    /// At work, but a condition of high severity is raised.
    Degraded,
    /// Leaving: what is on its way is still delivered.
    Draining,
    Offline,
    /// Said by the broker in its name: the connection broke.
    Lost,
}

/// The retained document on `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "State")]
pub struct StateMessage {
    pub state: GatewayState,
    /// Another one for each connection, rising. A `lost` whose epoch is not that of the latest other state is an old will
    /// that came late.
    pub epoch: u64,
    /// Since when; null in a will, which is written before its time.
    #[schemars(with = "Option<schema::Instant>")]
    pub since: Option<Timestamp>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl StateMessage {
    /// The last will of a connection.
    pub fn will(epoch: u64) -> Self {
        Self {
            state: GatewayState::Lost,
            epoch,
            since: None,
            reason: Some("the connection to the gateway broke".into()),
        }
    }
}
