//! The courier: spool -> broker, and nothing forgotten on the way.
//!
//! One task. It takes segments from the outbox while the window has room, publishes them with QoS 1, and confirms each when
//! its own acknowledgement is in. Whatever goes wrong with a connection has one end: it is thrown away, the outbox takes back
//! what was not confirmed, and the next broker is tried. So at worst a message comes twice, with the same id.

mod backoff;
mod board;
mod link;
mod parcel;
mod prudence;
mod refusals;
mod round;
mod tally;
mod window;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    mqtt::{BrokerUrl, Connect, Connection, Failure, FailureKind, Hello, Message},
    outbox::Outbox,
    wire::{self, StateMessage, Topics, suffix},
};
use backoff::Backoff;
use prudence::{Prudence, Suspect};
use round::Round;

pub use board::Board;
pub use link::{Cause, Counters, LinkState, LinkStatus};

/// How often the courier shows that it is alive, and looks at its time limits.
const BEAT: Duration = Duration::from_millis(500);

/// A connection that lasted so long counts as a success.
const STEADY: Duration = Duration::from_secs(5);

/// How punches travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierSettings {
    pub tenant: String,
    pub gateway: String,
    /// Segments on their way at once.
    pub window: usize,
}

impl CourierSettings {
    /// What is on its way at once unless the config says otherwise, in messages.
    pub const WINDOW: usize = 32;
}

/// What comes in, for whoever takes commands.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Suffixes of topic filters, as in `request/+`; subscribed on each connection.
    pub filters: Vec<String>,
    /// Where messages go. When it is full, more are dropped: whoever asks for something must see an answer anyway.
    pub messages: Option<mpsc::Sender<Message>>,
}

/// The task between outbox and broker.
pub struct Courier {
    topics: Topics,
    settings: CourierSettings,
    outbox: Box<dyn Outbox>,
    client: Arc<dyn Connect>,
    board: Board,
    inbox: Inbox,
    status: watch::Sender<LinkStatus>,
    /// Of the present or next connection.
    epoch: u64,
    prudence: Prudence,
    beat: Interval,
}

impl Courier {
    /// The courier, the board on which retained documents are put, and how the link stands.
    pub fn new(
        settings: CourierSettings,
        outbox: Box<dyn Outbox>,
        client: Arc<dyn Connect>,
        inbox: Inbox,
    ) -> (Self, Board, watch::Receiver<LinkStatus>) {
        let topics = Topics::new(&settings.tenant, &settings.gateway).expect("the config lets nothing but ids through");
        let board = Board::default();
        let (status, link) = watch::channel(LinkStatus::new());
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let handle = board.clone();
        let prudence = Prudence::default();
        (Self { topics, settings, outbox, client, board, inbox, status, epoch: 0, prudence, beat }, handle, link)
    }

    /// Carries until told to close; then waits for what is on its way, `drain` at most, says `offline`, and takes leave.
    pub async fn run(mut self, closing: CancellationToken, drain: Duration) {
        let brokers = self.client.brokers().to_vec();
        let mut backoff = Backoff::new(brokers.len());
        let mut broker = 0;
        // What was logged and is not over.
        let mut failing = None;
        while !closing.is_cancelled() {
            let url = &brokers[broker];
            let Some(opened) = self.connect(url, &closing).await else { break };
            let opened_at = Instant::now();
            let (failure, delivered) = match opened {
                Ok(connection) => match self.carry(connection, &closing, drain).await {
                    Ended::Closed => break,
                    Ended::Failed { failure, delivered, .. } => (failure, delivered),
                },
                Err(failure) => (failure, false),
            };
            // A welcome alone is no success: there are brokers that say it and do nothing more. Nor is a short success: two
            // gateways of the same id would push each other out without a pause, and not every broker says why it closes.
            if delivered && opened_at.elapsed() >= STEADY {
                backoff.reset();
                failing = None;
            }
            if failing.replace(failure.kind) != Some(failure.kind) {
                warn!(broker = %url, code = failure.kind.code(), reason = %failure, "connection to the broker failed");
            }
            self.down(url, &failure);
            broker = following(broker, delivered, brokers.len());
            let pause = backoff.next(failure.kind.refuses());
            if self.attend(tokio::time::sleep(pause), &closing).await.is_none() {
                break;
            }
        }
        self.note(|status| status.enter(LinkState::Down));
    }

    /// One attempt; `None` when it is time to close.
    async fn connect(
        &mut self,
        url: &BrokerUrl,
        closing: &CancellationToken,
    ) -> Option<Result<Box<dyn Connection>, Failure>> {
        // Rises even when the clock was put back, as long as we run; and over a restart if the clock is right.
        self.epoch = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0).max(self.epoch + 1);
        let will = Message {
            topic: self.topics.of(suffix::STATE),
            payload: wire::json(&StateMessage::will(self.epoch)),
            retain: true,
        };
        let subscribe = self.inbox.filters.iter().map(|filter| self.topics.of(filter)).collect();
        self.note(|status| status.broker = Some(url.clone()));
        let client = self.client.clone();
        let hello = Hello { will: Some(will), subscribe };
        let opened = self.attend(client.connect(url, hello), closing).await?;
        let ends = self.client.certificates_end();
        self.note(|status| {
            status.certificate_ends = ends.ours;
            status.broker_certificate_ends = ends.brokers;
        });
        Some(opened)
    }

    /// From a welcome to the end of the connection.
    async fn carry(
        &mut self,
        mut connection: Box<dyn Connection>,
        closing: &CancellationToken,
        drain: Duration,
    ) -> Ended {
        self.board.publish_all_again();
        let mut round = Round::new(self, connection.as_mut());
        let failure = tokio::select! {
            biased;
            () = closing.cancelled() => None,
            failure = round.serve() => Some(failure),
        };
        let ended = match failure {
            Some(failure) => Ended::Failed { suspect: round.suspect(), delivered: round.delivered(), failure },
            None => {
                round.close(drain).await;
                Ended::Closed
            }
        };
        drop(round);
        self.outbox.take_back();
        if let Ended::Failed { failure, suspect, .. } = &ended {
            match failure.kind {
                FailureKind::Closed => self.prudence.closed_on(*suspect),
                FailureKind::NotAcknowledging => self.prudence.too_slow_for(*suspect),
                _ => {}
            }
        }
        ended
    }

    /// Waits for something while showing life; `None` when it is time to close.
    async fn attend<T>(&mut self, what: impl Future<Output = T>, closing: &CancellationToken) -> Option<T> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                done = &mut what => return Some(done),
                _ = self.beat.tick() => self.note(|_| ()),
            }
        }
    }

    /// The broker that is connected or tried, for logs.
    fn broker(&self) -> String {
        self.status.borrow().broker.as_ref().map_or_else(String::new, ToString::to_string)
    }

    fn down(&self, url: &BrokerUrl, failure: &Failure) {
        self.note(|status| {
            status.enter(LinkState::Down);
            status.counters.in_flight = 0;
            status.cause = Some(Cause::of(url, failure));
        });
    }

    /// Every note is a sign of life.
    fn note(&self, change: impl FnOnce(&mut LinkStatus)) {
        self.status.send_modify(|status| {
            status.beat += 1;
            change(status);
        });
    }
}

/// Which broker is tried after this one. One that stood in for the first has done so long enough when its connection ends.
fn following(broker: usize, delivered: bool, brokers: usize) -> usize {
    if delivered && broker > 0 { 0 } else { (broker + 1) % brokers }
}

/// How a connection ended.
enum Ended {
    Closed,
    /// `delivered`: whether anything was acknowledged on it. `suspect`: what may have ended it by its size.
    Failed {
        failure: Failure,
        delivered: bool,
        suspect: Option<Suspect>,
    },
}
