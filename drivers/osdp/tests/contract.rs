//! The contract of every driver, as far as class `link` goes: what a broken line may lose is left out, and nothing else.

mod support;

use std::time::Duration;

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_osdp::sim::{Fault, Simulator};
use support::{Blocks, Way, key, models, simulate};

/// Two readers, on one bus or on two.
struct Readers {
    buses: Vec<Simulator>,
    blocks: Vec<Blocks>,
}

impl Readers {
    async fn new(way: Way, shared: bool) -> Self {
        let all = models(2);
        let (mut buses, mut blocks) = (Vec::new(), Vec::new());
        for some in if shared { vec![&all[..]] } else { vec![&all[..1], &all[1..]] } {
            let bus = simulate(way, some).await;
            blocks.push(Blocks::of(&bus, some, "", |unit| Some(key(unit))));
            buses.push(bus);
        }
        Self { buses, blocks }
    }

    fn at(&self, terminal: usize) -> (&Simulator, usize) {
        if self.buses.len() == 1 { (&self.buses[0], terminal) } else { (&self.buses[terminal], 0) }
    }
}

#[async_trait]
impl Bench for Readers {
    fn kind(&self) -> &'static Kind {
        &driver_osdp::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let all = self.blocks.iter().flat_map(Bench::terminals);
        all.enumerate().map(|(index, (_, block))| (format!("gate-{index}"), block)).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        let (bus, reader) = self.at(terminal);
        bus.punch(reader, person);
    }

    fn forgotten(&self, _: usize) -> usize {
        0 // a link acknowledges, not a terminal
    }

    async fn cut(&self, terminal: usize) {
        self.at(terminal).0.cut();
    }

    /// An answer gets lost, so that it is given again.
    async fn repeat(&self, terminal: usize) {
        self.at(terminal).0.harm([Fault::Lost]);
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        let (bus, _) = self.at(terminal);
        bus.harm([Fault::Instead(bytes.to_vec())]);
        // Only one that was said was said.
        while bus.faults_left() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn check(way: Way, shared: bool) {
    let bench = || Readers::new(way, shared);
    contract::punches_arrive_once_and_unchanged(&bench().await).await;
    contract::nothing_is_forgotten_before_it_is_on_disk(&bench().await).await;
    contract::a_full_disk_loses_nothing(&bench().await).await;
    contract::twins_are_harmless(&bench().await).await;
    contract::garbage_at_one_terminal_harms_no_other(&bench().await).await;
    contract::a_hostile_wire_never_makes_it_panic(&bench().await).await;
    contract::closing_takes_under_a_second(&bench().await).await;
    contract::a_job_is_answered_or_dropped(&bench().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_behind_serial_servers_keep_the_contract() {
    check(Way::Tcp, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_on_one_serial_line_keep_the_contract() {
    check(Way::Serial, true).await;
}
