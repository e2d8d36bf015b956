//! The board's clock: measured at each question for its state, told when it is off, set where that is wanted.

use std::time::Duration;

use driver_api::{DriverError, NotSet, Report, Skew, Trouble, may_set};
use jiff::Timestamp;
use tracing::info;

use crate::{booking::FIRST_SANE_YEAR, event::Status, serve::Serving};

/// Why the clock was not set when somebody asked for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetFailed {
    #[error(transparent)]
    NotSet(#[from] NotSet),
    #[error("the board did not take the time")]
    Refused,
    #[error(transparent)]
    Lost(#[from] DriverError),
}

impl Serving<'_> {
    /// Asks for the board's state, which is a sample of its clock too.
    pub(crate) async fn status(&mut self) -> Result<Status, DriverError> {
        let before = Timestamp::now();
        let status = self.board.status().await?;
        let after = Timestamp::now();
        let millis = u64::try_from(after.duration_since(before).as_millis()).unwrap_or(0);
        self.terminal.report(Report::RoundTrip { ms: millis });
        self.terminal.seen();
        let sample = status.now.and_then(|now| Skew::sample(before, after, now, self.zone));
        self.skew = match (self.skew, sample) {
            (Some(known), Some(newer)) => Some(known.and(newer)),
            (_, sample) => sample,
        };
        if let Some(skew) = self.skew {
            self.terminal.report(Report::Clock(skew.as_clock()));
        }
        self.error = status.error;
        Ok(status)
    }

    /// Says when the clock is off, and sets it if that is switched on. Call it only when all events that there are have been
    /// read: the newest of them decides whether the clock may be put back.
    pub(crate) async fn look_after_clock(&mut self) -> Result<(), DriverError> {
        let Some(skew) = self.skew else {
            let mut cause = "it does not tell a real date".to_owned();
            if self.settings.set_clock {
                match self.set_clock().await {
                    Ok(()) if self.skew.is_some() => self.terminal.relief(Trouble::ClockUnset),
                    Ok(()) => {}
                    Err(SetFailed::Lost(error)) => return Err(error),
                    Err(why) => cause = format!("{cause}; {why}"),
                }
            }
            if self.skew.is_none() {
                self.terminal.trouble(Trouble::ClockUnset, cause);
            }
            return Ok(());
        };
        let limit = self.settings.clock_limit;
        if !skew.exceeds(limit) {
            self.clock_is_well();
            return Ok(());
        }
        let mut cause = skew.words();
        if self.settings.set_clock {
            match self.set_clock().await {
                Ok(()) if !self.skew.is_some_and(|skew| skew.exceeds(limit)) => {
                    self.clock_is_well();
                    return Ok(());
                }
                Ok(()) => cause = format!("{cause}; it was set, and did not keep the time"),
                Err(SetFailed::Lost(error)) => return Err(error),
                Err(why) => cause = format!("{cause}; {why}"),
            }
        }
        if skew.wall_time(self.zone).year() < FIRST_SANE_YEAR {
            self.terminal.trouble(Trouble::ClockUnset, cause.as_str());
        } else {
            self.terminal.relief(Trouble::ClockUnset);
        }
        self.terminal.trouble(Trouble::ClockOff, cause);
        Ok(())
    }

    fn clock_is_well(&self) {
        self.terminal.relief(Trouble::ClockOff);
        self.terminal.relief(Trouble::ClockUnset);
    }

    /// Sets the board's clock to ours, at the beginning of a second, unless that would hide punches; then asks what came of it.
    pub(crate) async fn set_clock(&mut self) -> Result<(), SetFailed> {
        let (trusted, ours) = (self.link.clock_trusted(), Timestamp::now().to_zoned(self.zone.clone()).datetime());
        match self.skew {
            Some(skew) => may_set(skew, ours, skew.wall_time(self.zone), self.latest, trusted)?,
            None if !trusted => return Err(NotSet::OurClock.into()),
            None => {} // it has no time that could be put back
        }
        let into_second = Duration::from_nanos(Timestamp::now().subsec_nanosecond().unsigned_abs().into());
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(into_second)).await;
        let now = Timestamp::now().to_zoned(self.zone.clone()).datetime();
        if !self.board.set_time(now).await? {
            return Err(SetFailed::Refused);
        }
        info!(skew_ms = self.skew.map(Skew::middle_ms), "board's clock set");
        self.skew = None;
        self.status().await?;
        Ok(())
    }
}
