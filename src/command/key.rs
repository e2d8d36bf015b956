//! Ed25519 keys: of operators, who sign commands, and of the gateway, which signs what it answers.
//!
//! A private key lies in a file as a JSON Web Key (RFC 8037), mode 0600. A public key is written `ed25519:` and 32 bytes in
//! base64url; its id is the first half of their SHA-256 in base32, so that an id says which key it is and nobody chooses one.

use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use data_encoding::{BASE64URL_NOPAD, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::strict;
use crate::owner;

/// Which key, in 26 letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

/// What a signature is checked with. None of the weak ones, whose signatures fit many messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What signs. It does not show itself.
pub struct PrivateKey(SigningKey);

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("it is no key: {0}")]
    Malformed(&'static str),
    #[error("{} cannot be used", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} can be read by others: chmod 600 {}", .0.display(), .0.display())]
    Open(PathBuf),
}

fn letters() -> Encoding {
    let mut letters = data_encoding::Specification::new();
    letters.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    letters.encoding().expect("32 different letters")
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&letters().encode(&self.0))
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = letters().decode(text.as_bytes()).map_err(|_| KeyError::Malformed("its id has other letters"))?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Malformed("its id has another length"))
    }
}

const PREFIX: &str = "ed25519:";

impl PublicKey {
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.try_into().map_err(|_| KeyError::Malformed("an Ed25519 key has 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Malformed("these 32 bytes are no point"))?;
        // Also one that is spelled another way than it would be written.
        if key.is_weak() || key.to_bytes() != bytes {
            return Err(KeyError::Malformed("it is one of the weak keys, with which anybody can sign"));
        }
        Ok(Self(key))
    }

    pub fn id(&self) -> KeyId {
        let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        KeyId(digest[..16].try_into().expect("16 of 32 bytes"))
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_prefix(PREFIX).ok_or(KeyError::Malformed("it does not begin with ed25519:"))?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        Self::of_bytes(&bytes.map_err(|_| KeyError::Malformed("behind ed25519: stands no base64url"))?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

impl PrivateKey {
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// A name for a text that only this key can give: the same text has the same name, and the name tells nothing of it.
    pub fn pseudonym(&self, text: &str) -> String {
        let hash =
            Sha256::new_with_prefix(self.0.as_bytes()).chain_update(b"pseudonym\0").chain_update(text).finalize();
        format!("p-{}", &letters().encode(&hash[..10]))
    }

    /// The key in this file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        if fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.into()));
        }
        let text = fs::read(path).map_err(failed)?;
        let jwk = strict::read(&text, 2).map_err(|_| KeyError::Malformed("the file is no JSON"))?;
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        if member("kty") != Some("OKP") || member("crv") != Some("Ed25519") {
            return Err(KeyError::Malformed("the file is no JSON Web Key for Ed25519"));
        }
        let bytes = |name| member(name).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        let seed = bytes("d").and_then(|seed| <[u8; 32]>::try_from(seed).ok());
        let key = Self(SigningKey::from_bytes(&seed.ok_or(KeyError::Malformed("its secret part is missing"))?));
        match bytes("x") {
            Some(x) if x == key.0.verifying_key().to_bytes() => Ok(key),
            _ => Err(KeyError::Malformed("its public part does not belong to its secret part")),
        }
    }

    /// Writes it into a new file; on disk, with its name, when this returns.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": self.public().id().to_string(),
            "x": BASE64URL_NOPAD.encode(self.0.verifying_key().as_bytes()), "d": BASE64URL_NOPAD.encode(self.0.as_bytes()),
        });
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(format!("{jwk}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// The key in this file, which is made if it is not there. A file that holds none is set aside for another key: punches do
    /// not wait for what signs answers, and whoever knew the old key sees that this is another.
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        match Self::read(path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error @ KeyError::Malformed(_)) => {
                let aside = path.with_extension(format!("jwk-unusable-{}", jiff::Timestamp::now().as_second()));
                tracing::error!(%error, file = %path.display(), kept = %aside.display(),
                    "there is no key in the file: another is made, which those who ask this gateway must trust anew");
                fs::rename(path, aside).map_err(failed)?;
            }
            read => return read,
        }
        // Under another name first: a crash leaves a whole key or none.
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let key = Self::generate();
        key.write(&fresh)?;
        owner::give_all(&fresh);
        fs::rename(&fresh, path).map_err(failed)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_ever_after_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway-key.jwk");
        let made = PrivateKey::read_or_make(&path).unwrap().public();
        assert_eq!(PrivateKey::read_or_make(&path).unwrap().public(), made);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(PrivateKey::read(&path), Err(KeyError::Open(_))));
        let text = made.to_string();
        assert_eq!(text.parse::<PublicKey>().unwrap(), made);
        assert_eq!(made.id().to_string().parse::<KeyId>().unwrap(), made.id());
    }

    #[test]
    fn a_file_without_a_key_stops_nobody() {
        for junk in [&b""[..], b"{}", b"not json", &[0xFF; 300]] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gateway-key.jwk");
            fs::write(&path, junk).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let made = PrivateKey::read_or_make(&path).unwrap().public();
            assert_eq!(PrivateKey::read(&path).unwrap().public(), made);
            let mut files = fs::read_dir(folder.path()).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
            assert!(files.any(|bytes| bytes == junk), "what was there is kept");
        }
    }

    #[test]
    fn a_key_with_which_anybody_can_sign_is_none() {
        // The eight points of small order, and the other spellings of two of them.
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            assert!(PublicKey::of_bytes(&bytes).is_err(), "{hex}");
        }
    }
}
