//! The book of commands: how far each is, for ever. In the journal, as notes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    command::{Order, Standing},
    spool::{Note, NoteKind, Spool},
};

/// What is on disk of one command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Page {
    /// SHA-256 of the request, in hex.
    pub(super) request: String,
    pub(super) command: String,
    pub(super) standing: Standing,
    pub(super) result: Option<Value>,
    pub(super) error: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        let (request, command) = (String::new(), String::new());
        Self { request, command, standing: Standing::Rejected, result: None, error: None }
    }
}

impl Page {
    pub(super) fn accepted(order: &Order, request: &str) -> Self {
        let (request, command) = (request.to_owned(), order.command.clone());
        Self { request, command, standing: Standing::Accepted, ..Self::default() }
    }

    /// A page that cannot be read was written by a newer version: something was done.
    fn of(note: &Note) -> Self {
        serde_json::from_slice(&note.body).unwrap_or(Self { standing: Standing::Unknown, ..Self::default() })
    }
}

pub(super) struct Book {
    spool: Spool,
}

impl Book {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool }
    }

    /// On disk when this returns.
    pub(super) async fn write(&self, id: &str, page: &Page) -> Result<(), driver_api::NotStored> {
        let body = serde_json::to_vec(page).expect("a page holds only texts and JSON");
        self.spool.note(NoteKind::Command, id, body).await
    }

    pub(super) fn find(&self, id: &str) -> Result<Option<Page>, driver_api::NotStored> {
        Ok(self.spool.noted(NoteKind::Command, id)?.as_ref().map(Page::of))
    }

    /// All, with when each was written last.
    pub(super) async fn all(&self) -> Result<Vec<(String, Page, Timestamp)>, driver_api::NotStored> {
        let notes = self.spool.notes(NoteKind::Command).await?;
        Ok(notes.into_iter().map(|note| (note.key.clone(), Page::of(&note), note.stored)).collect())
    }
}
