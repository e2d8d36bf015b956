//! The terminals of a rig, of two drivers, and the people who punch at them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use driver_zk::{
    record::Form,
    sim::{Model, Simulator},
};
use driver_zk_push::sim::{self as push, PushTerminal};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::sleep};

use crate::oracle::Oracle;

/// One terminal that speaks real bytes.
pub(crate) enum Speaks {
    /// The gateway dials it and reads its log, which it never forgets.
    Zk(Simulator),
    /// It dials the gateway, and forgets each record once it was told OK: what the gateway loses then, is lost.
    Push(PushTerminal),
}

pub(crate) struct Terminal {
    pub(crate) name: String,
    pub(crate) speaks: Speaks,
    /// Where the gateway finds it when that is not its own address, as behind a proxy.
    pub(crate) seen_at: Option<SocketAddr>,
    /// Its clock minus ours.
    pub(crate) offset: SignedDuration,
}

impl Terminal {
    fn punch(&self, oracle: &Oracle) {
        match &self.speaks {
            Speaks::Zk(terminal) => {
                let local = terminal.now();
                terminal.punch_at(&oracle.record(&self.name, local), local, 1, 0);
            }
            Speaks::Push(terminal) => {
                let local = wall(self.offset);
                terminal.record(push::Record::new(oracle.record(&self.name, local), local));
            }
        }
    }

    fn block(&self, serial: &str) -> String {
        let name = &self.name;
        match &self.speaks {
            Speaks::Zk(terminal) => {
                let address = self.seen_at.unwrap_or(terminal.address());
                format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{address}\"\n\n")
            }
            Speaks::Push(_) => {
                format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk-push\"\nserial = \"{serial}\"\n\n")
            }
        }
    }
}

/// A wall clock that is so far off, to the second.
fn wall(offset: SignedDuration) -> DateTime {
    let now = Timestamp::now();
    let there = now.checked_add(offset).unwrap_or(now).to_zoned(TimeZone::UTC).datetime();
    there.with().subsec_nanosecond(0).build().unwrap_or(there)
}

/// All terminals of a world. They are replaced by new ones now and then, so that no log grows without end.
pub(crate) struct Fleet {
    oracle: Arc<Oracle>,
    /// Where push terminals find the gateway.
    server: SocketAddr,
    generation: usize,
    terminals: Mutex<Vec<Terminal>>,
    /// Punches in a thousand seconds; 0 is a pause.
    rate: AtomicU64,
}

impl Fleet {
    pub(crate) async fn new(oracle: Arc<Oracle>, server: SocketAddr) -> anyhow::Result<Self> {
        let mut fleet =
            Self { oracle, server, generation: 0, terminals: Mutex::default(), rate: AtomicU64::new(40_000) };
        fleet.replace().await?;
        Ok(fleet)
    }

    /// New terminals in place of the old ones, which are gone with all they hold.
    pub(crate) async fn replace(&mut self) -> anyhow::Result<()> {
        self.generation += 1;
        let generation = self.generation;
        let mut terminals = Vec::new();
        for (word, form) in [("forty", Form::Text(40)), ("sixteen", Form::Number16)] {
            let model = Model { serial: format!("ZK{generation:05}{word}"), ..Model::of(form) };
            let speaks = Speaks::Zk(Simulator::start(model, 0).await?);
            terminals.push(Terminal::new(format!("{word}-{generation}"), speaks));
        }
        for (word, security) in [("att", false), ("acc", true)] {
            let model = push::Model::new(serial(generation, word), self.server);
            let model = if security { model.security() } else { model };
            let speaks = Speaks::Push(PushTerminal::start(push::Model { forgets: true, ..model }));
            terminals.push(Terminal::new(format!("{word}-{generation}"), speaks));
        }
        *self.terminals() = terminals;
        Ok(())
    }

    /// From now on push terminals find the gateway there: they are switched on anew, with all that they hold.
    pub(crate) fn dial(&mut self, server: SocketAddr) {
        self.server = server;
        for terminal in self.terminals().iter() {
            if let Speaks::Push(terminal) = &terminal.speaks {
                terminal.dial(server);
            }
        }
    }

    /// All `[[terminal]]` blocks.
    pub(crate) fn blocks(&self) -> String {
        self.terminals()
            .iter()
            .map(|terminal| {
                let word = terminal.name.split('-').next().unwrap_or_default();
                terminal.block(&serial(self.generation, word))
            })
            .collect()
    }

    pub(crate) fn terminals(&self) -> MutexGuard<'_, Vec<Terminal>> {
        self.terminals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody punches somewhere.
    pub(crate) fn punch(&self, random: &mut StdRng) {
        let terminals = self.terminals();
        if !terminals.is_empty() {
            terminals[random.random_range(0..terminals.len())].punch(&self.oracle);
        }
    }

    /// From now on so many punches come in a second.
    pub(crate) fn set_rate(&self, per_second: f64) {
        self.rate.store((per_second * 1000.0) as u64, Ordering::Relaxed);
    }

    /// Breaks each connection to the terminals that are dialled: what the gateway missed it reads when it comes again.
    pub(crate) fn cut(&self) {
        for terminal in self.terminals().iter() {
            match &terminal.speaks {
                Speaks::Zk(terminal) => terminal.cut(),
                Speaks::Push(terminal) => terminal.cut(),
            }
        }
    }
}

impl Terminal {
    fn new(name: String, speaks: Speaks) -> Self {
        Self { name, speaks, seen_at: None, offset: SignedDuration::ZERO }
    }
}

fn serial(generation: usize, word: &str) -> String {
    format!("PUSH{generation:05}{word}")
}

/// People who punch without end, until this is dropped.
pub(crate) struct People(JoinHandle<()>);

impl People {
    pub(crate) fn begin(fleet: Arc<tokio::sync::RwLock<Fleet>>, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5045_4f50_4c45);
        Self(tokio::spawn(async move {
            loop {
                let rate = {
                    let fleet = fleet.read().await;
                    let rate = fleet.rate.load(Ordering::Relaxed);
                    if rate > 0 {
                        fleet.punch(&mut random);
                    }
                    rate
                };
                let pause = if rate == 0 { 20.0 } else { 1_000_000.0 / rate as f64 };
                sleep(Duration::from_secs_f64(pause / 1000.0 * random.random_range(0.2..1.8))).await;
            }
        }))
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.0.abort();
    }
}
