//! Which terminal is simulated.

use jiff::tz::TimeZone;

use crate::record::Form;

/// All in which terminals differ on the wire.
#[derive(Debug, Clone)]
pub struct Model {
    pub serial: String,
    pub name: String,
    pub platform: String,
    pub firmware: String,
    pub mac: String,
    /// 0: none, the login is answered at once.
    pub comm_key: u32,
    /// The zone of its wall clock.
    pub zone: TimeZone,
    pub form: Form,
    pub event: EventForm,
    /// Users of 72 bytes, else of 28.
    pub long_users: bool,
    pub capacity: u32,
    /// Length of its answer about sizes: 80, 92, 112, or 4 for a WL20.
    pub sizes: usize,
    pub bulk: Bulk,
    /// Answers up to this size come without chunks.
    pub inline: usize,
    /// Most data in one packet of a bulk answer over TCP.
    pub data_packet: usize,
    /// Most data in one packet of a bulk answer over UDP.
    pub datagram: usize,
    /// Asked for a larger chunk, it hangs up.
    pub largest_chunk: usize,
    pub cutting: Cutting,
    pub second: Second,
}

/// Layout of live punches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventForm {
    Short10,
    Long12,
    Short14,
    /// 32, 36, 37 or 52 bytes.
    Text(u8),
}

/// How users and log are read in bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    /// A snapshot in chunks, each announced, sent and confirmed.
    Chunks,
    /// A snapshot in chunks of bare data.
    Bare,
    /// A snapshot whose chunks are all that is left of it, whatever size was asked for.
    Heedless,
    /// No snapshots: the old reads only.
    Legacy,
}

/// How TCP cuts what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutting {
    /// Each packet in one write.
    Packets,
    /// Each packet in one write, with a pause of so many milliseconds behind it: some clients cannot do without.
    Paced(u64),
    /// All packets of an answer in one write.
    Glued,
    /// So many bytes in each write.
    Pieces(usize),
}

/// What happens to a second client while the first one has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// Served as well.
    Welcome,
    /// Closed right after it was accepted.
    Closed,
    /// Accepted, and never answered.
    Ignored,
    /// Served, and the first one is closed.
    TakesOver,
}

impl Default for Model {
    /// A colour terminal with fingerprint reader, firmware 6.60.
    fn default() -> Self {
        Self {
            serial: "CEXA204060001".into(),
            name: "F18".into(),
            platform: "ZMM210_TFT".into(),
            firmware: "Ver 6.60 Apr 26 2016".into(),
            mac: "00:17:61:11:22:33".into(),
            comm_key: 0,
            zone: TimeZone::UTC,
            form: Form::Text(40),
            event: EventForm::Text(32),
            long_users: true,
            capacity: 100_000,
            sizes: 92,
            bulk: Bulk::Chunks,
            inline: 1024,
            data_packet: usize::MAX,
            datagram: 1024,
            largest_chunk: usize::MAX,
            cutting: Cutting::Packets,
            second: Second::Closed,
        }
    }
}
