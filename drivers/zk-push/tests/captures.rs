//! Each folder under `captures` is an upload, byte for byte, and what is stored of it.

mod support;

use std::{fs, path::Path};

use driver_api::Punch;
use serde_json::{Value, json};
use support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_captured_upload_is_stored_as_it_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        cases += 1;
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let request = fs::read(case.join("request")).unwrap();
        let end = request.iter().position(|byte| *byte == b'\n').unwrap();
        let target = String::from_utf8(request[..end].to_vec()).unwrap();
        let server = Server::start("", "Asia/Bangkok", &["serial = \"K\""]).await;
        let (status, answer) = server.post(&target, &request[end + 1..]).await;
        assert_eq!(status, 200, "{name}");
        let aside = server.gateway.set_aside("t0");
        let found = json!({
            "answer": answer,
            "punches": server.gateway.punches("t0").iter().map(shown).collect::<Vec<_>>(),
            "set_aside": aside.iter().map(|aside| json!([String::from_utf8_lossy(&aside.raw), aside.reason])).collect::<Vec<_>>(),
        });
        let wanted = fs::read_to_string(case.join("stored.json")).unwrap_or_default();
        let wanted: Value = serde_json::from_str(&wanted).unwrap_or_default();
        assert_eq!(found, wanted, "{name}: found\n{found:#}");
        server.stop().await;
    }
    assert!(cases >= 9, "only {cases} captures were found");
}

fn shown(punch: &Punch) -> Value {
    json!({
        "person": punch.person,
        "local": punch.local.to_string(),
        "offset": punch.zone.as_ref().map(|zone| zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds()),
        "direction": [punch.direction.value, punch.direction.raw],
        "verify": [punch.verify.value, punch.verify.raw],
        "work_code": punch.work_code,
        "native": punch.native,
        "nth": punch.nth,
        "flags": punch.flags,
    })
}
