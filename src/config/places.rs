//! Where a gateway's things lie, for commands that must work while the rest of its config does not.

use std::path::{Path, PathBuf};

use driver_api::{Problems, Section};

use super::{DEFAULT_PATH, Rejected, folder_of, gateway, parse, section};

/// The socket of a gateway that was started by its unit.
pub const SYSTEM_SOCKET: &str = "/run/punchgate/punchgate.sock";

/// Read from a config without judging the rest of it: whoever asks for `status` need not be allowed to read keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub state_dir: PathBuf,
    /// Where the daemon may listen, likeliest first; never empty.
    pub sockets: Vec<PathBuf>,
}

/// Looks up where things lie. The daemon's unit gives it a folder for its socket that other processes do not see in their
/// environment, so there may be several sockets to try.
pub fn places(path: &Path) -> Result<Places, Rejected> {
    let folder = folder_of(path);
    let mut problems = Problems::default();
    let mut file = Section::new("", parse(path)?, folder.clone());
    let mut gateway = section(&mut file, "gateway", &folder, &mut problems);
    let state_dir = gateway.path("state_dir", "\"/var/lib/punchgate\"", &mut problems);
    let socket = gateway.path("socket", "\"/run/punchgate/punchgate.sock\"", &mut problems);
    if !problems.errors.is_empty() {
        return Err(Rejected { path: path.into(), problems: problems.errors, warnings: vec![] });
    }
    let state_dir = state_dir.unwrap_or_else(|| PathBuf::from(gateway::STATE_DIR));
    let sockets = match socket {
        Some(socket) => vec![socket],
        None => {
            let runtime = gateway::runtime_directory().map(|folder| folder.join("punchgate.sock"));
            // Another config is another gateway: what listens at the system's place is not the one that is meant.
            let system = (path == Path::new(DEFAULT_PATH)).then(|| PathBuf::from(SYSTEM_SOCKET));
            runtime.into_iter().chain(system).chain([state_dir.join("punchgate.sock")]).collect()
        }
    };
    Ok(Places { state_dir, sockets })
}
