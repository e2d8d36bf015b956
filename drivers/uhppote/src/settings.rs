//! The keys of a `[[terminal]]` block and of `[driver.uhppote]`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    time::Duration,
};

use driver_api::{Address, Direction, Period, Problem, Problems, Section, TerminalBlock};
use jiff::tz::TimeZone;

use crate::{booking::Rules, packet::PORT};

/// One board's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) serial: u32,
    /// Between two questions for new events.
    pub(crate) poll: Duration,
    pub(crate) set_clock: bool,
    pub(crate) clock_limit: Duration,
    /// Where its live events arrive.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether it is told to send them there.
    pub(crate) set_listener: bool,
    /// Whether the index that the board keeps follows ours.
    pub(crate) set_index: bool,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    pub(crate) rules: Rules,
}

/// What `[driver.uhppote]` gives to all boards that do not say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    poll: Duration,
    set_clock: bool,
    clock_limit: Duration,
}

impl Defaults {
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Self {
        let poll = poll(&mut section, problems).unwrap_or(Duration::from_secs(10));
        let set_clock = section.take("set_clock", "false", problems).unwrap_or(false);
        let clock_limit = clock_limit(&mut section, problems).unwrap_or(Duration::from_secs(30));
        section.finish(problems);
        Self { poll, set_clock, clock_limit }
    }
}

/// All boards whose blocks are right, each with its name and zone.
pub(crate) fn all(
    blocks: Vec<TerminalBlock>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<(String, TimeZone, Settings)> {
    let mut serials: HashMap<u32, String> = HashMap::new();
    let mut ears: HashMap<SocketAddr, String> = HashMap::new();
    let mut found = Vec::new();
    for TerminalBlock { name, zone, section } in blocks {
        let (serial_key, listen_key) = (section.key("serial"), section.key("listen"));
        let Some(settings) = Settings::take(section, defaults, problems) else { continue };
        if let Some(owner) = serials.insert(settings.serial, name.clone()) {
            problems.errors.push(Problem {
                key: serial_key,
                value: settings.serial.to_string(),
                why: format!("terminal {owner:?} has the same serial number"),
                mend: "every board has its own; it is printed on it".into(),
            });
            continue;
        }
        if let Some(listen) = settings.listen
            && let Some(owner) = ears.insert(listen, name.clone())
        {
            problems.errors.push(Problem {
                key: listen_key,
                value: format!("{listen:?}"),
                why: format!("terminal {owner:?} listens there, and each board has a port of its own here"),
                mend: format!("write another port, for example {}", SocketAddr::new(listen.ip(), listen.port() ^ 1)),
            });
            continue;
        }
        found.push((name, zone, settings));
    }
    found
}

impl Settings {
    /// Takes a board's block. `None` when something in it is wrong; the problems tell what.
    fn take(mut section: Section, defaults: &Defaults, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let address = address(&mut section, problems);
        let serial = section.require_checked("serial", "405419896", problems, |serial: i64| {
            u32::try_from(serial).ok().filter(|serial| *serial != 0).ok_or_else(|| {
                ("no board has that serial number".into(), "write the 9 digits that are printed on the board".into())
            })
        });
        let listen_value = section.look("listen").cloned();
        let listen: Option<SocketAddr> = section.take("listen", "\"192.0.2.2:60001\"", problems);
        let set_listener = section.take("set_listener", "true", problems).unwrap_or(false);
        if set_listener && !listen.is_some_and(|listen| listen.is_ipv4() && !listen.ip().is_unspecified()) {
            let why = "the board can only be told a real IPv4 address".to_owned();
            let mend =
                "write the gateway's own address in the board's network: listen = \"192.0.2.2:60001\"".to_owned();
            match listen_value {
                Some(value) => section.wrong(problems, "listen", &value, why, mend),
                None => section.missing(problems, "listen", why, mend),
            }
        }
        let settings = Self {
            address: address.unwrap_or(Address::Udp { host: String::new(), port: PORT }),
            serial: serial.unwrap_or_default(),
            poll: poll(&mut section, problems).unwrap_or(defaults.poll),
            set_clock: section.take("set_clock", "true", problems).unwrap_or(defaults.set_clock),
            clock_limit: clock_limit(&mut section, problems).unwrap_or(defaults.clock_limit),
            listen,
            set_listener,
            set_index: section.take("set_index", "false", problems).unwrap_or(false),
            timeout: period(&mut section, "timeout", "\"2500ms\"", (50, 60_000), problems)
                .unwrap_or(Duration::from_millis(2500)),
            rules: rules(&mut section, problems),
        };
        section.finish(problems);
        (problems.errors.len() == before).then_some(settings)
    }
}

fn address(section: &mut Section, problems: &mut Problems) -> Option<Address> {
    const EXAMPLE: &str = "\"udp://192.0.2.20\"";
    let check = |text: String| match Address::parse(&text, Some(PORT)) {
        Ok(Address::Serial(_)) => Err((
            "these boards speak over the network only".to_owned(),
            "write udp://HOST, or tcp://HOST for newer firmware".to_owned(),
        )),
        other => other,
    };
    section.require_checked("address", EXAMPLE, problems, check)
}

fn rules(section: &mut Section, problems: &mut Problems) -> Rules {
    let denied = section.take("denied", "true", problems).unwrap_or(false);
    let doors = section.take_checked("doors", "[1, 2]", problems, |doors: BTreeSet<u8>| {
        if doors.is_empty() || doors.iter().any(|door| !(1..=4).contains(door)) {
            return Err(("doors are numbered from 1 to 4".to_owned(), "write it like this: doors = [1, 2]".to_owned()));
        }
        Ok(doors)
    });
    const EXAMPLE: &str = "{ \"2/1\" = \"out\" }";
    let directions = section.take_checked("directions", EXAMPLE, problems, |table: BTreeMap<String, Direction>| {
        let mut directions = BTreeMap::new();
        for (reader, direction) in table {
            let parts = reader.split_once('/').and_then(|(door, side)| Some((door.parse().ok()?, side.parse().ok()?)));
            let Some((door @ 1..=4, side @ 1..=2)) = parts else {
                let mend = format!("write it like this: directions = {EXAMPLE}");
                return Err((format!("{reader:?} is no reader: a reader is DOOR/1 (in) or DOOR/2 (out)"), mend));
            };
            directions.insert((door, side), direction);
        }
        Ok(directions)
    });
    Rules { denied, doors: doors.unwrap_or_default(), directions: directions.unwrap_or_default() }
}

fn poll(section: &mut Section, problems: &mut Problems) -> Option<Duration> {
    period(section, "poll", "\"10s\"", (100, 3_600_000), problems)
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
