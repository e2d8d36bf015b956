//! Why punches do not come out of a terminal that is there: several things may stand in their way, and each ends by itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::settings::Settings;

/// Nobody has so many tables.
const MOST: usize = 16;
/// A terminal that is refused comes again. When it has not for so long, and for three times as long as it waits, it is over.
const QUIET: Duration = Duration::from_secs(600);

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// What it uploads of a table is longer than we take.
    TooLong(String),
    /// It counts punches that it does not send.
    Gap,
}

/// What to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Trouble(String),
    Relief,
}

#[derive(Debug)]
pub(crate) struct Unreadable {
    quiet: Duration,
    /// With its words, and when it was last so.
    causes: BTreeMap<Obstacle, (String, Instant)>,
    /// What was told; `None` before anything was.
    told: Option<String>,
}

impl Unreadable {
    pub(crate) fn new(listener: &Settings) -> Self {
        Self { quiet: QUIET.max(listener.error_delay * 3), causes: BTreeMap::new(), told: None }
    }

    /// Something is in the way.
    pub(crate) fn begins(&mut self, obstacle: Obstacle, cause: String, now: Instant) -> Option<News> {
        let full = self.causes.len() >= MOST;
        match self.causes.get_mut(&obstacle) {
            // The same again, with other numbers.
            Some((_, last)) if obstacle != Obstacle::Gap => *last = now,
            None if full => {}
            _ => _ = self.causes.insert(obstacle, (cause, now)),
        }
        self.news()
    }

    /// It is not, or not any more.
    pub(crate) fn ends(&mut self, obstacle: &Obstacle) -> Option<News> {
        self.causes.remove(obstacle);
        self.news()
    }

    /// Time goes by, and the terminal is there.
    pub(crate) fn look(&mut self, now: Instant) -> Option<News> {
        let before = self.causes.len();
        let quiet = self.quiet;
        self.causes.retain(|obstacle, (_, last)| *obstacle == Obstacle::Gap || now.duration_since(*last) < quiet);
        if self.causes.len() < before { self.news() } else { None }
    }

    fn news(&mut self) -> Option<News> {
        let words: Vec<&str> = self.causes.values().map(|(cause, _)| cause.as_str()).collect();
        let words = words.join("; ");
        if self.told.as_ref() == Some(&words) {
            return None;
        }
        self.told = Some(words.clone());
        Some(if words.is_empty() { News::Relief } else { News::Trouble(words) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_ends_by_itself_and_the_last_one_ends_the_trouble() {
        let mut it = Unreadable::new(&crate::bench::listener());
        let began = Instant::now();
        let too_long = |table: &str| Obstacle::TooLong(table.into());
        let trouble = |words: &str| Some(News::Trouble(words.into()));
        assert_eq!(it.ends(&Obstacle::Gap), Some(News::Relief));
        assert_eq!(it.ends(&too_long("attlog")), None, "told once");
        assert_eq!(it.begins(too_long("attlog"), "a".into(), began), trouble("a"));
        assert_eq!(it.begins(too_long("attlog"), "aa".into(), began), None);
        assert_eq!(it.begins(Obstacle::Gap, "9".into(), began), trouble("a; 9"));
        assert_eq!(it.begins(Obstacle::Gap, "3".into(), began), trouble("a; 3"));
        assert_eq!(it.ends(&too_long("operlog")), None);
        assert_eq!(it.look(began + QUIET), trouble("3"), "it does not come again");
        assert_eq!(it.look(began + QUIET * 9), None, "a gap does not close by itself");
        assert_eq!(it.ends(&Obstacle::Gap), Some(News::Relief));
    }
}
