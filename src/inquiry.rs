//! What one asks after a punch or a silence, and what can be answered. Plain facts and how they are judged; no I/O.

mod wall;

use std::collections::BTreeSet;

use driver_api::{Clock, Flag, Origin, PunchId};
use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

pub use wall::{DAYS_END, NotWall, Site, Today, Wall};

/// How a terminal stood with us at some moment; or the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Connecting,
    Online,
    Offline,
    Refused,
    /// The gateway was started.
    Started,
    /// The gateway was told to stop.
    Stopped,
}

/// Where is this punch?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub person: String,
    /// By the terminal's own clock.
    pub at: DateTime,
    /// So far around `at`, in seconds.
    pub within_s: i64,
    pub terminal: Option<String>,
}

impl Question {
    pub fn covers(&self, local: DateTime) -> bool {
        self.distance_s(local) <= self.within_s
    }

    /// In seconds.
    pub fn distance_s(&self, local: DateTime) -> i64 {
        local.duration_since(self.at).as_secs().saturating_abs()
    }

    pub fn asks_of(&self, terminal: &str) -> bool {
        self.terminal.as_ref().is_none_or(|wanted| wanted == terminal)
    }
}

/// The way of one punch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Way {
    pub terminal: String,
    pub serial: String,
    pub ledger: i64,
    pub seq: u64,
    pub id: PunchId,
    pub person: String,
    pub local: DateTime,
    pub zone: String,
    pub utc: Timestamp,
    pub clock: Clock,
    pub origin: Origin,
    pub flags: Vec<Flag>,
    /// When it was by the gateway's clock; absent where nobody knows how far the terminal's was off.
    #[serde(default)]
    pub corrected: Option<Timestamp>,
    /// What the terminal's clock would have shown then, had it been right.
    #[serde(default)]
    pub corrected_local: Option<DateTime>,
    /// Its clock did not show the time asked for; it would have, had it been right.
    #[serde(default)]
    pub by_corrected: bool,
    /// When it was on this disk, and where.
    pub durable: Timestamp,
    pub segment: u64,
    pub offset: u64,
    /// The whole topic.
    pub topic: String,
    /// Where it may be instead: the store came to another gateway's name, and it is not known which one it was delivered by.
    #[serde(default)]
    pub other_topic: Option<String>,
    pub delivered: bool,
    /// When the broker's word for it was on this disk, a second late at most.
    pub delivered_by: Option<Timestamp>,
}

/// A punch of the person that is not the one asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Near {
    pub terminal: String,
    pub local: DateTime,
    pub id: PunchId,
}

/// What is known of one terminal around that time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Around {
    pub terminal: String,
    /// Anybody's punches in that time.
    pub punches: u64,
    /// Anybody's punches in that time that were delivered and of which only time and id are kept, so that nobody here can
    /// tell whose they are.
    #[serde(default)]
    pub retired: u64,
    /// Anybody's last punch before it and first one after it, kept or not.
    pub before: Option<DateTime>,
    pub after: Option<DateTime>,
    /// How it stood when that time began, and what changed in it; from this disk, so only as far back as that goes.
    pub standing: Vec<(Timestamp, Standing)>,
    /// How it stood at the very moment, where that was noted.
    #[serde(default)]
    pub then: Option<Standing>,
    /// That time is still to come there.
    #[serde(default)]
    pub to_come: bool,
    /// Raw records kept from that time on for a day that make no punch.
    pub set_aside: u64,
    /// All such records of this terminal: one that came late tells of an earlier time.
    #[serde(default)]
    pub set_aside_all: u64,
    /// Numbers that are missing in the journal, whether it says so itself or not.
    pub lost: Vec<(u64, u64)>,
}

impl Around {
    /// Takes note of anybody's punch outside the time asked for.
    pub fn neighbour(&mut self, question: &Question, local: DateTime) {
        match () {
            () if question.covers(local) => {}
            () if local < question.at => self.before = self.before.max(Some(local)),
            () => self.after = Some(self.after.map_or(local, |after| after.min(local))),
        }
    }
}

/// All that can be said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trail {
    /// Punches of that person in that time.
    pub found: Vec<Way>,
    /// Otherwise the person's nearest ones.
    pub near: Vec<Near>,
    pub terminals: Vec<Around>,
    /// When the gateway started and stopped around that time.
    pub gateway: Vec<(Timestamp, Standing)>,
    /// Places in the journal that could not be read.
    pub unreadable: usize,
    /// Punches of all terminals and times of which only time and id are kept.
    #[serde(default)]
    pub retired: u64,
    /// The terminals of which anything is known.
    #[serde(default)]
    pub known: BTreeSet<String>,
    /// What the running daemon adds, in words.
    pub now: Vec<String>,
}

/// What a trail comes to, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Found,
    /// Something of the journal is missing or cannot be read, and it may be there.
    MayBeLost,
    /// Only ids are left of that time.
    NotKept,
    ToCome,
    NotHere,
}

impl Trail {
    pub fn verdict(&self) -> Verdict {
        match () {
            () if !self.found.is_empty() => Verdict::Found,
            () if self.unreadable > 0 || self.terminals.iter().any(|it| !it.lost.is_empty()) => Verdict::MayBeLost,
            () if self.terminals.iter().any(|it| it.retired > 0) => Verdict::NotKept,
            () if !self.terminals.is_empty() && self.terminals.iter().all(|it| it.to_come) => Verdict::ToCome,
            () => Verdict::NotHere,
        }
    }
}

/// How silent a terminal is, and whether that is usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub terminal: String,
    /// Its last punch and the present moment, by its own wall, set right where it is known how far it was off.
    pub last: Option<DateTime>,
    pub now: Option<DateTime>,
    /// Punches in the same hours of each week before, the latest week first; only weeks that its ledger covers.
    pub weeks: Vec<u64>,
    pub judgement: Judgement,
    /// By how much its clock was ahead at the last punch, where that is known.
    #[serde(default)]
    pub skew_ms: Option<i64>,
    /// Punches whose times say nothing: its clock was never set, or ran ahead, and nobody knows by how much.
    #[serde(default)]
    pub untold: u64,
    /// The terminals of which anything is known.
    #[serde(default)]
    pub known: BTreeSet<String>,
    /// Places in the journal that could not be read.
    #[serde(default)]
    pub unreadable: usize,
    /// How it stands, from the journal, or from the daemon where that runs.
    pub standing: Option<(Timestamp, Standing)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// Nobody punched in these hours in most weeks before.
    Usual,
    /// Somebody did in most weeks before.
    Unusual,
    /// Now and then somebody did.
    Either,
    /// Its ledger does not go back two weeks.
    TooYoung,
    /// There is no punch of it at all.
    NoPunch,
    /// There are, and their times say nothing.
    NoTime,
}

impl Silence {
    /// Weeks that are looked at.
    pub const WEEKS: usize = 8;
    const FEWEST: usize = 2;

    /// Judges the same hours of the weeks before: three quarters of them decide.
    pub fn judge(weeks: &[u64]) -> Judgement {
        let (all, with) = (weeks.len(), weeks.iter().filter(|count| **count > 0).count());
        match () {
            () if all < Self::FEWEST => Judgement::TooYoung,
            () if with * 4 >= all * 3 => Judgement::Unusual,
            () if with * 4 <= all => Judgement::Usual,
            () => Judgement::Either,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_of_the_weeks_decide() {
        for (weeks, judgement) in [
            (&[][..], Judgement::TooYoung),
            (&[9], Judgement::TooYoung),
            (&[9, 1], Judgement::Unusual),
            (&[0, 0], Judgement::Usual),
            (&[3, 0, 4, 1], Judgement::Unusual),
            (&[0, 0, 0, 1], Judgement::Usual),
            (&[0, 5, 0, 1], Judgement::Either),
        ] {
            assert_eq!(Silence::judge(weeks), judgement, "{weeks:?}");
        }
    }
}
