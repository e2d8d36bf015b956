//! What the gateway answers: signed, and naming the request by its hash.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It will be done, once, and that is written down.
    Accepted,
    /// It is not done, and was not.
    Rejected,
    /// At work.
    Executing,
    Successful,
    /// It came to nothing, or not to all that was wanted: `error` tells.
    Failed,
    /// The gateway went down between accepting it and its end: it may or may not have happened, and is not done again.
    Unknown,
}

impl Standing {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Executing)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Executing => "executing",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The payload on `response/{id}`, in an envelope with the gateway's own signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Response")]
pub struct Response {
    pub v: u8,
    /// Of the request.
    pub id: String,
    pub gateway: String,
    pub tenant: String,
    /// SHA-256 of the request as it arrived, in hex.
    pub request: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    #[serde(rename = "status")]
    pub standing: Standing,
    /// How far it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Of a successful one, as its command's schema says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it was rejected or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Response {
    /// What is told of every refusal, whatever the reason.
    pub const REFUSED: &str = "refused; the gateway's audit log says why";
}
