//! What the count of a log says between two comparisons. It costs one small question at each heartbeat, and a log that was
//! cleared, or grew by a punch that nobody told of, is read within a minute instead of at the next comparison.

use std::time::Duration;

use driver_api::DriverError;
use tokio::time::Instant;
use tracing::debug;

use crate::serve::{DOUBT, Serving};

/// What is read because of a doubt is read for a twentieth of the time at most: a long log on a slow terminal less often.
const SHARE: u32 = 20;

/// What a count says, measured by the log that was read and by the looks since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// It is that log, with what came live since; or nobody can tell.
    Fits,
    /// Records are gone from it.
    Fell,
    /// There are more than were read and told of. The event of one of them may be on its way.
    Ahead,
}

/// The log when it was read, and what came of it since.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Its count then.
    told: u64,
    records: u64,
    /// So many came live.
    since: u64,
    capacity: u64,
}

/// The looks at the count since the log was read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    last: Option<u64>,
    /// The count that had moved with the live punches, exactly: so many records were in the log. Until one did, a count that
    /// stands still while people punch proves nothing.
    held: u64,
    /// It was short of this. A count may come after its punch, so it is short if it has not come to this by the next look.
    short_of: Option<u64>,
    ahead: bool,
}

impl Looks {
    fn look(&mut self, told: u64, known: Known) -> Count {
        let wanted = (known.told + known.since).min(known.capacity);
        let least = self.last.replace(told).unwrap_or(known.told).max(self.short_of.take().unwrap_or(0));
        if told < least {
            return Count::Fell;
        }
        if known.since > 0 && told == wanted {
            self.held = self.held.max(told);
        }
        if self.held > 0 && told < wanted {
            self.short_of = Some(wanted);
        }
        if told > known.told.max(known.records) + known.since { Count::Ahead } else { Count::Fits }
    }
}

impl Serving<'_> {
    /// Asks for the count, and has the log read when it is not the one that was read.
    pub(crate) async fn look_at_count(&mut self) -> Result<(), DriverError> {
        // A log that could not be read has its own times.
        if self.read_at.is_none() || self.failures > 0 {
            return Ok(());
        }
        self.ask_sizes().await?;
        self.book_events(true).await?;
        let Some(count) = self.sizes.records.map(u64::from) else { return Ok(()) };
        let (told, records) = self.cursor.as_ref().map_or((0, 0), |cursor| (cursor.told, cursor.records));
        let capacity = self.sizes.capacity.filter(|capacity| *capacity > 0).map_or(u64::MAX, u64::from);
        let known = Known { told, records, since: self.since_read, capacity };
        let found = self.looks.look(count, known);
        let was_ahead = std::mem::replace(&mut self.looks.ahead, found == Count::Ahead);
        match found {
            Count::Fits => return Ok(()),
            Count::Fell => self.read_after(Duration::ZERO, Some(count)),
            // Without live punches it is read as often as the config says, and no more.
            Count::Ahead if !self.settings.live => return Ok(()),
            Count::Ahead if !was_ahead => self.next_beat = Instant::now() + DOUBT,
            Count::Ahead => self.read_after(Duration::ZERO, None),
        }
        debug!(count, ?known, ?found, "count of its log looked at");
        Ok(())
    }

    /// Something is in doubt, and the log tells.
    pub(crate) fn read_soon(&mut self) {
        self.read_after(DOUBT.min(self.settings.reconcile), None);
    }

    /// Has the log read after a pause, and not before its share of the time allows. Of so many `records` it takes less.
    fn read_after(&mut self, pause: Duration, records: Option<u64>) {
        let mut soon = Instant::now() + pause;
        if let Some(read_at) = self.read_at {
            let part = records.map_or(1.0, |records| (records as f64 / self.held().max(1) as f64).min(1.0));
            soon = soon.max(read_at + (self.read_took * SHARE).mul_f64(part));
        }
        let soon = self.manner().not_before.map_or(soon, |then| soon.max(then));
        self.next_read = self.next_read.min(soon);
    }

    /// So many records were in its log, as far as that is certain.
    pub(crate) fn held(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.records).max(self.looks.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(told: u64, records: u64, since: u64) -> Known {
        Known { told, records, since, capacity: 1000 }
    }

    #[test]
    fn a_count_is_measured_by_the_log_that_was_read() {
        let look = |count, known| Looks::default().look(count, known);
        assert_eq!(look(12, known(10, 10, 2)), Count::Fits);
        assert_eq!(look(13, known(10, 10, 2)), Count::Ahead);
        assert_eq!(look(9, known(10, 10, 0)), Count::Fell);
        assert_eq!(look(0, known(0, 40, 3)), Count::Fits, "some firmware always says so");
        assert_eq!(look(13, known(10, 13, 0)), Count::Fits, "a count that stood still, and catches up later");
        assert_eq!(look(1, known(0, 0, 0)), Count::Ahead);
    }

    #[test]
    fn and_by_the_look_before() {
        let mut looks = Looks::default();
        assert_eq!(looks.look(20, known(0, 0, 20)), Count::Fits);
        assert_eq!(looks.look(0, known(0, 0, 20)), Count::Fell, "emptied");
        assert_eq!(looks.held, 20);
        let mut looks = Looks::default();
        assert_eq!(looks.look(30, known(10, 10, 20)), Count::Fits);
        assert_eq!(looks.look(12, known(10, 10, 20)), Count::Fell, "emptied, and filled again with twelve");
    }

    #[test]
    fn a_count_that_moves_with_the_punches_and_then_does_not_fell() {
        let mut looks = Looks::default();
        assert_eq!(looks.look(30, known(10, 10, 20)), Count::Fits);
        assert_eq!(looks.look(35, known(10, 10, 50)), Count::Fits, "it may come after the punches");
        assert_eq!(looks.look(60, known(10, 10, 53)), Count::Fits, "and it came, but for three");
        assert_eq!(looks.look(62, known(10, 10, 90)), Count::Fell);
        // One that never moved with them proves nothing, and one that is full cannot move.
        let mut looks = Looks::default();
        assert!([3, 20, 70].into_iter().all(|since| looks.look(10, known(10, 10, since)) == Count::Fits));
        let mut looks = Looks::default();
        assert!([5, 20, 70].into_iter().all(|since| looks.look(1000, known(995, 995, since)) == Count::Fits));
    }
}
