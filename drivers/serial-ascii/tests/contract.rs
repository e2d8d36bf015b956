//! The contract of every driver: for readers that wait for their answer, and for those that wait for nobody.

mod support;

use driver_api::{
    Kind, async_trait,
    contract::{self, Bench},
};
use driver_serial_ascii::sim::{Product, Simulator};
use support::{Way, simulate};

/// Two readers, each on its own line.
struct Readers {
    product: Product,
    lines: [Simulator; 2],
}

impl Readers {
    async fn new(way: Way, product: Product) -> Self {
        Self { product, lines: [simulate(way, &[product]).await, simulate(way, &[product]).await] }
    }
}

#[async_trait]
impl Bench for Readers {
    fn kind(&self) -> &'static Kind {
        &driver_serial_ascii::KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let show = |line: &Simulator| {
            // A busy machine may take its time between a read and its repetition.
            let window = "repeat_window = \"60s\"\n";
            // Persons without the zeros that are printed on cards.
            let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/rdm6300-dec.toml");
            let reader = if self.product == Product::Rdm6300 { plain } else { self.product.reader() };
            format!("address = \"{}\"\nreader = \"{reader}\"\n{window}", line.address())
        };
        ["gate-1", "gate-2"].iter().zip(&self.lines).map(|(name, line)| ((*name).to_owned(), show(line))).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        self.lines[terminal].punch(0, person);
    }

    fn forgotten(&self, terminal: usize) -> usize {
        self.lines[terminal].forgotten(0)
    }

    async fn cut(&self, terminal: usize) {
        self.lines[terminal].cut();
    }

    async fn repeat(&self, terminal: usize) {
        self.lines[terminal].repeat(0);
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        self.lines[terminal].send(bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_keeps_the_contract_behind_a_serial_server() {
    contract::check(|| Readers::new(Way::Tcp, Product::Waiting)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_keeps_the_contract_on_a_serial_line() {
    contract::check(|| Readers::new(Way::Serial, Product::Waiting)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_for_nobody_keeps_what_can_be_kept() {
    contract::check(|| Readers::new(Way::Tcp, Product::Rdm6300)).await;
}
