//! Terminals that dial in: one port for all of them. Who dials is asked for its serial number, and served if the config
//! knows it; then it is served like any other.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use driver_api::{Driver, DriverError, Job, JobFailed, Link, async_trait};
use line::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::{
    command::ask,
    frame::Frame,
    record,
    serve::{Jobs, chain, serve},
    settings::Settings,
    strangers::Strangers,
    terminal::Serving,
    wire::{NoAnswer, Wire},
};

/// Who dials says who it is within this.
const HURRY: Duration = Duration::from_secs(15);
/// Connections that have not said who they are: when there are more, the oldest has to go.
const UNKNOWN: usize = 64;

/// One listener with all its terminals.
pub(crate) struct DialIn {
    pub(crate) listen: SocketAddr,
    pub(crate) terminals: Vec<Settings>,
}

/// What the connections of one run share.
struct House {
    link: Link,
    terminals: Vec<Settings>,
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    /// The connection of each terminal: its number, where its jobs go, and how it is told to leave.
    served: HashMap<String, (u64, mpsc::Sender<Job>, Arc<Notify>)>,
    strangers: Strangers,
    next: u64,
}

#[async_trait]
impl Driver for DialIn {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let listen = self.listen;
        let door = TcpListener::bind(listen).await;
        let door =
            door.map_err(|source| DriverError::Unreachable { peer: format!("our own port {listen}"), source })?;
        info!(%listen, terminals = self.terminals.len(), "listening for terminals");
        let house = Arc::new(House { link, terminals: self.terminals.clone(), guests: Mutex::default() });
        let mut connections = JoinSet::new(); // dropped with us, and every connection with it
        let mut unknown: VecDeque<(AbortHandle, Arc<Mutex<bool>>)> = VecDeque::new();
        loop {
            tokio::select! {
                () = house.link.closing() => return Ok(()),
                arrival = door.accept() => match arrival {
                    Ok((stream, peer)) => {
                        let known = Arc::new(Mutex::new(false));
                        let visit = visit(house.clone(), stream, peer, known.clone());
                        let task = connections.spawn(visit.instrument(info_span!("connection", %peer)));
                        unknown.retain(|(task, known)| !task.is_finished() && !*lock(known));
                        unknown.push_back((task, known));
                        if unknown.len() > UNKNOWN && let Some((oldest, _)) = unknown.pop_front() {
                            debug!("a connection that did not say who it is had to make room");
                            oldest.abort();
                        }
                    }
                    Err(error) => {
                        // Too many open files, mostly: those that are open will end.
                        warn!(%error, "a connection was not accepted");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next() => match ended {
                    Err(error) if error.is_panic() => error!(%error, "a connection's task panicked"),
                    _ => {}
                },
                job = house.link.next_job() => {
                    let jobs = lock(&house.guests).served.get(&job.terminal).map(|(_, jobs, _)| jobs.clone());
                    match jobs {
                        Some(jobs) => if let Err(refused) = jobs.try_send(job) {
                            refused.into_inner().done(Err(JobFailed::NotConnected));
                        },
                        None => job.done(Err(JobFailed::NotConnected)),
                    }
                }
            }
        }
    }
}

async fn visit(house: Arc<House>, stream: TcpStream, peer: SocketAddr, known: Arc<Mutex<bool>>) {
    let ip = peer.ip().to_canonical();
    // Answers are short, and written at once.
    let _ = stream.set_nodelay(true);
    let patience = house.terminals.iter().map(|it| it.timeout).max().unwrap_or(Duration::from_secs(3));
    let mut wire = Wire::new(Stream::Tcp(stream), format!("tcp://{peer}"), patience);
    let (serial, unit) = match timeout(HURRY, who_is_it(&mut wire)).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => return debug!(%error, "a connection did not say who it is"),
        Err(_) => return debug!("a connection took too long to say who it is"),
    };
    let Some(settings) = house.find(&serial, unit, ip) else {
        let told = lock(&house.guests).strangers.note(&serial, ip, Instant::now());
        if let Some(stranger) = told {
            warn!(serial, "an unknown terminal dialled in, and was refused");
            house.link.stranger(stranger);
        }
        return;
    };
    *lock(&known) = true;
    let (jobs, next_job) = mpsc::channel(16);
    let leave = Arc::new(Notify::new());
    let number = house.admit(&settings.name, jobs, leave.clone());
    let Some(serving) = Serving::new(settings, &house.link, unit) else { return };
    let (terminal, mut terminals) = (serving.terminal.clone(), [serving]);
    info!(terminal = settings.name, "terminal dialled in");
    // It comes from where it should: whoever else said that he is this terminal has been told of.
    terminal.relief(driver_api::Trouble::AddressChanged);
    let ended = tokio::select! {
        ended = serve(&mut wire, &mut terminals, Jobs::Own(next_job)) => Some(ended),
        () = leave.notified() => None, // it dialled in again: this connection is one that it has forgotten
    };
    if house.dismiss(&settings.name, number)
        && let Some(error) = ended
    {
        info!(terminal = settings.name, %error, "terminal left");
        terminal.offline(chain(&error));
    }
}

/// Its serial number, empty where it does not tell, and its unit.
async fn who_is_it(wire: &mut Wire) -> Result<(String, u32), NoAnswer> {
    match wire.ask(&Frame::question(0, ask::SERIAL, []), 2, |_| true).await {
        Ok(answer) if answer.result == 0 => {
            let serial = record::text(&answer.data[..answer.data.len().min(16)]);
            if !serial.is_empty() {
                return Ok((serial, answer.unit));
            }
        }
        Ok(_) | Err(NoAnswer::Silence) => {}
        Err(other) => return Err(other),
    }
    let answer = wire.ask(&Frame::question(0, ask::UNIT, []), 2, |_| true).await?;
    Ok((String::new(), answer.unit))
}

impl House {
    /// The terminal with this serial number; among those without one in the config, that with this unit.
    fn find(&self, serial: &str, unit: u32, ip: IpAddr) -> Option<&Settings> {
        let by_serial = |it: &&Settings| !serial.is_empty() && it.serial.as_deref() == Some(serial);
        let by_unit = |it: &&Settings| it.serial.is_none() && it.unit == unit;
        let found = self.terminals.iter().find(by_serial).or_else(|| self.terminals.iter().find(by_unit))?;
        let allowed = found.from.is_empty() || found.from.contains(&ip);
        if !allowed {
            warn!(terminal = found.name, %ip, "terminal dialled in from an address that is not its own");
            if let Some(terminal) = self.link.terminal(&found.name) {
                let cause = format!("somebody at {ip} says that it is this terminal");
                terminal.trouble(driver_api::Trouble::AddressChanged, cause);
            }
        }
        allowed.then_some(found)
    }

    /// The newest connection of a terminal is the one that counts.
    fn admit(&self, name: &str, jobs: mpsc::Sender<Job>, leave: Arc<Notify>) -> u64 {
        let mut guests = lock(&self.guests);
        guests.next += 1;
        let number = guests.next;
        if let Some((_, _, former)) = guests.served.insert(name.to_owned(), (number, jobs, leave)) {
            former.notify_one();
        }
        number
    }

    /// Whether this connection was the one that counted.
    fn dismiss(&self, name: &str, number: u64) -> bool {
        let mut guests = lock(&self.guests);
        let mine = guests.served.get(name).is_some_and(|(current, ..)| *current == number);
        if mine {
            guests.served.remove(name);
        }
        mine
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("nobody panics while holding this")
}
