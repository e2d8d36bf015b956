//! docs/write-a-driver.md, compiled and run: the driver that it writes keeps the contract, and every block of code in it, in
//! both languages, stands in a file that is compiled here.

#![allow(unreachable_pub, reason = "the files of acme are written as those of a crate of their own")]

mod acme {
    pub mod driver;
    pub mod frame;
    pub mod sim;
}

use acme::{driver::KIND, frame, sim::Simulator};
use driver_api::{
    Direction, Kind, async_trait,
    contract::{self, Bench},
};

/// Two terminals on the bench.
struct Terminals([Simulator; 2]);

#[async_trait]
impl Bench for Terminals {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn terminals(&self) -> Vec<(String, String)> {
        let block = |number: usize| format!("address = \"tcp://{}\"\nserial = \"AX-{number}\"", self.0[number].address);
        (0..2).map(|number| (format!("door-{number}"), block(number))).collect()
    }

    async fn punch(&self, terminal: usize, person: &str) {
        self.0[terminal].punch(person);
    }

    fn forgotten(&self, terminal: usize) -> usize {
        self.0[terminal].forgotten()
    }

    async fn cut(&self, terminal: usize) {
        self.0[terminal].cut();
    }

    async fn repeat(&self, terminal: usize) {
        self.0[terminal].repeat();
    }

    async fn garbage(&self, terminal: usize, bytes: &[u8]) {
        self.0[terminal].blurt(bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_keeps_the_contract() {
    contract::check(|| async { Terminals([Simulator::start().await, Simulator::start().await]) }).await;
}

#[test]
fn a_line_gives_its_punch() {
    let (number, punch) = frame::punch("P 41 007 20261120085831 I").unwrap();
    assert_eq!((number, punch.person.as_str(), punch.direction.value), (41, "007", Direction::In));
    assert_eq!(punch.local.to_string(), "2026-11-20T08:58:31");
    for wrong in ["", "P", "P 41 007 20261320085831 I", "P -1 7 20261120085831 I", "P 1  20261120085831 I", "Q 1 7 x I"]
    {
        assert!(frame::punch(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_code_of_the_doc_is_the_code_that_runs() {
    let files = [include_str!("acme/frame.rs"), include_str!("acme/driver.rs"), include_str!("write_a_driver.rs")];
    let docs = [include_str!("../../../docs/write-a-driver.md"), include_str!("../../../docs/zh/write-a-driver.md")];
    let blocks_of = |doc: &'static str| -> Vec<&str> {
        doc.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim_end()).collect()
    };
    let [english, chinese] = docs.map(blocks_of);
    assert_eq!(english, chinese, "both languages show the same code");
    assert!(english.len() >= 6, "{}", english.len());
    for block in english {
        assert!(files.iter().any(|file| file.contains(block)), "this stands in no file that is compiled:\n{block}");
    }
}
