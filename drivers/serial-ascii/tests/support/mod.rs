//! Simulated readers on one line, with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
};
use driver_serial_ascii::sim::{Product, Simulator};
use tokio::time::timeout;

/// How the simulated readers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Serial,
}

pub(crate) const WAYS: [Way; 2] = [Way::Tcp, Way::Serial];

pub(crate) async fn simulate(way: Way, products: &[Product]) -> Simulator {
    match way {
        Way::Tcp => Simulator::tcp(products, 0).await.unwrap(),
        Way::Serial => Simulator::serial(products).unwrap(),
    }
}

/// Blocks `reader-0`, `reader-1`, ... for a line.
pub(crate) struct Blocks(pub(crate) Vec<(String, String)>);

impl Blocks {
    pub(crate) fn of(line: &Simulator, products: &[Product], more: &str) -> Self {
        let shared = |product: &Product| matches!(product, Product::Polled | Product::Direction);
        let block = |(index, product): (usize, &Product)| {
            let unit = if shared(product) { format!("unit = \"{:02}\"\n", index + 1) } else { String::new() };
            let (address, reader) = (line.address(), product.reader());
            (name(index), format!("address = \"{address}\"\nreader = \"{reader}\"\n{unit}{more}"))
        };
        Self(products.iter().enumerate().map(block).collect())
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("reader-{index}")
}

#[async_trait]
impl Bench for Blocks {
    fn kind(&self) -> &'static Kind {
        &driver_serial_ascii::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        self.0.clone()
    }

    async fn punch(&self, _: usize, _: &str) {}

    fn forgotten(&self, _: usize) -> usize {
        0
    }

    async fn cut(&self, _: usize) {}

    async fn repeat(&self, _: usize) {}

    async fn garbage(&self, _: usize, _: &[u8]) {}
}

pub(crate) struct Site {
    pub(crate) line: Simulator,
    pub(crate) running: Running,
}

impl Site {
    pub(crate) async fn start(way: Way, products: &[Product], more: &str) -> Self {
        let line = simulate(way, products).await;
        let running = Running::start(&Blocks::of(&line, products, more));
        let site = Self { line, running };
        if way == Way::Tcp {
            site.line.until_served().await;
        }
        site
    }

    pub(crate) fn punches(&self, index: usize) -> Vec<Punch> {
        self.running.gateway.punches(&name(index))
    }

    pub(crate) fn people(&self, index: usize) -> Vec<String> {
        self.punches(index).into_iter().map(|punch| punch.person).collect()
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        self.running.gateway.until(what, PATIENCE, |_| wanted(self)).await;
    }

    pub(crate) async fn until_stored(&self, index: usize, count: usize) {
        self.until(&format!("{count} punches of {index}"), |site| site.punches(index).len() >= count).await;
        assert_eq!(self.punches(index).len(), count, "more were stored than were punched");
    }

    pub(crate) async fn until_online(&self, index: usize) {
        self.until("it is served", |site| site.is_online(index) == Some(true)).await;
    }

    pub(crate) async fn until_offline(&self, index: usize) -> String {
        self.until("it is away", |site| site.is_online(index) == Some(false)).await;
        let why = self.reports(index).into_iter().rev().find_map(|report| match report {
            Report::Offline { why } => Some(why),
            _ => None,
        });
        why.unwrap()
    }

    pub(crate) fn is_online(&self, index: usize) -> Option<bool> {
        self.reports(index).iter().rev().find_map(|report| match report {
            Report::Online => Some(true),
            Report::Offline { .. } => Some(false),
            _ => None,
        })
    }

    pub(crate) fn reports(&self, index: usize) -> Vec<Report> {
        self.running.gateway.reports(&name(index))
    }

    pub(crate) fn trouble(&self, index: usize, wanted: Trouble) -> Option<String> {
        self.reports(index).into_iter().rev().find_map(|it| match it {
            Report::Trouble { trouble, cause } if trouble == wanted => Some(cause),
            _ => None,
        })
    }

    pub(crate) async fn until_troubled(&self, index: usize, trouble: Trouble) -> String {
        self.until(&format!("{trouble:?} is told"), |site| site.trouble(index, trouble).is_some()).await;
        self.trouble(index, trouble).unwrap()
    }

    pub(crate) async fn info(&self, index: usize) -> serde_json::Value {
        self.ask(index, Operation::Info).await.unwrap()
    }

    pub(crate) async fn ask(&self, index: usize, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        let (job, answer) = Job::new(name(index), operation);
        self.running.send(index, job).await;
        timeout(PATIENCE, answer).await.expect("a job is answered in time").expect("a job is answered")
    }
}
