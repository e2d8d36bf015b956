//! The targets: each takes bytes of anybody's choice, and asserts what must hold whatever they are.
//!
//! Used twice: by cargo-fuzz, and by `tests/rigs/run fuzz`, which needs nothing but a stable toolchain.

use std::{cell::RefCell, fs, path::Path, sync::LazyLock};

use driver_anviz::decoders as anviz;
use driver_modbus::decoders as modbus;
use driver_osdp::decoders as osdp;
use driver_serial_ascii::decoders as serial;
use driver_uhppote::decoders as uhppote;
use driver_zk::{
    event,
    form::{Hints, choose},
    frame::{Packet, frame_length},
    record::{Form, records},
    sizes, time, user,
};
use driver_zk_push::decoders as push;
use jiff::civil::date;
use punchgate::{
    backup::decoders as backup,
    command::{ENVELOPE_LIMIT, Envelope, PrivateKey, Purpose, Response, SIGNATURES_LIMIT, TrustList, order_in},
    config,
    drivers::DRIVERS,
    spool::decoders as journal,
};
use tempfile::TempDir;

/// One decoder.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Its words: a file of `dictionaries`.
    pub words: &'static str,
    /// Bytes that other people's code never gives back, at most, for each input.
    pub keeps: u64,
}

const fn target(name: &'static str, words: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, words, keeps: 0 }
}

pub const TARGETS: [Target; 32] = [
    target("zk_frame", "zk", zk_frame),
    target("zk_records", "zk", zk_records),
    target("zk_events", "zk", zk_events),
    target("zk_users", "zk", zk_users),
    target("push_target", "zk-push", push::target),
    target("push_head", "zk-push", push::head),
    target("push_attendance", "zk-push", push::attendance),
    target("push_events", "zk-push", push::events),
    target("push_operations", "zk-push", push::operations),
    target("push_options", "zk-push", push::options),
    target("push_outcomes", "zk-push", push::outcomes),
    target("anviz_frames", "anviz", anviz::frames),
    target("anviz_contents", "anviz", anviz::contents),
    target("modbus_answer", "modbus", modbus::answer),
    target("modbus_record", "modbus", modbus::record),
    target("modbus_map", "modbus", modbus::map),
    target("osdp_frames", "osdp", osdp::frames),
    target("osdp_card", "osdp", osdp::card),
    // LibOSDP's channels and callbacks.
    Target { keeps: 1024, ..target("osdp_session", "osdp", osdp::session) },
    target("serial_frames", "serial-ascii", serial::frames),
    target("serial_description", "serial-ascii", serial::description),
    target("uhppote_packets", "uhppote", uhppote::packets),
    target("remote_request", "remote", remote_request),
    target("remote_answer", "remote", remote_answer),
    target("trust_list", "remote", trust_list),
    target("journal_body", "journal", journal::body),
    target("journal_damaged", "journal", journal::damaged),
    target("journal_segment", "journal", journal_segment),
    target("backup_listing", "backup", backup::listing),
    target("backup_manifest", "backup", backup::manifest),
    target("backup_contents", "backup", backup::contents),
    target("config", "config", config_file),
];

/// Looks the target up that a file of `fuzz_targets` is named for.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(bytes);
}

/// Frames one after the other, as they come out of a connection.
fn zk_frame(bytes: &[u8]) {
    let mut stream = bytes;
    while let Ok(Some(length)) = frame_length(stream) {
        assert!(length > 8);
        let Some((frame, rest)) = stream.split_at_checked(length) else { return };
        if let Ok((packet, Ok(()))) = Packet::decode(&frame[8..]) {
            assert_eq!(Packet::decode(&packet.encode()), Ok((packet, Ok(()))));
        }
        stream = rest;
    }
    // The same without a wrapper, as over UDP.
    let _ = Packet::decode(bytes);
}

const FORMS: [Form; 5] = [Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49)];

/// What the terminal says of itself, and the log in bulk behind it.
fn zk_records(bytes: &[u8]) {
    let Some((said, body)) = bytes.split_at_checked(2) else { return };
    let log = records(body).unwrap_or(body);
    let hints = Hints {
        count: (said[0] != 0).then(|| u32::from(said[0])),
        now: date(2026, 11, 20).at(0, 0, 0, 0),
        known: FORMS.get(usize::from(said[1] % 8)).copied(),
    };
    if let Ok(form) = choose(log, &hints) {
        assert!(log.len().is_multiple_of(form.size()));
        for raw in log.chunks(form.size()) {
            if let Ok(record) = form.decode(raw) {
                assert!(time::decode(time::encode(record.local)) == Some(record.local));
            }
        }
    }
    for form in FORMS {
        let _ = form.decode(log);
    }
}

fn zk_events(bytes: &[u8]) {
    let Some((form, event)) = bytes.split_first() else { return };
    let form = FORMS.get(usize::from(form % 8)).copied();
    if let Ok(found) = event::decode(event, form) {
        assert!(!found.is_empty() && found.len() * 10 <= event.len());
    }
}

/// The answer about sizes, and a list of users.
fn zk_users(bytes: &[u8]) {
    let _ = sizes::decode(bytes);
    let Some((count, list)) = bytes.split_first() else { return };
    if let Ok(users) = user::decode(list, (*count != 0).then(|| u32::from(*count))) {
        assert!(users.len() <= list.len() / 28);
    }
}

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A folder in memory, the same for all inputs of a thread.
fn with_folder(act: impl FnOnce(&Path)) {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a folder can be made")
        });
        act(folder.path());
    });
}

fn journal_segment(bytes: &[u8]) {
    with_folder(|folder| {
        let done = journal::segment(bytes, folder);
        assert!(done.is_ok(), "{done:?}");
    });
}

/// Whatever a config says, the answer is a config or at least one problem, each with its mend.
fn config_file(bytes: &[u8]) {
    with_folder(|folder| {
        let path = folder.join("config.toml");
        fs::write(&path, bytes).expect("memory takes it");
        if let Err(rejected) = config::load(&path, DRIVERS) {
            assert!(!rejected.problems.is_empty());
            for problem in &rejected.problems {
                assert!(!problem.why.is_empty() && !problem.mend.is_empty(), "{problem}");
            }
        }
    });
}

/// What comes on `request/{id}`: an envelope whose form is right, and the order in it, or neither.
fn remote_request(bytes: &[u8]) {
    let Ok(envelope) = Envelope::read(bytes, Purpose::Command) else { return };
    assert!(bytes.len() <= ENVELOPE_LIMIT);
    assert!((1..=SIGNATURES_LIMIT).contains(&envelope.keys().count()));
    // One reading of any bytes: what we would write ourselves is read as the same.
    assert_eq!(Envelope::read(&envelope.bytes(), Purpose::Command).as_ref(), Ok(&envelope));
    if let Ok((order, spec)) = order_in(&envelope) {
        assert_eq!(order.payload(), *envelope.payload());
        assert_eq!(spec.name, order.command);
    }
    // Signed for something else, it is nothing.
    assert!(Envelope::read_any(bytes, Purpose::Response).is_err());
}

/// The list of who may order what, whoever signed it.
fn trust_list(bytes: &[u8]) {
    static KEY: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::generate);
    let Ok(envelope) = Envelope::read(bytes, Purpose::Trust) else { return };
    if let Ok(list) = TrustList::of(&envelope) {
        assert!(list.issued < list.expires && list.version > 0);
        // What was understood is written as it was read.
        assert_eq!(TrustList::of(&list.sign(&KEY)).as_ref(), Ok(&list));
    }
}

/// What the support engineer's side reads on `response/{id}` and `audit`.
fn remote_answer(bytes: &[u8]) {
    for purpose in [Purpose::Response, Purpose::Audit] {
        if let Ok(envelope) = Envelope::read_any(bytes, purpose) {
            assert_eq!(Envelope::read_any(&envelope.bytes(), purpose).as_ref(), Ok(&envelope));
            if let Ok(response) = serde_json::from_value::<Response>(envelope.payload().clone()) {
                let _ = response.standing.is_final();
            }
        }
    }
}
