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
mod judge;
#[cfg(test)]
mod tests;
mod trust;
mod upkeep;

use std::{
    collections::BTreeMap,
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
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    audit::{self, Audit},
    clock::Clock,
    command::{
        CANCEL, CHALLENGE, CHALLENGE_LIFE, Challenges, Class, Envelope, KeyId, Order, Policy, PrivateKey, Purpose,
        Response, Spec, Standing, find, results, sha256,
    },
    courier::Board,
    mqtt::Message,
    spool::{NoteKind, Spool},
    wire::{Topics, suffix},
};
use book::{Book, Page};
use gauge::{Bucket, Doors, Refused};
use trust::Trusted;

/// Requests that wait; more are dropped by the courier.
pub const INBOX: usize = 64;
/// At work at once.
const ACTS: usize = 8;
/// A larger result is not sent, in bytes of JSON; and a larger one is not kept for those who ask again.
const RESULT_LIMIT: usize = 64 << 10;
const RESULT_KEPT: usize = 4 << 10;
/// How often counts, checkpoints and the time are looked after.
const TURN: Duration = Duration::from_secs(5);

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
    /// What the config says.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// What holds: with the operators of the trust list, where the config names roots.
    pub in_force: watch::Sender<Arc<Policy>>,
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
    /// Whether it is known what earlier runs did. Until then only what looks is done.
    recovered: bool,
    /// The trust list that was taken last.
    trusted: Option<Trusted>,
    /// The newest that was not: the broker sends it again only with the next connection, and the config may change before.
    untrusted: Option<(Vec<u8>, String)>,
    /// The id of the command that began it, while it lasts.
    lockdown: Option<String>,
    acts: JoinSet<(Work, Result<Value, Failed>)>,
    working: BTreeMap<String, Doing>,
    /// Ids with words, from acts to their waiting askers.
    told: mpsc::Sender<(String, String)>,
    progress: mpsc::Receiver<(String, String)>,
    doors: Doors,
    /// Signatures that are looked at, trust lists, and refusals that are answered.
    checks: Bucket,
    lists: Bucket,
    refusals: Bucket,
    refused: Refused,
    /// Audit entries that no checkpoint has told of.
    untold: Vec<audit::Entry>,
    told_at: Instant,
    time_noted: Instant,
    /// When the clock was looked at last, by itself and by what only counts seconds.
    clock_seen: (Timestamp, Instant),
}

/// An order at work.
struct Doing {
    spec: &'static Spec,
    /// Ends it.
    end: CancellationToken,
}

/// An accepted order.
struct Work {
    order: Order,
    spec: &'static Spec,
    request: String,
    by: Vec<String>,
    keys: Vec<KeyId>,
}

impl Remote {
    pub fn new(parts: Parts) -> Self {
        let topics = Topics::new(&parts.tenant, &parts.gateway).expect("the config lets nothing but ids through");
        let (told, progress) = mpsc::channel(64);
        Self {
            book: Book::new(parts.spool.clone()),
            topics,
            challenges: Challenges::default(),
            recovered: false,
            trusted: None,
            untrusted: None,
            lockdown: None,
            acts: JoinSet::new(),
            working: BTreeMap::new(),
            told,
            progress,
            doors: Doors::default(),
            checks: Bucket::new(100.0, 400.0),
            lists: Bucket::new(1.0, 10.0),
            refusals: Bucket::new(5.0, 30.0),
            refused: Refused::default(),
            untold: Vec::new(),
            told_at: Instant::now(),
            time_noted: Instant::now(),
            clock_seen: (Timestamp::now(), Instant::now()),
            parts,
        }
    }

    /// Reads what is on disk of earlier runs: what was accepted and never ended becomes `unknown`. A disk that is full or
    /// broken is asked again later: punches do not wait for that.
    async fn recover(&mut self) -> Result<(), driver_api::NotStored> {
        let lockdown = self.parts.spool.noted(NoteKind::Lockdown, "")?.map(|note| note.body);
        self.lockdown = lockdown.and_then(|body| String::from_utf8(body).ok()).filter(|id| !id.is_empty());
        if let Some(note) = self.parts.spool.noted(NoteKind::Time, "")? {
            self.parts.clock.passed(note.stored);
        }
        self.recover_trust()?;
        self.end_what_was_cut_off().await?;
        self.recovered = true;
        self.take_trust_again().await;
        self.judge_lockdown().await;
        Ok(())
    }

    async fn end_what_was_cut_off(&mut self) -> Result<(), driver_api::NotStored> {
        for (id, mut page, stored) in self.book.all().await? {
            self.parts.clock.passed(stored);
            if page.standing.is_final() || self.working.contains_key(&id) {
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
        self.renew_policy();
        if let Err(error) = self.recover().await {
            error!(%error, "it cannot be read which commands were done: nothing is done from afar until it can");
        }
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
                Ok(()) = policy.changed() => {
                    // Roots may be others now, and what was taken under the old ones counts no more.
                    if self.recover_trust().is_err() {
                        self.renew_policy();
                    }
                    self.take_trust_again().await;
                    self.judge_lockdown().await;
                }
                message = self.parts.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
        }
    }

    async fn take(&mut self, message: Message) {
        let request = sha256(&message.payload);
        if self.topics.suffix(&message.topic) == Some(suffix::TRUST) {
            return self.take_trust(&message.payload, request).await;
        }
        match self.judge(&message, &request).await {
            Ok(Some(work)) => self.begin(work).await,
            Ok(None) => {}
            Err(turned) => self.turn_away(*turned, request).await,
        }
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
        if spec.name == CANCEL {
            let outcome = self.cancel(&work.order);
            return self.finish(work, outcome).await;
        }
        let end = CancellationToken::new();
        self.working.insert(work.order.id.clone(), Doing { spec, end: end.clone() });
        let page = Page { standing: Standing::Executing, ..Page::accepted(&work.order, &work.request) };
        self.answer(&work.order.id, &page, None);
        let (id, by) = (work.order.id.clone(), work.by.join("+"));
        let progress = Progress { id, by, to: self.told.clone() };
        let acts = self.parts.acts.clone();
        self.acts.spawn(async move {
            let late = || Failed::Unknown(format!("it did not end within {} s", spec.limit.as_secs()));
            let outcome = tokio::select! {
                outcome = timeout(spec.limit, acts.act(&work.order, progress)) => outcome.unwrap_or_else(|_| Err(late())),
                () = end.cancelled() => Err(Failed::Plainly("it was cancelled; what it did until then stays done".into())),
            };
            (work, outcome)
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

    /// Ends another order, whose own outcome follows.
    fn cancel(&self, order: &Order) -> Result<Value, Failed> {
        let crate::command::args::Cancel { command } = args(order)?;
        match self.working.get(&command) {
            Some(Doing { spec, end }) if spec.cancel => {
                end.cancel();
                Ok(json!(results::Cancelled { command }))
            }
            Some(Doing { spec, .. }) => {
                Err(Failed::Plainly(format!("{} cannot be cancelled: it comes to its end elsewhere", spec.name)))
            }
            None => Err(Failed::Plainly("no order of this id is under way".into())),
        }
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
        let over = self.lockdown.clone().filter(|id| self.parts.in_force.borrow().unlock.contains(id));
        if over.is_some() {
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

    fn tell_progress(&mut self, id: &str, words: String) {
        if let Ok(Some(page)) = self.book.find(id)
            && self.working.contains_key(id)
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
