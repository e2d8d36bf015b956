//! The simulated terminals, and the people who punch at them at random.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Context;
use driver_zk::{
    record::Form,
    sim::{Cutting, Model, Simulator},
};
use jiff::{ToSpan, civil::DateTime, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

use super::tally::{Punched, Tally};

/// The same people and the same habits in every demo.
pub(super) const SEED: u64 = 0x0007_1d0c;
/// Punches that lie in each terminal before the gateway first comes.
const OLD: i32 = 30;
/// Between two punches at one terminal, in milliseconds.
const PAUSE: std::ops::Range<u64> = 150..1500;
/// One in so many finger, face and hand are too quick, and the terminal books twice in one second.
const TWICE: u32 = 20;
/// Codes as these terminals send them: password, finger, face.
const VERIFY: [u8; 3] = [0, 1, 15];

/// One simulated terminal.
pub(super) struct Terminal {
    pub(super) name: String,
    /// What it is, in a few words.
    pub(super) kind: &'static str,
    pub(super) udp: bool,
    pub(super) comm_key: u32,
    pub(super) cutting: Cutting,
    pub(super) simulator: Simulator,
}

/// All terminals with their people.
pub(super) struct Crowd {
    pub(super) terminals: Arc<Vec<Terminal>>,
    tally: Arc<Mutex<Tally>>,
    punching: JoinSet<()>,
}

impl Crowd {
    /// So many terminals, of different forms in turn, with some old punches in each. Nobody punches yet.
    pub(super) async fn gather(count: u16, zone: &TimeZone) -> anyhow::Result<Self> {
        let mut terminals = Vec::new();
        for index in 0..count {
            terminals.push(terminal(index, zone).await.context("cannot open a simulated terminal on loopback")?);
        }
        let crowd = Self { terminals: Arc::new(terminals), tally: Arc::default(), punching: JoinSet::new() };
        for (index, terminal) in crowd.terminals.iter().enumerate() {
            let mut habits = habits(index);
            for before in (1..=OLD).rev() {
                let local = terminal.simulator.now().checked_sub((before * 60).seconds())?;
                punch(terminal, &mut habits, Some(local), &crowd.tally);
            }
        }
        Ok(crowd)
    }

    /// Lets people punch until [`Crowd::stop`].
    pub(super) fn start(&mut self) {
        for index in 0..self.terminals.len() {
            let (terminals, tally) = (self.terminals.clone(), self.tally.clone());
            // Others than those of the old punches, who would come again in the same order.
            let mut habits = habits(index + 1000);
            self.punching.spawn(async move {
                loop {
                    sleep(Duration::from_millis(habits.random_range(PAUSE))).await;
                    punch(&terminals[index], &mut habits, None, &tally);
                }
            });
        }
    }

    /// Returns when nobody punches any more.
    pub(super) async fn stop(&mut self) {
        self.punching.shutdown().await;
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().expect("nobody panics while counting")
}

fn habits(of: usize) -> StdRng {
    StdRng::seed_from_u64(SEED + of as u64)
}

/// Somebody punches, now or then; sometimes twice.
fn punch(terminal: &Terminal, habits: &mut StdRng, then: Option<DateTime>, tally: &Mutex<Tally>) {
    let person = (1000 + habits.random_range(1..40)).to_string();
    let verify = VERIFY[habits.random_range(0..VERIFY.len())];
    let direction = habits.random_range(0..=1);
    let times = if habits.random_ratio(1, TWICE) { 2 } else { 1 };
    let local = then.unwrap_or_else(|| terminal.simulator.now());
    for _ in 0..times {
        let punched = Punched { terminal: terminal.name.clone(), person: person.clone(), local, verify, direction };
        // Counted first, so that nothing arrives that is not counted yet.
        lock(tally).add(punched);
        terminal.simulator.punch_at(&person, local, verify, direction);
    }
}

async fn terminal(index: u16, zone: &TimeZone) -> std::io::Result<Terminal> {
    let (form, kind, udp, cutting) = match index % 3 {
        0 => (Form::Text(40), "records of 40 bytes, TCP", false, Cutting::Packets),
        1 => (Form::Text(49), "records of 49 bytes, TCP, packets glued together", false, Cutting::Glued),
        _ => (Form::Number16, "records of 16 bytes, UDP", true, Cutting::Packets),
    };
    let comm_key = 471_100 + u32::from(index);
    let name = match index {
        0 => "front-door".to_owned(),
        1 => "canteen".to_owned(),
        2 => "workshop".to_owned(),
        _ => format!("terminal-{}", index + 1),
    };
    let model =
        Model { serial: format!("DEMO{:09}", index + 1), comm_key, zone: zone.clone(), cutting, ..Model::of(form) };
    let simulator = Simulator::start(model, 0).await?;
    for uid in 1..40 {
        simulator.add_user(uid, &(1000 + uid).to_string(), "Demo");
    }
    Ok(Terminal { name, kind, udp, comm_key, cutting, simulator })
}
