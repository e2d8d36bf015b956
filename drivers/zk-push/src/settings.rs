//! `[driver.zk-push]` and the driver's `[[terminal]]` blocks: keys as typed become values as used.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use driver_api::{Period, Problem, Problems, Section, TerminalBlock};
use encoding_rs::Encoding;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::{network::Network, tls, when::ZoneStyle};

/// Which of the two protocols behind the same addresses a terminal speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dialect {
    /// Attendance PUSH: `DeviceType=att`.
    Attendance,
    /// Security PUSH (access control): `DeviceType=acc`.
    Security,
}

impl Dialect {
    /// What a terminal says to be. Beside the two, junk occurs.
    pub(crate) fn told(device_type: &str) -> Option<Self> {
        match device_type.to_ascii_lowercase().as_str() {
            "att" => Some(Self::Attendance),
            "acc" => Some(Self::Security),
            _ => None,
        }
    }
}

/// The listener.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub listen: SocketAddr,
    pub tls: Option<TlsFiles>,
    /// How often terminals ask for commands.
    pub poll: Duration,
    /// How long a terminal waits after an error.
    pub error_delay: Duration,
    /// The longest body that is taken, in bytes.
    pub body_limit: u64,
    pub connections: usize,
    pub connections_per_peer: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// One terminal.
#[derive(Debug, Clone)]
pub(crate) struct TerminalSettings {
    pub name: String,
    pub serial: String,
    pub zone: TimeZone,
    /// Where it may speak from. Empty: from anywhere, and a change of address is shown.
    pub from: Vec<Network>,
    pub dialect: Option<Dialect>,
    pub encoding: Option<&'static Encoding>,
    pub zone_style: ZoneStyle,
    /// How often its log is compared with the ledger.
    pub reconcile: Duration,
    /// Whether it is asked for what it holds from before its first contact.
    pub history: bool,
}

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn settings(mut section: Section, problems: &mut Problems) -> Settings {
    let listen = section.take("listen", "\"192.0.2.2:8081\"", problems);
    let cert = section.path("tls_cert_file", "\"/etc/punchgate/push.pem\"", problems);
    let key = section.path("tls_key_file", "\"/etc/punchgate/push.key\"", problems);
    let within = |least: u64, most: u64| {
        move |period: Period| {
            let fits = (least..=most).contains(&period.0.as_secs());
            fits.then_some(period.0).ok_or_else(|| {
                (format!("it must lie between {least} and {most} seconds"), format!("write \"{least}s\" or more"))
            })
        }
    };
    let poll = section.take_checked("poll", "\"10s\"", problems, within(2, 600));
    let error_delay = section.take_checked("error_delay", "\"30s\"", problems, within(1, 600));
    let number = |least: u64, most: u64| {
        move |number: u64| {
            let fits = (least..=most).contains(&number);
            fits.then_some(number)
                .ok_or_else(|| (format!("it must lie between {least} and {most}"), format!("write {least} or more")))
        }
    };
    let body_limit = section.take_checked("body_limit_mib", "32", problems, number(1, 1024));
    let connections = section.take_checked("connections", "2048", problems, number(2, 60_000));
    let per_peer = section.take_checked("connections_per_peer", "1024", problems, number(1, 60_000));
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => {
            let files = TlsFiles { cert, key };
            if let Err(why) = tls::acceptor(&files) {
                let value = files.cert.display().to_string();
                let mend = "give a PEM file with the certificate and one with its key, readable by the gateway".into();
                problems.errors.push(Problem { key: section.key("tls_cert_file"), value, why, mend });
            }
            Some(files)
        }
        (None, None) => None,
        (cert, _) => {
            let (there, missing) =
                if cert.is_some() { ("tls_cert_file", "tls_key_file") } else { ("tls_key_file", "tls_cert_file") };
            problems.errors.push(Problem {
                key: section.key(missing),
                value: String::new(),
                why: format!("{there} is there, and the one is no use without the other"),
                mend: format!(
                    "add a line: {missing} = \"/etc/punchgate/push.{}\"",
                    if cert.is_some() { "key" } else { "pem" }
                ),
            });
            None
        }
    };
    section.finish(problems);
    Settings {
        listen: listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
        tls,
        poll: poll.unwrap_or(Duration::from_secs(10)),
        error_delay: error_delay.unwrap_or(Duration::from_secs(30)),
        body_limit: body_limit.unwrap_or(32) * MIB,
        connections: size(connections.unwrap_or(2048)),
        connections_per_peer: size(per_peer.unwrap_or(1024)),
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn terminals(blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<TerminalSettings> {
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut found = Vec::new();
    for block in blocks {
        let key = block.section.key("serial");
        let Some(terminal) = terminal(block, problems) else { continue };
        match owners.get(&terminal.serial) {
            Some(owner) => problems.errors.push(Problem {
                key,
                value: terminal.serial.clone(),
                why: format!("terminal {owner:?} has the same serial number"),
                mend: "every terminal has its own; look at its menu, System Info".into(),
            }),
            None => {
                owners.insert(terminal.serial.clone(), terminal.name.clone());
                found.push(terminal);
            }
        }
    }
    found
}

fn terminal(block: TerminalBlock, problems: &mut Problems) -> Option<TerminalSettings> {
    let TerminalBlock { name, zone, mut section } = block;
    let serial = serial(&mut section, problems);
    let from = section.take_checked("from", "\"192.0.2.0/24\"", problems, |from: OneOrMore| {
        from.list().iter().map(|text| Network::parse(text).ok_or(text)).collect::<Result<Vec<_>, _>>().map_err(|text| {
            (
                format!("{text:?} is neither an address nor a network"),
                "write it like this: from = \"192.0.2.0/24\"".into(),
            )
        })
    });
    let dialect = section.take_checked("dialect", "\"attendance\"", problems, |text: String| match &*text {
        "attendance" => Ok(Some(Dialect::Attendance)),
        "security" => Ok(Some(Dialect::Security)),
        "auto" => Ok(None),
        _ => Err(("there are auto, attendance and security".into(), "leave it out: it is found by itself".into())),
    });
    let encoding = section.take_checked("encoding", "\"gb18030\"", problems, |label: String| {
        Encoding::for_label(label.as_bytes())
            .ok_or_else(|| ("no such encoding".into(), "write one of gb18030, windows-1252, windows-1256, ...".into()))
    });
    let zone_style = section.take_checked("zone_style", "\"number\"", problems, |text: String| match &*text {
        "number" => Ok(ZoneStyle::Number),
        "iso" => Ok(ZoneStyle::Iso),
        _ => Err(("there are number (7, 330) and iso (+07:00)".into(), "leave it out, or write \"iso\"".into())),
    });
    let reconcile = section.take_checked("reconcile", "\"1d\"", problems, |period: Period| {
        let polite = period.0 >= Duration::from_secs(600);
        polite
            .then_some(period.0)
            .ok_or_else(|| ("more often is unkind to terminals".into(), "write \"10m\" or more".into()))
    });
    let history = section.take("history", "true", problems);
    section.finish(problems);
    Some(TerminalSettings {
        name,
        serial: serial?,
        zone,
        from: from.unwrap_or_default(),
        dialect: dialect.flatten(),
        encoding,
        zone_style: zone_style.unwrap_or_default(),
        reconcile: reconcile.unwrap_or(DAY),
        history: history.unwrap_or(true),
    })
}

fn serial(section: &mut Section, problems: &mut Problems) -> Option<String> {
    section.require_checked("serial", "\"CEXA204060001\"", problems, |serial: String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=64).contains(&serial.len()) && serial.bytes().all(plain);
        fits.then_some(serial).ok_or_else(|| {
            let why = "a serial number is 1 to 64 letters, digits, _ and -".to_owned();
            (why, "copy it from the terminal's menu, System Info".to_owned())
        })
    })
}

/// `from = "..."` or `from = ["...", "..."]`
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}
