//! One simulated terminal with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
    fake::FakeGateway,
};
use driver_zk::sim::{Model, Simulator};
use jiff::civil::DateTime;
use tokio::time::timeout;

/// The terminal's name in all tests.
pub(crate) const NAME: &str = "front-door";

pub(crate) struct Site {
    pub(crate) terminal: Simulator,
    pub(crate) running: Running,
    block: String,
}

struct One(String);

/// A live punch of 32 bytes.
pub(crate) fn event(person: &str, local: DateTime, verify: u8, state: u8) -> Vec<u8> {
    let mut raw = person.as_bytes().to_vec();
    raw.resize(24, 0);
    let (year, month, day) = (local.year() - 2000, local.month(), local.day());
    let time = [month, day, local.hour(), local.minute(), local.second()].map(i8::cast_unsigned);
    raw.extend([verify, state, u8::try_from(year).unwrap()]);
    raw.extend(time);
    raw
}

impl Site {
    /// A terminal of this model with a driver that has no other settings than quick time-outs.
    pub(crate) async fn start(model: Model) -> Self {
        Self::with(model, "", |_| {}).await
    }

    /// The same with more lines in its block, and a terminal that is prepared before the driver comes.
    pub(crate) async fn with(model: Model, block: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        Self::over("tcp", model, block, prepare).await
    }

    pub(crate) async fn over(scheme: &str, model: Model, block: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        let terminal = Simulator::start(model, 0).await.unwrap();
        prepare(&terminal);
        let timeout = if block.contains("timeout") { "" } else { "timeout = \"2s\"" };
        let block = format!("address = \"{scheme}://{}\"\n{timeout}\n{block}", terminal.address());
        Self { running: Running::start(&One(block.clone())), terminal, block }
    }

    /// The gateway is killed and started anew: what is on disk stays, and no condition is told.
    pub(crate) async fn restarted(self) -> Self {
        let gateway = self.running.kill().await;
        gateway.forget_reports();
        Self { running: Running::start_behind(gateway, &One(self.block.clone())), ..self }
    }

    pub(crate) fn gateway(&self) -> &FakeGateway {
        &self.running.gateway
    }

    pub(crate) fn punches(&self) -> Vec<Punch> {
        self.gateway().punches(NAME)
    }

    /// Persons in the order in which they were stored.
    pub(crate) fn people(&self) -> Vec<String> {
        self.punches().into_iter().map(|punch| punch.person).collect()
    }

    pub(crate) async fn until_stored(&self, count: usize) {
        self.running.until_stored(&format!("{count} punches are stored"), 0, count).await;
        assert_eq!(self.punches().len(), count, "more were stored than were punched");
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        self.gateway().until(what, PATIENCE, |_| wanted(self)).await;
    }

    pub(crate) async fn until_reported(&self, what: &str, wanted: impl Fn(&Report) -> bool) {
        self.until(what, |site| site.gateway().reports(NAME).iter().any(&wanted)).await;
    }

    /// Waits for a trouble; its cause.
    pub(crate) async fn until_troubled(&self, trouble: Trouble) -> String {
        self.until(&format!("{trouble:?} is told"), |site| site.trouble(trouble).is_some()).await;
        self.trouble(trouble).unwrap()
    }

    pub(crate) async fn until_relieved(&self, trouble: Trouble) {
        self.until(&format!("{trouble:?} is over"), |site| site.trouble(trouble).is_none()).await;
    }

    /// Waits until the driver is registered for live punches and its first comparison is done.
    pub(crate) async fn until_settled(&self) {
        self.until("the terminal is served", |site| {
            site.terminal.listeners() == 1 && site.count(&Report::Relief(Trouble::LogUnreadable)) > 0
        })
        .await;
    }

    /// Asks the driver for something.
    pub(crate) async fn ask(&self, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        let (job, answer) = Job::new(NAME, operation);
        self.running.send(0, job).await;
        timeout(PATIENCE, answer).await.expect("a job is answered in time").expect("a job is answered")
    }

    pub(crate) fn count(&self, report: &Report) -> usize {
        self.gateway().reports(NAME).iter().filter(|other| *other == report).count()
    }

    /// The cause of a trouble that is not relieved.
    pub(crate) fn trouble(&self, wanted: Trouble) -> Option<String> {
        self.gateway().reports(NAME).into_iter().fold(None, |now, report| match report {
            Report::Trouble { trouble, cause } if trouble == wanted => Some(cause),
            Report::Relief(trouble) if trouble == wanted => None,
            _ => now,
        })
    }

    pub(crate) fn commands(&self, command: u16) -> usize {
        self.terminal.journal().iter().filter(|other| **other == command).count()
    }
}

#[async_trait]
impl Bench for One {
    fn kind(&self) -> &'static Kind {
        &driver_zk::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        vec![(NAME.to_owned(), self.0.clone())]
    }

    async fn punch(&self, _: usize, _: &str) {}

    fn forgotten(&self, _: usize) -> usize {
        0
    }

    async fn cut(&self, _: usize) {}

    async fn repeat(&self, _: usize) {}

    async fn garbage(&self, _: usize, _: &[u8]) {}
}
