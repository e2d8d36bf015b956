//! How much of something is enough: signatures, answers to nonsense, lines of the log, doors.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::command::{Order, args};

/// A bucket that fills by itself.
pub(super) struct Bucket {
    each_second: f64,
    most: f64,
    now: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(each_second: f64, most: f64) -> Self {
        Self { each_second, most, now: most, at: Instant::now() }
    }

    pub(super) fn take(&mut self, much: f64) -> bool {
        let passed = self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        self.now = (self.now + passed * self.each_second).min(self.most);
        let enough = self.now >= much;
        if enough {
            self.now -= much;
        }
        enough
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Refusals of a minute: the first ones are told, the rest is counted.
pub(super) struct Refused {
    since: Instant,
    told: usize,
    more: BTreeMap<&'static str, u64>,
}

impl Default for Refused {
    fn default() -> Self {
        Self { since: Instant::now(), told: 0, more: BTreeMap::new() }
    }
}

impl Refused {
    const TOLD: usize = 20;

    /// Whether this one is told.
    pub(super) fn count(&mut self, code: &'static str) -> bool {
        if self.told < Self::TOLD {
            self.told += 1;
            return true;
        }
        *self.more.entry(code).or_default() += 1;
        false
    }

    /// After a minute: what was counted and not told.
    pub(super) fn turn(&mut self) -> Option<BTreeMap<&'static str, u64>> {
        if self.since.elapsed() < MINUTE {
            return None;
        }
        (self.since, self.told) = (Instant::now(), 0);
        Some(std::mem::take(&mut self.more)).filter(|more| !more.is_empty())
    }
}

/// When doors were ordered open.
#[derive(Default)]
pub(super) struct Doors(HashMap<(String, u8), VecDeque<Instant>>);

impl Doors {
    /// Times a minute for each door.
    const RATE: usize = 3;

    pub(super) fn may_open(&mut self, order: &Order, now: Instant) -> bool {
        let door = args::read::<args::Unlock>(&order.args).map_or(1, |args| args.door());
        let times = self.0.entry((order.terminal.clone().unwrap_or_default(), door)).or_default();
        times.retain(|at| now.duration_since(*at) < MINUTE);
        let may = times.len() < Self::RATE;
        if may {
            times.push_back(now);
        }
        may
    }
}
