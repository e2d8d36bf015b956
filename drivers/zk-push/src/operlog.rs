//! Lines of the table OPERLOG: what was done at the terminal, and users, templates and photos in between.

use jiff::civil::DateTime;

use crate::{
    attlog::checked_pin,
    lines::{fields, number, value},
    when,
};

/// One line, as far as a gateway for punches wants to know it. Passwords, cards, names, templates and photos end here:
/// nothing of them is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Operation(Operation),
    /// A user; only the number is taken.
    User {
        pin: &'a [u8],
    },
    /// Template, photo or anything else that is counted and dropped.
    Dropped,
}

/// `OPLOG <code> <admin> <time> <objects>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub code: i64,
    /// What it was done to; for alarms, which one.
    pub object: Option<i64>,
    pub at: Option<DateTime>,
}

/// What an operation means to somebody far away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Punches may be gone from the terminal.
    LogDeleted(&'static str),
    /// Somebody is at the box, or a door was forced.
    Alarm(&'static str),
    /// Somebody changed where the terminal reports to, or its clock.
    Changed(&'static str),
    /// Nothing to tell.
    Ordinary,
}

impl Operation {
    pub(crate) fn meaning(self) -> Meaning {
        match (self.code, self.object) {
            (13, _) => Meaning::LogDeleted("all data was deleted at the terminal"),
            (22, _) => Meaning::LogDeleted("the terminal was reset to factory settings"),
            (23, _) => Meaning::LogDeleted("the attendance log was deleted at the terminal"),
            (105, _) => Meaning::LogDeleted("the access log was deleted at the terminal"),
            (3, Some(54)) => Meaning::Alarm("a door was forced"),
            (3, Some(55)) => Meaning::Alarm("the case of the terminal was opened"),
            (3, Some(58)) => Meaning::Alarm("somebody tried again and again without success"),
            (32, _) => Meaning::Alarm("somebody punched under duress"),
            (21, _) => Meaning::Changed("the clock was set at the terminal"),
            (24, _) => Meaning::Changed("the administrators were deleted at the terminal"),
            (76..=79, _) => Meaning::Changed("the network settings were changed at the terminal"),
            (80 | 81, _) => Meaning::Changed("the key or number was changed at the terminal"),
            (82 | 83, _) => Meaning::Changed("the server address was changed at the terminal"),
            (110..=112, _) => Meaning::Changed("the proxy was changed at the terminal"),
            _ => Meaning::Ordinary,
        }
    }
}

/// Reads one line; every line is something.
pub(crate) fn line(line: &[u8]) -> Line<'_> {
    let starts = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts(b"OPLOG ") {
        return Line::Operation(operation(&line[6..]));
    }
    let rest = if starts(b"USER ") { &line[5..] } else { line };
    // An answer to a query on some units: the same line without its first word.
    let pin = value(rest.trim_ascii_start(), b'\t', "PIN").unwrap_or_default();
    match checked_pin(pin) {
        Ok(pin) if starts(b"USER ") || starts(b"PIN=") => Line::User { pin },
        _ => Line::Dropped,
    }
}

fn operation(rest: &[u8]) -> Operation {
    let mut columns = fields(rest);
    let code = columns.next().and_then(number).unwrap_or(-1);
    let _admin = columns.next();
    let at = columns.next().and_then(when::wall);
    Operation { code, object: columns.next().and_then(number), at }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_operation_is_read_with_what_it_means() {
        let at = Some(date(2026, 11, 22).at(8, 0, 0, 0));
        let read = |text: &'static str| match line(text.as_bytes()) {
            Line::Operation(operation) => operation,
            other => panic!("{other:?}"),
        };
        let deleted = read("OPLOG 23\t0\t2026-11-22 08:00:00\t0\t0\t0\t0");
        assert_eq!(deleted, Operation { code: 23, object: Some(0), at });
        assert!(matches!(deleted.meaning(), Meaning::LogDeleted(_)));
        assert!(matches!(read("OPLOG 3\t0\t2026-11-22 08:00:00\t55").meaning(), Meaning::Alarm(_)));
        assert_eq!(read("OPLOG 4\t0\tyesterday").meaning(), Meaning::Ordinary);
        assert_eq!(read("OPLOG x").code, -1);
    }

    #[test]
    fn of_a_user_only_the_number_is_taken() {
        let user = line(b"USER PIN=1\tName=\xd5\xc5\xc8\xfd\tPri=0\tPasswd=1234\tCard=\tGrp=1");
        assert_eq!(user, Line::User { pin: b"1" });
        assert_eq!(line(b"PIN=007\tName=x"), Line::User { pin: b"007" });
        for dropped in ["USER Name=x", "FP PIN=1\tFID=0\tTMP=AAAA", "FACE PIN=1", "USERPIC PIN=1", "junk"] {
            assert_eq!(line(dropped.as_bytes()), Line::Dropped, "{dropped}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            line(&bytes);
        }
    }
}
