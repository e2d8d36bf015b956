//! A request and its answer in words, for whoever traces a terminal: which address, which table, how long, what status, and
//! of an answer its kind. What a body holds is not shown: every line of it is somebody.

use hyper::{Method, StatusCode};

use crate::target::Query;

/// Keys of a query that say nothing of persons and hold no secret.
const SHOWN: [&str; 14] = [
    "table",
    "tablename",
    "type",
    "Stamp",
    "OpStamp",
    "options",
    "pushver",
    "DeviceType",
    "language",
    "count",
    "packcnt",
    "packidx",
    "cmdid",
    "PushOptionsFlag",
];
/// A longer value is cut, in letters.
const LONGEST: usize = 32;

pub(crate) fn asked(method: &Method, path: &str, query: Query<'_>, bytes: u64) -> String {
    let plain = |text: &str| -> String { text.chars().filter(|c| c.is_ascii_graphic()).take(LONGEST).collect() };
    let mut words = format!("{method} {}", plain(path));
    for key in SHOWN {
        if let Some(value) = query.get(key) {
            words += &format!(" {key}={}", plain(&value));
        }
    }
    words + &format!(", a body of {bytes} bytes")
}

pub(crate) fn answered(status: StatusCode, text: &str) -> String {
    // Of commands the verb; what stands behind it may name somebody.
    let verbs: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("C:")?.split_once(':'))
        .map(|(id, command)| {
            let known = [
                "INFO",
                "CHECK",
                "REBOOT",
                "AC_UNLOCK",
                "VERIFY SUM ATTLOG",
                "DATA QUERY",
                "DATA UPDATE",
                "DATA DELETE",
                "GET OPTIONS",
                "SET OPTIONS",
                "CONTROL DEVICE",
            ];
            let verb = known.iter().find(|verb| command.starts_with(**verb)).copied().unwrap_or("a command");
            format!("{id}: {verb}")
        })
        .collect();
    let first = text.lines().next().unwrap_or_default();
    match (verbs.is_empty(), first) {
        (false, _) => format!("{}, commands: {}", status.as_u16(), verbs.join("; ")),
        (true, first) if first.starts_with("OK") || first.starts_with("ERR ") => {
            format!("{}, {first}", status.as_u16())
        }
        // Options, a registration: nothing of persons, and codes of ours.
        (true, _) => format!("{}, {} lines", status.as_u16(), text.lines().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_punched_and_who_is_meant_is_not_told() {
        let query = Query("SN=K&table=ATTLOG&Stamp=9999&PIN=87654321&INFO=Ver,87654321");
        let said = asked(&Method::POST, "/iclock/cdata", query, 42);
        assert_eq!(said, "POST /iclock/cdata table=ATTLOG Stamp=9999, a body of 42 bytes");
        assert_eq!(answered(StatusCode::OK, "OK: 3"), "200, OK: 3");
        let commands = "C:7:DATA UPDATE USERINFO PIN=87654321\tName=Marker\nC:8:REBOOT\n";
        assert_eq!(answered(StatusCode::OK, commands), "200, commands: 7: DATA UPDATE; 8: REBOOT");
        assert_eq!(answered(StatusCode::OK, "GET OPTION FROM: K\nATTLOGStamp=0\n"), "200, 2 lines");
    }
}
