//! Who may read a backup: recipients, as a config names them, and identities, as they lie in files far from the gateway.

use std::{fs, path::Path};

use age::{secrecy::ExposeSecret, x25519};

use super::Refused;

/// What decrypts: the keys of one file, as `age-keygen` and `punchgate backup keygen` write them.
pub struct Identity(pub(super) Vec<x25519::Identity>);

const MEND: &str = "give the file that age-keygen or punchgate backup keygen made, with a line AGE-SECRET-KEY-1...";

impl Identity {
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let text = fs::read_to_string(path)
            .map_err(|error| Refused::new(format!("cannot read the identity {}: {error}", path.display()), MEND))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Result<Vec<_>, _> = lines.map(str::parse::<x25519::Identity>).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(Self(keys)),
            Ok(_) => Err(Refused::new(format!("there is no key in {}", path.display()), MEND)),
            Err(why) => {
                Err(Refused::new(format!("{} holds a line that is no age identity: {why}", path.display()), MEND))
            }
        }
    }

    /// Their public sides.
    pub(super) fn recipients(&self) -> Vec<String> {
        self.0.iter().map(|key| key.to_public().to_string()).collect()
    }
}

/// A new one: the text of its file, and its recipient.
pub fn new_identity() -> (String, String) {
    let key = x25519::Identity::generate();
    let (secret, public) = (key.to_string(), key.to_public());
    (format!("# public key: {public}\n{}\n", secret.expose_secret()), public.to_string())
}

/// Reads recipients as they stand in a config.
pub(super) fn recipients(texts: &[String]) -> Result<Vec<x25519::Recipient>, Refused> {
    let one = |text: &String| {
        text.parse::<x25519::Recipient>().map_err(|why| {
            Refused::new(
                format!("{text:?} is no recipient: {why}"),
                "write age1..., as punchgate backup keygen prints it",
            )
        })
    };
    texts.iter().map(one).collect()
}
