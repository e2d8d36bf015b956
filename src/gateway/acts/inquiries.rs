//! Acts that find out: why a punch is missing, what is wrong.

use std::io;

use jiff::{Timestamp, civil::DateTime};
use serde_json::{Value, json};

use super::Hands;
use crate::{
    bundle::Scrub,
    command::{Order, args, results},
    config,
    doctor::{self, Examination},
    inquiry::{Question, Silence, Standing, Today, Trail, Wall},
    remote::{self, Failed},
    spool, status,
};

/// For how long around a time a punch is looked for, in seconds.
const WITHIN: u16 = 1800;
/// Bytes that findings have in one answer, and items of each list of a trail.
const FINDINGS: usize = 40 << 10;
const ITEMS: usize = 40;

impl Hands {
    pub(super) async fn why(&self, order: &Order) -> Result<Value, Failed> {
        let args::Why { person, at, within_s } = remote::args(order)?;
        match (person.zip(at), &order.terminal) {
            (Some((person, at)), terminal) => {
                let at = self.moment(at, terminal.as_deref())?;
                let within_s = within_s.unwrap_or(WITHIN).into();
                self.trail(Question { person, at, within_s, terminal: terminal.clone() }).await
            }
            (None, Some(terminal)) => self.silence(terminal.clone()).await,
            (None, None) => Err(Failed::Plainly("ask for a person and a time, or for a terminal".into())),
        }
    }

    /// By the terminal's clock; where only a time is said, of its today.
    fn moment(&self, at: Wall, terminal: Option<&str>) -> Result<DateTime, Failed> {
        let time = match at {
            Wall::Moment(moment) => return Ok(moment),
            Wall::Day(day) => return Ok(day.into()),
            Wall::Time(time) => time,
        };
        match config::site(self.reloader.path()).unwrap_or_default().today(terminal, Timestamp::now()) {
            Today::At { date, .. } => Ok(date.to_datetime(time)),
            Today::Several(_) => {
                Err(Failed::Plainly("it is not the same day at every terminal: write the date".into()))
            }
        }
    }

    async fn trail(&self, question: Question) -> Result<Value, Failed> {
        let now = status::lines::standing(&self.sources, |name| question.asks_of(name));
        let state_dir = self.sources.state_dir.clone();
        let (site, asked) = (config::site(self.reloader.path()).unwrap_or_default(), question.terminal.clone());
        let trail = look(move || spool::trace(&state_dir, &question, &site, Timestamp::now())).await?;
        if let Some(name) = asked.filter(|name| !trail.known.contains(name)) {
            return Err(unheard_of(&name));
        }
        let verdict = Some(name(&trail.verdict()));
        let Trail { found, near, terminals, gateway, unreadable, .. } = trail;
        let found = found.into_iter().take(ITEMS).map(|way| results::Found {
            terminal: way.terminal,
            serial: way.serial,
            ledger: way.ledger,
            seq: way.seq,
            id: way.id.to_string(),
            pseudonym: self.key.pseudonym(&way.person),
            local: way.local,
            zone: way.zone,
            utc: way.utc,
            corrected: way.corrected,
            clock: way.clock,
            origin: way.origin,
            flags: way.flags,
            durable: way.durable,
            segment: way.segment,
            offset: way.offset,
            delivered: way.delivered,
            delivered_by: way.delivered_by,
        });
        let near = near.into_iter().take(ITEMS);
        let near = near.map(|it| results::Near { terminal: it.terminal, local: it.local, id: it.id.to_string() });
        let terminals = terminals.into_iter().take(ITEMS).map(|it| results::Around {
            terminal: it.terminal,
            punches: it.punches,
            retired: it.retired,
            before: it.before,
            after: it.after,
            standing: stood(it.standing),
            to_come: it.to_come,
            set_aside: it.set_aside,
            set_aside_all: it.set_aside_all,
            lost: it.lost.into_iter().take(ITEMS).collect(),
        });
        Ok(json!(results::Why {
            verdict,
            found: found.collect(),
            near: near.collect(),
            terminals: terminals.collect(),
            gateway: stood(gateway),
            unreadable: unreadable as u64,
            silence: None,
            now,
        }))
    }

    async fn silence(&self, terminal: String) -> Result<Value, Failed> {
        let now = status::lines::standing(&self.sources, |name| name == terminal);
        let state_dir = self.sources.state_dir.clone();
        let site = config::site(self.reloader.path()).unwrap_or_default();
        let silence = look(move || spool::silence(&state_dir, &terminal, &site, Timestamp::now())).await?;
        if !silence.known.contains(&silence.terminal) {
            return Err(unheard_of(&silence.terminal));
        }
        let Silence { last, now: wall, weeks, judgement, untold, .. } = silence;
        let silence = results::Silence { last, now: wall, weeks, judgement: name(&judgement), untold };
        Ok(json!(results::Why {
            verdict: None,
            found: vec![],
            near: vec![],
            terminals: vec![],
            gateway: vec![],
            unreadable: 0,
            silence: Some(silence),
            now,
        }))
    }

    /// The examination of the command line, by the daemon itself: of what it has open it asks itself.
    pub(super) async fn doctor(&self, order: &Order) -> Result<Value, Failed> {
        let config = self.reloader.path().to_path_buf();
        let scrub = Scrub::of(&config);
        let report = doctor::examine(&Examination { config, terminal: order.terminal.clone() }).await;
        let first = report.first_cause().map(|finding| finding.check.to_owned());
        let mut told = json!(report.findings);
        scrub.clean(&mut told);
        let findings: Result<Vec<results::Finding>, _> = serde_json::from_value(told);
        let mut findings = findings.map_err(|error| Failed::Plainly(error.to_string()))?;
        let (mut bytes, mut left_out) = (json!(findings).to_string().len(), 0);
        // What is well says least.
        while bytes > FINDINGS {
            let milder = findings.iter().rposition(|finding| matches!(&*finding.outcome, "well" | "skipped"));
            let Some(at) = milder.or(findings.len().checked_sub(1)) else { break };
            bytes = bytes.saturating_sub(json!(findings.remove(at)).to_string().len());
            left_out += 1;
        }
        Ok(json!(results::Doctor { well: report.is_well(), first, findings, left_out }))
    }
}

/// A name that was mistyped is silent for ever; that says nothing of any terminal.
fn unheard_of(terminal: &str) -> Failed {
    Failed::Plainly(format!("no terminal named {terminal:?} is known here, neither in the config nor in the journal"))
}

/// Reads the journal, which blocks.
async fn look<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failed> {
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|error| Failed::Plainly(format!("the journal cannot be read: {error}")))
}

fn stood(standing: Vec<(Timestamp, Standing)>) -> Vec<results::Stood> {
    let latest = standing.len().saturating_sub(ITEMS);
    standing.into_iter().skip(latest).map(|(at, it)| results::Stood { at, standing: name(&it) }).collect()
}

/// A word of an enumeration, as it is written everywhere.
fn name(word: &impl serde::Serialize) -> String {
    json!(word).as_str().unwrap_or_default().to_owned()
}
