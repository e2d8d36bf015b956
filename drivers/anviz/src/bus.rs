//! A line that we open: a TCP connection to one terminal, a serial port, or a serial server, with all terminals on it.

use driver_api::{Driver, DriverError, Link, async_trait};
use line::Port;

use crate::{
    serve::{Jobs, serve},
    settings::Settings,
    terminal::Serving,
    wire::Wire,
};

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
        let stream = match self.port.open(patience).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let mut wire = Wire::new(stream, self.port.address().to_string(), patience);
        let mut terminals: Vec<_> =
            self.terminals.iter().filter_map(|settings| Serving::new(settings, link, settings.unit)).collect();
        serve(&mut wire, &mut terminals, Jobs::Line(link)).await
    }
}
