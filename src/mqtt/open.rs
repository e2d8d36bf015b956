//! Opening a connection: name, files, TLS, CONNECT, subscriptions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{net::lookup_host, time::timeout};

use super::{
    BrokerUrl, CertificatesEnd, Connect, Connection, Failure, FailureKind, Hello, MqttSettings, MqttVersion,
    session::Session, tls, v5, v311,
};

/// The longest that a connection may take to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the library may hold at once, and how many packet ids it uses: more than any window, so that an id is long free
/// when it comes round again.
pub(super) const QUEUE: usize = 1024;

/// The MQTT client.
pub struct Client {
    settings: MqttSettings,
    certificates: Arc<Mutex<CertificatesEnd>>,
    /// What is subscribed comes with QoS 1, and not with 0.
    surely: bool,
}

impl Client {
    pub fn new(settings: MqttSettings) -> Self {
        Self { settings, certificates: Arc::default(), surely: true }
    }

    /// Subscribes with QoS 0: for whoever looks at thousands of retained messages at once, of which brokers queue few with QoS 1, and
    /// each of which comes again within a minute.
    pub fn at_most_once(self) -> Self {
        Self { surely: false, ..self }
    }

    async fn open(&self, broker: &BrokerUrl, hello: Hello) -> Result<Session, Failure> {
        *self.certificates.lock().expect("nobody panics while holding it") = CertificatesEnd::default();
        let tls = match broker.tls {
            true => Some(tls::read(&self.settings, &self.certificates)?),
            false => None,
        };
        // The library does this again. Only here can it be told from the failures behind it.
        let mut addresses = lookup_host((address(broker), broker.port)).await.map_err(|error| {
            Failure::new(FailureKind::NoSuchHost, format!("{:?} has no address: {error}", broker.host))
        })?;
        if addresses.next().is_none() {
            return Err(Failure::new(FailureKind::NoSuchHost, format!("{:?} has no address", broker.host)));
        }
        let (sender, steps) = match self.settings.version {
            MqttVersion::V5 => v5::open(&self.settings, broker, tls, hello.will),
            MqttVersion::V311 => v311::open(&self.settings, broker, tls, hello.will),
        };
        Session::begin(sender, steps, &hello.subscribe, self.surely).await
    }
}

#[async_trait]
impl Connect for Client {
    fn brokers(&self) -> &[BrokerUrl] {
        &self.settings.brokers
    }

    fn ack_timeout(&self) -> Duration {
        self.settings.ack_timeout
    }

    async fn connect(&self, broker: &BrokerUrl, hello: Hello) -> Result<Box<dyn Connection>, Failure> {
        // Whoever wants acknowledgements sooner gives up sooner here, too.
        let patience = self.settings.ack_timeout.clamp(Duration::from_secs(1), CONNECT_TIMEOUT);
        match timeout(patience, self.open(broker, hello)).await {
            Ok(opened) => Ok(Box::new(opened?)),
            Err(_) => Err(Failure::new(FailureKind::Silent, format!("no welcome within {} s", patience.as_secs()))),
        }
    }

    fn certificates_end(&self) -> CertificatesEnd {
        *self.certificates.lock().expect("nobody panics while holding it")
    }
}

/// The host without the brackets that URLs put around IPv6 addresses: name lookup and certificates know none.
pub(super) fn address(broker: &BrokerUrl) -> &str {
    broker.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&broker.host)
}

pub(super) fn of_tls(error: rumqttc::TlsError) -> Failure {
    match error {
        rumqttc::TlsError::Io(error) => Failure::of_io(&error),
        rumqttc::TlsError::TLS(error) => Failure::of_tls(&error),
        error => Failure::new(FailureKind::Tls, format!("TLS could not begin: {error}")),
    }
}
