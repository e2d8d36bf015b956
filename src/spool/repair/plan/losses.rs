//! What a repair records as lost.

use super::{
    super::{
        super::{doubt::nameless, lock::Content, ranges::Ranges, record::LostRecord},
        RepairLoss,
    },
    Planner,
};

const MISSING: &str = "its record was damaged or missing when the journal was repaired";
const CHANGED: &str = "its record was changed after it was written: found when the journal was repaired";
const END: &str = "the journal lost its end before it was repaired";

/// A hole in parts: what was changed, and what was not.
fn apart((first, last): (u64, u64), changed: &Ranges) -> Vec<(u64, u64)> {
    let missing = changed.missing(first, last);
    let rest: Ranges = missing.iter().copied().collect();
    let mut parts = [missing, rest.missing(first, last)].concat();
    parts.sort_unstable();
    parts
}

impl Planner<'_> {
    /// What is missing and is not recorded as lost yet, and the ledgers whose last number nobody knows.
    pub(super) fn losses(&mut self) -> Vec<LostRecord<'static>> {
        let now = self.now.as_millisecond();
        let mut lost = Vec::new();
        // Without the index nobody knows what stood behind the end.
        let vouched = self.survey.indexed && self.survey.left.as_ref().is_some_and(Content::is_closed);
        for (&number, known) in &self.survey.ledgers {
            let Some(ledger) = &known.ledger else {
                self.plan.nameless.extend((known.delivered > 0).then(|| nameless(number, known.delivered)));
                continue;
            };
            for (first, last) in known.untold().into_iter().flat_map(|hole| apart(hole, &known.changed)) {
                let until = known.stored.get(&(last + 1)).copied().unwrap_or(now);
                let why = if known.changed.covers(first, last) { CHANGED } else { MISSING };
                lost.push(LostRecord { ledger: number, first, last, until, at: now, closes: false, why });
                self.plan.losses.push(RepairLoss {
                    terminal: ledger.terminal.clone(),
                    ledger: ledger.begun,
                    first,
                    last,
                });
            }
            let have = known.have();
            let behind = known.indexed.map_or(0, |next| next.saturating_sub(1)).max(known.heard);
            // Its last punches may have stood where nothing can be read.
            let unheard = self.damaged_to > self.survey.indexed_to.max(known.vouched);
            if known.closed || !(behind > have || (self.lost_end && !vouched) || unheard) {
                continue;
            }
            let why = match self.lost_end {
                _ if known.changed.covers(have + 1, behind) => CHANGED,
                true => END,
                false => MISSING,
            };
            let (first, last) = (have + 1, behind.max(have));
            lost.push(LostRecord { ledger: number, first, last, until: now, at: now, closes: true, why });
            if first <= last {
                self.plan.losses.push(RepairLoss {
                    terminal: ledger.terminal.clone(),
                    ledger: ledger.begun,
                    first,
                    last,
                });
            }
            self.plan.ended.push(ledger.terminal.clone());
        }
        lost
    }
}
