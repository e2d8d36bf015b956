//! The list of drivers: one line each.

use driver_api::{Finder, Kind, Line};

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

/// How terminals are found that nobody told us of.
pub const FINDERS: &[Finder] = &[
    driver_anviz::FINDER,
    driver_modbus::FINDER,
    driver_uhppote::discover::FINDER,
    driver_zk::FINDER,
    driver_zk::FINDER_UDP,
    driver_zk_push::FINDER,
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
