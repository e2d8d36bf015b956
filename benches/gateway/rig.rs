//! What the measurements share: terminals, config blocks, questions to the daemon that cost it little.

use std::{fs, path::Path, time::Duration};

use driver_zk::{
    record::Form,
    sim::{Model, Simulator},
};
use punchgate::console::{Answer, Request, Status, ask};
use tokio::time::{sleep, timeout};

use super::support::{
    broker::{Mosquitto, Setup},
    daemon::Daemon,
};

/// The limit of every wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn broker() -> Mosquitto {
    Mosquitto::start(Setup::default()).expect("these figures need mosquitto")
}

/// A terminal with records of 40 bytes, within this process.
pub(crate) async fn terminal(number: usize, records: usize) -> Simulator {
    let capacity = 100_000.max(2 * records as u32);
    let model = Model { serial: format!("BENCH{number:05}"), capacity, ..Model::of(Form::Text(40)) };
    let simulator = Simulator::start(model, 0).await.expect("loopback has ports");
    simulator.fill(records);
    simulator
}

pub(crate) fn block(name: &str, address: &str) -> String {
    format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{address}\"\n\n")
}

pub(crate) fn blocks(terminals: &[Simulator]) -> String {
    terminals.iter().enumerate().map(|(n, one)| block(&format!("terminal-{n}"), &one.address().to_string())).collect()
}

/// Waits until the status is like this, looking so often. Asks at the socket: a program started for each question would
/// take the processor from the daemon.
pub(crate) async fn until_status(daemon: &Daemon, every: Duration, like: impl Fn(&Status) -> bool) -> Status {
    let socket = daemon.path("state/punchgate.sock");
    let waiting = async {
        loop {
            // It may not listen yet.
            if let Ok(mut answers) = ask(&socket, &Request::Status).await
                && let Ok(Some(Answer::Status(status))) = answers.next().await
                && like(&status)
            {
                return *status;
            }
            sleep(every).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("waited in vain; the gateway's log:\n{}", daemon.log()))
}

/// A folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there").flatten() {
        let kind = entry.file_type().expect("it has a kind");
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).expect("there is room");
        }
    }
}
