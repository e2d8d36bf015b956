//! What is done because time goes by: counts, checkpoints, the clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tracing::info;

use super::Remote;
use crate::{
    audit::Checkpoint,
    command::{Envelope, Purpose},
    spool::NoteKind,
    wire::suffix,
};

/// A checkpoint goes out after so many entries of the audit log, or so long.
const CHECKPOINT_ENTRIES: usize = 100;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);
/// A step of our clock that is worth a line of the audit log, in seconds.
const CLOCK_MOVED: i64 = 5;
/// That time has passed is put on disk so often, where nothing else does it.
const TIME_EVERY: Duration = Duration::from_secs(3600);

impl Remote {
    pub(super) async fn look_after(&mut self) {
        if !self.recovered && self.recover().await.is_ok() {
            info!("it is known again which commands were done");
        }
        let (wall, counted) = std::mem::replace(&mut self.clock_seen, (Timestamp::now(), Instant::now()));
        let passed = i64::try_from(counted.elapsed().as_secs()).unwrap_or(i64::MAX);
        let moved_s = Timestamp::now().as_second() - wall.as_second() - passed;
        if moved_s.abs() >= CLOCK_MOVED {
            self.audit("clock", json!({ "moved_s": moved_s, "before": wall })).await;
        }
        if let Some(counts) = self.refused.turn() {
            self.audit("refused-more", json!({ "counts": counts })).await;
        }
        if self.time_noted.elapsed() >= TIME_EVERY && self.parts.clock.doubt().is_none() {
            self.time_noted = Instant::now();
            // The next hour will do as well.
            if self.parts.spool.note(NoteKind::Time, "", vec![]).await.is_ok() {
                self.parts.clock.passed(Timestamp::now());
            }
        }
        self.untold.extend(self.parts.audit.take_fresh());
        if self.untold.len() >= CHECKPOINT_ENTRIES
            || (!self.untold.is_empty() && self.told_at.elapsed() >= CHECKPOINT_EVERY)
        {
            self.checkpoint();
        }
    }

    /// Sends away what is new in the audit log, signed: from then on nobody here can change it unnoticed.
    fn checkpoint(&mut self) {
        self.told_at = Instant::now();
        for part in std::mem::take(&mut self.untold).chunks(CHECKPOINT_ENTRIES) {
            let (first, last) = (&part[0], &part[part.len() - 1]);
            let told = Checkpoint {
                v: 1,
                gateway: self.parts.gateway.clone(),
                tenant: self.parts.tenant.clone(),
                at: Timestamp::now(),
                first: first.n,
                last: last.n,
                prev: first.prev.clone(),
                head: last.hash.clone(),
                entries: part.to_vec(),
            };
            let envelope = Envelope::sign(&json!(told), Purpose::Audit, &self.parts.key);
            self.parts.board.send(suffix::AUDIT.into(), envelope.bytes());
        }
    }
}
