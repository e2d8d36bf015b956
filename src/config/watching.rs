//! `[health]`, `[incidents]` and `[metrics]`: what the gateway is judged by, and who may look.

use std::{net::SocketAddr, time::Duration};

use driver_api::{Period, Problems, Section};

use crate::{health::HealthSettings, incident::Targets, metrics::MetricsSettings};

/// A backup is too old after so long unless the config says otherwise.
const BACKUP_AGE: Duration = Duration::from_secs(8 * 86_400);

pub(super) fn health(mut section: Section, problems: &mut Problems) -> HealthSettings {
    let file = section.path("backup_file", "\"/var/backups/punchgate.done\"", problems);
    let age = section.take::<Period>("backup_age", "\"8d\"", problems).map(|Period(age)| age);
    if age.is_some() && file.is_none() && problems.errors.is_empty() {
        let mend = "name the file that each backup touches: backup_file = \"/var/backups/punchgate.done\"";
        section.missing(problems, "backup_file", "nobody knows when the last backup was", mend);
    }
    section.finish(problems);
    HealthSettings { backups: file.map(|file| (file, age.unwrap_or(BACKUP_AGE))).into_iter().collect() }
}

pub(super) fn incidents(mut section: Section, problems: &mut Problems) -> Targets {
    let default = Targets::default();
    let mut target = |key, example| section.take_checked(key, example, problems, period);
    let (high, medium, low) = (target("high", "\"1h\""), target("medium", "\"24h\""), target("low", "\"7d\""));
    section.finish(problems);
    Targets { high: high.or(default.high), medium: medium.or(default.medium), low: low.or(default.low) }
}

/// Shorter than it takes to be told, nobody could keep to it.
fn period(Period(period): Period) -> Result<Duration, (String, String)> {
    if period >= Duration::from_secs(60) {
        return Ok(period);
    }
    Err(("it is one minute at least".into(), "write it like this: high = \"1h\"".into()))
}

pub(super) fn metrics(mut section: Section, problems: &mut Problems) -> MetricsSettings {
    let listen = section.take_checked("listen", "\"127.0.0.1:9464\"", problems, |text: String| {
        let address = text.parse::<SocketAddr>().map_err(|_| {
            ("it is no address with a port".to_owned(), "write it like this: listen = \"127.0.0.1:9464\"".to_owned())
        })?;
        match address.ip().is_loopback() {
            true => Ok(address),
            false => Err((
                "numbers are told to this machine alone: there is neither TLS nor a password on that port".into(),
                "write 127.0.0.1 or [::1]; for others put a proxy with TLS before it, or take them from MQTT".into(),
            )),
        }
    });
    let socket = section.path("socket", "\"/run/punchgate/metrics.sock\"", problems);
    section.finish(problems);
    MetricsSettings { listen, socket }
}
