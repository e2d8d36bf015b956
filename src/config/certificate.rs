//! PEM files that the config names: whether they are there, hold what their keys say, belong together, and how long they last.

use std::{fmt::Display, fs, os::unix::fs::MetadataExt, path::PathBuf};

use driver_api::{Problems, Section};
use jiff::{Timestamp, tz::TimeZone};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use toml::Value;

/// When it becomes worth a warning that a certificate ends.
const SOON_DAYS: i64 = 30;

/// Certificates of one file; at least one.
pub(super) struct Chain {
    pub(super) path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

/// A private key out of its file.
pub(super) struct PrivateKey {
    pub(super) path: PathBuf,
    shown: Value,
    key: PrivateKeyDer<'static>,
}

pub(super) fn take_chain(
    section: &mut Section,
    key: &'static str,
    example: &str,
    problems: &mut Problems,
) -> Option<Chain> {
    let (path, shown) = take_file(section, key, example, problems)?;
    let found = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = match found {
        Ok(certificates) if !certificates.is_empty() => certificates,
        Ok(_) => return bad(section, problems, key, &shown, "there is no certificate in it", "a certificate"),
        Err(error) => return bad(section, problems, key, &shown, error, "a certificate"),
    };
    for certificate in &certificates {
        match end(certificate) {
            Some(end) => tell_end(section, problems, key, &shown, end),
            None => return bad(section, problems, key, &shown, "it holds no X.509 certificate", "a certificate"),
        }
    }
    Some(Chain { path, certificates })
}

pub(super) fn take_key(
    section: &mut Section,
    key: &'static str,
    example: &str,
    problems: &mut Problems,
) -> Option<PrivateKey> {
    let (path, shown) = take_file(section, key, example, problems)?;
    if fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o007 != 0) {
        let why = "everybody on this machine can read that key".into();
        section.odd(problems, key, &shown, why, format!("chmod o-rwx {}", path.display()));
    }
    match PrivateKeyDer::from_pem_file(&path) {
        Ok(private) => Some(PrivateKey { path, shown, key: private }),
        Err(error) => bad(section, problems, key, &shown, error, "a private key"),
    }
}

/// Whether the key is the certificate's.
pub(super) fn check_pair(section: &Section, chain: &Chain, key: &PrivateKey, problems: &mut Problems) {
    let provider = ring::default_provider();
    if let Err(error) = CertifiedKey::from_der(chain.certificates.clone(), key.key.clone_key(), &provider) {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "it is not the key of the certificate in cert_file".to_owned(),
            other => format!("it cannot be used with cert_file: {other}"),
        };
        let mend = "put the key there that the certificate was requested with".into();
        section.wrong(problems, "key_file", &key.shown, why, mend);
    }
}

/// Takes the path of a file that must be readable.
fn take_file(
    section: &mut Section,
    key: &'static str,
    example: &str,
    problems: &mut Problems,
) -> Option<(PathBuf, Value)> {
    let shown = section.look(key).cloned();
    let path = section.path(key, example, problems)?;
    let shown = shown?;
    match fs::File::open(&path) {
        Ok(_) => Some((path, shown)),
        Err(error) => {
            let mend = format!("put the file to {}, readable by the gateway's user", path.display());
            section.wrong(problems, key, &shown, format!("cannot be read: {error}"), mend);
            None
        }
    }
}

fn bad<T>(
    section: &Section,
    problems: &mut Problems,
    key: &str,
    shown: &Value,
    why: impl Display,
    what: &str,
) -> Option<T> {
    let mend = format!("give a PEM file with {what} in it; it has a line that begins with -----BEGIN");
    section.wrong(problems, key, shown, format!("cannot be used: {why}"), mend);
    None
}

fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn tell_end(section: &Section, problems: &mut Problems, key: &str, shown: &Value, end: Timestamp) {
    let days = (end.as_second() - Timestamp::now().as_second()).div_euclid(86_400);
    let day = end.to_zoned(TimeZone::UTC).date();
    let why = match days {
        ..0 => format!("a certificate in it ended on {day}: nobody takes it"),
        0..SOON_DAYS => format!("a certificate in it ends on {day}"),
        _ => return,
    };
    section.odd(problems, key, shown, why, "put a new one in its place; it is read at the next connection".into());
}
