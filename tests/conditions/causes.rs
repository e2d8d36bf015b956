//! Which test makes each condition come and go by its own cause, and those that need the whole gateway.
//!
//! That each of them appears when it has lasted and not before, and is over when it has been well and not before, is tested for
//! all at once, with a clock that is moved: `every_condition_appears_within_its_time_and_disappears_again`.

use std::{fs, net::TcpListener, path::Path, process::Command};

use driver_api::Trouble;
use driver_zk::sim::{Model, Simulator};
use punchgate::{audit, health::Code};
use rustix::process::Signal;
use serde_json::Value;

use super::support::{
    broker::{Mosquitto, skipped},
    daemon::Daemon,
};

const JUDGE: &str = "src/status/judge/tests.rs";
const SUPERVISOR: &str = "src/supervisor/tests.rs";
const HEALTH: &str = "src/health/tests.rs";
const HERE: &str = "tests/conditions/causes.rs";
const EACH_CAUSE: &str = "each_cause_is_a_condition_within_its_time_and_is_over_again";
const EACH_END: &str = "each_end_of_a_driver_is_a_condition_within_its_time_and_is_over_when_it_serves";
const NOT_KEPT: &str = "what_cannot_be_kept_or_served_is_told_until_it_can";

/// Code, file, test.
const TESTED: &[(&str, &str, &str)] = &[
    ("disk-full", JUDGE, EACH_CAUSE),
    ("disk-failed", JUDGE, EACH_CAUSE),
    ("disk-nearly-full", JUDGE, EACH_CAUSE),
    ("disk-slow", JUDGE, EACH_CAUSE),
    ("disk-worn", JUDGE, EACH_CAUSE),
    ("gateway-memory-low", JUDGE, EACH_CAUSE),
    ("gateway-hot", JUDGE, EACH_CAUSE),
    ("gateway-network-down", JUDGE, EACH_CAUSE),
    ("incidents-not-kept", HERE, NOT_KEPT),
    ("audit-not-written", HERE, NOT_KEPT),
    ("metrics-not-served", HERE, NOT_KEPT),
    ("backup-too-old", JUDGE, "a_backup_is_as_old_as_its_file"),
    ("journal-damaged", JUDGE, EACH_CAUSE),
    ("punches-lost", "tests/truth.rs", "what_a_repair_lost_is_a_condition_until_the_terminal_has_brought_it_again"),
    ("index-rebuilt", JUDGE, EACH_CAUSE),
    ("store-restored", HERE, "a_store_that_was_copied_is_told_over_restarts_until_somebody_knows"),
    ("broker-unreachable", JUDGE, EACH_CAUSE),
    ("broker-refuses", JUDGE, EACH_CAUSE),
    ("punch-unsendable", JUDGE, EACH_CAUSE),
    ("trust-list-ends", "src/status/trust.rs", "a_trust_list_is_missed_before_nobody_may_do_anything"),
    ("certificate-expires", JUDGE, EACH_CAUSE),
    ("certificate-expires-soon", JUDGE, EACH_CAUSE),
    ("certificate-ends", JUDGE, EACH_CAUSE),
    (
        "config-rejected",
        "tests/delivery.rs",
        "a_reload_leaves_unchanged_terminals_alone_and_a_bad_file_changes_nothing",
    ),
    ("gateway-clock-not-trusted", JUDGE, EACH_CAUSE),
    ("gateway-clock-stepped", JUDGE, EACH_CAUSE),
    ("terminals-cut-off", HEALTH, "the_switch_is_told_and_not_its_forty_terminals"),
    ("terminal-not-run", "src/gateway/caretaker.rs", "a_terminal_that_nobody_runs_is_told_until_somebody_does"),
    ("terminal-never-heard", HEALTH, "a_terminal_that_never_comes_is_told"),
    ("terminal-silent", HEALTH, "a_silence_is_told_against_a_terminals_own_hours_and_a_holiday_as_one"),
    ("terminals-all-silent", HEALTH, "a_silence_is_told_against_a_terminals_own_hours_and_a_holiday_as_one"),
    ("terminal-firmware-flawed", HEALTH, "firmware_with_published_flaws_is_told_with_its_source_until_it_is_newer"),
    ("terminal-offline", SUPERVISOR, EACH_END),
    ("terminal-busy", SUPERVISOR, EACH_END),
    ("terminal-refuses", SUPERVISOR, EACH_END),
    ("terminal-garbled", SUPERVISOR, EACH_END),
    ("driver-failed", SUPERVISOR, EACH_END),
    (
        "terminal-wrong-serial",
        "drivers/zk/tests/faults.rs",
        "another_terminal_at_the_address_is_not_booked_under_this_name",
    ),
    (
        "terminal-clock-off",
        "drivers/zk-push/tests/uploads.rs",
        "a_punch_of_this_moment_is_live_and_tells_how_the_clock_stands",
    ),
    (
        "terminal-clock-unset",
        "drivers/uhppote/tests/clocks.rs",
        "a_clock_that_is_behind_or_without_a_date_is_set_where_that_is_switched_on",
    ),
    ("terminal-clock-jumped", HEALTH, "a_clock_that_jumps_is_told_until_it_is_set_right_or_has_been_steady"),
    (
        "terminal-log-nearly-full",
        "drivers/zk/tests/reconciling.rs",
        "a_full_log_that_overwrites_its_oldest_is_read_although_its_count_stands",
    ),
    (
        "terminal-log-shrank",
        "drivers/zk/tests/incidents.rs",
        "a_log_that_lost_its_oldest_records_has_shrunk_and_was_not_cleared",
    ),
    ("terminal-log-cleared", "drivers/zk/tests/incidents.rs", "a_cleared_log_is_told_and_its_new_punches_are_stored"),
    ("terminal-log-overrun", "drivers/zk/tests/incidents.rs", "a_full_log_that_overwrote_what_nobody_had_read_is_told"),
    ("terminal-log-unreadable", "drivers/anviz/tests/reading.rs", "lengths_that_lie_end_in_a_condition"),
    (
        "terminal-records-set-aside",
        "drivers/zk/tests/reconciling.rs",
        "records_set_aside_are_told_until_what_comes_next_can_be_read",
    ),
    (
        "terminal-unsafe-key",
        "drivers/osdp/tests/faults.rs",
        "a_reader_is_given_its_key_within_the_window_and_not_beyond",
    ),
    ("terminal-line-noisy", "drivers/uhppote/tests/reading.rs", "what_fits_no_question_is_told_until_it_stops"),
    ("terminal-no-live-events", "drivers/zk/tests/reconciling.rs", "a_punch_whose_event_was_lost_is_found_in_the_log"),
    ("terminal-unknown", HERE, "a_stranger_is_told_until_the_config_knows_him"),
    (
        "terminal-events-lost",
        "drivers/uhppote/tests/reading.rs",
        "a_ring_that_went_round_is_told_with_what_is_lost_and_until_somebody_took_note",
    ),
    ("terminal-address-changed", "drivers/anviz/tests/lines.rs", "an_address_that_is_not_allowed_is_refused"),
    (
        "terminal-other-reader",
        "drivers/anviz/tests/marks.rs",
        "another_program_that_takes_records_is_told_and_takes_nothing_from_us",
    ),
    ("terminal-epoch-suspect", "drivers/anviz/tests/reading.rs", "an_epoch_that_is_a_day_off_is_told"),
    ("terminal-tampered", "drivers/osdp/tests/bus.rs", "tamper_and_power_are_conditions_and_end"),
    ("terminal-power-failing", "drivers/osdp/tests/bus.rs", "tamper_and_power_are_conditions_and_end"),
    (
        "terminal-channel-unsafe",
        "drivers/osdp/tests/faults.rs",
        "a_reader_is_given_its_key_within_the_window_and_not_beyond",
    ),
];

/// Where a test tries what decides on a condition, and not the condition.
const BY_ITS_PART: [(&str, &str); 2] = [("backup-too-old", "too_old"), ("trust-list-ends", "trust_list_ends")];

/// The text of a test, from its name to the end of its body.
fn body(file: &str, test: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()?;
    let (before, rest) = text.split_once(&format!("fn {test}()"))?;
    let line = before.lines().last()?;
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let is_test = before.trim_end_matches(line).trim_end().lines().last()?.contains("test");
    let end = rest.find(&format!("\n{indent}}}\n"))?;
    is_test.then(|| rest[..end].to_owned())
}

#[test]
fn every_condition_has_a_test_that_makes_it_come_and_go() {
    for code in Code::ALL {
        let name = code.kind().code;
        let (_, file, test) =
            TESTED.iter().find(|(it, ..)| *it == name).unwrap_or_else(|| panic!("{name} has no test of its own"));
        let body = body(file, test).unwrap_or_else(|| panic!("{name}: there is no test {test} in {file}"));
        let trouble = Trouble::ALL.iter().find(|it| it.code() == name).map(|it| format!("Trouble::{it:?}"));
        let part = BY_ITS_PART.iter().find(|(it, _)| *it == name).map(|(_, part)| (*part).to_owned());
        let mut words =
            [Some(format!("\"{name}\"")), Some(format!("Code::{code:?}")), trouble, part].into_iter().flatten();
        assert!(words.any(|word| body.contains(&word)), "{name}: {test} does not speak of it");
    }
    assert_eq!(TESTED.len(), Code::ALL.len(), "a test of a condition that is no more");
    assert!(body(HEALTH, "every_condition_appears_within_its_time_and_disappears_again").is_some());
}

fn codes(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["code"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_or_served_is_told_until_it_can() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut daemon = Daemon::prepare();
    daemon.configure(&broker, &format!("[metrics]\nlisten = \"{}\"\n", taken.local_addr().unwrap()));
    let (log, incidents) = (daemon.path("state/audit"), daemon.path("state/incidents"));
    fs::create_dir(daemon.path("state")).unwrap();
    [&log, &incidents].iter().for_each(|path| fs::write(path, "a file where a folder should be").unwrap());
    daemon.launch();
    const WRONG: [&str; 3] = ["incidents-not-kept", "audit-not-written", "metrics-not-served"];
    let all =
        daemon.until(&["conditions"], "all are told", |lines| WRONG.iter().all(|it| codes(lines).contains(it))).await;
    let of = |code: &str| all.iter().find(|line| line["code"] == code).unwrap()["cause"].to_string();
    assert!(of("audit-not-written").contains("1 lines are missing"), "{}", of("audit-not-written"));
    [&log, &incidents].iter().for_each(|path| fs::remove_file(path).unwrap());
    drop(taken);
    daemon.until(&["conditions"], "all are over", |lines| WRONG.iter().all(|it| !codes(lines).contains(it))).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    // The log itself says that something is missing.
    assert!(audit::verify(&daemon.path("state")).unwrap().is_whole());
    let kinds: Vec<_> = audit::entries(&daemon.path("state")).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!((kinds[0].kind.as_str(), &kinds[0].data["missing"]), ("gap", &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_copied_is_told_over_restarts_until_somebody_knows() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let terminal = Simulator::start(Model::default(), 0).await.unwrap();
    terminal.fill(3);
    let block =
        format!("[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n", terminal.address());
    let mut daemon = Daemon::start(&broker, &block);
    let served = async |daemon: &Daemon| {
        let well = |it: &Value| it["terminals"]["online"] == 1 && it["queue"]["undelivered"] == 0;
        daemon.until_status("all is delivered", well).await;
        daemon.until(&["punches"], "they are here", |all| all.len() == 3).await;
    };
    let restart = async |daemon: &mut Daemon| {
        daemon.signal(Signal::TERM);
        assert!(daemon.ended().await.success());
        daemon.launch();
        served(daemon).await;
    };
    served(&daemon).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    let (state, original) = (daemon.path("state"), daemon.path("original"));
    fs::rename(&state, &original).unwrap();
    assert!(Command::new("cp").arg("-a").args([&original, &state]).status().unwrap().success());
    if fs::metadata(&state).unwrap().created().is_err() {
        return skipped("this file system does not tell when a file was made: copies of a store are not found out");
    }
    daemon.launch();
    let told =
        |lines: &[Value]| lines.iter().find(|it| it["code"] == "store-restored").map(|it| it["since"].to_string());
    let all = daemon.until(&["conditions"], "it is told", |lines| told(lines).is_some()).await;
    restart(&mut daemon).await;
    let again = daemon.until(&["conditions"], "it is told again", |lines| told(lines).is_some()).await;
    // Kept in milliseconds.
    let same = |since: Option<String>| since.map(|it| it[..23].to_owned());
    assert_eq!(same(told(&all)), same(told(&again)));
    daemon.ask(&["journal", "acknowledge", "--all"]).unwrap();
    daemon.until(&["conditions"], "it is over", |lines| told(lines).is_none()).await;
    restart(&mut daemon).await;
    assert_eq!(told(&daemon.ask(&["conditions"]).unwrap()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_until_the_config_knows_him() {
    use std::io::{Read, Write};
    let Some(broker) = Mosquitto::plainly() else { return };
    let door = super::support::push::free_address();
    let blocks = |serial: &str| {
        format!(
            "[driver.zk-push]\nlisten = \"{door}\"\n[[terminal]]\nname = \"canteen\"\ndriver = \"zk-push\"\nserial = \"{serial}\"\n"
        )
    };
    let daemon = Daemon::start(&broker, &blocks("CEXA1"));
    daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    let ask = || -> std::io::Result<String> {
        let mut line = std::net::TcpStream::connect(door)?;
        line.write_all(b"GET /iclock/getrequest?SN=CEXA2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        line.read_to_string(&mut answer)?;
        Ok(answer)
    };
    super::support::soon("the door is open", async {
        while ask().is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let stranger =
        |lines: &[Value]| lines.iter().any(|it| it["code"] == "terminal-unknown" && it["subject"] == "CEXA2");
    daemon.until(&["conditions"], "he is told", stranger).await;
    daemon.configure(&broker, &blocks("CEXA2"));
    daemon.signal(Signal::HUP);
    daemon.until(&["conditions"], "he is none any more", |lines| !stranger(lines)).await;
}
