//! Simulated terminals on one line, with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
    fake::FakeGateway,
};
use driver_modbus::sim::{Device, Form, Product, Simulator};
use tokio::time::timeout;

/// How the simulated terminals are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    RtuOverTcp,
    Serial,
}

pub(crate) const WAYS: [Way; 3] = [Way::Tcp, Way::RtuOverTcp, Way::Serial];

pub(crate) fn map_of(product: Product) -> &'static str {
    match product {
        Product::Fifo => "event-fifo",
        Product::RfIdeas => "rfideas",
        Product::Inveo => "inveo-rfid-ind",
        Product::Duali => "duali-qde950",
        Product::Counter => "passage-counter",
    }
}

/// Units 1, 2, ... of these products on one line.
pub(crate) async fn simulate(way: Way, products: &[Product]) -> Simulator {
    let devices = products.iter().zip(1..).map(|(product, unit)| (unit, Device::new(*product))).collect();
    match way {
        Way::Tcp => Simulator::tcp(Form::Tcp, 0, devices).await.unwrap(),
        Way::RtuOverTcp => Simulator::tcp(Form::Rtu, 0, devices).await.unwrap(),
        Way::Serial => Simulator::serial(devices).unwrap(),
    }
}

pub(crate) fn block(way: Way, line: &Simulator, unit: u8, map: &str, more: &str) -> String {
    let framing = if way == Way::RtuOverTcp { "framing = \"rtu\"\n" } else { "" };
    format!("address = \"{}\"\nunit = {unit}\nmap = \"{map}\"\n{framing}{more}", line.address())
}

/// Quick enough for tests.
pub(crate) const QUICK: &str = "poll = \"20ms\"\ntimeout = \"150ms\"\n";

/// Units `unit-1`, `unit-2`, ... of one line, served.
pub(crate) struct Site {
    pub(crate) line: Simulator,
    pub(crate) running: Running,
}

pub(crate) struct Blocks(pub(crate) Vec<(String, String)>);

impl Site {
    pub(crate) async fn start(way: Way, products: &[Product]) -> Self {
        Self::with(way, products, QUICK, |_| {}).await
    }

    /// The same with other lines in each block, and terminals that are prepared before the driver comes.
    pub(crate) async fn with(way: Way, products: &[Product], more: &str, prepare: impl FnOnce(&Simulator)) -> Self {
        let line = simulate(way, products).await;
        prepare(&line);
        let running = Running::start(&Blocks::of(way, products, &line, more));
        Self { line, running }
    }

    pub(crate) fn gateway(&self) -> &FakeGateway {
        &self.running.gateway
    }

    pub(crate) fn punches(&self, unit: u8) -> Vec<Punch> {
        self.gateway().punches(&name(unit))
    }

    pub(crate) fn people(&self, unit: u8) -> Vec<String> {
        self.punches(unit).into_iter().map(|punch| punch.person).collect()
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        self.gateway().until(what, PATIENCE, |_| wanted(self)).await;
    }

    pub(crate) async fn until_stored(&self, unit: u8, count: usize) {
        self.until(&format!("{count} punches of unit {unit}"), |site| site.punches(unit).len() >= count).await;
        assert_eq!(self.punches(unit).len(), count, "more were stored than were punched");
    }

    pub(crate) async fn until_online(&self, unit: u8) {
        self.until(&format!("unit {unit} is served"), |site| site.is_online(unit)).await;
    }

    pub(crate) async fn until_offline(&self, unit: u8) -> String {
        self.until(&format!("unit {unit} is away"), |site| !site.is_online(unit) && site.why_offline(unit).is_some())
            .await;
        self.why_offline(unit).unwrap()
    }

    pub(crate) fn is_online(&self, unit: u8) -> bool {
        self.reports(unit).iter().rev().find_map(|report| match report {
            Report::Online => Some(true),
            Report::Offline { .. } => Some(false),
            _ => None,
        }) == Some(true)
    }

    fn why_offline(&self, unit: u8) -> Option<String> {
        self.reports(unit).into_iter().rev().find_map(|report| match report {
            Report::Offline { why } => Some(why),
            _ => None,
        })
    }

    pub(crate) fn reports(&self, unit: u8) -> Vec<Report> {
        self.gateway().reports(&name(unit))
    }

    pub(crate) fn failed_reads(&self, unit: u8) -> usize {
        self.reports(unit).iter().filter(|report| matches!(report, Report::FailedRead { .. })).count()
    }

    /// The cause of a trouble that is not relieved.
    pub(crate) fn trouble(&self, unit: u8, wanted: Trouble) -> Option<String> {
        self.reports(unit).into_iter().fold(None, |now, report| match report {
            Report::Trouble { trouble, cause } if trouble == wanted => Some(cause),
            Report::Relief(trouble) if trouble == wanted => None,
            _ => now,
        })
    }

    pub(crate) async fn until_troubled(&self, unit: u8, trouble: Trouble) -> String {
        self.until(&format!("{trouble:?} is told"), |site| {
            site.reports(unit).iter().any(|it| matches!(it, Report::Trouble { trouble: it, .. } if *it == trouble))
        })
        .await;
        self.reports(unit)
            .into_iter()
            .find_map(|it| match it {
                Report::Trouble { trouble: it, cause } if it == trouble => Some(cause),
                _ => None,
            })
            .unwrap()
    }

    pub(crate) async fn ask(&self, unit: u8, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        let (job, answer) = Job::new(name(unit), operation);
        self.running.send(usize::from(unit) - 1, job).await;
        timeout(PATIENCE, answer).await.expect("a job is answered in time").expect("a job is answered")
    }
}

pub(crate) fn name(unit: u8) -> String {
    format!("unit-{unit}")
}

impl Blocks {
    pub(crate) fn of(way: Way, products: &[Product], line: &Simulator, more: &str) -> Self {
        let blocks = products.iter().zip(1..);
        Self(blocks.map(|(product, unit)| (name(unit), block(way, line, unit, map_of(*product), more))).collect())
    }
}

#[async_trait]
impl Bench for Blocks {
    fn kind(&self) -> &'static Kind {
        &driver_modbus::KIND
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
