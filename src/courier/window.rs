//! The window: how much may be on its way at once.
//!
//! A live punch never waits behind a backlog in the outbox, but it does in the pipe. So on a slow line the window shrinks
//! until an acknowledgement takes half a second, and on a fast one it opens until the line is full.

use std::time::Duration;

use tokio::time::Instant;

const SLOW: Duration = Duration::from_millis(500);
const NARROWEST: usize = 16 * 1024;
const WIDEST: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Window {
    messages: usize,
    bytes: usize,
    /// When it was last narrowed: what was sent before that says nothing new.
    narrowed: Option<Instant>,
}

impl Window {
    pub(super) fn new(messages: usize) -> Self {
        Self { messages: messages.max(1), bytes: 256 * 1024, narrowed: None }
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// A single message passes whatever its size.
    pub(super) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        messages == 0 || (messages < self.messages && bytes < self.bytes)
    }

    pub(super) fn acknowledged(&mut self, sent: Instant, bytes: usize) {
        if sent.elapsed() <= SLOW {
            self.bytes = (self.bytes + bytes).min(WIDEST);
        } else if self.narrowed.is_none_or(|narrowed| sent > narrowed) {
            self.bytes = (self.bytes / 2).max(NARROWEST);
            self.narrowed = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_narrows_the_window_and_a_fast_one_opens_it() {
        let mut window = Window::new(32);
        for _ in 0..8 {
            let sent = Instant::now();
            tokio::time::advance(Duration::from_secs(2)).await;
            window.acknowledged(sent, 60_000);
        }
        assert!(window.has_room(1, 10_000) && !window.has_room(1, 20_000) && window.has_room(0, 0));
        for _ in 0..100 {
            window.acknowledged(Instant::now(), 60_000);
        }
        assert!(window.has_room(31, 1_900_000) && !window.has_room(32, 0));
    }
}
