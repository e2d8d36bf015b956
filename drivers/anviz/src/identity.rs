//! Who a terminal is: asked when it is met, and again before anything of it is booked.
//!
//! A line is no terminal. On a bus, and behind a serial server, another one answers as soon as somebody exchanges two units or
//! their plugs, and nothing hangs up.

use driver_api::{CONFIRMATIONS, Report, Trouble};
use tokio::time::Instant;

use crate::{
    command::{ask, meaning},
    cursor::Cursor,
    frame::Frame,
    record,
    terminal::{Failed, Known, Serving},
    wire::{NoAnswer, Wire},
};

/// Bytes of a serial number.
const SERIAL: usize = 16;

impl Serving<'_> {
    /// Asks who is there. Nothing is booked for a terminal that is not the configured one.
    pub(crate) async fn identify(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        if let Some((user, password)) = &self.settings.login {
            let mut data = [0; 24];
            data[..user.len()].copy_from_slice(user.as_bytes());
            data[12..12 + password.reveal().len()].copy_from_slice(password.reveal().as_bytes());
            let answer = self.ask(wire, ask::LOGIN, &data).await?;
            if answer.result != 0 {
                let reason = format!(
                    "it answered {} to the login: compare user and password_file with its menu",
                    meaning(answer.result)
                );
                return Err(wire.refused(reason).into());
            }
        }
        // Every model knows this one: silence here is silence.
        let answer = self.ask(wire, ask::COUNTERS, &[]).await?;
        if self.unit == 0 {
            self.unit = answer.unit;
        }
        let serial = self.text(wire, ask::SERIAL, SERIAL).await?;
        let model = self.text(wire, ask::MODEL, 16).await?;
        let firmware = self.text(wire, ask::CONFIG, 8).await?;
        if let Some(expected) = &self.settings.serial
            && !serial.is_empty()
            && *expected != serial
        {
            let cause = format!("there is {serial:?}, not {expected:?}");
            self.terminal.trouble(Trouble::WrongTerminal, cause.as_str());
            let reason = format!(
                "{cause}; nothing was read: correct address or unit, or the serial if the terminal was replaced"
            );
            return Err(wire.refused(reason).into());
        }
        let booked = [Some(serial.as_str()), self.settings.serial.as_deref(), Some(self.terminal.name())];
        let booked = booked.into_iter().flatten().find(|it| !it.is_empty()).unwrap_or_default();
        let is_stand_in = serial.is_empty() && self.settings.serial.is_none();
        if let Some(objection) = self.terminal.objection(booked, is_stand_in).await {
            for _ in 0..CONFIRMATIONS {
                if self.text(wire, ask::SERIAL, SERIAL).await? != serial {
                    return Err(wire.garbled("it tells another serial number each time that it is asked").into());
                }
            }
            if let Some(cause) = objection.stands() {
                self.terminal.trouble(Trouble::WrongTerminal, cause.as_str());
                let mend = "if it is the same terminal, write that serial number into its block";
                return Err(wire.refused(format!("{cause}; nothing was read: {mend}")).into());
            }
        }
        self.terminal.relief(Trouble::WrongTerminal);
        let store = self.terminal.store(booked);
        self.terminal.report(Report::Identity {
            serial: booked.to_owned(),
            model: model.clone(),
            firmware: firmware.clone(),
            platform: String::new(),
        });
        self.terminal.online();
        let holdings = store.holdings().await;
        self.latest = self.latest.max(holdings.latest);
        // A ledger that was begun anew has nothing of what the marks say was read.
        let empty = holdings.punches + holdings.set_aside == 0;
        let cursor = store.load_cursor().await.filter(|_| !empty).and_then(|saved| Cursor::parse(&saved));
        let (whole, whole_after) = (cursor.is_some_and(|cursor| cursor.whole), Instant::now());
        self.known = Some(Known {
            store,
            told: serial,
            model,
            firmware,
            cursor,
            whole,
            whole_after,
            fresh: true,
            suspect: false,
        });
        if self.settings.live {
            self.switch_live_on(wire).await?;
        }
        Ok(())
    }

    /// Whether it is still the one that was met. It is asked before what it holds means anything, and before it is booked.
    pub(crate) async fn confirm_identity(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        // Who tells no serial number does not answer at all, or tells nothing: there is nothing to compare.
        let Some(told) = self.known.as_ref().map(|known| &known.told).filter(|told| !told.is_empty()) else {
            return Ok(());
        };
        for _ in 0..CONFIRMATIONS {
            let now = self.text(wire, ask::SERIAL, SERIAL).await?;
            if now == *told {
                return Ok(());
            }
            if !now.is_empty() {
                return Err(wire.garbled(format!("it was {told:?} a moment ago, and says {now:?} now")).into());
            }
        }
        Err(wire.garbled("it told its serial number a moment ago, and tells none now").into())
    }

    /// Asks what not every model knows: old ones then say nothing at all.
    pub(crate) async fn ask_if_known(&self, wire: &mut Wire, command: u8) -> Result<Option<Frame>, NoAnswer> {
        match self.ask(wire, command, &[]).await {
            Ok(answer) if answer.result == 0 => Ok(Some(answer)),
            Ok(_) | Err(NoAnswer::Silence) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// A text of so many bytes that not every model tells; empty where it does not.
    async fn text(&self, wire: &mut Wire, command: u8, most: usize) -> Result<String, NoAnswer> {
        let answer = self.ask_if_known(wire, command).await?;
        Ok(answer.map_or_else(String::new, |answer| record::text(&answer.data[..answer.data.len().min(most)])))
    }
}
