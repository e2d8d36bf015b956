//! What a serial line is to a driver, and a TCP connection to a serial server that stands in for one.
//!
//! * [`buses`]: terminals with one path, or one host and port, share one line; a driver runs one task for it.
//! * [`Port`]: the place where a line is found. It opens it with an exclusive lock, says what is wrong with its mend, and
//!   finds a USB adapter again that comes back under another name.
//! * [`Stream`]: the open line, bytes in and bytes out.
//! * [`wiegand`]: the bits of a card, which readers of several protocols hand on.
//!
//! Modem lines (RTS, CTS, DTR) are left alone: adapters for RS-485 switch their direction by themselves, and a pseudo
//! terminal has none. What a byte means is the driver's business.

mod bus;
mod port;
mod stream;
pub mod wiegand;

pub use bus::{Bus, Member, buses};
pub use port::Port;
pub use stream::Stream;
