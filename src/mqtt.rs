//! The MQTT connection. (Being built.)

use std::{path::PathBuf, time::Duration};

use driver_api::Secret;

/// How the broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// In fail-over order; never empty.
    pub brokers: Vec<BrokerUrl>,
    pub version: MqttVersion,
    pub client_id: String,
    /// PEM; read again at each connection, so that renewed certificates need no restart.
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub keep_alive: Duration,
    /// A publish that is not acknowledged for so long means that the connection is thrown away.
    pub ack_timeout: Duration,
}

/// One broker of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerUrl {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MqttVersion {
    V5,
    V311,
}
