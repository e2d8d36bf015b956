//! Every decoder of what terminals send, each on bytes of anybody's choice: for fuzzing. What must hold whatever the bytes
//! are is asserted here.

use driver_api::Batch;
use encoding_rs::GB18030;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    attlog::LONGEST_PIN,
    codes::VerifyTable,
    commands, head,
    lines::lines,
    mask,
    operlog::{self, Line},
    options, punches,
    punches::{Reading, Taken},
    runs::Runs,
    tabledata,
    target::{self, Query},
};

fn reading() -> Reading {
    let now = Timestamp::from_second(1_763_600_000).expect("that is a second");
    Reading { table: VerifyTable::default(), fallback: GB18030, zone: TimeZone::UTC, now }
}

/// A path, `?`, and a query.
pub fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let _ = target::endpoint(path);
    let query = Query(query);
    if let Ok(serial) = query.serial() {
        assert!((1..=64).contains(&serial.len()) && serial.is_ascii());
    }
    for key in ["table", "tablename", "Stamp", "OpStamp", "INFO", "type", "cmdid", "pushver"] {
        let _ = query.get(key);
    }
}

/// The head of a request.
pub fn head(bytes: &[u8]) {
    let Some(end) = head::end(bytes) else { return };
    assert!(end <= bytes.len());
    let framing = head::framing(&bytes[..end]);
    let mended = head::mended(bytes[..end].to_vec());
    // What is mended stays so, and says the same of the body.
    assert_eq!(head::mended(mended.clone()), mended);
    assert_eq!(head::framing(&mended), framing);
}

/// The body of an ATTLOG upload.
pub fn attendance(bytes: &[u8]) {
    whole(&punches::attendance(bytes, &mut Runs::default(), &reading()), bytes);
}

/// The body of an upload of `rtlog` or `transaction`.
pub fn events(bytes: &[u8]) {
    for table in ["rtlog", "transaction"] {
        whole(&punches::events(bytes, table, &mut Runs::default(), &reading()), bytes);
    }
}

/// Each line that is not empty is a punch, set aside, or of another kind that is known: no line is lost.
fn whole(taken: &Taken, bytes: &[u8]) {
    let Batch { punches, .. } = &taken.batch;
    assert_eq!(taken.lines, lines(bytes).count());
    assert_eq!(taken.lines, punches.len() + taken.aside + taken.others);
    for punch in punches {
        // A byte becomes three at most.
        assert!(!punch.person.is_empty() && punch.person.len() <= 3 * LONGEST_PIN, "{:?}", punch.person);
    }
}

/// The body of an OPERLOG upload, or of users.
pub fn operations(bytes: &[u8]) {
    for line in lines(bytes) {
        match operlog::line(line) {
            Line::Operation(operation) => _ = operation.meaning(),
            Line::User { pin } => assert!(!pin.is_empty() && pin.len() <= LONGEST_PIN),
            Line::Dropped => {}
        }
        let _ = tabledata::user(line);
        let _ = mask::masked(line);
    }
}

/// What a terminal tells of itself.
pub fn options(bytes: &[u8]) {
    let _ = options::about(bytes, GB18030);
    let text = String::from_utf8_lossy(bytes);
    let _ = options::info(&text);
    let _ = options::version(&text);
}

/// The results of commands.
pub fn outcomes(bytes: &[u8]) {
    for outcome in commands::outcomes(bytes) {
        assert!(outcome.more.len() <= bytes.len());
        let _ = options::about(outcome.more, GB18030);
    }
}
