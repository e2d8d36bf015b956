//! What the tests of whole parts share: brokers, certificates, lines that can be cut, an outbox in memory.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

pub mod broker;
pub mod certs;
pub mod daemon;
pub mod double;
pub mod everyone;
pub mod hostile;
pub mod line;
pub mod outbox;
pub mod push;
pub mod subscriber;
pub mod working;

use std::time::Duration;

use driver_api::{Problems, Secret, Section};

/// The limit of every wait: long, since machines are busy, and only ever reached by a failure.
pub async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(40), wait).await.unwrap_or_else(|_| panic!("waited too long until {what}"))
}

/// A secret as the config reads it.
pub fn secret(text: &str) -> Secret {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), text).unwrap();
    let mut section = Section::new("", "secret = \"secret\"".parse().unwrap(), folder.path());
    section.secret("secret", "\"file\"", &mut Problems::default()).unwrap()
}
