//! The keys of a `[[terminal]]` block.

use std::{fs, sync::Arc, time::Duration};

use driver_api::{Address, Period, Problems, Section};

use crate::{bus::Framing, map::Map, maps, schema};

/// The protocol's own port.
pub(crate) const PORT: u16 = 502;

/// One terminal's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) unit: u8,
    pub(crate) map: Arc<Map>,
    /// What punches are booked under; the terminal's name where there is none.
    pub(crate) serial: Option<String>,
    /// Between two looks, where it is not what the map says.
    pub(crate) poll: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) framing: Framing,
    /// Between an answer and the next question on a line.
    pub(crate) silence: Duration,
}

impl Settings {
    /// Takes a terminal's block. `None` when something in it is wrong; the problems tell what.
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let address = address(&mut section, problems);
        let serial_line = matches!(address, Some(Address::Serial(_)));
        let unit = section.take_checked("unit", "1", problems, |unit: i64| match u8::try_from(unit) {
            Ok(unit) if unit <= 247 || !serial_line => Ok(unit),
            _ => Err((
                "a unit is 1 to 247 on a serial line, and at most 255 on TCP".into(),
                "write the number that is set at the terminal".into(),
            )),
        });
        let map = map(&mut section, problems);
        let serial = section.take_checked("serial", "\"TR-1024\"", problems, |serial: String| {
            let mend = "write what is printed on the terminal, or leave the line out".to_owned();
            if serial.trim().is_empty() { Err(("it is empty".to_owned(), mend)) } else { Ok(serial.trim().to_owned()) }
        });
        let poll = period(&mut section, "poll", "\"500ms\"", (20, 3_600_000), problems);
        let timeout = period(&mut section, "timeout", "\"500ms\"", (20, 30_000), problems);
        let framing = section.take_checked("framing", "\"rtu\"", problems, |framing: String| match &*framing {
            "rtu" => Ok(Framing::Rtu),
            "tcp" if serial_line => Err((
                "a serial line has no other framing than rtu".into(),
                "delete the line, or write the terminal's tcp:// address".into(),
            )),
            "tcp" => Ok(Framing::Tcp),
            _ => Err(("there is no such framing".into(), "write \"tcp\", or \"rtu\" behind a serial server".into())),
        });
        let turnaround = period(&mut section, "turnaround", "\"5ms\"", (1, 5_000), problems);
        section.finish(problems);
        if problems.errors.len() > before {
            return None;
        }
        let address = address?;
        let framing = framing.unwrap_or(if serial_line { Framing::Rtu } else { Framing::Tcp });
        // A character has 11 bits; above 19200 baud the standard says 1750 us.
        let quiet = match &address {
            Address::Serial(line) => Duration::from_micros((38_500_000 / u64::from(line.baud)).max(1750)),
            _ => Duration::from_millis(2),
        };
        let timeout = timeout.unwrap_or(Duration::from_millis(if framing == Framing::Rtu { 500 } else { 1000 }));
        let silence = turnaround.unwrap_or(quiet);
        Some(Self { address, unit: unit.unwrap_or(1), map: map?, serial, poll, timeout, framing, silence })
    }
}

fn address(section: &mut Section, problems: &mut Problems) -> Option<Address> {
    let address = section.address(Some(PORT), problems)?;
    if let Address::Udp { host, port } = &address {
        let why = "Modbus goes over TCP or a serial line".to_owned();
        let mend = "write tcp://HOST:502, or serial:///dev/serial/by-id/...?baud=9600&parity=even".to_owned();
        section.wrong(problems, "address", &format!("udp://{host}:{port}").into(), why, mend);
        return None;
    }
    Some(address)
}

/// A file beside the config, or one of those that ship.
fn map(section: &mut Section, problems: &mut Problems) -> Option<Arc<Map>> {
    const EXAMPLE: &str = "\"turnstile.toml\"";
    let value = section.look("map").cloned();
    if value.is_none() {
        section.take_value("map");
        let mend = format!("write map = {EXAMPLE} for a file beside the config, or one of: {}", maps::names());
        section.missing(problems, "map", "it is missing: every product has its own registers", mend);
        return None;
    }
    let path = section.path("map", EXAMPLE, problems)?;
    let value = value?;
    let name = value.as_str()?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if !path.exists() && maps::find(name).is_some() => maps::find(name)?.to_owned(),
        Err(error) => {
            let why = format!("there is no such map, and {} cannot be read: {error}", path.display());
            let mend = format!("put the file there, or write one of those that ship: {}", maps::names());
            section.wrong(problems, "map", &value, why, mend);
            return None;
        }
    };
    schema::read(name, &text, problems).map(Arc::new)
}

fn period(
    section: &mut Section,
    key: &'static str,
    example: &str,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<Duration> {
    section.take_checked(key, example, problems, |Period(length): Period| {
        if (u128::from(least)..=u128::from(most)).contains(&length.as_millis()) {
            return Ok(length);
        }
        let why = format!("it must lie between {least} ms and {} s", most / 1000);
        Err((why, format!("write it like this: {key} = {example}")))
    })
}
