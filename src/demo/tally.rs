//! What was punched and what arrived, as both ends saw it; what the gateway says of itself is not believed here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driver_api::Raw;
use jiff::civil::DateTime;
use serde::Deserialize;

/// How many of the latest arrivals are kept to be shown.
const SHOWN: usize = 5;

/// One punch, by what terminal and message both say of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Punched {
    pub(super) terminal: String,
    pub(super) person: String,
    /// As the terminal's clock had it; `None` where it has none, and the gateway gives its own time.
    pub(super) local: Option<DateTime>,
    /// The terminal's own codes, as [`code`] writes them.
    pub(super) verify: String,
    pub(super) direction: String,
}

/// A code, so that no text is taken for a number.
pub(super) fn code(raw: Option<Raw>) -> String {
    raw.map_or_else(|| "none".into(), |raw| format!("{raw:?}"))
}

/// What was punched, and how often: two in one second may be equal.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) punches: BTreeMap<Punched, u64>,
    pub(super) count: u64,
    pub(super) by_terminal: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, punch: Punched) {
        self.count += 1;
        *self.by_terminal.entry(punch.terminal.clone()).or_default() += 1;
        *self.punches.entry(punch).or_default() += 1;
    }
}

/// A place in a ledger that nobody else may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) terminal: String,
    pub(super) ledger: i64,
    pub(super) seq: u64,
}

/// What arrived at the subscriber.
#[derive(Debug, Default, Clone)]
pub(super) struct Arrivals {
    /// Where and as what each id was seen; more than one is wrong.
    pub(super) by_id: BTreeMap<String, BTreeSet<(Place, Punched)>>,
    pub(super) by_terminal: BTreeMap<String, u64>,
    /// Punches that came again under the same id and place, as QoS 1 may do after a connection broke.
    pub(super) repeated: u64,
    /// Messages that could not be read.
    pub(super) garbled: Vec<String>,
    pub(super) latest: VecDeque<Arrival>,
}

/// One arrival, for people.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) place: Place,
    pub(super) person: String,
    pub(super) local: DateTime,
    pub(super) direction: String,
    pub(super) verify: String,
    pub(super) origin: String,
}

/// The part of a message that counts here; see `docs/schema`.
#[derive(Deserialize)]
struct Message {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    terminal: String,
    ledger: i64,
    punches: Vec<Punch>,
}

#[derive(Deserialize)]
struct Punch {
    seq: u64,
    id: String,
    person: String,
    local: DateTime,
    direction: Mark,
    verify: Mark,
    origin: String,
}

#[derive(Deserialize)]
struct Mark {
    value: String,
    raw: Option<Raw>,
}

impl Arrivals {
    /// Different punches that arrived.
    pub(super) fn count(&self) -> u64 {
        self.by_id.len() as u64
    }

    /// Takes the payload of a message on `punch/{terminal}`.
    pub(super) fn take(&mut self, payload: &[u8]) {
        match serde_json::from_slice::<Message>(payload) {
            Ok(Message { data }) => {
                for punch in data.punches {
                    self.arrived(&data.terminal, data.ledger, punch);
                }
            }
            Err(error) => self.garbled.push(error.to_string()),
        }
    }

    fn arrived(&mut self, terminal: &str, ledger: i64, punch: Punch) {
        let place = Place { terminal: terminal.into(), ledger, seq: punch.seq };
        let Punch { id, person, local, direction, verify, origin, .. } = punch;
        let seen = Punched {
            terminal: terminal.into(),
            person: person.clone(),
            local: Some(local),
            verify: code(verify.raw),
            direction: code(direction.raw),
        };
        let is_first = !self.by_id.contains_key(&id);
        if !self.by_id.entry(id).or_default().insert((place.clone(), seen)) {
            self.repeated += 1;
            return;
        }
        if is_first {
            *self.by_terminal.entry(terminal.into()).or_default() += 1;
        }
        if self.latest.len() == SHOWN {
            self.latest.pop_front();
        }
        let (direction, verify) = (direction.value, verify.value);
        self.latest.push_back(Arrival { place, person, local, direction, verify, origin });
    }
}
