//! Punchgate: from the wires of clocking terminals to MQTT, and nothing lost on the way.
//!
//! Who may know whom (a file imports from floors below its own, never from above and never from beside):
//!
//! ```text
//!  5   main.rs   tests/
//!  4   gateway   demo   cli
//!  3   supervisor   courier   config   status
//!  2   drivers   spool   mqtt   health   console   logging
//!  1   ledger   outbox   wire
//!  0   driver_api   driver_zk ...                   known by drivers.rs alone; they know no sled, no MQTT, no config file
//! ```

pub mod cli;
pub mod config;
pub mod console;
pub mod courier;
#[cfg(feature = "demo")]
pub mod demo;
pub mod drivers;
pub mod gateway;
pub mod health;
pub mod ledger;
pub mod logging;
pub mod mqtt;
pub mod outbox;
pub mod spool;
pub mod status;
pub mod supervisor;
pub mod wire;
