//! A fleet of gateways as its topics tell: what is wrong where, worst first. Pure; whatever a broker sends is looked at with care.
//!
//! Of each document only what is shown is kept, and the words of a code are kept once, so that a thousand gateways with twenty
//! terminals each fit into little memory.

mod documents;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use documents::{ConditionDoc, HealthDoc, IncidentDoc, OpenDoc, StateDoc, TerminalDoc};

/// More than anybody looks at on one screen; a broker that tells of more is not believed.
const GATEWAYS: usize = 20_000;
const TERMINALS: usize = 2_000;
const CODES: usize = 400;
const TEXT: usize = 400;
/// A gateway whose health is older says nothing any more, in seconds.
const SILENT: i64 = 180;

/// Everything that was heard.
#[derive(Default)]
pub struct Fleet {
    gateways: BTreeMap<Box<str>, Gateway>,
    words: HashMap<Box<str>, Arc<Words>>,
    /// Documents that made no sense.
    pub garbled: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    code: Box<str>,
    title: [Box<str>; 2],
    mend: [Box<str>; 2],
}

#[derive(Default)]
struct Gateway {
    state: Box<str>,
    state_since: Option<Timestamp>,
    health_at: Option<Timestamp>,
    version: Box<str>,
    undelivered: u64,
    online: u64,
    terminals: u64,
    wrong: Vec<Wrong>,
    /// Those with something wrong.
    wrong_terminals: BTreeMap<Box<str>, Vec<Wrong>>,
    /// By code.
    incidents: BTreeMap<Box<str>, Vec<Open>>,
}

struct Wrong {
    words: Arc<Words>,
    subject: Option<Box<str>>,
    severity: Severity,
    since: Timestamp,
    cause: Box<str>,
}

/// Worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    High,
    Medium,
    Low,
}

struct Open {
    number: u64,
    subject: Option<Box<str>>,
    acknowledged_by: Option<Box<str>>,
    left_s: i64,
    heard: Timestamp,
}

/// One thing that is wrong, for a line of the screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub gateway: String,
    /// The terminal or whatever it is about; null is the gateway itself.
    pub subject: Option<String>,
    pub severity: Severity,
    pub code: String,
    pub since: Option<Timestamp>,
    pub title: String,
    pub cause: String,
    pub mend: String,
    pub incident: Option<u64>,
    pub acknowledged_by: Option<String>,
    /// Seconds until its target has passed; negative when it has.
    pub left_s: Option<i64>,
}

/// How the whole stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub gateways: usize,
    /// With something wrong of high severity, or silent.
    pub bad: usize,
    pub terminals: u64,
    pub online: u64,
    pub undelivered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    En,
    Zh,
}

/// Short enough, and without what would move a cursor.
fn tame(text: &str) -> Box<str> {
    text.chars().filter(|c| !c.is_control()).take(TEXT).collect::<String>().into()
}

impl Fleet {
    /// Takes a message of `punchgate/1/{tenant}/{gateway}/{suffix}`, by gateway and suffix.
    pub fn take(&mut self, gateway: &str, suffix: &str, payload: &[u8]) {
        if !self.gateways.contains_key(gateway) {
            if self.gateways.len() >= GATEWAYS {
                return;
            }
            self.gateways.insert(gateway.into(), Gateway::default());
        }
        if self.learn(gateway, suffix, payload).is_none() {
            self.garbled += 1;
        }
    }

    fn learn(&mut self, gateway: &str, suffix: &str, payload: &[u8]) -> Option<()> {
        let (words, gateway) = (&mut self.words, self.gateways.get_mut(gateway)?);
        if let Some(terminal) = suffix.strip_prefix("health/") {
            let wrong = match payload.is_empty() {
                true => vec![],
                false => wrongs(words, serde_json::from_slice::<TerminalDoc<'_>>(payload).ok()?.conditions),
            };
            if wrong.is_empty() {
                gateway.wrong_terminals.remove(terminal);
            } else if gateway.wrong_terminals.len() < TERMINALS {
                gateway.wrong_terminals.insert(terminal.into(), wrong);
            }
        } else if let Some(code) = suffix.strip_prefix("incident/") {
            if payload.is_empty() {
                gateway.incidents.remove(code);
                return Some(());
            }
            let IncidentDoc { at, open } = serde_json::from_slice(payload).ok()?;
            let one = |it: OpenDoc<'_>| Open {
                number: it.number,
                subject: it.subject.as_deref().map(tame),
                acknowledged_by: it.acknowledged.map(|it| tame(&it.by)),
                left_s: i64::try_from(it.target_s)
                    .ok()
                    .zip(i64::try_from(it.open_s).ok())
                    .map_or(0, |(all, open)| all - open),
                heard: at,
            };
            gateway.incidents.insert(code.into(), open.into_iter().map(one).collect());
        } else if suffix == "state" {
            let StateDoc { state, since } = serde_json::from_slice(payload).ok()?;
            (gateway.state, gateway.state_since) = (tame(&state), since);
        } else if suffix == "health" {
            let health: HealthDoc<'_> = serde_json::from_slice(payload).ok()?;
            gateway.health_at = Some(health.at);
            gateway.version = tame(&health.version);
            (gateway.terminals, gateway.online) = (health.terminals, health.terminals_online);
            gateway.undelivered = health.queue.undelivered;
            gateway.wrong = wrongs(words, health.conditions);
        }
        Some(())
    }

    pub fn sum(&self, now: Timestamp) -> Sum {
        let mut sum = Sum { gateways: self.gateways.len(), ..Sum::default() };
        for gateway in self.gateways.values() {
            let all = gateway.wrong.iter().chain(gateway.wrong_terminals.values().flatten());
            let bad = gateway.absence(now).is_some() || all.into_iter().any(|it| it.severity == Severity::High);
            sum.bad += usize::from(bad);
            sum.terminals += gateway.terminals;
            sum.online += gateway.online;
            sum.undelivered += gateway.undelivered;
        }
        sum
    }

    /// What is wrong anywhere, worst first, the oldest of each severity first; only what holds all words of the filter.
    pub fn rows(&self, filter: &str, language: Language, now: Timestamp) -> Vec<Row> {
        let wanted: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
        let mut rows = Vec::new();
        for (name, gateway) in &self.gateways {
            let absent = gateway.absence(now).map(|(code, title, cause, mend, since)| Row {
                gateway: name.to_string(),
                subject: None,
                severity: Severity::High,
                code: code.into(),
                since,
                title: title.into(),
                cause,
                mend: mend.into(),
                incident: None,
                acknowledged_by: None,
                left_s: None,
            });
            rows.extend(absent);
            let of_terminals =
                gateway.wrong_terminals.iter().flat_map(|(name, all)| all.iter().map(move |it| (Some(&**name), it)));
            for (terminal, wrong) in gateway.wrong.iter().map(|it| (None, it)).chain(of_terminals) {
                rows.push(gateway.row(name, terminal, wrong, language, now));
            }
        }
        let text = |row: &Row| {
            let subject = row.subject.as_deref().unwrap_or_default();
            let severity = format!("{:?}", row.severity);
            [&row.gateway, subject, &row.code, &row.title, &row.cause, &severity].join(" ").to_lowercase()
        };
        if !wanted.is_empty() {
            rows.retain(|row| {
                let text = text(row);
                wanted.iter().all(|word| text.contains(word))
            });
        }
        rows.sort_by(|a, b| (a.severity, a.since, &a.gateway).cmp(&(b.severity, b.since, &b.gateway)));
        rows
    }
}

fn wrongs(words: &mut HashMap<Box<str>, Arc<Words>>, all: Vec<ConditionDoc<'_>>) -> Vec<Wrong> {
    let mut one = |it: ConditionDoc<'_>| {
        let same = |known: &Arc<Words>| *known.title[0] == *it.title.en && *known.mend[0] == *it.mend.en;
        let kept = match words.get(&*it.code).cloned() {
            Some(known) if same(&known) => known,
            known => {
                let fresh = Arc::new(Words {
                    code: tame(&it.code),
                    title: [tame(&it.title.en), tame(&it.title.zh)],
                    mend: [tame(&it.mend.en), tame(&it.mend.zh)],
                });
                if known.is_none() && words.len() < CODES {
                    words.insert((&*it.code).into(), fresh.clone());
                }
                fresh
            }
        };
        let subject = it.subject.as_deref().map(tame);
        Wrong { words: kept, subject, severity: it.severity, since: it.since, cause: tame(&it.cause) }
    };
    all.into_iter().map(&mut one).collect()
}

impl Gateway {
    /// Why nobody can know how it is: code, title, cause, mend, since.
    #[allow(clippy::type_complexity, reason = "five columns of a row that is made right away")]
    fn absence(&self, now: Timestamp) -> Option<(&'static str, &'static str, String, &'static str, Option<Timestamp>)> {
        let mend = "Look at its power and its network; on site: systemctl status punchgate, then punchgate doctor.";
        match &*self.state {
            "lost" => {
                let cause = "the broker lost its connection".to_owned();
                return Some(("gateway-lost", "Gateway lost", cause, mend, self.health_at));
            }
            // It was told to stop.
            "offline" | "draining" => {
                let cause = format!("it said {} and left", self.state);
                return Some(("gateway-offline", "Gateway switched off", cause, mend, self.state_since));
            }
            _ => {}
        }
        let at = self.health_at?;
        let age = now.as_second() - at.as_second();
        let cause = || format!("its last health is {} minutes old", age / 60);
        (age > SILENT).then(|| ("gateway-silent", "Gateway silent", cause(), mend, Some(at)))
    }

    fn row(&self, name: &str, terminal: Option<&str>, it: &Wrong, language: Language, now: Timestamp) -> Row {
        let at = match language {
            Language::En => 0,
            Language::Zh => 1,
        };
        let subject = it.subject.as_deref().or(terminal);
        let mut incidents = self.incidents.get(&it.words.code).into_iter().flatten();
        let incident = incidents.find(|open| open.subject.as_deref() == subject);
        Row {
            gateway: name.to_owned(),
            subject: subject.map(str::to_owned),
            severity: it.severity,
            code: it.words.code.to_string(),
            since: Some(it.since),
            title: it.words.title[at].to_string(),
            cause: it.cause.to_string(),
            mend: it.words.mend[at].to_string(),
            incident: incident.map(|open| open.number),
            acknowledged_by: incident.and_then(|open| open.acknowledged_by.as_deref().map(str::to_owned)),
            left_s: incident.map(|open| open.left_s - (now.as_second() - open.heard.as_second()).max(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [(&str, &str); 4] = [
        ("health", include_str!("../tests/golden/1/health.json")),
        ("health/front-door", include_str!("../tests/golden/1/terminal-health.json")),
        ("state", include_str!("../tests/golden/1/state.json")),
        ("incident/terminal-offline", include_str!("../tests/golden/1/incident.json")),
    ];

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        for gateway in ["sz-03", "sz-04"] {
            GOLDEN.iter().for_each(|(suffix, text)| fleet.take(gateway, suffix, text.as_bytes()));
        }
        fleet
    }

    #[test]
    fn what_the_contract_publishes_is_read_and_shown_with_its_incident() {
        let fleet = fleet();
        let now = at("2026-11-20T01:02:13Z");
        let rows = fleet.rows("sz-03 door", Language::Zh, now);
        assert_eq!((fleet.garbled, rows.len()), (0, 2), "the golden health tells of the terminal too");
        let row = &rows[0];
        assert_eq!(
            (row.subject.as_deref(), row.code.as_str(), row.title.as_str()),
            (Some("front-door"), "terminal-offline", "考勤机离线")
        );
        assert_eq!((row.incident, row.acknowledged_by.as_deref()), (Some(17), Some("li-wei")));
        assert_eq!(row.left_s, Some(86_400 - 103 - 10));
        assert_eq!(fleet.rows("nobody", Language::En, now), []);
        let sum = fleet.sum(now);
        assert_eq!((sum.gateways, sum.bad, sum.terminals, sum.online, sum.undelivered), (2, 0, 4, 2, 82));
    }

    #[test]
    fn a_gateway_that_is_lost_or_says_nothing_comes_first() {
        let mut fleet = fleet();
        let state = r#"{"state":"lost","epoch":1,"since":null,"reason":null}"#;
        fleet.take("sz-04", "state", state.as_bytes());
        let soon = at("2026-11-20T01:03:00Z");
        assert_eq!(fleet.rows("", Language::En, soon)[0].code, "gateway-lost");
        assert_eq!(fleet.sum(soon).bad, 1);
        let later = at("2026-11-20T01:06:00Z");
        let codes: Vec<_> =
            fleet.rows("high", Language::En, later).into_iter().map(|row| (row.gateway, row.code)).collect();
        assert_eq!(codes, [("sz-03".into(), "gateway-silent".into()), ("sz-04".into(), "gateway-lost".into())]);
    }

    #[test]
    fn what_is_over_goes_and_what_makes_no_sense_is_counted() {
        let mut fleet = fleet();
        fleet.take("sz-03", "health/front-door", b"");
        fleet.take("sz-03", "incident/terminal-offline", b"");
        let rows = fleet.rows("sz-03", Language::En, at("2026-11-20T01:02:13Z"));
        assert_eq!((rows.len(), rows[0].incident), (1, None));
        for rubbish in [&b"{"[..], b"null", b"{\"conditions\": 7}", b"\xff"] {
            fleet.take("sz-03", "health/front-door", rubbish);
        }
        assert_eq!(fleet.garbled, 4);
        fleet.take("sz-03", "something/new", b"x");
        assert_eq!(fleet.garbled, 4, "topics to come are none of our business");
        let evil = GOLDEN[1].1.replace("cannot reach", "\\u001b[2Jcannot reach");
        fleet.take("sz-05", "health/front-door", evil.as_bytes());
        let rows = fleet.rows("sz-05", Language::En, at("2026-11-20T01:02:13Z"));
        assert!(rows[0].cause.starts_with("[2Jcannot"), "{rows:?}");
    }
}
