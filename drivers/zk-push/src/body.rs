//! The body of a request on its way in: deadline, limit and memory, and the three ways in which it may not arrive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::crowd::{Place, Room};

/// From the head to the last byte.
const BODY_TIME: Duration = Duration::from_secs(60);
/// A body over the limit is read to its end and thrown away, up to so much, so that the terminal sees our answer and
/// not a broken connection.
const MOST_THROWN_AWAY: u64 = 256 << 20;
/// The same for requests that are refused whatever they hold.
const MOST_OF_REFUSED: u64 = 64 << 10;

/// A peer that is refused already is not waited for: so long at most, in all or between two pieces of a long body.
const REFUSED_TIME: Duration = Duration::from_secs(5);

/// Why a body did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It ended early, or took too long: the request did not happen, and gets no answer.
    Cut,
    /// Over the limit.
    TooLong,
    /// Bodies hold too much of our memory at this moment.
    NoRoom,
}

pub(crate) struct Upload {
    body: Incoming,
    room: Room,
    deadline: Instant,
    limit: u64,
    total: u64,
}

impl Upload {
    pub(crate) fn new(body: Incoming, limit: u64, place: &Place) -> Self {
        Self { body, room: place.room(), deadline: Instant::now() + BODY_TIME, limit, total: 0 }
    }

    /// Nothing will come.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Bytes that came so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The next bytes; `None` when it is whole. `held` is how many bytes of it are in memory.
    pub(crate) async fn next(&mut self, held: usize) -> Result<Option<Bytes>, Ended> {
        if self.body.size_hint().lower() > self.limit {
            return Err(self.too_long().await);
        }
        if !self.room.resize(held).await {
            return Err(Ended::NoRoom);
        }
        match self.frame().await? {
            Some(bytes) if self.total > self.limit => {
                drop(bytes);
                Err(self.too_long().await)
            }
            other => Ok(other),
        }
    }

    /// At most so many of its first bytes; what follows is thrown away.
    pub(crate) async fn first(&mut self, most: usize) -> Result<Vec<u8>, Ended> {
        let mut first = Vec::new();
        while let Some(bytes) = self.next(first.len()).await? {
            let wanted = bytes.len().min(most - first.len());
            first.extend_from_slice(&bytes[..wanted]);
        }
        Ok(first)
    }

    /// Reads what a refused request still has to say, within reason.
    pub(crate) async fn refuse(&mut self) {
        self.deadline = self.deadline.min(Instant::now() + REFUSED_TIME);
        while self.total < MOST_OF_REFUSED {
            match self.frame().await {
                Ok(Some(_)) => {}
                _ => return,
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Ended> {
        loop {
            return match timeout_at(self.deadline, self.body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        self.total += bytes.len() as u64;
                        Ok(Some(bytes))
                    }
                    Err(_trailers) => continue,
                },
                Ok(None) => Ok(None),
                Ok(Some(Err(_))) | Err(_) => Err(Ended::Cut),
            };
        }
    }

    /// Reads what is refused because of its length to its end, within reason.
    pub(crate) async fn too_long(&mut self) -> Ended {
        let end = self.deadline;
        loop {
            self.deadline = end.min(Instant::now() + REFUSED_TIME);
            match self.frame().await {
                Ok(Some(_)) if self.total < MOST_THROWN_AWAY => {}
                // Who does not go on waits for our word, or is gone.
                Ok(_) | Err(_) => return Ended::TooLong,
            }
        }
    }
}
