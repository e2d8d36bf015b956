//! Simulated terminals at the command line, for clients that are not ours, for benchmarks and for training.
//!
//!     modbus-terminal [--port N | --serial] [--rtu] [--product fifo|rfideas|inveo|duali|counter] [--units N] [--lines N]
//!
//! Prints `listening on ADDRESS` for each line, then does what standard input says, a line each: `punch UNIT PERSON`, `state UNIT`,
//! `off UNIT`, `on UNIT`, `cut`, `quit`, all on the first line. It answers each with one line.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::error::Error;

use driver_modbus::sim::{Device, Form, Product, Simulator};

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut units, mut lines) = (0, 1, 1);
    let (mut form, mut serial, mut product) = (Form::Tcp, false, Product::Fifo);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match &*word {
            "--port" => port = value()?.parse()?,
            "--units" => units = value()?.parse()?,
            "--lines" => lines = value()?.parse()?,
            "--rtu" => form = Form::Rtu,
            "--serial" => serial = true,
            "--product" => {
                product = match &*value()? {
                    "fifo" => Product::Fifo,
                    "rfideas" => Product::RfIdeas,
                    "inveo" => Product::Inveo,
                    "duali" => Product::Duali,
                    "counter" => Product::Counter,
                    other => return Err(format!("{other:?} is no product: the head of this file lists them").into()),
                }
            }
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let devices = || (1..=units).map(|unit: u8| (unit, Device::new(product))).collect::<Vec<_>>();
    let mut simulators = Vec::new();
    for number in 0..lines.max(1) {
        let one = if serial {
            Simulator::serial(devices())?
        } else {
            Simulator::tcp(form, if port == 0 { 0 } else { port + number }, devices()).await?
        };
        println!("listening on {}", one.address());
        simulators.push(one);
    }
    let first = &simulators[0];
    // Blocks this thread and no other: the terminals live on the worker.
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let unit =
            words.get(1).and_then(|unit| unit.parse().ok()).filter(|unit| (1..=units).contains(unit)).unwrap_or(1);
        match (words.first().copied(), words.get(2).map(|person| person.parse())) {
            (Some("punch"), Some(Ok(person))) => first.punch(unit, person),
            (Some("off"), _) => first.switch(unit, false),
            (Some("on"), _) => first.switch(unit, true),
            (Some("cut"), _) => first.cut(),
            (Some("state"), _) => {}
            (Some("quit"), _) => break,
            _ => {
                println!("{line:?} is not understood");
                continue;
            }
        }
        let (waiting, forgotten) = first.with(unit, |device| (device.waiting(), device.forgotten()));
        println!("done, {waiting} waiting, {forgotten} forgotten, {} questions", first.questions(unit));
    }
    Ok(())
}
