//! Serving a line: each terminal in its turn, jobs in between, the line opened again whenever it is gone.

use std::{convert::Infallible, time::Duration};

use driver_api::{DriverError, Job, JobFailed, Link, Operation};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use crate::{
    bus::{Bus, Failed},
    unit::{LookFailed, Unit},
    value::time_words,
};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &["info", "time-set", "unlock"];
/// The longest that a door is held open: the line waits for nobody meanwhile, but somebody must close it.
const LONGEST_OPEN: u16 = 60;

pub(crate) struct Serving {
    pub(crate) bus: Bus,
    pub(crate) units: Vec<Unit>,
    /// Doors to be closed, when, and by which write.
    closing: Vec<(Instant, usize, crate::map::Target, u16)>,
}

impl Serving {
    pub(crate) fn new(bus: Bus, units: Vec<Unit>) -> Self {
        Self { bus, units, closing: Vec::new() }
    }

    /// Serves until it is dropped; leaving is the caller's business, at any moment.
    pub(crate) async fn run(&mut self, link: &Link) -> Infallible {
        loop {
            if !self.bus.is_open() {
                self.open(link).await;
            }
            let door = self.closing.iter().map(|(at, ..)| *at).min();
            let Some((index, due)) =
                self.units.iter().enumerate().map(|(index, unit)| (index, unit.due)).min_by_key(|(_, due)| *due)
            else {
                return std::future::pending().await; // a line without terminals is not planned
            };
            // Waiting for longer than this would only make a door wait.
            let wake = door.map_or(due, |door| door.min(due));
            tokio::select! {
                biased;
                job = link.next_job() => self.job(job).await,
                () = sleep_until(wake), if wake > Instant::now() => {}
                () = std::future::ready(()), if wake <= Instant::now() => {
                    if door.is_some_and(|door| door <= Instant::now()) {
                        self.close_doors().await;
                    } else {
                        self.look(index).await;
                    }
                }
            }
        }
    }

    async fn look(&mut self, index: usize) {
        let was_online = self.units[index].online;
        let looked = self.units[index].look(&mut self.bus).await;
        match looked {
            Ok(()) => {
                if !was_online {
                    // Whatever silenced this one may have silenced its neighbours too.
                    for unit in self.units.iter_mut().filter(|unit| !unit.online) {
                        unit.due = Instant::now();
                    }
                }
            }
            Err(why) => {
                let others = self.units.iter().enumerate().any(|(other, unit)| other != index && unit.online);
                self.units[index].failed(&why, others);
            }
        }
    }

    /// Opens the line, however long it takes. Who asks for something meanwhile is told that nobody is there.
    async fn open(&mut self, link: &Link) {
        let limit = self.units.iter().map(|unit| unit.limit).max().unwrap_or_default();
        let stream = {
            let units = &mut self.units;
            let opening = self.bus.port.open_at_last(limit.max(Duration::from_secs(1)), |error| {
                let why = words(error);
                for unit in units.iter_mut() {
                    unit.offline(why.clone());
                }
            });
            tokio::pin!(opening);
            loop {
                tokio::select! {
                    stream = &mut opening => break stream,
                    job = link.next_job() => job.done(Err(JobFailed::NotConnected)),
                }
            }
        };
        self.bus.begin(stream).await;
        if self.units.iter().all(|unit| !unit.online) {
            info!(address = %self.bus.port.address(), "line open");
        }
    }

    async fn job(&mut self, job: Job) {
        let Some(index) = self.units.iter().position(|unit| unit.terminal.name() == job.terminal) else {
            return job.done(Err(JobFailed::NotConnected));
        };
        let outcome = self.operation(index, &job.operation).await;
        job.done(outcome);
    }

    async fn operation(&mut self, index: usize, operation: &Operation) -> Result<Value, JobFailed> {
        let unit = &self.units[index];
        let (number, limit) = (unit.number, unit.limit);
        match operation {
            Operation::Info => Ok(unit.info()),
            Operation::Unlock { door, seconds } => {
                let doors = unit.map.actions.unlock.len();
                let action = usize::from(*door).checked_sub(1).and_then(|door| unit.map.actions.unlock.get(door));
                let Some(action) = action.copied() else {
                    return Err(JobFailed::Refused(format!("its map names {doors} doors, from number 1")));
                };
                if *seconds > LONGEST_OPEN {
                    return Err(JobFailed::Refused(format!("a door is opened for {LONGEST_OPEN} seconds at most")));
                }
                self.bus.write(number, limit, action.target, &[action.open]).await.map_err(failed)?;
                if let Some(close) = action.close {
                    let at = Instant::now() + Duration::from_secs((*seconds).max(1).into());
                    self.closing.push((at, index, action.target, close));
                }
                Ok(json!({ "door": door, "seconds": action.close.map(|_| seconds) }))
            }
            Operation::TimeSet => {
                let Some((target, form, order, utc)) = unit.map.actions.time_set else {
                    return Err(JobFailed::NotSupported);
                };
                let at = unit.wall_time(utc);
                let words = time_words(form, order, at).map_err(JobFailed::Refused)?;
                self.bus.write(number, limit, target, &words).await.map_err(failed)?;
                Ok(json!({ "set": at }))
            }
            _ => Err(JobFailed::NotSupported),
        }
    }

    /// Closes what is due. A door that was not closed is tried again until it is.
    async fn close_doors(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.closing.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, index, target, value) in due {
            let (number, limit) = (self.units[index].number, self.units[index].limit);
            if let Err(why) = self.bus.write(number, limit, target, &[value]).await {
                self.units[index].failed(&LookFailed::Bus(why), true);
                self.closing.push((Instant::now() + Duration::from_secs(1), index, target, value));
                if !self.bus.is_open() {
                    sleep(Duration::from_millis(10)).await;
                    return;
                }
            }
        }
    }
}

fn failed(why: Failed) -> JobFailed {
    match why {
        Failed::Exception(_) => JobFailed::Refused(why.to_string()),
        other => JobFailed::NoAnswer(other.to_string()),
    }
}

fn words(error: &DriverError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
