//! Exports, and what the journal's commands say of a real store.

use driver_api::PunchId;

use super::{export, *};
use crate::{
    cli::tests::Page,
    ledger::tests::{entry, ledger},
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

#[test]
fn damage_is_told_and_what_lies_behind_it_is_read() {
    let punches = chain("front-door", 2);
    let damage = Damage("segment 3, byte 512: checksum".into());
    let reads = [Ok(punches[0].clone()), Err(damage.clone()), Ok(punches[1].clone())];
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
         verify_raw,work_code,origin,native,flags,stored,prev,head,clock_how"
    );
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!((&rows[0][5], &rows[1][5]), ("007", "0,0\"7\n"));
    assert_eq!((&rows[0][11], &rows[0][12], &rows[0][9]), ("in", "0", ""));
}

#[test]
fn raw_records_come_with_their_reason() {
    let record = RawRecord {
        ledger: Arc::new(ledger("front-door")),
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

#[tokio::test]
async fn a_real_store_is_verified_and_exported_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = spool::SpoolSettings {
        state_dir: folder.path().into(),
        tenant: "acme".into(),
        gateway: "sz-03".into(),
        retention: std::time::Duration::from_secs(86_400),
        min_free_bytes: 0,
        segment_bytes: spool::SpoolSettings::SEGMENT_BYTES,
    };
    let store = spool::Spool::open(&settings).unwrap();
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    for minute in 0..3 {
        let punch = driver_api::Punch {
            person: "007".into(),
            local: jiff::civil::date(2026, 11, 20).at(8, minute, 0, 0),
            zone: None,
            direction: driver_api::Mark::absent(),
            verify: driver_api::Mark::absent(),
            work_code: None,
            native: None,
            nth: 1,
            origin: driver_api::Origin::Live,
            clock: driver_api::Clock::UNKNOWN,
            flags: vec![],
        };
        let set_aside = vec![driver_api::SetAside { raw: vec![0xff; 8], reason: "no date".into(), nth: 1 }];
        let batch = driver_api::Batch { punches: vec![punch], set_aside, ..Default::default() };
        store.commit("front-door", "SN1", &zone, batch).await.unwrap();
    }
    store.close().await;

    let disk = || DiskArgs { state_dir: Some(folder.path().into()), config: PathBuf::new() };
    let verify = || {
        let page = Page::default();
        let code = verify_command(&VerifyArgs { disk: disk(), json: false }, &mut Out::plain(page.clone())).unwrap();
        (code, page.text())
    };
    let (code, text) = verify();
    assert_eq!(code, OK);
    assert!(
        text.contains("front-door") && text.ends_with("every checksum, every number and every chain holds\n"),
        "{text}"
    );
    assert_eq!(read_punches(folder.path()).unwrap().map(Result::unwrap).count(), 3);
    let raw: Vec<_> = read_set_aside(folder.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!((raw.len(), raw[0].reason.as_str(), raw[0].raw.len()), (1, "no date", 8));

    let files = fs::read_dir(folder.path().join("journal")).unwrap().map(|file| file.unwrap().path());
    // What stands beside the segments is random in part, and may hold any three bytes.
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "seg"));
    let hit = |bytes: &[u8]| bytes.windows(3).position(|window| window == b"007");
    let (segment, mut bytes) =
        files.map(|path| (path.clone(), fs::read(path).unwrap())).find(|(_, bytes)| hit(bytes).is_some()).unwrap();
    let hit = hit(&bytes).unwrap();
    bytes[hit] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, text) = verify();
    assert_eq!(code, FAILED);
    assert!(text.contains("front-door ledger") && text.contains("1 is missing"), "{text}");
    assert!(read_punches(folder.path()).unwrap().any(|punch| punch.is_err()));
}
