//! Whether both ends agree: every punch arrived under one id and one place, and none besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::tally::{Arrivals, Place, Punched, Tally};

/// How the gateway stands at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Punches on its disk: as it says, or as its journal shows.
    pub(super) durable: u64,
    /// Read again, and dropped because it had them.
    pub(super) twins: u64,
    /// Not delivered yet.
    pub(super) waiting: u64,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Seconds of punching.
    pub(super) seconds: u64,
    pub(super) terminals: u64,
    pub(super) punched: u64,
    pub(super) durable: u64,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// Arrived, and nobody had punched them.
    pub(super) invented: u64,
    pub(super) twins: u64,
    pub(super) repeated: u64,
    pub(super) agrees: bool,
    /// All that is wrong, in words.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    /// Something else that is wrong.
    pub(super) fn object(&mut self, problem: String) {
        self.problems.push(problem);
        self.agrees = false;
    }
}

/// Compares what was punched with what arrived. `claims` is absent when the gateway gave no answer.
pub(super) fn judge(punched: &Tally, arrived: &Arrivals, claims: Option<Claims>) -> Verdict {
    let mut problems: Vec<String> =
        arrived.garbled.iter().map(|why| format!("a message made no sense: {why}")).collect();
    problems.extend(double_booked(arrived));
    problems.extend(gaps(arrived));
    let without_clock: BTreeSet<&str> =
        punched.punches.keys().filter(|punch| punch.local.is_none()).map(|punch| punch.terminal.as_str()).collect();
    let mut delivered = BTreeMap::<Punched, u64>::new();
    for (_, punch) in arrived.by_id.values().filter_map(|seen| seen.first()) {
        let local = punch.local.filter(|_| !without_clock.contains(punch.terminal.as_str()));
        *delivered.entry(Punched { local, ..punch.clone() }).or_default() += 1;
    }
    let expected = &punched.punches;
    let mut told = |surplus: Vec<(&Punched, u64)>, what: &str| {
        let count = surplus.iter().map(|(_, count)| count).sum::<u64>();
        if let Some((punch, _)) = surplus.first() {
            let Punched { terminal, person, local, .. } = punch;
            let when = local.map(|local| format!(", {local}")).unwrap_or_default();
            problems.push(format!("{count} {what}, such as that of {person} at {terminal}{when}"));
        }
        count
    };
    let lost = told(surplus(expected, &delivered), "punches never arrived");
    let invented = told(surplus(&delivered, expected), "punches arrived that nobody had punched");
    match claims {
        None => problems.push("the gateway did not say what it holds".into()),
        Some(Claims { durable, waiting, .. }) => {
            if durable != punched.count {
                problems.push(format!("{durable} punches are on the gateway's disk, and there were {}", punched.count));
            }
            if waiting > 0 {
                problems.push(format!("{waiting} punches still wait in the gateway"));
            }
        }
    }
    let Claims { durable, twins, .. } = claims.unwrap_or_default();
    Verdict {
        seconds: 0,
        terminals: punched.by_terminal.len() as u64,
        punched: punched.count,
        durable,
        delivered: arrived.count(),
        lost,
        invented,
        twins,
        repeated: arrived.repeated,
        agrees: problems.is_empty(),
        problems,
    }
}

/// What is in `all` and not in `others`, and how often.
fn surplus<'p>(all: &'p BTreeMap<Punched, u64>, others: &BTreeMap<Punched, u64>) -> Vec<(&'p Punched, u64)> {
    let more =
        |(punch, count): (&'p Punched, &u64)| (punch, count.saturating_sub(others.get(punch).copied().unwrap_or(0)));
    all.iter().map(more).filter(|(_, count)| *count > 0).collect()
}

/// Ids that stand at two places or for two punches, and places with two ids.
fn double_booked(arrived: &Arrivals) -> Vec<String> {
    let mut problems = Vec::new();
    let mut owners = BTreeMap::<&Place, &str>::new();
    for (id, seen) in &arrived.by_id {
        if seen.len() > 1 {
            problems.push(format!("the id {id} stands for {} different punches or places", seen.len()));
        }
        for (place, _) in seen {
            if let Some(other) = owners.insert(place, id)
                && other != id
            {
                let Place { terminal, ledger, seq } = place;
                problems.push(format!("{terminal}, ledger {ledger}, number {seq} has two ids: {other} and {id}"));
            }
        }
    }
    problems
}

/// Ledgers in which a number is missing.
fn gaps(arrived: &Arrivals) -> Vec<String> {
    let mut ledgers = BTreeMap::<(&str, i64), Vec<u64>>::new();
    for (place, _) in arrived.by_id.values().flatten() {
        ledgers.entry((&place.terminal, place.ledger)).or_default().push(place.seq);
    }
    let gap = |((terminal, ledger), mut numbers): ((&str, i64), Vec<u64>)| {
        numbers.sort_unstable();
        numbers.dedup();
        let missing = (1..).zip(&numbers).find(|(expected, number)| expected != *number)?.0;
        Some(format!("{terminal}, ledger {ledger} lacks number {missing}"))
    };
    ledgers.into_iter().filter_map(gap).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, terminals, .. } = self;
        writeln!(f, "{terminals} terminals, {seconds} s of punching")?;
        let mut line = |what: &str, count: u64, words: &str| {
            let line = format!("  {what:<9}  {count:>8}  {words}");
            writeln!(f, "{}", line.trim_end())
        };
        line("punched", self.punched, "at the simulated terminals")?;
        line("durable", self.durable, "on the gateway's disk")?;
        line("delivered", self.delivered, "at the subscriber, counted by id")?;
        line("lost", self.lost, "")?;
        line("invented", self.invented, "")?;
        line("twins", self.twins, "read again by the gateway, known, and dropped")?;
        line("repeated", self.repeated, "came to the subscriber again under the same id, as QoS 1 may")?;
        for problem in &self.problems {
            writeln!(f, "  wrong: {problem}")?;
        }
        match self.agrees {
            true => write!(f, "All agree: every punch arrived, under one id and one number, and none besides."),
            false => write!(f, "They do not agree."),
        }
    }
}

#[cfg(test)]
mod tests;
