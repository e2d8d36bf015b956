//! `[mqtt]`: which brokers, how they are reached, and how we show who we are.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use driver_api::{Period, Problems, Section};
use toml::Value;
use url::Url;

use super::certificate;
use crate::mqtt::{BrokerUrl, MqttSettings, MqttVersion};

/// What holds unless the config says otherwise.
struct Defaults {
    keep_alive: Duration,
    ack_timeout: Duration,
    window: usize,
}

const DEFAULTS: Defaults =
    Defaults { keep_alive: Duration::from_secs(30), ack_timeout: Duration::from_secs(20), window: 32 };

const TLS_PORT: u16 = 8883;
const PLAIN_PORT: u16 = 1883;

/// The settings, and how many segments are on their way at once.
pub(super) fn read(mut section: Section, client_id: String, problems: &mut Problems) -> Option<(MqttSettings, usize)> {
    let brokers = brokers(&mut section, problems);
    let tls = brokers.as_ref().is_none_or(|brokers| brokers.iter().any(|broker| broker.tls));
    let files = Files::read(&mut section, tls, problems);
    let username = section.take::<String>("username", "\"sz-03\"", problems);
    if username.is_none() && section.look("password_file").is_some() {
        section.missing(
            problems,
            "username",
            "there is a password_file, and a password needs a user",
            "add a line: username = \"sz-03\"",
        );
    }
    let password = section.secret("password_file", "\"/etc/punchgate/broker.password\"", problems);
    let version = section.take_checked("version", "\"5\"", problems, |text: String| match text.as_str() {
        "5" => Ok(MqttVersion::V5),
        "3.1.1" => Ok(MqttVersion::V311),
        _ => Err(("there are MQTT 5 and 3.1.1 here".into(), "write version = \"5\" or version = \"3.1.1\"".into())),
    });
    let client_id = section
        .take_checked("client_id", "\"punchgate-acme-sz-03\"", problems, |text: String| {
            if (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
                return Ok(text);
            }
            Err((
                "it is empty, too long, or has letters that brokers refuse".into(),
                "write 1 to 128 plain letters".into(),
            ))
        })
        .unwrap_or(client_id);
    let keep_alive = section.take_checked("keep_alive", "\"30s\"", problems, within("5s", "10m"));
    let ack_timeout = section.take_checked("ack_timeout", "\"20s\"", problems, within("1s", "10m"));
    let window = section.take_checked("window", "32", problems, |window: usize| match window {
        1..=1000 => Ok(window),
        _ => Err(("there may be 1 to 1000 messages on their way".into(), "write window = 32, or leave it out".into())),
    });
    section.take_checked("delivery", "\"puback\"", problems, |text: String| match text.as_str() {
        "puback" => Ok(()),
        "receipt" => Err((
            "this version takes no receipts yet".into(),
            "write delivery = \"puback\": a punch is delivered when the broker acknowledges it".into(),
        )),
        _ => Err(("a punch is delivered by \"puback\"; there is nothing else yet".into(), "write \"puback\"".into())),
    });
    section.finish(problems);

    let Files { ca_file, cert_file, key_file } = files;
    let settings = MqttSettings {
        brokers: brokers?,
        version: version.unwrap_or(MqttVersion::V5),
        client_id,
        ca_file,
        cert_file,
        key_file,
        username,
        password,
        keep_alive: keep_alive.unwrap_or(DEFAULTS.keep_alive),
        ack_timeout: ack_timeout.unwrap_or(DEFAULTS.ack_timeout),
    };
    Some((settings, window.unwrap_or(DEFAULTS.window)))
}

/// A check for periods between two others, given as one writes them.
fn within(least: &'static str, most: &'static str) -> impl FnOnce(Period) -> Result<Duration, (String, String)> {
    move |period| {
        let bound = |text| Period::parse(text).expect("the bounds stand in this file");
        if period < bound(least) || period > bound(most) {
            return Err((format!("it must be {least} to {most}"), format!("write a time from {least} to {most}")));
        }
        Ok(period.0)
    }
}

/// The brokers of `url`, in their order.
fn brokers(section: &mut Section, problems: &mut Problems) -> Option<Vec<BrokerUrl>> {
    const EXAMPLE: &str = "\"mqtts://broker.example:8883\"";
    let allow_plaintext = section.take("allow_plaintext", "false", problems).unwrap_or(false);
    let urls = match section.require::<Value>("url", EXAMPLE, problems)? {
        Value::Array(urls) if !urls.is_empty() => urls,
        url => vec![url],
    };
    let mut brokers = Vec::new();
    for url in &urls {
        let found = match url {
            Value::String(text) => broker(text, allow_plaintext),
            _ => Err(("it is the address of a broker, or a list of them".into(), format!("write url = {EXAMPLE}"))),
        };
        match found {
            Ok(broker) => {
                if broker.tls && broker.port == PLAIN_PORT {
                    let why = "1883 is the port without TLS of most brokers".into();
                    let mend = format!("if connecting fails, write mqtts://{}:8883", broker.host);
                    section.odd(problems, "url", url, why, mend);
                }
                brokers.push(broker);
            }
            Err((why, mend)) => section.wrong(problems, "url", &without_user(url), why, mend),
        }
    }
    (brokers.len() == urls.len()).then_some(brokers)
}

/// An address for messages: a password that was written into it by mistake is not repeated.
fn without_user(url: &Value) -> Value {
    let parts = url.as_str().and_then(|text| text.split_once("://").zip(text.rsplit_once('@')));
    parts.map_or_else(|| url.clone(), |((scheme, _), (_, host))| format!("{scheme}://***@{host}").into())
}

/// One address of a broker.
pub(super) fn broker(text: &str, allow_plaintext: bool) -> Result<BrokerUrl, (String, String)> {
    let wrong = |why: String| (why, "write mqtts://HOST:8883".to_owned());
    let url = Url::parse(text).map_err(|error| wrong(format!("not a URL: {error}")))?;
    let tls = match url.scheme() {
        "mqtts" => true,
        "mqtt" => false,
        other => return Err(wrong(format!("{other}:// is no way to reach a broker"))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        let mend = "write username = \"...\" and password_file = \"...\" beside url";
        return Err(("an address is shown in logs, so it holds no user and no password".into(), mend.into()));
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| wrong("the host is missing".into()))?.to_owned();
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("nothing may stand behind the port".into()));
    }
    let port = url.port().unwrap_or(if tls { TLS_PORT } else { PLAIN_PORT });
    if port == 0 {
        return Err(wrong("0 is no port".into()));
    }
    if !tls && port == TLS_PORT {
        let why = "8883 is the TLS port, and mqtt:// does not speak TLS";
        return Err((why.into(), format!("write mqtts://{host}:8883")));
    }
    if !tls && !allow_plaintext && !loopback(&host) {
        let mend = format!(
            "write mqtts://{host} and ca_file, or allow_plaintext = true if the way there is safe by other means"
        );
        return Err(("without TLS anybody on the way can read and change punches".into(), mend));
    }
    Ok(BrokerUrl { host, port, tls })
}

/// Whether a host is this machine, by its name alone: no look-up here.
pub(super) fn loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The PEM files: they must be there and hold what their keys say. They are read again at each connection.
struct Files {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

impl Files {
    fn read(section: &mut Section, tls: bool, problems: &mut Problems) -> Self {
        const CA: &str = "\"/etc/punchgate/ca.pem\"";
        const CERT: &str = "\"/etc/punchgate/gateway.pem\"";
        const KEY: &str = "\"/etc/punchgate/gateway.key\"";
        let lacks = |section: &Section, key| section.look(key).is_none();
        let together = "cert_file and key_file go together";
        if tls && lacks(section, "ca_file") {
            let why = "mqtts:// trusts only brokers whose certificate this CA has signed";
            section.missing(problems, "ca_file", why, format!("add a line: ca_file = {CA}"));
        }
        match (lacks(section, "cert_file"), lacks(section, "key_file")) {
            (false, true) => section.missing(problems, "key_file", together, format!("add a line: key_file = {KEY}")),
            (true, false) => {
                section.missing(problems, "cert_file", together, format!("add a line: cert_file = {CERT}"))
            }
            _ => {}
        }
        let ca = certificate::take_chain(section, "ca_file", CA, problems);
        let cert = certificate::take_chain(section, "cert_file", CERT, problems);
        let key = certificate::take_key(section, "key_file", KEY, problems);
        if let (Some(cert), Some(key)) = (&cert, &key) {
            certificate::check_pair(section, cert, key, problems);
        }
        let (ca_file, cert_file) = (ca.map(|ca| ca.path), cert.map(|cert| cert.path));
        Self { ca_file, cert_file, key_file: key.map(|key| key.path) }
    }
}
