//! What `--faults` does to the lines between terminals and gateway.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use super::{crowd::SEED, terminal::Terminal};

/// Between two faults at one terminal, in milliseconds. A gateway that was thrown out comes again after two seconds, then
/// later each time: more faults than these would only keep it waiting.
const PAUSE: std::ops::Range<u64> = 1500..6000;

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
            terminal.it.heal().await;
        }
    }
}

async fn harm_on(terminals: Arc<Vec<Terminal>>, index: usize, tell: UnboundedSender<String>) {
    let terminal = &terminals[index];
    let mut chance = StdRng::seed_from_u64(SEED ^ (index as u64 + 1) << 32);
    loop {
        sleep(Duration::from_millis(chance.random_range(PAUSE))).await;
        let words = terminal.it.harm(&mut chance).await;
        // Nobody listens any more when it is just being stopped.
        let _ = tell.send(format!("{}: {words}", terminal.name));
    }
}
