//! A simulated board at the command line, for clients that are not ours and for training.
//!
//!     uhppote-board [--port N] [--serial N] [--events N] [--capacity N] [--every SECONDS]
//!
//! Prints `listening on ADDRESS`, then does what standard input says, a line each: `swipe CARD`, `denied CARD`, `unheard
//! CARD`, `reset`, `ring` (the events), `index`, `opened`, `listener`, `quit`. It answers each with one line. With `--every` it
//! also swipes a card by itself.
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{error::Error, str::FromStr, sync::Arc, time::Duration};

use driver_uhppote::sim::{Entry, Model, Simulator};
use jiff::ToSpan;

fn number<T: FromStr>(word: Option<String>) -> Result<T, Box<dyn Error>> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("{word:?} is no number that fits").into())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut model, mut port, mut events, mut every) = (Model::default(), 0, 0, 0_u64);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            "--port" => port = number(words.next())?,
            "--serial" => model.serial = number(words.next())?,
            "--events" => events = number(words.next())?,
            "--capacity" => model.capacity = number::<usize>(words.next())?.max(1),
            "--every" => every = number(words.next())?,
            other => return Err(format!("{other:?} is no option; the head of this file lists them").into()),
        }
    }
    let board = Arc::new(Simulator::start(model, port).await?);
    let start = board.now();
    for past in (1..=events).rev() {
        let local = start.checked_sub((i64::from(past) * 10).seconds())?;
        board.record_unheard(Entry { card: 10_058_400 + past % 50, local, ..Entry::default() });
    }
    println!("listening on {}", board.address());
    if every > 0 {
        let board = board.clone();
        tokio::spawn(async move {
            for card in (10_058_400..10_058_450).cycle() {
                tokio::time::sleep(Duration::from_secs(every)).await;
                board.swipe(card);
            }
        });
    }
    // Blocks this thread and no other: the board lives on the worker.
    for line in std::io::stdin().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let card = rest.parse().unwrap_or(0);
        let entry = Entry { card, local: board.now(), ..Entry::default() };
        match word {
            "swipe" => board.record(entry),
            "denied" => board.record(Entry { granted: false, reason: 6, ..entry }),
            "unheard" => board.record_unheard(entry),
            "reset" => board.reset(),
            "ring" => {
                let events = board.ring();
                let words = events.iter().map(|(index, it)| {
                    format!(
                        "{index},{},{},{},{},{},{}",
                        it.kind,
                        u8::from(it.granted),
                        it.door,
                        it.direction,
                        it.card,
                        it.local
                    )
                });
                println!("{}", words.collect::<Vec<_>>().join(" "));
                continue;
            }
            "index" => {
                println!("{}", board.index());
                continue;
            }
            "opened" => {
                println!("{:?}", board.opened());
                continue;
            }
            "listener" => {
                println!("{}", board.listener().map_or_else(|| "none".to_owned(), |listener| listener.to_string()));
                continue;
            }
            "quit" => break,
            other => {
                println!("{other:?} is not understood");
                continue;
            }
        }
        println!("done, {} events", board.ring().len());
    }
    Ok(())
}
