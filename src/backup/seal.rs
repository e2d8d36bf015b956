//! A file on its way into a backup and out of it: compressed, then encrypted; decrypted, then unpacked within its size.

use std::io::{self, Read, Write};

use age::{Decryptor, Encryptor, x25519};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Identity, Refused};

/// Fast, and journals shrink to a fifth.
const LEVEL: i32 = 3;
/// A window of 128 MiB at most, as a power of two: a stream may not ask for the machine's memory.
const WINDOW_LOG: u32 = 27;

/// Packs bytes so that these recipients can read them, and nobody else.
pub(super) fn seal(plain: &[u8], recipients: &[x25519::Recipient]) -> Result<Vec<u8>, Refused> {
    let failed =
        |what: String| Refused::new(format!("it cannot be encrypted: {what}"), "look at the recipients in [backup]");
    let those = recipients.iter().map(|it| it as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(those).map_err(|error| failed(error.to_string()))?;
    let mut sealed = Vec::new();
    let write = || -> io::Result<()> {
        let mut packer = zstd::Encoder::new(encryptor.wrap_output(&mut sealed)?, LEVEL)?;
        packer.write_all(plain)?;
        packer.finish()?.finish()?;
        Ok(())
    };
    write().map_err(|error| failed(error.to_string()))?;
    Ok(sealed)
}

/// Unpacks into `to`, at most `limit` bytes; tells how many those were and their SHA-256.
pub(super) fn open(
    sealed: &[u8],
    identity: &Identity,
    limit: u64,
    to: &mut dyn Write,
) -> Result<(u64, String), Unsealed> {
    let decryptor = Decryptor::new(sealed).map_err(|error| Unsealed::Damaged(error.to_string()))?;
    let keys = identity.0.iter().map(|key| key as &dyn age::Identity);
    let plain = decryptor.decrypt(keys).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => Unsealed::OtherKey,
        other => Unsealed::Damaged(other.to_string()),
    })?;
    let damaged = |error: io::Error| Unsealed::Damaged(error.to_string());
    let mut packed = zstd::Decoder::new(plain).map_err(damaged)?;
    packed.window_log_max(WINDOW_LOG).map_err(damaged)?;
    let (mut hash, mut long, mut part) = (Sha256::new(), 0u64, vec![0; 64 << 10]);
    loop {
        let read = match packed.read(&mut part) {
            Ok(0) => return Ok((long, HEXLOWER.encode(&hash.finalize()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        long += read as u64;
        if long > limit {
            return Err(Unsealed::TooLong);
        }
        hash.update(&part[..read]);
        to.write_all(&part[..read]).map_err(Unsealed::Disk)?;
    }
}

/// Why bytes cannot be opened.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// They were encrypted to somebody else.
    OtherKey,
    Damaged(String),
    /// There is more in it than was announced.
    TooLong,
    /// What was read could not be written here.
    Disk(io::Error),
}

impl Unsealed {
    /// For people; `what` is the file.
    pub(super) fn told(self, what: &str) -> Refused {
        match self {
            Self::OtherKey => Refused::new(
                format!("{what} is encrypted to somebody else: this identity does not open it"),
                "give the identity whose recipient stands in the backup; punchgate backup list shows it",
            ),
            Self::Damaged(why) => Refused::damaged(format!("{what} cannot be decrypted: {why}")),
            Self::TooLong => Refused::damaged(format!("{what} has more in it than was announced")),
            Self::Disk(error) => {
                Refused::new(format!("cannot write {what}: {error}"), "look whether the disk has room")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (Identity, x25519::Recipient) {
        let key = x25519::Identity::generate();
        let public = key.to_public();
        (Identity(vec![key]), public)
    }

    #[test]
    fn what_is_sealed_is_opened_by_its_recipient_alone_and_within_its_size() {
        let (mine, me) = keys();
        let (other, _) = keys();
        let plain = b"punch".repeat(50_000);
        let sealed = seal(&plain, &[me]).unwrap();
        assert!(sealed.len() < plain.len() / 10);
        let mut back = Vec::new();
        let (long, hash) = open(&sealed, &mine, plain.len() as u64, &mut back).unwrap();
        assert_eq!((back == plain, long, hash), (true, plain.len() as u64, super::super::manifest::sha256(&plain)));
        assert!(matches!(open(&sealed, &other, 1 << 20, &mut io::sink()), Err(Unsealed::OtherKey)));
        assert!(matches!(open(&sealed, &mine, plain.len() as u64 - 1, &mut io::sink()), Err(Unsealed::TooLong)));
        for cut in [sealed.len() - 1, sealed.len() / 2, 10, 0] {
            assert!(
                matches!(open(&sealed[..cut], &mine, 1 << 20, &mut io::sink()), Err(Unsealed::Damaged(_))),
                "{cut}"
            );
        }
        let mut flipped = sealed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(open(&flipped, &mine, 1 << 20, &mut io::sink()), Err(Unsealed::Damaged(_))));
    }
}
