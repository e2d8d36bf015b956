//! What an operator may ask of a terminal.

use std::collections::BTreeSet;

use driver_api::{DriverError, Job, JobFailed, Operation};
use serde_json::{Value, json};

use crate::{
    command::{ask, meaning, page},
    frame::Frame,
    record::users as users_of,
    terminal::{Failed as Lost, Serving},
    timekeeping::SetFailed,
    wire::{NoAnswer, Wire},
};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &["reconcile", "info", "users", "time-set", "unlock"];
/// Users that are told at most. Old models pause their keypad meanwhile.
const MOST_USERS: usize = 1000;

/// A job's failure; some end the visit too.
enum Failed {
    Job(JobFailed),
    Lost(Lost),
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<NoAnswer> for Failed {
    fn from(lost: NoAnswer) -> Self {
        Self::Lost(lost.into())
    }
}

impl From<DriverError> for Failed {
    fn from(lost: DriverError) -> Self {
        Self::Lost(lost.into())
    }
}

impl Serving<'_> {
    /// Does a job and answers it.
    pub(crate) async fn job(&mut self, job: Job, wire: &mut Wire) -> Result<(), Lost> {
        wire.patience = self.settings.timeout;
        match self.operation(&job.operation, wire).await {
            Ok(outcome) => job.done(Ok(outcome)),
            Err(Failed::Job(failed)) => job.done(Err(failed)),
            Err(Failed::Lost(lost)) => {
                job.done(Err(JobFailed::NoAnswer(lost.to_string())));
                return Err(lost);
            }
        }
        Ok(())
    }

    async fn operation(&mut self, operation: &Operation, wire: &mut Wire) -> Result<Value, Failed> {
        if self.known.is_none() {
            self.visit(wire).await?;
        } else {
            // What is ordered is meant for this terminal, and not for whoever sits in its place.
            self.confirm_identity(wire).await?;
        }
        match operation {
            Operation::Reconcile { from, to } => match self.read_whole(wire, *from, *to).await? {
                Some(outcome) => {
                    self.took_note();
                    Ok(serde_json::to_value(outcome).expect("a few numbers are JSON"))
                }
                None => {
                    let why = "its log could not be read as a whole: another program may turn its pages";
                    Err(Failed::Job(JobFailed::Refused(why.into())))
                }
            },
            Operation::Info => {
                self.count(wire).await?;
                self.measure_clock(wire).await?;
                Ok(self.info())
            }
            Operation::Users => self.users(wire).await,
            Operation::TimeSet => {
                self.measure_clock(wire).await?;
                match self.set_clock(wire).await {
                    Ok(()) => Ok(json!({ "skew_ms": self.skew.map(|skew| skew.middle_ms()) })),
                    Err(SetFailed::Lost(lost)) => Err(lost.into()),
                    Err(why) => Err(Failed::Job(JobFailed::Refused(why.to_string()))),
                }
            }
            Operation::Unlock { door, .. } => {
                if *door > 1 {
                    return Err(Failed::Job(JobFailed::Refused("it has one door, number 1".into())));
                }
                // Asked once, and open for as long as is set at the terminal.
                let answer = wire.ask(&Frame::question(self.unit, ask::OPEN, []), 1, |_| true).await?;
                match answer.result {
                    0 => Ok(json!({ "door": 1 })),
                    other => Err(Failed::Job(JobFailed::Refused(meaning(other)))),
                }
            }
            _ => Err(Failed::Job(JobFailed::NotSupported)),
        }
    }

    /// Numbers of users; names and all else are dropped as they come.
    async fn users(&mut self, wire: &mut Wire) -> Result<Value, Failed> {
        self.count(wire).await?;
        let count = self.counters.users;
        let (mut users, mut which) = (BTreeSet::new(), page::FIRST_OF_ALL);
        while users.len() < MOST_USERS {
            // Once: a page that was asked for twice would be the next one.
            let question = Frame::question(self.unit, ask::USERS, [which, page::MOST_USERS]);
            let answer = wire.ask(&question, 1, |_| true).await?;
            if answer.result != 0 {
                return Err(Failed::Job(JobFailed::Refused(meaning(answer.result))));
            }
            let found = users_of(&answer.data).map_err(|why| Failed::Job(JobFailed::Refused(why.to_string())))?;
            let before = users.len();
            users.extend(&found);
            // The last page, or one that brought nothing new: somebody turns the pages too.
            if found.len() < page::MOST_USERS.into() || users.len() == before {
                break;
            }
            which = page::NEXT;
        }
        let users: Vec<String> = users.iter().take(MOST_USERS).map(u64::to_string).collect();
        Ok(json!({ "count": count, "users": users }))
    }

    fn info(&self) -> Value {
        let clock = self.skew.map(|skew| json!({ "skew_ms": skew.middle_ms(), "err_ms": skew.error_ms() }));
        let known = self.known.as_ref();
        json!({
            "serial": known.map(|known| known.store.serial()),
            "model": known.map(|known| &known.model),
            "firmware": known.map(|known| &known.firmware),
            "unit": self.unit,
            "users": self.counters.users,
            "records": self.counters.records,
            "new_records": self.counters.new,
            "clock": clock,
        })
    }
}
