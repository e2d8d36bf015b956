//! What waits for the committer: orders that came, and what is due by itself.

use std::time::{Duration, Instant};

use driver_api::NotStored;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    super::{draft::Commit, intake, note::NewNote, record::LostRecord},
    CONFIRM_DELAY, Committer, INDEX_DELAY, not_stored,
};
use crate::inquiry::Standing;

/// A group is closed when so many bytes wait.
const GROUP_BYTES: usize = 512 << 10;
/// Notes that wait for the disk at most.
const STANDINGS: usize = 1000;
/// A disk that failed is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);

pub(in crate::spool) enum Request {
    Commit(Box<Commit>),
    Note(Box<NewNote>),
    /// Something was confirmed, and nothing had been before.
    Confirmed,
    /// Ledgers or destinations changed in memory.
    Changed,
    /// A person knows of the losses of this terminal, or of all.
    Acknowledge(Option<String>, oneshot::Sender<Result<u64, NotStored>>),
    /// These numbers were found to be gone.
    Lost(Vec<LostRecord<'static>>, oneshot::Sender<Result<(), NotStored>>),
    /// A terminal, or without a name the gateway, came into this state.
    Standing(String, Standing),
    /// Say that you are alive.
    Ping(oneshot::Sender<()>),
    /// Write everything down and end.
    Close(oneshot::Sender<()>),
    /// End at once, as if the power had gone.
    Abandon,
}

pub(super) enum Ending {
    Closed(oneshot::Sender<()>),
    Abandoned,
}

impl Committer {
    /// All that waits now, as far as one group takes it; or nothing, when something else is due.
    pub(super) fn wait(&mut self) -> (Vec<Commit>, Vec<NewNote>, Option<Ending>) {
        let due = |since: Option<Instant>, delay: Duration| {
            since.map(|since| (since + delay).saturating_duration_since(Instant::now()))
        };
        let retry = self.retry.then_some(RETRY);
        let rebuild = self.rebuild_at.map(|at| at.saturating_duration_since(Instant::now()));
        let dues = [due(self.confirmed_since, CONFIRM_DELAY), due(self.unindexed_since, INDEX_DELAY), retry, rebuild];
        let mut next = match dues.into_iter().flatten().min() {
            None => self.requests.recv().ok(),
            Some(limit) => self.requests.recv_timeout(limit).ok(),
        };
        let (mut commits, mut notes, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(request) = next {
            match request {
                Request::Commit(commit) => {
                    bytes += weight(&commit);
                    commits.push(*commit);
                }
                Request::Note(note) => {
                    bytes += note.body.len() + 256;
                    notes.push(*note);
                }
                Request::Confirmed => {
                    self.confirmed_since.get_or_insert_with(Instant::now);
                    self.unindexed_since.get_or_insert_with(Instant::now);
                }
                Request::Changed => {
                    self.unindexed_since.get_or_insert_with(Instant::now);
                }
                Request::Standing(terminal, standing) => {
                    // A disk that takes nothing must not make a heap of them.
                    if self.standings.len() < STANDINGS {
                        self.standings.push((terminal, standing, Timestamp::now().as_millisecond()));
                    }
                    self.confirmed_since.get_or_insert_with(Instant::now);
                }
                Request::Acknowledge(terminal, answer) => {
                    let done = self.acknowledge(terminal.as_deref()).map_err(not_stored);
                    // Who asked may have stopped waiting; it is recorded.
                    _ = answer.send(done);
                }
                // Who asked may have stopped waiting.
                Request::Lost(lost, answer) => _ = answer.send(self.lose(&lost).map_err(not_stored)),
                Request::Ping(answer) => _ = answer.send(()),
                Request::Close(answer) => return (commits, notes, Some(Ending::Closed(answer))),
                Request::Abandon => return (Vec::new(), Vec::new(), Some(Ending::Abandoned)),
            }
            next = if bytes < GROUP_BYTES { self.requests.try_recv().ok() } else { None };
        }
        (commits, notes, None)
    }
}

fn weight(commit: &Commit) -> usize {
    let punches: usize = commit.batch.punches.iter().map(intake::weight).sum();
    punches + commit.batch.set_aside.iter().map(|aside| aside.raw.len() + aside.reason.len()).sum::<usize>()
}
