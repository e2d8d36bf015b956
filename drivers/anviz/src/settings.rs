//! The keys of a `[[terminal]]` block and of `[driver.anviz]`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use driver_api::{Address, Period, Problems, Secret, Section, TerminalBlock};
use jiff::{civil::Date, tz::TimeZone};
use serde::Deserialize;

use crate::booking::Codes;

/// The protocol's own port.
pub(crate) const PORT: u16 = 5010;

/// One terminal's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) zone: TimeZone,
    /// The serial number that must be found there.
    pub(crate) serial: Option<String>,
    /// Its number on the bus; 0: whatever it has.
    pub(crate) unit: u32,
    /// Where it may dial in from; anywhere when empty.
    pub(crate) from: Vec<IpAddr>,
    /// Between two questions for new records.
    pub(crate) poll: Duration,
    pub(crate) set_clock: bool,
    pub(crate) clock_limit: Duration,
    /// Whether its real-time mode is switched on.
    pub(crate) live: bool,
    /// Whether it is asked for what others have read before us.
    pub(crate) history: bool,
    pub(crate) login: Option<(String, Secret)>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    pub(crate) codes: Codes,
}

/// `[driver.anviz]`.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) listen: Option<SocketAddr>,
    poll: Duration,
    set_clock: bool,
    clock_limit: Duration,
}

impl Defaults {
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Self {
        let listen = section.take("listen", "\"192.0.2.2:5010\"", problems);
        let poll = poll(&mut section, problems).unwrap_or(Duration::from_secs(30));
        let set_clock = section.take("set_clock", "false", problems).unwrap_or(false);
        let clock_limit = clock_limit(&mut section, problems).unwrap_or(Duration::from_secs(30));
        section.finish(problems);
        Self { listen, poll, set_clock, clock_limit }
    }
}

/// A terminal with the way to it; without one it dials in.
pub(crate) struct Taken {
    pub(crate) settings: Settings,
    pub(crate) address: Option<Address>,
}

impl Settings {
    /// Takes a terminal's block. `None` when something in it is wrong; the problems tell what.
    pub(crate) fn take(block: TerminalBlock, defaults: &Defaults, problems: &mut Problems) -> Option<Taken> {
        let TerminalBlock { name, zone, mut section } = block;
        let before = problems.errors.len();
        let address = address(&mut section, problems);
        let serial = section.take_checked("serial", "\"0250100912345678\"", problems, |serial: String| {
            let serial = serial.trim().to_owned();
            let mend = "write the serial number of the terminal's menu, or leave the line out".to_owned();
            if serial.is_empty() { Err(("it is empty".to_owned(), mend)) } else { Ok(serial) }
        });
        let unit = section.take("unit", "1", problems).unwrap_or(0);
        let from = section.take_checked("from", "\"192.0.2.30\"", problems, |from: OneOrMore| {
            let parse = |text: &String| text.parse::<IpAddr>().map_err(|_| text.clone());
            from.list().iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(|text| {
                (format!("{text:?} is no address"), "write it like this: from = \"192.0.2.30\"".to_owned())
            })
        });
        if address.is_none() && problems.errors.len() == before {
            if defaults.listen.is_none() {
                let why = "it has no address, and nobody listens for terminals that dial in";
                let mend = "write where it is, address = \"tcp://192.0.2.30\", or where we listen, [driver.anviz] listen = \"192.0.2.2:5010\"";
                section.missing(problems, "address", why, mend);
            } else if serial.is_none() && unit == 0 {
                let why = "without an address it dials in, and must be known by something";
                section.missing(problems, "serial", why, "add a line: serial = \"0250100912345678\"");
            }
        }
        if matches!(address, Some(Address::Serial(_))) && unit == 0 {
            let why = "on a bus a terminal is asked by its number";
            section.missing(problems, "unit", why, "add a line with the ID of its menu: unit = 1");
        }
        let settings = Self {
            name,
            zone,
            serial,
            unit,
            from: from.unwrap_or_default(),
            poll: poll(&mut section, problems).unwrap_or(defaults.poll),
            set_clock: section.take("set_clock", "true", problems).unwrap_or(defaults.set_clock),
            clock_limit: clock_limit(&mut section, problems).unwrap_or(defaults.clock_limit),
            live: section.take("live", "true", problems).unwrap_or(false),
            history: section.take("history", "true", problems).unwrap_or(true),
            login: login(&mut section, problems),
            timeout: period(&mut section, "timeout", "\"3s\"", (50, 60_000), problems)
                .unwrap_or(Duration::from_secs(3)),
            codes: codes(&mut section, problems),
        };
        section.finish(problems);
        (problems.errors.len() == before).then_some(Taken { settings, address })
    }
}

/// `"a"` or `["a", "b"]`
#[derive(Deserialize)]
#[serde(untagged, expecting = "one text or a list of texts is wanted")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

fn address(section: &mut Section, problems: &mut Problems) -> Option<Address> {
    section.take_checked("address", "\"tcp://192.0.2.30\"", problems, |text: String| {
        match Address::parse(&text, Some(PORT)) {
            Ok(Address::Udp { .. }) => Err((
                "these terminals speak TCP, or over a serial line".to_owned(),
                "write tcp://HOST or serial:///dev/ttyUSB0?baud=115200".to_owned(),
            )),
            other => other,
        }
    })
}

fn login(section: &mut Section, problems: &mut Problems) -> Option<(String, Secret)> {
    let short = |text: &str| (1..=12).contains(&text.len()) && text.is_ascii();
    let user = section.take_checked("user", "\"admin\"", problems, |user: String| {
        if short(&user) {
            Ok(user)
        } else {
            Err(("a user has 1 to 12 plain letters".to_owned(), "write it like this: user = \"admin\"".to_owned()))
        }
    });
    let password = section.secret("password_file", "\"/etc/punchgate/clock.password\"", problems);
    match (user, password) {
        (Some(_), Some(password)) if !short(password.reveal()) => {
            let why = "what is in that file is no password: it has 1 to 12 plain letters".to_owned();
            let mend = "write the terminal's password into it, and nothing else".to_owned();
            section.wrong(problems, "password_file", &"***".into(), why, mend);
            None
        }
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            section.missing(problems, "password_file", "a user logs in with a password", "name the file with it");
            None
        }
        (None, Some(_)) => {
            section.missing(problems, "user", "a password belongs to a user", "add a line: user = \"admin\"");
            None
        }
        (None, None) => None,
    }
}

fn codes(section: &mut Section, problems: &mut Problems) -> Codes {
    let epoch = section.take_checked("epoch", "\"2000-01-02\"", problems, |text: String| {
        let date: Option<Date> = text.parse().ok();
        date.filter(|date| (1970..=2100).contains(&date.year())).ok_or_else(|| {
            ("it is no date from 1970 to 2100".to_owned(), "write \"2000-01-02\", or \"2000-01-01\"".to_owned())
        })
    });
    let verify = table(section, "verify", "{ 16 = \"face\" }", 255, problems);
    let states = table(section, "states", "{ 2 = \"break-out\" }", 15, problems);
    Codes { epoch: epoch.unwrap_or(Date::constant(2000, 1, 2)), verify, states }
}

/// A table from codes, 0 to `most`, to what they mean.
fn table<T: serde::de::DeserializeOwned + Copy>(
    section: &mut Section,
    key: &'static str,
    example: &str,
    most: u8,
    problems: &mut Problems,
) -> BTreeMap<u8, T> {
    let check = |table: BTreeMap<String, T>| {
        let code = |text: &str| text.parse::<u8>().ok().filter(|code| *code <= most);
        table
            .iter()
            .map(|(text, value)| code(text).map(|code| (code, *value)).ok_or(text))
            .collect::<Result<_, _>>()
            .map_err(|text| {
                (
                    format!("{text:?} is no code: codes are 0 to {most}"),
                    format!("write it like this: {key} = {example}"),
                )
            })
    };
    section.take_checked(key, example, problems, check).unwrap_or_default()
}

fn poll(section: &mut Section, problems: &mut Problems) -> Option<Duration> {
    period(section, "poll", "\"30s\"", (100, 3_600_000), problems)
}

fn clock_limit(section: &mut Section, problems: &mut Problems) -> Option<Duration> {
    period(section, "clock_limit", "\"30s\"", (1, 86_400_000), problems)
}

fn period(
    section: &mut Section,
    key: &'static str,
    example: &str,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<Duration> {
    section.take_checked(key, example, problems, |Period(length): Period| {
        if u64::try_from(length.as_millis()).is_ok_and(|millis| (least..=most).contains(&millis)) {
            return Ok(length);
        }
        let why = format!("it must lie between {least} ms and {} s", most / 1000);
        Err((why, format!("write it like this: {key} = {example}")))
    })
}
