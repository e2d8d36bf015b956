//! How a reader is: there or not, believed or not, and what is said of that.

use std::time::Duration;

use driver_api::{Report, Trouble};
use jiff::Timestamp;
use libosdp::{OsdpCommand, OsdpStatusReport, OsdpStatusReportType};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Reader;
use crate::{
    frame::code,
    wire::{Security, lock},
};

/// A session that does not come about is begun anew after so long, then twice as long, and so on: the library itself gives a
/// reader up for five minutes.
const AGAIN: (Duration, u32) = (Duration::from_secs(5), 6);
/// A session that broke off is begun anew after so long.
const BREATH: Duration = Duration::from_millis(500);
/// Its tamper switch and its power are asked for this often, beside what it tells by itself.
const STATUS_EVERY: Duration = Duration::from_secs(30);
/// Signs of life are told this often.
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// Without a broken frame for so long the line is well again.
const QUIET: Duration = Duration::from_secs(20);
/// So many broken frames and answers of others are a noisy line.
const NOISY: u64 = 3;

impl Reader {
    /// Looks how it is, and says what changed. To be called some times a second.
    pub(crate) fn judge(&mut self) {
        let Some(session) = &self.session else { return };
        let online = session.panel.is_online(0) && (self.settings.key.is_none() || session.panel.is_sc_active(0));
        let (security, heard, answers, broken, foreign, round_trip) = {
            let seen = lock(&self.seen);
            (seen.security, seen.heard, seen.answers, seen.broken, seen.foreign, seen.round_trip_ms)
        };
        let silent = heard.map_or(self.began, |heard| heard).elapsed();
        self.judge_noise(broken, foreign);
        if self.pairing && online {
            // It has its key: from now on nothing else will do. Whoever is shown before that is shown too soon.
            info!(terminal = self.terminal.name(), "paired");
            self.terminal.relief(Trouble::UnsafeKey);
            self.settings.pair_until = None;
            return self.begin();
        }
        if online && silent < self.silence {
            if !self.online {
                self.up(security);
            }
            self.tell(round_trip);
        } else if self.online {
            self.drops += 1;
            let why = if silent >= self.silence { "it does not answer any more" } else { "its session broke off" };
            // One wrong bit ends the library's session; the next one may be well.
            self.broke = (silent < self.silence).then(Instant::now);
            let secure = self.settings.key.is_some() && silent < self.silence;
            if secure {
                let cause =
                    format!("the secure channel broke off, {} times so far: a bad line, or somebody in it", self.drops);
                self.terminal.trouble(Trouble::ChannelUnsafe, cause);
            }
            self.offline(why);
        } else if self.began.elapsed() > self.silence {
            let (why, unsafe_channel) = self.why_not(security, answers, broken);
            if unsafe_channel {
                self.terminal.trouble(Trouble::ChannelUnsafe, why.clone());
            }
            self.offline(&why);
        }
        if let Some(until) = self.settings.pair_until {
            let open = until > Timestamp::now();
            if open && self.began.elapsed() < Duration::from_millis(300) {
                self.terminal.trouble(Trouble::UnsafeKey, format!("it may be given its key until {until}"));
            }
            // The window is over.
            if self.pairing && !open {
                self.terminal.relief(Trouble::UnsafeKey);
                self.settings.pair_until = None;
                return self.begin();
            }
        }
        self.begin_again();
    }

    /// Why there is no session, and whether that is for want of a secure channel.
    fn why_not(&self, security: Security, answers: u64, broken: u64) -> (String, bool) {
        let unit = self.settings.unit;
        let secure = self.settings.key.is_some();
        match (answers, security) {
            (0, _) if broken > 0 => (
                format!("nothing at address {unit} can be read: wrong speed, or a bad line ({broken} broken frames)"),
                false,
            ),
            (0, _) => (format!("nobody answers at address {unit}"), false),
            // One that has not told yet what it can is slow, and no more.
            (_, Security::NotAsked) if secure && self.answer_to(code::CAP, 0) == Some(code::PDCAP) => {
                (format!("the reader at address {unit} offers no secure channel, or somebody hides it"), true)
            }
            (_, Security::Refused) if secure => (format!("the reader at address {unit} refuses our key"), true),
            (_, Security::Challenged | Security::Agreed) if secure => {
                (format!("the reader at address {unit} does not have our key"), true)
            }
            _ => (format!("the reader at address {unit} answers, but no session comes about"), false),
        }
    }

    fn begin_again(&mut self) {
        if self.online {
            return;
        }
        let (pause, most) = AGAIN;
        if self.broke.is_some_and(|broke| broke.elapsed() > BREATH) {
            return self.begin();
        }
        // Beyond these the library's own five minutes hold: each new session leaves some bytes of memory behind.
        if self.failures < most && self.began.elapsed() > pause * (1 << self.failures) {
            self.failures += 1;
            self.begin();
        }
    }

    /// Somebody who was away is back: so may this one be.
    pub(crate) fn encourage(&mut self) {
        if !self.online && self.began.elapsed() > AGAIN.0 {
            self.failures = 0;
        }
    }

    fn up(&mut self, security: Security) {
        self.online = true;
        self.failures = 0;
        self.up_since = Some(Instant::now());
        self.why.clear();
        let Some(session) = &self.session else { return };
        let (mut model, mut firmware) = (String::new(), String::new());
        if let Ok(id) = session.panel.get_pd_id(0) {
            model = format!(
                "vendor {:02X}{:02X}{:02X}, model {}",
                id.vendor_code.0, id.vendor_code.1, id.vendor_code.2, id.model
            );
            firmware = format!("{}.{}.{}", id.firmware_version.0, id.firmware_version.1, id.firmware_version.2);
        }
        let platform = match (self.settings.key.is_some(), security) {
            (true, _) => "OSDP, secure channel",
            _ => "OSDP, plain text",
        };
        let serial = self.store.serial().to_owned();
        self.terminal.report(Report::Identity { serial, model, firmware, platform: platform.into() });
        self.terminal.online();
        info!(terminal = self.terminal.name(), unit = self.settings.unit, platform, "served");
        self.ask_status();
    }

    fn ask_status(&mut self) {
        self.asked_status = Instant::now();
        let report = OsdpStatusReport { type_: OsdpStatusReportType::Local, nr_entries: 0, report: [0; 64] };
        // Asked again in half a minute.
        let _ = self.command(OsdpCommand::Status(report));
    }

    fn tell(&mut self, round_trip: u64) {
        if self.told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            self.told = Some(Instant::now());
            self.terminal.report(Report::RoundTrip { ms: round_trip });
        }
        if self.up_since.is_some_and(|since| since.elapsed() > Duration::from_secs(2)) {
            self.terminal_is_well();
        }
        if self.asked_status.elapsed() > STATUS_EVERY {
            self.ask_status();
        }
    }

    /// It has been served for a while.
    fn terminal_is_well(&mut self) {
        self.up_since = None;
        self.terminal.relief(Trouble::ChannelUnsafe);
    }

    fn judge_noise(&mut self, broken: u64, foreign: u64) {
        let (before, since) = self.noise;
        if broken + foreign >= before + NOISY {
            self.noise = (broken + foreign, Instant::now());
            self.noisy = true;
            self.terminal.report(Report::FailedRead { why: "a frame was broken, or of somebody else".into() });
            let cause = format!("{broken} broken frames and {foreign} answers of others in its place so far");
            self.terminal.trouble(Trouble::LineNoisy, cause);
        } else if self.noisy && since.elapsed() > QUIET {
            self.noisy = false;
            self.terminal.relief(Trouble::LineNoisy);
        }
    }

    /// It is not served, for this reason.
    pub(crate) fn offline(&mut self, why: &str) {
        if self.online || self.why != why {
            warn!(terminal = self.terminal.name(), why, "not served");
            self.terminal.offline(why);
            self.why = why.to_owned();
        }
        self.online = false;
        self.up_since = None;
    }

    /// The line is gone, and its session with it.
    pub(crate) fn end(&mut self, why: &str) {
        self.session = None;
        self.failures = 0;
        self.offline(why);
    }
}
