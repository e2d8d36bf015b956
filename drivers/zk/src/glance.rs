//! A look at both ends of a log, to see whether it is still the one that was read.
//!
//! A count that has not moved proves nothing: a log that was cleared and filled again may hold as many records as before,
//! and one that wraps below the capacity that it tells always does. Its first and its last record cost three small questions.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::{
    cursor::Compared,
    download::{Download, HEADER, Manner, ReadFailed, What, abandon},
    record,
    serve::Serving,
};

/// A terminal that cannot be asked for a piece of its log is asked for all of it once in a session, and once in so long.
const SELDOM: Duration = Duration::from_secs(86_400);

/// What a look at a log came to.
#[derive(Debug)]
pub(crate) enum Glance {
    /// It is the one that was read.
    Same,
    /// It is small and came as a whole.
    Whole(Vec<u8>),
    /// It is another, or cannot be looked at: it must be read.
    Other,
}

impl Serving<'_> {
    /// Looks at the ends of the log. For when its count is what it was when it was read.
    pub(crate) async fn glance(&mut self, limit: usize) -> Result<Glance, ReadFailed> {
        let Some(length) = self.cursor.as_ref().and_then(|cursor| cursor.length()) else { return Ok(Glance::Other) };
        let mut manner = self.manner();
        if manner.legacy || manner.blind {
            let lately = self.read_at.is_some_and(|at: Instant| at.elapsed() < SELDOM);
            return Ok(if lately { Glance::Same } else { Glance::Other });
        }
        let download = Download::begin(self.session, What::Log, limit, &mut manner).await?;
        self.remember(manner);
        if download.is_whole() {
            let body = download.finish(self.session, &mut manner).await?;
            return Ok(if self.is_read(&body) { Glance::Same } else { Glance::Whole(body) });
        }
        let same = if download.total() == length + HEADER {
            self.has_known_ends(&download, &mut manner).await
        } else {
            Ok(false)
        };
        match same {
            Ok(same) => {
                download.finish(self.session, &mut manner).await?;
                debug!(same, "ends of its log looked at");
                Ok(if same { Glance::Same } else { Glance::Other })
            }
            Err(failed) => match abandon(self.session, failed).await {
                ReadFailed::Lost(error) => Err(error.into()),
                // A whole read says more of why.
                failed => {
                    debug!(why = %failed, "ends of its log could not be looked at");
                    Ok(Glance::Other)
                }
            },
        }
    }

    async fn has_known_ends(&mut self, download: &Download, manner: &mut Manner) -> Result<bool, ReadFailed> {
        let Some(cursor) = &self.cursor else { return Ok(false) };
        let (total, size) = (download.total(), cursor.form.size());
        // The last first: it is the one that differs.
        let last = download.piece(self.session, manner, total - size..total).await?;
        let first = download.piece(self.session, manner, HEADER..HEADER + size).await?;
        Ok(cursor.has_ends(&first, &last))
    }

    /// Whether this body is the log that was read, record for record.
    fn is_read(&self, body: &[u8]) -> bool {
        let (Some(cursor), Ok(records)) = (&self.cursor, record::records(body)) else { return false };
        let known = Some(records.len()) == cursor.length();
        known && matches!(cursor.compare(records, cursor.form), Compared::Grown { .. })
    }
}
