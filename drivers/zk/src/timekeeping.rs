//! The terminal's clock in a running session: asked at each heartbeat, told when it is off, set where that is wanted.

use driver_api::{DriverError, NotSet, Report, Skew, Trouble, may_set};
use jiff::{Timestamp, civil::date};
use rand::RngExt;
use std::time::{Duration, Instant};
use tracing::info;

use crate::{
    command::{ask, meaning, reply},
    serve::Serving,
    time,
};

/// The shortest pause between two heartbeats, in the terminal's time-outs: half a minute with the usual one, and never longer.
const BEAT: u32 = 6;
const BEAT_LONGEST: Duration = Duration::from_secs(30);
/// The longest is so many times that: at odd moments each sample narrows what is known of the skew.
const SPREAD: f64 = 1.5;

/// Why the clock was not set when somebody asked for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetFailed {
    #[error(transparent)]
    NotSet(#[from] NotSet),
    #[error("the terminal answered {}", meaning(*.0))]
    Refused(u16),
    #[error("the terminal does not tell its time")]
    NoTime,
    #[error(transparent)]
    Lost(#[from] DriverError),
}

impl Serving<'_> {
    /// Asks for the time: the heartbeat, and a sample of the skew.
    pub(crate) async fn measure_clock(&mut self) -> Result<(), DriverError> {
        let pause = (self.settings.timeout * BEAT).min(BEAT_LONGEST);
        self.next_beat = tokio::time::Instant::now() + pause.mul_f64(rand::rng().random_range(1.0..SPREAD));
        let (before, asked) = (Timestamp::now(), Instant::now());
        let answer = self.session.request(ask::GET_TIME, &[]).await?;
        let (after, round_trip) = (Timestamp::now(), asked.elapsed());
        self.terminal.report(Report::RoundTrip { ms: round_trip.as_millis() as u64 });
        self.terminal.seen();
        let packed = answer.data.first_chunk().map(|packed| u32::from_le_bytes(*packed));
        let said = packed.filter(|_| answer.command == reply::OK).and_then(|packed| match packed {
            0 => Some(date(2000, 1, 1).at(0, 0, 0, 0)), // here it is a time, unlike in records
            packed => time::decode(packed),
        });
        let sample = said.and_then(|said| Skew::sample(before, after, said, self.zone));
        self.skew = match (self.skew, sample) {
            (Some(known), Some(newer)) => Some(known.and(newer)),
            (_, sample) => sample,
        };
        if let Some(skew) = self.skew {
            self.terminal.report(Report::Clock(skew.as_clock()));
        }
        Ok(())
    }

    /// Says when the clock is off, and sets it if that is switched on.
    pub(crate) async fn look_after_clock(&mut self) -> Result<(), DriverError> {
        let Some(skew) = self.skew else { return Ok(()) };
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
        if skew.wall_time(self.zone).year() < time::FIRST_SANE_YEAR {
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
    pub(crate) async fn set_clock(&mut self) -> Result<(), SetFailed> {
        let skew = self.skew.ok_or(SetFailed::NoTime)?;
        let ours = Timestamp::now().to_zoned(self.zone.clone()).datetime();
        may_set(skew, ours, skew.wall_time(self.zone), self.latest, self.link.clock_trusted())?;
        let into_second = Duration::from_nanos(Timestamp::now().subsec_nanosecond().unsigned_abs().into());
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(into_second)).await;
        let now = Timestamp::now().to_zoned(self.zone.clone()).datetime();
        let answer = self.session.request_once(ask::SET_TIME, &time::encode(now).to_le_bytes()).await?;
        if answer.command != reply::OK {
            return Err(SetFailed::Refused(answer.command));
        }
        self.session.request(ask::REFRESH, &[]).await?;
        info!(skew_ms = skew.middle_ms(), "terminal's clock set");
        self.skew = None;
        self.measure_clock().await?;
        Ok(())
    }
}
