//! The terminal's clock in a running session: asked at each heartbeat, told when it is off, set where that is wanted.

use driver_api::{Clock, DriverError, NotSet, Report, Skew, Trouble, may_set};
use jiff::{
    SignedDuration, Timestamp,
    civil::{DateTime, date},
};
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

/// Punches that do not fit its clock have it asked again no more often than this.
const DOUBTS_APART: Duration = Duration::from_secs(5);

/// What was seen of its clock, from session to session: one that lost its power comes back with another time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watched {
    skew: Option<Skew>,
    /// By then it had been moved, and what it wrote before is of a skew that nobody knows.
    moved: Option<Timestamp>,
}

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

const UNPOISONED: &str = "nobody panics while holding a few numbers";

impl Serving<'_> {
    /// Asks for the time: the heartbeat, and a sample of the skew.
    pub(crate) async fn measure_clock(&mut self) -> Result<(), DriverError> {
        let pause = (self.settings.timeout * BEAT).min(BEAT_LONGEST);
        self.next_beat = tokio::time::Instant::now() + pause.mul_f64(rand::rng().random_range(1.0..SPREAD));
        self.ask_time().await
    }

    /// Asks for the time, out of turn as well.
    async fn ask_time(&mut self) -> Result<(), DriverError> {
        self.time_asked = Some(tokio::time::Instant::now());
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
            let mut watched = self.watched();
            if watched.skew.is_some_and(|known| known.has_moved(skew)) {
                watched.moved = Some(after);
            }
            watched.skew = Some(skew);
            *self.watched.lock().expect(UNPOISONED) = watched;
            self.terminal.report(Report::Clock(skew.as_clock()));
        }
        Ok(())
    }

    fn watched(&self) -> Watched {
        *self.watched.lock().expect(UNPOISONED)
    }

    /// The clock that made a live punch. One that does not fit what is known of the clock has it asked for the time: either it
    /// was moved since, or the punch is told late, and then nobody knows what the clock was like when it was made.
    pub(crate) async fn clock_of(
        &mut self,
        local: DateTime,
        arrived: tokio::time::Instant,
        may_ask: bool,
    ) -> Result<Clock, DriverError> {
        let waited = SignedDuration::try_from(arrived.elapsed()).unwrap_or_default();
        let told_at = Timestamp::now().checked_sub(waited).unwrap_or_default();
        let zone = self.zone;
        let fits = |skew: &Skew| skew.fits(local, told_at, zone);
        if self.skew.is_some_and(|skew| !fits(&skew))
            && may_ask
            && self.time_asked.is_none_or(|asked| asked < arrived)
            && self.doubted.is_none_or(|doubted| doubted.elapsed() >= DOUBTS_APART)
        {
            let now = tokio::time::Instant::now();
            let moved = self.moved();
            self.doubted = Some(now);
            self.ask_time().await?;
            if self.moved() != moved {
                // It is told, and set where that is wanted, without waiting for the next heartbeat.
                self.next_beat = now;
            }
        }
        Ok(self.skew.filter(fits).map_or(Clock::UNKNOWN, Skew::as_clock))
    }

    /// From when on what its log holds was written by the clock of now, if it was seen to move.
    pub(crate) fn moved(&self) -> Option<Timestamp> {
        self.watched().moved
    }

    /// Whether the clock of now can have written this, after it was moved.
    pub(crate) fn was_written_since(&self, moved: Timestamp, local: DateTime) -> bool {
        let now = Timestamp::now();
        let wrote = self.skew.and_then(|skew| skew.instant(local, now, self.zone));
        let second = SignedDuration::from_secs(1);
        wrote.is_some_and(|wrote| wrote >= moved && wrote.duration_since(now) <= second)
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
