//! Commands from afar, as words: what is signed, by whom, and what it may do. Pure; no I/O but reading key files.
//!
//! A broker and its operator are not trusted. So an order is believed by its signatures alone, it says for which gateway and
//! until when it is good, and it is done once. What a command does to this gateway is written elsewhere (`remote`,
//! `gateway/acts`); here is what it takes.

pub mod args;
mod authority;
mod envelope;
mod freshness;
mod key;
mod order;
mod response;
pub mod results;
mod strict;
mod table;
#[cfg(test)]
mod tests;
mod trust;

pub use authority::{Operator, Policy, Refusal, Role};
pub use envelope::{ENVELOPE_LIMIT, Envelope, Malformed, Purpose, SIGNATURES_LIMIT, sha256};
pub use freshness::{CHALLENGE_LIFE, Challenges, Moment, is_fresh};
pub use key::{KeyError, KeyId, PrivateKey, PublicKey};
pub use order::{Order, is_uuid7, new_id};
pub use response::{Response, Standing};
pub use table::{About, CANCEL, CHALLENGE, COMMANDS, Class, Spec, Trust, find};
pub use trust::{Listed, Roots, TrustList, Untrusted};

use serde_json::Value;

/// Reads the order in an envelope, and finds its command; says nothing of signatures.
pub fn order_in(envelope: &Envelope) -> Result<(Order, &'static Spec), Refusal> {
    let order = Order::read(envelope.payload())?;
    let spec = find(&order.command).ok_or_else(|| Refusal::NoSuchCommand(order.command.clone()))?;
    spec.check(&order.args, order.terminal.as_deref()).map_err(Refusal::Arguments)?;
    Ok((order, spec))
}

/// Arguments for the audit log: what may say who somebody is, is left out.
pub fn without_persons(args: &serde_json::Map<String, Value>) -> Value {
    let masked = |(name, value): (&String, &Value)| {
        let masked = matches!(name.as_str(), "person" | "user" | "name" | "card" | "text");
        (name.clone(), if masked { Value::from("***") } else { value.clone() })
    };
    Value::Object(args.iter().map(masked).collect())
}
