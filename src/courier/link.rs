//! How the link to the broker stands, for those who show health.

use std::time::Duration;

use jiff::Timestamp;

use crate::mqtt::{BrokerUrl, Failure, FailureKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Not yet up since the start.
    Connecting,
    Up,
    /// Not up; it is tried again and again.
    Down,
}

impl LinkState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Why the link is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub broker: BrokerUrl,
    pub kind: FailureKind,
    /// What happened, for people.
    pub words: String,
    /// What to do about it.
    pub mend: &'static str,
    /// `broker-refuses` if true, `broker-unreachable` if not.
    pub refuses: bool,
}

impl Cause {
    pub(super) fn of(broker: &BrokerUrl, failure: &Failure) -> Self {
        let Failure { kind, words } = failure.clone();
        Self { broker: broker.clone(), kind, words, mend: kind.mend(), refuses: kind.refuses() }
    }

    /// As in `unknown-ca`.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

/// Since the start of the courier. Messages, unless the name says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub published: u64,
    pub acked: u64,
    pub refused: u64,
    /// Punches that the broker has acknowledged.
    pub punches_acked: u64,
    /// Connections that came up; one less is the number of reconnects.
    pub connects: u64,
    /// Incoming messages that nobody had time for.
    pub dropped: u64,
    /// Now.
    pub in_flight: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LinkStatus {
    pub state: LinkState,
    pub since: Timestamp,
    /// The broker that is connected or tried.
    pub broker: Option<BrokerUrl>,
    /// Present while the link is down.
    pub cause: Option<Cause>,
    /// What the broker did not take when it last refused something, and its answer; until something is taken from there.
    pub refusal: Option<String>,
    /// Punches that are larger than the broker allows. They stay on our disk and block nobody.
    pub unsendable: u64,
    /// From the last publish to its acknowledgement.
    pub round_trip: Option<Duration>,
    /// When the certificate ends that we show to brokers.
    pub certificate_ends: Option<Timestamp>,
    /// When the certificate ends that the broker showed.
    pub broker_certificate_ends: Option<Timestamp>,
    pub counters: Counters,
    /// Rises at least each second while the courier is alive.
    pub beat: u64,
}

impl LinkStatus {
    pub(super) fn new() -> Self {
        Self {
            state: LinkState::Connecting,
            since: Timestamp::now(),
            broker: None,
            cause: None,
            refusal: None,
            unsendable: 0,
            round_trip: None,
            certificate_ends: None,
            broker_certificate_ends: None,
            counters: Counters::default(),
            beat: 0,
        }
    }

    pub(super) fn enter(&mut self, state: LinkState) {
        if self.state != state {
            self.state = state;
            self.since = Timestamp::now();
        }
    }

    /// Whole days until our certificate ends; negative when it has.
    pub fn certificate_days(&self) -> Option<i64> {
        self.certificate_ends.map(days_until)
    }

    /// Whole days until the broker's certificate ends.
    pub fn broker_certificate_days(&self) -> Option<i64> {
        self.broker_certificate_ends.map(days_until)
    }

    pub fn reconnects(&self) -> u64 {
        self.counters.connects.saturating_sub(1)
    }
}

fn days_until(end: Timestamp) -> i64 {
    (end.as_second() - Timestamp::now().as_second()).div_euclid(86_400)
}
