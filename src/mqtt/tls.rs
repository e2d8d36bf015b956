//! TLS to the broker: our own CA list, our own certificate, host name always checked, no switch to turn that off.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::{Failure, FailureKind, MqttSettings};

/// TLS as the files say now, and when our own certificate ends.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) certificate_ends: Option<Timestamp>,
}

/// Reads the files. They are small and local, and read only once per connection.
pub(super) fn read(settings: &MqttSettings) -> Result<Tls, Failure> {
    let ca = settings.ca_file.as_deref().ok_or_else(|| files("TLS needs mqtt.ca_file"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| bad(ca, error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Failure::of_tls(&error))?
        .with_root_certificates(roots);
    let (config, certificate_ends) = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let ends = end(&chain[0]).ok_or_else(|| bad(cert, "its first certificate cannot be read"))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error))?;
            let config = builder.with_client_auth_cert(chain, private).map_err(|error| bad(cert, error))?;
            (config, Some(ends))
        }
        (None, None) => (builder.with_no_client_auth(), None),
        _ => return Err(files("mqtt.cert_file and mqtt.key_file go together, and one is missing")),
    };
    Ok(Tls { config: Arc::new(config), certificate_ends })
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found.map_err(|error| bad(path, error))? {
        none if none.is_empty() => Err(bad(path, "there is no certificate in it")),
        certificates => Ok(certificates),
    }
}

fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn files(words: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Files, words)
}

fn bad(path: &Path, error: impl std::fmt::Display) -> Failure {
    files(format!("{} cannot be used: {error}", path.display()))
}
