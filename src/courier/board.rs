//! The board: retained documents, the latest of each topic, pinned up again on each connection; and letters, which are
//! sent once each, in order, and kept until the broker has them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::wire::{self, GatewayState, StateMessage, suffix};

/// Where retained documents are put. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board(Arc<Inner>);

#[derive(Default)]
struct Inner {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Default)]
struct Notes {
    documents: BTreeMap<String, Document>,
    /// Suffixes to be published, each once.
    due: VecDeque<String>,
    versions: u64,
    letters: VecDeque<Letter>,
}

/// Something that is said once, and not retained.
struct Letter {
    number: u64,
    suffix: String,
    payload: Vec<u8>,
    /// Not on its way.
    due: bool,
}

/// Letters that wait at most; the oldest give way.
const LETTERS: usize = 512;

struct Document {
    version: u64,
    content: Content,
    /// The broker has acknowledged it.
    known: bool,
}

enum Content {
    Payload(Vec<u8>),
    /// The epoch comes in when it is published.
    State {
        state: GatewayState,
        since: Timestamp,
        reason: Option<String>,
    },
    /// To be taken off the broker, then forgotten.
    Cleared,
}

/// A document on its way.
pub(super) struct Sheet {
    pub(super) suffix: String,
    pub(super) version: u64,
    /// Empty takes it off the broker.
    pub(super) payload: Vec<u8>,
    /// A letter: `version` is its number.
    pub(super) letter: bool,
}

impl Board {
    /// Puts a document under a topic suffix, in place of the former one.
    pub fn set(&self, suffix: &str, payload: Vec<u8>) {
        self.put(suffix, Content::Payload(payload));
    }

    /// Sends something once, as soon as there is a broker; never retained.
    pub fn send(&self, suffix: String, payload: Vec<u8>) {
        let mut notes = self.notes();
        notes.versions += 1;
        let number = notes.versions;
        if notes.letters.len() >= LETTERS {
            notes.letters.pop_front();
        }
        notes.letters.push_back(Letter { number, suffix, payload, due: true });
        drop(notes);
        self.0.changed.notify_one();
    }

    /// All letters, as a broker would take them.
    #[cfg(test)]
    pub(crate) fn take_letters(&self) -> Vec<(String, Vec<u8>)> {
        self.notes().letters.drain(..).map(|letter| (letter.suffix, letter.payload)).collect()
    }

    /// Letters that no broker has yet.
    pub fn letters(&self) -> usize {
        self.notes().letters.len()
    }

    /// Takes the document off the broker.
    pub fn clear(&self, suffix: &str) {
        self.put(suffix, Content::Cleared);
    }

    /// Says how the gateway stands; `since` begins when the state changes.
    pub fn state(&self, state: GatewayState, reason: Option<String>) {
        let began = match self.notes().documents.get(suffix::STATE) {
            Some(Document { content: Content::State { state: before, since, .. }, .. }) if *before == state => *since,
            _ => Timestamp::now(),
        };
        self.put(suffix::STATE, Content::State { state, since: began, reason });
    }

    fn put(&self, suffix: &str, content: Content) {
        let mut notes = self.notes();
        notes.versions += 1;
        let version = notes.versions;
        notes.documents.insert(suffix.to_owned(), Document { version, content, known: false });
        notes.make_due(suffix);
        drop(notes);
        self.0.changed.notify_one();
    }

    /// Waits for a document that is due. Safe to drop in a `select!`.
    pub(super) async fn next(&self, epoch: u64) -> Sheet {
        loop {
            if let Some(sheet) = self.take(epoch) {
                return sheet;
            }
            self.0.changed.notified().await;
        }
    }

    fn take(&self, epoch: u64) -> Option<Sheet> {
        let mut notes = self.notes();
        if let Some(letter) = notes.letters.iter_mut().find(|letter| letter.due) {
            letter.due = false;
            let (suffix, payload) = (letter.suffix.clone(), letter.payload.clone());
            return Some(Sheet { suffix, version: letter.number, payload, letter: true });
        }
        let suffix = notes.due.pop_front()?;
        let document = notes.documents.get(&suffix)?;
        let payload = match &document.content {
            Content::Payload(payload) => payload.clone(),
            Content::State { state, since, reason } => {
                let (state, since, reason) = (*state, Some(*since), reason.clone());
                wire::json(&StateMessage { state, epoch, since, reason })
            }
            Content::Cleared => Vec::new(),
        };
        let version = document.version;
        Some(Sheet { suffix, version, payload, letter: false })
    }

    pub(super) fn is_due(&self) -> bool {
        let notes = self.notes();
        !notes.due.is_empty() || notes.letters.iter().any(|letter| letter.due)
    }

    /// The broker has this letter, or will never take it.
    pub(super) fn sent(&self, number: u64) {
        self.notes().letters.retain(|letter| letter.number != number);
    }

    /// The broker has it; what was cleared can be forgotten.
    pub(super) fn published(&self, suffix: &str, version: u64) {
        let mut notes = self.notes();
        if let Some(document) = notes.documents.get_mut(suffix).filter(|it| it.version == version) {
            document.known = true;
        }
        let done = |it: &Document| it.version == version && matches!(it.content, Content::Cleared);
        if notes.documents.get(suffix).is_some_and(done) {
            notes.documents.remove(suffix);
        }
    }

    /// Whether the broker has acknowledged this document as it is now.
    pub fn is_known(&self, suffix: &str) -> bool {
        let notes = self.notes();
        notes.documents.get(suffix).is_some_and(|it| it.known && !matches!(it.content, Content::Cleared))
    }

    /// The broker did not take it.
    pub(super) fn publish_again(&self, suffix: &str) {
        self.notes().make_due(suffix);
        self.0.changed.notify_one();
    }

    /// For a new connection: birth and state come first.
    pub(super) fn publish_all_again(&self) {
        let mut notes = self.notes();
        let mut all: Vec<String> = notes.documents.keys().cloned().collect();
        all.sort_by_key(|suffix| match suffix.as_str() {
            suffix::BIRTH => 0,
            suffix::STATE => 1,
            _ => 2,
        });
        notes.due = all.into();
        notes.letters.iter_mut().for_each(|letter| letter.due = true);
        drop(notes);
        self.0.changed.notify_one();
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().expect("nobody panics while holding the board")
    }
}

impl Notes {
    fn make_due(&mut self, suffix: &str) {
        if self.documents.contains_key(suffix) && !self.due.iter().any(|due| due == suffix) {
            self.due.push_back(suffix.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(board: &Board) -> Vec<(String, Vec<u8>)> {
        std::iter::from_fn(|| board.take(7)).map(|sheet| (sheet.suffix, sheet.payload)).collect()
    }

    #[test]
    fn only_the_latest_of_each_topic_is_published_and_birth_and_state_lead() {
        let board = Board::default();
        board.set("health", b"1".to_vec());
        board.state(GatewayState::Online, None);
        board.set("birth", b"b".to_vec());
        board.set("health", b"2".to_vec());
        assert_eq!(due(&board).len(), 3);
        board.publish_all_again();
        let all = due(&board);
        assert_eq!(all.iter().map(|(suffix, _)| suffix.as_str()).collect::<Vec<_>>(), ["birth", "state", "health"]);
        assert_eq!(all[2].1, b"2");
        assert!(String::from_utf8_lossy(&all[1].1).contains("\"epoch\":7"));
    }

    #[test]
    fn a_letter_is_sent_in_its_order_until_the_broker_has_it() {
        let board = Board::default();
        for word in ["1", "2", "3"] {
            board.send("response/x".into(), word.into());
        }
        let first = board.take(7).unwrap();
        assert!(first.letter && first.payload == b"1");
        board.sent(first.version);
        assert_eq!(due(&board).len(), 2);
        board.publish_all_again();
        assert_eq!(due(&board).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), [b"2", b"3"]);
        (0..10_000).for_each(|_| board.send("response/x".into(), vec![]));
        assert_eq!(board.letters(), LETTERS);
    }

    #[test]
    fn a_cleared_document_is_taken_off_until_the_broker_has_done_so() {
        let board = Board::default();
        board.clear("incident/disk-full");
        let sheet = board.take(1).unwrap();
        assert!(sheet.payload.is_empty());
        board.publish_all_again();
        assert_eq!(due(&board).len(), 1, "the connection broke before the answer");
        board.published(&sheet.suffix, sheet.version);
        board.publish_all_again();
        assert!(due(&board).is_empty());
    }
}
