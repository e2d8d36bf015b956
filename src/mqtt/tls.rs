//! TLS to the broker: our own CA list, our own certificate, host name always checked, no switch to turn that off.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::{CertificatesEnd, Failure, FailureKind, MqttSettings};

/// TLS as the files say now. They are small and local, and read only once per connection. When certificates end is noted as
/// they are seen.
pub(super) fn read(settings: &MqttSettings, ends: &Arc<Mutex<CertificatesEnd>>) -> Result<Arc<ClientConfig>, Failure> {
    let ca = settings.ca_file.as_deref().ok_or_else(|| files("TLS needs mqtt.ca_file"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| bad(ca, error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let rules = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let rules = rules.build().map_err(|error| bad(ca, error))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Failure::of_tls(&error))?
        // So rustls calls any verifier that it did not make. Ours asks that of rustls, and only takes a note.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Noting { rules, ends: ends.clone() }));
    let config = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let ours = end(&chain[0]).ok_or_else(|| bad(cert, "its first certificate cannot be read"))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error))?;
            let config = builder.with_client_auth_cert(chain, private).map_err(|error| bad(cert, error))?;
            note(ends, |ends| ends.ours = Some(ours));
            config
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(files("mqtt.cert_file and mqtt.key_file go together, and one is missing")),
    };
    Ok(Arc::new(config))
}

/// The rules of rustls, all of them; beside them it notes when a certificate ends that was found right.
#[derive(Debug)]
struct Noting {
    rules: Arc<WebPkiServerVerifier>,
    ends: Arc<Mutex<CertificatesEnd>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.rules.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        note(&self.ends, |ends| ends.brokers = end(certificate));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.rules.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.rules.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.supported_verify_schemes()
    }
}

fn note(ends: &Mutex<CertificatesEnd>, change: impl FnOnce(&mut CertificatesEnd)) {
    change(&mut ends.lock().expect("nobody panics while holding it"));
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
