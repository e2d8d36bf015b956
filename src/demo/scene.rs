//! The folder of a demo: keys, config, logs and the gateway's state, removed at the end unless somebody keeps it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use jiff::tz::TimeZone;

use super::{
    keys::{Holder, Keys, write_private},
    terminal::Terminal,
    witness::TOPICS,
};
use crate::mqtt::{BrokerUrl, MqttSettings, MqttVersion};

pub(super) struct Scene {
    folder: PathBuf,
    kept: bool,
    pub(super) keys: Keys,
}

impl Scene {
    /// A folder of its own below the system's temporary one, or the given one, which must be new or empty.
    pub(super) fn set(keep: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match keep {
            Some(folder) => std::path::absolute(folder)?,
            None => std::env::temp_dir().join(format!("punchgate-demo-{}", std::process::id())),
        };
        let made = DirBuilder::new().mode(0o700).recursive(keep.is_some()).create(&folder);
        made.with_context(|| format!("cannot create {}", folder.display()))?;
        if fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?.next().is_some() {
            bail!("{} is not empty: give --keep a new folder", folder.display());
        }
        // From here on the folder is ours to remove.
        let mut scene = Self { keys: Keys::in_folder(folder.join("keys")), kept: keep.is_some(), folder };
        scene.keys = Keys::make(scene.path("keys"))?;
        Ok(scene)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// Where the gateway's punches lie.
    pub(super) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path("gateway.sock")
    }

    /// Where it stays, if it does.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.kept.then_some(self.folder.as_path())
    }

    /// Writes the gateway's config: what an installer would write, with shorter times. `port` is the broker's.
    pub(super) fn write_config(&self, port: u16, zone: &TimeZone, terminals: &[Terminal]) -> anyhow::Result<()> {
        let zone = zone.iana_name().unwrap_or("UTC");
        let mut text = format!(
            "# Written by punchgate demo.\n\
             [gateway]\nid = \"demo\"\ntenant = \"demo\"\nzone = \"{zone}\"\nstate_dir = \"state\"\nsocket = \"gateway.sock\"\n\n\
             [mqtt]\nurl = \"mqtts://localhost:{port}\"\nca_file = \"keys/ca.pem\"\ncert_file = \"keys/gateway.pem\"\n\
             key_file = \"keys/gateway.key\"\nack_timeout = \"5s\"\n\n\
             [spool]\nmin_free = \"1MiB\"\n"
        );
        let sections: BTreeMap<_, _> =
            terminals.iter().map(|terminal| (terminal.it.driver(), terminal.it.section())).collect();
        for (driver, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
            write!(text, "\n[driver.{driver}]\n{lines}")?;
        }
        for Terminal { name, it, .. } in terminals {
            let (driver, block) = (it.driver(), it.block());
            write!(text, "\n[[terminal]]\nname = \"{name}\"\ndriver = \"{driver}\"\n{block}")?;
            if let Some((key, secret)) = it.secret() {
                let file = format!("keys/{name}.secret");
                write_private(&self.path(&file), &secret)?;
                writeln!(text, "{key} = \"{file}\"")?;
            }
        }
        write_private(&self.config(), &text)
    }

    /// How the witness reaches the broker.
    pub(super) fn onlooker(&self, port: u16) -> MqttSettings {
        MqttSettings {
            brokers: vec![BrokerUrl { host: "localhost".into(), port, tls: true }],
            version: MqttVersion::V5,
            client_id: "demo-witness".into(),
            ca_file: Some(self.keys.ca()),
            cert_file: Some(self.keys.certificate(Holder::Onlooker)),
            key_file: Some(self.keys.key(Holder::Onlooker)),
            username: None,
            password: None,
            keep_alive: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(5),
        }
    }

    /// How anybody else may look in. The broker has a port for each version of MQTT.
    pub(super) fn how_to_look_in(&self, port_v5: u16, port_v311: u16) -> String {
        let (ca, cert, key) =
            (self.keys.ca(), self.keys.certificate(Holder::Onlooker), self.keys.key(Holder::Onlooker));
        format!(
            "Look in with any MQTT client: TLS to localhost, port {port_v311} for MQTT 3.1.1 or {port_v5} for MQTT 5, topic {TOPICS}\n  \
             mosquitto_sub -h localhost -p {port_v311} -t '{TOPICS}' -v \\\n    --cafile {} \\\n    --cert {} \\\n    --key {}\n\
             Ask the gateway itself:\n  punchgate status --socket {}",
            ca.display(),
            cert.display(),
            key.display(),
            self.socket().display(),
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is there any more to be told; the system empties its temporary folder itself.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
