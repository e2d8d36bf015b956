//! Ports as they are opened, held, pulled and found again: pseudo terminals with udev's names beside them.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use driver_api::{Address, DriverError};
use line::{Port, Stream};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_serial::{SerialPort, SerialStream};

const LIMIT: Duration = Duration::from_secs(2);

/// A machine with adapters that can be plugged in under any name.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("by-id")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Plugs an adapter in; the far end of its cable.
    fn plug(&self, name: &str, id: &str) -> SerialStream {
        let (far, near) = SerialStream::pair().unwrap();
        let device = near.name().unwrap();
        drop(near);
        for link in [self.path(name), self.path("by-id").join(id)] {
            let _ = fs::remove_file(&link); // it may be the first time
            symlink(&device, link).unwrap();
        }
        far
    }

    fn unplug(&self, name: &str, id: &str, far: SerialStream) {
        drop(far);
        fs::remove_file(self.path(name)).unwrap();
        fs::remove_file(self.path("by-id").join(id)).unwrap();
    }

    fn port(&self, name: &str) -> Port {
        Port::with_names_in(serial(&self.path(name)), self.path("by-id"))
    }
}

fn serial(path: &Path) -> Address {
    Address::parse(&format!("serial://{}?baud=19200&parity=even", path.display()), None).unwrap()
}

async fn speaks(far: &mut SerialStream, near: &mut Stream) {
    far.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    timeout(LIMIT, near.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"hello");
    near.write_all(b"world").await.unwrap();
    near.flush().await.unwrap();
    timeout(LIMIT, far.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"world");
}

#[tokio::test]
async fn a_port_carries_bytes_both_ways() {
    let machine = Machine::new();
    let mut far = machine.plug("ttyUSB0", "usb-A");
    let mut near = machine.port("ttyUSB0").open(LIMIT).await.unwrap();
    assert!(near.is_serial());
    speaks(&mut far, &mut near).await;
}

#[tokio::test]
async fn a_connection_stands_in_for_a_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(&format!("tcp://{}", listener.local_addr().unwrap()), None).unwrap();
    let mut near = Port::new(address).open(LIMIT).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    near.write_all(b"x").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
    far.write_all(b"late answers").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(near.drain().await.unwrap(), 12);
    assert_eq!(near.drain().await.unwrap(), 0);
    drop(far);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(near.drain().await.is_err(), "a line that is gone is told");
}

#[tokio::test]
async fn a_port_is_held_by_one() {
    let machine = Machine::new();
    let _far = machine.plug("ttyUSB0", "usb-A");
    let held = machine.port("ttyUSB0").open(LIMIT).await.unwrap();
    let error = machine.port("ttyUSB0").open(LIMIT).await.unwrap_err();
    assert!(matches!(&error, DriverError::Busy { reason, .. } if reason.contains("fuser -v")), "{error:?}");
    drop(held);
    machine.port("ttyUSB0").open(LIMIT).await.unwrap();
}

#[tokio::test]
async fn what_does_not_open_is_told_with_its_mend() {
    let machine = Machine::new();
    let why = async |path: &Path| match Port::new(serial(path)).open(LIMIT).await.unwrap_err() {
        DriverError::Unreachable { source, .. } => source.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(why(&machine.path("ttyUSB7")).await.contains("plug the adapter in"));
    fs::write(machine.path("file"), "").unwrap();
    assert!(why(&machine.path("file")).await.contains("no serial port"));
    let null = why(Path::new("/dev/null")).await;
    assert!(!null.is_empty());
    let udp = Port::new(Address::parse("udp://127.0.0.1:502", None).unwrap()).open(LIMIT).await.unwrap_err();
    assert!(matches!(udp, DriverError::Unreachable { source, .. } if source.to_string().contains("serial://")));
}

#[tokio::test]
async fn an_adapter_is_known_again_under_another_name() {
    let machine = Machine::new();
    let far = machine.plug("ttyUSB0", "usb-A");
    let port = machine.port("ttyUSB0");
    let mut near = port.open(LIMIT).await.unwrap();
    machine.unplug("ttyUSB0", "usb-A", far);
    let gone = timeout(LIMIT, near.read_u8()).await.expect("a pulled cable is noticed");
    assert!(gone.is_err());
    drop(near);
    assert!(port.open(LIMIT).await.is_err());
    let mut far = machine.plug("ttyUSB1", "usb-A");
    let begun = Instant::now();
    let mut near = port.open_at_last(LIMIT, |_| {}).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    speaks(&mut far, &mut near).await;
}

#[tokio::test]
async fn another_adapter_under_the_old_name_is_left_alone() {
    let machine = Machine::new();
    let far = machine.plug("ttyUSB0", "usb-A");
    let port = machine.port("ttyUSB0");
    drop(port.open(LIMIT).await.unwrap());
    machine.unplug("ttyUSB0", "usb-A", far);
    let _other = machine.plug("ttyUSB0", "usb-B");
    let error = port.open(LIMIT).await.unwrap_err();
    let DriverError::Unreachable { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("another adapter now (usb-B), and ours (usb-A)"), "{source}");
    // A new config knows nothing of the old adapter.
    machine.port("ttyUSB0").open(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_line_that_comes_late_is_opened_within_ten_seconds() {
    let machine = Machine::new();
    let port = machine.port("ttyUSB0");
    let failures = Cell::new(0);
    let opening = port.open_at_last(LIMIT, |_| failures.set(failures.get() + 1));
    tokio::pin!(opening);
    assert!(timeout(Duration::from_secs(1), &mut opening).await.is_err());
    let mut far = machine.plug("ttyUSB0", "usb-A");
    let mut near = timeout(Duration::from_secs(10), opening).await.unwrap();
    speaks(&mut far, &mut near).await;
    assert!(failures.get() >= 1);
}
