//! A simulated terminal at the command line, for training and for clients that are not ours.
//!
//!     anviz-terminal [--port N | --dial ADDRESS] [--serial TEXT] [--records N] [--every SECONDS]
//!
//! Prints `listening on ADDRESS` or `dialling ADDRESS`, then does what standard input says, a line each: `punch USER`, `unheard
//! USER`, `cut`, `records` (how many, and how many of them are marked as read), `quit`. It answers each with one line. With
//! `--every` somebody also punches by himself.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{error::Error, str::FromStr, sync::Arc, time::Duration};

use driver_anviz::{
    record::{Record, seconds},
    sim::{Model, Simulator},
};

fn value<T: FromStr>(word: Option<String>) -> Result<T, Box<dyn Error>> {
    let word = word.ok_or("a value is missing")?;
    word.parse().map_err(|_| format!("{word:?} does not fit").into())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut model, mut port, mut dial, mut records, mut every) = (Model::default(), 0, None, 0, 0_u64);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            "--port" => port = value(words.next())?,
            "--dial" => dial = Some(value(words.next())?),
            "--serial" => model.serial = value(words.next())?,
            "--records" => records = value(words.next())?,
            "--every" => every = value(words.next())?,
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let epoch = model.epoch;
    let terminal = Arc::new(match dial {
        Some(to) => Simulator::dial(model, to),
        None => Simulator::listen(vec![model], port).await?,
    });
    terminal.fill(0, records);
    match (terminal.address(), dial) {
        (Some(address), _) => println!("listening on {address}"),
        (None, to) => println!("dialling {}", to.map(|to| to.to_string()).unwrap_or_default()),
    }
    if every > 0 {
        let terminal = terminal.clone();
        tokio::spawn(async move {
            for user in (1000..1050).cycle() {
                tokio::time::sleep(Duration::from_secs(every)).await;
                terminal.punch(0, user);
            }
        });
    }
    // Blocks this thread and no other: the terminal lives on the worker.
    for line in std::io::stdin().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let user = rest.parse().unwrap_or(0);
        match word {
            "punch" => terminal.punch(0, user),
            "unheard" => {
                let seconds = seconds(terminal.now(0), epoch);
                terminal.record(0, Record { user, seconds, backup: 8, kind: 0, work_code: 0 }.encode());
            }
            "cut" => terminal.cut(),
            "records" => {}
            "quit" => break,
            other => {
                println!("{other:?} is not understood");
                continue;
            }
        }
        let (records, read) = terminal.records(0);
        println!("{records} records, {read} marked as read");
    }
    Ok(())
}
