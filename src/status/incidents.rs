//! Incidents as the broker sees them, and conditions as incidents see them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Sources;
use crate::{
    health::{Code, Words},
    incident::{Incident, Seen},
    wire::{health, incident::IncidentReport},
};

/// The conditions that are shown now.
pub fn seen(sources: &Sources) -> Vec<Seen> {
    let one = |condition: crate::health::Condition| Seen {
        code: condition.kind.code,
        subject: condition.subject,
        severity: condition.kind.severity.name(),
        since: condition.since,
        cause: condition.cause,
    };
    sources.health.conditions().into_iter().map(one).collect()
}

/// The documents `incident/{code}`, by code: those that have something open.
pub fn incidents(sources: &Sources) -> BTreeMap<String, IncidentReport> {
    let mut by_code: BTreeMap<String, Vec<Incident>> = BTreeMap::new();
    for incident in sources.incidents.open_now() {
        by_code.entry(incident.code.clone()).or_default().push(incident);
    }
    let one = |(code, open): (String, Vec<Incident>)| {
        // A code of another version has no words here.
        let kind = Code::ALL.iter().map(|it| it.kind()).find(|kind| kind.code == code);
        let words = |of: fn(&crate::health::ConditionKind) -> Words| {
            kind.map(of).map_or_else(Default::default, |it| health::Words { en: it.en.into(), zh: it.zh.into() })
        };
        let report = IncidentReport {
            at: Timestamp::now(),
            severity: open.first().map(|it| it.severity.clone()).unwrap_or_default(),
            title: words(|kind| kind.title),
            text: words(|kind| kind.text),
            mend: words(|kind| kind.mend),
            open,
            open_left_out: 0,
            code: code.clone(),
        };
        (code, report)
    };
    by_code.into_iter().map(one).collect()
}
