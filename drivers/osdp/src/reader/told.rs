//! What a reader told, as punches and conditions.

use driver_api::{
    Batch, Clock, ClockSource, Direction, DirectionMark, Mark, Origin, Punch, Raw, SetAside, Trouble, VerifyMark,
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use libosdp::{OsdpCardFormats, OsdpEvent, OsdpStatusReport, OsdpStatusReportType};
use tokio::time::Instant;

use super::{Key, Reader};
use crate::card::{self, Keys};

/// Punches of which second and count are known.
const REMEMBERED: usize = 1024;

/// A whole number of seconds.
fn second(at: Timestamp, zone: &TimeZone) -> DateTime {
    let local = at.to_zoned(zone.clone()).datetime();
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}

impl Reader {
    /// What it told since the last turn, as punches. Nothing is believed outside of the secure channel, where there is one to be.
    pub(crate) fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        let events: Vec<OsdpEvent> =
            self.session.as_ref().map(|session| session.events.try_iter().collect()).unwrap_or_default();
        let trusted = self.settings.key.is_none() || self.is_secure();
        let now = Instant::now();
        for event in events {
            if !trusted {
                self.refused += 1;
                let cause = format!("it told {} events outside of the secure channel; none was taken", self.refused);
                self.terminal.trouble(Trouble::ChannelUnsafe, cause);
                continue;
            }
            match event {
                OsdpEvent::CardRead(read) => {
                    let wiegand = read.format == OsdpCardFormats::Wiegand;
                    match card::person(wiegand, read.nr_bits, &read.data, self.settings.show) {
                        Ok(person) => {
                            let punch = self.punch(person, card::by_card(wiegand), read.reader_no);
                            batch.punches.push(punch);
                        }
                        Err(reason) => batch.set_aside.push(SetAside {
                            raw: format!("{wiegand} {} {}", read.nr_bits, data_encoding::HEXUPPER.encode(&read.data))
                                .into_bytes(),
                            reason,
                            nth: 1,
                        }),
                    }
                }
                OsdpEvent::KeyPress(press) if self.settings.keys => {
                    let at = self.keys.iter().position(|(reader, _)| *reader == press.reader_no);
                    // A reader has a keypad or two: whoever counts further makes them up.
                    let at = match at {
                        Some(at) => at,
                        None if self.keys.len() < 8 => {
                            self.keys.push((press.reader_no, Keys::default()));
                            self.keys.len() - 1
                        }
                        None => continue,
                    };
                    for person in self.keys[at].1.press(&press.data, now) {
                        let punch = self.punch(person, card::by_keys(), press.reader_no);
                        batch.punches.push(punch);
                    }
                }
                OsdpEvent::Status(report) => self.status(&report),
                OsdpEvent::KeyPress(_) | OsdpEvent::MfgReply(_) => {}
            }
        }
        for at in 0..self.keys.len() {
            let reader = self.keys[at].0;
            if let Some(person) = self.keys[at].1.expire(now) {
                let punch = self.punch(person, card::by_keys(), reader);
                batch.punches.push(punch);
            }
        }
        batch
    }

    fn punch(&mut self, person: String, verify: VerifyMark, reader: i32) -> Punch {
        let local = second(Timestamp::now(), &self.zone);
        let value = u8::try_from(reader).ok().and_then(|reader| self.settings.directions.get(&reader).copied());
        let direction: DirectionMark =
            Mark { value: value.unwrap_or(Direction::Unknown), raw: Some(Raw::Number(reader.into())) };
        let key: Key = (person.clone(), direction.raw.clone(), verify.raw.clone());
        let equal = self.counted.iter().filter(|(other, at, _)| *other == key && *at == local);
        let nth = equal.map(|(.., nth)| *nth).max().unwrap_or(0) + 1;
        self.counted.push_back((key, local, nth));
        if self.counted.len() > REMEMBERED {
            self.counted.pop_front();
        }
        // Our own clock, late by a round of the bus.
        let clock = Clock { skew_ms: Some(0), err_ms: Some(1000), how: ClockSource::Arrival };
        Punch {
            person,
            local,
            zone: None,
            direction,
            verify,
            work_code: None,
            native: None,
            nth,
            origin: Origin::Live,
            clock,
            flags: Vec::new(),
        }
    }

    /// Tamper switch and power, the first two of its own status.
    fn status(&mut self, report: &OsdpStatusReport) {
        if !matches!(report.type_, OsdpStatusReportType::Local) {
            return;
        }
        let told =
            [(Trouble::Tampered, "its tamper switch is open"), (Trouble::PowerFailing, "its power supply fails")];
        for (at, (trouble, cause)) in told.into_iter().enumerate().take(report.nr_entries) {
            match report.report[at] {
                0 => self.terminal.relief(trouble),
                _ => self.terminal.trouble(trouble, cause),
            }
        }
    }

    /// The batch is on disk.
    pub(crate) fn is_stored(&mut self, batch: &Batch) {
        self.stored += batch.punches.len() as u64;
        if let Some(raw) = batch.set_aside.first() {
            self.terminal.trouble(Trouble::RecordsSetAside, raw.reason.clone());
        }
        if self.settings.confirm && !batch.punches.is_empty() {
            for command in crate::bus::signal(Some(driver_api::Light::Green), 1, 1) {
                // A queue that is full of signals needs no other one.
                let _ = self.command(command);
            }
        }
    }
}
