//! An order: what a signed command says. Pure; no I/O.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::envelope::{Malformed, Members};
use crate::wire::is_id;

/// The payload of a command, `{v, id, gateway, tenant, iat, exp, cmd, args, terminal?, reason, chal?}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// A UUID of version 7 in small letters; each order has its own, for ever.
    pub id: String,
    pub gateway: String,
    pub tenant: String,
    /// When it was written, and when it is void, by the signer's clock: Unix seconds.
    pub iat: i64,
    pub exp: i64,
    /// As in `terminal.unlock`.
    pub command: String,
    pub args: Map<String, Value>,
    pub terminal: Option<String>,
    /// Why, for whoever reads the audit log.
    pub reason: String,
    /// A challenge of the gateway, as it was given.
    pub challenge: Option<String>,
}

/// The longest reason, in bytes.
const REASON_LIMIT: usize = 400;

impl Order {
    pub(super) fn read(payload: &Value) -> Result<Self, Malformed> {
        let mut members = Members::of(payload.clone(), "the payload")?;
        if members.number("v")? != 1 {
            return Err(Malformed::new("it is of another version than 1"));
        }
        let order = Self {
            id: members.text("id")?,
            gateway: members.text("gateway")?,
            tenant: members.text("tenant")?,
            iat: members.number("iat")?,
            exp: members.number("exp")?,
            command: members.text("cmd")?,
            args: match members.take("args") {
                Some(Value::Object(args)) => args,
                _ => return Err(Malformed::new("the payload has no object args")),
            },
            terminal: optional(&mut members, "terminal")?,
            reason: members.text("reason")?,
            challenge: optional(&mut members, "chal")?,
        };
        members.finish()?;
        if !is_uuid7(&order.id) {
            return Err(Malformed::new("its id is no UUID of version 7 in small letters"));
        }
        if order.terminal.as_ref().is_some_and(|terminal| !is_id(terminal)) {
            return Err(Malformed::new("its terminal has no name that a terminal can have"));
        }
        if order.reason.len() > REASON_LIMIT || order.reason.chars().any(char::is_control) {
            return Err(Malformed::new("its reason is too long, or holds control characters"));
        }
        // So that no sum with them can overflow.
        if !(0..1 << 40).contains(&order.iat) || !(0..1 << 40).contains(&order.exp) || order.iat >= order.exp {
            return Err(Malformed::new("its iat and exp are no period"));
        }
        Ok(order)
    }

    pub fn payload(&self) -> Value {
        let Self { id, gateway, tenant, iat, exp, command, args, terminal, reason, challenge } = self;
        let mut payload = json!({
            "v": 1, "id": id, "gateway": gateway, "tenant": tenant, "iat": iat, "exp": exp, "cmd": command,
            "args": args, "reason": reason,
        });
        for (name, value) in [("terminal", terminal), ("chal", challenge)] {
            if let Some(value) = value {
                payload[name] = json!(value);
            }
        }
        payload
    }
}

fn optional(members: &mut Members, name: &'static str) -> Result<Option<String>, Malformed> {
    match members.take(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Malformed::new(format!("its {name} is no text"))),
    }
}

/// A new id: the present millisecond and 74 random bits (RFC 9562).
pub fn new_id() -> String {
    let now = Timestamp::now().as_millisecond().unsigned_abs() & 0xffff_ffff_ffff;
    let random: u128 = rand::random();
    let id =
        u128::from(now) << 80 | (random & !(0xf << 76 | 0b11 << 62 | 0xffff_ffff_ffff << 80)) | 7 << 76 | 0b10 << 62;
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whether this is a UUID of version 7 in its one spelling.
pub fn is_uuid7(text: &str) -> bool {
    let bytes = text.as_bytes();
    let right = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => *byte == b'7',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    bytes.len() == 36 && bytes.iter().enumerate().all(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_each_time_and_has_one_spelling() {
        let (one, other) = (new_id(), new_id());
        assert!(is_uuid7(&one) && is_uuid7(&other) && one != other, "{one} {other}");
        for bent in
            [one.to_uppercase(), one.replace('-', ""), format!("{one} "), one.replacen('7', "4", 99), String::new()]
        {
            assert!(!is_uuid7(&bent), "{bent}");
        }
    }
}
