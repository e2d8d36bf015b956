//! The envelope: JWS in its general JSON form, cut down to what is needed here. Pure; no I/O.
//!
//! ```text
//! {"payload": B64, "signatures": [{"protected": B64({"alg":"EdDSA","kid":KEY,"typ":TYP}), "signature": B64(64 bytes)}, ...]}
//! ```
//! B64 is base64url without padding (RFC 7515), and only its one canonical spelling. One to three signatures, each over
//! `protected "." payload` (RFC 8037, Ed25519). Anything that is missing, doubled or more than this is no envelope: there is no
//! header to choose an algorithm with, no key inside, no `crit`, no unprotected header, no detached payload.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    key::{KeyId, PrivateKey, PublicKey},
    strict,
};

/// A longer one is not looked at, in bytes.
pub const ENVELOPE_LIMIT: usize = 16 * 1024;
/// Signatures on one envelope at most.
pub const SIGNATURES_LIMIT: usize = 3;
/// Objects and lists in each other, in an envelope and in its payload.
const DEPTH: usize = 8;
/// A protected header is short: three members.
const HEADER_LIMIT: usize = 256;

/// What the signature is for: a signed answer is no command, whoever signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Command,
    Response,
    Audit,
    /// Who may order anything at all.
    Trust,
}

impl Purpose {
    /// `typ` in the protected header.
    pub fn typ(self) -> &'static str {
        match self {
            Self::Command => "punchgate-cmd+jws",
            Self::Response => "punchgate-response+jws",
            Self::Audit => "punchgate-audit+jws",
            Self::Trust => "punchgate-trust+jws",
        }
    }
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) String);

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub fn too_long(bytes: usize) -> Self {
        Self(format!("it has {bytes} bytes, and {ENVELOPE_LIMIT} are the most"))
    }
}

/// An envelope whose form is right. Its signatures are claims until [`Envelope::is_signed_by`] has looked at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// As it travels: what is signed.
    encoded: String,
    payload: Value,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    key: KeyId,
    protected: String,
    signature: [u8; 64],
}

impl Envelope {
    /// Reads an envelope, its headers and its payload, all of them strictly.
    pub fn read(bytes: &[u8], purpose: Purpose) -> Result<Self, Malformed> {
        if bytes.len() > ENVELOPE_LIMIT {
            return Err(Malformed::too_long(bytes.len()));
        }
        Self::read_any(bytes, purpose)
    }

    /// The same for what a gateway says, which may be longer: the broker's own limit holds there.
    pub fn read_any(bytes: &[u8], purpose: Purpose) -> Result<Self, Malformed> {
        let not_json = |part| move |error| Malformed::new(format!("its {part} is not strict JSON: {error}"));
        let mut members = Members::of(strict::read(bytes, DEPTH).map_err(not_json("envelope"))?, "the envelope")?;
        let encoded = members.text("payload")?;
        let Some(Value::Array(list)) = members.take("signatures") else {
            return Err(Malformed::new("it has no list of signatures"));
        };
        members.finish()?;
        if !(1..=SIGNATURES_LIMIT).contains(&list.len()) {
            return Err(Malformed::new(format!("it has {} signatures, and 1 to 3 are right", list.len())));
        }
        let signatures = list.into_iter().map(|one| Signature::read(one, purpose)).collect::<Result<Vec<_>, _>>()?;
        for (at, signature) in signatures.iter().enumerate() {
            if signatures[..at].iter().any(|other| other.key == signature.key) {
                return Err(Malformed::new("two of its signatures are of one key"));
            }
        }
        let payload = decoded("payload", &encoded)?;
        let payload = match purpose {
            Purpose::Command | Purpose::Trust => strict::read(&payload, DEPTH),
            Purpose::Response | Purpose::Audit => strict::read_measured(&payload, 2 * DEPTH),
        };
        let payload = payload.map_err(not_json("payload"))?;
        Ok(Self { encoded, payload, signatures })
    }

    /// Signs a payload.
    pub fn sign(payload: &Value, purpose: Purpose, key: &PrivateKey) -> Self {
        let encoded = BASE64URL_NOPAD.encode(payload.to_string().as_bytes());
        let mut envelope = Self { encoded, payload: payload.clone(), signatures: vec![] };
        envelope.add_signature(purpose, key);
        envelope
    }

    /// Adds another person's signature to the same payload.
    pub fn add_signature(&mut self, purpose: Purpose, key: &PrivateKey) {
        let id = key.public().id();
        let header = json!({ "alg": "EdDSA", "kid": id.to_string(), "typ": purpose.typ() });
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let signature = key.sign(signed(&protected, &self.encoded).as_bytes());
        self.signatures.push(Signature { key: id, protected, signature });
    }

    /// As it travels.
    pub fn bytes(&self) -> Vec<u8> {
        let one =
            |it: &Signature| json!({ "protected": it.protected, "signature": BASE64URL_NOPAD.encode(&it.signature) });
        let signatures: Vec<Value> = self.signatures.iter().map(one).collect();
        json!({ "payload": self.encoded, "signatures": signatures }).to_string().into_bytes()
    }

    /// What is signed, as it was read.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// Whose signatures it claims to have; no key stands here twice.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.signatures.iter().map(|signature| signature.key)
    }

    /// Whether there is a signature of this key, and a right one.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let found = self.signatures.iter().find(|signature| signature.key == key.id());
        found.is_some_and(|it| key.verifies(signed(&it.protected, &self.encoded).as_bytes(), &it.signature))
    }
}

/// The SHA-256 of a document as it travelled, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Signature {
    fn read(value: Value, purpose: Purpose) -> Result<Self, Malformed> {
        let mut members = Members::of(value, "a signature")?;
        let (protected, signature) = (members.text("protected")?, members.text("signature")?);
        members.finish()?;
        let header = decoded("protected header", &protected)?;
        if header.len() > HEADER_LIMIT {
            return Err(Malformed::new("a protected header is too long"));
        }
        let header = strict::read(&header, 1)
            .map_err(|error| Malformed::new(format!("a protected header is not strict JSON: {error}")))?;
        let mut header = Members::of(header, "a protected header")?;
        let (algorithm, key, typ) = (header.text("alg")?, header.text("kid")?, header.text("typ")?);
        header.finish()?;
        if algorithm != "EdDSA" || typ != purpose.typ() {
            return Err(Malformed::new(format!("a protected header says alg {algorithm:?}, typ {typ:?}")));
        }
        let key = key.parse().map_err(|_| Malformed::new("a protected header names no key by its id"))?;
        let signature = decoded("signature", &signature)?;
        let signature = signature.try_into().map_err(|_| Malformed::new("a signature is not 64 bytes long"))?;
        Ok(Self { key, protected, signature })
    }
}

fn signed(protected: &str, payload: &str) -> String {
    format!("{protected}.{payload}")
}

/// Base64url without padding. There is one spelling of any bytes, so that nobody can bend a document without changing it.
fn decoded(what: &str, text: &str) -> Result<Vec<u8>, Malformed> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| Malformed::new(format!("its {what} is not base64url without padding")))
}

/// The members of an object, each taken by name; what is left over at the end is one too many.
pub(super) struct Members {
    left: Map<String, Value>,
    of: &'static str,
}

impl Members {
    pub(super) fn of(value: Value, what: &'static str) -> Result<Self, Malformed> {
        match value {
            Value::Object(left) => Ok(Self { left, of: what }),
            _ => Err(Malformed::new(format!("{what} is not an object"))),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, Malformed> {
        match self.left.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Malformed::new(format!("{} has no text {name}", self.of))),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<i64, Malformed> {
        let number = self.left.remove(name).and_then(|value| value.as_i64());
        number.ok_or_else(|| Malformed::new(format!("{} has no whole number {name}", self.of)))
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(Malformed::new(format!("{} has a member {name:?} that it may not have", self.of))),
        }
    }
}
