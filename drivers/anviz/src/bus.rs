//! A line that we open: a TCP connection to one terminal, a serial port, or a serial server, with all terminals on it.

use std::{io, time::Duration};

use driver_api::{Address, Driver, DriverError, JobFailed, Link, async_trait};
use line::{Port, Stream};
use tokio::time::sleep;

use crate::{
    serve::{Jobs, chain, serve},
    settings::Settings,
    terminal::Serving,
    wire::Wire,
};

/// After a serial port was lost, until it is looked for.
const BREATH: Duration = Duration::from_millis(100);

pub(crate) struct Bus {
    pub(crate) port: Port,
    pub(crate) terminals: Vec<Settings>,
}

#[async_trait]
impl Driver for Bus {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        // Whatever is going on is dropped when it is time to leave: what is not stored is still marked as new.
        tokio::select! {
            () = link.closing() => Ok(()),
            error = self.serve(&link) => Err(error),
        }
    }
}

impl Bus {
    async fn serve(&self, link: &Link) -> DriverError {
        let patience = self.terminals.iter().map(|it| it.timeout).max().unwrap_or_default();
        let is_port = matches!(self.port.address(), Address::Serial(_));
        loop {
            let stream = match is_port {
                true => self.open_port(link, patience).await,
                false => match self.port.open(patience).await {
                    Ok(stream) => stream,
                    Err(error) => return error,
                },
            };
            let mut wire = Wire::new(stream, self.port.address().to_string(), patience);
            let mut terminals: Vec<_> =
                self.terminals.iter().filter_map(|settings| Serving::new(settings, link, settings.unit)).collect();
            let error = serve(&mut wire, &mut terminals, Jobs::Line(link)).await;
            if !is_port || !is_gone(&error) {
                return error;
            }
            tell(link, &error);
            sleep(BREATH).await;
        }
    }

    /// Opens a serial port, however long it takes: a terminal that does not answer is tried later each time, an adapter that
    /// was pulled is served soon after it is back. Who asks for something meanwhile is told that nobody is there.
    async fn open_port(&self, link: &Link, patience: Duration) -> Stream {
        let opening = self.port.open_at_last(patience, |error| tell(link, error));
        tokio::pin!(opening);
        loop {
            tokio::select! {
                stream = &mut opening => return stream,
                job = link.next_job() => job.done(Err(JobFailed::NotConnected)),
            }
        }
    }
}

/// The port is gone, and not a terminal silent.
fn is_gone(error: &DriverError) -> bool {
    matches!(error, DriverError::Unreachable { source, .. } if source.kind() != io::ErrorKind::TimedOut)
}

/// Nobody on this line is served.
fn tell(link: &Link, error: &DriverError) {
    for terminal in link.terminals() {
        terminal.offline(chain(error));
    }
}
