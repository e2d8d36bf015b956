//! What the committer, the outboxes and the handle of the spool share.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc},
};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use super::{
    catalogue::Catalogue,
    committer::Request,
    delivery::Destination,
    disk::Disk,
    index::{Index, Writes},
    segment::{Position, StoreId, seed},
    status::{Finding, FindingKind, SpoolTrouble, Times},
};
use crate::ledger::{Entry, Ledger};

/// A punch that has just become durable.
#[derive(Debug, Clone)]
pub struct Committed {
    pub ledger: Arc<Ledger>,
    pub entry: Entry,
}

pub(super) struct Board {
    pub(super) state_dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: StoreId,
    pub(super) tenant: String,
    pub(super) gateway: String,
    catalogue: Mutex<Catalogue>,
    destinations: Mutex<Vec<Arc<Destination>>>,
    /// `None` while it is being built anew.
    pub(super) index: RwLock<Option<Index>>,
    /// Behind the last durable group.
    pub(super) end: watch::Sender<Position>,
    pub(super) committed: broadcast::Sender<Arc<Committed>>,
    /// Counts changes of troubles and findings.
    pub(super) changes: watch::Sender<u64>,
    gauges: Mutex<Gauges>,
    pub(super) requests: mpsc::Sender<Request>,
}

#[derive(Default)]
pub(super) struct Gauges {
    pub(super) times: Times,
    pub(super) twins: HashMap<u32, u64>,
    pub(super) troubles: Vec<SpoolTrouble>,
    pub(super) findings: Vec<Finding>,
}

/// Findings kept for the status; a disk that rots wholesale has made its point by then.
const FINDINGS: usize = 100;

impl Board {
    pub(super) fn new(
        settings: &super::SpoolSettings,
        disk: Arc<dyn Disk>,
        store: StoreId,
        requests: mpsc::Sender<Request>,
    ) -> Self {
        Self {
            state_dir: settings.state_dir.clone(),
            disk,
            store,
            tenant: settings.tenant.clone(),
            gateway: settings.gateway.clone(),
            catalogue: Mutex::default(),
            destinations: Mutex::default(),
            index: RwLock::new(None),
            end: watch::Sender::new(Position::default()),
            committed: broadcast::Sender::new(1024),
            changes: watch::Sender::new(0),
            gauges: Mutex::default(),
            requests,
        }
    }

    pub(super) fn journal_dir(&self) -> PathBuf {
        self.state_dir.join("journal")
    }

    pub(super) fn seed(&self) -> u32 {
        seed(&self.store)
    }

    // None of the locks is held over anything that can panic with a change half done.

    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn destinations(&self) -> Vec<Arc<Destination>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The destination of this name; a new one lacks everything that is not retired.
    pub(super) fn destination(&self, name: &str) -> Arc<Destination> {
        let retired: Vec<_> = {
            let catalogue = self.catalogue();
            catalogue.iter().filter(|it| it.retired > 0).map(|it| (it.number, it.retired)).collect()
        };
        let destination = self.destination_bare(name);
        for (ledger, last) in retired {
            destination.state().retire(ledger, last);
        }
        destination
    }

    /// The destination of this name; a new one lacks everything.
    pub(super) fn destination_bare(&self, name: &str) -> Arc<Destination> {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = destinations.iter().find(|known| known.name == name) {
            return known.clone();
        }
        let new = Arc::new(Destination::new(name));
        destinations.push(new.clone());
        new
    }

    pub(super) fn give_up(&self, name: &str) {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = destinations.iter().position(|known| known.name == name) else { return };
        let destination = destinations.remove(at);
        drop(destinations);
        let mut writes = Writes::default();
        writes.forget_destination(name);
        destination.ledgers().into_iter().for_each(|ledger| writes.forget_confirmed(name, ledger));
        if let Ok(index) = self.index.read()
            && let Some(index) = &*index
            && let Err(error) = index.write(writes)
        {
            // It is back after the next start, and can be given up again.
            warn!(%error, "a destination could not be given up for good");
        }
    }

    pub(super) fn find(&self, kind: FindingKind, text: String) {
        match kind {
            FindingKind::Damage => error!(finding = text, "the journal was found damaged"),
            FindingKind::TornTail => warn!(finding = text, "a torn write was cut off the journal"),
            FindingKind::IndexRebuilt => warn!(finding = text, "the index was set aside and built anew"),
            FindingKind::Restored => warn!(finding = text, "the store was copied or restored"),
            FindingKind::DiskRecovered => info!(finding = text, "the disk recovered"),
        }
        let mut gauges = self.gauges();
        let known = gauges.findings.iter().any(|known| known.kind == kind && known.text == text);
        if !known && gauges.findings.len() < FINDINGS {
            gauges.findings.push(Finding { at: Timestamp::now(), kind, text });
            drop(gauges);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Something of this kind is wrong from now on, or is not any more.
    pub(super) fn trouble(&self, kind: fn(String) -> SpoolTrouble, cause: Option<String>) {
        let same = std::mem::discriminant(&kind(String::new()));
        let mut gauges = self.gauges();
        let at = gauges.troubles.iter().position(|known| std::mem::discriminant(known) == same);
        match (at, cause) {
            (None, None) => return,
            (Some(at), Some(cause)) => {
                let now = kind(cause);
                if gauges.troubles[at] == now {
                    return;
                }
                gauges.troubles[at] = now;
            }
            (None, Some(cause)) => {
                let now = kind(cause);
                error!(trouble = %now, "the spool got into trouble");
                gauges.troubles.push(now);
            }
            (Some(at), None) => {
                let over = gauges.troubles.remove(at);
                info!(trouble = %over, "a trouble of the spool ended");
            }
        }
        drop(gauges);
        self.changes.send_modify(|count| *count += 1);
    }
}
