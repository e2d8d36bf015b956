//! The health report for whoever supports this gateway from afar: the figures that matter most at once, the whole in parts.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::Hands;
use crate::{
    bundle::{self, Bundle},
    command::{Order, args, results, sha256},
    remote::{self, Failed, Progress},
    report::{self, Language, Report, Wanted, html},
};

/// Lines of what to renew in an answer, and letters of each.
const RENEW: usize = 20;
const LINE: usize = 200;

impl Hands {
    /// Makes one, or tells again of the one that was made.
    pub(super) async fn report(&self, order: &Order, progress: &Progress) -> Result<Value, Failed> {
        let args::Report { from, to, form, bundle } = remote::args(order)?;
        let (kept, summary) = match bundle {
            Some(id) => (self.kept(&id)?, None),
            None => {
                let (from, to) = report::period(from, to);
                if from >= to {
                    return Err(Failed::Plainly("the time ends before it begins".into()));
                }
                progress.tell("the journal is read");
                let known = self.sources.health.terminals();
                let firmware =
                    known.into_iter().map(|(name, it)| (name, (it.driver.to_owned(), it.firmware))).collect();
                let state_dir = self.sources.state_dir.clone();
                let wanted = Wanted { state_dir, from, to, advisories: None, firmware };
                let gateway = self.sources.gateway.clone();
                let made = tokio::task::spawn_blocking(move || {
                    let report = wanted.read().map_err(|error| error.to_string())?;
                    let text = match form.unwrap_or(args::ReportForm::En) {
                        args::ReportForm::En => html(&report, Language::En),
                        args::ReportForm::Zh => html(&report, Language::Zh),
                        args::ReportForm::Json => json!(report).to_string() + "\n",
                    };
                    let bytes = text.into_bytes();
                    let made = Bundle { id: bundle::new_id(Some(&gateway)), sha256: sha256(&bytes), bytes };
                    Ok::<_, String>((made, summary(&report)))
                });
                let made = made.await.map_err(|error| Failed::Plainly(error.to_string()))?;
                let (made, summary) = made.map_err(Failed::Plainly)?;
                let made = Arc::new(made);
                *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
                (made, Some(summary))
            }
        };
        let (bundle, bytes, sha256) = (kept.id.clone(), kept.bytes.len() as u64, kept.sha256.clone());
        Ok(json!(results::Report { bundle, bytes, sha256, summary }))
    }
}

fn summary(report: &Report) -> results::ReportSummary {
    let online = |it: &&report::Terminal| it.online_percent.is_some();
    let worst = report.terminals.iter().filter(online).min_by(|a, b| {
        let of = |it: &report::Terminal| it.online_percent.unwrap_or_default();
        of(a).total_cmp(&of(b))
    });
    let line = |it: &report::Renew| format!("{}: {} ({})", it.what, it.why, it.source).chars().take(LINE).collect();
    results::ReportSummary {
        from: report.from,
        to: report.to,
        up_percent: report.minutes.up_percent,
        broker_up_percent: report.minutes.broker_up_percent,
        punches: report.punches.total,
        undelivered: report.punches.undelivered,
        terminals: report.terminals.len() as u64,
        worst_terminal: worst.map(|it| it.terminal.clone()),
        worst_online_percent: worst.and_then(|it| it.online_percent),
        lost: report.terminals.iter().map(|it| it.lost).sum(),
        days_left: report.capacity.days_left,
        incidents: report.incidents.all.len() as u64,
        breached: report.incidents.breached as u64,
        renew: report.renew.iter().take(RENEW).map(line).collect(),
        renew_count: report.renew.len() as u64,
        advisories_of: report.dependencies.list.as_ref().and_then(|list| list.newest),
    }
}
