//! Lines of the table ATTLOG: one attendance record each.

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use crate::{
    lines::{fields, number, value},
    when,
};

/// A record of the attendance log, still in the terminal's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub pin: &'a [u8],
    pub local: DateTime,
    pub status: &'a [u8],
    pub verify: &'a [u8],
    pub work_code: &'a [u8],
    /// Where the record tells its own offset from UTC (attendance PUSH 2.4.2).
    pub offset: Option<Offset>,
}

/// The longest PIN taken. Documents say 24; what is longer than this is no PIN.
pub(crate) const LONGEST_PIN: usize = 64;

/// Reads one line. What cannot be a punch comes back with the reason in words.
///
/// Columns: PIN, time, status, verify, work code, two reserved; more by model. Legal lengths seen are 4, 5, 6, 7, 9, 10,
/// 12 and 16; the first two must be there. Some servers' documents print `PIN=..<TAB>DateTime=..`, which is read too.
pub(crate) fn entry(line: &[u8]) -> Result<Entry<'_>, &'static str> {
    if line.len() > driver_api::SetAside::LIMIT {
        return Err("the line is longer than 4096 bytes");
    }
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"PIN=")) {
        return by_key(line);
    }
    let mut columns = fields(line);
    let pin = columns.next().unwrap_or_default();
    let time = columns.next().ok_or("there is no second column with a time")?;
    let [status, verify, work_code] = std::array::from_fn(|_| columns.next().unwrap_or_default());
    // Only a line of 12 columns has its offset in column 10; longer ones hold job codes there.
    let offset = columns.nth(5).filter(|_| columns.next().is_some() && columns.next().is_none()).and_then(offset);
    Ok(Entry { pin: checked_pin(pin)?, local: checked_time(time)?, status, verify, work_code, offset })
}

fn by_key(line: &[u8]) -> Result<Entry<'_>, &'static str> {
    let find = |keys: &[&str]| keys.iter().find_map(|key| value(line, b'\t', key)).unwrap_or_default();
    Ok(Entry {
        pin: checked_pin(find(&["PIN"]))?,
        local: checked_time(find(&["DateTime", "Time"]))?,
        status: find(&["Status"]),
        verify: find(&["Verify", "Verified"]),
        work_code: find(&["WorkCode"]),
        offset: None,
    })
}

/// A PIN as it may stand in a record: not empty, not endless, no control characters. Zeros in front count.
pub(crate) fn checked_pin(pin: &[u8]) -> Result<&[u8], &'static str> {
    let pin = pin.trim_ascii();
    match pin {
        [] => Err("the user number is empty"),
        _ if pin.len() > LONGEST_PIN => Err("the user number is longer than 64 bytes"),
        _ if pin.iter().any(u8::is_ascii_control) => Err("the user number holds control characters"),
        _ => Ok(pin),
    }
}

fn checked_time(field: &[u8]) -> Result<DateTime, &'static str> {
    when::wall(field).ok_or("the time is not a whole YYYY-MM-DD HH:MM:SS of the calendar")
}

/// `+28800`: seconds. Zones of the world lie within 14 hours; a bare `0` in that column is as likely a reserved field.
fn offset(column: &[u8]) -> Option<Offset> {
    if !matches!(column.trim_ascii().first()?, b'+' | b'-') {
        return None;
    }
    let seconds = number(column).filter(|seconds| seconds.abs() <= 14 * 3600)?;
    Offset::from_seconds(i32::try_from(seconds).ok()?).ok()
}

impl Entry<'_> {
    /// The zone that the record itself tells.
    pub(crate) fn zone(&self) -> Option<TimeZone> {
        self.offset.map(TimeZone::fixed)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_legal_number_of_columns_is_read() {
        for more in [
            "",
            "\t0",
            "\t0\t0",
            "\t0\t0\t0",
            "\t0\t0\t0\t0\t36.5",
            "\t0\t0\t0\t0\t36.5\t36.5",
            "\t0\t0\t0\t0\t36.5\t36.5\t+25200\t",
            "\t0\t0\t0\t1\t2\t3\t4\t5\t6\t7\t8\t9",
        ] {
            let line = format!("1001\t2026-11-22 08:00:01\t255\t15{more}");
            let entry = entry(line.as_bytes()).unwrap();
            assert_eq!((entry.pin, entry.status, entry.verify), (&b"1001"[..], &b"255"[..], &b"15"[..]));
            assert_eq!(entry.local, date(2026, 11, 22).at(8, 0, 1, 0));
            assert_eq!(entry.offset.map(Offset::seconds), more.contains("+25200").then_some(25_200), "{line}");
        }
    }

    #[test]
    fn a_work_code_and_zeros_in_front_stay_as_they_are() {
        let entry = entry(b"007\t2008-02-25 12:08:21\t1\t0\t9001").unwrap();
        assert_eq!((entry.pin, entry.work_code), (&b"007"[..], &b"9001"[..]));
    }

    #[test]
    fn a_line_with_keys_is_read_by_its_keys() {
        let entry = entry(b"PIN=1001\tDateTime=2026-11-22 08:00:01\tVerified=1\tStatus=0").unwrap();
        assert_eq!((entry.pin, entry.verify, entry.status), (&b"1001"[..], &b"1"[..], &b"0"[..]));
    }

    #[test]
    fn what_is_no_record_says_why() {
        for (line, why) in [
            ("garbage", "no second column"),
            ("\t2026-11-22 08:00:00", "is empty"),
            ("5\t1971--10--29 -23:-27:-54\t0\t1", "the time"),
            ("5\t2026-11-22 08:00:0", "the time"),
            ("a\u{1}b\t2026-11-22 08:00:00", "control"),
        ] {
            assert!(entry(line.as_bytes()).unwrap_err().contains(why), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line: Vec<u8>) {
            let _ = entry(&line);
        }

        #[test]
        fn a_record_that_was_cut_never_gets_another_time(cut in 0..24_usize) {
            let line = b"1001\t2026-11-22 08:00:21\t0\t15\t0\t0\t0";
            if let Ok(entry) = entry(&line[..cut]) {
                prop_assert_eq!(entry.local, date(2026, 11, 22).at(8, 0, 21, 0));
            }
        }
    }
}
