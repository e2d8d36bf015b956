//! The trust list at this gateway: kept in the journal, taken when it is newer, in force at once.

use std::sync::Arc;

use serde_json::json;
use tracing::{info, warn};

use super::Remote;
use crate::{
    command::{ENVELOPE_LIMIT, TrustList, Untrusted, sha256},
    spool::NoteKind,
};

/// The list that was taken last.
pub(super) struct Trusted {
    list: TrustList,
    /// SHA-256 of it as it travelled.
    hash: String,
}

impl Remote {
    /// Reads the list that was taken in an earlier run.
    pub(super) fn recover_trust(&mut self) -> Result<(), driver_api::NotStored> {
        self.trusted = None;
        let roots = self.parts.policy.borrow().trust.clone();
        if let (Some(roots), Some(note)) = (roots, self.parts.spool.noted(NoteKind::Trust, "")?) {
            match TrustList::signed(&note.body, &roots, &self.parts.tenant) {
                Ok(list) => self.trusted = Some(Trusted { list, hash: sha256(&note.body) }),
                Err(why) => warn!(%why, "the trust list does not hold under this config: nobody may order anything"),
            }
        }
        self.renew_policy();
        Ok(())
    }

    /// What holds now.
    pub(super) fn renew_policy(&self) {
        let list = self.trusted.as_ref().map(|trusted| &trusted.list);
        let policy = self.parts.policy.borrow().under(list, &self.parts.gateway);
        self.parts.in_force.send_replace(Arc::new(policy));
    }

    /// Judges once more what was refused before something changed here.
    pub(super) async fn take_trust_again(&mut self) {
        if let Some((payload, hash)) = self.untrusted.take() {
            self.take_trust(&payload, hash).await;
        }
    }

    /// A list came. The broker keeps it and sends it with each connection, so that the one we have is no news.
    pub(super) async fn take_trust(&mut self, payload: &[u8], hash: String) {
        if payload.is_empty() || self.trusted.as_ref().is_some_and(|trusted| trusted.hash == hash) {
            return;
        }
        // Whoever may write there could keep us busy with signatures. The broker has the right one for us at each connection.
        if !self.lists.take(1.0) {
            return;
        }
        match self.judge_trust(payload) {
            Ok(list) => self.trust(list, payload, hash).await,
            Err(why) => {
                if self.refused.count("trust") {
                    warn!(%why, "trust list refused");
                    self.audit("trust", json!({ "taken": false, "why": why, "sha256": hash })).await;
                }
                if payload.len() <= ENVELOPE_LIMIT {
                    self.untrusted = Some((payload.to_vec(), hash));
                }
            }
        }
    }

    fn judge_trust(&self, payload: &[u8]) -> Result<TrustList, String> {
        if !self.recovered {
            return Err("it is not known yet which list was taken before".into());
        }
        let roots = self.parts.policy.borrow().trust.clone().ok_or("the config names no roots")?;
        let judged = TrustList::signed(payload, &roots, &self.parts.tenant).and_then(|list| {
            let before = self.trusted.as_ref().map(|trusted| (&trusted.list, &*trusted.hash));
            let moment = self.moment();
            list.follows(before, moment.now.max(moment.floor)).map(|()| list)
        });
        judged.map_err(|why: Untrusted| why.to_string())
    }

    async fn trust(&mut self, list: TrustList, payload: &[u8], hash: String) {
        let told = json!({
            "taken": true, "version": list.version, "expires": list.expires, "operators": list.operators.len(),
            "sha256": hash,
        });
        // As with orders: in the log and in the journal first.
        if !self.audit("trust", told).await {
            return;
        }
        if let Err(error) = self.parts.spool.note(NoteKind::Trust, "", payload.to_vec()).await {
            return warn!(%error, "a trust list could not be written down, and is not taken");
        }
        info!(version = list.version, operators = list.operators.len(), "trust list taken");
        self.trusted = Some(Trusted { list, hash });
        self.renew_policy();
        self.judge_lockdown().await;
    }
}
