//! The outbox: what the courier takes from the spool, segment by segment.

use async_trait::async_trait;

use crate::ledger::{Ledger, Segment};

/// What waits for one destination. Everything handed out is either confirmed or handed out again.
#[async_trait]
pub trait Outbox: Send {
    /// Waits for the next segment to send: live punches first, else the oldest of the backlog. Never empty, at most
    /// [`Segment::LIMIT`] punches, and none that is handed out already or confirmed. Safe to drop in a `select!`.
    async fn next(&mut self) -> Segment;

    /// The other side has these punches of a segment that was handed out: they are never handed out again.
    fn confirm(&mut self, ledger: &Ledger, first: u64, last: u64);

    /// Whatever was handed out and not confirmed will be handed out again, oldest first.
    fn take_back(&mut self);
}
