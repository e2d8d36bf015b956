//! What the count of a log says between two comparisons. It costs one small question at each heartbeat, and a log that was
//! cleared, or grew by a punch that nobody told of, is read within a minute instead of at the next comparison.

use std::time::Duration;

use driver_api::DriverError;
use tokio::time::Instant;
use tracing::debug;

use crate::serve::{DOUBT, Serving};

/// A log that grows untold is read for a twentieth of the time at most: a long one on a slow terminal less often.
const SHARE: u32 = 20;

/// What a count says, measured by the log that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// It is that log, with what came live since; or nobody can tell.
    Fits,
    /// Records are gone from it.
    Fell,
    /// There are more than were read and told of. The event of one of them may be on its way.
    Ahead,
}

impl Count {
    /// `told` by the terminal now, and `before` when `records` were read; `since` then so many came live.
    fn of(told: u64, before: u64, records: u64, since: u64) -> Self {
        if told < before {
            Self::Fell
        } else if told > before.max(records) + since {
            Self::Ahead
        } else {
            Self::Fits
        }
    }
}

impl Serving<'_> {
    /// Asks for the count, and has the log read when it is not the one that was read.
    pub(crate) async fn look_at_count(&mut self) -> Result<(), DriverError> {
        // A log that could not be read has its own times.
        let Some(read_at) = self.read_at.filter(|_| self.failures == 0) else { return Ok(()) };
        self.ask_sizes().await?;
        self.book_events(true).await?;
        let Some(told) = self.sizes.records.map(u64::from) else { return Ok(()) };
        let (before, records) = self.cursor.as_ref().map_or((0, 0), |cursor| (cursor.told, cursor.records));
        let count = Count::of(told, before, records, self.since_read);
        let was_ahead = std::mem::replace(&mut self.ahead, count == Count::Ahead);
        let now = Instant::now();
        match count {
            Count::Fits => return Ok(()),
            Count::Fell => self.next_read = now,
            // Without live punches it is read as often as the config says, and no more.
            Count::Ahead if !self.settings.live => return Ok(()),
            Count::Ahead if !was_ahead => self.next_beat = now + DOUBT,
            Count::Ahead => self.next_read = self.next_read.min(now.max(read_at + self.read_took * SHARE)),
        }
        debug!(told, before, since = self.since_read, ?count, "count of its log looked at");
        Ok(())
    }

    /// A log was read; so long it took.
    pub(crate) fn log_was_read(&mut self, took: Duration) {
        self.read_took = took;
        self.ahead = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_measured_by_the_log_that_was_read() {
        assert_eq!(Count::of(12, 10, 10, 2), Count::Fits);
        assert_eq!(Count::of(13, 10, 10, 2), Count::Ahead);
        assert_eq!(Count::of(9, 10, 10, 0), Count::Fell);
        assert_eq!(Count::of(0, 0, 40, 3), Count::Fits, "some firmware always says so");
        // A count that stands still while punches come, and catches up later.
        assert_eq!(Count::of(10, 10, 10, 3), Count::Fits);
        assert_eq!(Count::of(13, 10, 13, 0), Count::Fits);
        assert_eq!(Count::of(1, 0, 0, 0), Count::Ahead);
    }
}
