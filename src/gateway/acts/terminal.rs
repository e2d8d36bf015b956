//! Acts at a terminal that take more than one question to its driver.

use std::time::Duration;

use driver_api::{Operation, TRACE};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::Hands;
use crate::{
    command::{Order, args, results},
    remote::{self, Failed, Progress},
};

/// Whoever waits for a trace hears of it so often.
const WORD: Duration = Duration::from_secs(60);
/// What was read just now may take so long to the broker.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);

impl Hands {
    pub(super) async fn trace(&self, order: &Order, progress: &Progress) -> Result<Value, Failed> {
        let args::Trace { seconds } = remote::args(order)?;
        let terminal = order.terminal.as_deref().unwrap_or_default();
        if !self.supervisor.lock().await.offers(terminal, TRACE) {
            return Err(Failed::Plainly("this driver cannot do that".into()));
        }
        let tracing = self.traces.begin(terminal);
        let tracing = tracing.ok_or_else(|| Failed::Plainly("somebody traces this terminal already".into()))?;
        let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(60).into());
        while Instant::now() < end {
            progress.tell(format!("{} s to go", (end - Instant::now()).as_secs()));
            sleep_until(end.min(Instant::now() + WORD)).await;
        }
        let kept = tracing.end();
        let frame = |it: driver_api::Frame| results::Frame { at: it.at, way: it.way, bytes: it.bytes, what: it.what };
        let frames = kept.frames.into_iter().map(frame).collect();
        Ok(json!(results::Trace { frames, left_out: kept.left_out }))
    }

    /// Everything that the terminal holds is read, and waits for its delivery; then the driver is told how many punches that
    /// were, and clears only if that is still so.
    pub(super) async fn clear_log(&self, terminal: &str, progress: &Progress) -> Result<Value, Failed> {
        if !self.supervisor.lock().await.offers(terminal, "clear-log") {
            return Err(Failed::Plainly("this driver cannot do that".into()));
        }
        progress.tell("the terminal's log is compared with the ledger");
        self.drive(terminal, Operation::Reconcile { from: None, to: None }).await?;
        let late = Instant::now() + DELIVERED_WITHIN;
        let punches = loop {
            match self.delivered(terminal) {
                Ok(punches) => break punches,
                Err(waiting) if Instant::now() >= late => {
                    return Err(Failed::Plainly(format!("{waiting} punches of this terminal are not delivered")));
                }
                Err(waiting) => progress.tell(format!("{waiting} punches of this terminal are not delivered yet")),
            }
            sleep(Duration::from_secs(1)).await;
        };
        progress.tell("people are kept off, and the log is read once more");
        self.drive(terminal, Operation::ClearLog { punches }).await
    }

    /// How many punches the ledger of the terminal as it is now holds, if each of them was delivered; else how many were not.
    fn delivered(&self, terminal: &str) -> Result<u64, u64> {
        let ledgers = self.sources.spool.status().ledgers;
        let mine = || ledgers.iter().filter(|status| status.ledger.terminal == terminal);
        let waiting = mine().map(|status| {
            // Somebody else to whom punches go must have them too.
            let through = status.confirmed_through.iter().map(|(_, through)| *through).min().unwrap_or(0);
            (status.next - 1).saturating_sub(through)
        });
        match waiting.sum() {
            0 => {
                let serial = self.sources.health.terminals().get(terminal).and_then(|it| it.serial.clone());
                let serial = serial.unwrap_or_default();
                Ok(self.sources.spool.holdings(terminal, &serial).punches)
            }
            waiting => Err(waiting),
        }
    }
}
