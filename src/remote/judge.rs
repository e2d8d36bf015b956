//! Whether a request is done: everything that stands between its bytes and the act, in order.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use super::{ACTS, Remote, Work, book::Page};
use crate::{
    command::{
        CHALLENGE, Class, ENVELOPE_LIMIT, Envelope, KeyId, Malformed, Moment, Operator, Order, Policy, Purpose,
        Refusal, Response, Standing, is_fresh, is_uuid7, order_in, without_persons,
    },
    mqtt::Message,
};

/// A refused request, as far as it could be read.
pub(super) struct Turned {
    pub(super) refusal: Refusal,
    id: Option<String>,
    command: Option<String>,
    by: Vec<String>,
}

impl Remote {
    /// `None`: it was answered before, and is answered again.
    pub(super) async fn judge(&mut self, message: &Message, request: &str) -> Result<Option<Work>, Box<Turned>> {
        let topic_id = self.topics.suffix(&message.topic).and_then(|suffix| suffix.strip_prefix("request/"));
        let topic_id = topic_id.filter(|id| is_uuid7(id)).map(str::to_owned);
        let mut turned = Turned { refusal: Refusal::Busy, id: topic_id.clone(), command: None, by: vec![] };
        let refuse = |turned: Turned, refusal| Err(Box::new(Turned { refusal, ..turned }));
        if message.retain {
            return refuse(turned, Refusal::Retained);
        }
        if message.payload.len() > ENVELOPE_LIMIT {
            let long = Malformed::too_long(message.payload.len());
            return refuse(turned, Refusal::Malformed(long));
        }
        let envelope = match Envelope::read(&message.payload, Purpose::Command) {
            Ok(envelope) => envelope,
            Err(malformed) => return refuse(turned, malformed.into()),
        };
        let (order, spec) = match order_in(&envelope) {
            Ok(read) => read,
            Err(refusal) => return refuse(turned, refusal),
        };
        turned.command = Some(order.command.clone());
        if topic_id.as_ref() != Some(&order.id) {
            return refuse(turned, Refusal::OtherTopic);
        }
        if (&order.tenant, &order.gateway) != (&self.parts.tenant, &self.parts.gateway) {
            let Order { tenant, gateway, .. } = order;
            return refuse(turned, Refusal::NotForUs { tenant, gateway });
        }
        let policy = self.parts.in_force.borrow().clone();
        let moment = self.moment();
        let signers = match self.signers(&envelope, &policy, moment) {
            Ok(signers) => signers,
            Err(refusal) => return refuse(turned, refusal),
        };
        turned.by = signers.iter().map(|signer| signer.name.clone()).collect();
        // An order that is known is not judged again: whoever asks twice gets the same answer.
        match self.book.find(&order.id) {
            Ok(Some(page)) if page.request == request => {
                self.answer(&order.id, &page, None);
                return Ok(None);
            }
            Ok(Some(_)) => return refuse(turned, Refusal::IdUsed),
            Ok(None) => {}
            Err(error) if spec.class != Class::Read => return refuse(turned, Refusal::NotStored(error.to_string())),
            Err(_) => {}
        }
        if !self.recovered && spec.class != Class::Read {
            return refuse(turned, Refusal::NotStored("it cannot be read which commands were done".into()));
        }
        let ended = policy.expires.is_some_and(|end| end <= moment.now.max(moment.floor));
        if ended && spec.class > Class::Reversible {
            return refuse(turned, Refusal::TrustEnded);
        }
        if let Err(refusal) = policy.judge(spec, &order, &signers, self.lockdown.is_some()) {
            return refuse(turned, refusal);
        }
        let keys: Vec<KeyId> = envelope.keys().collect();
        let now = Instant::now();
        if let Err(refusal) = is_fresh(spec, &order, &keys, &mut self.challenges, moment, now) {
            return refuse(turned, refusal);
        }
        if spec.name == "terminal.unlock" && !self.doors.may_open(&order, now) {
            return refuse(turned, Refusal::DoorRate);
        }
        if self.working.len() >= ACTS {
            return refuse(turned, Refusal::Busy);
        }
        let work = Work { by: turned.by.clone(), order, spec, request: request.to_owned(), keys };
        match self.accept(&work).await {
            Ok(()) => Ok(Some(work)),
            Err(refusal) => refuse(turned, refusal),
        }
    }

    /// Everybody whose signature is on it, if all of them are right.
    fn signers<'p>(
        &mut self,
        envelope: &Envelope,
        policy: &'p Policy,
        moment: Moment,
    ) -> Result<Vec<&'p Operator>, Refusal> {
        let mut signers = Vec::new();
        for key in envelope.keys() {
            signers.push(policy.operator(key).ok_or(Refusal::UnknownKey(key))?);
        }
        // Only for those who name a key that is known; the rest costs nothing.
        if !self.checks.take(signers.len() as f64) {
            return Err(Refusal::Busy);
        }
        for signer in &signers {
            if !envelope.is_signed_by(&signer.key) {
                return Err(Refusal::BadSignature(signer.name.clone()));
            }
            if signer.not_after <= moment.now.max(moment.floor) {
                return Err(Refusal::KeyEnded(signer.name.clone()));
            }
        }
        Ok(signers)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::now().as_second(),
            floor: self.parts.clock.floor(),
            trusted: self.parts.clock.doubt().is_none() && !self.parts.clock.is_behind(),
            running: i64::try_from(self.parts.started.elapsed().as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// On disk when this returns, in the audit log and in the journal. What only looks is done on a full disk too.
    async fn accept(&mut self, work: &Work) -> Result<(), Refusal> {
        let Work { order, spec, request, by, .. } = work;
        let reads = spec.class == Class::Read;
        // They come by themselves before each other command, do nothing, and cannot be used twice.
        if spec.name == CHALLENGE {
            return Ok(());
        }
        let told = json!({
            "id": order.id, "command": order.command, "terminal": order.terminal, "args": without_persons(&order.args),
            "by": by, "reason": order.reason, "request": request, "challenged": order.challenge.is_some(),
        });
        if !self.audit("command", told).await && !reads {
            return Err(Refusal::NotStored("the audit log cannot be written".into()));
        }
        let page = Page::accepted(order, request);
        match self.book.write(&order.id, &page).await {
            Err(error) if !reads => return Err(Refusal::NotStored(error.to_string())),
            Err(error) => warn!(%error, "a command that only reads could not be written down"),
            Ok(()) => self.parts.clock.passed(Timestamp::now()),
        }
        self.answer(&order.id, &page, None);
        Ok(())
    }

    /// Counts it, tells the audit log of the first ones, and tells whoever sent it that it was refused.
    pub(super) async fn turn_away(&mut self, turned: Turned, request: String) {
        let Turned { refusal, id, command, by } = turned;
        let code = refusal.code();
        if self.refused.count(code) {
            let why = refusal.to_string();
            let told = json!({ "id": id, "command": command, "by": by, "code": code, "why": why, "request": request });
            self.audit("refused", told).await;
            warn!(code, reason = why, "command refused");
        }
        if let Some(id) = id
            && self.refusals.take(1.0)
        {
            let error = Some(Response::REFUSED.to_owned());
            let page = Page { standing: Standing::Rejected, error, request, ..Page::default() };
            self.answer(&id, &page, None);
        }
    }
}
