//! What an operator may ask of a board.

use std::collections::BTreeSet;

use driver_api::{DriverError, Job, JobFailed, Operation};
use serde_json::{Value, json};

use crate::{serve::Serving, timekeeping::SetFailed};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &["reconcile", "info", "users", "time-set", "unlock"];
/// Cards that are told at most, and places that are looked at beyond their number: those of deleted ones stay empty. Punches
/// wait meanwhile.
const MOST_CARDS: usize = 1000;
const MOST_HOLES: u32 = 1000;

/// A job's failure; some end the session too.
enum Failed {
    Job(JobFailed),
    Session(DriverError),
}

impl From<DriverError> for Failed {
    fn from(error: DriverError) -> Self {
        Self::Session(error)
    }
}

impl Serving<'_> {
    /// Does a job and answers it.
    pub(crate) async fn job(&mut self, job: Job) -> Result<(), DriverError> {
        match self.operation(&job.operation).await {
            Ok(outcome) => job.done(Ok(outcome)),
            Err(Failed::Job(failed)) => job.done(Err(failed)),
            Err(Failed::Session(error)) => {
                job.done(Err(JobFailed::NoAnswer(error.to_string())));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn operation(&mut self, operation: &Operation) -> Result<Value, Failed> {
        match operation {
            Operation::Reconcile { from, to } => {
                let outcome = self.reread(*from, *to).await?;
                Ok(serde_json::to_value(outcome).expect("a few numbers are JSON"))
            }
            Operation::Info => Ok(self.info().await?),
            Operation::Users => Ok(self.users().await?),
            Operation::TimeSet => match self.set_clock().await {
                Ok(()) => Ok(json!({ "skew_ms": self.skew.map(|skew| skew.middle_ms()) })),
                Err(SetFailed::Lost(error)) => Err(error.into()),
                Err(why) => Err(Failed::Job(JobFailed::Refused(why.to_string()))),
            },
            Operation::Unlock { door, .. } => {
                if !(1..=4).contains(door) {
                    return Err(Failed::Job(JobFailed::Refused("its doors are numbered from 1 to 4".into())));
                }
                // How long it stays open is set at the board, and told here.
                let seconds = self.board.door_delay(*door).await?;
                if self.board.open_door(*door).await? {
                    Ok(json!({ "door": door, "seconds": seconds }))
                } else {
                    Err(Failed::Job(JobFailed::Refused("the board did not open it".into())))
                }
            }
            _ => Err(Failed::Job(JobFailed::NotSupported)),
        }
    }

    /// Numbers of cards; nothing else of them is asked for.
    async fn users(&mut self) -> Result<Value, DriverError> {
        let count = self.board.cards().await?;
        let wanted = MOST_CARDS.min(count as usize);
        let mut users = BTreeSet::new();
        for place in 1..=count.min(MOST_CARDS as u32).saturating_add(MOST_HOLES) {
            if users.len() == wanted {
                break;
            }
            users.extend(self.board.card(place).await?);
        }
        let users: Vec<String> = users.iter().map(u32::to_string).collect();
        Ok(json!({ "count": count, "users": users }))
    }

    async fn info(&mut self) -> Result<Value, DriverError> {
        let status = self.status().await?;
        let clock = self.skew.map(|skew| json!({ "skew_ms": skew.middle_ms(), "err_ms": skew.error_ms() }));
        Ok(json!({
            "serial": self.store.serial(),
            "model": self.controller.model(),
            "firmware": self.controller.version,
            "mac": self.controller.mac,
            "oldest_event": self.board.oldest().await?,
            "newest_event": status.newest,
            "our_mark": self.cursor.index,
            "its_index": self.board.index().await?,
            "listener": self.board.listener().await?.to_string(),
            "doors_open": status.open,
            "error": status.error,
            "clock": clock,
        }))
    }
}
