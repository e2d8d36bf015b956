//! What a driver tells of its terminals beside punches: facts for health, and troubles for conditions.

use jiff::civil::DateTime;

use crate::{Clock, Delivery};

/// One thing learnt of a terminal.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// Logged in and serving us.
    Online,
    /// A sign of life.
    Seen,
    /// It is not served for now, while its line goes on for others; why, in words. [`Report::Online`] ends it.
    Offline {
        why: String,
    },
    /// What can be promised for this terminal, where it is not what [`Kind::delivery`](crate::Kind::delivery) says of all.
    Delivery(Delivery),
    /// So many people went through since the ledger began, as a counter without names has it.
    Passages {
        total: u64,
    },
    /// So many templates, faces, photos and other things that are not ours to keep were thrown away as they came, since the start.
    BiometricsDropped {
        total: u64,
    },
    /// Who it is; empty text where it does not tell.
    Identity {
        serial: String,
        model: String,
        firmware: String,
        platform: String,
    },
    /// What it holds; `None` where it does not tell.
    Counts {
        records: Option<u64>,
        capacity: Option<u64>,
        users: Option<u64>,
    },
    /// How far its clock is off.
    Clock(Clock),
    /// From a request to its answer, in milliseconds.
    RoundTrip {
        ms: u64,
    },
    /// Reading its log failed; why, in words.
    FailedRead {
        why: String,
    },
    /// Its log was compared with the ledger: so many punches are still missing here.
    Gaps {
        missing: u64,
    },
    /// Something is wrong with it, and stays so until relieved.
    Trouble {
        trouble: Trouble,
        cause: String,
    },
    Relief(Trouble),
}

/// What can be wrong with a terminal as its driver sees it. The gateway turns each into a condition of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// The serial number is not the configured one.
    WrongTerminal,
    /// Its clock is off by more than the limit.
    ClockOff,
    /// Its clock has never been set.
    ClockUnset,
    /// Its log is nearly full.
    LogNearlyFull,
    /// Its log holds fewer records than before, and nobody here cleared it.
    LogShrank,
    /// None of the records that were read before is in its log any more.
    LogCleared,
    /// Its full log overwrote records that nobody had read.
    LogOverrun,
    /// Its log cannot be read, although it is connected.
    LogUnreadable,
    /// Records arrived that no known layout explains; they are kept raw.
    RecordsSetAside,
    /// It can be reached without a key, or with the factory's.
    UnsafeKey,
    /// Checksums fail: a bad line, or somebody in the middle.
    LineNoisy,
    /// Live events do not come; punches arrive with the next comparison.
    NoLiveEvents,
    /// Somebody with an unknown serial number asks to be served.
    UnknownTerminal,
    /// It speaks from another address than the one it is pinned to.
    AddressChanged,
    /// It says, or its numbers show, that events were lost in it before we could read them.
    EventsLost,
    /// Somebody else takes punches from it, and marks them as read.
    OtherReader,
    /// Its punches and its own clock do not fit together: dates are counted from another day than we think.
    EpochSuspect,
    /// Its housing was opened, or it was taken off the wall.
    Tampered,
    /// Its power supply fails.
    PowerFailing,
    /// It answers, and no secure channel comes about: a wrong key, the factory's, none, or somebody in the middle.
    ChannelUnsafe,
}

impl Trouble {
    /// Every trouble there is, for docs and tests.
    pub const ALL: &'static [Self] = &[
        Self::WrongTerminal,
        Self::ClockOff,
        Self::ClockUnset,
        Self::LogNearlyFull,
        Self::LogShrank,
        Self::LogCleared,
        Self::LogOverrun,
        Self::LogUnreadable,
        Self::RecordsSetAside,
        Self::UnsafeKey,
        Self::LineNoisy,
        Self::NoLiveEvents,
        Self::UnknownTerminal,
        Self::AddressChanged,
        Self::EventsLost,
        Self::OtherReader,
        Self::EpochSuspect,
        Self::Tampered,
        Self::PowerFailing,
        Self::ChannelUnsafe,
    ];

    /// The condition's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongTerminal => "terminal-wrong-serial",
            Self::ClockOff => "terminal-clock-off",
            Self::ClockUnset => "terminal-clock-unset",
            Self::LogNearlyFull => "terminal-log-nearly-full",
            Self::LogShrank => "terminal-log-shrank",
            Self::LogCleared => "terminal-log-cleared",
            Self::LogOverrun => "terminal-log-overrun",
            Self::LogUnreadable => "terminal-log-unreadable",
            Self::RecordsSetAside => "terminal-records-set-aside",
            Self::UnsafeKey => "terminal-unsafe-key",
            Self::LineNoisy => "terminal-line-noisy",
            Self::NoLiveEvents => "terminal-no-live-events",
            Self::UnknownTerminal => "terminal-unknown",
            Self::AddressChanged => "terminal-address-changed",
            Self::EventsLost => "terminal-events-lost",
            Self::OtherReader => "terminal-other-reader",
            Self::EpochSuspect => "terminal-epoch-suspect",
            Self::Tampered => "terminal-tampered",
            Self::PowerFailing => "terminal-power-failing",
            Self::ChannelUnsafe => "terminal-channel-unsafe",
        }
    }
}

/// Somebody whom the config does not know asked a listening line to serve it, and was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// As in `driver = "..."`.
    pub driver: &'static str,
    /// What it calls itself; checked by the driver, so that it may be shown.
    pub serial: String,
    /// The address that it speaks from.
    pub peer: String,
    /// How often it asked so far.
    pub times: u64,
    /// The `[[terminal]]` block that would let it in, ready to be pasted.
    pub block: String,
}

/// What our ledger holds of a terminal, for comparison with what the terminal says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Punches in the ledger.
    pub punches: u64,
    /// Raw records set aside.
    pub set_aside: u64,
    /// The latest wall time among the punches.
    pub latest: Option<DateTime>,
}
