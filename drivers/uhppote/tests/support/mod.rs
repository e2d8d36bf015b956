//! One simulated board with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
    fake::FakeGateway,
};
use driver_uhppote::sim::{Entry, Model, Simulator};
use tokio::time::timeout;

/// The board's name in all tests.
pub(crate) const NAME: &str = "gate";

pub(crate) struct Site {
    pub(crate) board: Simulator,
    pub(crate) running: Running,
}

struct One(String);

impl Site {
    /// A default board whose driver polls often.
    pub(crate) async fn start() -> Self {
        Self::with(Model::default(), "", |_| {}).await
    }

    /// With more lines in its block, and a board that is prepared before the driver comes.
    pub(crate) async fn with(model: Model, block: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        Self::over("udp", model, block, prepare).await
    }

    pub(crate) async fn over(scheme: &str, model: Model, block: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        let serial = model.serial;
        let board = Simulator::start(model, 0).await.unwrap();
        prepare(&board);
        let mut text = format!("address = \"{scheme}://{}\"\n{block}\n", board.address());
        for (key, line) in [
            ("serial", format!("serial = {serial}")),
            ("timeout", "timeout = \"300ms\"".into()),
            ("poll", "poll = \"100ms\"".into()),
        ] {
            if !block.contains(key) {
                text += &line;
                text += "\n";
            }
        }
        Self { running: Running::start(&One(text)), board }
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

    /// Waits until the board is served, and was asked for its state so often from now on.
    pub(crate) async fn until_polled(&self, times: usize) {
        let before = self.asked(0x20);
        self.until("it is polled", |site| site.asked(0x20) >= before + times).await;
    }

    /// Asks the driver for something.
    pub(crate) async fn ask(&self, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        let (job, answer) = Job::new(NAME, operation);
        self.running.send(0, job).await;
        timeout(PATIENCE, answer).await.expect("a job is answered in time").expect("a job is answered")
    }

    /// The cause of a trouble that is not relieved.
    pub(crate) fn trouble(&self, wanted: Trouble) -> Option<String> {
        self.gateway().reports(NAME).into_iter().fold(None, |now, report| match report {
            Report::Trouble { trouble, cause } if trouble == wanted => Some(cause),
            Report::Relief(trouble) if trouble == wanted => None,
            _ => now,
        })
    }

    /// How often the board was asked for this.
    pub(crate) fn asked(&self, function: u8) -> usize {
        self.board.journal().iter().filter(|other| **other == function).count()
    }
}

/// A card at reader 1 of door 1, let in, at this board's time.
pub(crate) fn card(board: &Simulator, card: u32) -> Entry {
    Entry { card, local: board.now(), ..Entry::default() }
}

#[async_trait]
impl Bench for One {
    fn kind(&self) -> &'static Kind {
        &driver_uhppote::KIND
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
