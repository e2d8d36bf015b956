//! Takes TLS off: a plain port on loopback for whoever speaks no TLS itself, with a client certificate on the other side.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{copy, split},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

/// Works until it is dropped.
pub(crate) struct Unwrap {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Unwrap {
    /// For a server at this port of localhost.
    pub(crate) async fn start(server: u16, connector: TlsConnector) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, server));
                    let Ok(stream) = TcpStream::connect(there).await else { return };
                    let _ = stream.set_nodelay(true); // slower without, and no less right
                    let name = ServerName::try_from("localhost").expect("that is a name");
                    let Ok(wrapped) = connector.connect(name, stream).await else { return };
                    let (mut from_plain, mut to_plain) = plain.split();
                    let (mut from_wrapped, mut to_wrapped) = split(wrapped);
                    // Whichever side ends it, and however: the other one is closed with it. Nobody here closes by halves.
                    tokio::select! {
                        _ = copy(&mut from_plain, &mut to_wrapped) => {}
                        _ = copy(&mut from_wrapped, &mut to_plain) => {}
                    }
                });
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Unwrap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Trusts this CA, and shows this certificate.
pub(crate) fn connector(ca: &Path, certificate: &Path, key: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(ca)?).context("the CA")?)?;
    let certificate = CertificateDer::from_pem_slice(&fs::read(certificate)?).context("a certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&fs::read(key)?).context("a key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;
    Ok(TlsConnector::from(Arc::new(config)))
}
