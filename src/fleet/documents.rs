//! What is read of the gateways' documents; what else stands in them is left alone.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::Severity;

#[derive(Deserialize)]
pub(super) struct BothDoc<'a> {
    #[serde(borrow)]
    pub(super) en: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) zh: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct ConditionDoc<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) severity: Severity,
    pub(super) since: Timestamp,
    #[serde(borrow)]
    pub(super) title: BothDoc<'a>,
    #[serde(borrow)]
    pub(super) cause: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) mend: BothDoc<'a>,
}

#[derive(Deserialize)]
pub(super) struct StateDoc<'a> {
    #[serde(borrow)]
    pub(super) state: Cow<'a, str>,
    pub(super) since: Option<Timestamp>,
}

#[derive(Deserialize)]
pub(super) struct HealthDoc<'a> {
    pub(super) at: Timestamp,
    #[serde(borrow)]
    pub(super) version: Cow<'a, str>,
    pub(super) terminals: u64,
    pub(super) terminals_online: u64,
    pub(super) queue: QueueDoc,
    #[serde(borrow)]
    pub(super) conditions: Vec<ConditionDoc<'a>>,
}

#[derive(Deserialize)]
pub(super) struct QueueDoc {
    pub(super) undelivered: u64,
}

#[derive(Deserialize)]
pub(super) struct TerminalDoc<'a> {
    #[serde(borrow)]
    pub(super) conditions: Vec<ConditionDoc<'a>>,
}

#[derive(Deserialize)]
pub(super) struct IncidentDoc<'a> {
    pub(super) at: Timestamp,
    #[serde(borrow)]
    pub(super) open: Vec<OpenDoc<'a>>,
}

#[derive(Deserialize)]
pub(super) struct OpenDoc<'a> {
    pub(super) number: u64,
    #[serde(borrow)]
    pub(super) subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) acknowledged: Option<ByDoc<'a>>,
    pub(super) target_s: u64,
    pub(super) open_s: u64,
}

#[derive(Deserialize)]
pub(super) struct ByDoc<'a> {
    #[serde(borrow)]
    pub(super) by: Cow<'a, str>,
}
