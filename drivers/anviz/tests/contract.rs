//! The contract of every driver: terminals that are dialled, terminals that dial in, and two terminals on one serial bus.

use driver_anviz::{
    command::ask,
    sim::{Fault, Harm, Model, Simulator},
};
use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use tokio_serial::{SerialPort, SerialStream};

/// Two terminals on one bench.
struct Terminals {
    settings: String,
    blocks: [String; 2],
    /// Each with its place on its line.
    terminals: [(usize, usize); 2],
    lines: Vec<Simulator>,
}

fn models() -> [Model; 2] {
    let first = Model::default();
    let second = Model { unit: 2, serial: "0250100912345679".into(), ..first.clone() };
    [first, second]
}

const QUICK: &str = "timeout = \"200ms\"\npoll = \"200ms\"\n";

impl Terminals {
    async fn dialled(live: bool, pieces: usize) -> Self {
        let mut lines = Vec::new();
        for model in models() {
            lines.push(Simulator::listen(vec![Model { live, old: !live, ..model }], 0).await.unwrap());
        }
        lines.iter().for_each(|line| line.set_pieces(pieces));
        let block = |line: &Simulator| format!("address = \"tcp://{}\"\n{QUICK}", line.address().unwrap());
        let blocks = [block(&lines[0]), block(&lines[1])];
        Self { settings: String::new(), blocks, terminals: [(0, 0), (1, 0)], lines }
    }

    async fn dialling() -> Self {
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let lines = models().map(|model| Simulator::dial(model, listen)).into();
        let blocks = models().map(|model| format!("serial = {:?}\n{QUICK}", model.serial));
        Self { settings: format!("listen = \"{listen}\""), blocks, terminals: [(0, 0), (1, 0)], lines }
    }

    async fn on_a_bus() -> Self {
        let (far, near) = SerialStream::pair().unwrap();
        let path = near.name().unwrap();
        drop(near);
        let block = |unit| format!("address = \"serial://{path}?baud=115200\"\nunit = {unit}\n{QUICK}");
        let lines = vec![Simulator::on(models().into(), far)];
        Self { settings: String::new(), blocks: [block(1), block(2)], terminals: [(0, 0), (0, 1)], lines }
    }

    fn line(&self, terminal: usize) -> (&Simulator, usize) {
        let (line, place) = self.terminals[terminal];
        (&self.lines[line], place)
    }
}

#[async_trait]
impl Bench for Terminals {
    fn kind(&self) -> &'static Kind {
        &driver_anviz::KIND
    }

    fn settings(&self) -> String {
        self.settings.clone()
    }

    fn terminals(&self) -> Vec<(String, String)> {
        ["workshop", "canteen"]
            .iter()
            .zip(&self.blocks)
            .map(|(name, block)| ((*name).to_owned(), block.clone()))
            .collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        let (line, place) = self.line(terminal);
        line.punch(place, person.parse().unwrap());
    }

    fn forgotten(&self, terminal: usize) -> usize {
        let (line, place) = self.line(terminal);
        line.records(place).1
    }

    async fn cut(&self, terminal: usize) {
        let (line, _) = self.line(terminal);
        if self.lines.len() == 1 {
            line.harm(Fault::times(2, Harm::Mute)); // a bus has no connections
        } else {
            line.cut();
        }
    }

    async fn repeat(&self, terminal: usize) {
        let (line, _) = self.line(terminal);
        line.harm(Fault::once(ask::CLEAR, Harm::Deaf));
        line.harm(Fault::once(ask::RECORDS, Harm::Twice));
        self.cut(terminal).await;
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        let (line, _) = self.line(terminal);
        line.blurt(bytes);
        line.harm(Fault::times(1, Harm::Bytes(bytes.to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_dialled_keeps_the_contract() {
    contract::check(|| Terminals::dialled(true, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_terminal_whose_bytes_come_one_by_one_keeps_the_contract() {
    contract::check(|| Terminals::dialled(false, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_dials_in_keeps_the_contract() {
    contract::check(Terminals::dialling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_terminals_on_one_bus_keep_the_contract() {
    contract::check(Terminals::on_a_bus).await;
}
