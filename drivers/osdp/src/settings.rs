//! The keys of a `[[terminal]]` block.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER_PERMISSIVE;
use driver_api::{Address, Direction, Problems, Secret, Section};
use jiff::Timestamp;

use crate::card::Show;

/// Speeds that the standard knows.
const SPEEDS: [u32; 6] = [9600, 19200, 38400, 57600, 115_200, 230_400];
/// What every reader has from its factory, and so everybody.
const FACTORY_KEY: &str = "303132333435363738393a3b3c3d3e3f";

/// One reader's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    /// Its number on the bus, 0 to 126.
    pub(crate) unit: u8,
    /// Its own key; without one the line is plain text.
    pub(crate) key: Option<Key>,
    /// Until when it may be given its key over the factory's.
    pub(crate) pair_until: Option<Timestamp>,
    /// What punches are booked under; the terminal's name where there is none.
    pub(crate) serial: Option<String>,
    pub(crate) show: Show,
    pub(crate) keys: bool,
    /// What each of its readers means.
    pub(crate) directions: BTreeMap<u8, Direction>,
    /// It beeps and shows green when a punch is on our disk.
    pub(crate) confirm: bool,
}

/// A key that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    /// Takes a terminal's block. `None` when something in it is wrong; the problems tell what.
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let address = address(&mut section, problems);
        let unit = section.require_checked("unit", "1", problems, |unit: i64| match u8::try_from(unit) {
            Ok(unit) if unit <= 126 => Ok(unit),
            _ => Err(("a reader's address is 0 to 126".into(), "write the address that is set in it".into())),
        });
        let key = key(&mut section, problems);
        let insecure: bool = section.take("insecure", "true", problems).unwrap_or(false);
        match (&key, insecure, section.look("key_file")) {
            (None, false, _) if problems.errors.len() == before => section.missing(
                problems,
                "key_file",
                "without a key anybody on the cable can read and make punches",
                "write key_file = \"FILE\" with 32 hex digits (openssl rand -hex 16), or insecure = true where that is meant",
            ),
            (Some(_), true, _) => section.wrong(
                problems,
                "insecure",
                &true.into(),
                "it has a key, and would be believed without it".into(),
                "delete one of the two".into(),
            ),
            _ => {}
        }
        let example = "\"2026-11-28T12:00:00+08:00\"";
        let pair_until = section.take_checked("pair_until", example, problems, |text: String| {
            text.parse::<Timestamp>().map_err(|error| {
                (format!("it is no instant: {error}"), format!("write it like this: pair_until = {example}"))
            })
        });
        if let (Some(until), None) = (&pair_until, &key) {
            let mend = "add key_file with the key that it shall be given".to_owned();
            section.wrong(problems, "pair_until", &until.to_string().into(), "there is no key to give".into(), mend);
        }
        let serial = section.take_checked("serial", "\"GATE-1\"", problems, |serial: String| {
            let mend = "write what is printed on it, or leave the line out".to_owned();
            if serial.trim().is_empty() { Err(("it is empty".to_owned(), mend)) } else { Ok(serial.trim().to_owned()) }
        });
        let show = section.take("card", "\"hex\"", problems).unwrap_or_default();
        let keys = section.take("keypad", "false", problems).unwrap_or(true);
        let directions = section.take_checked(
            "directions",
            "{ 0 = \"in\", 1 = \"out\" }",
            problems,
            |codes: BTreeMap<String, Direction>| {
                let numbered = codes.into_iter().map(|(reader, means)| Ok((reader.parse::<u8>()?, means)));
                numbered.collect::<Result<BTreeMap<_, _>, std::num::ParseIntError>>().map_err(|_| {
                    ("its readers are numbered from 0".into(), "write it like this: { 0 = \"in\", 1 = \"out\" }".into())
                })
            },
        );
        let confirm = section.take("confirm", "true", problems).unwrap_or(false);
        section.finish(problems);
        if problems.errors.len() > before {
            return None;
        }
        let directions = directions.unwrap_or_default();
        Some(Self { address: address?, unit: unit?, key, pair_until, serial, show, keys, directions, confirm })
    }
}

fn address(section: &mut Section, problems: &mut Problems) -> Option<Address> {
    let address = section.address(None, problems)?;
    let (value, why, mend) = match &address {
        Address::Udp { host, port } => (
            format!("udp://{host}:{port}"),
            "OSDP goes over RS-485, or TCP to a serial server".into(),
            "write serial:///dev/serial/by-id/...?baud=9600, or tcp://HOST:PORT".into(),
        ),
        Address::Serial(line) if !SPEEDS.contains(&line.baud) => (
            format!("baud={}", line.baud),
            "the standard has no such speed".into(),
            format!("write one of {}", SPEEDS.map(|speed| speed.to_string()).join(", ")),
        ),
        _ => return Some(address),
    };
    section.wrong(problems, "address", &value.into(), why, mend);
    None
}

fn key(section: &mut Section, problems: &mut Problems) -> Option<Key> {
    const EXAMPLE: &str = "\"/etc/punchgate/gate-1.key\"";
    let value = section.look("key_file").cloned();
    let secret: Secret = section.secret("key_file", EXAMPLE, problems)?;
    let digits: String = secret.reveal().chars().filter(|c| !c.is_whitespace()).collect();
    let value = value?;
    let key = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().and_then(|key| <[u8; 16]>::try_from(key).ok());
    let Some(key) = key else {
        let why = "the file does not hold 32 hex digits".to_owned();
        section.wrong(problems, "key_file", &value, why, "make one: openssl rand -hex 16".into());
        return None;
    };
    if digits.eq_ignore_ascii_case(FACTORY_KEY) || key == [0; 16] {
        let why = "that key is known to everybody".to_owned();
        section.wrong(problems, "key_file", &value, why, "make one of your own: openssl rand -hex 16".into());
        return None;
    }
    Some(Key(key))
}
