//! The ledger of a terminal: durable punches, numbered without gaps and chained by hashes. Pure; no I/O.
//!
//! # The chain
//! `head(n) = SHA-256(head(n-1) || JCS(c(n)))`, where `c(n)` is `{"seq","id","person","local","direction","verify"}` of punch
//! n with the two raw codes (null when absent), JCS is RFC 8785, heads enter as 32 bytes and are shown as 64 hex digits, and
//! `head(0) = SHA-256("{tenant}/{gateway}/{terminal}/{ledger}")`. So anybody who holds the messages can recompute it.

use std::{fmt, sync::Arc};

use data_encoding::HEXLOWER;
use driver_api::{Clock, DirectionMark, Flag, Origin, PunchId, Raw, VerifyMark};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What makes a ledger this one and no other. No (`begun`, `seq`) of a terminal is ever used twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub tenant: String,
    pub gateway: String,
    pub terminal: String,
    /// The terminal's own serial number: another serial begins another ledger.
    pub serial: String,
    /// The second in which it was begun (Unix time); `ledger` on the wire.
    pub begun: i64,
}

impl Ledger {
    /// `head(0)`.
    pub fn origin(&self) -> Head {
        let Self { tenant, gateway, terminal, begun, .. } = self;
        Head(Sha256::digest(format!("{tenant}/{gateway}/{terminal}/{begun}")).into())
    }
}

/// A punch in its ledger, as it is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    pub id: PunchId,
    /// The head before this punch.
    pub prev: Head,
    pub person: String,
    /// What the terminal said, in `zone`.
    pub local: DateTime,
    /// IANA name, or an offset such as `+08:00`.
    pub zone: Arc<str>,
    pub utc: Timestamp,
    pub clock: Clock,
    pub direction: DirectionMark,
    pub verify: VerifyMark,
    pub work_code: Option<String>,
    pub origin: Origin,
    pub native: Option<String>,
    pub flags: Vec<Flag>,
    /// When it became durable here.
    pub stored: Timestamp,
}

impl Entry {
    /// When it was by our clock: what the terminal said, less how far its clock was measured to be ahead.
    pub fn corrected(&self) -> Option<Timestamp> {
        self.utc.checked_sub(SignedDuration::from_millis(self.clock.skew_ms?)).ok()
    }

    /// The head after this punch.
    pub fn head(&self) -> Head {
        let link = Link {
            direction: self.direction.raw.as_ref(),
            id: self.id,
            local: self.local,
            person: &self.person,
            seq: self.seq,
            verify: self.verify.raw.as_ref(),
        };
        // Into one buffer first: a hash is slow at the many small pieces in which JSON is written.
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&self.prev.0);
        serde_json::to_writer(&mut bytes, &link).expect("memory takes every byte, and the link has no map");
        Head(Sha256::digest(&bytes).into())
    }
}

/// `c(n)`. Its fields stand in the order of RFC 8785 (by name), and it holds nothing but texts, null and whole numbers
/// below 2^53, which serde_json writes as RFC 8785 wants: so this is JCS without a sorting step. A test holds it to that.
#[derive(Serialize)]
struct Link<'a> {
    direction: Option<&'a Raw>,
    id: PunchId,
    local: DateTime,
    person: &'a str,
    seq: u64,
    verify: Option<&'a Raw>,
}

/// A link of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head(pub [u8; 32]);

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Head {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Punches of one ledger with consecutive numbers, as they travel together. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub ledger: Arc<Ledger>,
    pub entries: Vec<Entry>,
}

impl Segment {
    /// Punches in one message at most.
    pub const LIMIT: usize = 200;

    pub fn first(&self) -> u64 {
        self.entries[0].seq
    }

    pub fn last(&self) -> u64 {
        self.entries[self.entries.len() - 1].seq
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use driver_api::{Direction, Mark, Verify};
    use jiff::civil::date;

    use super::*;

    pub(crate) fn ledger(terminal: &str) -> Ledger {
        let (tenant, gateway, serial) = ("acme".into(), "sz-03".into(), "CEXA204060001".into());
        Ledger { tenant, gateway, terminal: terminal.into(), serial, begun: 1_763_600_000 }
    }

    pub(crate) fn entry(prev: Head, seq: u64, person: &str) -> Entry {
        Entry {
            seq,
            id: PunchId([seq as u8; 16]),
            prev,
            person: person.into(),
            local: date(2026, 11, 20).at(8, 58, 31, 0),
            zone: "Asia/Shanghai".into(),
            utc: "2026-11-20T00:58:31Z".parse().unwrap(),
            clock: Clock::UNKNOWN,
            direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
            verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
            work_code: None,
            origin: Origin::Live,
            native: None,
            flags: vec![],
            stored: "2026-11-20T00:58:32Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_link_is_canonical_json() {
        for (person, raw) in [
            ("1024", Some(Raw::Number(-1))),
            ("\u{1}\t\"\\/é\u{2028}€😀\u{7f}", Some(Raw::Text("<in>\n".into()))),
            ("", None),
        ] {
            let mut punch = entry(ledger("a").origin(), 9_007_199_254_740_991, person);
            punch.direction.raw = raw;
            let value = serde_json::json!({
                "seq": punch.seq, "id": punch.id.to_string(), "person": person, "local": "2026-11-20T08:58:31",
                "direction": punch.direction.raw, "verify": 15,
            });
            let canonical = serde_json_canonicalizer::to_vec(&value).unwrap();
            let expected: [u8; 32] = Sha256::new_with_prefix(punch.prev.0).chain_update(canonical).finalize().into();
            assert_eq!(punch.head(), Head(expected));
        }
    }

    #[test]
    fn the_corrected_instant_stands_beside_the_original() {
        let mut punch = entry(ledger("a").origin(), 1, "7");
        assert_eq!(punch.corrected(), None);
        punch.clock.skew_ms = Some(3_600_000);
        assert_eq!(punch.corrected().unwrap().to_string(), "2026-11-19T23:58:31Z");
        punch.clock.skew_ms = Some(-840);
        assert_eq!(punch.corrected().unwrap().to_string(), "2026-11-20T00:58:31.84Z");
        assert_eq!(punch.utc.to_string(), "2026-11-20T00:58:31Z");
        punch.clock.skew_ms = Some(i64::MIN);
        assert_eq!(punch.corrected(), None);
    }

    #[test]
    fn a_chain_begins_at_the_name_of_its_ledger() {
        let origin = Sha256::digest("acme/sz-03/front-door/1763600000");
        assert_eq!(ledger("front-door").origin().0[..], origin[..]);
    }
}
