//! What a journal tells of a period: who punched how often and how soon it was safe and away, how terminals stood, what is
//! missing. For reports; while the daemon runs or not.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
};

use driver_api::Origin;
use jiff::{Timestamp, civil::Date};

use super::{
    look::look,
    record::{Record, ZoneNames},
};
use crate::inquiry::Standing;

/// Durations that are kept for percentiles; of more, each second, fourth and so on is left out.
const KEPT: usize = 1 << 18;

/// A period of a store.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub tenant: String,
    pub gateway: String,
    pub terminals: BTreeMap<String, TerminalHistory>,
    /// From the punch, by the terminal's corrected clock, until it was on disk; live ones only.
    pub stored_after: Sample,
    /// From then until the broker's word for it was on disk, a second late at most.
    pub delivered_after: Sample,
    /// Punches of the period for which no broker's word is on disk.
    pub undelivered: u64,
    /// Places that could not be read.
    pub unreadable: usize,
}

#[derive(Debug, Clone, Default)]
pub struct TerminalHistory {
    pub serial: String,
    /// Punches that became durable in the period, by the day of the terminal's own calendar.
    pub by_day: BTreeMap<Date, u64>,
    /// Of them, those that came later out of its log.
    pub later: u64,
    /// Its clock minus ours as measured with each punch, in milliseconds.
    pub skew_ms: Sample,
    pub last: Option<Timestamp>,
    pub set_aside: u64,
    /// Numbers that the journal lost, ever.
    pub lost: Vec<(u64, u64)>,
    /// How it stood before the period and what changed in it.
    pub standing: Vec<(Timestamp, Standing)>,
}

/// Numbers of which percentiles are asked.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    kept: Vec<i64>,
    /// All there were.
    pub count: u64,
}

impl Sample {
    fn add(&mut self, value: i64) {
        let step = self.count / KEPT as u64 + 1;
        if self.count.is_multiple_of(step) {
            self.kept.push(value);
        }
        self.count += 1;
    }

    /// The value below which so many percent lie.
    pub fn percentile(&self, percent: usize) -> Option<i64> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
    }

    /// The one farthest from zero.
    pub fn worst(&self) -> Option<i64> {
        self.kept.iter().copied().max_by_key(|value| value.unsigned_abs())
    }
}

/// Reads the whole journal, and keeps what is of the period from `from` up to and without `to`.
pub fn history(state_dir: &Path, from: Timestamp, to: Timestamp) -> io::Result<History> {
    let mut history = History::default();
    let (mut names, mut zones): (BTreeMap<u32, String>, _) = (BTreeMap::new(), ZoneNames::default());
    // Punches whose delivery is not known yet, by ledger and number.
    let mut waiting: HashMap<(u32, u64), i64> = HashMap::new();
    let period = from.as_millisecond()..to.as_millisecond();
    let unseen = look(state_dir, |_, record| match record {
        Record::Ledger(it) => {
            let ledger = it.ledger();
            (history.tenant, history.gateway) = (ledger.tenant, ledger.gateway);
            history.terminals.entry(ledger.terminal.clone()).or_default().serial = ledger.serial;
            names.insert(it.number, ledger.terminal);
        }
        Record::Punch(punch) => {
            let (Some(name), Ok(entry)) = (names.get(&punch.ledger), punch.entry(&mut zones)) else { return };
            let stored = entry.stored.as_millisecond();
            let terminal = history.terminals.entry(name.clone()).or_default();
            if !period.contains(&stored) {
                return;
            }
            *terminal.by_day.entry(entry.local.date()).or_default() += 1;
            terminal.last = terminal.last.max(Some(entry.utc));
            terminal.later += u64::from(entry.origin != Origin::Live);
            if let Some(skew) = entry.clock.skew_ms {
                terminal.skew_ms.add(skew);
                if entry.origin == Origin::Live {
                    // A second is all that most terminals tell of time.
                    history.stored_after.add(stored - (entry.utc.as_millisecond() - skew));
                }
            }
            waiting.insert((punch.ledger, punch.seq), stored);
        }
        Record::ConfirmedAt(it) => {
            // A range may be of all time, and what waits is at most what is not delivered.
            if it.last - it.first < waiting.len() as u64 {
                for seq in it.first..=it.last {
                    if let Some(stored) = waiting.remove(&(it.ledger, seq)) {
                        history.delivered_after.add(it.at - stored);
                    }
                }
            } else {
                let after = &mut history.delivered_after;
                waiting.retain(|(ledger, seq), stored| {
                    let is_in = *ledger == it.ledger && (it.first..=it.last).contains(seq);
                    if is_in {
                        after.add(it.at - *stored);
                    }
                    !is_in
                });
            }
        }
        Record::Standing(it) => {
            let at = Timestamp::from_millisecond(it.at).ok().filter(|at| *at < to);
            let (Some(standing), Some(at)) = (it.standing(), at) else { return };
            // Of the gateway itself the minutes tell.
            if it.terminal.is_empty() {
                return;
            }
            let all = &mut history.terminals.entry(it.terminal.to_owned()).or_default().standing;
            // Of what was before, only the last counts.
            if at <= from {
                all.clear();
            }
            all.push((at, standing));
        }
        Record::SetAside(it) if period.contains(&it.stored) => {
            if let Some(name) = names.get(&it.ledger) {
                history.terminals.entry(name.clone()).or_default().set_aside += 1;
            }
        }
        Record::Lost(it) if it.first <= it.last => {
            if let Some(name) = names.get(&it.ledger) {
                history.terminals.entry(name.clone()).or_default().lost.push((it.first, it.last));
            }
        }
        _ => {}
    })?;
    (history.undelivered, history.unreadable) = (waiting.len() as u64, unseen.places);
    Ok(history)
}
