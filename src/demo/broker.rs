//! The embedded broker: TLS, client certificates, MQTT 5 and 3.1.1 on a port each, and nothing but memory.

use std::{collections::HashMap, net::Ipv4Addr, path::PathBuf};

use anyhow::Context;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings, TlsConfig};

use super::keys::{Holder, Keys};

/// What the broker's process is told.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// The folder of the keys.
    pub keys: PathBuf,
    /// On loopback; the library has a listener for each version of the protocol.
    pub port_v5: u16,
    pub port_v311: u16,
}

/// Runs the broker. Returns only when it failed: there is no way to stop it but to end its process, and so it has one of
/// its own.
pub fn serve_broker(settings: &BrokerSettings) -> anyhow::Result<()> {
    let keys = Keys::in_folder(&settings.keys);
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 10 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let listener = |name: &str, port| HashMap::from([(name.to_owned(), listener(name, port, &keys))]);
    let mut broker = Broker::new(Config {
        router,
        v4: Some(listener("v311", settings.port_v311)),
        v5: Some(listener("v5", settings.port_v5)),
        ..Config::default()
    });
    broker.start().context("the broker ended")?;
    anyhow::bail!("the broker could not listen on ports {} and {}", settings.port_v5, settings.port_v311)
}

fn listener(name: &str, port: u16, keys: &Keys) -> ServerSettings {
    let path = |path: PathBuf| path.display().to_string();
    ServerSettings {
        name: name.into(),
        listen: (Ipv4Addr::LOCALHOST, port).into(),
        tls: Some(TlsConfig::Rustls {
            capath: Some(path(keys.ca())),
            certpath: path(keys.certificate(Holder::Broker)),
            keypath: path(keys.key(Holder::Broker)),
        }),
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: 1 << 20,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}
