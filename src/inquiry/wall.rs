//! What a terminal's own clock shows, as people write it, and which zone that clock goes by.
//!
//! A wall has no offset: whoever writes one means an instant, and would be given another one without a word.

use std::collections::BTreeMap;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    fmt::temporal::DateTimeParser,
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, de::Error};

/// A time by a terminal's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    Moment(DateTime),
    Day(Date),
    /// Of today, whatever day that is there.
    Time(Time),
}

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWall {
    #[error("a time by the terminal's own clock has no zone: write {bare}, if that is what it showed")]
    Zoned { bare: String },
    #[error("write 2026-11-20, 2026-11-20T08:58 or 08:58, as the terminal's clock shows it")]
    Unread,
}

impl Wall {
    /// `2026-11-20`, `2026-11-20T08:58`, `2026-11-20 08:58:31`, `08:58`.
    pub fn parse(text: &str) -> Result<Self, NotWall> {
        let text = text.trim();
        let (date, time) = match text.split_once(['T', 't', ' ']).filter(|(date, _)| !date.contains(':')) {
            Some((date, time)) => (Some(date), Some(time)),
            None if text.contains(':') => (None, Some(text)),
            None => (Some(text), None),
        };
        let date = date.map(|date| match date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            true => date.parse::<Date>().map_err(|_| NotWall::Unread),
            false => Err(NotWall::Unread),
        });
        let date = date.transpose()?;
        let Some(time) = time else { return date.map(Self::Day).ok_or(NotWall::Unread) };
        let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(time.len());
        let (bare, rest) = time.split_at(end);
        let Some(read) = bare.parse::<Time>().ok().filter(|_| bare.contains(':')) else { return Err(NotWall::Unread) };
        match (date, rest) {
            (Some(date), "") => Ok(Self::Moment(date.to_datetime(read))),
            (None, "") => Ok(Self::Time(read)),
            (Some(date), _) => Err(NotWall::Zoned { bare: format!("{date}T{bare}") }),
            (None, _) => Err(NotWall::Zoned { bare: bare.into() }),
        }
    }

    /// The moment, where a date alone means this time of it. `None`: it says no day.
    pub fn moment(self, of_day: Time) -> Option<DateTime> {
        match self {
            Self::Moment(moment) => Some(moment),
            Self::Day(date) => Some(date.to_datetime(of_day)),
            Self::Time(_) => None,
        }
    }
}

/// The last second of a day.
pub const DAYS_END: Time = Time::constant(23, 59, 59, 0);

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// What the config tells of a site, or else the store: who the gateway is, and which zone each clock goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// The gateway's tenant and its own id.
    pub ids: Option<(String, String)>,
    /// The terminals' zone unless they say otherwise.
    pub zone: Option<TimeZone>,
    pub terminals: BTreeMap<String, TimeZone>,
}

/// Which day it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Today {
    /// There; and where the terminals do not have the same day, others with theirs.
    At { date: Date, zone: TimeZone, others: BTreeMap<String, Date> },
    /// Nobody knows where: the terminals do not have the same day.
    Several(BTreeMap<String, Date>),
}

impl Site {
    /// Reads zones as punches carry them: an IANA name or an offset.
    pub fn of_names<'a>(names: impl IntoIterator<Item = (String, &'a str)>) -> Self {
        let read =
            |(terminal, zone): (String, &str)| Some((terminal, DateTimeParser::new().parse_time_zone(zone).ok()?));
        Self { terminals: names.into_iter().filter_map(read).collect(), ..Self::default() }
    }

    /// The zone of a terminal's clock; where nobody knows it, this machine's.
    pub fn of(&self, terminal: &str) -> TimeZone {
        self.terminals.get(terminal).or(self.zone.as_ref()).cloned().unwrap_or_else(TimeZone::system)
    }

    /// Which day it is at this terminal; without one, at the gateway's.
    pub fn today(&self, terminal: Option<&str>, now: Timestamp) -> Today {
        let there = |zone: &TimeZone| now.to_zoned(zone.clone()).date();
        if let Some(terminal) = terminal {
            let zone = self.of(terminal);
            return Today::At { date: there(&zone), zone, others: BTreeMap::new() };
        }
        let days: BTreeMap<String, Date> =
            self.terminals.iter().map(|(name, zone)| (name.clone(), there(zone))).collect();
        let zone = self.zone.as_ref().or_else(|| self.terminals.values().next());
        let zone = zone.cloned().unwrap_or_else(TimeZone::system);
        let date = there(&zone);
        let others: BTreeMap<String, Date> = days.iter().filter(|(_, day)| **day != date).map(own).collect();
        match self.zone.is_none() && !others.is_empty() {
            true => Today::Several(days),
            false => Today::At { date, zone, others },
        }
    }
}

fn own((name, day): (&String, &Date)) -> (String, Date) {
    (name.clone(), *day)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn a_wall_is_read_as_people_write_it() {
        let day = date(2026, 11, 29);
        for (text, read) in [
            ("2026-11-29", Wall::Day(day)),
            ("2026-11-29T20:28", Wall::Moment(day.at(20, 28, 0, 0))),
            ("2026-11-29 20:28:31", Wall::Moment(day.at(20, 28, 31, 0))),
            ("08:58", Wall::Time(time(8, 58, 0, 0))),
            (" 08:58:31", Wall::Time(time(8, 58, 31, 0))),
        ] {
            assert_eq!(Wall::parse(text), Ok(read), "{text}");
        }
        for text in ["", "T", "20261129T", "24:60", "8", "yesterday", "2026-13-01", "2026-11-29[Asia/Tokyo]", "+08:00"]
        {
            assert_eq!(Wall::parse(text), Err(NotWall::Unread), "{text}");
        }
    }

    #[test]
    fn an_offset_is_not_thrown_away_but_refused() {
        for offset in ["Z", "z", "+00:00", "-05:00", "+08", "[Europe/Berlin]", "+01:00[Europe/Berlin]", " UTC"] {
            let bare = "2026-11-29T20:28".to_owned();
            assert_eq!(Wall::parse(&format!("{bare}{offset}")), Err(NotWall::Zoned { bare }), "{offset}");
            let bare = "20:28".to_owned();
            let said = Wall::parse(&format!("{bare}{}", offset.trim()));
            assert_eq!(said, Err(NotWall::Zoned { bare }), "{offset}");
        }
    }

    #[test]
    fn it_is_the_day_of_the_terminal_and_not_of_the_machine() {
        let now = "2026-11-29T20:28:00Z".parse().unwrap();
        let zone = |name| TimeZone::get(name).unwrap();
        let (berlin, shanghai) = (zone("Europe/Berlin"), zone("Asia/Shanghai"));
        let terminals = BTreeMap::from([("far".to_owned(), shanghai.clone()), ("near".to_owned(), berlin.clone())]);
        let site = Site { zone: Some(berlin.clone()), terminals: terminals.clone(), ids: None };
        let (late, early) = (date(2026, 11, 30), date(2026, 11, 29));
        let at = |date, zone: &TimeZone, others| Today::At { date, zone: zone.clone(), others };
        assert_eq!(site.today(Some("far"), now), at(late, &shanghai, BTreeMap::new()));
        let others = BTreeMap::from([("far".to_owned(), late)]);
        assert_eq!(site.today(None, now), at(early, &berlin, others));
        let site = Site { terminals, ..Site::default() };
        assert!(matches!(site.today(None, now), Today::Several(days) if days.len() == 2));
        let names = [("a".to_owned(), "+08:00"), ("b".to_owned(), "Asia/Shanghai"), ("c".to_owned(), "Nowhere")];
        let site = Site::of_names(names);
        assert_eq!(site.terminals.len(), 2);
        assert!(matches!(site.today(None, now), Today::At { date, others, .. } if date == late && others.is_empty()));
    }
}
