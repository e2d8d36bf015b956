//! One round: a connection at work, from its welcome to its end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::{
    Board, Courier, LinkState,
    board::Sheet,
    parcel::{Parcel, pack},
    prudence::Suspect,
    refusals::Refusals,
    tally::Tally,
    window::Window,
};
use crate::{
    ledger::{Ledger, Segment},
    mqtt::{Connection, Event, Failure, FailureKind, Limits, Message, Ticket},
    outbox::Outbox,
    wire::{GatewayState, suffix},
};

/// How long taking leave of a broker may last.
const LEAVING: Duration = Duration::from_secs(1);

pub(super) struct Round<'a> {
    courier: &'a mut Courier,
    connection: &'a mut dyn Connection,
    limits: Limits,
    window: Window,
    /// By ticket, which is the order of sending.
    flights: BTreeMap<Ticket, Flight>,
    bytes_in_flight: usize,
    next_ticket: Ticket,
    /// Since when the oldest flight is the oldest. Brokers acknowledge in order: one that is overtaken for too long is as bad
    /// as a broker that says nothing.
    oldest_since: Instant,
    ready: VecDeque<Parcel>,
    refusals: Refusals,
    /// Whether a punch was set aside on a guess, which ends some day.
    set_aside: bool,
    /// A document comes next; else a punch. So neither waits for more than one message of the other kind.
    document_next: bool,
    tally: Tally,
    /// Whether the link counts as up.
    answered: bool,
    /// Whether anything was acknowledged, and the largest of it in bytes.
    delivered: bool,
    largest_delivered: usize,
}

/// A publish that is not answered yet.
struct Flight {
    cargo: Cargo,
    bytes: usize,
    sent: Instant,
}

enum Cargo {
    Punches { ledger: Arc<Ledger>, first: u64, last: u64 },
    Document { suffix: String, version: u64 },
    Letter { suffix: String, number: u64 },
}

/// What can be sent next.
enum Next {
    Segment(Segment),
    Sheet(Sheet),
}

impl<'a> Round<'a> {
    pub(super) fn new(courier: &'a mut Courier, connection: &'a mut dyn Connection) -> Self {
        let limits = connection.limits();
        let window = Window::new(courier.settings.window.min(limits.unacknowledged));
        courier.note(|status| status.unsendable = 0);
        let mut round = Self {
            courier,
            connection,
            limits,
            window,
            flights: BTreeMap::new(),
            bytes_in_flight: 0,
            next_ticket: 1,
            oldest_since: Instant::now(),
            ready: VecDeque::new(),
            refusals: Refusals::default(),
            set_aside: false,
            document_next: true,
            tally: Tally::default(),
            answered: false,
            delivered: false,
            largest_delivered: 0,
        };
        if !round.courier.board.is_due() {
            round.is_up();
        }
        round
    }

    /// A welcome alone says little: the link is up when the broker has answered to a first message, and there is one at once
    /// wherever anything stands on the board.
    fn is_up(&mut self) {
        self.answered = true;
        info!(broker = %self.courier.broker(), "broker connected");
        self.courier.note(|status| {
            status.enter(LinkState::Up);
            status.cause = None;
            status.counters.connects += 1;
        });
    }

    /// Carries until the connection fails.
    pub(super) async fn serve(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.turn(true).await {
                return failure;
            }
        }
    }

    /// Takes no more punches, and waits until everything on its way is answered.
    async fn drain(&mut self) -> Result<(), Failure> {
        self.ready.clear();
        while !self.flights.is_empty() || self.courier.board.is_due() {
            self.turn(false).await?;
        }
        Ok(())
    }

    /// Waits a while for what is on its way, says `offline`, and takes leave. If the broker does not answer in time, it gets
    /// no farewell either: then it says `lost` in our name, which is true.
    pub(super) async fn close(&mut self, patience: Duration) {
        self.courier.board.state(GatewayState::Draining, None);
        let drained = timeout(patience, self.drain()).await;
        if !matches!(drained, Ok(Ok(()))) {
            warn!(in_flight = self.flights.len(), "broker did not acknowledge in time for the farewell");
            return;
        }
        self.courier.board.state(GatewayState::Offline, None);
        let leaving = async {
            self.drain().await?;
            self.connection.leave().await;
            Ok::<(), Failure>(())
        };
        // Everything is delivered: if this fails, only the farewell is lost.
        let _ = timeout(LEAVING, leaving).await;
    }

    /// Whether anything was acknowledged.
    pub(super) fn delivered(&self) -> bool {
        self.delivered
    }

    /// The connection broke: what was never acknowledged in this size may have been too much for the broker.
    pub(super) fn suspect(&self) -> Option<Suspect> {
        let largest = self.flights.values().max_by_key(|flight| flight.bytes)?;
        let single = matches!(largest.cargo, Cargo::Punches { first, last, .. } if first == last);
        (largest.bytes > self.largest_delivered).then_some(Suspect { bytes: largest.bytes, single })
    }

    async fn turn(&mut self, punches: bool) -> Result<(), Failure> {
        while self.has_room()
            && let Some(parcel) = self.ready.pop_front()
        {
            self.send_parcel(parcel)?;
        }
        let room = self.has_room();
        let punches = punches && self.ready.is_empty() && !self.refusals.stop(self.window.messages());
        let epoch = self.courier.epoch;
        let Courier { outbox, board, beat, .. } = &mut *self.courier;
        tokio::select! {
            event = self.connection.event() => self.take(event?),
            _ = beat.tick() => return self.look(),
            next = next(outbox.as_mut(), board, punches, self.document_next, epoch), if room => match next {
                Next::Segment(segment) => {
                    self.document_next = true;
                    self.pack(&segment);
                }
                Next::Sheet(sheet) => {
                    self.document_next = false;
                    self.send_sheet(sheet)?;
                }
            },
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.window.has_room(self.flights.len(), self.bytes_in_flight)
    }

    /// What is left out here stays with the outbox, handed out and unconfirmed, until it is taken back.
    fn pack(&mut self, segment: &Segment) {
        let terminal = &segment.ledger.terminal;
        if self.refusals.holds(terminal) {
            return;
        }
        let topic = self.courier.topics.of(&suffix::punch(terminal));
        let prudence = &self.courier.prudence;
        let guess = prudence.limit();
        let most = self.limits.payload(&topic).min(guess.unwrap_or(usize::MAX));
        let too_large = pack(segment, most, prudence.largest(), &mut self.ready);
        if too_large > 0 {
            self.set_aside |= guess.is_some();
            if self.tally.unsendable == 0 && self.courier.status.borrow().unsendable == 0 {
                warn!(terminal, limit = most, "punch larger than the broker takes was set aside");
            }
            self.tally.unsendable += too_large;
        }
    }

    fn send_parcel(&mut self, parcel: Parcel) -> Result<(), Failure> {
        let Parcel { ledger, first, last, payload } = parcel;
        if self.refusals.holds(&ledger.terminal) {
            return Ok(());
        }
        debug!(terminal = ledger.terminal, first, last, "punches published");
        let topic = self.courier.topics.of(&suffix::punch(&ledger.terminal));
        self.send(Cargo::Punches { ledger, first, last }, Message { topic, payload, retain: false })
    }

    fn send_sheet(&mut self, sheet: Sheet) -> Result<(), Failure> {
        let Sheet { suffix, version, payload, letter } = sheet;
        let topic = self.courier.topics.of(&suffix);
        if payload.len() > self.limits.payload(&topic).min(self.courier.prudence.largest()) {
            warn!(topic, bytes = payload.len(), "document larger than the broker allows was left out");
            if letter {
                self.courier.board.sent(version);
            }
            return Ok(());
        }
        if letter {
            let cargo = Cargo::Letter { suffix, number: version };
            return self.send(cargo, Message { topic, payload, retain: false });
        }
        self.send(Cargo::Document { suffix, version }, Message { topic, payload, retain: self.limits.retain })
    }

    fn send(&mut self, cargo: Cargo, message: Message) -> Result<(), Failure> {
        let (ticket, bytes, sent) = (self.next_ticket, message.payload.len(), Instant::now());
        self.connection.publish(ticket, message)?;
        if self.flights.is_empty() {
            self.oldest_since = sent;
        }
        self.next_ticket += 1;
        self.bytes_in_flight += bytes;
        self.flights.insert(ticket, Flight { cargo, bytes, sent });
        self.tally.published += 1;
        Ok(())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Acked(ticket) => {
                if let Some(flight) = self.land(ticket) {
                    self.acked(flight);
                }
            }
            Event::Refused(ticket, words) => {
                if let Some(flight) = self.land(ticket) {
                    self.refused(flight, &words);
                }
            }
            Event::Arrived(message) => {
                // Whoever is at the other end counts; a line of the log for each would be what a flood wants.
                if let Some(inbox) = &self.courier.inbox.messages
                    && inbox.try_send(message).is_err()
                {
                    self.tally.dropped += 1;
                }
            }
        }
    }

    fn land(&mut self, ticket: Ticket) -> Option<Flight> {
        let oldest = self.flights.first_key_value().is_some_and(|(oldest, _)| *oldest == ticket);
        let flight = self.flights.remove(&ticket)?;
        if !self.answered {
            self.is_up();
        }
        if oldest {
            self.oldest_since = Instant::now();
        }
        self.bytes_in_flight -= flight.bytes;
        Some(flight)
    }

    fn acked(&mut self, flight: Flight) {
        self.window.acknowledged(flight.sent, flight.bytes);
        self.tally.acked += 1;
        self.tally.round_trip = Some(flight.sent.elapsed());
        self.delivered = true;
        self.largest_delivered = self.largest_delivered.max(flight.bytes);
        match flight.cargo {
            Cargo::Punches { ledger, first, last } => {
                self.courier.outbox.confirm(&ledger, first, last);
                self.refusals.taken(&ledger.terminal);
                self.tally.punches_acked += last - first + 1;
            }
            Cargo::Document { suffix, version } => {
                self.courier.board.published(&suffix, version);
                self.refusals.taken(&suffix);
            }
            Cargo::Letter { number, .. } => self.courier.board.sent(number),
        }
    }

    fn refused(&mut self, flight: Flight, words: &str) {
        self.tally.refused += 1;
        let topic = match flight.cargo {
            Cargo::Punches { ledger, .. } => {
                self.refusals.refused(&ledger.terminal);
                suffix::punch(&ledger.terminal)
            }
            Cargo::Document { suffix, .. } => {
                self.refusals.document_refused(&suffix);
                suffix
            }
            // Nobody waits for it any more by the time it could be taken.
            Cargo::Letter { suffix, number } => {
                self.courier.board.sent(number);
                suffix
            }
        };
        let mut news = false;
        self.courier.note(|status| {
            news = status.refusal.is_none();
            status.refusal = Some(format!("{topic}: {words}"));
        });
        if news {
            warn!(topic, reason = words, "broker refused a message");
        }
    }

    /// Each half second: time limits, what was refused, and the status.
    fn look(&mut self) -> Result<(), Failure> {
        if !self.flights.is_empty() && self.oldest_since.elapsed() > self.courier.client.ack_timeout() {
            let waits = self.oldest_since.elapsed().as_secs();
            return Err(Failure::new(
                FailureKind::NotAcknowledging,
                format!("the broker is connected but has not acknowledged for {waits} s"),
            ));
        }
        if self.set_aside && self.courier.prudence.limit().is_none() {
            self.set_aside = false;
            self.refusals.retry_now();
        }
        // What was refused can be taken back only together with what is on its way: that is waited for first.
        if self.refusals.is_due() && self.flights.is_empty() {
            self.ready.clear();
            self.courier.outbox.take_back();
            self.tally.unsendable = 0;
            self.courier.note(|status| status.unsendable = 0);
            for suffix in self.refusals.retry() {
                self.courier.board.publish_again(&suffix);
            }
        }
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        let (in_flight, tally) = (self.flights.len(), self.tally.take());
        // What is taken now says nothing of what is still held.
        let well = self.refusals.is_empty() && tally.acked > 0;
        self.courier.note(|status| {
            tally.add_to(status);
            status.counters.in_flight = in_flight;
            if well {
                status.refusal = None;
            }
        });
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.report();
    }
}

/// Waits for what can be sent next. Safe to drop in a `select!`.
async fn next(outbox: &mut dyn Outbox, board: &Board, punches: bool, document_first: bool, epoch: u64) -> Next {
    if !punches {
        return Next::Sheet(board.next(epoch).await);
    }
    if document_first {
        tokio::select! {
            biased;
            sheet = board.next(epoch) => Next::Sheet(sheet),
            segment = outbox.next() => Next::Segment(segment),
        }
    } else {
        tokio::select! {
            biased;
            segment = outbox.next() => Next::Segment(segment),
            sheet = board.next(epoch) => Next::Sheet(sheet),
        }
    }
}
