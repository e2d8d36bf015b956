//! Commands and results by number.

/// What a terminal is asked for.
pub mod ask {
    pub const LOGIN: u8 = 0x04;
    pub const SERIAL: u8 = 0x24;
    /// Firmware and more.
    pub const CONFIG: u8 = 0x30;
    /// Real-time mode and more.
    pub const MORE_CONFIG: u8 = 0x32;
    pub const SET_MORE_CONFIG: u8 = 0x33;
    pub const GET_CLOCK: u8 = 0x38;
    pub const SET_CLOCK: u8 = 0x39;
    pub const COUNTERS: u8 = 0x3c;
    pub const RECORDS: u8 = 0x40;
    pub const MODEL: u8 = 0x48;
    /// Users, a page at a time.
    pub const USERS: u8 = 0x72;
    /// Takes the mark "new" from records, or, with other data than ours, the records themselves.
    pub const CLEAR: u8 = 0x4e;
    pub const OPEN: u8 = 0x5e;
    /// Its number on the bus.
    pub const UNIT: u8 = 0x74;
}

/// What a terminal says by itself.
pub mod said {
    /// A record as it happens, in the form of an answer.
    pub const RECORD: u8 = 0xdf;
    /// Something changed (client mode).
    pub const CHANGE: u8 = 0x7d;
    pub const HEARTBEAT: u8 = 0x7f;
}

/// What would make a terminal forget, admit somebody or restart: never sent by this driver.
pub mod never {
    pub const DELETE_USER: u8 = 0x4c;
    pub const PUT_USERS: u8 = 0x73;
    pub const REBOOT: u8 = 0x2e;
    /// Data of [`super::ask::CLEAR`]: every record.
    pub const CLEAR_RECORDS: u8 = 0;
    /// Data of [`super::ask::CLEAR`]: the mark of every record, read or not.
    pub const CLEAR_ALL_MARKS: u8 = 1;
}

/// Which records are wanted: the data of [`ask::RECORDS`].
pub mod page {
    /// Those that follow on the page before.
    pub const NEXT: u8 = 0;
    /// From the first of all on.
    pub const FIRST_OF_ALL: u8 = 1;
    /// From the first new one on.
    pub const FIRST_NEW: u8 = 2;
    /// Most records of a page.
    pub const MOST: u8 = 25;
    /// Most users of a page, in either form of theirs.
    pub const MOST_USERS: u8 = 8;
}

/// Data of [`ask::CLEAR`]: the mark of so many records, the oldest ones first.
pub const CLEAR_MARKS: u8 = 2;

/// A result in words.
pub fn meaning(result: u8) -> String {
    let words = match result {
        0x00 => "well",
        0x01 => "failed",
        0x04 => "full of users",
        0x05 => "empty",
        0x06 => "no such user",
        0x08 => "time-out at the reader",
        0x0a => "the user exists",
        0x0b => "the fingerprint exists",
        0x0f => "USB is locked",
        _ => return format!("{result:#04x}"),
    };
    format!("{result:#04x}, {words}")
}
