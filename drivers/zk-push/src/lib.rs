//! Terminals that push over HTTP (ZKTeco ADMS, also called iclock): attendance and security dialect.
//!
//! The terminal is the client. It starts with a handshake that brings it its options, posts its records, and asks every
//! few seconds whether there is something to do. Its serial number in every request is all that says who it is.
//! `README.md` beside this says how terminals are set up and what is not supported.
//!
//! A request's way: `listener` (place, TLS) -> `wire` (mends heads, deadlines) -> hyper -> `server` (who asks,
//! may it) -> `uploads` (tables) -> `punches` (bytes to records, pure) -> the store; and only when the store has said
//! that all of it is on disk, `OK` goes back, and the terminal may forget.
//!
//! What is asked of terminals: `errands` (jobs) and `comparing` (their log with ours) -> `queue` -> the answer to the
//! terminal's next poll.

mod attlog;
#[cfg(test)]
mod bench;
mod body;
mod codes;
mod commands;
mod comparing;
mod crowd;
mod cursor;
#[cfg(feature = "decoders")]
pub mod decoders;
mod discover;
mod errands;
mod feed;
mod gaps;
mod handshake;
mod head;
mod lines;
mod listener;
mod mask;
mod name;
mod network;
#[cfg(test)]
mod never_panics;
mod operlog;
mod options;
mod presence;
mod punches;
mod queue;
mod rtlog;
mod runs;
mod server;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod skew;
mod strangers;
mod tabledata;
mod tap;
mod target;
mod terminal;
mod tls;
mod unreadable;
mod uploads;
mod when;
mod whereabouts;
mod wire;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use driver_api::{
    Delivery, Driver, DriverError, JobFailed, Kind, Line, Link, Problems, Section, TerminalBlock, async_trait,
};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{debug, error, info, warn};

use crate::{
    crowd::Crowd,
    server::Server,
    settings::{Settings, TerminalSettings},
    terminal::Terminal,
};

pub use crate::discover::FINDER;

pub const KIND: Kind = Kind {
    name: "zk-push",
    title: "ZKTeco terminals that push over HTTP (ADMS), attendance and security",
    delivery: Delivery::Acked,
    operations: &[
        "reconcile",
        "info",
        "users",
        "time-set",
        "restart",
        "unlock",
        "user-put",
        "user-delete",
        driver_api::TRACE,
    ],
    plan,
};

/// Memory that bodies may take, all together.
const BODIES: usize = 32 << 20;

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    let settings = settings::settings(section, problems);
    let terminals = settings::terminals(blocks, problems);
    let names = terminals.iter().map(|terminal| terminal.name.clone()).collect();
    let key = format!("zk-push {}", settings.listen);
    vec![Line { key, terminals: names, driver: Arc::new(Push { settings, terminals }) }]
}

/// One listener with all its terminals.
struct Push {
    settings: Settings,
    terminals: Vec<TerminalSettings>,
}

#[async_trait]
impl Driver for Push {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let listen = self.settings.listen;
        let tls = match &self.settings.tls {
            None => None,
            // Read anew at each run: certificates are renewed while we run.
            Some(files) => {
                Some(tls::acceptor(files).map_err(|reason| DriverError::Refused { peer: listen.to_string(), reason })?)
            }
        };
        let door = door(listen)
            .map_err(|source| DriverError::Unreachable { peer: format!("our own port {listen}"), source })?;
        let server = Arc::new(self.server(link).await);
        info!(%listen, terminals = self.terminals.len(), tls = tls.is_some(), "listening for terminals");
        let mut connections = JoinSet::new(); // dropped with us, and every connection with it
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = server.link.closing() => return Ok(()),
                arrival = door.accept() => match arrival {
                    Ok((stream, peer)) => {
                        connections.spawn(listener::connection(server.clone(), stream, peer, tls.clone()));
                    }
                    Err(error) => {
                        // Too many open files, mostly: those that are open will end.
                        warn!(%error, "a connection was not accepted");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next() => if let Err(error) = ended {
                    error!(%error, "a connection's task panicked");
                },
                job = server.link.next_job() => {
                    let terminal = server.terminals.values().find(|terminal| terminal.settings.name == job.terminal);
                    debug!(terminal = job.terminal, operation = %job.operation, "job came");
                    match terminal {
                        Some(terminal) => terminal.job(job, Timestamp::now()),
                        None => job.done(Err(JobFailed::NotConnected)),
                    }
                }
                _ = ticks.tick() => {
                    let (instant, now) = (Instant::now(), Timestamp::now());
                    server.terminals.values().for_each(|terminal| terminal.tick(instant, now));
                }
            }
        }
    }
}

/// Opens the port. When a whole branch has power again, all its terminals come within a second: so many may stand in line.
fn door(listen: SocketAddr) -> io::Result<TcpListener> {
    const IN_LINE: u32 = 4096;
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(IN_LINE)
}

impl Push {
    async fn server(&self, link: Link) -> Server {
        let mut terminals = std::collections::HashMap::new();
        for settings in &self.terminals {
            let Some(handle) = link.terminal(&settings.name) else { continue };
            let store = handle.store(&settings.serial);
            let terminal = Terminal::load(settings.clone(), store, &self.settings).await;
            terminals.insert(settings.serial.clone(), terminal);
        }
        let Settings { connections, connections_per_peer, .. } = self.settings;
        // Others need files too, the store first of all.
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let connections =
            connections.min(files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX)));
        let crowd = Crowd::new(connections, connections_per_peer, BODIES);
        let work = Semaphore::new(uploads::WORK);
        Server { settings: self.settings.clone(), terminals, strangers: Default::default(), crowd, work, link }
    }
}
