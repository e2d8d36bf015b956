//! Prudence: some brokers never say how much they take in one packet, and end the connection on a larger one.
//!
//! First the parcels are made smaller. Where a single punch ends one connection after the other, it is set aside with all that
//! are as large: otherwise it would stand before the others for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::mqtt::MAX_PACKET;

/// A guess is forgotten after this: the broker may have broken for another reason, or have been mended.
const LASTS: Duration = Duration::from_secs(600);
const SMALLEST: usize = 2 * 1024;
/// So many connections in a row have to end on a single punch before it is set aside: a bad line ends some, too.
const STRIKES: u32 = 3;

/// Something that was on its way when a connection ended, larger than all that had been acknowledged on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Of its payload.
    pub(super) bytes: usize,
    /// It holds one punch, and so cannot be made smaller.
    pub(super) single: bool,
}

/// The sizes of payload that are thought to be safe, in bytes.
#[derive(Debug, Default)]
pub(super) struct Prudence {
    guess: Option<(usize, Instant)>,
    limit: Option<(usize, Instant)>,
    /// The size of the single punch on which the latest connections ended, and how many of them.
    strikes: (usize, u32),
}

impl Prudence {
    /// What should be kept to where it can be.
    pub(super) fn largest(&self) -> usize {
        still_held(self.guess).unwrap_or(MAX_PACKET)
    }

    /// What not even a single punch may pass.
    pub(super) fn limit(&self) -> usize {
        still_held(self.limit).unwrap_or(MAX_PACKET)
    }

    pub(super) fn suspect(&mut self, suspect: Suspect) {
        let Suspect { bytes, single } = suspect;
        if bytes > SMALLEST {
            self.guess = Some(((bytes / 2).max(SMALLEST), Instant::now()));
        }
        if !single {
            return;
        }
        let (before, count) = self.strikes;
        self.strikes = (bytes, if before == bytes { count + 1 } else { 1 });
        if self.strikes.1 >= STRIKES {
            self.limit = Some((bytes - 1, Instant::now()));
            self.strikes = (0, 0);
        }
    }
}

fn still_held(guess: Option<(usize, Instant)>) -> Option<usize> {
    guess.filter(|(_, made)| made.elapsed() < LASTS).map(|(bytes, _)| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guess_grows_smaller_and_is_forgotten() {
        let mut prudence = Prudence::default();
        for _ in 0..20 {
            prudence.suspect(Suspect { bytes: prudence.largest(), single: false });
        }
        assert_eq!((prudence.largest(), prudence.limit()), (SMALLEST, MAX_PACKET));
        tokio::time::advance(LASTS).await;
        assert_eq!(prudence.largest(), MAX_PACKET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_punch_is_set_aside_only_after_it_ended_three_connections_in_a_row() {
        let mut prudence = Prudence::default();
        for bytes in [3_000, 3_000, 4_000, 3_000, 3_000] {
            prudence.suspect(Suspect { bytes, single: true });
            assert_eq!(prudence.limit(), MAX_PACKET);
        }
        prudence.suspect(Suspect { bytes: 3_000, single: true });
        assert_eq!(prudence.limit(), 2_999);
        tokio::time::advance(LASTS).await;
        assert_eq!(prudence.limit(), MAX_PACKET);
    }
}
