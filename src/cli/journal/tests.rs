//! Chains that are whole, and chains that are not.

use driver_api::PunchId;

use super::{export, verify::verify, *};
use crate::{
    cli::tests::Page,
    ledger::{
        Head,
        tests::{entry, ledger},
    },
};

type Read = Result<(Arc<Ledger>, Entry), Damage>;

/// A chain of so many punches.
fn chain(terminal: &str, count: u64) -> Vec<(Arc<Ledger>, Entry)> {
    let ledger = Arc::new(ledger(terminal));
    let mut head = ledger.origin();
    let mut punch = |seq| {
        let punch = entry(head, seq, "007");
        head = punch.head();
        (ledger.clone(), punch)
    };
    (1..=count).map(&mut punch).collect()
}

fn read(punches: Vec<(Arc<Ledger>, Entry)>) -> impl Iterator<Item = Read> {
    punches.into_iter().map(Ok)
}

fn told(punches: Vec<(Arc<Ledger>, Entry)>) -> Vec<String> {
    verify(read(punches)).ledgers.into_iter().flat_map(|ledger| ledger.told).collect()
}

#[test]
fn whole_chains_are_found_whole_however_they_are_mixed() {
    let (front, canteen) = (chain("front-door", 5), chain("canteen", 3));
    let head = front[4].1.head();
    let mixed: Vec<_> = front.iter().zip(&canteen).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let verified = verify(read(mixed.into_iter().chain(front[3..].iter().cloned()).collect()));
    assert!(verified.whole());
    let found: Vec<_> = verified.ledgers.iter().map(|l| (l.terminal.as_str(), l.first, l.last, l.punches)).collect();
    assert_eq!(found, [("canteen", 1, 3, 3), ("front-door", 1, 5, 5)]);
    assert_eq!(verified.ledgers[1].head, head);
}

#[test]
fn what_retention_took_from_the_front_is_no_fault() {
    let verified = verify(read(chain("front-door", 9).split_off(4)));
    assert!(verified.whole());
    assert_eq!((verified.ledgers[0].first, verified.ledgers[0].last), (5, 9));
}

#[test]
fn a_missing_punch_is_named() {
    let mut punches = chain("front-door", 9);
    punches.drain(3..5);
    assert_eq!(told(punches), ["numbers 4 to 5 are missing"]);
    let mut punches = chain("front-door", 9);
    punches.remove(7);
    assert_eq!(told(punches), ["number 8 is missing"]);
}

#[test]
fn a_changed_punch_breaks_the_chain_behind_it() {
    let mut punches = chain("front-door", 9);
    punches[3].1.person = "7".into();
    assert_eq!(told(punches), ["number 5 does not follow from number 4: one of them was changed"]);
}

#[test]
fn a_chain_of_another_gateway_is_not_ours() {
    let mut punches = chain("front-door", 1);
    punches[0].1.prev = Head([0; 32]);
    assert_eq!(told(punches), ["number 1 does not begin at the ledger's name"]);
}

#[test]
fn a_repeated_punch_is_told_and_many_faults_are_counted() {
    let mut punches = chain("front-door", 2);
    punches.extend(vec![punches[1].clone(); 50]);
    let verified = verify(read(punches));
    assert_eq!((verified.ledgers[0].faults, verified.ledgers[0].told.len()), (50, 20));
    assert_eq!(verified.ledgers[0].told[0], "number 2 comes after number 2");
    let page = Page::default();
    verified.write_text(&mut Out::plain(page.clone())).unwrap();
    assert!(page.text().contains("front-door ledger 1763600000: and 30 more\n"), "{}", page.text());
    assert!(page.text().contains("punchgate reconcile TERMINAL"), "{}", page.text());
}

#[test]
fn damage_is_told_and_what_lies_behind_it_is_read() {
    let punches = chain("front-door", 2);
    let damage = Damage("segment 3, byte 512: checksum".into());
    let reads = [Ok(punches[0].clone()), Err(damage.clone()), Ok(punches[1].clone())];
    let verified = verify(reads.clone().into_iter());
    assert!(!verified.whole() && verified.ledgers[0].punches == 2);
    let page = Page::default();
    verified.write_json(&mut Out::plain(page.clone())).unwrap();
    assert!(page.text().ends_with("{\"damage\":\"segment 3, byte 512: checksum\"}\n"), "{}", page.text());
    let mut file = Vec::new();
    let exported = export::punches(reads.into_iter(), ExportFormat::Jsonl, &mut file).unwrap();
    assert_eq!(exported, export::Exported { count: 2, damages: vec![damage] });
    assert_eq!(file.iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn json_lines_carry_all_that_the_chain_needs() {
    let punches = chain("front-door", 1);
    let mut file = Vec::new();
    export::punches(read(punches.clone()), ExportFormat::Jsonl, &mut file).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let (ledger, punch) = &punches[0];
    assert_eq!(
        line,
        serde_json::json!({
            "terminal": "front-door", "serial": "CEXA204060001", "ledger": 1_763_600_000, "seq": 1, "id": punch.id,
            "person": "007", "local": "2026-11-20T08:58:31", "zone": "Asia/Shanghai", "utc": "2026-11-20T00:58:31Z",
            "clock": {"skew_ms": null, "err_ms": null, "how": "unknown"}, "direction": {"value": "in", "raw": 0},
            "verify": {"value": "face", "raw": 15}, "work_code": null, "origin": "live", "native": null, "flags": [],
            "stored": "2026-11-20T00:58:32Z", "prev": ledger.origin().to_string(), "head": punch.head().to_string(),
        })
    );
}

#[test]
fn csv_has_a_head_and_keeps_every_letter_of_a_person() {
    let mut punches = chain("front-door", 2);
    punches[1].1.person = "0,0\"7\n".into();
    let mut file = Vec::new();
    export::punches(read(punches), ExportFormat::Csv, &mut file).unwrap();
    let mut reader = csv::Reader::from_reader(&file[..]);
    assert_eq!(
        reader.headers().unwrap().iter().collect::<Vec<_>>().join(","),
        "terminal,serial,ledger,seq,id,person,local,zone,utc,skew_ms,skew_err_ms,direction,direction_raw,verify,\
         verify_raw,work_code,origin,native,flags,stored,prev,head"
    );
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!((&rows[0][5], &rows[1][5]), ("007", "0,0\"7\n"));
    assert_eq!((&rows[0][11], &rows[0][12], &rows[0][9]), ("in", "0", ""));
}

#[test]
fn raw_records_come_with_their_reason() {
    let record = RawRecord {
        terminal: "front-door".into(),
        serial: "CEXA204060001".into(),
        id: PunchId([1; 16]),
        reason: "month 13".into(),
        raw: vec![0, 255],
    };
    let mut file = Vec::new();
    export::raw_records([Ok(record)].into_iter(), ExportFormat::Jsonl, &mut file).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((&line["reason"], &line["raw"]), (&"month 13".into(), &"00ff".into()));
}

#[test]
fn an_export_is_a_new_file_for_its_owner_alone_and_never_half_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("punches.jsonl");
    let export = |to: &mut dyn Write| Ok(export::punches(read(chain("a", 3)), ExportFormat::Jsonl, to)?);
    assert_eq!(into_file(&path, export).unwrap().count, 3);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    let told = into_file(&path, export).unwrap_err().words().unwrap();
    assert!(told.contains("mend: give the name of a file that is not there yet"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = folder.path().join("other.jsonl");
    into_file(&other, |to| {
        to.write_all(b"half")?;
        Err(Failure::failed("the journal ended", ""))
    })
    .unwrap_err();
    assert!(!other.exists());
}
