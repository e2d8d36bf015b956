//! What is known of one terminal.

use driver_api::{Clock, Delivery, Report};
use jiff::Timestamp;

/// How a terminal stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TerminalState {
    /// Not yet reached since we know it.
    Connecting,
    Online,
    /// Cannot be reached, or what it says makes no sense.
    Offline,
    /// Reached, but it will not serve us until a person acts.
    Refused,
}

impl TerminalState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Refused => "refused",
        }
    }
}

/// Everything its driver has told, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct TerminalHealth {
    pub driver: &'static str,
    pub delivery: Delivery,
    pub state: TerminalState,
    /// When it came into this state.
    pub since: Timestamp,
    pub last_seen: Option<Timestamp>,
    /// The latest instant of a punch, as the terminal's clock had it.
    pub last_punch: Option<Timestamp>,
    pub serial: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub platform: Option<String>,
    pub clock: Clock,
    pub records: Option<u64>,
    pub capacity: Option<u64>,
    pub users: Option<u64>,
    pub round_trip_ms: Option<u64>,
    pub failed_reads: u64,
    pub gaps_open: u64,
    /// Of a counter without names.
    pub passages: Option<u64>,
    pub biometrics_dropped: Option<u64>,
}

impl TerminalHealth {
    pub(super) fn new(driver: &'static str, delivery: Delivery) -> Self {
        Self {
            driver,
            delivery,
            state: TerminalState::Connecting,
            since: Timestamp::now(),
            last_seen: None,
            last_punch: None,
            serial: None,
            model: None,
            firmware: None,
            platform: None,
            clock: Clock::UNKNOWN,
            records: None,
            capacity: None,
            users: None,
            round_trip_ms: None,
            failed_reads: 0,
            gaps_open: 0,
            passages: None,
            biometrics_dropped: None,
        }
    }

    /// Enters a state; whether that is news.
    pub(super) fn enter(&mut self, state: TerminalState) -> bool {
        let news = self.state != state;
        if news {
            self.state = state;
            self.since = Timestamp::now();
        }
        news
    }

    /// Takes a report; whether it is news that cannot wait for the minute.
    pub(super) fn take(&mut self, report: Report) -> bool {
        self.last_seen = match report {
            Report::FailedRead { .. } | Report::Offline { .. } | Report::Delivery(_) => self.last_seen,
            _ => Some(Timestamp::now()),
        };
        match report {
            Report::Online => return self.enter(TerminalState::Online),
            Report::Identity { serial, model, firmware, platform } => {
                let told = |text: String| Some(text).filter(|text| !text.is_empty());
                let before = self.serial.clone();
                self.serial = told(serial);
                self.model = told(model);
                self.firmware = told(firmware);
                self.platform = told(platform);
                return self.serial != before;
            }
            Report::Counts { records, capacity, users } => {
                self.records = records.or(self.records);
                self.capacity = capacity.or(self.capacity);
                self.users = users.or(self.users);
            }
            Report::Clock(clock) => self.clock = clock,
            Report::RoundTrip { ms } => self.round_trip_ms = Some(ms),
            Report::FailedRead { .. } => {
                self.failed_reads += 1;
                return true;
            }
            Report::Gaps { missing } => {
                let news = self.gaps_open != missing;
                self.gaps_open = missing;
                return news;
            }
            Report::Delivery(delivery) => {
                let news = self.delivery != delivery;
                self.delivery = delivery;
                return news;
            }
            Report::Passages { total } => self.passages = Some(total),
            Report::BiometricsDropped { total } => self.biometrics_dropped = Some(total),
            // Conditions are kept beside the terminals.
            Report::Seen | Report::Offline { .. } | Report::Trouble { .. } | Report::Relief(_) => {}
        }
        false
    }
}
