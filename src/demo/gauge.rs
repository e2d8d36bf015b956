//! What the running gateway says of itself, asked over its local socket as the command line does.

use std::{collections::BTreeMap, path::Path};

use super::verdict::Claims;
use crate::console::{Answer, Request, ask};

/// One answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge {
    pub(super) claims: Claims,
    /// `connecting`, `up`, `down`
    pub(super) link: String,
    /// `connecting`, `online`, `offline`, `refused`
    pub(super) states: BTreeMap<String, String>,
    /// What is wrong and what to do.
    pub(super) headline: String,
}

impl Gauge {
    /// `None` while it is not there.
    pub(super) async fn read(socket: &Path) -> Option<Self> {
        let mut gauge = Self::default();
        // The queue first: what becomes durable between the two questions is not taken for delivered.
        for answer in ask(socket, &Request::Status).await.ok()?.all().await.ok()? {
            if let Answer::Status(status) = answer {
                gauge.claims.waiting = status.queue.undelivered;
                gauge.link = status.link.state;
                gauge.headline = status.headline;
            }
        }
        for answer in ask(socket, &Request::Terminals).await.ok()?.all().await.ok()? {
            if let Answer::Terminal(terminal) = answer {
                gauge.claims.durable += terminal.punches;
                gauge.claims.twins += terminal.twins;
                gauge.states.insert(terminal.name, terminal.state);
            }
        }
        Some(gauge)
    }
}
