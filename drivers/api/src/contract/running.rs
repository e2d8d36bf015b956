//! A driver at work behind a fake gateway: planned, run, restarted and closed as the real gateway does it, only sooner.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Bench, PATIENCE};
use crate::{Job, Line, Link, Problems, PunchId, Section, TerminalBlock, fake::FakeGateway};

/// Longest time that closing may take. The promise is a second; the rest is for noisy machines.
const CLOSING: Duration = Duration::from_secs(3);

/// A driver at work behind a fake gateway, restarted whenever it fails, as the real one does, but sooner.
pub struct Running {
    pub gateway: FakeGateway,
    /// The terminals' names, in the order of the bench.
    pub names: Vec<String>,
    lines: Vec<RunningLine>,
}

struct RunningLine {
    terminals: Vec<String>,
    jobs: watch::Receiver<Option<mpsc::Sender<Job>>>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Plans the bench's config and runs every line of it.
    ///
    /// # Panics
    /// When the driver finds a problem in the bench's config.
    pub fn start(bench: &dyn Bench) -> Self {
        Self::start_behind(FakeGateway::default(), bench)
    }

    /// The same behind a gateway that holds something already: what [`Running::kill`] left.
    pub fn start_behind(gateway: FakeGateway, bench: &dyn Bench) -> Self {
        let folder: Arc<Path> = Path::new(".").into();
        let kind = bench.kind();
        let mut names = Vec::new();
        let mut blocks = Vec::new();
        for (name, text) in bench.terminals() {
            let table = text.parse().expect("the bench's block is TOML");
            let section = Section::new(format!("terminal {name:?} "), table, folder.clone());
            blocks.push(TerminalBlock { name: name.clone(), zone: TimeZone::UTC, section });
            names.push(name);
        }
        let settings = bench.settings().parse().expect("the bench's settings are TOML");
        let settings = Section::new(format!("driver.{}.", kind.name), settings, folder);
        let mut problems = Problems::default();
        let lines = (kind.plan)(settings, blocks, &mut problems);
        assert!(problems.errors.is_empty(), "the bench's config has problems: {:#?}", problems.errors);
        let planned: usize = lines.iter().map(|line| line.terminals.len()).sum();
        assert_eq!(planned, names.len(), "each terminal is on one line");
        let lines = lines.into_iter().map(|line| RunningLine::start(line, &gateway)).collect();
        Self { gateway, names, lines }
    }

    /// Waits until so many punches of a terminal are stored.
    pub async fn until_stored(&self, what: &str, terminal: usize, count: usize) {
        let name = &self.names[terminal];
        self.gateway
            .until(what, PATIENCE, |gateway| {
                self.assert_nobody_died();
                gateway.punches(name).len() >= count
            })
            .await;
    }

    /// The persons of a terminal's stored punches.
    ///
    /// # Panics
    /// When two of its punches have one id, or one person (the bench's people punch once).
    pub fn people(&self, terminal: usize) -> HashSet<String> {
        let punches = self.gateway.punches(&self.names[terminal]);
        let ids: HashSet<PunchId> = punches.iter().map(|punch| PunchId::of("", punch)).collect();
        assert_eq!(ids.len(), punches.len(), "two punches with one id");
        let people: HashSet<String> = punches.iter().map(|punch| punch.person.clone()).collect();
        assert_eq!(people.len(), punches.len(), "a punch was stored twice under two ids");
        people
    }

    /// Hands a job to the line of a terminal.
    pub async fn send(&self, terminal: usize, job: Job) {
        let name = &self.names[terminal];
        let line = self.lines.iter().find(|line| line.terminals.contains(name)).expect("each terminal is on a line");
        let mut jobs = line.jobs.clone();
        let jobs = timeout(PATIENCE, jobs.wait_for(Option::is_some)).await.expect("the line runs");
        let jobs = jobs.expect("the line was not closed").clone().expect("waited for it");
        // A line that just failed drops what it had: that is an answer too.
        let _ = timeout(PATIENCE, jobs.send(job)).await.expect("the driver takes its jobs");
    }

    /// Ends every line where it stands, as a kill of the process does; what is on disk stays.
    pub async fn kill(self) -> FakeGateway {
        for line in self.lines {
            line.task.abort();
            // Aborted, or it had panicked before: this is no place to tell.
            let _ = line.task.await;
        }
        self.gateway
    }

    /// Tells every line to leave, and waits.
    ///
    /// # Panics
    /// When a line takes too long, or had panicked.
    pub async fn close(self) {
        for line in &self.lines {
            line.closing.send_replace(true);
        }
        for line in self.lines {
            let ended = timeout(CLOSING, line.task).await;
            ended
                .unwrap_or_else(|_| panic!("{:?} did not leave in time", line.terminals))
                .expect("the driver panicked");
        }
    }

    pub(super) fn assert_nothing_forgotten_early(&self, bench: &dyn Bench, terminal: usize) {
        let forgotten = bench.forgotten(terminal); // first this, then that: the store only grows
        let stored = self.gateway.punches(&self.names[terminal]).len();
        assert!(forgotten <= stored, "the terminal may have forgotten {forgotten} punches, and {stored} are on disk");
    }

    fn assert_nobody_died(&self) {
        assert!(self.lines.iter().all(|line| !line.task.is_finished()), "the driver panicked, or left unasked");
    }
}

impl RunningLine {
    fn start(line: Line, gateway: &FakeGateway) -> Self {
        let (closing, closed) = watch::channel(false);
        let (jobs_of_this_run, jobs) = watch::channel(None);
        let terminals = line.terminals.clone();
        let gateway = Arc::new(gateway.clone());
        let task = tokio::spawn(async move {
            // A test that failed leaves without a word, which is closing too.
            let told_to_leave = || *closed.borrow() || closed.has_changed().is_err();
            while !told_to_leave() {
                let (link, parts) = Link::new(gateway.clone(), &line.terminals);
                jobs_of_this_run.send_replace(Some(parts.jobs));
                let mut leaving = closed.clone();
                let leave = async {
                    // An error means that the test is gone: see above.
                    let _ = leaving.wait_for(|closing| *closing).await;
                    parts.closing.send_replace(true);
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    // Errors are part of the game: the gateway would wait a little and start the line again.
                    ended = line.driver.run(link) => {
                        assert!(ended.is_err() || told_to_leave(), "a driver leaves only when it is told to");
                    }
                    () = leave => unreachable!("it waits for ever"),
                }
                jobs_of_this_run.send_replace(None);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { terminals, jobs, closing, task }
    }
}
