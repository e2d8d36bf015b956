//! A bus with simulated readers at the command line, for clients that are not ours and for training.
//!
//!     osdp-reader [--port N | --serial] [--units N] [--plain | --install]
//!
//! Prints `listening on ADDRESS`, then `key UNIT HEX` for each reader, then does what standard input says, a line each:
//! `punch UNIT PERSON`, `keys UNIT KEYS`, `tamper UNIT`, `power UNIT`, `well UNIT`, `off UNIT`, `on UNIT`, `commands`, `cut`, `quit`. It
//! answers each with one line. Units count from 1; the same keys each time.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::error::Error;

use driver_osdp::sim::{Model, Simulator};

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut units, mut serial, mut plain, mut install) = (0, 1, false, false, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match &*word {
            "--port" => port = value()?.parse()?,
            "--units" => units = value()?.parse()?,
            "--serial" => serial = true,
            "--plain" => plain = true,
            "--install" => install = true,
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let key = |unit: u8| [unit; 16].map(|byte| byte.wrapping_mul(29) ^ 0xa5);
    let model = |unit| Model { unit, key: (!plain && !install).then(|| key(unit)), install };
    let models: Vec<Model> = (1..=units).map(model).collect();
    let bus = if serial { Simulator::serial(&models)? } else { Simulator::tcp(&models, port).await? };
    println!("listening on {}", bus.address());
    for model in &models {
        if let Some(key) = model.key {
            println!("key {} {}", model.unit, key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
    }
    // Blocks this thread and no other: the readers live on the worker.
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let unit = words.get(1).and_then(|unit| unit.parse::<u8>().ok()).filter(|unit| (1..=units).contains(unit));
        let reader = usize::from(unit.unwrap_or(1)) - 1;
        match (words.first().copied(), words.get(2)) {
            (Some("punch"), Some(person)) => bus.punch(reader, person),
            (Some("keys"), Some(keys)) => bus.keys(reader, keys),
            (Some("tamper"), _) => bus.status(reader, true, false),
            (Some("power"), _) => bus.status(reader, false, true),
            (Some("well"), _) => bus.status(reader, false, false),
            (Some("off"), _) => bus.switch(reader, false),
            (Some("on"), _) => bus.switch(reader, true),
            (Some("cut"), _) => bus.cut(),
            (Some("commands"), _) => {
                println!("{:?}", bus.commands());
                continue;
            }
            (Some("quit"), _) => break,
            _ => {
                println!("{line:?} is not understood");
                continue;
            }
        }
        println!("done, secure: {}", bus.is_secure(reader));
    }
    Ok(())
}
