//! The contract of every driver, over simulated terminals of several forms.

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_zk::{
    command::ask,
    record::Form,
    sim::{Bulk, Cutting, Fault, Harm, Model, Simulator},
};

/// Two terminals on one bench.
struct Terminals {
    scheme: &'static str,
    terminals: [Simulator; 2],
}

impl Terminals {
    async fn new(scheme: &'static str, model: Model) -> Self {
        let other = Model { serial: "CEXA204060002".into(), ..model.clone() };
        let start = |model| async { Simulator::start(model, 0).await.unwrap() };
        Self { scheme, terminals: [start(model).await, start(other).await] }
    }
}

#[async_trait]
impl Bench for Terminals {
    fn kind(&self) -> &'static Kind {
        &driver_zk::KIND
    }

    fn settings(&self) -> String {
        "reconcile = \"300ms\"".into()
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let names = ["front-door", "canteen"];
        let block = |simulator: &Simulator| {
            format!("address = \"{}://{}\"\ntimeout = \"500ms\"", self.scheme, simulator.address())
        };
        names.iter().zip(&self.terminals).map(|(name, it)| ((*name).to_owned(), block(it))).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        self.terminals[terminal].punch(person);
    }

    fn forgotten(&self, _terminal: usize) -> usize {
        0 // its log stays, whatever we say
    }

    async fn cut(&self, terminal: usize) {
        self.terminals[terminal].cut();
    }

    async fn repeat(&self, terminal: usize) {
        self.terminals[terminal].cut();
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        let simulator = &self.terminals[terminal];
        if self.scheme == "udp" || simulator.blurt(bytes) == 0 {
            simulator.harm(Fault::once(ask::SIZES, Harm::Bytes(bytes.to_vec())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colour_terminal_keeps_the_contract() {
    contract::check(|| Terminals::new("tcp", Model::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_terminal_over_udp_keeps_the_contract() {
    contract::check(|| Terminals::new("udp", Model::of(Form::B8))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_whose_bytes_come_one_by_one_keeps_the_contract() {
    let model = Model { cutting: Cutting::Pieces(1), bulk: Bulk::Legacy, ..Model::of(Form::Number16) };
    contract::check(|| Terminals::new("tcp", model.clone())).await;
}
