//! How a run of a line ended, sorted by what it means for its terminals.

use std::any::Any;

use driver_api::DriverError;

use crate::health::{Code, TerminalState};

/// How a run of a line ended.
pub struct End {
    pub state: TerminalState,
    pub code: Code,
    pub cause: String,
}

impl End {
    /// Sorts what a driver's run returned, or its panic.
    pub fn of(outcome: Result<Result<(), DriverError>, Box<dyn Any + Send>>) -> Self {
        let (state, code, cause) = match outcome {
            Ok(Ok(())) => {
                (TerminalState::Offline, Code::DriverFailed, "the driver left without being told to".to_owned())
            }
            Ok(Err(error)) => {
                let (state, code) = match &error {
                    DriverError::Unreachable { .. } => (TerminalState::Offline, Code::TerminalOffline),
                    DriverError::Busy { .. } => (TerminalState::Offline, Code::TerminalBusy),
                    DriverError::Refused { .. } => (TerminalState::Refused, Code::TerminalRefuses),
                    DriverError::Garbled { .. } => (TerminalState::Offline, Code::TerminalGarbled),
                    DriverError::NotStored(_) => (TerminalState::Offline, Code::TerminalOffline),
                };
                (state, code, chain(&error))
            }
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                (TerminalState::Offline, Code::DriverFailed, format!("it panicked: {words}"))
            }
        };
        Self { state, code, cause }
    }
}

/// An error with all its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
