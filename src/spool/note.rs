//! Notes: what does not follow from punches and must not be forgotten, such as an accepted command. Durable as punches are;
//! the newest note under a key is found in the index, which the journal can give back.

use std::sync::{Arc, PoisonError};

use driver_api::NotStored;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{board::Board, committer::Request, index::IndexError};

/// What a note is about; a byte of its own in the journal, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// How far a command is; the key is its id.
    Command = 1,
    /// Whether only read commands are taken; one key.
    Lockdown = 2,
    /// That this moment is past; one key. Only the newest is worth anything.
    Time = 3,
    /// The trust list that was taken last; one key.
    Trust = 4,
    /// What is wrong with a terminal, or under an empty key with the gateway. Only the newest is worth anything.
    Condition = 16,
    /// What a driver must not forget of a terminal. Only the newest is worth anything.
    Driver = 17,
}

/// A note as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub key: String,
    pub body: Vec<u8>,
    /// When it became durable, by our clock.
    pub stored: Timestamp,
}

/// A note on its way to the journal.
pub(super) struct NewNote {
    pub(super) kind: u8,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    /// Milliseconds since 1970.
    pub(super) stored: i64,
    pub(super) answer: oneshot::Sender<Result<(), NotStored>>,
}

/// A longer key or body is not taken, in bytes.
const KEY_LIMIT: usize = 128;
const BODY_LIMIT: usize = 16 << 10;

pub(super) async fn note(board: &Board, kind: NoteKind, key: &str, body: Vec<u8>) -> Result<(), NotStored> {
    if key.len() > KEY_LIMIT || body.len() > BODY_LIMIT {
        return Err(NotStored::DiskFailed("a note is too long for the journal".into()));
    }
    let (answer, answered) = oneshot::channel();
    let stored = Timestamp::now().as_millisecond();
    let note = Box::new(NewNote { kind: kind as u8, key: key.into(), body, stored, answer });
    board.requests.send(Request::Note(note)).map_err(|_| NotStored::Closed)?;
    answered.await.map_err(|_| NotStored::Closed)?
}

/// The newest note under a key.
pub(super) fn find(board: &Board, kind: NoteKind, key: &str) -> Result<Option<Note>, NotStored> {
    with_index(board, |index| {
        let found = index.note(kind as u8, key)?;
        Ok(found.and_then(|(stored, body)| read(key.into(), stored, body)))
    })
}

/// The newest note under each key.
pub(super) fn all(board: &Board, kind: NoteKind) -> Result<Vec<Note>, NotStored> {
    with_index(board, |index| {
        let found = index.notes(kind as u8)?;
        Ok(found.into_iter().filter_map(|(key, stored, body)| read(key, stored, body)).collect())
    })
}

fn read(key: String, stored: i64, body: Vec<u8>) -> Option<Note> {
    Some(Note { key, body, stored: Timestamp::from_millisecond(stored).ok()? })
}

fn with_index<T>(
    board: &Board,
    look: impl FnOnce(&super::index::Index) -> Result<T, IndexError>,
) -> Result<T, NotStored> {
    let index = board.index.read().unwrap_or_else(PoisonError::into_inner);
    let index = index.as_ref().ok_or_else(|| NotStored::DiskFailed(IndexError::missing().to_string()))?;
    look(index).map_err(|error| NotStored::DiskFailed(error.to_string()))
}

/// The same from a thread that may wait.
pub(super) async fn all_elsewhere(board: Arc<Board>, kind: NoteKind) -> Result<Vec<Note>, NotStored> {
    tokio::task::spawn_blocking(move || all(&board, kind)).await.map_err(|_| NotStored::Closed)?
}
