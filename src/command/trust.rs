//! The trust list of a fleet: who may order what at all its gateways, signed by a threshold of keys that lie in a safe. Pure; no
//! I/O.
//!
//! An envelope as orders have it, with `typ` = `punchgate-trust+jws`, over `{v, tenant, version, prev, issued, expires, operators,
//! unlock}`. A gateway takes one that is newer than its own, and never an older one again. `prev` is the SHA-256 of the list
//! before: who holds that one, and is shown another successor, has been shown two histories, and takes neither.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    authority::{Operator, Policy, Role},
    envelope::{Envelope, Malformed, Members, Purpose},
    key::{PrivateKey, PublicKey},
};
use crate::wire::is_id;

/// The keys that sign trust lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub keys: Vec<PublicKey>,
    /// So many of them must have signed.
    pub threshold: usize,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustList {
    pub tenant: String,
    /// From 1; rises with each list.
    pub version: u64,
    /// SHA-256 of the list before as it travelled, in hex; zeros for the first.
    pub prev: String,
    /// Unix seconds.
    pub issued: i64,
    /// From this second on only reads and reversible orders are taken.
    pub expires: i64,
    pub operators: Vec<Listed>,
    /// Lockdowns that are over, by their ids.
    pub unlock: BTreeSet<String>,
}

/// An operator, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub operator: Operator,
    /// At these gateways only; `None` is all.
    pub gateways: Option<BTreeSet<String>>,
}

/// Why a list is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("{0} is no root key of this config")]
    NoRoot(String),
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    #[error("{got} root keys signed, and it takes {needed}")]
    TooFew { got: usize, needed: usize },
    #[error("it is for tenant {0:?}")]
    OtherTenant(String),
    #[error("it is version {got}, and version {have} was taken already")]
    NotNewer { got: u64, have: u64 },
    #[error("it follows another list than the one that was taken")]
    OtherHistory,
    #[error("it ended {0} s ago")]
    Expired(i64),
}

impl TrustList {
    pub const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    /// Reads a list, whoever signed it.
    pub fn of(envelope: &Envelope) -> Result<Self, Malformed> {
        let mut members = Members::of(envelope.payload().clone(), "the list")?;
        if members.number("v")? != 1 {
            return Err(Malformed::new("it is of another version than 1"));
        }
        let positive = |number: i64, name| {
            u64::try_from(number)
                .ok()
                .filter(|it| *it > 0)
                .ok_or_else(|| Malformed::new(format!("its {name} is no count")))
        };
        let (tenant, prev) = (members.text("tenant")?, members.text("prev")?);
        let version = positive(members.number("version")?, "version")?;
        let (issued, expires) = (members.number("issued")?, members.number("expires")?);
        let operators =
            list(&mut members, "operators")?.into_iter().map(Listed::read).collect::<Result<Vec<_>, _>>()?;
        let unlock = list(&mut members, "unlock")?.into_iter().map(|id| match id {
            Value::String(id) => Ok(id),
            _ => Err(Malformed::new("what it unlocks is no id")),
        });
        let unlock = unlock.collect::<Result<_, _>>()?;
        members.finish()?;
        if prev.len() != 64 || !prev.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Malformed::new("its prev is no SHA-256"));
        }
        // So that no sum with them can overflow.
        if !(0..1 << 40).contains(&issued) || !(0..1 << 40).contains(&expires) || issued >= expires {
            return Err(Malformed::new("its issued and expires are no period"));
        }
        for (at, one) in operators.iter().enumerate() {
            let twin =
                |other: &Listed| other.operator.name == one.operator.name || other.operator.key == one.operator.key;
            if operators[..at].iter().any(twin) {
                return Err(Malformed::new(format!("two operators share the name or key of {}", one.operator.name)));
            }
        }
        Ok(Self { tenant, version, prev, issued, expires, operators, unlock })
    }

    /// Reads a list that enough roots have signed, and nobody else. Whether it is newer is another question.
    pub fn signed(bytes: &[u8], roots: &Roots, tenant: &str) -> Result<Self, Untrusted> {
        let envelope = Envelope::read(bytes, Purpose::Trust)?;
        let mut got = 0;
        for id in envelope.keys() {
            let root = roots.keys.iter().find(|root| root.id() == id);
            let root = root.ok_or_else(|| Untrusted::NoRoot(id.to_string()))?;
            if !envelope.is_signed_by(root) {
                return Err(Untrusted::BadSignature(id.to_string()));
            }
            got += 1;
        }
        if got < roots.threshold {
            return Err(Untrusted::TooFew { got, needed: roots.threshold });
        }
        let list = Self::of(&envelope)?;
        if list.tenant != tenant {
            return Err(Untrusted::OtherTenant(list.tenant));
        }
        Ok(list)
    }

    /// Whether it may take the place of the one that was taken before, given with its hash. `latest` is what time it is at least.
    pub fn follows(&self, before: Option<(&Self, &str)>, latest: i64) -> Result<(), Untrusted> {
        if let Some((before, hash)) = before {
            if self.version <= before.version {
                return Err(Untrusted::NotNewer { got: self.version, have: before.version });
            }
            // Who was away for longer has not seen all that lie between.
            if self.version == before.version + 1 && self.prev != hash {
                return Err(Untrusted::OtherHistory);
            }
        }
        if self.expires <= latest {
            return Err(Untrusted::Expired(latest - self.expires));
        }
        Ok(())
    }

    /// The list in an envelope with its first signature.
    pub fn sign(&self, key: &PrivateKey) -> Envelope {
        Envelope::sign(&self.payload(), Purpose::Trust, key)
    }

    pub fn payload(&self) -> Value {
        let Self { tenant, version, prev, issued, expires, operators, unlock } = self;
        let operators: Vec<Value> = operators.iter().map(Listed::payload).collect();
        json!({
            "v": 1, "tenant": tenant, "version": version, "prev": prev, "issued": issued, "expires": expires,
            "operators": operators, "unlock": unlock,
        })
    }
}

impl Policy {
    /// What holds at a gateway whose config names roots: the operators are those of the list, or none; the rest is the config's.
    pub fn under(&self, list: Option<&TrustList>, gateway: &str) -> Self {
        if self.trust.is_none() {
            return self.clone();
        }
        let here = |listed: &&Listed| listed.gateways.as_ref().is_none_or(|gateways| gateways.contains(gateway));
        let operators = list.map_or(&[][..], |list| &list.operators).iter().filter(here);
        let mut policy = self.clone();
        policy.operators = operators.map(|listed| listed.operator.clone()).collect();
        policy.unlock.extend(list.into_iter().flat_map(|list| list.unlock.iter().cloned()));
        policy.expires = list.map(|list| list.expires);
        policy
    }
}

fn list(members: &mut Members, name: &str) -> Result<Vec<Value>, Malformed> {
    match members.take(name) {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(Malformed::new(format!("it has no list {name}"))),
    }
}

impl Listed {
    fn read(value: Value) -> Result<Self, Malformed> {
        let mut members = Members::of(value, "an operator")?;
        let (name, person, key) = (members.text("name")?, members.text("person")?, members.text("public_key")?);
        let (role, not_after) = (members.text("role")?, members.number("not_after")?);
        let (terminals, gateways) = (ids(&mut members, "terminals")?, ids(&mut members, "gateways")?);
        members.finish()?;
        let wrong = |what: &str| Malformed::new(format!("operator {name:?} has no {what}"));
        if !is_id(&name) || person.trim().is_empty() || person.chars().any(char::is_control) {
            return Err(wrong("name and person that can stand in a log"));
        }
        let key = key.parse().map_err(|_| wrong("public key that can be used"))?;
        let role = Role::NAMES.iter().find(|(word, _)| *word == role).ok_or_else(|| wrong("role that there is"))?.1;
        Ok(Self { operator: Operator { name, person, key, role, terminals, not_after }, gateways })
    }

    fn payload(&self) -> Value {
        let Self { operator: Operator { name, person, key, role, terminals, not_after }, gateways } = self;
        let mut members = Map::new();
        for (member, value) in [
            ("name", json!(name)),
            ("person", json!(person)),
            ("public_key", json!(key.to_string())),
            ("role", json!(role.name())),
            ("not_after", json!(not_after)),
        ] {
            members.insert(member.into(), value);
        }
        for (member, names) in [("terminals", terminals), ("gateways", gateways)] {
            members.extend(names.as_ref().map(|names| (member.to_owned(), json!(names))));
        }
        members.into()
    }
}

/// A list of ids that need not be there.
fn ids(members: &mut Members, name: &str) -> Result<Option<BTreeSet<String>>, Malformed> {
    let wrong = || Malformed::new(format!("an operator's {name} is no list of ids"));
    match members.take(name) {
        None => Ok(None),
        Some(Value::Array(list)) => {
            let id = |it: Value| it.as_str().filter(|it| is_id(it)).map(str::to_owned);
            list.into_iter().map(id).collect::<Option<_>>().map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::command::sha256;

    const NOW: i64 = 1_796_000_000;

    pub(crate) fn list(version: u64, prev: &str, operators: Vec<Listed>) -> TrustList {
        let (tenant, prev) = ("acme".to_owned(), prev.to_owned());
        TrustList { tenant, version, prev, issued: NOW, expires: NOW + 86_400, operators, unlock: BTreeSet::new() }
    }

    pub(crate) fn listed(name: &str, role: Role, gateways: Option<&[&str]>) -> (Listed, PrivateKey) {
        let key = PrivateKey::generate();
        let operator = Operator {
            name: name.into(),
            person: name.into(),
            key: key.public(),
            role,
            terminals: None,
            not_after: NOW + 86_400_000,
        };
        let gateways = gateways.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        (Listed { operator, gateways }, key)
    }

    pub(crate) fn signed(list: &TrustList, keys: &[&PrivateKey]) -> Vec<u8> {
        let mut envelope = list.sign(keys[0]);
        keys[1..].iter().for_each(|key| envelope.add_signature(Purpose::Trust, key));
        envelope.bytes()
    }

    #[test]
    fn it_takes_enough_roots_and_nobody_else() {
        let keys: Vec<PrivateKey> = (0..4).map(|_| PrivateKey::generate()).collect();
        let roots = Roots { keys: keys[..3].iter().map(PrivateKey::public).collect(), threshold: 2 };
        let (one, _) = listed("li", Role::Admin, Some(&["sz-03"]));
        let list = list(1, TrustList::FIRST, vec![one]);
        let read = |signers: &[&PrivateKey]| TrustList::signed(&signed(&list, signers), &roots, "acme");
        assert_eq!(read(&[&keys[0], &keys[1]]), Ok(list.clone()));
        assert_eq!(read(&[&keys[2], &keys[0], &keys[1]]), Ok(list.clone()));
        assert_eq!(read(&[&keys[0]]), Err(Untrusted::TooFew { got: 1, needed: 2 }));
        assert!(matches!(read(&[&keys[0], &keys[3]]), Err(Untrusted::NoRoot(_))));
        let other = TrustList::signed(&signed(&list, &[&keys[0], &keys[1]]), &roots, "other");
        assert_eq!(other, Err(Untrusted::OtherTenant("acme".into())));
        // A signature of a root over something else.
        let mut bent: Value = serde_json::from_slice(&signed(&list, &[&keys[0], &keys[1]])).unwrap();
        bent["signatures"][1]["signature"] = bent["signatures"][0]["signature"].clone();
        let bent = TrustList::signed(bent.to_string().as_bytes(), &roots, "acme");
        assert!(matches!(bent, Err(Untrusted::BadSignature(_))), "{bent:?}");
        // A signed order is no list.
        let order = Envelope::sign(&list.payload(), Purpose::Command, &keys[0]);
        assert!(matches!(TrustList::signed(&order.bytes(), &roots, "acme"), Err(Untrusted::Malformed(_))));
    }

    #[test]
    fn only_a_newer_one_of_the_same_history_follows() {
        let key = PrivateKey::generate();
        let first = list(4, TrustList::FIRST, vec![]);
        let hash = sha256(&signed(&first, &[&key]));
        let before = Some((&first, &*hash));
        assert_eq!(list(5, &hash, vec![]).follows(before, NOW), Ok(()));
        assert_eq!(list(5, TrustList::FIRST, vec![]).follows(before, NOW), Err(Untrusted::OtherHistory));
        assert_eq!(list(7, &sha256(b"6"), vec![]).follows(before, NOW), Ok(()), "it was away for two");
        for old in [1, 4] {
            let refused = list(old, &hash, vec![]).follows(before, NOW);
            assert_eq!(refused, Err(Untrusted::NotNewer { got: old, have: 4 }));
        }
        assert_eq!(first.follows(None, NOW + 86_400), Err(Untrusted::Expired(0)));
    }

    #[test]
    fn a_list_has_its_members_and_no_other() {
        let key = PrivateKey::generate();
        let (one, _) = listed("li", Role::Support, None);
        let good = list(1, TrustList::FIRST, vec![one.clone()]).payload();
        let read = |payload: &Value| TrustList::of(&Envelope::sign(payload, Purpose::Trust, &key));
        assert!(read(&good).is_ok());
        for (at, value) in [
            ("/v", json!(2)),
            ("/version", json!(0)),
            ("/prev", json!("00")),
            ("/expires", json!(1)),
            ("/unlock", json!(7)),
            ("/operators/0/role", json!("root")),
            ("/operators/0/name", json!("../li")),
            ("/operators/0/public_key", json!("ed25519:AA")),
        ] {
            let mut bent = good.clone();
            *bent.pointer_mut(at).unwrap() = value;
            assert!(read(&bent).is_err(), "{at}");
        }
        let mut twice = good.clone();
        let first = twice["operators"][0].clone();
        twice["operators"].as_array_mut().unwrap().push(first);
        assert!(read(&twice).is_err());
        let mut more = good;
        more["operators"][0]["sudo"] = json!(true);
        assert!(read(&more).is_err());
    }

    #[test]
    fn blocks_count_for_nothing_under_roots_and_each_gateway_has_its_own() {
        let roots = Roots { keys: vec![PrivateKey::generate().public()], threshold: 1 };
        let (here, _) = listed("li", Role::Admin, Some(&["sz-03"]));
        let (there, _) = listed("wang", Role::Admin, Some(&["sz-04"]));
        let (all, _) = listed("zhao", Role::Viewer, None);
        let config = Policy { operators: vec![listed("block", Role::Admin, None).0.operator], ..Policy::default() };
        assert_eq!(config.under(None, "sz-03"), config, "without roots the blocks hold");
        let config = Policy { trust: Some(roots), ..config };
        assert_eq!(config.under(None, "sz-03").operators, []);
        let list = list(1, TrustList::FIRST, vec![here, there, all]);
        let names: Vec<String> = config.under(Some(&list), "sz-03").operators.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["li", "zhao"]);
    }
}
