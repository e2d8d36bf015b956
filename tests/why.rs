//! What is asked after a punch or a silence, answered by the program from the disk alone.

#[path = "cli/office.rs"]
#[allow(dead_code, reason = "the desk is for the tests of the command line")]
mod office;
#[path = "journal/store.rs"]
#[allow(dead_code, reason = "it is at work elsewhere too")]
mod store;

use std::fs;

use driver_api::Batch;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use office::{program, run};
use punchgate::spool::Spool;
use store::{Store, told};

/// Never the same day as on Kiritimati.
const MACHINE: &str = "Etc/GMT+12";
const KIRITIMATI: &str = "Pacific/Kiritimati";

fn today(zone: &str) -> Date {
    Timestamp::now().to_zoned(TimeZone::get(zone).unwrap()).date()
}

/// Puts a store's config and one more terminal, with one punch, elsewhere.
fn far_away(store: &Store) {
    let config = fs::read_to_string(store.config()).unwrap().replace("Asia/Shanghai", KIRITIMATI);
    let terminal = "[[terminal]]\nname = \"isle\"\n[[terminal]]\nname = \"ship\"\nzone = \"Etc/GMT+12\"\n";
    fs::write(store.config(), config + terminal).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let spool = Spool::open(&store.settings("sz-03")).unwrap();
        let zone = TimeZone::get(KIRITIMATI).unwrap();
        spool.commit("isle", "SN3", &zone, Batch::from(vec![store::punch(1)])).await.unwrap();
        spool.close().await;
    });
}

/// On a machine that is far from every terminal.
fn ask(store: &Store, words: &[&str]) -> (i32, String) {
    told(run(program(words).env("TZ", MACHINE).current_dir(store.folder.path())))
}

#[test]
fn today_is_the_terminals_and_not_the_machines() {
    let store = Store::with("sz-03", 20);
    far_away(&store);
    let (isle, ship) = (today(KIRITIMATI), today(MACHINE));
    assert_ne!(isle, ship);
    for place in [["--config", "config.toml"], ["--state-dir", "state"]] {
        let (_, said) = ask(&store, &[&["journal", "proof", "isle", "today"], &place[..]].concat());
        assert!(said.contains(&format!("day      {isle}\n")), "{place:?}: {said}");
        assert!(said.contains(&format!("today is {isle} at isle (Pacific/Kiritimati)")), "{place:?}: {said}");
        let (_, said) = ask(&store, &[&["journal", "proof", "isle", "yesterday"], &place[..]].concat());
        assert!(said.contains(&format!("day      {}\n", isle.yesterday().unwrap())), "{place:?}: {said}");
        let (_, said) = ask(&store, &[&["why", "nobody", "08:58", "--terminal", "isle"], &place[..]].concat());
        assert!(said.contains(&format!("of {isle} 08:58:00")), "{place:?}: {said}");
    }
    // Where none is named, the gateway's; and whose day is another one is told.
    let (_, said) = ask(&store, &["why", "nobody", "08:58", "--config", "config.toml"]);
    assert!(said.contains(&format!("of {isle} 08:58:00")), "{said}");
    let note = format!("today is {isle} at the gateway (Pacific/Kiritimati), but {ship} at ship: name the terminal");
    assert!(said.contains(&note), "{said}");
    let (_, said) = ask(&store, &["why", "nobody", "08:58", "--config", "config.toml", "--terminal", "ship"]);
    assert!(said.contains(&format!("of {ship} 08:58:00")) && !said.contains("today is"), "{said}");
}

#[test]
fn a_name_that_nobody_knows_is_told_as_that() {
    let store = Store::with("sz-03", 20);
    for words in [&["why", "--silent", "nosuch"][..], &["why", "007", "2026-11-20T08:07", "--terminal", "nosuch"]] {
        let (code, said) = ask(&store, &[words, &["--state-dir", "state"]].concat());
        let told = "this store has never heard of a terminal named nosuch\n    mend: it knows: canteen, front-door";
        assert_eq!((code, said.contains(told)), (1, true), "{words:?}: {said}");
    }
    // One that is in the config, and has done nothing so far, is known.
    far_away(&store);
    let (_, said) = ask(&store, &["why", "--silent", "ship", "--config", "config.toml"]);
    assert!(said.contains("ship: there is no punch of it on this disk"), "{said}");
}

#[test]
fn a_disk_that_was_named_is_not_called_a_daemon_that_does_not_answer() {
    let store = Store::with("sz-03", 20);
    let punch = &["why", "007", "2026-11-20T08:07", "--terminal", "front-door"][..];
    for words in [punch, &["why", "--silent", "front-door"]] {
        let (_, said) = ask(&store, &[words, &["--state-dir", "state"]].concat());
        assert!(said.contains("the daemon was not asked: this is from the disk alone"), "{said}");
        let (_, said) = ask(&store, &[words, &["--config", "config.toml"]].concat());
        assert!(said.contains("the daemon does not answer: this is from the disk alone"), "{said}");
    }
    let (_, said) = ask(&store, &[punch, &["--state-dir", "nowhere"]].concat());
    assert!(said.starts_with("punchgate: there is no journal below nowhere"), "{said}");
    // How far its clock was off is measured: what it should have shown stands beside what it did.
    let (_, said) = ask(&store, &[punch, &["--state-dir", "state"]].concat());
    assert!(
        said.contains("corrected  2026-11-20 08:07:00 there by the gateway's clock, which is 2026-11-20T00:07:00.84Z"),
        "{said}"
    );
    let (code, said) = ask(&store, &[punch, &["--within", "400d"]].concat());
    assert_eq!((code, said.contains("write 31d or less")), (2, true), "{said}");
}

#[test]
fn a_time_with_a_zone_is_refused_and_not_read_as_another_one() {
    let refused = |words: &[&str]| {
        let (code, said) = told(run(&mut program(words)));
        let zoned = said.contains("a time by the terminal's own clock has no zone: write 2026-11-29T20:28");
        assert_eq!((code, zoned), (2, true), "{words:?}: {said}");
    };
    for zone in ["+00:00", "Z", "[Europe/Berlin]", "-05:00"] {
        let time = format!("2026-11-29T20:28{zone}");
        refused(&["why", "1024", &time]);
        refused(&["reconcile", "front-door", "--from", &time]);
        refused(&["reconcile", "front-door", "--to", &time]);
    }
    let (code, said) = told(run(&mut program(&["journal", "proof", "front-door", "2026-11-29T20:28+00:00"])));
    assert_eq!((code, said.contains("write a date such as")), (2, true), "{said}");
}
