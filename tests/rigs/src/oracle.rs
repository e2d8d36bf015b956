//! What the terminals recorded, kept where no rig breaks anything, and how it is compared with what arrived.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use jiff::civil::DateTime;

use crate::witness::Seen;

/// Every punch that any terminal recorded. Each has a person of its own, so that one is told from all others.
pub(crate) struct Oracle {
    inner: Mutex<Inner>,
}

struct Inner {
    recorded: HashMap<String, (String, DateTime)>,
    /// For whoever looks into a failure later.
    file: BufWriter<File>,
}

impl Oracle {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let file = BufWriter::new(File::create(folder.join("recorded.tsv"))?);
        Ok(Self { inner: Mutex::new(Inner { recorded: HashMap::new(), file }) })
    }

    /// A terminal is about to record a punch; the person is new.
    pub(crate) fn record(&self, terminal: &str, local: DateTime) -> String {
        let mut inner = self.inner();
        let person = (100_001 + inner.recorded.len()).to_string();
        // The table in memory is what counts.
        let _ = writeln!(inner.file, "{person}\t{terminal}\t{local}");
        inner.recorded.insert(person.clone(), (terminal.to_owned(), local));
        person
    }

    pub(crate) fn count(&self) -> usize {
        self.inner().recorded.len()
    }

    /// Whether nothing is missing; cheap when something is.
    pub(crate) fn is_satisfied(&self, seen: &Seen) -> bool {
        let inner = self.inner();
        seen.persons() >= inner.recorded.len() && inner.recorded.keys().all(|person| seen.has(person))
    }

    pub(crate) fn judge(&self, seen: &Seen) -> Verdict {
        let mut inner = self.inner();
        let _ = inner.file.flush(); // as above
        let recorded = &inner.recorded;
        let mut lost: Vec<String> = recorded
            .iter()
            .filter(|(person, _)| !seen.has(person))
            .map(|(person, (terminal, local))| format!("{person} at {terminal}, {local}"))
            .collect();
        lost.sort_unstable();
        let mut forged = seen.contradictions.clone();
        for (person, arrived) in seen.all() {
            match recorded.get(person) {
                None => forged.push(format!("nobody recorded {person} of {}", arrived.terminal)),
                Some((terminal, local)) if *terminal != arrived.terminal || local.to_string() != arrived.local => {
                    forged.push(format!(
                        "{person} was recorded at {terminal}, {local}, and arrived as of {}, {}",
                        arrived.terminal, arrived.local
                    ));
                }
                Some(_) => {}
            }
        }
        Verdict { recorded: recorded.len() as u64, lost, resends: seen.resends, twins: seen.twins.clone(), forged }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a run ended. All but the number of resends must be nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Verdict {
    pub(crate) recorded: u64,
    /// Recorded, and never arrived.
    pub(crate) lost: Vec<String>,
    /// Arrived again under the same id, which a receiver drops by it.
    pub(crate) resends: u64,
    /// One punch under two ids.
    pub(crate) twins: Vec<String>,
    /// Arrived and never recorded so, or with numbers or chains that contradict each other.
    pub(crate) forged: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_right(&self) -> bool {
        self.recorded > 0 && self.lost.is_empty() && self.twins.is_empty() && self.forged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(person: &str, id: &str, seq: u64, prev: &str, head: &str) -> Vec<u8> {
        serde_json::json!({"data": {"terminal": "t", "ledger": 7, "first": seq, "last": seq, "prev": prev, "head": head,
            "punches": [{"seq": seq, "id": id, "person": person, "local": "2026-11-20T08:00:00"}]}})
        .to_string()
        .into_bytes()
    }

    fn judged(events: &[Vec<u8>]) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let oracle = Oracle::new(folder.path()).unwrap();
        let local = jiff::civil::date(2026, 11, 20).at(8, 0, 0, 0);
        assert_eq!(oracle.record("t", local), "100001");
        assert_eq!(oracle.record("t", local), "100002");
        let mut seen = Seen::default();
        events.iter().for_each(|event| seen.take("punchgate/1/a/b/punch/t", event));
        assert_eq!(oracle.is_satisfied(&seen), oracle.judge(&seen).lost.is_empty());
        oracle.judge(&seen)
    }

    #[test]
    fn what_did_not_arrive_is_lost_and_what_came_again_is_no_twin() {
        let one = event("100001", "a", 1, "00", "01");
        let verdict = judged(&[one.clone(), one]);
        assert_eq!((verdict.recorded, verdict.lost.len(), verdict.resends), (2, 1, 1));
        assert_eq!((verdict.twins.len(), verdict.forged.len(), verdict.is_right()), (0, 0, false));
        assert!(judged(&[event("100001", "a", 1, "00", "01"), event("100002", "b", 2, "01", "02")]).is_right());
    }

    #[test]
    fn another_id_is_a_twin_and_a_stranger_is_forged() {
        let verdict = judged(&[event("100001", "a", 1, "00", "01"), event("100001", "b", 2, "01", "02")]);
        assert_eq!((verdict.twins.len(), verdict.forged.len()), (1, 0));
        assert_eq!(judged(&[event("5", "a", 1, "00", "01")]).forged.len(), 1);
    }

    #[test]
    fn a_number_for_two_punches_and_a_broken_chain_are_forged() {
        let twice = judged(&[event("100001", "a", 1, "00", "01"), event("100002", "b", 1, "00", "01")]);
        assert_eq!(twice.forged.len(), 1, "{twice:?}");
        let broken = judged(&[event("100001", "a", 1, "00", "01"), event("100002", "b", 2, "0f", "02")]);
        assert_eq!(broken.forged.len(), 1, "{broken:?}");
    }
}
