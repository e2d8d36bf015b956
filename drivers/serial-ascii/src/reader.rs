//! What a reader is: how its frames are cut, checked and read, and what it wants to hear. From a small TOML file.

use std::{collections::BTreeMap, time::Duration};

use driver_api::{Direction, Period, Problems, Section};
use line::wiegand::Align;
use regex::Regex;
use serde::Deserialize;
use toml::Table;

use crate::{
    checksum::{Checksum, Coded, Kind, Over, unhex},
    framing::Framing,
};

/// How a frame's card is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardIs {
    /// As it stands there.
    Text,
    /// Hex digits of its bytes.
    Hex,
    /// A decimal number.
    Dec,
    /// Ten hex digits, of which the last eight are the card.
    Em4100,
    /// The bytes of the frame themselves.
    Bytes,
    Wiegand26,
    Wiegand34,
    /// 26 or 34 bits, told by the number of bytes.
    WiegandAuto,
}

/// How the card is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    AsIs,
    Hex,
    /// The low 32 bits as ten digits: what is printed on most cards.
    Dec10,
    /// The same without zeros in front.
    Dec,
    /// `123,45678`: the low 24 bits as facility and card.
    FcCn,
}

/// Where a frame's parts stand, when the card is not all of it.
#[derive(Debug, Clone)]
pub struct Pattern(pub Regex);

/// Asked for, since it does not speak by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// `{unit}` in it is the terminal's unit.
    pub text: String,
    pub every: Duration,
}

/// One kind of reader.
#[derive(Debug, Clone)]
pub struct Reader {
    pub title: String,
    pub framing: Framing,
    pub patience: Duration,
    pub checksum: Option<Checksum>,
    pub pattern: Option<Pattern>,
    pub card: CardIs,
    pub reverse: bool,
    pub align: Align,
    /// Wiegand with wrong parity is no card.
    pub parity: bool,
    pub show: Show,
    pub time: Option<String>,
    pub directions: BTreeMap<String, Direction>,
    pub ack: Vec<u8>,
    pub nak: Vec<u8>,
    /// It keeps a frame until it hears `ack`.
    pub waits: bool,
    pub poll: Option<Poll>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FramingName {
    Line,
    StxEtx,
    Fixed,
    IdleGap,
    LengthPrefix,
}

type Checked<T> = Result<T, (String, String)>;

fn wrong<T>(why: &str, mend: &str) -> Checked<T> {
    Err((why.into(), mend.into()))
}

fn bytes(text: String) -> Checked<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match unhex(&digits) {
        Some(bytes) if bytes.len() <= 64 => Ok(bytes),
        _ => wrong("these are not at most 64 bytes as hex digits", "write it like this: \"06\", or \"AA 55\""),
    }
}

fn byte(text: String) -> Checked<u8> {
    match bytes(text)?[..] {
        [byte] => Ok(byte),
        _ => wrong("this is not one byte", "write two hex digits: \"02\""),
    }
}

fn between(least: u64, most: u64) -> impl Fn(u64) -> Checked<usize> {
    move |number| match usize::try_from(number) {
        Ok(number) if (least..=most).contains(&(number as u64)) => Ok(number),
        _ => Err((format!("it must lie between {least} and {most}"), "correct the number".into())),
    }
}

fn period(least: u128, most: u128) -> impl Fn(Period) -> Checked<Duration> {
    move |Period(length)| {
        if (least..=most).contains(&length.as_millis()) {
            return Ok(length);
        }
        Err((format!("it must lie between {least} and {most} ms"), "write it like this: \"500ms\"".into()))
    }
}

impl Reader {
    /// Reads a file. What is wrong goes to `problems`, named by `name`.
    pub fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                problems.errors.push(driver_api::Problem {
                    key: format!("reader {name:?}"),
                    value: String::new(),
                    why: format!("the file is no TOML: {}", error.to_string().trim().replace('\n', " ")),
                    mend: "correct the place that it tells".into(),
                });
                return None;
            }
        };
        let mut section = Section::new(format!("reader {name:?} "), table, std::path::Path::new("."));
        // Keys of a reader file are no keys of the config.
        let mut own = Problems::default();
        let reader = Self::take(&mut section, &mut own);
        section.finish(&mut own);
        problems.errors.append(&mut own.errors);
        problems.warnings.append(&mut own.warnings);
        reader.filter(|_| problems.errors.len() == before)
    }

    fn take(it: &mut Section, problems: &mut Problems) -> Option<Self> {
        let title = it.take("title", "\"EM4100 module\"", problems).unwrap_or_default();
        let framing = framing(it, problems);
        let patience = it.take_checked("frame_timeout", "\"500ms\"", problems, period(20, 60_000));
        let checksum = checksum(it, problems);
        let example = "'^R(?<unit>\\d+):(?<card>\\d+)$'";
        let pattern = it.take_checked("pattern", example, problems, |text: String| {
            let regex = match regex::RegexBuilder::new(&text).size_limit(1 << 20).build() {
                Ok(regex) => regex,
                Err(error) => {
                    return wrong(&error.to_string().replace('\n', " "), "correct it; rustexp and the like help");
                }
            };
            if !regex.capture_names().flatten().any(|name| name == "card") {
                return wrong("it does not say which part is the card", "put the card in (?<card>...)");
            }
            let known = ["card", "unit", "dir", "time", "seq"];
            if let Some(other) = regex.capture_names().flatten().find(|name| !known.contains(name)) {
                return wrong(
                    &format!("nobody knows what {other:?} is"),
                    "groups are named card, unit, dir, time and seq",
                );
            }
            Ok(Pattern(regex))
        });
        let card = it.take("card", "\"text\"", problems).unwrap_or(CardIs::Text);
        let reverse = it.take("reverse_bytes", "true", problems).unwrap_or(false);
        let align = it.take_checked("align", "\"right\"", problems, |align: String| match &*align {
            "left" => Ok(Align::Left),
            "right" => Ok(Align::Right),
            _ => wrong("there is no such side", "write \"left\" or \"right\""),
        });
        let parity = it.take_checked("parity", "\"ignore\"", problems, |parity: String| match &*parity {
            "check" => Ok(true),
            "ignore" => Ok(false),
            _ => wrong("there is no such way", "write \"check\" or \"ignore\""),
        });
        let show = it.take("show", "\"dec10\"", problems).unwrap_or(match card {
            CardIs::Text | CardIs::Dec => Show::AsIs,
            CardIs::Hex | CardIs::Bytes => Show::Hex,
            CardIs::Em4100 | CardIs::Wiegand34 => Show::Dec10,
            CardIs::Wiegand26 | CardIs::WiegandAuto => Show::FcCn,
        });
        let time: Option<String> = it.take("time", "\"%Y-%m-%d %H:%M:%S\"", problems);
        let directions = it.take("directions", "{ IN = \"in\", OUT = \"out\" }", problems).unwrap_or_default();
        let ack = it.take_checked("ack", "\"06\"", problems, bytes).unwrap_or_default();
        let nak = it.take_checked("nak", "\"15\"", problems, bytes).unwrap_or_default();
        let waits = it.take("waits", "true", problems).unwrap_or(false);
        if waits && ack.is_empty() {
            it.missing(problems, "ack", "it waits, and nobody says for what", "add a line: ack = \"06\"");
        }
        let text: Option<String> = it.take("poll", "\"@{unit}R\\r\"", problems);
        let every = it.take_checked("poll_every", "\"200ms\"", problems, period(20, 60_000));
        let poll = text.map(|text| Poll { text, every: every.unwrap_or(Duration::from_millis(200)) });
        let has =
            |name| pattern.as_ref().is_some_and(|it: &Pattern| it.0.capture_names().flatten().any(|it| it == name));
        if time.is_some() != has("time") {
            it.missing(
                problems,
                if time.is_some() { "pattern" } else { "time" },
                "a time needs both its place and its form",
                "put (?<time>...) into pattern, and time = \"%Y-%m-%d %H:%M:%S\" beside it",
            );
        }
        Some(Self {
            title,
            framing: framing?,
            patience: patience.unwrap_or(Duration::from_millis(500)),
            checksum,
            pattern,
            card,
            reverse,
            align: align.unwrap_or(Align::Left),
            parity: parity.unwrap_or(true),
            show,
            time,
            directions,
            ack,
            nak,
            waits,
            poll,
        })
    }

    /// Whether frames say from which of several readers on a line they come.
    pub fn has_units(&self) -> bool {
        let named = |pattern: &Pattern| pattern.0.capture_names().flatten().any(|name| name == "unit");
        self.pattern.as_ref().is_some_and(named)
    }
}

fn framing(it: &mut Section, problems: &mut Problems) -> Option<Framing> {
    let name = it.require("framing", "\"line\"", problems);
    let most = it.take_checked("max_length", "128", problems, between(4, 4096)).unwrap_or(256);
    let start = it.take_checked("start", "\"02\"", problems, byte).unwrap_or(2);
    let end = it.take_checked("end", "\"03\"", problems, byte).unwrap_or(3);
    let escape = it.take_checked("escape", "\"10\"", problems, byte);
    let sync = it.take_checked("sync", "\"AA 55\"", problems, bytes).unwrap_or_default();
    let length = it.take_checked("length", "9", problems, between(2, 4096));
    let gap = it.take_checked("gap", "\"20ms\"", problems, period(2, 5_000));
    let at = it.take_checked("length_at", "1", problems, between(0, 63));
    let more = it.take_checked("length_more", "2", problems, between(0, 256)).unwrap_or(0);
    let wide = it.take("length_wide", "true", problems).unwrap_or(false);
    match name? {
        FramingName::Line => Some(Framing::Line { most }),
        FramingName::StxEtx if start == end || escape == Some(start) || escape == Some(end) => {
            it.missing(problems, "start", "start, end and escape are not all different", "give each its own byte");
            None
        }
        FramingName::StxEtx => Some(Framing::Enclosed { start, end, escape, most }),
        FramingName::Fixed => match length {
            Some(length) if length >= sync.len() => Some(Framing::Fixed { sync, length }),
            _ => {
                it.missing(
                    problems,
                    "length",
                    "a fixed frame has a length",
                    "add a line: length = 9 (all of its bytes)",
                );
                None
            }
        },
        FramingName::IdleGap => Some(Framing::Gap { gap: gap.unwrap_or(Duration::from_millis(20)), most }),
        FramingName::LengthPrefix => match at {
            Some(at) => Some(Framing::Prefixed { sync, at, wide, more, most }),
            None => {
                let mend = "add a line: length_at = 1 (counted from 0)";
                it.missing(problems, "length_at", "nobody says where the length stands", mend);
                None
            }
        },
    }
}

fn checksum(it: &mut Section, problems: &mut Problems) -> Option<Checksum> {
    let kind: Option<Kind> = it.take("checksum", "\"xor8\"", problems);
    let over: Over = it.take("checksum_over", "\"decoded\"", problems).unwrap_or_default();
    let coded: Coded = it.take("checksum_coded", "\"hex\"", problems).unwrap_or_default();
    let separator = it.take_checked("checksum_separator", "\"*\"", problems, |text: String| match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => wrong("this is not one character", "write it like this: \"*\""),
    });
    let skip = it.take_checked("checksum_skip", "1", problems, between(0, 64)).unwrap_or(0);
    Some(Checksum { kind: kind?, over, coded, separator, skip })
}
