//! Prudence: some brokers never say how much they take in one packet, and end the connection on a larger one.

use std::time::Duration;

use tokio::time::Instant;

use crate::mqtt::MAX_PACKET;

/// A guess is forgotten after this: the broker may have broken for another reason, or have been mended.
const LASTS: Duration = Duration::from_secs(600);
const SMALLEST: usize = 2 * 1024;

/// The size of payload that is thought to be safe, in bytes.
#[derive(Debug, Default)]
pub(super) struct Prudence {
    guess: Option<(usize, Instant)>,
}

impl Prudence {
    pub(super) fn largest(&self) -> usize {
        match self.guess {
            Some((size, made)) if made.elapsed() < LASTS => size,
            _ => MAX_PACKET,
        }
    }

    /// A connection ended while a payload of this size was on its way, larger than all that had been acknowledged.
    pub(super) fn suspect(&mut self, size: usize) {
        if size > SMALLEST {
            self.guess = Some(((size / 2).max(SMALLEST), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guess_grows_smaller_and_is_forgotten() {
        let mut prudence = Prudence::default();
        for _ in 0..20 {
            prudence.suspect(prudence.largest());
        }
        assert_eq!(prudence.largest(), SMALLEST);
        tokio::time::advance(LASTS).await;
        assert_eq!(prudence.largest(), MAX_PACKET);
    }
}
