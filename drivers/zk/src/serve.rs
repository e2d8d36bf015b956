//! Serving one terminal that is connected: log in, compare logs, take live punches, look after its clock.

use std::{sync::Mutex, time::Duration};

use driver_api::{CONFIRMATIONS, Clock, DriverError, Link, Origin, Report, Skew, Store, Terminal, Trouble};
use jiff::{civil::DateTime, tz::TimeZone};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use crate::{
    booking::{Book, named, set_aside},
    count::Looks,
    cursor::Cursor,
    download::{Manner, ReadFailed},
    event,
    identity::Identity,
    incident::{self, Incidents},
    names,
    people::LIST_AGE,
    record::{Form, Who},
    session::Session,
    settings::Settings,
    sizes::Sizes,
    timekeeping::Watched,
    user::People,
};

/// A doubt about an event is settled by reading the log, after a moment in which more of them may come.
pub(crate) const DOUBT: Duration = Duration::from_secs(2);
/// A connected terminal and all that is known of it.
pub(crate) struct Serving<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) zone: &'a TimeZone,
    pub(crate) link: &'a Link,
    pub(crate) terminal: Terminal,
    pub(crate) session: &'a mut Session,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) manner: &'a Mutex<Manner>,
    pub(crate) watched: &'a Mutex<Watched>,
    pub(crate) incidents: &'a Mutex<Incidents>,
    pub(crate) skew: Option<Skew>,
    /// When it was asked for the time.
    pub(crate) time_asked: Option<Instant>,
    /// When it was last asked because of a punch that did not fit its clock.
    pub(crate) doubted: Option<Instant>,
    pub(crate) sizes: Sizes,
    pub(crate) cursor: Option<Cursor>,
    /// The newest time in the log, as far as it was seen.
    pub(crate) latest: Option<DateTime>,
    pub(crate) form: Option<Form>,
    pub(crate) people: Option<(Instant, People)>,
    /// A user list had somebody in it.
    pub(crate) had_people: bool,
    /// Registered for live punches.
    pub(crate) live: bool,
    /// Live punches that came in this session.
    pub(crate) lively: u64,
    /// Those of them that were new since the log was read.
    pub(crate) since_read: u64,
    /// An event came in this session in a form that is not known: more of them will.
    pub(crate) odd_events: bool,
    /// Complete reads in this session.
    pub(crate) reads: u64,
    /// When the last of them was.
    pub(crate) read_at: Option<Instant>,
    /// And how long the last one took.
    pub(crate) read_took: Duration,
    pub(crate) looks: Looks,
    pub(crate) failures: u32,
    pub(crate) damaged: u64,
    pub(crate) next_read: Instant,
    pub(crate) next_beat: Instant,
}

impl<'a> Serving<'a> {
    /// Logs in and finds out who is there. Nothing is booked for a terminal that is not the configured one.
    pub(crate) async fn begin(
        settings: &'a Settings,
        zone: &'a TimeZone,
        (manner, watched, incidents): (&'a Mutex<Manner>, &'a Mutex<Watched>, &'a Mutex<Incidents>),
        link: &'a Link,
        session: &'a mut Session,
    ) -> Result<Self, DriverError> {
        let terminal = link.terminals().first().cloned().expect("a line of this driver has one terminal");
        session.login().await?;
        let identity = Identity::ask(session).await?;
        if let Some(expected) = &settings.serial
            && !identity.serial.is_empty()
            && *expected != identity.serial
        {
            let cause = format!("there is {:?} at its address, not {expected:?}", identity.serial);
            terminal.trouble(Trouble::WrongTerminal, cause.as_str());
            return Err(session.refused(format!(
                "{cause}; nothing was read: correct the address, or the serial if the terminal was replaced"
            )));
        }
        let booked = identity.serial_or(settings.serial.as_deref(), terminal.name());
        let is_stand_in = identity.serial.is_empty() && settings.serial.is_none();
        if let Some(objection) = terminal.objection(booked, is_stand_in).await {
            for _ in 0..CONFIRMATIONS {
                if !identity.is_confirmed(session).await? {
                    return Err(session.garbled("it tells another serial number each time that it is asked"));
                }
            }
            if let Some(cause) = objection.stands() {
                terminal.trouble(Trouble::WrongTerminal, cause.as_str());
                return Err(session.refused(format!(
                    "{cause}; nothing was read: if it is the same terminal, write that serial number into its block"
                )));
            }
        }
        terminal.relief(Trouble::WrongTerminal);
        let store = terminal.store(booked);
        incident::recall(incidents, &terminal, &store).await?;
        let Identity { model, firmware, platform, .. } = identity.clone();
        terminal.report(Report::Identity { serial: store.serial().to_owned(), model, firmware, platform });
        terminal.online();
        if session.key_used() {
            terminal.relief(Trouble::UnsafeKey);
        } else {
            terminal.trouble(Trouble::UnsafeKey, "it serves everybody on the network: no comm key is set there");
        }
        let holdings = store.holdings().await;
        let cursor = store.load_cursor().await.and_then(|saved| Cursor::parse(&saved));
        // A terminal keeps its layout, whatever became of the ledger.
        let form = cursor.as_ref().map(|cursor| cursor.form);
        let cursor = cursor.filter(|cursor| cursor.is_believable(&holdings));
        Ok(Self {
            settings,
            zone,
            link,
            terminal,
            session,
            identity,
            manner,
            watched,
            incidents,
            skew: None,
            time_asked: None,
            doubted: None,
            sizes: Sizes::default(),
            latest: cursor.as_ref().and_then(|cursor| cursor.latest).max(holdings.latest),
            form,
            cursor,
            store,
            people: None,
            had_people: false,
            live: false,
            lively: 0,
            since_read: 0,
            odd_events: false,
            reads: 0,
            read_at: None,
            read_took: Duration::ZERO,
            looks: Looks::default(),
            failures: 0,
            damaged: 0,
            next_read: Instant::now(),
            next_beat: Instant::now(),
        })
    }

    /// Serves until something goes wrong; leaving is the caller's business, at any moment.
    pub(crate) async fn run(&mut self) -> Result<std::convert::Infallible, DriverError> {
        // Whoever was here last may have died while people were kept off, live punches or not.
        self.session.enable().await?;
        self.measure_clock().await?;
        if self.settings.live {
            // Before the log is read, so that nothing can fall between the two.
            match self.session.register().await? {
                Ok(()) => self.live = true,
                Err(code) => {
                    let cause = format!("it answered {} when asked for them", crate::command::meaning(code));
                    self.terminal.trouble(Trouble::NoLiveEvents, cause);
                }
            }
        }
        match self.manner().not_before {
            Some(then) if then > Instant::now() => self.next_read = then,
            _ => self.read_log().await?,
        }
        self.look_after_clock().await?;
        loop {
            let work = select! {
                said = self.session.unasked() => Work::Said(said?),
                () = sleep_until(self.next_beat) => Work::Beat,
                () = sleep_until(self.next_read) => Work::Read,
                job = self.link.next_job() => Work::Job(job),
            };
            match work {
                Work::Said(inner) => {
                    self.session.note(&inner).await?;
                    self.book_events(true).await?;
                }
                Work::Beat => {
                    self.measure_clock().await?;
                    self.look_after_clock().await?;
                    self.look_at_count().await?;
                }
                Work::Read => self.read_log().await?,
                Work::Job(job) => self.job(job).await?,
            }
            // What came while something else was going on.
            self.book_events(true).await?;
        }
    }

    /// Stores the live punches that have come. While the log is on its way the terminal must not be asked for its users,
    /// so without `may_ask` those with an unexplained number wait.
    pub(crate) async fn book_events(&mut self, may_ask: bool) -> Result<(), DriverError> {
        while !self.session.events.is_empty() {
            let mut batch = driver_api::Batch::default();
            let mut held_back = false;
            while let Some(told) = self.session.events.pop_front() {
                match self.event(&told, may_ask).await {
                    Ok(Some(events)) => {
                        batch.punches.extend(events.punches);
                        batch.set_aside.extend(events.set_aside);
                        batch.former.extend(events.former);
                    }
                    Ok(None) => {
                        self.session.events.push_front(told);
                        held_back = true;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            let newest = batch.punches.iter().map(|punch| punch.local).max();
            if !batch.punches.is_empty() || !batch.set_aside.is_empty() {
                let stored = self.store.put(batch).await?;
                self.latest = self.latest.max(newest);
                self.since_read += stored.new as u64;
                if stored.twins > 0 || stored.set_aside > 0 {
                    // An equal punch may be a second one of the same second: the log tells.
                    self.read_soon();
                }
                if stored.set_aside > 0 {
                    self.odd_events = true;
                    let cause = "an event came in a form that is not known; the log is read instead";
                    self.terminal.trouble(Trouble::RecordsSetAside, cause);
                }
                if newest.is_some() && self.lively == 0 {
                    self.terminal.relief(Trouble::NoLiveEvents);
                }
                self.lively += u64::from(newest.is_some());
                self.terminal.seen();
            }
            if held_back {
                break;
            }
        }
        if std::mem::take(&mut self.session.missed) {
            self.read_soon();
        }
        if self.session.damaged() > self.damaged {
            self.damaged = self.session.damaged();
            self.terminal.trouble(Trouble::LineNoisy, format!("{} packets with a wrong checksum", self.damaged));
        }
        Ok(())
    }

    /// One event as a batch; `None` when its person cannot be told at the moment.
    async fn event(
        &mut self,
        (arrived, data): &(Instant, Vec<u8>),
        may_ask: bool,
    ) -> Result<Option<driver_api::Batch>, DriverError> {
        let mut batch = driver_api::Batch::default();
        let records = match event::decode(data, self.form) {
            Ok(records) => records,
            Err(why) => {
                batch.set_aside.push(set_aside(data, &why, 1));
                return Ok(Some(batch));
            }
        };
        for record in &records {
            let (person, known) = match record.who {
                Who::Text(text) => (text.to_owned(), true),
                Who::Number(number) => {
                    let explained = self.people.as_ref().is_some_and(|(_, people)| people.find(number).is_some());
                    // Who is not in the list may have been enrolled since: only one that is newer than the punch tells.
                    let age = if explained { self.settings.timeout * LIST_AGE } else { arrived.elapsed() };
                    if !may_ask && !self.list_is_younger(age) {
                        return Ok(None);
                    }
                    let (person, known) = match self.people(age).await {
                        Ok(people) => named(number, people),
                        Err(ReadFailed::Lost(error)) => return Err(error),
                        // Its record is in the log, which waits for the list as well.
                        Err(_) => {
                            self.since_read += 1;
                            self.read_soon();
                            return Ok(Some(batch));
                        }
                    };
                    batch.former.extend(names::former(&self.store, [(number, person.as_str())]).await?);
                    (person, known)
                }
            };
            let clock = self.clock_of(record.local, *arrived, may_ask).await?;
            batch.punches.push(Book { clock, ..self.book(Origin::Live) }.punch(record, person, known, 1));
        }
        Ok(Some(batch))
    }

    pub(crate) fn book(&self, origin: Origin) -> Book<'a> {
        let clock = self.skew.map_or(Clock::UNKNOWN, Skew::as_clock);
        Book { origin, clock, verify: &self.settings.verify }
    }

    pub(crate) fn manner(&self) -> Manner {
        *self.manner.lock().expect("nobody panics while holding a few numbers")
    }

    pub(crate) fn remember(&self, manner: Manner) {
        *self.manner.lock().expect("nobody panics while holding a few numbers") = manner;
    }
}

enum Work {
    Said(Vec<u8>),
    Beat,
    Read,
    Job(driver_api::Job),
}
