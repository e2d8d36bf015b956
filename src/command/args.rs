//! What commands take. Unknown members are refused, and so is what makes no sense.

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::{Map, Value};

use crate::inquiry::{DAYS_END, Wall};

/// Arguments of a command.
pub trait Args: DeserializeOwned + JsonSchema {
    /// What the types do not say.
    fn sound(&self) -> Result<(), String> {
        Ok(())
    }
}

pub(super) fn check<A: Args>(args: &Map<String, Value>) -> Result<(), String> {
    read::<A>(args).map(drop)
}

/// The arguments in their own type.
pub fn read<A: Args>(args: &Map<String, Value>) -> Result<A, String> {
    let args = A::deserialize(Value::Object(args.clone())).map_err(|error| error.to_string())?;
    args.sound().map(|()| args)
}

/// No arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Args for Nothing {}

/// A part of a long list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Only what comes behind this name.
    pub after: Option<String>,
}

impl Args for Page {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
}

/// Which lines of the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// This one and worse; all without it.
    pub level: Option<Level>,
    /// At most so many, 1 to 1000; 200 without it.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u16>,
}

impl Args for Logs {
    fn sound(&self) -> Result<(), String> {
        within("limit", self.limit, 1, 1000)
    }
}

/// Which punches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Punches {
    /// This one.
    #[schemars(regex(pattern = "^[a-z2-7]{26}$"))]
    pub id: Option<String>,
    /// Letter by letter: `007` is not `7`.
    pub person: Option<String>,
    /// Stored here from then on.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// Stored here before.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// At most so many, 1 to 200; 50 without it.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u16>,
}

impl Args for Punches {
    fn sound(&self) -> Result<(), String> {
        within("limit", self.limit, 1, 200)
    }
}

/// From when to when, in the terminal's wall time; all of it without them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    #[serde(default, deserialize_with = "begin")]
    #[schemars(with = "Option<String>", regex(pattern = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$"))]
    pub from: Option<DateTime>,
    /// A date alone means to its end.
    #[serde(default, deserialize_with = "end")]
    #[schemars(with = "Option<String>", regex(pattern = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$"))]
    pub to: Option<DateTime>,
}

fn begin<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime>, D::Error> {
    of_day(from, Time::midnight())
}

fn end<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime>, D::Error> {
    of_day(from, DAYS_END)
}

/// A wall time of a known day.
fn of_day<'de, D: Deserializer<'de>>(from: D, time: Time) -> Result<Option<DateTime>, D::Error> {
    let Some(wall) = Option::<Wall>::deserialize(from)? else { return Ok(None) };
    let moment = wall.moment(time).ok_or_else(|| D::Error::custom("write the day too: 2026-11-20T08:00"))?;
    Ok(Some(moment))
}

impl Args for Period {
    fn sound(&self) -> Result<(), String> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => Err("from lies behind to".into()),
            _ => Ok(()),
        }
    }
}

/// Numbers of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// As on the wire: the second in which it was begun.
    pub ledger: i64,
    #[schemars(range(min = 1))]
    pub first: u64,
    /// At most 10,000 behind `first`.
    pub last: u64,
}

impl Range {
    /// Punches that are sent again by one command.
    pub const LIMIT: u64 = 10_000;
}

impl Args for Range {
    fn sound(&self) -> Result<(), String> {
        match self.last.checked_sub(self.first) {
            None => Err("last lies before first".into()),
            Some(_) if self.first == 0 => Err("numbers begin at 1".into()),
            Some(more) if more >= Self::LIMIT => Err(format!("more than {} punches", Self::LIMIT)),
            Some(_) => Ok(()),
        }
    }
}

/// Which door, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// 1 to 8; 1 without it.
    #[schemars(range(min = 1, max = 8))]
    pub door: Option<u8>,
    /// 1 to 60; 5 without it.
    #[schemars(range(min = 1, max = 60))]
    pub seconds: Option<u16>,
}

impl Unlock {
    pub fn door(&self) -> u8 {
        self.door.unwrap_or(1)
    }
}

impl Args for Unlock {
    fn sound(&self) -> Result<(), String> {
        within("door", self.door.map(u16::from), 1, 8)?;
        within("seconds", self.seconds, 1, 60)
    }
}

/// A key and its new value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigSet {
    /// As in `terminal.front-door.reconcile` or `driver.zk.clock_limit`.
    pub key: String,
    /// As one writes it in the config; null takes what was set from afar back.
    pub value: Value,
    /// For how long it is tried, 60 to 3600; 600 without it.
    #[schemars(range(min = 60, max = 3600))]
    pub confirm_within_s: Option<u16>,
}

impl Args for ConfigSet {
    fn sound(&self) -> Result<(), String> {
        within("confirm_within_s", self.confirm_within_s, 60, 3600)
    }
}

/// Which incident.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentAcknowledge {
    #[schemars(range(min = 1))]
    pub number: u64,
}

impl Args for IncidentAcknowledge {}

/// Which trial.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigConfirm {
    /// The id of the command that set it.
    pub set: String,
}

impl Args for ConfigConfirm {}

/// For how long frames are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// 1 to 900; 60 without it.
    #[schemars(range(min = 1, max = 900))]
    pub seconds: Option<u16>,
}

impl Args for Trace {
    fn sound(&self) -> Result<(), String> {
        within("seconds", self.seconds, 1, 900)
    }
}

/// What a screen shows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// 1 to 160 letters; a terminal may take fewer, or only some.
    pub text: String,
}

impl Args for Message {
    fn sound(&self) -> Result<(), String> {
        plain("text", &self.text, 160)
    }
}

/// Somebody who may punch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPut {
    /// The number that the terminal's punches carry. Letter by letter: `007` is not `7`.
    pub user: String,
    /// What the terminal shows; as it is there without it.
    pub name: Option<String>,
    /// The number of the card; as it is there without it.
    pub card: Option<u32>,
}

impl Args for UserPut {
    fn sound(&self) -> Result<(), String> {
        plain("user", &self.user, 24)?;
        self.name.as_ref().map_or(Ok(()), |name| plain("name", name, 40))
    }
}

/// Who is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserDelete {
    /// Letter by letter: `007` is not `7`.
    pub user: String,
}

impl Args for UserDelete {
    fn sound(&self) -> Result<(), String> {
        plain("user", &self.user, 24)
    }
}

/// Which punch; without it, and with a terminal, whether that one's silence is usual.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Letter by letter: `007` is not `7`.
    pub person: Option<String>,
    /// By the terminal's own clock; without a date, of its today: of the gateway's where no terminal is named.
    #[schemars(with = "Option<String>", regex(pattern = r"^(\d{4}-\d\d-\d\d[T ])?\d\d:\d\d(:\d\d)?$"))]
    pub at: Option<Wall>,
    /// How far from `at` it may be, 60 to 43200; 1800 without it.
    #[schemars(range(min = 60, max = 43200))]
    pub within_s: Option<u16>,
}

impl Args for Why {
    fn sound(&self) -> Result<(), String> {
        if self.person.is_some() != self.at.is_some() {
            return Err("a person and a time go together".into());
        }
        if let Some(Wall::Day(day)) = self.at {
            // A date alone is midnight, which nobody means.
            return Err(format!("write the time too: {day}T08:58"));
        }
        within("within_s", self.within_s, 60, 43_200)
    }
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// One that was made before; a new one is made without it.
    pub bundle: Option<String>,
}

impl Args for Bundle {}

/// A part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundlePart {
    pub bundle: String,
    /// From this byte on.
    pub offset: u64,
}

impl Args for BundlePart {}

/// Which period, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// 30 days before the end without it.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub from: Option<Timestamp>,
    /// Up to and without; now without it.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub to: Option<Timestamp>,
    /// `en` without it.
    pub form: Option<ReportForm>,
    /// One that was made before; a new one is made without it.
    pub bundle: Option<String>,
}

/// A page in English or Chinese, or the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportForm {
    En,
    Zh,
    Json,
}

impl Args for Report {
    fn sound(&self) -> Result<(), String> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err("the time ends before it begins".into()),
            _ => Ok(()),
        }
    }
}

/// Which order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Its id.
    pub command: String,
}

impl Args for Cancel {}

fn plain(name: &str, text: &str, most: usize) -> Result<(), String> {
    match text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        true => Err(format!("{name} must be 1 to {most} letters, without control characters")),
        false => Ok(()),
    }
}

fn within(name: &str, value: Option<u16>, least: u16, most: u16) -> Result<(), String> {
    match value {
        Some(value) if !(least..=most).contains(&value) => Err(format!("{name} must be {least} to {most}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn period(args: Value) -> Result<Period, String> {
        read(args.as_object().unwrap())
    }

    #[test]
    fn a_wall_time_is_read_from_afar_as_on_site() {
        let said = period(json!({ "from": "2026-11-25", "to": "2026-11-25" })).unwrap();
        let day = jiff::civil::date(2026, 11, 25);
        assert_eq!((said.from, said.to), (Some(day.at(0, 0, 0, 0)), Some(day.at(23, 59, 59, 0))));
        assert_eq!(period(json!({ "from": null })), Ok(Period { from: None, to: None }));
        for (text, why) in [
            ("2026-11-25T08:00+00:00", "a time by the terminal's own clock has no zone: write 2026-11-25T08:00"),
            ("08:00", "write the day too"),
            ("monday", "write 2026-11-20, 2026-11-20T08:58 or 08:58"),
        ] {
            let said = period(json!({ "from": text })).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        let why = |at: &str| read::<Why>(json!({ "person": "7", "at": at }).as_object().unwrap());
        for at in ["04:28", "2026-11-25 04:28", "2026-11-25T04:28:31"] {
            assert!(why(at).is_ok(), "{at}");
        }
        assert!(why("04:28+00:00").unwrap_err().contains("has no zone"));
        assert!(why("2026-11-25").unwrap_err().contains("write the time too"));
    }
}
