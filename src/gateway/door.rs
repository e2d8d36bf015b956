//! The gateway's side of the door that drivers see.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use driver_api::{Batch, Frame, Gateway, Holdings, NotStored, Punch, PunchId, Report, Stored, Stranger, async_trait};
use jiff::{Timestamp, tz::TimeZone};

use super::traces::Traces;
use crate::{
    clock::Clock,
    config::TerminalSettings,
    health::{Code, Health},
    ledger::Entry,
    spool::{Filter, NoteKind, Spool},
};

pub(super) struct Door {
    spool: Spool,
    health: Health,
    clock: Arc<Clock>,
    zones: Mutex<HashMap<String, TimeZone>>,
    traces: Traces,
}

impl Door {
    pub(super) fn new(spool: Spool, health: Health, clock: Arc<Clock>, traces: Traces) -> Self {
        Self { spool, health, clock, zones: Mutex::default(), traces }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn set_zones(&self, terminals: &[TerminalSettings]) {
        self.traces.retain(|name| terminals.iter().any(|terminal| terminal.name == name));
        let zones = terminals.iter().map(|terminal| (terminal.name.clone(), terminal.zone.clone())).collect();
        *self.zones.lock().unwrap_or_else(PoisonError::into_inner) = zones;
    }

    fn zone(&self, terminal: &str) -> TimeZone {
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.get(terminal).cloned().unwrap_or(TimeZone::UTC)
    }
}

#[async_trait]
impl Gateway for Door {
    async fn put(&self, terminal: &str, serial: &str, mut batch: Batch) -> Result<Stored, NotStored> {
        let zone = self.zone(terminal);
        if !self.clock_trusted() {
            // What was measured by a clock that is not believed is no measure.
            batch.punches.iter_mut().for_each(|punch| punch.clock = driver_api::Clock::UNKNOWN);
        }
        let latest = batch.punches.iter().map(|punch| punch.local).max();
        let stored = self.spool.commit(terminal, serial, &zone, batch).await?;
        self.clock.passed(Timestamp::now());
        if let Some(at) = latest.and_then(|local| zone.to_ambiguous_timestamp(local).compatible().ok()) {
            self.health.punched(terminal, at);
        }
        Ok(stored)
    }

    async fn load_cursor(&self, terminal: &str, serial: &str) -> Option<Vec<u8>> {
        self.spool.load_cursor(terminal, serial)
    }

    async fn save_cursor(&self, terminal: &str, serial: &str, cursor: Vec<u8>) -> Result<(), NotStored> {
        self.spool.save_cursor(terminal, serial, &cursor)
    }

    async fn remember(&self, serial: &str, key: &str, body: Vec<u8>) -> Result<(), NotStored> {
        self.spool.note(NoteKind::Driver, &note_key(serial, key), body).await
    }

    async fn remembered(&self, serial: &str, key: &str) -> Result<Option<Vec<u8>>, NotStored> {
        Ok(self.spool.noted(NoteKind::Driver, &note_key(serial, key))?.map(|note| note.body))
    }

    async fn holdings(&self, terminal: &str, serial: &str) -> Holdings {
        self.spool.holdings(terminal, serial)
    }

    async fn newest(&self, terminal: &str, serial: &str) -> Option<Punch> {
        let filter = Filter { terminal: Some(terminal.to_owned()), limit: 1, ..Filter::default() };
        let (ledger, entry) = self.spool.recent(filter).await.ok()?.pop()?;
        if ledger.serial == serial { handed_over(serial, entry) } else { None }
    }

    async fn booked_under(&self, terminal: &str) -> Option<String> {
        self.spool.booked_under(terminal)
    }

    fn report(&self, terminal: &str, report: Report) {
        self.health.report(terminal, report);
    }

    fn stranger(&self, stranger: Stranger) {
        let Stranger { driver, serial, peer, times, block } = stranger;
        let cause = format!("{driver} terminal {serial} at {peer} asked {times} times. To let it in:\n{block}");
        self.health.raise(Code::TerminalUnknown, Some(&serial), cause);
    }

    fn is_traced(&self, terminal: &str) -> bool {
        self.traces.is_wanted(terminal, || self.health.is_online(terminal))
    }

    fn frame(&self, terminal: &str, frame: Frame) {
        self.traces.keep(terminal, frame);
    }

    fn clock_trusted(&self) -> bool {
        self.clock.doubt().is_none()
    }
}

/// Of one length, since nobody bounds what a terminal calls its serial number.
fn note_key(serial: &str, key: &str) -> String {
    PunchId::of_raw(serial, key.as_bytes(), 0).to_string()
}

/// Equal punches of one second that are looked for.
const MOST_EQUAL: u32 = 1000;

/// A punch as its driver handed it over. Which of equal ones it was is not on disk, but in its id.
fn handed_over(serial: &str, entry: Entry) -> Option<Punch> {
    let Entry { id, person, local, clock, direction, verify, work_code, origin, native, flags, .. } = entry;
    let zone = None;
    let mut punch = Punch { person, local, zone, direction, verify, work_code, native, nth: 1, origin, clock, flags };
    while PunchId::of(serial, &punch) != id {
        punch.nth += 1;
        if punch.nth > MOST_EQUAL {
            return None;
        }
    }
    Some(punch)
}
