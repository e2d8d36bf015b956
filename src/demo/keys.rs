//! Keys made at start: a CA that lives as long as the demo, and what it signs.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

/// Who gets a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Broker,
    Gateway,
    /// The demo's own subscriber, and whoever looks in from outside.
    Onlooker,
}

impl Holder {
    const ALL: [Self; 3] = [Self::Broker, Self::Gateway, Self::Onlooker];

    fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Gateway => "gateway",
            Self::Onlooker => "onlooker",
        }
    }
}

/// A folder with PEM files. The CA's own key is never written: nobody can sign anything more with it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The keys that lie there already.
    pub(super) fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Makes them, into a folder that is new.
    pub(super) fn make(folder: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let keys = Self::in_folder(folder);
        fs::create_dir(&keys.folder).with_context(|| format!("cannot create {}", keys.folder.display()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "punchgate demo CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ca = params.self_signed(&key)?;
        write_private(&keys.ca(), &ca.pem())?;
        let issuer = Issuer::new(params, key);
        for holder in Holder::ALL {
            keys.issue(holder, &issuer)?;
        }
        Ok(keys)
    }

    fn issue(&self, holder: Holder, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<()> {
        let (names, usage) = match holder {
            Holder::Broker => (vec!["localhost".into(), "127.0.0.1".into()], ExtendedKeyUsagePurpose::ServerAuth),
            _ => (vec![holder.name().into()], ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, holder.name());
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        write_private(&self.certificate(holder), &params.signed_by(&key, issuer)?.pem())?;
        write_private(&self.key(holder), &key.serialize_pem())?;
        Ok(())
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(super) fn certificate(&self, holder: Holder) -> PathBuf {
        self.folder.join(holder.name()).with_extension("pem")
    }

    pub(super) fn key(&self, holder: Holder) -> PathBuf {
        self.folder.join(holder.name()).with_extension("key")
    }
}

/// Writes a new file that its owner alone may read.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
