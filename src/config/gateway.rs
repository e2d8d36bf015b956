//! `[gateway]`: who this gateway is, and where its things lie.

use std::{env, path::PathBuf};

use driver_api::{Problems, Section};

use super::{GatewaySettings, name, zone};
use crate::console::PATH_LIMIT;

/// Where state lies unless the config says otherwise.
pub(super) const STATE_DIR: &str = "/var/lib/punchgate";

pub(super) fn read(mut section: Section, problems: &mut Problems) -> Option<GatewaySettings> {
    let id = section.require_checked("id", "\"sz-03\"", problems, name);
    let tenant = section.require_checked("tenant", "\"acme\"", problems, name);
    let zone = section.require_checked("zone", "\"Asia/Shanghai\"", problems, zone);
    let state_dir =
        section.path("state_dir", "\"/var/lib/punchgate\"", problems).unwrap_or_else(|| PathBuf::from(STATE_DIR));
    let socket = section.path("socket", "\"/run/punchgate/punchgate.sock\"", problems);
    let socket = socket.unwrap_or_else(|| match runtime_directory() {
        Some(folder) => folder.join("punchgate.sock"),
        None => state_dir.join("punchgate.sock"),
    });
    let length = socket.as_os_str().len();
    if length > PATH_LIMIT {
        let (why, mend) = (
            format!("a socket's path has at most {PATH_LIMIT} bytes, and this one has {length}"),
            "add a line: socket = \"/run/punchgate/punchgate.sock\"".into(),
        );
        section.wrong(problems, "socket", &socket.display().to_string().into(), why, mend);
    }
    section.finish(problems);
    Some(GatewaySettings { id: id?, tenant: tenant?, zone: zone?, state_dir, socket })
}

/// The folder that systemd made for our sockets, if it did.
pub(super) fn runtime_directory() -> Option<PathBuf> {
    let folders = env::var_os("RUNTIME_DIRECTORY")?;
    // RuntimeDirectory= may name several, and then they come with colons between.
    env::split_paths(&folders).find(|folder| folder.is_absolute())
}
