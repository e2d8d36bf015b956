//! Acme AX terminals: we dial, they send one line a punch and wait for `OK`.

use std::{io, sync::Arc, time::Duration};

use driver_api::{
    Address, Batch, Delivery, Driver, DriverError, Kind, Line, Link, Problems, Section, SetAside, TerminalBlock,
    async_trait,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::frame;

/// They say `.` when nothing happened for ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

pub const KIND: Kind = Kind {
    name: "acme-line",
    title: "Acme AX terminals, line protocol (port 7100)",
    delivery: Delivery::Acked,
    operations: &[],
    plan,
};

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    section.finish(problems); // no keys of its own below [driver.acme-line]
    let mut lines = Vec::new();
    for TerminalBlock { name, mut section, .. } in blocks {
        let address = section.address(Some(7100), problems);
        let serial = section.require::<String>("serial", "\"AX-0042\"", problems);
        section.finish(problems);
        if let (Some(Address::Tcp { host, port }), Some(serial)) = (address, serial) {
            let driver: Arc<dyn Driver> = Arc::new(Acme { host, port, serial });
            lines.push(Line { key: name.clone(), terminals: vec![name], driver });
        }
    }
    lines
}

/// One terminal.
struct Acme {
    host: String,
    port: u16,
    serial: String,
}

#[async_trait]
impl Driver for Acme {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        tokio::select! {
            () = link.closing() => Ok(()),
            ended = self.serve(&link) => ended,
        }
    }
}

impl Acme {
    async fn serve(&self, link: &Link) -> Result<(), DriverError> {
        let terminal = &link.terminals()[0];
        let store = terminal.store(&self.serial);
        let target = (self.host.as_str(), self.port);
        let connecting = timeout(Duration::from_secs(5), TcpStream::connect(target)).await;
        let mut stream =
            connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| self.lost(e))?;
        terminal.online();
        let (reading, mut writing) = stream.split();
        let mut reading = BufReader::new(reading);
        loop {
            let mut line = Vec::new();
            let mut limited = (&mut reading).take(frame::LONGEST as u64);
            let heard = timeout(SILENCE, limited.read_until(b'\n', &mut line)).await;
            heard.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| self.lost(e))?;
            if line.pop() != Some(b'\n') {
                // The connection ended, or the line has no end.
                return Err(self.garbled(format!("{} bytes that are no line", line.len())));
            }
            let text = String::from_utf8_lossy(&line);
            if text == "." {
                terminal.seen();
                continue;
            }
            match frame::punch(&text) {
                Ok((number, punch)) => {
                    store.put(vec![punch]).await?;
                    // Only now may the terminal forget it.
                    writing.write_all(format!("OK {number}\n").as_bytes()).await.map_err(|e| self.lost(e))?;
                }
                Err(reason) => {
                    // Kept raw with its reason; it is not acknowledged, and it holds nobody up.
                    let raw = SetAside { raw: line.clone(), reason: reason.clone(), nth: 1 };
                    store.put(Batch { set_aside: vec![raw], ..Batch::default() }).await?;
                    return Err(self.garbled(reason));
                }
            }
        }
    }

    fn lost(&self, source: io::Error) -> DriverError {
        DriverError::Unreachable { peer: format!("{}:{}", self.host, self.port), source }
    }

    fn garbled(&self, what: String) -> DriverError {
        DriverError::Garbled { peer: format!("{}:{}", self.host, self.port), what }
    }
}
