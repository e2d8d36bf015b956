//! Simulated readers at the command line, for clients that are not ours and for training.
//!
//!     serial-reader [--port N | --serial] [--product rdm6300|id-12|digits|direction|polled|waiting] [--units N]
//!
//! Prints `listening on ADDRESS`, then does what standard input says, a line each: `punch UNIT PERSON`, `repeat UNIT`, `noise HEX`, `cut`,
//! `quit`. It answers each with one line. Units count from 1.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::error::Error;

use driver_serial_ascii::{
    checksum::unhex,
    sim::{Product, Simulator},
};

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut units, mut serial, mut product) = (0, 1_usize, false, Product::Rdm6300);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match &*word {
            "--port" => port = value()?.parse()?,
            "--units" => units = value()?.parse()?,
            "--serial" => serial = true,
            "--product" => {
                product = match &*value()? {
                    "rdm6300" => Product::Rdm6300,
                    "id-12" => Product::Id12,
                    "digits" => Product::Digits,
                    "direction" => Product::Direction,
                    "polled" => Product::Polled,
                    "waiting" => Product::Waiting,
                    other => return Err(format!("{other:?} is no product: the head of this file lists them").into()),
                }
            }
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let products = vec![product; units.max(1)];
    let line = if serial { Simulator::serial(&products)? } else { Simulator::tcp(&products, port).await? };
    println!("listening on {}", line.address());
    // Blocks this thread and no other: the readers live on the worker.
    for text in std::io::stdin().lines() {
        let text = text?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let unit =
            words.get(1).and_then(|unit| unit.parse::<usize>().ok()).filter(|unit| (1..=products.len()).contains(unit));
        let reader = unit.unwrap_or(1) - 1;
        match (words.first().copied(), words.get(1).and_then(|hex| unhex(hex.as_bytes())), words.get(2)) {
            (Some("punch"), _, Some(person)) => line.punch(reader, person),
            (Some("repeat"), ..) => line.repeat(reader),
            (Some("noise"), Some(bytes), _) => line.send(&bytes),
            (Some("cut"), ..) => line.cut(),
            (Some("quit"), ..) => break,
            _ => {
                println!("{text:?} is not understood");
                continue;
            }
        }
        println!("done, {} waiting, {} forgotten", line.waiting(reader), line.forgotten(reader));
    }
    Ok(())
}
