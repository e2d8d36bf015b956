//! Whether a terminal is there: each request shows it, and none for too long shows the opposite.

use std::time::{Duration, Instant};

use crate::settings::Settings;

/// Signs of life are reported no more often.
const SEEN_EVERY: Duration = Duration::from_secs(1);
/// Of so many polls one at least arrives.
const POLLS: u32 = 3;
/// A terminal that is busy with a person may poll late, however often it was told to.
const LEAST: Duration = Duration::from_secs(30);
/// After an error it waits `error_delay`, and then takes a moment.
const MOMENT: Duration = Duration::from_secs(5);

/// A sign of life, as far as there is something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was away, or is here for the first time.
    Came,
    Seen,
}

#[derive(Debug)]
pub(crate) struct Presence {
    /// Without a request for so long it is away.
    away_after: Duration,
    /// It has been here at some time, in this run or before. Of one that has never been here it is told elsewhere.
    known: bool,
    /// The last request; before the first one, when we began to listen.
    heard: Instant,
    /// The last request that was served, of this run.
    served: Option<Instant>,
    told: Option<Instant>,
    /// It was told to be away.
    away: bool,
    /// Requests that are not answered yet. A long upload on a slow line, or a slow disk, is no absence.
    under_way: usize,
}

impl Presence {
    pub(crate) fn new(listener: &Settings, known: bool, now: Instant) -> Self {
        let away_after = (listener.poll * POLLS).max(listener.error_delay + MOMENT).max(LEAST);
        Self { away_after, known, heard: now, served: None, told: None, away: false, under_way: 0 }
    }

    /// It spoke, and is not served: no sign that it is back, and none that it is away.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What it asked for is answered, which may have taken long.
    pub(crate) fn answered(&mut self, now: Instant) {
        (self.heard, self.served) = (now, Some(now));
    }

    /// It speaks, and is served.
    pub(crate) fn served(&mut self, now: Instant) -> Option<Sign> {
        let back = self.away || self.served.is_none() || now.duration_since(self.heard) >= self.away_after;
        (self.heard, self.served, self.known) = (now, Some(now), true);
        if back {
            self.away = false;
            self.told = Some(now);
            return Some(Sign::Came);
        }
        let due = self.told.is_none_or(|told| now.duration_since(told) >= SEEN_EVERY);
        due.then(|| {
            self.told = Some(now);
            Sign::Seen
        })
    }

    pub(crate) fn request_begins(&mut self) {
        self.under_way += 1;
    }

    pub(crate) fn request_ends(&mut self) {
        self.under_way -= 1;
    }

    /// Time goes by. In words why it is away, when that is news.
    pub(crate) fn look(&mut self, now: Instant) -> Option<String> {
        let silent = now.duration_since(self.heard);
        if self.away || !self.known || self.under_way > 0 || silent < self.away_after {
            return None;
        }
        self.away = true;
        Some(match self.served {
            Some(_) => format!("it has asked for nothing and sent nothing for {} s", silent.as_secs()),
            None => format!("it has not spoken since we listen again, {} s ago", silent.as_secs()),
        })
    }

    /// Whether it was told to be away.
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// Whether it was served lately.
    pub(crate) fn is_there(&self, now: Instant) -> bool {
        !self.silent_for(self.away_after, now)
    }

    /// Whether it was served last longer ago than this, or never.
    pub(crate) fn silent_for(&self, time: Duration, now: Instant) -> bool {
        self.served.is_none_or(|served| now.duration_since(served) >= time)
    }
}

#[cfg(test)]
mod tests {
    use driver_api::Report;

    use super::*;
    use crate::{bench, cursor::Cursor};

    fn presence(poll: u64, error_delay: u64, known: bool) -> (Presence, impl Fn(u64) -> Instant) {
        let mut listener = bench::listener();
        (listener.poll, listener.error_delay) = (Duration::from_secs(poll), Duration::from_secs(error_delay));
        let began = Instant::now();
        (Presence::new(&listener, known, began), move |seconds| began + Duration::from_secs(seconds))
    }

    #[test]
    fn who_says_nothing_for_three_polls_is_away_until_he_speaks() {
        for (poll, error_delay, away) in [(2, 1, 30), (10, 30, 35), (20, 30, 60), (10, 600, 605)] {
            let (mut it, at) = presence(poll, error_delay, false);
            assert_eq!(it.served(at(0)), Some(Sign::Came));
            assert_eq!((it.look(at(away - 1)), it.is_there(at(away - 1))), (None, true));
            assert!(it.look(at(away)).is_some() && !it.is_there(at(away)), "{poll} {error_delay}");
            assert_eq!(it.look(at(away + 1)), None, "told once");
            assert_eq!(it.served(at(away + 2)), Some(Sign::Came));
            assert_eq!(it.look(at(2 * away + 1)), None);
            assert!(it.look(at(2 * away + 2)).is_some(), "and told again");
        }
    }

    #[tokio::test]
    async fn the_gateway_is_told_when_a_terminal_goes_and_when_it_is_back() {
        let (terminal, gateway) = bench::terminal(Cursor::default()).await;
        let told = || gateway.reports("t").into_iter().filter(|report| *report != Report::Seen).collect::<Vec<_>>();
        let came = Instant::now();
        let tick = |seconds| terminal.tick(came + Duration::from_secs(seconds), bench::NOW);
        terminal.seen(came);
        tick(34);
        assert_eq!(told(), [Report::Online]);
        tick(35);
        tick(36);
        let why = "it has asked for nothing and sent nothing for 35 s".to_owned();
        assert_eq!(told(), [Report::Online, Report::Offline { why: why.clone() }]);
        terminal.seen(came + Duration::from_secs(600));
        tick(601);
        assert_eq!(told(), [Report::Online, Report::Offline { why }, Report::Online]);
    }

    #[test]
    fn a_request_under_way_and_one_that_is_not_served_are_no_absence() {
        let (mut it, at) = presence(10, 30, false);
        it.served(at(0));
        it.request_begins();
        assert_eq!(it.look(at(100)), None);
        it.request_ends();
        it.heard(at(100));
        assert_eq!(it.look(at(134)), None);
        assert!(it.look(at(135)).is_some());
    }

    #[test]
    fn who_was_here_before_we_were_restarted_is_missed_and_a_new_one_is_not() {
        let (mut known, at) = presence(10, 30, true);
        assert_eq!(known.look(at(34)), None);
        assert!(known.look(at(35)).is_some());
        let (mut new, at) = presence(10, 30, false);
        assert_eq!(new.look(at(3600)), None);
    }
}
