//! Acts that look at what is known anyway.

use serde_json::{Value, json};

use super::Hands;
use crate::{
    command::{Order, args, results},
    remote::{self, Failed},
    status,
    wire::health::Condition,
};

/// Terminals in one answer, and bytes that conditions have in one.
const TERMINALS: usize = 100;
const CONDITIONS: usize = 40 << 10;
const LOGS: usize = 40 << 10;

impl Hands {
    pub(super) fn terminals(&self, order: &Order) -> Result<Value, Failed> {
        let args::Page { after } = remote::args(order)?;
        let behind = |name: &str| after.as_deref().is_none_or(|after| name > after);
        let wanted = |name: &str| order.terminal.as_deref().is_none_or(|wanted| name == wanted) && behind(name);
        let mut terminals: Vec<results::Terminal> = status::lines::terminals(&self.sources)
            .into_iter()
            .filter(|line| wanted(&line.name))
            .map(|line| results::Terminal {
                name: line.name,
                driver: line.driver,
                state: line.state,
                since: line.since,
                last_seen: line.last_seen,
                last_punch: line.last_punch,
                serial: line.serial,
                firmware: line.firmware,
                skew_ms: line.skew_ms,
                records: line.records,
                capacity: line.capacity,
                punches: line.punches,
            })
            .collect();
        let more = terminals.len() > TERMINALS;
        terminals.truncate(TERMINALS);
        Ok(json!(results::Terminals { terminals, more }))
    }

    pub(super) fn conditions(&self, order: &Order) -> Result<Value, Failed> {
        status::judge(&self.sources);
        let mut conditions: Vec<Condition> = status::conditions(&self.sources, |condition| {
            order.terminal.is_none() || condition.subject == order.terminal
        });
        let mut left_out = 0;
        while json!(conditions).to_string().len() > CONDITIONS && conditions.pop().is_some() {
            left_out += 1;
        }
        Ok(json!(results::Conditions { conditions, left_out }))
    }

    pub(super) fn logs(&self, order: &Order) -> Result<Value, Failed> {
        let args::Logs { since, until, level, limit } = remote::args(order)?;
        let worst = |name: &str| match name {
            "error" => args::Level::Error,
            "warn" => args::Level::Warn,
            _ => args::Level::Info,
        };
        let mut lines: Vec<results::LogLine> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        for line in self.recent.lines().into_iter().rev() {
            let wanted = since.is_none_or(|since| line.at >= since)
                && until.is_none_or(|until| line.at < until)
                && level.is_none_or(|level| worst(line.level) <= level);
            if !wanted {
                continue;
            }
            let fields = line.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let line = results::LogLine { at: line.at, level: line.level.into(), message: line.message, fields };
            bytes += json!(line).to_string().len();
            if bytes > LOGS || lines.len() >= usize::from(limit.unwrap_or(200)) {
                more = true;
                break;
            }
            lines.push(line);
        }
        lines.reverse();
        Ok(json!(results::Logs { lines, more }))
    }
}
