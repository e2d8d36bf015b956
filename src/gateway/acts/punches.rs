//! Acts on punches: looking them up, and sending them again.

use serde_json::{Value, json};

use super::Hands;
use crate::{
    command::{Order, args, results},
    ledger::Segment,
    remote::{self, Failed, Progress},
    spool::Filter,
    wire::{punch_event, suffix},
};

/// Punches that are looked through for one id or the end of a period.
const LOOKED_AT: usize = 20_000;
/// Messages on their way at once.
const UNDER_WAY: usize = 32;

impl Hands {
    pub(super) async fn punches(&self, order: &Order) -> Result<Value, Failed> {
        let args::Punches { id, person, since, until, limit } = remote::args(order)?;
        let limit = usize::from(limit.unwrap_or(50));
        let looked_at = if id.is_some() || until.is_some() { LOOKED_AT } else { limit };
        let filter = Filter { terminal: order.terminal.clone(), person, since, limit: looked_at };
        let found = self.sources.spool.recent(filter).await;
        let found = found.map_err(|error| Failed::Plainly(format!("the journal cannot be read: {error}")))?;
        let mut more = found.len() >= looked_at;
        let ledgers = self.sources.spool.status().ledgers;
        let mut punches = Vec::new();
        for (ledger, entry) in found {
            let wanted = id.as_ref().is_none_or(|id| entry.id.to_string() == *id)
                && until.is_none_or(|until| entry.stored < until);
            if !wanted {
                continue;
            }
            if punches.len() >= limit {
                more = true;
                break;
            }
            let status = ledgers.iter().find(|status| status.ledger == ledger);
            let through = status.and_then(|status| status.confirmed_through.first()).map_or(0, |(_, through)| *through);
            punches.push(results::Punch {
                terminal: ledger.terminal.clone(),
                ledger: ledger.begun,
                seq: entry.seq,
                id: entry.id.to_string(),
                pseudonym: self.key.pseudonym(&entry.person),
                local: entry.local,
                zone: entry.zone.to_string(),
                utc: entry.utc,
                stored: entry.stored,
                direction: entry.direction,
                verify: entry.verify,
                origin: entry.origin,
                flags: entry.flags,
                delivered: entry.seq <= through,
            });
        }
        Ok(json!(results::Punches { punches, more }))
    }

    /// Beside what the courier carries anyway: nothing that is confirmed becomes unconfirmed by it.
    pub(super) async fn replay(&self, order: &Order, progress: &Progress) -> Result<Value, Failed> {
        let args::Range { ledger, first, last } = remote::args(order)?;
        let terminal = order.terminal.clone().unwrap_or_default();
        let state_dir = self.sources.state_dir.clone();
        let of_terminal = terminal.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut segments: Vec<Segment> = Vec::new();
            for one in crate::spool::export(&state_dir)? {
                let crate::spool::Exported::Punch(of, entry) = one? else { continue };
                if of.terminal != of_terminal || of.begun != ledger || !(first..=last).contains(&entry.seq) {
                    continue;
                }
                match segments.last_mut() {
                    Some(segment) if segment.entries.len() < Segment::LIMIT && segment.last() + 1 == entry.seq => {
                        segment.entries.push(entry);
                    }
                    _ => segments.push(Segment { ledger: of, entries: vec![entry] }),
                }
            }
            std::io::Result::Ok(segments)
        });
        let segments = match read.await {
            Ok(Ok(segments)) => segments,
            Ok(Err(error)) => return Err(Failed::Plainly(format!("the journal cannot be read: {error}"))),
            Err(_) => return Err(Failed::Plainly("reading the journal was given up".into())),
        };
        if segments.is_empty() {
            return Err(Failed::Plainly("none of these punches is on this disk any more, or ever was".into()));
        }
        let (mut punches, messages) = (0, segments.len() as u64);
        for segment in segments {
            while self.board.letters() >= UNDER_WAY {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            self.board.send(suffix::punch(&terminal), punch_event(&segment.ledger, &segment.entries));
            punches += segment.entries.len() as u64;
            if punches % 2000 == 0 {
                progress.tell(format!("{punches} punches sent again"));
            }
        }
        Ok(json!(results::Replayed { punches, messages }))
    }
}
