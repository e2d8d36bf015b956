//! Reads signed orders as a gateway does: `order-reader PUBLIC_KEY`, then one envelope a line on standard input; answers
//! `good COMMAND` or `bad WHY` for each. For those who write a signer of their own, and for our tests of other people's.
#![allow(clippy::print_stdout, reason = "what it is for")]

use std::io::{self, BufRead};

use punchgate::command::{Envelope, PublicKey, Purpose, order_in};

fn main() -> io::Result<()> {
    let key: PublicKey = std::env::args().nth(1).unwrap_or_default().parse().map_err(io::Error::other)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let read = Envelope::read(line.as_bytes(), Purpose::Command).map_err(|why| why.to_string());
        let judged = read.and_then(|envelope| match envelope.is_signed_by(&key) {
            true => order_in(&envelope).map(|(order, _)| order.command).map_err(|why| why.to_string()),
            false => Err("it is not signed by this key".into()),
        });
        match judged {
            Ok(command) => println!("good {command}"),
            Err(why) => println!("bad {why}"),
        }
    }
    Ok(())
}
