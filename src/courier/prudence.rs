//! Prudence: some brokers never say how much they take in one packet, and end the connection on a larger one.
//!
//! First the parcels are made smaller. Where a single punch ends one connection after the other, it is set aside for some
//! hours, with all that are as large: otherwise it would stand before the others for ever. No punch of a usual size is ever
//! set aside so.
//!
//! A line may be so slow that a full segment takes longer than an acknowledgement may: then smaller parcels get through, where
//! the same large one would be begun again for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::mqtt::MAX_PACKET;

/// A guess is forgotten after this: the broker may have broken for another reason, or have been mended.
const GUESS_LASTS: Duration = Duration::from_secs(600);
/// As a guess, but to try again costs some connections.
const LIMIT_LASTS: Duration = Duration::from_secs(6 * 3600);
/// What every broker is thought to take. A usual punch has some 800 bytes.
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
        still_held(self.guess, GUESS_LASTS).unwrap_or(MAX_PACKET)
    }

    /// What not even a single punch may pass, where that is thought to be known.
    pub(super) fn limit(&self) -> Option<usize> {
        still_held(self.limit, LIMIT_LASTS)
    }

    /// Nothing was acknowledged for too long: what was on its way may have been too much for the line in that time.
    pub(super) fn too_slow_for(&mut self, suspect: Option<Suspect>) {
        if let Some(Suspect { bytes, .. }) = suspect.filter(|suspect| suspect.bytes > SMALLEST) {
            self.guess = Some(((bytes / 2).max(SMALLEST), Instant::now()));
        }
    }

    /// The broker ended a connection; on what, if anything is suspected. Whether anything was acknowledged before says
    /// nothing: a broker that closes in anger takes acknowledgements with it that were on their way.
    pub(super) fn closed_on(&mut self, suspect: Option<Suspect>) {
        self.too_slow_for(suspect);
        let suspect = suspect.filter(|suspect| suspect.bytes > SMALLEST);
        let (before, count) = self.strikes;
        self.strikes = match suspect {
            Some(Suspect { bytes, single: true }) if bytes == before => (bytes, count + 1),
            Some(Suspect { bytes, single: true }) => (bytes, 1),
            _ => (0, 0),
        };
        let (bytes, count) = self.strikes;
        if count >= STRIKES {
            self.limit = Some((bytes - 1, Instant::now()));
            self.strikes = (0, 0);
        }
    }
}

fn still_held(guess: Option<(usize, Instant)>, lasts: Duration) -> Option<usize> {
    guess.filter(|(_, made)| made.elapsed() < lasts).map(|(bytes, _)| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guess_grows_smaller_and_is_forgotten() {
        let mut prudence = Prudence::default();
        for _ in 0..20 {
            prudence.closed_on(Some(Suspect { bytes: prudence.largest(), single: false }));
        }
        assert_eq!((prudence.largest(), prudence.limit()), (SMALLEST, None));
        tokio::time::advance(GUESS_LASTS).await;
        assert_eq!(prudence.largest(), MAX_PACKET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_makes_parcels_smaller_and_sets_nothing_aside() {
        let mut prudence = Prudence::default();
        for _ in 0..20 {
            prudence.too_slow_for(Some(Suspect { bytes: 60_000, single: true }));
        }
        assert_eq!((prudence.largest(), prudence.limit()), (30_000, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_punch_is_set_aside_only_after_it_ended_three_connections_in_a_row() {
        let mut prudence = Prudence::default();
        let single = |bytes| Some(Suspect { bytes, single: true });
        for suspect in [single(3_000), single(3_000), single(4_000), single(3_000), single(3_000), None, single(3_000)]
        {
            prudence.closed_on(suspect);
            assert_eq!(prudence.limit(), None);
        }
        prudence.closed_on(single(3_000));
        prudence.closed_on(single(3_000));
        assert_eq!(prudence.limit(), Some(2_999));
        tokio::time::advance(LIMIT_LASTS).await;
        assert_eq!(prudence.limit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_punch_of_a_usual_size_is_set_aside_however_often_the_line_breaks() {
        let mut prudence = Prudence::default();
        for _ in 0..100 {
            prudence.closed_on(Some(Suspect { bytes: 812, single: true }));
        }
        assert_eq!((prudence.largest(), prudence.limit()), (MAX_PACKET, None));
    }
}
