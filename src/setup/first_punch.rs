//! From the start of the daemon to the first punch that the broker has.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use driver_api::{Origin, PunchId};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    config,
    console::{self, Answer, AskError, PunchFilter, PunchLine, Request, Status},
};

/// Between two questions.
const TURN: Duration = Duration::from_millis(200);
/// Terminals count whole seconds, and not all in the same moment.
const GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// Punches that are no news, and since when.
#[derive(Debug, Clone)]
pub struct Seen {
    known: HashSet<PunchId>,
    since: Timestamp,
    /// How far each terminal's clock is ahead of ours, in milliseconds.
    skews: HashMap<String, i64>,
}

impl Seen {
    /// A punch that somebody made now: told live, or of a time after the beginning. What a terminal held before is neither.
    fn is_news(&self, punch: &PunchLine) -> bool {
        let skew = SignedDuration::from_millis(self.skews.get(&punch.terminal).copied().unwrap_or(0));
        let by_our_clock = punch.utc.checked_sub(skew).unwrap_or(punch.utc);
        by_our_clock >= self.since || (punch.origin == Origin::Live && !self.known.contains(&punch.id))
    }
}

/// Waits until the daemon of this config answers; the last error when it does not.
pub async fn until_answers(path: &Path, patience: Duration) -> Result<(PathBuf, Status), String> {
    let end = Instant::now() + patience;
    loop {
        let mut why = String::from("its config cannot be read");
        for socket in config::places(path).map(|places| places.sockets).unwrap_or_default() {
            match timeout_at(end, all(&socket, &Request::Status)).await {
                Ok(Ok(answers)) => {
                    if let Some(Answer::Status(status)) = answers.into_iter().next() {
                        return Ok((socket, *status));
                    }
                    why = "it answers something else: it is of another version".into();
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = "it does not answer in time".into(),
            }
        }
        if Instant::now() >= end {
            return Err(why);
        }
        sleep(TURN).await;
    }
}

/// Waits until every terminal and the broker were tried.
pub async fn until_settled(socket: &Path, patience: Duration) {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let tried = async {
            let status = all(socket, &Request::Status).await?;
            let linked = status.iter().all(|it| !matches!(it, Answer::Status(it) if it.link.state == "connecting"));
            let terminals = all(socket, &Request::Terminals).await?;
            let served = |it: &Answer| match it {
                Answer::Terminal(it) => it.state == "online" || it.unserved.is_some(),
                _ => true,
            };
            Ok::<_, AskError>(linked && terminals.iter().all(served))
        };
        if let Ok(Ok(true)) = timeout_at(end, tried).await {
            return;
        }
        sleep(TURN).await;
    }
}

/// Looks at what there is before somebody is asked to punch, and at the terminals' clocks. Since `since`, every punch counts.
pub async fn seen(socket: &Path, since: Timestamp) -> Result<Seen, AskError> {
    let mut known = HashSet::new();
    for answer in all(socket, &punches(false, 1000)).await? {
        if let Answer::Punch(punch) = answer {
            known.insert(punch.id);
        }
    }
    let mut skews = HashMap::new();
    for answer in all(socket, &Request::Terminals).await? {
        if let Answer::Terminal(terminal) = answer {
            skews.extend(terminal.skew_ms.map(|skew| (terminal.name, skew)));
        }
    }
    Ok(Seen { known, since: since - GRAIN, skews })
}

/// Waits for a punch of now. `None`: none came in time.
pub async fn first_punch(socket: &Path, seen: &Seen, patience: Duration) -> Result<Option<PunchLine>, AskError> {
    let end = Instant::now() + patience;
    let work = async {
        let mut answers = console::ask(socket, &punches(true, 1000)).await?;
        while let Some(answer) = answers.next().await? {
            if let Answer::Punch(punch) = answer
                && seen.is_news(&punch)
            {
                return Ok(Some(*punch));
            }
        }
        Ok(None)
    };
    timeout_at(end, work).await.unwrap_or(Ok(None))
}

/// Waits until the broker has it.
pub async fn delivered(socket: &Path, punch: &PunchLine, patience: Duration) -> Result<bool, AskError> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let now = all(socket, &punches(false, 1000)).await?;
        if now.iter().any(|it| matches!(it, Answer::Punch(it) if it.id == punch.id && it.delivered)) {
            return Ok(true);
        }
        sleep(TURN).await;
    }
    Ok(false)
}

fn punches(follow: bool, limit: usize) -> Request {
    Request::Punches { filter: PunchFilter { limit, ..PunchFilter::default() }, follow }
}

async fn all(socket: &Path, request: &Request) -> Result<Vec<Answer>, AskError> {
    console::ask(socket, request).await?.all().await
}
