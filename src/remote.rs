//! Whoever is asked from afar: request -> judgement -> act -> signed answers.
//!
//! One task. What a request passes, in this order: size and form; gateway and topic; its command and arguments; signatures of
//! known keys that have not ended; whether its id is new; roles, scope, what the site allows; time or challenge; rates. Then
//! `accepted` is put on disk, in the audit log and in the journal, and only then is it done; then what came of it is put on
//! disk. So it is done once at most, for ever: a crash in between leaves `accepted`, which becomes `unknown` at the next
//! start and is never done again.
//!
//! Whatever was wrong, the sender learns only that it was refused. The reason goes to the audit log.

mod book;
mod gauge;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{error, info, warn};

use crate::{
    audit::{self, Audit},
    clock::Clock,
    command::{
        CHALLENGE, CHALLENGE_LIFE, Challenges, Class, ENVELOPE_LIMIT, Envelope, KeyId, Malformed, Moment, Operator,
        Order, Policy, PrivateKey, Purpose, Refusal, Response, Spec, Standing, find, is_fresh, is_uuid7, order_in,
        results, sha256, without_persons,
    },
    courier::Board,
    mqtt::Message,
    spool::{NoteKind, Spool},
    wire::{Topics, suffix},
};
use book::{Book, Page};
use gauge::{Bucket, Doors, Refused};

/// Requests that wait; more are dropped by the courier.
pub const INBOX: usize = 64;
/// At work at once.
const ACTS: usize = 8;
/// A larger result is not sent, in bytes of JSON; and a larger one is not kept for those who ask again.
const RESULT_LIMIT: usize = 64 << 10;
const RESULT_KEPT: usize = 4 << 10;
/// How often counts, checkpoints and the time are looked after.
const TURN: Duration = Duration::from_secs(5);
/// A checkpoint goes out after so many entries of the audit log, or so long.
const CHECKPOINT_ENTRIES: usize = 100;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);
/// A step of our clock that is worth a line of the audit log, in seconds.
const CLOCK_MOVED: i64 = 5;
/// That time has passed is put on disk so often, where nothing else does it.
const TIME_EVERY: Duration = Duration::from_secs(3600);

/// Whoever does what was ordered: the gateway, or a double in tests.
#[async_trait]
pub trait Acts: Send + Sync + 'static {
    /// Does it, and tells its result; `progress` for whoever waits. It may be given up at any time.
    async fn act(&self, order: &Order, progress: Progress) -> Result<Value, Failed>;

    /// The outcome is on disk and on its way.
    fn settled(&self, _order: &Order, _standing: Standing) {}
}

/// Why an act came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// It did not happen.
    Plainly(String),
    /// It may or may not have happened.
    Unknown(String),
}

/// Where an act tells how far it is.
#[derive(Clone)]
pub struct Progress {
    id: String,
    by: String,
    to: mpsc::Sender<(String, String)>,
}

impl Progress {
    /// The names of those who signed it.
    pub fn by(&self) -> &str {
        &self.by
    }

    pub fn tell(&self, words: impl Into<String>) {
        // Whoever is too busy to hear of it hears of the end.
        let _ = self.to.try_send((self.id.clone(), words.into()));
    }
}

/// What the task is made of.
pub struct Parts {
    pub tenant: String,
    pub gateway: String,
    pub key: Arc<PrivateKey>,
    pub policy: watch::Receiver<Arc<Policy>>,
    pub spool: Spool,
    pub board: Board,
    pub clock: Arc<Clock>,
    pub audit: Audit,
    pub acts: Arc<dyn Acts>,
    pub inbox: mpsc::Receiver<Message>,
    pub started: Instant,
}

/// The task.
pub struct Remote {
    parts: Parts,
    topics: Topics,
    book: Book,
    challenges: Challenges,
    /// The id of the command that began it, while it lasts.
    lockdown: Option<String>,
    acts: JoinSet<(Work, Result<Value, Failed>)>,
    working: BTreeSet<String>,
    /// Ids with words, from acts to their waiting askers.
    told: mpsc::Sender<(String, String)>,
    progress: mpsc::Receiver<(String, String)>,
    doors: Doors,
    /// Signatures that are looked at, and refusals that are answered.
    checks: Bucket,
    refusals: Bucket,
    refused: Refused,
    /// Audit entries that no checkpoint has told of.
    untold: Vec<audit::Entry>,
    told_at: Instant,
    time_noted: Instant,
    /// When the clock was looked at last, by itself and by what only counts seconds.
    clock_seen: (Timestamp, Instant),
}

/// An accepted order.
struct Work {
    order: Order,
    spec: &'static Spec,
    request: String,
    by: Vec<String>,
    keys: Vec<KeyId>,
}

/// A refused request, as far as it could be read.
struct Turned {
    refusal: Refusal,
    id: Option<String>,
    command: Option<String>,
    by: Vec<String>,
}

impl Remote {
    /// Reads what is on disk of earlier runs: what was accepted and never ended becomes `unknown`.
    pub async fn open(parts: Parts) -> Result<Self, driver_api::NotStored> {
        let topics = Topics::new(&parts.tenant, &parts.gateway).expect("the config lets nothing but ids through");
        let lockdown = parts.spool.noted(NoteKind::Lockdown, "")?.map(|note| note.body);
        let lockdown = lockdown.and_then(|body| String::from_utf8(body).ok()).filter(|id| !id.is_empty());
        if let Some(note) = parts.spool.noted(NoteKind::Time, "")? {
            parts.clock.passed(note.stored);
        }
        let (told, progress) = mpsc::channel(64);
        let mut remote = Self {
            book: Book::new(parts.spool.clone()),
            topics,
            challenges: Challenges::default(),
            lockdown,
            acts: JoinSet::new(),
            working: BTreeSet::new(),
            told,
            progress,
            doors: Doors::default(),
            checks: Bucket::new(100.0, 400.0),
            refusals: Bucket::new(5.0, 30.0),
            refused: Refused::default(),
            untold: Vec::new(),
            told_at: Instant::now(),
            time_noted: Instant::now(),
            clock_seen: (Timestamp::now(), Instant::now()),
            parts,
        };
        remote.end_what_was_cut_off().await?;
        remote.judge_lockdown().await;
        Ok(remote)
    }

    async fn end_what_was_cut_off(&mut self) -> Result<(), driver_api::NotStored> {
        for (id, mut page, stored) in self.book.all().await? {
            self.parts.clock.passed(stored);
            if page.standing.is_final() {
                continue;
            }
            // It was told to end us, and here we are again.
            page.standing = if page.command == "gateway.restart" { Standing::Successful } else { Standing::Unknown };
            self.book.write(&id, &page).await?;
            self.audit("outcome", json!({ "id": id, "status": page.standing.name(), "why": "cut off" })).await;
            self.answer(&id, &page, None);
        }
        Ok(())
    }

    /// Works until it is dropped.
    pub async fn run(mut self) {
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut policy = self.parts.policy.clone();
        loop {
            tokio::select! {
                biased;
                Some(done) = self.acts.join_next() => match done {
                    Ok((work, outcome)) => self.finish(work, outcome).await,
                    // A panic of an act: its page says `accepted`, and the next start ends it.
                    Err(error) => error!(%error, "an act panicked"),
                },
                Some((id, words)) = self.progress.recv() => self.tell_progress(&id, words),
                _ = turn.tick() => self.look_after().await,
                Ok(()) = policy.changed() => self.judge_lockdown().await,
                message = self.parts.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
        }
    }

    async fn take(&mut self, message: Message) {
        let request = sha256(&message.payload);
        match self.judge(&message, &request).await {
            Ok(Some(work)) => self.begin(work).await,
            Ok(None) => {}
            Err(turned) => self.turn_away(*turned, request).await,
        }
    }

    /// `None`: it was answered before, and is answered again.
    async fn judge(&mut self, message: &Message, request: &str) -> Result<Option<Work>, Box<Turned>> {
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
        let policy = self.parts.policy.borrow().clone();
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

    fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::now().as_second(),
            floor: self.parts.clock.floor(),
            trusted: self.parts.clock.doubt().is_none(),
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

    async fn begin(&mut self, work: Work) {
        let Work { order, spec, request, by, keys } = work;
        if spec.name == CHALLENGE {
            let challenge = self.challenges.give(keys[0], Instant::now());
            let result = results::Challenge { challenge, seconds: CHALLENGE_LIFE.as_secs() };
            let page = Page { standing: Standing::Successful, ..Page::accepted(&order, &request) };
            return self.answer_with(&order.id, &page, Some(json!(result)), None);
        }
        info!(command = order.command, terminal = order.terminal, by = by.join("+"), "command accepted");
        let work = Work { order, spec, request, by, keys };
        if spec.name == "lockdown" {
            let outcome = self.lock_down(&work.order).await;
            return self.finish(work, outcome).await;
        }
        self.working.insert(work.order.id.clone());
        let page = Page { standing: Standing::Executing, ..Page::accepted(&work.order, &work.request) };
        self.answer(&work.order.id, &page, None);
        let (id, by) = (work.order.id.clone(), work.by.join("+"));
        let progress = Progress { id, by, to: self.told.clone() };
        let acts = self.parts.acts.clone();
        self.acts.spawn(async move {
            let outcome = timeout(spec.limit, acts.act(&work.order, progress)).await;
            let late = || Failed::Unknown(format!("it did not end within {} s", spec.limit.as_secs()));
            (work, outcome.unwrap_or_else(|_| Err(late())))
        });
    }

    async fn finish(&mut self, work: Work, outcome: Result<Value, Failed>) {
        let Work { order, spec, request, .. } = work;
        self.working.remove(&order.id);
        let mut page = Page::accepted(&order, &request);
        let mut result = None;
        match outcome {
            Ok(value) if value.to_string().len() > RESULT_LIMIT => {
                (page.standing, page.error) = (Standing::Failed, Some("the result is too long to be sent".into()));
            }
            Ok(value) => {
                page.standing = Standing::Successful;
                page.result =
                    Some(value.clone()).filter(|it| spec.class != Class::Read && it.to_string().len() <= RESULT_KEPT);
                result = Some(value);
            }
            Err(Failed::Plainly(why)) => (page.standing, page.error) = (Standing::Failed, Some(why)),
            // What only looks has done nothing, whether it came to its end or not.
            Err(Failed::Unknown(why)) if spec.class == Class::Read => {
                (page.standing, page.error) = (Standing::Failed, Some(why));
            }
            Err(Failed::Unknown(why)) => (page.standing, page.error) = (Standing::Unknown, Some(why)),
        }
        if let Err(error) = self.book.write(&order.id, &page).await {
            warn!(%error, id = order.id, "what came of a command could not be written down");
        }
        let told = json!({ "id": order.id, "status": page.standing.name(), "error": page.error });
        self.audit("outcome", told).await;
        info!(command = order.command, status = page.standing.name(), "command ended");
        self.answer_with(&order.id, &page, result, None);
        self.parts.acts.settled(&order, page.standing);
    }

    async fn lock_down(&mut self, order: &Order) -> Result<Value, Failed> {
        let id = self.lockdown.clone().unwrap_or_else(|| order.id.clone());
        let noted = self.parts.spool.note(NoteKind::Lockdown, "", id.clone().into_bytes()).await;
        // In force for this run in any case.
        self.lockdown = Some(id.clone());
        warn!(lockdown = id, "only read commands are taken from now on");
        match noted {
            Ok(()) => Ok(json!(results::Lockdown { lockdown: id })),
            Err(error) => Err(Failed::Plainly(format!("it holds until the next restart only: {error}"))),
        }
    }

    /// Ends a lockdown that the config names.
    async fn judge_lockdown(&mut self) {
        let over = self.parts.policy.borrow().unlock.clone();
        if self.lockdown.is_some() && self.lockdown == over {
            match self.parts.spool.note(NoteKind::Lockdown, "", vec![]).await {
                Ok(()) => {
                    info!(lockdown = over, "the lockdown is over");
                    self.audit("lockdown-over", json!({ "lockdown": over })).await;
                    self.lockdown = None;
                }
                Err(error) => warn!(%error, "the lockdown could not be ended"),
            }
        }
    }

    /// Counts it, tells the audit log of the first ones, and tells whoever sent it that it was refused.
    async fn turn_away(&mut self, turned: Turned, request: String) {
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

    fn tell_progress(&mut self, id: &str, words: String) {
        if let Ok(Some(page)) = self.book.find(id)
            && self.working.contains(id)
        {
            self.answer(id, &Page { standing: Standing::Executing, ..page }, Some(words));
        }
    }

    fn answer(&self, id: &str, page: &Page, progress: Option<String>) {
        self.answer_with(id, page, page.result.clone(), progress);
    }

    fn answer_with(&self, id: &str, page: &Page, result: Option<Value>, progress: Option<String>) {
        let response = Response {
            v: 1,
            id: id.into(),
            gateway: self.parts.gateway.clone(),
            tenant: self.parts.tenant.clone(),
            request: page.request.clone(),
            at: Timestamp::now(),
            standing: page.standing,
            progress,
            result,
            error: page.error.clone(),
        };
        let envelope = Envelope::sign(&json!(response), Purpose::Response, &self.parts.key);
        self.parts.board.send(suffix::response(id), envelope.bytes());
    }

    /// Whether it is in the log.
    async fn audit(&mut self, kind: &'static str, data: Value) -> bool {
        match self.parts.audit.tell(kind, data).await {
            Ok(_) => true,
            Err(error) => {
                error!(%error, "the audit log cannot be written");
                false
            }
        }
    }

    async fn look_after(&mut self) {
        let (wall, counted) = std::mem::replace(&mut self.clock_seen, (Timestamp::now(), Instant::now()));
        let passed = i64::try_from(counted.elapsed().as_secs()).unwrap_or(i64::MAX);
        let moved_s = Timestamp::now().as_second() - wall.as_second() - passed;
        if moved_s.abs() >= CLOCK_MOVED {
            self.audit("clock", json!({ "moved_s": moved_s, "before": wall })).await;
        }
        if let Some(counts) = self.refused.turn() {
            self.audit("refused-more", json!({ "counts": counts })).await;
        }
        if self.time_noted.elapsed() >= TIME_EVERY && self.parts.clock.doubt().is_none() {
            self.time_noted = Instant::now();
            // The next hour will do as well.
            if self.parts.spool.note(NoteKind::Time, "", vec![]).await.is_ok() {
                self.parts.clock.passed(Timestamp::now());
            }
        }
        self.untold.extend(self.parts.audit.take_fresh());
        if self.untold.len() >= CHECKPOINT_ENTRIES
            || (!self.untold.is_empty() && self.told_at.elapsed() >= CHECKPOINT_EVERY)
        {
            self.checkpoint();
        }
    }

    /// Sends away what is new in the audit log, signed: from then on nobody here can change it unnoticed.
    fn checkpoint(&mut self) {
        self.told_at = Instant::now();
        for part in std::mem::take(&mut self.untold).chunks(CHECKPOINT_ENTRIES) {
            let (first, last) = (&part[0], &part[part.len() - 1]);
            let told = json!({
                "v": 1, "gateway": self.parts.gateway, "tenant": self.parts.tenant, "at": Timestamp::now(),
                "first": first.n, "last": last.n, "prev": first.prev, "head": last.hash, "entries": part,
            });
            let envelope = Envelope::sign(&told, Purpose::Audit, &self.parts.key);
            self.parts.board.send(suffix::AUDIT.into(), envelope.bytes());
        }
    }
}

/// Arguments of an order, in the type of its command; they were checked when it was judged.
pub fn args<A: crate::command::args::Args>(order: &Order) -> Result<A, Failed> {
    let args: &Map<String, Value> = &order.args;
    crate::command::args::read(args).map_err(Failed::Plainly)
}

/// Whether a driver must be asked for it, and for what.
pub fn operation(order: &Order) -> Option<&'static str> {
    find(&order.command)?.operation
}
