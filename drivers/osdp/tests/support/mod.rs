//! Simulated readers on one bus, with the driver at work behind a fake gateway.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::fs;

use driver_api::{
    Job, JobFailed, Kind, Operation, Punch, Report, Trouble, async_trait,
    contract::{Bench, PATIENCE, Running},
};
use driver_osdp::sim::{Model, Simulator};
use tempfile::TempDir;
use tokio::time::timeout;

/// How the simulated readers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Serial,
}

pub(crate) const WAYS: [Way; 2] = [Way::Tcp, Way::Serial];

/// The key of a reader in these tests.
pub(crate) fn key(unit: u8) -> [u8; 16] {
    [unit | 0x80; 16].map(|byte| byte ^ 0x5a)
}

/// Readers with their keys, at addresses 1, 2, ...
pub(crate) fn models(count: u8) -> Vec<Model> {
    (1..=count).map(|unit| Model { unit, key: Some(key(unit)), install: false }).collect()
}

pub(crate) async fn simulate(way: Way, models: &[Model]) -> Simulator {
    match way {
        Way::Tcp => Simulator::tcp(models, 0).await.unwrap(),
        Way::Serial => Simulator::serial(models).unwrap(),
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("gate-{index}")
}

/// Blocks for readers on a bus; keys in files of a folder that lives as long.
pub(crate) struct Blocks {
    blocks: Vec<(String, String)>,
    _keys: TempDir,
}

impl Blocks {
    /// `key` tells each reader's key, or `None` for plain text.
    pub(crate) fn of(bus: &Simulator, models: &[Model], more: &str, key: impl Fn(u8) -> Option<[u8; 16]>) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let block = |(index, model): (usize, &Model)| {
            let secret = match key(model.unit) {
                None => "insecure = true\n".to_owned(),
                Some(key) => {
                    use std::os::unix::fs::PermissionsExt;
                    let file = keys.path().join(format!("{}.key", model.unit));
                    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                    fs::write(&file, digits + "\n").unwrap();
                    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
                    format!("key_file = {file:?}\n")
                }
            };
            let (address, unit) = (bus.address(), model.unit);
            (name(index), format!("address = \"{address}\"\nunit = {unit}\ncard = \"number\"\n{secret}{more}"))
        };
        let blocks = models.iter().enumerate().map(block).collect();
        Self { blocks, _keys: keys }
    }
}

#[async_trait]
impl Bench for Blocks {
    fn kind(&self) -> &'static Kind {
        &driver_osdp::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        self.blocks.clone()
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
    pub(crate) bus: Simulator,
    pub(crate) running: Running,
}

impl Site {
    /// Readers with the keys that they should have.
    pub(crate) async fn start(way: Way, count: u8) -> Self {
        Self::with(way, &models(count), "", |unit| Some(key(unit))).await
    }

    pub(crate) async fn with(way: Way, models: &[Model], more: &str, key: impl Fn(u8) -> Option<[u8; 16]>) -> Self {
        let bus = simulate(way, models).await;
        let running = Running::start(&Blocks::of(&bus, models, more, key));
        Self { bus, running }
    }

    pub(crate) async fn until_all_online(&self, count: usize) {
        for index in 0..count {
            self.until_online(index).await;
        }
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
