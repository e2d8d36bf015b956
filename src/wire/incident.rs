//! `incident/{code}`: what is open of one kind, retained while it is.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    DOCUMENT_LIMIT,
    health::{Words, shorten},
    json, schema,
};
use crate::incident::Incident;

/// The retained document on `incident/{code}`. An empty one takes it back: nothing of this kind is open any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "IncidentReport")]
pub struct IncidentReport {
    /// When this was written.
    #[schemars(with = "schema::Instant")]
    pub at: Timestamp,
    /// Of the condition, as in docs/conditions.md.
    pub code: String,
    /// `high`, `medium`, `low`
    pub severity: String,
    pub title: Words,
    /// What it means for the people.
    pub text: Words,
    /// What to do.
    pub mend: Words,
    /// Oldest first.
    pub open: Vec<Incident>,
    /// How many more there are than have room here.
    pub open_left_out: u64,
}

impl IncidentReport {
    /// As it is published: when it is too large, the youngest are left out and counted.
    pub fn document(mut self) -> Vec<u8> {
        for incident in &mut self.open {
            shorten(&mut incident.cause);
            incident.subject.iter_mut().for_each(shorten);
            incident.acknowledged.iter_mut().for_each(|it| shorten(&mut it.by));
        }
        loop {
            let payload = json(&self);
            if payload.len() <= DOCUMENT_LIMIT || self.open.pop().is_none() {
                return payload;
            }
            self.open_left_out += 1;
        }
    }
}
