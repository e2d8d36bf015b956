//! The simulated terminals, and the people who punch at them at random.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Context;
use jiff::{ToSpan, civil::DateTime, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Cast,
    tally::{Punched, Tally, code},
    terminal::{Act, By, Seen, Terminal},
};

/// The same people and the same habits in every demo.
pub(super) const SEED: u64 = 0x0007_1d0c;
/// Punches that lie in each terminal before the gateway first comes.
const OLD: i32 = 30;
/// Between two punches at one terminal, in milliseconds.
const PAUSE: std::ops::Range<u64> = 150..1500;
/// One in so many finger, face and hand are too quick, and the terminal books twice in one second.
const TWICE: u32 = 20;
const WAYS: [By; 3] = [By::Password, By::Finger, By::Face];

/// All terminals with their people.
pub(super) struct Crowd {
    pub(super) terminals: Arc<Vec<Terminal>>,
    tally: Arc<Mutex<Tally>>,
    punching: JoinSet<()>,
}

impl Crowd {
    /// The terminals, with some old punches in each. Those that push go to `gateway`, which need not be there yet. Nobody
    /// punches yet.
    pub(super) async fn gather(cast: Cast, gateway: SocketAddr, zone: &TimeZone) -> anyhow::Result<Self> {
        let terminals = Terminal::gather(cast, gateway, zone).await;
        let terminals = terminals.context("cannot open a simulated terminal on this machine")?;
        let crowd = Self { terminals: Arc::new(terminals), tally: Arc::default(), punching: JoinSet::new() };
        for (index, terminal) in crowd.terminals.iter().enumerate() {
            let mut habits = habits(index);
            for before in (1..=OLD).rev() {
                let local = terminal.it.now().checked_sub((before * 60).seconds())?;
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
    let act = Act {
        person: 1000 + habits.random_range(1..40),
        by: WAYS[habits.random_range(0..WAYS.len())],
        leaves: habits.random(),
        local: then.unwrap_or_else(|| terminal.it.now()),
    };
    let times = if habits.random_ratio(1, TWICE) { 2 } else { 1 };
    let Seen { local, verify, direction } = terminal.it.seen(&act);
    let (person, verify, direction) = (act.person.to_string(), code(verify), code(direction));
    let punched = Punched { terminal: terminal.name.clone(), person, local, verify, direction };
    for _ in 0..times {
        if !terminal.it.books_twice() && lock(tally).punches.contains_key(&punched) {
            return;
        }
        // Counted first, so that nothing arrives that is not counted yet.
        lock(tally).add(punched.clone());
        terminal.it.punch(&act);
    }
}
