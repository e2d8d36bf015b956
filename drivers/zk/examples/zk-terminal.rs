//! A simulated terminal at the command line, for clients that are not ours and for training.
//!
//!     zk-terminal [--port N] [--form 8a|8b|16|40|49] [--records N] [--users N] [--key N] [--zone NAME] [--legacy]
//!                 [--glued | --bytes | --paced MILLISECONDS]
//!
//! Prints `listening on ADDRESS`, then does what standard input says, a line each: `punch PERSON`, `missed PERSON`,
//! `cut`, `reboot`, `journal`, `log` and `users` (as they lie there, in hex), `screen`, `open`, `quit`. It answers each with one line.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{error::Error, str::FromStr};

use driver_zk::{
    record::Form,
    sim::{Bulk, Cutting, Model, Simulator},
};
use jiff::tz::TimeZone;

struct Options {
    port: u16,
    records: usize,
    users: u16,
    model: Model,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    fn number<T: FromStr>(word: Option<String>) -> Result<T, Box<dyn Error>> {
        let word = word.ok_or("a number is missing")?;
        word.parse().map_err(|_| format!("{word:?} is no number that fits").into())
    }
    let (mut port, mut records, mut users, mut form, mut key) = (0, 0, 0, Form::Text(40), 0);
    let mut zone = TimeZone::UTC;
    let (mut bulk, mut cutting) = (Bulk::Chunks, Cutting::Packets);
    while let Some(word) = words.next() {
        match &*word {
            "--port" => port = number(words.next())?,
            "--records" => records = number(words.next())?,
            "--users" => users = number(words.next())?,
            "--key" => key = number(words.next())?,
            "--zone" => zone = TimeZone::get(&words.next().ok_or("a zone is missing")?)?,
            "--legacy" => bulk = Bulk::Legacy,
            "--glued" => cutting = Cutting::Glued,
            "--bytes" => cutting = Cutting::Pieces(1),
            "--paced" => cutting = Cutting::Paced(number(words.next())?),
            "--form" => {
                form = match words.next().as_deref() {
                    Some("8a") => Form::A8,
                    Some("8b") => Form::B8,
                    Some("16") => Form::Number16,
                    Some("40") => Form::Text(40),
                    Some("49") => Form::Text(49),
                    other => return Err(format!("{other:?} is no form: 8a, 8b, 16, 40 or 49").into()),
                }
            }
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let capacity = 100_000.max(u32::try_from(records)?.saturating_mul(2));
    Ok(Options {
        port,
        records,
        users,
        model: Model { comm_key: key, zone, bulk, cutting, capacity, ..Model::of(form) },
    })
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let terminal = Simulator::start(options.model, options.port).await?;
    for uid in 1..=options.users {
        terminal.add_user(uid, &(999 + u32::from(uid)).to_string(), &format!("User {uid}"));
    }
    terminal.fill(options.records);
    println!("listening on {}", terminal.address());
    // Blocks this thread and no other: the terminal lives on the worker.
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("punch", person) => terminal.punch(person),
            ("missed", person) => terminal.punch_unheard(person),
            ("cut", _) => terminal.cut(),
            ("reboot", _) => terminal.reboot(),
            ("journal", _) => {
                println!("{:?}", terminal.journal());
                continue;
            }
            ("log", _) => {
                println!("{}", terminal.log().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
                continue;
            }
            ("users", _) => {
                println!("{}", terminal.users().concat().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
                continue;
            }
            ("screen", _) => {
                println!("{}", terminal.screen());
                continue;
            }
            ("open", _) => {
                println!("{}", terminal.is_open());
                continue;
            }
            ("quit", _) => break,
            (other, _) => {
                println!("{other:?} is not understood");
                continue;
            }
        }
        println!("done, {} records, {} listeners", terminal.records(), terminal.listeners());
    }
    Ok(())
}
