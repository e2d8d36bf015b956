//! The keys of a `[[terminal]]` block.

use std::{fs, sync::Arc, time::Duration};

use driver_api::{Address, Direction, Period, Problems, Section};

use crate::{reader::Reader, readers};

/// One terminal's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) reader: Arc<Reader>,
    /// The name of the reader's file, or of the one that ships.
    pub(crate) named: String,
    /// What punches are booked under; the terminal's name where there is none.
    pub(crate) serial: Option<String>,
    /// Which of several readers on a line.
    pub(crate) unit: Option<String>,
    /// The same card again within this is the same punch.
    pub(crate) repeat: Duration,
    /// What passing it means, where its frames do not say it.
    pub(crate) direction: Option<Direction>,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Takes a terminal's block. `None` when something in it is wrong; the problems tell what.
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let address = section.address(None, problems);
        if let Some(Address::Udp { host, port }) = &address {
            section.wrong(
                problems,
                "address",
                &format!("udp://{host}:{port}").into(),
                "a reader's bytes come over a serial line or TCP".into(),
                "write serial:///dev/serial/by-id/...?baud=9600, or tcp://HOST:PORT of a serial server".into(),
            );
        }
        let named = section.look("reader").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let reader = reader(&mut section, problems);
        let text = |text: String| {
            let text = text.trim();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let mend = "write what is printed on it or set in it, or leave the line out".to_owned();
                return Err(("it is empty, or has other than plain characters".to_owned(), mend));
            }
            Ok(text.to_owned())
        };
        let serial = section.take_checked("serial", "\"GATE-1\"", problems, text);
        let unit = section.take_checked("unit", "\"01\"", problems, text);
        let limits = |least: u128, most: u128| {
            move |Period(length): Period| {
                if (least..=most).contains(&length.as_millis()) {
                    return Ok(length);
                }
                Err((format!("it must lie between {least} and {most} ms"), "write it like this: \"1500ms\"".to_owned()))
            }
        };
        let repeat = section.take_checked("repeat_window", "\"1500ms\"", problems, limits(0, 600_000));
        let direction: Option<Direction> = section.take("direction", "\"in\"", problems);
        let timeout = section.take_checked("timeout", "\"3s\"", problems, limits(20, 60_000));
        if let (Some(reader), Some(unit)) = (&reader, &unit)
            && !reader.has_units()
        {
            let why = "the frames of this reader do not say which one of several speaks".to_owned();
            let mend = "delete the line, or use a reader whose pattern has (?<unit>...)".to_owned();
            section.wrong(problems, "unit", &unit.clone().into(), why, mend);
        }
        if let (Some(reader), None) = (&reader, &unit)
            && reader.poll.as_ref().is_some_and(|poll| poll.text.contains("{unit}"))
        {
            section.missing(problems, "unit", "this reader is asked by its number", "add a line: unit = \"01\"");
        }
        section.finish(problems);
        if problems.errors.len() > before {
            return None;
        }
        Some(Self {
            address: address?,
            reader: reader?,
            named,
            serial,
            unit,
            repeat: repeat.unwrap_or(Duration::from_millis(1500)),
            direction,
            timeout: timeout.unwrap_or(Duration::from_secs(3)),
        })
    }
}

/// A file beside the config, or one of those that ship.
fn reader(section: &mut Section, problems: &mut Problems) -> Option<Arc<Reader>> {
    const EXAMPLE: &str = "\"rdm6300\"";
    let Some(value) = section.look("reader").cloned() else {
        section.take_value("reader");
        let mend =
            format!("write reader = \"FILE.toml\" for a file beside the config, or one of: {}", readers::names());
        section.missing(problems, "reader", "it is missing: every reader has its own frames", mend);
        return None;
    };
    let path = section.path("reader", EXAMPLE, problems)?;
    let name = value.as_str()?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if !path.exists() && readers::find(name).is_some() => readers::find(name)?.to_owned(),
        Err(error) => {
            let why = format!("there is no such reader, and {} cannot be read: {error}", path.display());
            let mend = format!("put the file there, or write one of those that ship: {}", readers::names());
            section.wrong(problems, "reader", &value, why, mend);
            return None;
        }
    };
    Reader::parse(name, &text, problems).map(Arc::new)
}
