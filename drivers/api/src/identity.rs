//! The identity of a punch: one id for ever, whoever reads it and however often.
//!
//! # The rule
//! The id is a hash over what the terminal itself recorded: its serial number, the person, the local second, the
//! direction and verify codes as read, the vendor's own record number where there is one, and *n-th such*.
//! What we add or could learn differently another time (origin, measured clock, flags, mapped values, work code, zone) stays out.
//!
//! *n-th such* tells apart punches that are equal in all of that. It counts equal records **within one full read of
//! the log**, from 1, in the log's own order ([`Occurrences`]). A live event is always the first such. Hence:
//!
//! * the same record read again is counted to the same number: same id, a twin, dropped;
//! * a live event and its record in the log are both the first such: same id, a twin;
//! * two genuine punches in one second are the first and second such in the log: both live on, whatever arrived
//!   live before;
//! * two live events equal in all: the second looks like a twin until the log is read, which then brings the second such.
//!
//! A read that does not start at the beginning of the log must start at a second's boundary and be counted alone, which
//! is the same thing: equal records have an equal second.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
};

use data_encoding::{BASE32_NOPAD, Encoding};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Punch, Raw};

/// The id of a punch: 128 bits of a SHA-256, shown as 26 lower-case base32 letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PunchId(pub [u8; 16]);

/// The id of a record that was set aside; made from its bytes.
pub type SetAsideId = PunchId;

impl PunchId {
    /// The id of `punch` at the terminal with this serial number. See the module's head for the rule.
    pub fn of(serial: &str, punch: &Punch) -> Self {
        Self::under(serial, punch, &punch.person)
    }

    /// The id that the same record has under another name. See [`Batch::former`](crate::Batch::former).
    pub fn under(serial: &str, punch: &Punch, person: &str) -> Self {
        let mut hash = Fields::new(b"punch/1");
        hash.text(serial);
        hash.text(person);
        hash.number(second(punch.local));
        hash.raw(punch.direction.raw.as_ref());
        hash.raw(punch.verify.raw.as_ref());
        match &punch.native {
            None => hash.number(0),
            Some(native) => {
                hash.number(1);
                hash.text(native);
            }
        }
        hash.number(punch.nth.into());
        hash.finish()
    }

    /// The id of a raw record that could not become a punch.
    pub fn of_raw(serial: &str, raw: &[u8], nth: u32) -> Self {
        let mut hash = Fields::new(b"aside/1");
        hash.text(serial);
        hash.bytes(raw);
        hash.number(nth.into());
        hash.finish()
    }

    /// Reads what [`fmt::Display`] writes, in either case of letters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for PunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lower_base32().encode(&self.0))
    }
}

impl fmt::Debug for PunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PunchId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for PunchId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a punch id: 26 letters a-z and 2-7"))
        } else {
            Ok(Self(<[u8; 16]>::deserialize(deserializer)?))
        }
    }
}

fn lower_base32() -> &'static Encoding {
    static ENCODING: std::sync::LazyLock<Encoding> = std::sync::LazyLock::new(|| {
        let mut spec = BASE32_NOPAD.specification();
        spec.symbols = spec.symbols.to_lowercase();
        spec.encoding().expect("the lower-case alphabet has no letter twice")
    });
    &ENCODING
}

/// Seconds of a wall time since 1970-01-01 00:00:00 of the same wall, leaving zones and leap seconds out.
fn second(local: DateTime) -> i64 {
    local.to_zoned(jiff::tz::TimeZone::UTC).map_or(i64::MIN, |utc| utc.timestamp().as_second())
}

/// A hash over fields that cannot run into each other: every text has its length in front.
struct Fields(Sha256);

impl Fields {
    fn new(domain: &[u8]) -> Self {
        let mut fields = Self(Sha256::new());
        fields.bytes(domain);
        fields
    }

    fn number(&mut self, number: i64) {
        self.0.update(number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn raw(&mut self, raw: Option<&Raw>) {
        match raw {
            None => self.number(0),
            Some(Raw::Number(code)) => {
                self.number(1);
                self.number(*code);
            }
            Some(Raw::Text(code)) => {
                self.number(2);
                self.text(code);
            }
        }
    }

    fn finish(self) -> PunchId {
        let digest = self.0.finalize();
        PunchId(digest[..16].try_into().expect("a SHA-256 is longer than 16 bytes"))
    }
}

type Hashes = BuildHasherDefault<DefaultHasher>;

/// Numbers equal records of one full read: see the module's head.
///
/// Two passes over the same records: [`Occurrences::of`] takes them all once and keeps only what stands more than once
/// (8 bytes a record while it works), then [`Occurrences::nth`] numbers them in the log's order.
#[derive(Debug, Default)]
pub struct Occurrences {
    repeated: HashMap<u64, u32, Hashes>,
}

impl Occurrences {
    /// Takes one key for each record of the read: whatever makes two records equal, raw bytes included.
    pub fn of<K: Hash>(keys: impl Iterator<Item = K>) -> Self {
        let hasher = Hashes::default();
        let mut all: Vec<u64> = keys.map(|key| hasher.hash_one(key)).collect();
        all.sort_unstable();
        let repeated: HashSet<u64> = all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        Self { repeated: repeated.into_iter().map(|key| (key, 0)).collect() }
    }

    /// The number of the next record with this key, from 1. Call it once for each record, in the log's order.
    pub fn nth<K: Hash>(&mut self, key: K) -> u32 {
        match self.repeated.get_mut(&Hashes::default().hash_one(key)) {
            None => 1,
            Some(count) => {
                *count += 1;
                *count
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::{Clock, Direction, Flag, Mark, Origin, Verify};

    fn punch(person: &str, second: i8) -> Punch {
        Punch {
            person: person.into(),
            local: date(2026, 11, 20).at(8, 58, second, 0),
            zone: None,
            direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
            verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
            work_code: None,
            native: None,
            nth: 1,
            origin: Origin::Live,
            clock: Clock::UNKNOWN,
            flags: Vec::new(),
        }
    }

    /// One full read: numbers the punches as a driver does, and gives their ids.
    fn read(log: &[Punch]) -> Vec<PunchId> {
        let key = |p: &Punch| (p.person.clone(), p.local, p.direction.raw.clone(), p.verify.raw.clone());
        let mut seen = Occurrences::of(log.iter().map(key));
        log.iter().map(|p| PunchId::of("SN1", &Punch { nth: seen.nth(key(p)), ..p.clone() })).collect()
    }

    #[test]
    fn a_log_read_twice_gives_the_same_ids() {
        let log = [punch("7", 1), punch("8", 1), punch("7", 1)];
        assert_eq!(read(&log), read(&log));
    }

    #[test]
    fn two_genuine_punches_in_one_second_have_two_ids() {
        let ids = read(&[punch("7", 1), punch("7", 1)]);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_live_event_is_the_first_such_in_the_log() {
        assert_eq!(PunchId::of("SN1", &punch("7", 1)), read(&[punch("7", 1), punch("7", 1)])[0]);
    }

    #[test]
    fn a_log_that_grew_keeps_the_ids_of_what_it_held() {
        let before = read(&[punch("7", 1), punch("7", 1)]);
        let after = read(&[punch("7", 1), punch("7", 1), punch("7", 1), punch("9", 4)]);
        assert_eq!(before[..], after[..2]);
    }

    #[test]
    fn what_the_terminal_recorded_makes_the_id() {
        let id = PunchId::of("SN1", &punch("7", 1));
        let mut others = vec![PunchId::of("SN2", &punch("7", 1)), PunchId::of("SN1", &punch("007", 1))];
        others.push(PunchId::of("SN1", &punch("7", 2)));
        others.push(PunchId::of("SN1", &Punch { native: Some("1".into()), ..punch("7", 1) }));
        others.push(PunchId::of("SN1", &Punch { nth: 2, ..punch("7", 1) }));
        let out = Mark { value: Direction::In, raw: Some(Raw::Number(1)) };
        others.push(PunchId::of("SN1", &Punch { direction: out, ..punch("7", 1) }));
        let text = Mark { value: Direction::In, raw: Some(Raw::Text("0".into())) };
        others.push(PunchId::of("SN1", &Punch { direction: text, ..punch("7", 1) }));
        let card = Mark { value: Verify::Face, raw: None };
        others.push(PunchId::of("SN1", &Punch { verify: card, ..punch("7", 1) }));
        assert!(!others.contains(&id));
        assert_eq!(others.iter().collect::<HashSet<_>>().len(), others.len());
    }

    #[test]
    fn what_we_learn_beside_it_does_not() {
        let mut other = punch("7", 1);
        other.origin = Origin::Reread;
        other.clock = Clock { skew_ms: Some(5), ..Clock::UNKNOWN };
        other.flags = vec![Flag::Future];
        other.direction.value = Direction::Unknown;
        other.work_code = Some("12".into());
        assert_eq!(PunchId::of("SN1", &punch("7", 1)), PunchId::of("SN1", &other));
    }

    #[test]
    fn an_id_never_changes_between_versions() {
        assert_eq!(PunchId::of("SN1", &punch("7", 1)).to_string(), "6jeolyqjfbl2e2fsgb66v7blde");
    }

    #[test]
    fn an_id_reads_back_what_it_shows() {
        let id = PunchId::of("SN1", &punch("7", 1));
        assert_eq!(PunchId::parse(&id.to_string()), Some(id));
        assert_eq!(PunchId::parse("k3vq"), None);
        assert_eq!(serde_json::from_str::<PunchId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
}
