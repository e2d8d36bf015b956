//! Logging: to the systemd journal with all fields, or to stderr for people or as JSON.

mod fields;
mod journal;
mod recent;

use std::{
    env,
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_log::LogTracer;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

pub use journal::{Journal, Sink};
pub use recent::{Line, Recent};

/// Names the filter where no argument does.
pub const LEVEL_VARIABLE: &str = "PUNCHGATE_LOG";

/// Where the log goes and how it looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The journal when systemd started us, people's text otherwise.
    #[default]
    Auto,
    /// Text on stderr.
    Text,
    /// One JSON object a line on stderr.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error(
        "{0:?} is no log level: write error, warn, info, debug or trace, or a filter such as punchgate=debug,rumqttc=warn"
    )]
    BadLevel(String),
    #[error("somebody else logs in this process already")]
    Twice,
}

/// Begins to log, and hands out the newest lines. `level` is a level or a filter; without one the environment's holds, else
/// `info`.
pub fn install(format: Format, level: Option<&str>) -> Result<Recent, LoggingError> {
    let from_environment = env::var(LEVEL_VARIABLE).ok();
    let filter = filter(level.or(from_environment.as_deref()).unwrap_or("info"))?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let recent = Recent::default();
    let kept = recent.clone().with_filter(tracing_subscriber::filter::LevelFilter::INFO);
    let subscriber = Registry::default().with(output(format).with_filter(filter)).with(kept);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)?;
    // What others say through `log` goes the same way. LogTracer looks no further than this level.
    LogTracer::builder().with_max_level(level_of_log(most)).init().map_err(|_| LoggingError::Twice)?;
    Ok(recent)
}

/// A plain level is ours; the libraries below stay at WARN, for at DEBUG they print what they carry, and that is personal.
fn filter(level: &str) -> Result<EnvFilter, LoggingError> {
    let level = level.trim();
    let directives = match LevelFilter::from_str(level) {
        Ok(LevelFilter::OFF) => "off".to_owned(),
        Ok(ours) => format!("{},punchgate={ours},driver_={ours}", ours.min(LevelFilter::WARN)),
        Err(_) if level.contains(['=', ',']) => level.to_owned(),
        Err(_) => return Err(LoggingError::BadLevel(level.to_owned())),
    };
    EnvFilter::builder().parse(directives).map_err(|_| LoggingError::BadLevel(level.to_owned()))
}

type Output<S> = Box<dyn Layer<S> + Send + Sync>;

fn output<S>(format: Format) -> Output<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let text = || tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        Format::Json => text().json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
        Format::Auto if systemd_journal_logger::connected_to_journal() => match Journal::connect() {
            Ok(journal) => journal.boxed(),
            // stderr goes to the journal all the same; only the fields are missing there.
            Err(_) => text().without_time().with_ansi(false).boxed(),
        },
        Format::Auto | Format::Text => {
            let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            text().with_ansi(colour).with_target(false).boxed()
        }
    }
}

fn level_of_log(level: LevelFilter) -> log::LevelFilter {
    match level.into_level() {
        None => log::LevelFilter::Off,
        Some(tracing::Level::ERROR) => log::LevelFilter::Error,
        Some(tracing::Level::WARN) => log::LevelFilter::Warn,
        Some(tracing::Level::INFO) => log::LevelFilter::Info,
        Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
        Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
    }
}

#[cfg(test)]
mod tests;
