//! Emptying a terminal's log, when somebody who may has ordered it, and nothing in it is ours alone.
//!
//! There is no command that clears what was read; there is one that clears everything, also what was punched a moment ago. So
//! people are kept off, the whole log is read once more, all of it must be in the ledger, the ledger must hold what it held
//! when its last punch was delivered, none may be of a clock that was never set, and the count must not have moved; then it
//! is cleared, and counted again.

use driver_api::JobFailed;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{
    command::{ask, reply},
    jobs::{Failed, refused},
    reconcile::Wanted,
    serve::Serving,
};

/// For so many seconds at most nobody can punch; then the terminal lets people in by itself.
const CLOSED: u32 = 300;

fn no(why: impl Into<String>) -> Failed {
    Failed::Job(JobFailed::Refused(why.into()))
}

impl Serving<'_> {
    /// `punches` are in the ledger, and all of them were delivered.
    pub(crate) async fn clear_log(&mut self, punches: u64) -> Result<Value, Failed> {
        let closed = self.session.request(ask::DISABLE, &CLOSED.to_le_bytes()).await?;
        if closed.command != reply::OK {
            return Err(refused(closed.command));
        }
        let cleared = self.clear_closed(punches).await;
        // Whatever came of it. Where this fails the session ends: the next one begins with it, and the time is bounded.
        if !matches!(cleared, Err(Failed::Session(_))) {
            let opened = self.session.request(ask::ENABLE, &[]).await?;
            if opened.command != reply::OK {
                warn!(code = opened.command, "the terminal was not let serve people again; it will do so by itself");
            }
        }
        cleared
    }

    async fn clear_closed(&mut self, punches: u64) -> Result<Value, Failed> {
        let found = self.reconcile(Wanted::Between(None, None)).await?;
        self.book_events(true).await?;
        if found.new > 0 {
            let new = found.new;
            return Err(no(format!(
                "{new} punches were in its log alone; now they are here: wait until they are delivered"
            )));
        }
        if found.unread > 0 {
            let unread = found.unread;
            return Err(no(format!("{unread} records of its log make no punch, and nobody was sent them")));
        }
        if found.undated > 0 {
            let undated = found.undated;
            return Err(no(format!(
                "{undated} records of its log were made while its clock was not set: such times come again whenever it forgets \
                 its clock, and then two punches look like one; compare them, and clear the log at the terminal"
            )));
        }
        let held = self.store.holdings().await.punches;
        if held != punches {
            return Err(no(format!(
                "the ledger holds {held} punches by now, and {punches} were delivered: order it again"
            )));
        }
        self.ask_sizes().await?;
        match self.sizes.records.map(u64::from) {
            Some(told) if told == found.records => {}
            Some(told) => {
                let read = found.records;
                return Err(no(format!("it says that it holds {told} records, and {read} were read: order it again")));
            }
            None => return Err(no("it does not say how many records it holds, so that nothing can be checked")),
        }
        let answer = self.session.request_once(ask::CLEAR_LOG, &[]).await?;
        if answer.command != reply::OK {
            return Err(refused(answer.command));
        }
        // What the next comparison finds gone, we have taken ourselves.
        self.forget_log().await;
        self.ask_sizes().await?;
        info!(records = found.records, left = self.sizes.records, "log cleared, as it was ordered");
        match self.sizes.records {
            Some(0) => Ok(json!({ "cleared": found.records, "left": 0 })),
            // Punched since, or it says one thing and does another: the next comparison reads it.
            left => Ok(json!({ "cleared": found.records, "left": left })),
        }
    }
}
