//! Numbers of commands, replies and event flags.

/// What the gateway sends.
pub mod ask {
    /// Only as an authorised command orders it.
    pub const WRITE_USER: u16 = 8;
    pub const USERS: u16 = 9;
    pub const OPTION: u16 = 11;
    pub const LOG: u16 = 13;
    /// Only as an authorised command orders it, and behind all the checks of `clearing`.
    pub const CLEAR_LOG: u16 = 15;
    /// Only as an authorised command orders it.
    pub const DELETE_USER: u16 = 18;
    pub const UNLOCK: u16 = 31;
    pub const SIZES: u16 = 50;
    /// A text on the screen; black-and-white models.
    pub const WRITE_SCREEN: u16 = 66;
    pub const GET_TIME: u16 = 201;
    pub const SET_TIME: u16 = 202;
    /// Also the command of an event that the terminal sends.
    pub const EVENT: u16 = 500;
    pub const CONNECT: u16 = 1000;
    pub const EXIT: u16 = 1001;
    pub const ENABLE: u16 = 1002;
    /// Only while a log is cleared, with an end of its own.
    pub const DISABLE: u16 = 1003;
    pub const RESTART: u16 = 1004;
    pub const REFRESH: u16 = 1013;
    pub const VERSION: u16 = 1100;
    pub const AUTH: u16 = 1102;
    pub const FREE: u16 = 1502;
    /// Prepares a snapshot of users or log for reading in chunks.
    pub const BUFFER: u16 = 1503;
    pub const CHUNK: u16 = 1504;
}

/// What this gateway must never send: the terminal would stop serving people, or forget what it knows.
pub mod never {
    pub const CLEAR_DATA: u16 = 14;
    pub const CLEAR_ADMIN: u16 = 20;
    pub const POWER_OFF: u16 = 1005;
}

/// What the terminal answers.
pub mod reply {
    pub const PREPARE: u16 = 1500;
    pub const DATA: u16 = 1501;
    pub const OK: u16 = 2000;
    pub const ERROR: u16 = 2001;
    /// Some firmware: data follows in this packet.
    pub const OK_DATA: u16 = 2002;
    pub const RETRY: u16 = 2003;
    pub const UNAUTH: u16 = 2005;
    pub const UNKNOWN: u16 = 65535;
}

/// The attendance bit of an event's flag and of the mask that asks for events.
pub const ATTENDANCE: u16 = 1;

/// What a command or a reply is called, for traces.
pub fn name(command: u16) -> &'static str {
    match command {
        ask::WRITE_USER => "WRITE_USER",
        ask::USERS => "USERS",
        ask::OPTION => "OPTION",
        ask::LOG => "LOG",
        ask::CLEAR_LOG => "CLEAR_LOG",
        ask::DELETE_USER => "DELETE_USER",
        ask::UNLOCK => "UNLOCK",
        ask::SIZES => "SIZES",
        ask::WRITE_SCREEN => "WRITE_SCREEN",
        ask::GET_TIME => "GET_TIME",
        ask::SET_TIME => "SET_TIME",
        ask::EVENT => "EVENT",
        ask::CONNECT => "CONNECT",
        ask::EXIT => "EXIT",
        ask::ENABLE => "ENABLE",
        ask::DISABLE => "DISABLE",
        ask::RESTART => "RESTART",
        ask::REFRESH => "REFRESH",
        ask::VERSION => "VERSION",
        ask::AUTH => "AUTH",
        ask::FREE => "FREE",
        ask::BUFFER => "BUFFER",
        ask::CHUNK => "CHUNK",
        reply::PREPARE => "PREPARE",
        reply::DATA => "DATA",
        reply::OK => "OK",
        reply::ERROR => "ERROR",
        reply::OK_DATA => "OK_DATA",
        reply::RETRY => "RETRY",
        reply::UNAUTH => "UNAUTH",
        reply::UNKNOWN => "UNKNOWN",
        _ => "another",
    }
}

/// What a reply code means, for messages; unlisted ones have their number alone.
pub fn meaning(code: u16) -> String {
    let name = match code {
        reply::OK => "done",
        reply::ERROR => "refused",
        reply::RETRY => "try again",
        reply::UNAUTH => "not logged in",
        reply::UNKNOWN => "unknown command",
        65533 => "malformed command",
        65532 => "not initialised",
        65531 => "bad data",
        _ => return code.to_string(),
    };
    format!("{code}, {name}")
}
