//! TLS for the listener: rustls with ring, TLS 1.2 for older firmware and 1.3.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsFiles;

/// Reads the files; the error says in words which of them is wrong.
///
/// No client certificates: no terminal has any. Whoever speaks is known by its serial number and address alone.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let cert = files.cert.display();
    let certs: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{cert} cannot be read: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{} cannot be read: {error}", files.key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|error| format!("certificate and key do not go together: {error}"))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
