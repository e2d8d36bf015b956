//! What we want of a terminal beside its punches: jobs that somebody asked for, and comparisons of its log with ours.

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use driver_api::{Job, JobFailed, Operation, User};
use jiff::Timestamp;
use serde_json::json;
use tracing::debug;

use crate::{
    commands::{Command, Outcome, is_name, is_pin, meaning},
    comparing::Comparing,
    options,
    queue::{Entry, Purpose, Queue},
    settings::Dialect,
    terminal::{Inner, Terminal},
};

/// So long a terminal may take for its next poll while something waits for that.
const PATIENCE: Duration = Duration::from_secs(90);
/// Of a longer list of users nobody has heard.
const MOST_USERS: usize = 200_000;
const MOST_PACKETS: u64 = 10_000;

/// The errands of one terminal.
pub(crate) struct Errands {
    pub queue: Queue,
    pub comparing: Comparing,
    listing: Option<Listing>,
    /// Packets of answers that have come, by command.
    packets: HashSet<(u64, u64)>,
}

/// A list of users on its way.
struct Listing {
    users: BTreeSet<String>,
    /// The answer is complete but for what the terminal sends until its next poll.
    answered: Option<(Job, Instant)>,
}

impl Errands {
    pub(crate) fn new(serial: &str) -> Self {
        let (queue, comparing, packets) = (Queue::default(), Comparing::new(serial), HashSet::new());
        Self { queue, comparing, listing: None, packets }
    }
}

pub(crate) fn second(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0)
}

impl Terminal {
    /// Takes a job.
    pub(crate) fn job(&self, job: Job, now: Timestamp) {
        if !self.connected(Instant::now()) {
            return job.done(Err(JobFailed::NotConnected));
        }
        let dialect = self.dialect();
        let command = match (&job.operation, dialect) {
            (Operation::Reconcile { from, to }, _) => return self.compare(*from, *to, Some(job), now),
            (Operation::Info, _) => Command::Info,
            (Operation::Users, _) => Command::QueryUsers,
            // It reads zone and time with its options; a time of its own kind would be one more way to be wrong.
            (Operation::TimeSet, Dialect::Attendance) => Command::Check,
            (Operation::TimeSet, Dialect::Security) => Command::SetTime(jiff::tz::TimeZone::UTC.to_datetime(now)),
            (Operation::Restart, _) => Command::Reboot,
            (Operation::Unlock { door, seconds }, _) => match (*door, u8::try_from(*seconds)) {
                (0, _) => return job.done(Err(JobFailed::Refused("doors are counted from 1".into()))),
                (door, Ok(seconds @ 1..=254)) => Command::Unlock { door, seconds },
                _ => return job.done(Err(JobFailed::Refused("a door opens for 1 to 254 seconds".into()))),
            },
            (Operation::UserPut(User { id, .. }) | Operation::UserDelete { id }, _) if !is_pin(id) => {
                return job.done(Err(JobFailed::Refused("a number is 1 to 24 letters and digits".into())));
            }
            (Operation::UserPut(User { name: Some(name), .. }), _) if !is_name(name) => {
                return job.done(Err(JobFailed::Refused("a name is 1 to 40 bytes without control characters".into())));
            }
            (Operation::UserPut(user), _) => Command::PutUser(user.clone()),
            (Operation::UserDelete { id }, _) => Command::DeleteUser { id: id.clone() },
            _ => return job.done(Err(JobFailed::NotSupported)),
        };
        let mut inner = self.inner();
        if command == Command::QueryUsers {
            if inner.errands.listing.is_some() {
                return job.done(Err(JobFailed::Refused("its users are being read already".into())));
            }
            inner.errands.listing = Some(Listing { users: BTreeSet::new(), answered: None });
        }
        if let Err(Purpose::Job(job)) =
            inner.errands.queue.push(command, Purpose::Job(job), dialect, second(now), Instant::now())
        {
            inner.errands.listing = None;
            job.done(Err(JobFailed::NotSupported));
        }
    }

    /// The answer to a poll: commands, or nothing.
    pub(crate) fn poll(&self, commands: bool, now: Timestamp) -> String {
        let dialect = self.dialect();
        let mut inner = self.inner();
        if let Some(comparison) = &mut inner.errands.comparing.comparison {
            comparison.polled();
            self.step(&mut inner, dialect, now);
        }
        finish_listing(&mut inner.errands.listing, |_| true);
        if commands { inner.errands.queue.offer(Instant::now()) } else { String::new() }
    }

    /// A result of a command.
    pub(crate) fn outcome(&self, outcome: &Outcome<'_>, now: Timestamp) {
        let dialect = self.dialect();
        let about = options::about(outcome.more, self.encoding());
        if about != options::About::default() {
            self.about(&about);
        }
        let mut inner = self.inner();
        match inner.errands.queue.settle(outcome.id) {
            Some(entry) => self.settled(&mut inner, entry, Ok((outcome, about)), dialect, now),
            // Told again, since our answer got lost; or another terminal's number.
            None => debug!(id = outcome.id, "result of a command that does not wait"),
        }
    }

    fn settled(
        &self,
        inner: &mut Inner,
        entry: Entry,
        result: Result<(&Outcome<'_>, options::About), JobFailed>,
        dialect: Dialect,
        now: Timestamp,
    ) {
        let code = result.as_ref().ok().map(|(outcome, _)| outcome.code);
        inner.errands.packets.retain(|(id, _)| *id != entry.id);
        match entry.purpose {
            Purpose::Upkeep => debug!(?code, "upkeep done"),
            Purpose::Comparison if matches!(result, Err(JobFailed::NotConnected)) => self.not_fetched(inner),
            Purpose::Comparison => {
                let sum = result.ok().and_then(|(outcome, _)| outcome.sum);
                let next = inner.errands.comparing.comparison.as_mut();
                let next = next.and_then(|comparison| comparison.answered(&entry.command, code, sum));
                if let Some(next) = next {
                    self.ask(inner, next, dialect, now);
                }
            }
            Purpose::Job(job) => {
                let listing = entry.command == Command::QueryUsers;
                match result {
                    Ok((outcome, _)) if outcome.code >= 0 && listing => {
                        if let Some(listing) = &mut inner.errands.listing {
                            listing.answered = Some((job, Instant::now()));
                        }
                    }
                    Ok((outcome, about)) => {
                        inner.errands.listing.take_if(|_| listing);
                        let code = outcome.code;
                        job.done(if code < 0 {
                            Err(JobFailed::Refused(format!("{code}: {}", meaning(code))))
                        } else {
                            Ok(about.to_json())
                        });
                    }
                    Err(failed) => {
                        inner.errands.listing.take_if(|_| listing);
                        job.done(Err(failed));
                    }
                }
            }
        }
    }

    /// Numbers of users came; they are wanted only while somebody asked for them.
    pub(crate) fn users<'a>(&self, pins: impl Iterator<Item = &'a [u8]>) {
        let fallback = self.encoding();
        if let Some(listing) = &mut self.inner().errands.listing {
            for pin in pins {
                if listing.users.len() < MOST_USERS {
                    listing.users.insert(crate::name::decode(pin, fallback));
                }
            }
        }
    }

    /// A packet of an answer came. The last one is the command's result.
    pub(crate) fn packet(&self, answer: &Packet<'_>, now: Timestamp) {
        let id = {
            let mut inner = self.inner();
            let told = answer.id.filter(|id| inner.errands.queue.get(*id).is_some());
            let Some(id) = told.or_else(|| inner.errands.queue.answered_by(answer.table)) else { return };
            let count = answer.count.clamp(1, MOST_PACKETS);
            inner.errands.packets.insert((id, answer.index.min(MOST_PACKETS)));
            if (inner.errands.packets.iter().filter(|(of, _)| *of == id).count() as u64) < count {
                return;
            }
            id
        };
        self.outcome(&Outcome { id, code: 0, sum: None, more: answer.options }, now);
    }

    /// What is to be done because time went by.
    pub(crate) fn tick(&self, instant: Instant, now: Timestamp) {
        let dialect = self.dialect();
        self.miss(instant);
        {
            let mut inner = self.inner();
            let away = inner.presence.is_away();
            for entry in inner.errands.queue.expire(instant, away) {
                let failed = if entry.fetched() {
                    JobFailed::NoAnswer("it fetched the command and told no result".into())
                } else {
                    JobFailed::NotConnected
                };
                self.settled(&mut inner, entry, Err(failed), dialect, now);
            }
            let silent = inner.presence.silent_for(PATIENCE, instant);
            if let Some(comparison) = &mut inner.errands.comparing.comparison {
                if silent {
                    comparison.polled(); // no poll will tell that it has said everything
                }
                self.step(&mut inner, dialect, now);
            }
            finish_listing(&mut inner.errands.listing, |since| instant.duration_since(since) > PATIENCE);
            // Clocks were put forward or back: it learns its new offset with its options.
            let offset = self.settings.zone.to_offset(now);
            if dialect == Dialect::Attendance && inner.offset.is_some_and(|told| told != offset) {
                let queued = inner.errands.queue.push(Command::Check, Purpose::Upkeep, dialect, second(now), instant);
                if queued.is_ok() {
                    inner.offset = Some(offset);
                }
            }
        }
        self.look_at_obstacles(instant);
        self.compare_when_due(dialect, instant, now);
    }
}

/// One packet of an answer at `querydata`.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    /// The command, where it is told.
    pub id: Option<u64>,
    pub table: &'a str,
    pub count: u64,
    pub index: u64,
    /// The body, where it holds options.
    pub options: &'a [u8],
}

fn finish_listing(listing: &mut Option<Listing>, ripe: impl Fn(Instant) -> bool) {
    let complete =
        listing.as_ref().and_then(|listing| listing.answered.as_ref()).is_some_and(|(_, since)| ripe(*since));
    if complete && let Some(Listing { users, answered: Some((job, _)) }) = listing.take() {
        job.done(Ok(json!({ "users": users })));
    }
}
