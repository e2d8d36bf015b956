//! The list of drivers: one line each.

use driver_api::{Kind, Line};

/// Every driver there is. Its name in a config is `Kind::name`.
pub const DRIVERS: &[Kind] = &[
    driver_anviz::KIND,
    driver_modbus::KIND,
    driver_osdp::KIND,
    driver_serial_ascii::KIND,
    driver_uhppote::KIND,
    driver_zk::KIND,
    driver_zk_push::KIND,
];

/// A line as the config planned it.
pub struct PlannedLine {
    pub driver: &'static Kind,
    pub line: Line,
    /// Equal as long as nothing changed that concerns this line: keys, files named by keys.
    pub fingerprint: u64,
}

/// The driver of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    DRIVERS.iter().find(|kind| kind.name == name)
}
