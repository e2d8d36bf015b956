//! One simulated terminal with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use driver_anviz::sim::{Model, Simulator};
use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
    fake::FakeGateway,
};
use tokio::time::timeout;

/// The first terminal's name in all tests.
pub(crate) const NAME: &str = "t0";

pub(crate) struct Site {
    pub(crate) terminal: Simulator,
    pub(crate) running: Running,
}

/// Settings and blocks, as TOML.
pub(crate) struct Config(pub(crate) String, pub(crate) Vec<String>);

/// Quick time-outs, where a block does not say otherwise.
pub(crate) fn quick(block: String) -> String {
    let defaults = [("timeout", "timeout = \"300ms\""), ("poll", "poll = \"100ms\"")];
    let missing = defaults.iter().filter(|(key, _)| !block.contains(key)).map(|(_, line)| *line);
    std::iter::once(block.as_str()).chain(missing).collect::<Vec<_>>().join("\n")
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(Model::default(), "", |_| {}).await
    }

    /// With more lines in its block, and a terminal that is prepared before the driver comes.
    pub(crate) async fn with(model: Model, block: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        let terminal = Simulator::listen(vec![model], 0).await.unwrap();
        prepare(&terminal);
        let block = format!("address = \"tcp://{}\"\n{block}", terminal.address().unwrap());
        Self { running: Running::start(&Config(String::new(), vec![quick(block)])), terminal }
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

    /// Waits until so many records are marked as read.
    pub(crate) async fn until_marked(&self, count: usize) {
        self.until(&format!("{count} records are marked"), |site| site.terminal.records(0).1 >= count).await;
        assert_eq!(self.terminal.records(0).1, count, "more are marked than should be");
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

    /// Waits until the terminal was asked for its counters so often from now on.
    pub(crate) async fn until_polled(&self, times: usize) {
        let before = self.asked(0x3c);
        self.until("it is polled", |site| site.asked(0x3c) >= before + times).await;
    }

    /// Asks the driver for something.
    pub(crate) async fn ask(&self, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        let (job, answer) = Job::new(NAME, operation);
        self.running.send(0, job).await;
        timeout(PATIENCE, answer).await.expect("a job is answered in time").expect("a job is answered")
    }

    /// The cause of a trouble that is not relieved.
    pub(crate) fn trouble(&self, wanted: Trouble) -> Option<String> {
        trouble(self.gateway(), NAME, wanted)
    }

    /// How often the terminal was asked for this.
    pub(crate) fn asked(&self, command: u8) -> usize {
        self.terminal.journal(0).iter().filter(|(other, _)| *other == command).count()
    }
}

pub(crate) fn trouble(gateway: &FakeGateway, name: &str, wanted: Trouble) -> Option<String> {
    gateway.reports(name).into_iter().fold(None, |now, report| match report {
        Report::Trouble { trouble, cause } if trouble == wanted => Some(cause),
        Report::Relief(trouble) if trouble == wanted => None,
        _ => now,
    })
}

#[async_trait]
impl Bench for Config {
    fn kind(&self) -> &'static Kind {
        &driver_anviz::KIND
    }

    fn settings(&self) -> String {
        self.0.clone()
    }

    fn terminals(&self) -> Vec<(String, String)> {
        self.1.iter().enumerate().map(|(at, block)| (format!("t{at}"), block.clone())).collect()
    }

    async fn punch(&self, _: usize, _: &str) {}

    fn forgotten(&self, _: usize) -> usize {
        0
    }

    async fn cut(&self, _: usize) {}

    async fn repeat(&self, _: usize) {}

    async fn garbage(&self, _: usize, _: &[u8]) {}
}
