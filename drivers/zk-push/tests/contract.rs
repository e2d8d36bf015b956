//! The contract of every driver, held by this one over simulated terminals of both dialects.

mod support;

use std::time::Duration;

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_zk_push::sim::{Fault, Model, PushTerminal};
use support::free_address;

struct Fleet {
    server: std::net::SocketAddr,
    terminals: Vec<PushTerminal>,
}

impl Fleet {
    async fn of(change: fn(Model) -> Model) -> Self {
        let server = free_address();
        let terminals = ["AAA1", "BBB2"].map(|serial| PushTerminal::start(change(Model::new(serial, server))));
        Self { server, terminals: terminals.into() }
    }
}

#[async_trait]
impl Bench for Fleet {
    fn kind(&self) -> &'static Kind {
        &driver_zk_push::KIND
    }

    fn settings(&self) -> String {
        format!("listen = \"{}\"", self.server)
    }

    fn terminals(&self) -> Vec<(String, String)> {
        [("front", "AAA1"), ("back", "BBB2")]
            .map(|(name, serial)| (name.into(), format!("serial = \"{serial}\"")))
            .into()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        self.terminals[terminal].punch(person);
    }

    fn forgotten(&self, terminal: usize) -> usize {
        self.terminals[terminal].acknowledged()
    }

    async fn cut(&self, terminal: usize) {
        self.terminals[terminal].fault(Fault::CutRequest);
        self.terminals[terminal].fault(Fault::HangUp);
        self.terminals[terminal].cut();
    }

    async fn repeat(&self, terminal: usize) {
        self.terminals[terminal].resend_all();
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        self.terminals[terminal].garbage(bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attendance_terminals_keep_the_contract() {
    contract::check(|| Fleet::of(|model| model)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn security_terminals_keep_the_contract() {
    contract::check(|| Fleet::of(|model| model.security())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_with_open_connections_and_small_uploads_keep_the_contract() {
    let odd = |model: Model| Model {
        keep_alive: true,
        batch: 3,
        resumes_by_stamp: true,
        poll: Duration::from_millis(50),
        ..model
    };
    contract::check(|| Fleet::of(odd)).await;
}
