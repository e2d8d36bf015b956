//! One connection at work, and the book that says which acknowledgement belongs to which publish.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use futures_util::StreamExt;
use tracing::warn;

use super::{
    Connection, Event, Failure, FailureKind, Limits, Message, Ticket,
    steps::{Sender, Step, Steps},
};

/// The library tells which packet id goes out, never which publish got it. It takes publishes in the order in which they are
/// given, and we are the only ones who give any: so the next id that goes out belongs to the oldest ticket that waits.
#[derive(Default)]
struct Book {
    waiting: VecDeque<Ticket>,
    sent: HashMap<u16, Ticket>,
}

impl Book {
    fn given(&mut self, ticket: Ticket) {
        self.waiting.push_back(ticket);
    }

    /// Fails when the book does not match what the library does: then no acknowledgement can be believed.
    fn sent(&mut self, id: u16) -> Result<(), Failure> {
        let lost = || Failure::new(FailureKind::Garbled, format!("packet {id} went out and nobody gave it"));
        let ticket = self.waiting.pop_front().ok_or_else(lost)?;
        match self.sent.insert(id, ticket) {
            None => Ok(()),
            Some(_) => Err(Failure::new(FailureKind::Garbled, format!("packet id {id} was used twice"))),
        }
    }

    /// Whose packet that was. Nobody's: an answer that was not asked for, or the second one.
    fn answered(&mut self, id: u16) -> Option<Ticket> {
        self.sent.remove(&id)
    }
}

pub(super) struct Session {
    sender: Sender,
    steps: Steps,
    limits: Limits,
    book: Book,
    /// What arrived before the beginning was over.
    early: VecDeque<Event>,
    over: Option<Failure>,
}

impl Session {
    /// Waits for the broker's welcome and its answer to our subscriptions.
    pub(super) async fn begin(
        sender: Sender,
        mut steps: Steps,
        subscribe: &[String],
        surely: bool,
    ) -> Result<Self, Failure> {
        let limits = loop {
            if let Step::Welcome(limits) = steps.next().await.ok_or_else(Failure::closed)?.map_err(unwelcome)? {
                break limits;
            }
        };
        let (book, early) = (Book::default(), VecDeque::new());
        let mut session = Self { sender, steps, limits, book, early, over: None };
        if !subscribe.is_empty() {
            session.sender.subscribe(subscribe, surely)?;
            session.subscribed().await?;
        }
        Ok(session)
    }

    /// Waits, since the answer would otherwise share the packet ids of publishes.
    async fn subscribed(&mut self) -> Result<(), Failure> {
        loop {
            match self.steps.next().await.ok_or_else(Failure::closed)?? {
                Step::Subscribed(refused) if refused.is_empty() => return Ok(()),
                Step::Subscribed(refused) => {
                    warn!(?refused, "broker refused a subscription");
                    return Ok(());
                }
                Step::Arrived(message) => self.early.push_back(Event::Arrived(message)),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            match self.steps.next().await.ok_or_else(Failure::closed)?? {
                Step::Sent(id) => self.book.sent(id)?,
                Step::Acked(id) => {
                    if let Some(ticket) = self.book.answered(id) {
                        return Ok(Event::Acked(ticket));
                    }
                }
                Step::Refused(id, words) => {
                    if let Some(ticket) = self.book.answered(id) {
                        return Ok(Event::Refused(ticket, words));
                    }
                }
                Step::Arrived(message) => return Ok(Event::Arrived(message)),
                Step::Welcome(_) | Step::Subscribed(_) | Step::Left | Step::Other => {}
            }
        }
    }
}

/// A broker that does not like our certificate may close faster than its alert reaches us.
fn unwelcome(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Closed => Failure {
            words: format!("{} before it said welcome: it may not accept our certificate or client id", failure.words),
            ..failure
        },
        _ => failure,
    }
}

#[async_trait]
impl Connection for Session {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn publish(&mut self, ticket: Ticket, message: Message) -> Result<(), Failure> {
        if message.payload.len() > self.limits.payload(&message.topic) {
            // The library would keep it and break each connection on it.
            return Err(Failure::new(FailureKind::Garbled, "a message is larger than the broker allows"));
        }
        self.sender.publish(message)?;
        self.book.given(ticket);
        Ok(())
    }

    async fn event(&mut self) -> Result<Event, Failure> {
        if let Some(early) = self.early.pop_front() {
            return Ok(early);
        }
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let event = self.next().await;
        self.over = event.as_ref().err().cloned();
        event
    }

    async fn leave(&mut self) {
        if self.over.is_none() && self.sender.leave().is_ok() {
            // An error ends the connection as well.
            while let Some(Ok(step)) = self.steps.next().await {
                if matches!(step, Step::Left) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_belongs_to_the_publish_that_got_its_id() {
        let mut book = Book::default();
        for ticket in [10, 11, 12] {
            book.given(ticket);
        }
        for id in [7, 8, 9] {
            book.sent(id).unwrap();
        }
        assert_eq!([book.answered(9), book.answered(7), book.answered(8)], [Some(12), Some(10), Some(11)]);
    }

    #[test]
    fn an_answer_counts_once_and_only_when_it_was_asked_for() {
        let mut book = Book::default();
        book.given(1);
        assert_eq!(book.answered(1), None, "nothing went out yet");
        book.sent(1).unwrap();
        assert_eq!([book.answered(2), book.answered(1), book.answered(1)], [None, Some(1), None]);
    }

    #[test]
    fn a_book_that_does_not_match_ends_the_connection() {
        let mut book = Book::default();
        assert!(book.sent(1).is_err());
        book.given(1);
        book.given(2);
        book.sent(5).unwrap();
        assert!(book.sent(5).is_err());
    }
}
