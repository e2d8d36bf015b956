//! A line at work: whoever is due is visited, whoever speaks is heard, whoever wants something is answered.

use std::time::Duration;

use driver_api::{DriverError, Job, JobFailed, Link};
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::debug;

use crate::{
    terminal::{Failed, Serving},
    wire::{NoAnswer, Wire},
};

/// Our disk is asked again after this, where the terminal must not be sent away.
const DISK: Duration = Duration::from_millis(500);

/// Where jobs come from.
pub(crate) enum Jobs<'a> {
    /// The line is ours alone.
    Line(&'a Link),
    /// A connection among others of the same line.
    Own(mpsc::Receiver<Job>),
}

impl Jobs<'_> {
    async fn next(&mut self) -> Job {
        match self {
            Self::Line(link) => link.next_job().await,
            Self::Own(jobs) => match jobs.recv().await {
                Some(job) => job,
                None => std::future::pending().await,
            },
        }
    }
}

enum Work {
    Visit(usize),
    Heard,
    Job(Job),
}

/// Serves until something goes wrong that concerns the whole line; a terminal alone on its line is the line.
pub(crate) async fn serve(wire: &mut Wire, terminals: &mut [Serving<'_>], mut jobs: Jobs<'_>) -> DriverError {
    loop {
        let next = terminals.iter().enumerate().min_by_key(|(_, terminal)| terminal.due);
        let Some((next, due)) = next.map(|(at, terminal)| (at, terminal.due)) else {
            return wire.garbled("nobody is on this line");
        };
        let work = select! {
            heard = wire.listen() => match heard {
                Ok(()) => Work::Heard,
                Err(error) => return wire.error(NoAnswer::Gone(error)),
            },
            () = sleep_until(due) => Work::Visit(next),
            job = jobs.next() => Work::Job(job),
        };
        let (who, done) = match work {
            Work::Heard => match wire.note().await {
                Ok(()) => (next, Ok(())),
                Err(error) => return wire.error(NoAnswer::Gone(error)),
            },
            Work::Visit(at) => (at, terminals[at].visit(wire).await),
            Work::Job(job) => match terminals.iter().position(|it| it.terminal.name() == job.terminal) {
                Some(at) => (at, terminals[at].job(job, wire).await),
                None => {
                    job.done(Err(JobFailed::NotConnected));
                    continue;
                }
            },
        };
        if let Err(failed) = done
            && let Some(error) = outcome(failed, wire, &jobs, terminals, who)
        {
            return error;
        }
        hints(wire, terminals);
    }
}

/// What a failed visit means for the line.
fn outcome(
    failed: Failed,
    wire: &Wire,
    jobs: &Jobs<'_>,
    terminals: &mut [Serving<'_>],
    who: usize,
) -> Option<DriverError> {
    let alone = terminals.len() == 1;
    let error = match failed {
        Failed::NoAnswer(NoAnswer::Gone(error)) => return Some(wire.error(NoAnswer::Gone(error))),
        Failed::NoAnswer(failed) => wire.error(failed),
        Failed::Driver(DriverError::NotStored(error)) if matches!(jobs, Jobs::Own(_)) => {
            debug!(%error, "not stored, and tried again");
            terminals[who].due = Instant::now() + DISK;
            return None;
        }
        Failed::Driver(error @ DriverError::NotStored(_)) => return Some(error),
        Failed::Driver(error) => error,
    };
    if alone {
        return Some(error);
    }
    terminals[who].fail(chain(&error));
    None
}

/// What terminals told of by themselves goes to each of them. On a line of one terminal nobody else can have spoken.
fn hints(wire: &mut Wire, terminals: &mut [Serving<'_>]) {
    while let Some((unit, raw)) = wire.live.pop_front() {
        let alone = terminals.len() == 1;
        match terminals.iter_mut().find(|terminal| terminal.unit == unit || (alone && terminal.unit == 0)) {
            Some(terminal) => terminal.hint(raw),
            None => debug!(unit, "live record of a unit that is not in the config"),
        }
    }
}

/// An error with all its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
