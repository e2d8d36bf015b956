//! What `--faults` does to the lines between terminals and gateway.

use std::{sync::Arc, time::Duration};

use driver_zk::sim::{Cutting, Fault, Harm, Simulator};
use driver_zk_push::sim::{self as push, PushTerminal};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use super::{
    crowd::SEED,
    terminal::{Terminal, Way},
};

/// Between two faults at one terminal, in milliseconds. A gateway that was thrown out comes again after two seconds, then
/// later each time: more faults than these would only keep it waiting.
const PAUSE: std::ops::Range<u64> = 1500..6000;

/// How long a terminal is off when somebody pulls its plug.
const OFF: Duration = Duration::from_secs(1);

/// Faults without end, until it is stopped.
pub(super) struct Mischief {
    terminals: Arc<Vec<Terminal>>,
    /// What was done, in words.
    done: UnboundedReceiver<String>,
    doing: JoinSet<()>,
    pub(super) count: u64,
}

impl Mischief {
    pub(super) fn begin(terminals: &Arc<Vec<Terminal>>) -> Self {
        let (tell, done) = unbounded_channel();
        let mut doing = JoinSet::new();
        for index in 0..terminals.len() {
            doing.spawn(harm_on(terminals.clone(), index, tell.clone()));
        }
        Self { terminals: terminals.clone(), done, doing, count: 0 }
    }

    /// What was done since the last time.
    pub(super) fn news(&mut self) -> Vec<String> {
        let news: Vec<String> = std::iter::from_fn(|| self.done.try_recv().ok()).collect();
        self.count += news.len() as u64;
        news
    }

    /// No more faults; lines are as good as new.
    pub(super) async fn end(&mut self) {
        self.doing.shutdown().await;
        for terminal in self.terminals.iter() {
            match &terminal.way {
                Way::Dialled { simulator, cutting, .. } => {
                    simulator.heal();
                    simulator.change(|model| model.cutting = *cutting);
                }
                Way::Pushes { terminal, .. } => terminal.switch(true),
            }
        }
    }
}

async fn harm_on(terminals: Arc<Vec<Terminal>>, index: usize, tell: UnboundedSender<String>) {
    let terminal = &terminals[index];
    let mut chance = StdRng::seed_from_u64(SEED ^ (index as u64 + 1) << 32);
    loop {
        sleep(Duration::from_millis(chance.random_range(PAUSE))).await;
        let words = match &terminal.way {
            Way::Dialled { simulator, .. } => harm(simulator, &mut chance),
            Way::Pushes { terminal, .. } => harm_one_that_pushes(terminal, &mut chance).await,
        };
        // Nobody listens any more when it is just being stopped.
        let _ = tell.send(format!("{}: {words}", terminal.name));
    }
}

/// One fault, in words.
fn harm(simulator: &Simulator, chance: &mut StdRng) -> &'static str {
    let next = |harm: Harm| simulator.harm(Fault { command: None, times: 1, harm });
    match chance.random_range(0..10) {
        0 => {
            simulator.cut();
            "the line is cut"
        }
        1 => {
            simulator.reboot();
            "it reboots and says nothing of it"
        }
        2 => {
            let noise: Vec<u8> = (0..chance.random_range(1..200)).map(|_| chance.random()).collect();
            simulator.blurt(&noise);
            "noise comes over the line"
        }
        3 => {
            let size = chance.random_range(1..20);
            simulator.change(|model| model.cutting = Cutting::Pieces(size));
            "its packets come in small pieces from now on"
        }
        4 => {
            next(Harm::CutAfter(chance.random_range(1..60)));
            "its next answer is cut short, and the line with it"
        }
        5 => {
            next(Harm::Corrupt);
            "a bit of its next answer turns over"
        }
        6 => {
            next(Harm::Short);
            "its next answer lacks a byte"
        }
        7 => {
            next(Harm::Stall);
            "it does not answer the next question"
        }
        8 => {
            next(Harm::Stale);
            "an old answer comes before its next one"
        }
        _ => {
            next(Harm::Foreign);
            "its next answer is to a question that nobody asked"
        }
    }
}

/// One fault of a terminal that dials in, in words. It has no answers that could be harmed: its uploads are.
async fn harm_one_that_pushes(terminal: &PushTerminal, chance: &mut StdRng) -> &'static str {
    match chance.random_range(0..6) {
        0 => {
            terminal.cut();
            "the line is cut"
        }
        1 => {
            terminal.fault(push::Fault::CutRequest);
            "its next upload ends in the middle"
        }
        2 => {
            terminal.fault(push::Fault::HangUp);
            "it hangs up before it has read that its next upload was taken"
        }
        3 => {
            let noise: Vec<u8> = (0..chance.random_range(1..200)).map(|_| chance.random()).collect();
            terminal.garbage(&noise);
            "noise comes over the line"
        }
        4 => {
            terminal.resend_all();
            "it sends everything again that it holds"
        }
        _ => {
            terminal.switch(false);
            sleep(OFF).await;
            terminal.switch(true);
            "it was switched off for a moment"
        }
    }
}
