//! The tally: what happened since the status was last renewed, so that watchers wake twice a second and not at each message.

use std::time::Duration;

use super::LinkStatus;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) published: u64,
    pub(super) acked: u64,
    pub(super) refused: u64,
    pub(super) punches_acked: u64,
    pub(super) unsendable: u64,
    pub(super) dropped: u64,
    pub(super) round_trip: Option<Duration>,
}

impl Tally {
    /// Begins anew.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(super) fn add_to(&self, status: &mut LinkStatus) {
        status.counters.published += self.published;
        status.counters.acked += self.acked;
        status.counters.refused += self.refused;
        status.counters.punches_acked += self.punches_acked;
        status.unsendable += self.unsendable;
        status.counters.dropped += self.dropped;
        status.round_trip = self.round_trip.or(status.round_trip);
    }
}
