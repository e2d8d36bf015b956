//! The contract of every driver, over each way to reach a terminal.

mod support;

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_modbus::sim::{Fault, Product, Simulator};
use support::{QUICK, Way, block, map_of, simulate};

/// Two terminals: on one line, or each on its own.
struct Terminals {
    way: Way,
    product: Product,
    lines: Vec<Simulator>,
}

impl Terminals {
    async fn new(way: Way, product: Product, shared: bool) -> Self {
        let mut lines = vec![simulate(way, &vec![product; if shared { 2 } else { 1 }]).await];
        if !shared {
            lines.push(simulate(way, &[product]).await);
        }
        Self { way, product, lines }
    }

    fn at(&self, terminal: usize) -> (&Simulator, u8) {
        if self.lines.len() == 1 { (&self.lines[0], terminal as u8 + 1) } else { (&self.lines[terminal], 1) }
    }
}

/// Returns when it has happened: the driver asks a terminal that makes no sense less and less often.
async fn spoil(line: &Simulator, unit: u8, fault: Fault) {
    line.harm(Some(unit), [fault]);
    while line.faults_left() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[async_trait]
impl Bench for Terminals {
    fn kind(&self) -> &'static Kind {
        &driver_modbus::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let names = ["turnstile-1", "turnstile-2"];
        let block = |terminal: usize| {
            let (line, unit) = self.at(terminal);
            // A silent terminal costs its neighbours its time-out, so it is asked again the later the longer that is.
            let timeout = if self.lines.len() == 1 { "poll = \"20ms\"\ntimeout = \"40ms\"" } else { QUICK };
            block(self.way, line, unit, map_of(self.product), timeout)
        };
        names.iter().enumerate().map(|(terminal, name)| ((*name).to_owned(), block(terminal))).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        let (line, unit) = self.at(terminal);
        line.punch(unit, person.parse().unwrap());
    }

    fn forgotten(&self, terminal: usize) -> usize {
        let (line, unit) = self.at(terminal);
        line.with(unit, |device| device.forgotten())
    }

    async fn cut(&self, terminal: usize) {
        self.at(terminal).0.cut();
    }

    /// The acknowledgement gets lost on its way, so that the same events are told again.
    async fn repeat(&self, terminal: usize) {
        let (line, unit) = self.at(terminal);
        spoil(line, unit, Fault::Unheard).await;
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        let (line, unit) = self.at(terminal);
        spoil(line, unit, Fault::Instead(bytes.to_vec())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_on_tcp_keeps_the_contract() {
    contract::check(|| Terminals::new(Way::Tcp, Product::Fifo, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_behind_one_serial_server_keep_the_contract() {
    contract::check(|| Terminals::new(Way::RtuOverTcp, Product::Fifo, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_on_one_serial_line_keep_the_contract() {
    contract::check(|| Terminals::new(Way::Serial, Product::Fifo, true)).await;
}
