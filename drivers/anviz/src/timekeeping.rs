//! The terminal's clock: measured at each poll, told when it is off, set where that is wanted.

use std::time::Duration;

use driver_api::{DriverError, NotSet, Report, Skew, Trouble, may_set};
use jiff::Timestamp;
use tracing::info;

use crate::{
    booking::FIRST_SANE_YEAR,
    command::{ask, meaning},
    frame::Frame,
    record,
    terminal::{Failed, Serving},
    wire::{NoAnswer, Wire},
};

/// Why the clock was not set when somebody asked for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetFailed {
    #[error(transparent)]
    NotSet(#[from] NotSet),
    #[error("the terminal answered {}", meaning(*.0))]
    Refused(u8),
    #[error("the terminal does not tell its time")]
    NoTime,
    #[error(transparent)]
    Lost(#[from] Failed),
}

impl From<NoAnswer> for SetFailed {
    fn from(failed: NoAnswer) -> Self {
        Self::Lost(failed.into())
    }
}

impl From<DriverError> for SetFailed {
    fn from(failed: DriverError) -> Self {
        Self::Lost(failed.into())
    }
}

impl Serving<'_> {
    /// Asks for the time: a sample of the skew.
    pub(crate) async fn measure_clock(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        let before = Timestamp::now();
        // Once: an answer to a second question would be measured by the first.
        let answer = wire.ask(&Frame::question(self.unit, ask::GET_CLOCK, []), 1, |_| true).await?;
        let after = Timestamp::now();
        let millis = u64::try_from(after.duration_since(before).as_millis()).unwrap_or(0);
        self.terminal.report(Report::RoundTrip { ms: millis });
        let said = record::clock(&answer.data).filter(|_| answer.result == 0);
        let sample = said.and_then(|said| Skew::sample(before, after, said, &self.settings.zone));
        self.skew = match (self.skew, sample) {
            (Some(known), Some(newer)) => Some(known.and(newer)),
            (_, sample) => sample,
        };
        if let Some(skew) = self.skew {
            self.terminal.report(Report::Clock(skew.as_clock()));
        }
        Ok(())
    }

    /// Says when the clock is off, and sets it if that is switched on. Call it when what is new has been read: the newest of it
    /// decides whether the clock may be put back.
    pub(crate) async fn look_after_clock(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        let Some(skew) = self.skew else { return Ok(()) };
        let limit = self.settings.clock_limit;
        if !skew.exceeds(limit) {
            self.clock_is_well();
            return Ok(());
        }
        let mut cause = skew.words();
        if self.settings.set_clock {
            match self.set_clock(wire).await {
                Ok(()) if !self.skew.is_some_and(|skew| skew.exceeds(limit)) => {
                    self.clock_is_well();
                    return Ok(());
                }
                Ok(()) => cause = format!("{cause}; it was set, and did not keep the time"),
                Err(SetFailed::Lost(error)) => return Err(error),
                Err(why) => cause = format!("{cause}; {why}"),
            }
        }
        if skew.wall_time(&self.settings.zone).year() < FIRST_SANE_YEAR {
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

    /// Sets the terminal's clock to ours, at the beginning of a second, unless that would hide punches; then asks what came of it.
    pub(crate) async fn set_clock(&mut self, wire: &mut Wire) -> Result<(), SetFailed> {
        let skew = self.skew.ok_or(SetFailed::NoTime)?;
        let zone = &self.settings.zone;
        let ours = Timestamp::now().to_zoned(zone.clone()).datetime();
        may_set(skew, ours, skew.wall_time(zone), self.latest, self.link.clock_trusted())?;
        let into_second = Duration::from_nanos(Timestamp::now().subsec_nanosecond().unsigned_abs().into());
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(into_second)).await;
        let now = Timestamp::now().to_zoned(zone.clone()).datetime();
        let question = Frame::question(self.unit, ask::SET_CLOCK, record::encode_clock(now));
        let answer = wire.ask(&question, 1, |_| true).await?;
        if answer.result != 0 {
            return Err(SetFailed::Refused(answer.result));
        }
        info!(skew_ms = skew.middle_ms(), "terminal's clock set");
        self.skew = None;
        self.measure_clock(wire).await?;
        Ok(())
    }
}
