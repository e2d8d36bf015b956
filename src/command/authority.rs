//! Who may order what: operators, their roles, and what the site allows. Pure; no I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    envelope::Malformed,
    key::{KeyId, PublicKey},
    order::Order,
    table::{Class, Spec},
    trust::Roots,
};

/// What somebody may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    Support,
    Admin,
}

impl Role {
    pub const NAMES: [(&'static str, Self); 3] =
        [("viewer", Self::Viewer), ("support", Self::Support), ("admin", Self::Admin)];

    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::Admin => "admin",
        }
    }
}

/// One key that may sign commands: an `[[operator]]` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Of the key, for logs.
    pub name: String,
    /// Of the human being behind it: two keys of one person are one person.
    pub person: String,
    pub key: PublicKey,
    /// The highest that he has.
    pub role: Role,
    /// For commands about one of these terminals only; `None` is all, and the gateway itself.
    pub terminals: Option<BTreeSet<String>>,
    /// Void from this second on (Unix time).
    pub not_after: i64,
}

/// What this site lets operators do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub operators: Vec<Operator>,
    /// Dangerous commands that are switched on.
    pub allow: BTreeSet<&'static str>,
    /// How many persons must sign a dangerous command, where it is not two.
    pub approvals: BTreeMap<&'static str, usize>,
    /// Lockdowns that are over: the ids of the commands that began them.
    pub unlock: BTreeSet<String>,
    /// Whose signatures say who the operators are. Then they stand in a [`TrustList`](super::TrustList).
    pub trust: Option<Roots>,
    /// When that list ends, in Unix seconds; from then on only reads and reversible orders are taken.
    pub expires: Option<i64>,
}

/// Why a command is not done. It goes to the audit log; whoever sent it learns only that it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it was retained by the broker")]
    Retained,
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("it came on the topic of another id")]
    OtherTopic,
    #[error("it is for gateway {gateway:?} of tenant {tenant:?}")]
    NotForUs { tenant: String, gateway: String },
    #[error("there is no command {0:?}")]
    NoSuchCommand(String),
    #[error("its arguments are wrong: {0}")]
    Arguments(String),
    #[error("no operator has the key {0}")]
    UnknownKey(KeyId),
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    #[error("the key of {0} has ended")]
    KeyEnded(String),
    #[error("another command had the same id")]
    IdUsed,
    #[error("{name} is {role}, and it takes {needed}")]
    Role { name: String, role: &'static str, needed: &'static str },
    #[error("{0} may not order anything about this terminal or the gateway as a whole")]
    Scope(String),
    #[error("[commands] allow does not name it")]
    NotAllowed,
    #[error("{got} signed, and it takes {needed} different persons")]
    Persons { got: usize, needed: usize },
    #[error("the trust list has ended")]
    TrustEnded,
    #[error("the gateway is locked down")]
    LockedDown,
    #[error("it gives no reason")]
    NoReason,
    #[error("it lives for {lives} s, and {most} s are the most")]
    LivesTooLong { lives: i64, most: i64 },
    #[error("it ended {0} s ago")]
    Expired(i64),
    #[error("it was written {0} s in the future")]
    Future(i64),
    #[error("it was written before this start of the gateway, and has no challenge")]
    BeforeStart,
    #[error("the gateway's clock is not trusted, and it has no challenge")]
    ClockNotTrusted,
    #[error("it takes a challenge of this gateway")]
    NoChallenge,
    #[error("its challenge is not one that waits: it was used, it is too old, or it was given to another key")]
    BadChallenge,
    #[error("this door was ordered too often within a minute")]
    DoorRate,
    #[error("too many commands at once")]
    Busy,
    #[error("what must not be forgotten could not be written down: {0}")]
    NotStored(String),
}

impl Refusal {
    /// In one word, to count by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Malformed(_) => "malformed",
            Self::OtherTopic => "other-topic",
            Self::NotForUs { .. } => "not-for-us",
            Self::NoSuchCommand(_) => "no-such-command",
            Self::Arguments(_) => "arguments",
            Self::UnknownKey(_) => "unknown-key",
            Self::BadSignature(_) => "bad-signature",
            Self::KeyEnded(_) => "key-ended",
            Self::IdUsed => "id-used",
            Self::Role { .. } => "role",
            Self::Scope(_) => "scope",
            Self::NotAllowed => "not-allowed",
            Self::Persons { .. } => "persons",
            Self::TrustEnded => "trust-ended",
            Self::LockedDown => "locked-down",
            Self::NoReason => "no-reason",
            Self::LivesTooLong { .. } => "lives-too-long",
            Self::Expired(_) => "expired",
            Self::Future(_) => "future",
            Self::BeforeStart => "before-start",
            Self::ClockNotTrusted => "clock-not-trusted",
            Self::NoChallenge => "no-challenge",
            Self::BadChallenge => "bad-challenge",
            Self::DoorRate => "door-rate",
            Self::Busy => "busy",
            Self::NotStored(_) => "not-stored",
        }
    }
}

impl Policy {
    pub fn operator(&self, key: KeyId) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.key.id() == key)
    }

    /// Whether these operators, whose signatures are right, may order this.
    pub fn judge(&self, spec: &Spec, order: &Order, signers: &[&Operator], locked: bool) -> Result<(), Refusal> {
        for signer in signers {
            let within = match (&signer.terminals, &order.terminal) {
                (None, _) => true,
                (Some(terminals), Some(terminal)) => terminals.contains(terminal),
                // A question whose answer says nothing.
                (Some(_), None) => spec.asks_for_challenge(),
            };
            if !within {
                return Err(Refusal::Scope(signer.name.clone()));
            }
        }
        if locked && spec.class != Class::Read {
            return Err(Refusal::LockedDown);
        }
        if spec.class != Class::Read && order.reason.trim().is_empty() {
            return Err(Refusal::NoReason);
        }
        if spec.class == Class::Dangerous {
            return self.judge_dangerous(spec, signers);
        }
        enough(signers, spec.role)
    }

    /// All that sign are at least support, one is an admin, and they are as many persons as it takes.
    fn judge_dangerous(&self, spec: &Spec, signers: &[&Operator]) -> Result<(), Refusal> {
        if !self.allow.contains(spec.name) {
            return Err(Refusal::NotAllowed);
        }
        let may = signers.iter().filter(|signer| signer.role >= Role::Support);
        let persons: BTreeSet<&str> = may.map(|signer| signer.person.as_str()).collect();
        let needed = self.approvals.get(spec.name).copied().unwrap_or(2);
        if persons.len() < needed {
            return Err(Refusal::Persons { got: persons.len(), needed });
        }
        enough(signers, Role::Admin)
    }
}

/// Whether one of them has this role or a higher one.
fn enough(signers: &[&Operator], needed: Role) -> Result<(), Refusal> {
    match signers.iter().max_by_key(|signer| signer.role) {
        Some(highest) if highest.role >= needed => Ok(()),
        highest => Err(Refusal::Role {
            name: highest.map_or_else(String::new, |highest| highest.name.clone()),
            role: highest.map_or("nobody", |highest| highest.role.name()),
            needed: needed.name(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{PrivateKey, find, new_id};

    fn operator(name: &str, person: &str, role: Role) -> Operator {
        let key = PrivateKey::generate().public();
        Operator { name: name.into(), person: person.into(), key, role, terminals: None, not_after: i64::MAX }
    }

    fn order(command: &str, terminal: Option<&str>) -> Order {
        Order {
            id: new_id(),
            gateway: "sz-03".into(),
            tenant: "acme".into(),
            iat: 1,
            exp: 2,
            command: command.into(),
            args: Default::default(),
            terminal: terminal.map(str::to_owned),
            reason: "a test".into(),
            challenge: None,
        }
    }

    fn judged(policy: &Policy, command: &str, terminal: Option<&str>, signers: &[&Operator]) -> Result<(), Refusal> {
        policy.judge(find(command).unwrap(), &order(command, terminal), signers, false)
    }

    #[test]
    fn each_class_takes_its_role() {
        let policy = Policy::default();
        let [viewer, support, admin] = Role::NAMES.map(|(name, role)| operator(name, name, role));
        for (command, least) in [
            ("health", Role::Viewer),
            ("reconcile", Role::Support),
            ("terminal.time-set", Role::Support),
            ("terminal.restart", Role::Admin),
            ("lockdown", Role::Admin),
        ] {
            for one in [&viewer, &support, &admin] {
                assert_eq!(judged(&policy, command, None, &[one]).is_ok(), one.role >= least, "{command} {}", one.name);
            }
        }
    }

    #[test]
    fn a_dangerous_one_is_off_and_takes_two_persons_not_two_keys() {
        let off = Policy::default();
        let on = Policy { allow: ["terminal.unlock"].into(), ..Policy::default() };
        let alone = Policy { approvals: [("terminal.unlock", 1)].into(), ..on.clone() };
        let (li, li_again) = (operator("li", "7", Role::Admin), operator("li-2", "7", Role::Admin));
        let (wang, viewer) = (operator("wang", "8", Role::Support), operator("zhao", "9", Role::Viewer));
        let door = Some("front-door");
        let judged = |policy, signers: &[&Operator]| judged(policy, "terminal.unlock", door, signers);
        assert_eq!(judged(&off, &[&li, &wang]), Err(Refusal::NotAllowed));
        assert_eq!(judged(&on, &[&li, &wang]), Ok(()));
        assert_eq!(judged(&on, &[&li]), Err(Refusal::Persons { got: 1, needed: 2 }));
        assert_eq!(judged(&on, &[&li, &li_again]), Err(Refusal::Persons { got: 1, needed: 2 }));
        assert_eq!(judged(&on, &[&li, &viewer]), Err(Refusal::Persons { got: 1, needed: 2 }));
        assert!(matches!(judged(&on, &[&wang, &operator("sun", "10", Role::Support)]), Err(Refusal::Role { .. })));
        assert_eq!(judged(&alone, &[&li]), Ok(()));
        assert!(judged(&alone, &[&wang]).is_err());
    }

    #[test]
    fn whoever_is_for_some_terminals_orders_nothing_else() {
        let policy = Policy::default();
        let mut li = operator("li", "7", Role::Admin);
        li.terminals = Some(["front-door".into()].into());
        assert_eq!(judged(&policy, "terminal.info", Some("front-door"), &[&li]), Ok(()));
        for (command, terminal) in [("terminal.info", Some("canteen")), ("health", None), ("lockdown", None)] {
            assert_eq!(judged(&policy, command, terminal, &[&li]), Err(Refusal::Scope("li".into())));
        }
        assert_eq!(judged(&policy, "challenge", None, &[&li]), Ok(()));
    }

    #[test]
    fn a_lockdown_leaves_eyes_and_no_hands() {
        let admin = operator("li", "7", Role::Admin);
        let judged = |command| Policy::default().judge(find(command).unwrap(), &order(command, None), &[&admin], true);
        assert_eq!(judged("health"), Ok(()));
        assert_eq!(judged("reconcile"), Err(Refusal::LockedDown));
    }

    #[test]
    fn what_changes_anything_says_why() {
        let admin = operator("li", "7", Role::Admin);
        let mut order = order("reconcile", Some("front-door"));
        order.reason = " ".into();
        let spec = find("reconcile").unwrap();
        assert_eq!(Policy::default().judge(spec, &order, &[&admin], false), Err(Refusal::NoReason));
    }
}
