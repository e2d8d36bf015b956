//! Punchgate: from the wires of clocking terminals to MQTT, and nothing lost on the way.
//!
//! Who may know whom: a file imports from floors below its own, never from above and never from beside. Neighbours meet
//! further up and are handed each other there. `tests/floors.rs` reads this picture and holds the code to it.
//!
//! ```text
//!  8   main                                          arguments in, exit code out
//!  7   demo   cli                                    a broker, terminals and the gateway between; what people ask
//!  6   gateway   setup                               the parts joined; from an installer's answers to the first punch
//!  5   doctor   bundle   discover                    what is wrong, from the ground up; all for support; who is there
//!  5   backup                                        all that a gateway needs, elsewhere and back again
//!  4   config   status   supervisor   remote         one file, one view, one task per line, who is asked from afar
//!  4   report                                        a period on one page
//!  3   spool   courier   command                     the disk; the way to the broker; what is signed, and who may
//!  2   outbox   wire   console                       what those two meet at; documents; the local socket
//!  1   ledger   drivers   health   mqtt   audit      words and tools that know nobody here
//!  1   logging   inquiry   metrics   incident        likewise; what is asked after a punch; numbers; what has a clock
//!  1   fleet                                         what many gateways say, for who watches them
//!  1   clock                                         whether its time is believed
//!  0   owner   host                                  whose a file in the state folder becomes; the machine
//!  0   driver_api   driver_zk ...                    the door, and what is behind it: no sled, no MQTT, no config file
//! ```

pub mod audit;
pub mod backup;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod console;
pub mod courier;
#[cfg(feature = "demo")]
pub mod demo;
pub mod discover;
pub mod doctor;
pub mod drivers;
pub mod fleet;
pub mod gateway;
pub mod health;
pub mod host;
pub mod incident;
pub mod inquiry;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod mqtt;
pub mod outbox;
pub mod owner;
pub mod remote;
pub mod report;
pub mod setup;
pub mod spool;
pub mod status;
pub mod supervisor;
pub mod wire;
