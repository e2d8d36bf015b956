//! Commands to terminals as text, and the results that come back.

use std::fmt;

use driver_api::User;
use jiff::civil::DateTime;

use crate::{
    lines::{lines, number, pairs},
    settings::Dialect,
    when,
};

/// A command that this driver can give. There is no way to give any other: no shell, no files, nothing that deletes but one user
/// by number. `CLEAR LOG` is not here: nobody can keep people off between its last upload and that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Info,
    /// Read the options again (and with them zone and time), and send what is new by stamps.
    Check,
    QueryPunches {
        from: DateTime,
        to: DateTime,
    },
    CountPunches {
        from: DateTime,
        to: DateTime,
    },
    QueryUsers,
    /// Our time as UTC; for security terminals, which do not know `CHECK`.
    SetTime(DateTime),
    Reboot,
    Unlock {
        door: u8,
        seconds: u8,
    },
    PutUser(User),
    DeleteUser {
        id: String,
    },
}

/// Whether a number can stand in a command and mean one user. An empty one, or one of other letters, was seen to delete
/// all of them.
pub(crate) fn is_pin(id: &str) -> bool {
    (1..=24).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a name can stand in a command: nothing that ends a field or a line.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl Command {
    /// The command in a dialect, without its number; `None` where the dialect has none.
    pub(crate) fn text(&self, dialect: Dialect) -> Option<String> {
        let text = match (self, dialect) {
            (Self::Info, Dialect::Attendance) => "INFO".to_owned(),
            (Self::Info, Dialect::Security) => {
                "GET OPTIONS ~SerialNumber,FirmVer,~DeviceName,~Platform,UserCount,TransactionCount".to_owned()
            }
            (Self::Check, Dialect::Attendance) => "CHECK".to_owned(),
            (Self::QueryPunches { from, to }, Dialect::Attendance) => {
                format!("DATA QUERY ATTLOG {}", period(*from, *to))
            }
            (Self::QueryPunches { .. }, Dialect::Security) => {
                "DATA QUERY tablename=transaction,fielddesc=*,filter=*".to_owned()
            }
            (Self::CountPunches { from, to }, Dialect::Attendance) => {
                format!("VERIFY SUM ATTLOG {}", period(*from, *to))
            }
            (Self::QueryUsers, Dialect::Attendance) => "DATA QUERY USERINFO".to_owned(),
            (Self::QueryUsers, Dialect::Security) => "DATA QUERY tablename=user,fielddesc=*,filter=*".to_owned(),
            (Self::SetTime(utc), Dialect::Security) => {
                format!("SET OPTIONS DateTime={}", when::to_vendor_seconds(*utc)?)
            }
            (Self::Reboot, Dialect::Attendance) => "REBOOT".to_owned(),
            (Self::Reboot, Dialect::Security) => "CONTROL DEVICE 03000000".to_owned(),
            (Self::Unlock { door: 1, .. }, Dialect::Attendance) => "AC_UNLOCK".to_owned(),
            // 01 output, door, 01 lock, 00 normal, seconds
            (Self::Unlock { door, seconds }, Dialect::Security) => {
                format!("CONTROL DEVICE 01{door:02X}0100{seconds:02X}")
            }
            (Self::PutUser(User { id, .. }) | Self::DeleteUser { id }, _) if !is_pin(id) => return None,
            (Self::PutUser(User { name: Some(name), .. }), _) if !is_name(name) => return None,
            (Self::PutUser(user), Dialect::Attendance) => {
                format!("DATA UPDATE USERINFO PIN={}{}", user.id, fields(user, "Name", "Card"))
            }
            (Self::PutUser(user), Dialect::Security) => {
                format!("DATA UPDATE user Pin={}{}", user.id, fields(user, "Name", "CardNo"))
            }
            (Self::DeleteUser { id }, Dialect::Attendance) => format!("DATA DELETE USERINFO PIN={id}"),
            (Self::DeleteUser { id }, Dialect::Security) => format!("DATA DELETE user Pin={id}"),
            (Self::Check | Self::CountPunches { .. }, Dialect::Security)
            | (Self::SetTime(_) | Self::Unlock { .. }, Dialect::Attendance) => return None,
        };
        // A line end inside would be a second command. Nothing above can hold one; what is added one day is held here.
        text.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control()).then_some(text)
    }

    /// Whether it may be given again when no result came: what it does twice is no more than what it does once.
    pub(crate) fn repeatable(&self) -> bool {
        !matches!(self, Self::Reboot | Self::Unlock { .. } | Self::SetTime(_))
    }

    /// The table whose packets at `querydata` are this command's answer.
    pub(crate) fn answered_by(&self) -> Option<&'static str> {
        match self {
            Self::QueryUsers => Some("user"),
            Self::QueryPunches { .. } => Some("transaction"),
            Self::Info => Some("options"),
            _ => None,
        }
    }
}

/// What is told of a user beside the number; what is not told stays as it is.
fn fields(user: &User, name: &str, card: &str) -> String {
    let named = user.name.as_ref().map(|it| format!("\t{name}={it}"));
    let carded = user.card.map(|it| format!("\t{card}={it}"));
    named.into_iter().chain(carded).collect()
}

/// Both ends in the terminal's wall time, divided by TAB.
fn period(from: DateTime, to: DateTime) -> impl fmt::Display {
    let shown = |at: DateTime| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("StartTime={}\tEndTime={}", shown(from), shown(to))
}

/// What a terminal says about one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome<'a> {
    pub id: u64,
    pub code: i64,
    /// `AttlogSum`, where a count was asked for.
    pub sum: Option<u64>,
    /// What stands behind the first line, for `INFO`.
    pub more: &'a [u8],
}

/// The results in a body of `devicecmd`. Three forms: a line for each command; `INFO` with a first line and then its
/// options; and shell and file results, one `key=value` a line, whose content is passed over.
pub(crate) fn outcomes(body: &[u8]) -> Vec<Outcome<'_>> {
    let mut found: Vec<Outcome<'_>> = Vec::new();
    let mut id_alone = None;
    for line in lines(body) {
        let value = |key: &str| {
            pairs(line, b'&').find(|(found, _)| found.eq_ignore_ascii_case(key.as_bytes())).map(|(_, value)| value)
        };
        let id = value("ID").and_then(number).and_then(|id| u64::try_from(id).ok());
        let code = value("Return").and_then(number);
        match (id, code, id_alone) {
            (Some(id), Some(code), _) => {
                let sum = value("AttlogSum").and_then(number).and_then(|sum| u64::try_from(sum).ok());
                found.push(Outcome { id, code, sum, more: behind(body, line) });
            }
            (Some(id), None, _) => id_alone = Some(id),
            (None, Some(code), Some(id)) => {
                found.push(Outcome { id, code, sum: None, more: &[] });
                return found; // from here on it is content, which may look like anything
            }
            _ => {}
        }
        if found.len() >= MOST_OUTCOMES {
            break;
        }
    }
    found
}

/// More results than that were never asked for.
const MOST_OUTCOMES: usize = 256;

/// What follows a line of this body.
fn behind<'a>(body: &'a [u8], line: &'a [u8]) -> &'a [u8] {
    let end = line.as_ptr() as usize - body.as_ptr() as usize + line.len();
    &body[end.min(body.len())..]
}

/// A return code in words, where its meaning is known.
pub(crate) fn meaning(code: i64) -> &'static str {
    match code {
        -1 => "parameter wrong or not supported",
        -2 => "size mismatch",
        -3 => "reading or writing failed",
        -4 => "no match",
        -5 => "full",
        -6 => "invalid",
        -10 => "no such user",
        -14 | -22 => "unknown command",
        -629 => "wrong dialect",
        -1001 => "capacity exceeded",
        -1002 => "not supported",
        -1003 => "timed out",
        -1004 => "not on this model",
        -1005 => "busy",
        -1006 => "too long",
        -1007 => "out of memory",
        -1008 => "download failed",
        _ => "a code of the vendor",
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_written_as_each_dialect_has_them() {
        let (from, to) = (date(2026, 11, 1).at(0, 0, 0, 0), date(2026, 11, 22).at(23, 59, 59, 0));
        let punches = Command::QueryPunches { from, to };
        assert_eq!(
            punches.text(Dialect::Attendance).unwrap(),
            "DATA QUERY ATTLOG StartTime=2026-11-01 00:00:00\tEndTime=2026-11-22 23:59:59"
        );
        let unlock = Command::Unlock { door: 1, seconds: 5 };
        assert_eq!(unlock.text(Dialect::Security).unwrap(), "CONTROL DEVICE 0101010005");
        assert_eq!(unlock.text(Dialect::Attendance).unwrap(), "AC_UNLOCK");
        assert_eq!(Command::Unlock { door: 2, seconds: 5 }.text(Dialect::Attendance), None, "it has one door");
        assert!(!unlock.repeatable() && punches.repeatable());
    }

    #[test]
    fn a_user_is_put_and_deleted_by_a_number_that_can_mean_nobody_else() {
        let user = |id: &str, name: Option<&str>, card| User { id: id.into(), name: name.map(str::to_owned), card };
        let put = |it: User, dialect| Command::PutUser(it).text(dialect);
        let whole = || user("007", Some("Lu Xun"), Some(4242));
        assert_eq!(put(whole(), Dialect::Attendance).unwrap(), "DATA UPDATE USERINFO PIN=007\tName=Lu Xun\tCard=4242");
        assert_eq!(put(whole(), Dialect::Security).unwrap(), "DATA UPDATE user Pin=007\tName=Lu Xun\tCardNo=4242");
        assert_eq!(put(user("7", None, None), Dialect::Attendance).unwrap(), "DATA UPDATE USERINFO PIN=7");
        for dialect in [Dialect::Attendance, Dialect::Security] {
            for id in ["", " ", "7\t", "7\nC:9:REBOOT", "*", "7 PIN=8", &"7".repeat(25)] {
                assert_eq!(Command::DeleteUser { id: id.into() }.text(dialect), None, "{id:?}");
                assert_eq!(put(user(id, None, None), dialect), None, "{id:?}");
            }
            for name in ["", "a\tPri=14", "a\nC:9:CLEAR DATA"] {
                assert_eq!(put(user("7", Some(name), None), dialect), None, "{name:?}");
            }
        }
        assert_eq!(Command::DeleteUser { id: "7".into() }.text(Dialect::Security).unwrap(), "DATA DELETE user Pin=7");
    }

    #[test]
    fn results_come_in_three_forms() {
        let batch = outcomes(b"ID=1&Return=0&CMD=DATA\nID=2&Return=-1004&CMD=DATA\n");
        assert_eq!(batch.iter().map(|o| (o.id, o.code)).collect::<Vec<_>>(), [(1, 0), (2, -1004)]);
        let info = outcomes(b"ID=7&SN=K&Return=0&CMD=INFO\n~DeviceName=X\nUserCount=3\n");
        assert_eq!(info.len(), 1);
        assert!(info[0].more.ends_with(b"UserCount=3\n"));
        let shell = outcomes(b"ID=8\nSN=K\nReturn=0\nCMD=Shell\nFILENAME=x\nContent=ID=9&Return=0");
        assert_eq!(shell.iter().map(|o| o.id).collect::<Vec<_>>(), [8]);
        let count = outcomes(b"ID=3&Return=0&CMD=VERIFY SUM&AttlogSum=12");
        assert_eq!(count[0].sum, Some(12));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            prop_assert!(outcomes(&body).len() <= MOST_OUTCOMES);
        }
    }
}
