//! Whatever the bytes: decoders give an answer, every line is accounted for, and nothing that comes out is longer or wilder
//! than it may be. Bytes are random, or pieces of right requests put together wrongly, which gets further in.

use driver_api::SetAside;
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use crate::{
    attlog, codes::VerifyTable, commands, cursor::Cursor, head, lines::lines, mask, name, operlog, options, punches,
    punches::Reading, rtlog, runs::Runs, tabledata, target, when,
};

/// What right requests consist of, and what does harm in between.
const PIECES: &[&[u8]] = &[
    b"\t",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"=",
    b"&",
    b",",
    b":",
    b" ",
    b"\0",
    b"%",
    b"\xff\xd8\xff",
    b"\xd5\xc5",
    b"-",
    b"0",
    b"1",
    b"PIN=",
    b"DateTime=",
    b"2026-11-22 08:00:00",
    b"2026-11-22T08:00:00",
    b"1971--10--29 -23:-27:-54",
    b"+28800",
    b"99999999999999999999",
    b"-9223372036854775808",
    b"OPLOG 4",
    b"USER PIN=1\tName=",
    b"Passwd=",
    b"Card=[15CD5B07]",
    b"FP PIN=1\tTMP=",
    b"time=",
    b"time_second=",
    b"pin=",
    b"event=",
    b"eventtype=200",
    b"index=",
    b"verifytype=15",
    b"transaction ",
    b"user uid=1",
    b"ID=5&Return=0&CMD=",
    b"INFO\n",
    b"Shell\n",
    b"Content=",
    b"AttlogSum=",
    b"~DeviceName=",
    b"GET ",
    b"POST /iclock/cdata?SN=",
    b" HTTP/1.1\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(0..PIECES.len(), 0..40);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        pieces.prop_map(|chosen| chosen.into_iter().flat_map(|at| PIECES[at]).copied().collect()),
    ]
}

fn reading(table: VerifyTable) -> Reading {
    let now = Timestamp::constant(1_795_000_000, 0);
    Reading { table, fallback: name::fallback(None, Some("83")), zone: TimeZone::UTC, now }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn decoders_never_panic_on_any_bytes(bytes in bytes()) {
        let _ = attlog::entry(&bytes);
        let _ = rtlog::event(&bytes).verdict();
        if let operlog::Line::Operation(operation) = operlog::line(&bytes) {
            let _ = operation.meaning();
        }
        let _ = tabledata::user(tabledata::without_table(&bytes, "user"));
        let _ = options::about(&bytes, encoding_rs::GBK).to_json();
        for outcome in commands::outcomes(&bytes) {
            let _ = commands::meaning(outcome.code);
        }
        let _ = Cursor::read(&bytes).bytes();
        let _ = when::wall(&bytes);
        let _ = mask::masked(&bytes);
        let _ = (head::end(&bytes), head::framing(&bytes));
        let mended = head::mended(bytes.clone());
        let text = String::from_utf8_lossy(&mended);
        let _ = (options::info(&text), options::version(&text), target::endpoint(&text));
        if let Ok(serial) = target::Query(&text).serial() {
            prop_assert!(serial.len() <= 64 && serial.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        }
    }

    #[test]
    fn every_line_is_a_punch_or_set_aside_or_known_to_be_neither(bytes in bytes(), older: bool, table in "transaction|rtlog|") {
        let reading = reading(if older { VerifyTable::Older } else { VerifyTable::Newer });
        for taken in [
            punches::attendance(&bytes, &mut Runs::default(), &reading),
            punches::events(&bytes, &table, &mut Runs::default(), &reading),
        ] {
            let punches = &taken.batch.punches;
            prop_assert_eq!(taken.lines, lines(&bytes).count());
            prop_assert_eq!(taken.lines, punches.len() + taken.aside + taken.others);
            for punch in punches {
                prop_assert!(!punch.person.is_empty() && !punch.person.contains(['\t', '\n', '\0']));
                prop_assert!(punch.person.len() <= 4 * attlog::LONGEST_PIN);
                prop_assert!(punch.work_code.as_ref().is_none_or(|code| code.chars().count() <= 32));
                prop_assert!(punch.native.as_ref().is_none_or(|native| native.len() <= 20));
            }
            for aside in &taken.batch.set_aside {
                prop_assert!(aside.raw.len() <= SetAside::LIMIT && !aside.reason.is_empty());
            }
        }
    }

    #[test]
    fn every_second_of_a_vendor_is_a_time_or_nothing(seconds: i64) {
        if let Some(local) = when::from_vendor_seconds(seconds) {
            prop_assert_eq!(when::to_vendor_seconds(local), Some(seconds));
        }
    }
}
