//! What was answered, by flags, by an enrolment file, by a config that lies there, or by a person.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml_edit::DocumentMut;

use super::{
    Terminal,
    credential::{credential_name, in_config},
};

/// What becomes a file beside the config.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// It lies there, and is copied.
    File(PathBuf),
    /// It was typed, or came in an enrolment file.
    Given(Vec<u8>),
    /// systemd hands it to the unit by this name; it stays where it is.
    Credential(String),
}

impl Source {
    /// As one types it: a path, or `credential:NAME`.
    pub fn told(path: &Path) -> io::Result<Self> {
        match path.to_str().and_then(credential_name) {
            Some(Ok(name)) => Ok(Self::Credential(name.to_owned())),
            Some(Err(why)) => Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
            None => std::path::absolute(path).map(Self::File),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Given(bytes) => write!(f, "{} secret bytes", bytes.len()),
            Self::Credential(name) => write!(f, "{}", in_config(name)),
        }
    }
}

/// What is known so far. What is absent stays as the config there has it, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub id: Option<String>,
    pub tenant: Option<String>,
    pub zone: Option<String>,
    pub state_dir: Option<PathBuf>,
    /// In the order of fail-over; none: not answered.
    pub brokers: Vec<String>,
    pub ca: Option<Source>,
    pub cert: Option<Source>,
    pub key: Option<Source>,
    pub user: Option<String>,
    pub password: Option<Source>,
    /// Keys of `[mqtt]` that hold no more: another way to log in was chosen.
    pub dropped: Vec<&'static str>,
    /// New ones, and those that replace one of the same name.
    pub terminals: Vec<Terminal>,
    /// Where drivers listen for terminals that dial in.
    pub listen: BTreeMap<String, SocketAddr>,
}

impl Answers {
    /// These, and where there is none, the other's.
    pub fn or(self, other: Self) -> Self {
        let brokers = if self.brokers.is_empty() { other.brokers } else { self.brokers };
        let terminals = if self.terminals.is_empty() { other.terminals } else { self.terminals };
        Self {
            id: self.id.or(other.id),
            tenant: self.tenant.or(other.tenant),
            zone: self.zone.or(other.zone),
            state_dir: self.state_dir.or(other.state_dir),
            brokers,
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            dropped: self.dropped,
            terminals,
            listen: other.listen.into_iter().chain(self.listen).collect(),
        }
    }

    /// What a config says, as far as it is asked for here. Its files and terminals stay where they are: they are not answers.
    pub fn of(config: &DocumentMut) -> Self {
        let text = |section: &str, key: &str| {
            let value = config.get(section)?.as_table_like()?.get(key)?.as_str()?;
            Some(value.to_owned())
        };
        let url = config.get("mqtt").and_then(|mqtt| mqtt.as_table_like()?.get("url"));
        let brokers = match url.and_then(|url| url.as_value()) {
            Some(toml_edit::Value::Array(urls)) => {
                urls.iter().filter_map(|url| Some(url.as_str()?.to_owned())).collect()
            }
            Some(url) => url.as_str().map(str::to_owned).into_iter().collect(),
            None => vec![],
        };
        Self {
            id: text("gateway", "id"),
            tenant: text("gateway", "tenant"),
            zone: text("gateway", "zone"),
            brokers,
            user: text("mqtt", "username"),
            ..Self::default()
        }
    }

    /// Whether one of the brokers is reached by TLS.
    pub fn tls(&self) -> bool {
        self.brokers.iter().any(|url| url.starts_with("mqtts:"))
    }
}
