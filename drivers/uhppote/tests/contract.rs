//! The contract of every driver, over simulated boards by UDP and by TCP.

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_uhppote::{
    packet::function,
    sim::{Fault, Harm, Model, Simulator},
};

/// Two boards on one bench.
struct Boards {
    scheme: &'static str,
    block: &'static str,
    boards: [Simulator; 2],
}

impl Boards {
    async fn new(scheme: &'static str, block: &'static str, model: Model) -> Self {
        let other = Model { serial: 405_419_897, ..model.clone() };
        let start = |model| async { Simulator::start(model, 0).await.unwrap() };
        Self { scheme, block, boards: [start(model).await, start(other).await] }
    }
}

#[async_trait]
impl Bench for Boards {
    fn kind(&self) -> &'static Kind {
        &driver_uhppote::KIND
    }

    fn settings(&self) -> String {
        "poll = \"200ms\"".into()
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let names = [("gate", 405_419_896), ("garage", 405_419_897)];
        let block = |serial: u32, board: &Simulator| {
            let (scheme, address, more) = (self.scheme, board.address(), self.block);
            format!(
                "address = \"{scheme}://{address}\"\nserial = {serial}\ntimeout = \"150ms\"\nset_index = true\n{more}"
            )
        };
        names.iter().zip(&self.boards).map(|((name, serial), it)| ((*name).to_owned(), block(*serial, it))).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        self.boards[terminal].swipe(person.parse().unwrap());
    }

    fn forgotten(&self, terminal: usize) -> usize {
        // All its events are punches, from index 1 on.
        self.boards[terminal].index() as usize
    }

    async fn cut(&self, terminal: usize) {
        let harm = if self.scheme == "tcp" { Harm::Close } else { Harm::Mute };
        self.boards[terminal].harm(Fault::times(3, harm));
    }

    async fn repeat(&self, terminal: usize) {
        self.boards[terminal].tell_again();
        self.boards[terminal].harm(Fault::once(function::EVENT, Harm::Echo));
        self.cut(terminal).await;
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        self.boards[terminal].blurt(bytes);
        self.boards[terminal].harm(Fault::times(1, Harm::Bytes(bytes.to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_over_udp_keeps_the_contract() {
    contract::check(|| Boards::new("udp", "", Model::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_gives_its_newest_event_for_any_other_keeps_the_contract() {
    contract::check(|| Boards::new("udp", "denied = true", Model { clamps: true, ..Model::default() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_over_tcp_whose_bytes_come_one_by_one_keeps_the_contract() {
    contract::check(|| Boards::new("tcp", "", Model { pieces: 1, ..Model::default() })).await;
}
