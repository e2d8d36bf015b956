//! Who is asked, how often, and who is left alone.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard},
};

use driver_api::Finding;
use tokio::time::{Instant, sleep};

use super::*;

/// Who was asked and when.
static ASKED: LazyLock<Mutex<Vec<(SocketAddr, Instant)>>> = LazyLock::new(Mutex::default);

fn asked() -> MutexGuard<'static, Vec<(SocketAddr, Instant)>> {
    ASKED.lock().unwrap()
}

/// One that answers at addresses that end in 7.
fn sevens(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(async move {
        asked().push((at, Instant::now()));
        sleep(patience).await;
        let seven = at.ip().to_string().ends_with('7');
        let address = format!("tcp://{at}");
        let block = format!("address = \"{address}\"\nkey_file = \"NAME.key\"\n");
        seven.then(|| Found { address, block, ..Found::default() }).into_iter().collect()
    })
}

static FINDERS: [Finder; 2] = [
    Finder { driver: "one", reach: Reach::Tcp(1000), ask: sevens },
    Finder { driver: "one", reach: Reach::Udp(1000), ask: sevens },
];

fn plan(network: &str) -> Plan {
    Plan {
        networks: vec![network.parse().unwrap()],
        known: BTreeSet::new(),
        known_ports: BTreeSet::new(),
        ports: BTreeMap::new(),
        rate: 20,
        patience: Duration::from_secs(1),
        listen: Duration::ZERO,
        by_id: "/nowhere".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_is_asked_at_its_pace_and_nobody_twice_or_who_is_known() {
    let known = BTreeSet::from(["192.0.2.17".parse().unwrap()]);
    let found = discover(&Plan { known, ..plan("192.0.2.0/27") }, &FINDERS).await;
    let lines: Vec<&str> = found.iter().map(|it| &*it.address).collect();
    assert_eq!(lines, ["tcp://192.0.2.27:1000", "tcp://192.0.2.7:1000"]);
    assert_eq!(
        found[0].block,
        "[[terminal]]\nname = \"one-1\"\ndriver = \"one\"\naddress = \"tcp://192.0.2.27:1000\"\nkey_file = \"one-1.key\"\n"
    );
    let asked = std::mem::take(&mut *asked());
    assert!(!asked.iter().any(|(at, _)| at.ip().to_string() == "192.0.2.17"), "whoever is in the config is left alone");
    let times = |host: &str| asked.iter().filter(|(at, _)| at.ip().to_string() == host).count();
    // Over TCP and over UDP, but not where it answered.
    assert_eq!((times("192.0.2.7"), times("192.0.2.8")), (1, 2));
    assert_eq!(asked.len(), 29 + 27);
    let mut since: Vec<Instant> = asked.iter().map(|(_, at)| *at).collect();
    since.sort();
    for second in since.windows(21) {
        assert!(second[20] - second[0] >= Duration::from_millis(990), "more than twenty in a second");
    }
}

#[test]
fn serial_adapters_are_told_by_what_they_are_and_nothing_is_sent_to_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["usb-FTDI_FT232R_USB_UART_A10KZ1-if00-port0", "usb-1a86_USB_Serial-if00-port0"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let known = BTreeSet::from([folder.path().join("usb-1a86_USB_Serial-if00-port0")]);
    let found = adapters(folder.path(), &known);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&*one.vendor, &*one.model, &*one.serial), ("FTDI", "FT232R_USB_UART", "A10KZ1"));
    assert!(one.block.contains(&format!("address = \"serial://{}", folder.path().display())));
}
