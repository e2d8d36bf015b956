//! What an operator may ask of a terminal.

use driver_api::{DriverError, Job, JobFailed, Operation};
use serde_json::{Value, json};

use crate::{
    command::{ask, meaning, reply},
    download::ReadFailed,
    reconcile::Wanted,
    serve::Serving,
    timekeeping::SetFailed,
};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &[
    "reconcile",
    "info",
    "users",
    "time-set",
    "restart",
    "unlock",
    "message",
    "user-put",
    "user-delete",
    "clear-log",
    driver_api::TRACE,
];

/// The longest text for a screen, in bytes: black-and-white models have lines of 16 to 32 letters.
const TEXT: usize = 32;

/// A job's failure; some end the session too.
pub(crate) enum Failed {
    Job(JobFailed),
    Session(DriverError),
}

impl From<DriverError> for Failed {
    fn from(error: DriverError) -> Self {
        Self::Session(error)
    }
}

impl From<ReadFailed> for Failed {
    fn from(failed: ReadFailed) -> Self {
        match failed {
            ReadFailed::Lost(error) => Self::Session(error),
            other => Self::Job(JobFailed::Refused(other.to_string())),
        }
    }
}

impl Serving<'_> {
    /// Does a job and answers it.
    pub(crate) async fn job(&mut self, job: Job) -> Result<(), DriverError> {
        let restarts = job.operation == Operation::Restart;
        match self.operation(&job.operation).await {
            Ok(outcome) => job.done(Ok(outcome)),
            Err(Failed::Job(failed)) => {
                job.done(Err(failed));
                return Ok(());
            }
            Err(Failed::Session(error)) => {
                job.done(Err(JobFailed::NoAnswer(error.to_string())));
                return Err(error);
            }
        }
        if restarts { Err(self.session.busy("it restarts, as it was told to")) } else { Ok(()) }
    }

    async fn operation(&mut self, operation: &Operation) -> Result<Value, Failed> {
        match operation {
            Operation::Reconcile { from, to } => match self.reconcile(Wanted::Between(*from, *to)).await {
                Ok(outcome) => {
                    self.took_note().await;
                    Ok(serde_json::to_value(outcome).expect("a few numbers are JSON"))
                }
                Err(failed) => {
                    self.read_failed(&failed);
                    Err(failed.into())
                }
            },
            Operation::Info => Ok(self.info()),
            Operation::Users => {
                let mut users: Vec<String> = self.users().await?.into_iter().map(|user| user.id).collect();
                users.sort();
                Ok(json!({ "count": users.len(), "users": users }))
            }
            Operation::TimeSet => match self.set_clock().await {
                Ok(()) => Ok(json!({ "skew_ms": self.skew.map(|skew| skew.middle_ms()) })),
                Err(SetFailed::Lost(error)) => Err(error.into()),
                Err(why) => Err(Failed::Job(JobFailed::Refused(why.to_string()))),
            },
            // Some models answer, some just go.
            Operation::Restart => match self.session.request_once(ask::RESTART, &[]).await {
                Ok(answer) if answer.command != reply::OK => Err(refused(answer.command)),
                Ok(_) | Err(DriverError::Unreachable { .. }) => Ok(json!({ "restarting": true })),
                Err(error) => Err(error.into()),
            },
            Operation::Unlock { door, seconds } => {
                if *door > 1 {
                    return Err(Failed::Job(JobFailed::Refused("it has one door, number 1".into())));
                }
                let tenths = u32::from(*seconds) * 10;
                let answer = self.session.request_once(ask::UNLOCK, &tenths.to_le_bytes()).await?;
                if answer.command == reply::OK {
                    Ok(json!({ "seconds": seconds }))
                } else {
                    Err(refused(answer.command))
                }
            }
            Operation::Message { text } => {
                if text.len() > TEXT || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                    let why = format!("its screen takes up to {TEXT} letters of ASCII");
                    return Err(Failed::Job(JobFailed::Refused(why)));
                }
                // Line 0, then a byte and a space that every client sends.
                let data = [&[0, 0, 0, b' '], text.as_bytes()].concat();
                let answer = self.session.request_once(ask::WRITE_SCREEN, &data).await?;
                if answer.command == reply::OK { Ok(json!({})) } else { Err(refused(answer.command)) }
            }
            Operation::UserPut(user) => self.put_user(user).await,
            Operation::UserDelete { id } => self.delete_user(id).await,
            Operation::ClearLog { punches } => self.clear_log(*punches).await,
            _ => Err(Failed::Job(JobFailed::NotSupported)),
        }
    }

    fn info(&self) -> Value {
        let clock = self.skew.map(|skew| json!({ "skew_ms": skew.middle_ms(), "err_ms": skew.error_ms() }));
        json!({
            "serial": self.store.serial(),
            "model": self.identity.model,
            "firmware": self.identity.firmware,
            "platform": self.identity.platform,
            "records": self.sizes.records,
            "capacity": self.sizes.capacity,
            "users": self.sizes.users,
            "clock": clock,
            "live": self.live,
            "record_bytes": self.form.map(|form| form.size()),
        })
    }
}

pub(crate) fn refused(code: u16) -> Failed {
    Failed::Job(JobFailed::Refused(meaning(code)))
}
