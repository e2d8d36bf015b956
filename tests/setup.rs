//! `punchgate setup` as an installer and as a script run it: the real program, a real broker with TLS and client certificates, a terminal
//! that speaks real bytes, and a `systemctl` that really starts the gateway.

mod support;

#[path = "setup/office.rs"]
mod office;
#[path = "setup/terminal.rs"]
mod terminal;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use office::{Office, said, with};
use support::{certs::Ca, soon, subscriber::Subscriber};
use terminal::Typist;

/// Every file is readable for its owner and group, and for nobody else.
fn assert_modes(office: &Office) {
    for name in office.written().keys() {
        let mode = fs::metadata(office.path("etc").join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_flags_from_nothing_to_the_first_punch() {
    let Some(office) = Office::open().await else { return };
    let subscriber = Subscriber::start(office.broker.settings("witness")).await;
    let words = with(&[office.site(), office.terminal()], &["--yes", "--wait-punch", "2m"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = office.setup(&words).spawn().unwrap();
    let (lines, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::task::spawn_blocking(move || {
        let mut all = String::new();
        for line in BufReader::new(lines).lines() {
            let line = line.unwrap();
            if line.starts_with("Put a finger on the terminal") {
                sender.send(()).unwrap();
            }
            all += &format!("{line}\n");
        }
        all
    });
    let told = tokio::task::spawn_blocking(move || {
        let (mut text, mut errors) = (String::new(), errors);
        errors.read_to_string(&mut text).unwrap();
        text
    });
    let asked = soon("it asks for a finger", asked.recv()).await;
    if asked.is_some() {
        office.clock.punch("1027");
    }
    let (all, told) = (reading.await.unwrap(), told.await.unwrap());
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(0), "{all}{told}");
    for words in [
        "ok     login at the broker",
        "ok     session with the terminal",
        "is well: 1 terminal",
        "The gateway acme/sz-03 is at work",
        "doctor: all is well",
        "1027",
        "Delivered after",
    ] {
        assert!(all.contains(words), "{words} is not in\n{all}");
    }
    assert_eq!(office.asked(), ["is-system-running", "enable --now punchgate"]);
    let names: Vec<String> = office.written().into_keys().collect();
    assert_eq!(names, ["ca.pem", "config.toml", "front-door.key", "gateway.key", "gateway.pem"]);
    assert_modes(&office);
    assert_eq!(office.written()["gateway.key"], fs::read(office.broker.path("client.key")).unwrap());
    // The broker has it, whatever was said.
    subscriber.until_punches(&[("front-door".to_owned(), 21)].into()).await;

    // The same again changes nothing; another name restarts it, and what stood there is kept.
    let before = office.written();
    let again = office.ended(with(&[office.site(), office.terminal()], &["--yes"])).await;
    assert_eq!((again.status.code(), office.written() == before), (Some(0), true), "{}", said(&again));
    assert!(said(&again).contains("the gateway is connected since"), "its connection was disturbed: {}", said(&again));
    // That punch of a moment ago is read again under the new name, and is no new one.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let renamed = office.ended(with(&[], &["--id", "sz-04", "--yes", "--wait-punch", "2s"])).await;
    assert_eq!(renamed.status.code(), Some(1), "{}", said(&renamed));
    assert!(
        said(&renamed).contains("doctor: all is well") && said(&renamed).contains("No punch came"),
        "{}",
        said(&renamed)
    );
    assert_eq!(
        office.asked()[4..],
        ["is-system-running", "enable punchgate", "restart punchgate"],
        "{:?}",
        office.asked()
    );
    let after = office.written();
    assert_eq!(after.len(), before.len() + 1, "{:?}", after.keys());
    let (_, kept) = after.iter().find(|(name, _)| name.starts_with("config.toml.before-")).unwrap();
    assert_eq!(kept, &before["config.toml"]);
    let text = String::from_utf8(after["config.toml"].clone()).unwrap();
    assert_eq!(text, String::from_utf8(before["config.toml"].clone()).unwrap().replace("sz-03", "sz-04"));
    assert!(said(&renamed).contains("The gateway acme/sz-04 is at work"), "{}", said(&renamed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_every_missing_flag_at_once() {
    let Some(office) = Office::open().await else { return };
    let output =
        office.ended(vec!["--broker".into(), "mqtts://localhost".into(), "--key-file".into(), "k".into()]).await;
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for flag in ["--id NAME", "--tenant NAME", "--ca-file FILE", "--cert-file FILE", "--terminal NAME=", "--yes"] {
        assert!(told.contains(flag), "{flag} is not in {told}");
    }
    assert!(!told.contains("--broker URL") && !told.contains("--key-file FILE"), "{told}");
    let output = office.ended(with(&[], &["--terminal", "front-door"])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("NAME=DRIVER:ADDRESS"), "{}", said(&output));
    assert!(office.written().is_empty() && office.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_nothing_is_written() {
    let Some(office) = Office::open().await else { return };
    let yes = |words: Vec<String>| with(&[words, office.terminal()], &["--yes"]);
    let replaced = |flag: &str, value: &str| {
        let mut words = office.site();
        let at = words.iter().position(|word| word == flag).unwrap();
        words[at + 1] = value.to_owned();
        words
    };
    let other_key = office.path("other.key");
    fs::write(&other_key, Ca::new("another CA").issue(&["gateway"]).key).unwrap();
    fs::write(office.path("other-comm.key"), "9999\n").unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrong_comm = vec![
        "--terminal".to_owned(),
        format!("front-door=zk:tcp://{},timeout=2s", office.clock.address()),
        "--comm-key-file".into(),
        office.path("other-comm.key").display().to_string(),
        "--yes".into(),
    ];
    for (words, code, why) in [
        (yes(replaced("--key-file", other_key.to_str().unwrap())), 78, "not the key of the certificate"),
        (yes(replaced("--ca-file", "/nowhere/ca.pem")), 78, "mqtt.ca_file = \"/nowhere/ca.pem\""),
        (yes(replaced("--zone", "Asia/Beijing")), 78, "did you mean Asia/Shanghai?"),
        (yes(replaced("--id", "SZ 03")), 78, "as in \"sz-03\""),
        (yes(replaced("--broker", &format!("mqtts://localhost:{}", nobody.port()))), 1, "nobody listens"),
        (with(&[office.site(), wrong_comm], &[]), 1, "not proved: session with the terminal"),
    ] {
        let output = office.ended(words).await;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(why), "{why:?} is not in {told}");
        assert!(office.written().is_empty() && office.asked().is_empty(), "{:?}", office.written());
    }
    // Who wants it all the same gets it, and is told that it does not run well.
    let dead =
        with(&[replaced("--broker", &format!("mqtts://localhost:{}", nobody.port())), office.terminal()], &["--yes"]);
    let output = office.ended(with(&[dead], &["--unproven", "--no-start"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("Not started, as you wished") && office.asked().is_empty());
    assert_eq!(office.written().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_proves_everything_shows_it_and_writes_nothing() {
    let Some(office) = Office::open().await else { return };
    let port = format!("zk={}", office.clock.address().port());
    let key = office.path("comm.key").display().to_string();
    let words =
        ["--discover", "--networks", "127.0.0.1", "--port", &port, "--by-id", "/nowhere", "--dry-run", "--lang", "zh"];
    let output = office.ended(with(&[office.site()], &words)).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--comm-key-file zk-1=FILE"), "{}", said(&output));
    let output = office.ended(with(&[office.site()], &[&words[..], &["--comm-key-file", &key]].concat())).await;
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let address = format!("  | address = \"tcp://{}\"", office.clock.address());
    for words in ["找到 zk-1", "登录服务器", "与考勤机的会话", &address, "gateway.key", "未写入任何内容"]
    {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    assert!(!told.contains("4711") && !told.contains("PRIVATE KEY"), "a secret is shown: {told}");
    assert!(!office.path("etc").exists() && office.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_systemd_does_not_run_the_machine_it_says_how_to_start_by_hand() {
    let Some(office) = Office::open().await else { return };
    office.systemd_is("offline");
    let output = office.ended(with(&[office.site()], &["--no-discover", "--yes"])).await;
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("systemd does not run this machine (offline)"), "{told}");
    assert!(told.contains(&format!("punchgate run --config {}", office.config().display())), "{told}");
    assert_eq!(office.asked(), ["is-system-running"]);
    let mut command = office.setup(&["--yes", "--no-discover"]);
    let output = command.env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("there is no systemctl here"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_file_brings_site_broker_and_keys() {
    let Some(office) = Office::open().await else { return };
    let read = |name: &str| fs::read_to_string(office.broker.path(name)).unwrap();
    let url = format!("mqtts://{}", office.broker.url());
    let enrolment = serde_json::json!({
        "id": "sz-03", "tenant": "acme", "zone": "Asia/Shanghai", "broker": url, "ca": read("ca.pem"), "cert": read("client.pem"),
        "key": "gateway.key",
    });
    let line = |json: &str| format!("punchgate1:{}", data_encoding::BASE64URL_NOPAD.encode(json.as_bytes()));
    let (path, whole) = (office.path("sz-03.enrol"), line(&enrolment.to_string()));
    // Its key came apart from it, and lies beside it.
    fs::copy(office.broker.path("client.key"), office.path("gateway.key")).unwrap();
    let run = |text: String| {
        fs::write(&path, text).unwrap();
        office.ended(with(&[office.terminal()], &["--enrol", path.to_str().unwrap(), "--yes", "--no-start"]))
    };
    let mut unknown = enrolment.clone();
    unknown["terminals"] = serde_json::json!([]);
    for (text, why) in [
        (whole[..whole.len() / 2].to_owned(), "cut or damaged"),
        (format!("{whole}{}", "A".repeat(100_000)), "longer than 65536 bytes"),
        (line(&unknown.to_string()), "unknown field `terminals`"),
        (whole.replace("punchgate1", "punchgate9"), "which this version does not know"),
        ("-----BEGIN CERTIFICATE-----".into(), "does not begin with punchgate1:"),
    ] {
        let output = run(text).await;
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(why) && said(&output).contains("mend:"), "{why}: {}", said(&output));
        assert!(office.written().is_empty());
    }
    let output = run(whole).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("destroy it now"), "{}", said(&output));
    assert_eq!(office.written()["gateway.key"], read("client.key").into_bytes());
    assert_eq!(office.written()["ca.pem"], read("ca.pem").into_bytes());
    assert_modes(&office);
    let check = Command::new(env!("CARGO_BIN_EXE_punchgate")).args(["check", "--config"]).arg(office.config()).output();
    assert_eq!(check.unwrap().status.code(), Some(0));
}

/// Flags that say everything of the site, with the key in systemd's hands.
fn with_credential(office: &Office, more: &[&str]) -> Vec<String> {
    let mut words = office.site();
    let at = words.iter().position(|word| word == "--key-file").unwrap();
    words[at + 1] = "credential:gateway.key".into();
    with(&[words, office.terminal()], more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_systemd_keeps_is_proved_where_it_lies_and_copied_nowhere() {
    let Some(office) = Office::open().await else { return };
    let key = fs::read(office.broker.path("client.key")).unwrap();
    let run = |more: &[&str]| office.ended(with_credential(&office, more));
    let refused = async |code, words: &[&str]| {
        let output = run(&["--yes"]).await;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(code), "{told}");
        for words in words {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
        assert!(office.written().is_empty(), "{:?}", office.written().keys());
    };
    office.unit_says("");
    let (nowhere, unproved) = ("gateway.key is not there", "neither the key nor the login is proved");
    refused(1, &[nowhere, unproved, "systemd-creds encrypt --name=gateway.key", "nothing was written"]).await;

    let path = office.systemd_keeps("etc/credstore", &key);
    let line = format!("LoadCredential=gateway.key:{}", path.display());
    let mend = format!("'[Service]' '{line}' >/etc/systemd/system/punchgate.service.d/gateway.key.conf");
    refused(1, &["ok     login at the broker", "the unit is not handed it", &mend, "systemctl daemon-reload"]).await;
    office.unit_says("LoadCredential=gateway.key:/nowhere/gateway.key");
    refused(1, &["gateway.key is not there (/nowhere/gateway.key)", unproved]).await;
    office.unit_says(&line);
    office.systemd_keeps("etc/credstore", Ca::new("another CA").issue(&["gateway"]).key.as_bytes());
    refused(78, &["not the key of the certificate"]).await;

    // Encrypted to another machine, then to this one.
    let path = office.systemd_keeps("etc/credstore.encrypted", &key);
    office.unit_says(&format!("LoadCredentialEncrypted=gateway.key:{}", path.display()));
    refused(1, &["cannot be opened: Failed to decrypt credential: Bad message", unproved]).await;
    let turned = |byte: &u8| match byte {
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        other => *other,
    };
    office.systemd_keeps("etc/credstore.encrypted", &key.iter().map(turned).collect::<Vec<u8>>());
    let output = run(&["--yes", "--no-start"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("which this machine can open; the unit is handed it"), "{}", said(&output));
    let names: Vec<String> = office.written().into_keys().collect();
    assert_eq!(names, ["ca.pem", "config.toml", "front-door.key", "gateway.pem"]);
    let config = String::from_utf8(office.written()["config.toml"].clone()).unwrap();
    assert!(config.contains("key_file = \"credential:gateway.key\"\n"), "{config}");

    // What lies there is a config like any other to whoever comes again, and a memory file is named by nothing that stays.
    let before = office.written();
    let again = office.ended(with(&[], &["--yes", "--no-start"])).await;
    assert_eq!((again.status.code(), office.written() == before), (Some(0), true), "{}", said(&again));
    assert!(said(&again).contains("ok     login at the broker"), "{}", said(&again));
    // A machine that systemd does not run hands nothing to anybody, which is told and stops nobody.
    fs::remove_file(office.path("unit")).unwrap();
    let output = run(&["--yes", "--no-start"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("not proved: that the unit is handed it"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_there_yet_may_be_named_all_the_same() {
    let Some(office) = Office::open().await else { return };
    office.unit_says("LoadCredential=gateway.key");
    let output = office.ended(with_credential(&office, &["--yes", "--unproven", "--no-start"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("neither the key nor the login is proved"), "{}", said(&output));
    let config = String::from_utf8(office.written()["config.toml"].clone()).unwrap();
    assert!(config.contains("key_file = \"credential:gateway.key\"\n") && config.contains("cert_file"), "{config}");
    let output = office.ended(with(&[], &["--key-file", "credential:/etc/shadow", "--yes"])).await;
    assert!(said(&output).contains("is no name of a credential"), "{}", said(&output));
    assert_ne!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_with_problems_is_not_written_over_unless_somebody_says_so() {
    let Some(office) = Office::open().await else { return };
    fs::create_dir(office.path("etc")).unwrap();
    let before = "[gateway]\nid = \"sz-03\"\nzon = \"UTC\"\n";
    fs::write(office.config(), before).unwrap();
    let words = with(&[office.site(), office.terminal()], &["--yes", "--no-start"]);
    let output = office.ended(words.clone()).await;
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("did you mean zone?") && said(&output).contains("--anew"), "{}", said(&output));
    assert_eq!(office.written()["config.toml"], before.as_bytes());
    let output = office.ended(with(&[words], &["--anew"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let kept = office.written().into_iter().find(|(name, _)| name.starts_with("config.toml.before-")).unwrap();
    assert_eq!(kept.1, before.as_bytes());
    // The example that the package puts there is nobody's config.
    fs::write(office.config(), include_str!("../config.example.toml")).unwrap();
    let output = office.ended(with(&[office.site(), office.terminal()], &["--yes", "--no-start"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!String::from_utf8_lossy(&office.written()["config.toml"]).contains("operator"));
}

/// Answers everything up to the summary with keys.
fn answer_all(typist: &mut Typist, office: &Office) {
    let file = |name: &str| format!("{}\r", office.broker.path(name).display());
    typist.answer("Enrolment file", "\r");
    typist.answer("Name of this gateway", "SZ 03\r");
    typist.answer("as in \"sz-03\"", &format!("{}sz-03\r", "\x7f".repeat(5)));
    typist.answer("Tenant", "acme\r");
    // Misspelt, and found all the same.
    typist.answer("Zone of the terminals' clocks", "Shangai\r");
    typist.answer("Broker", &format!("{}\r", office.broker.url()));
    typist.answer("CA certificate of the broker", "/nowhere\r");
    typist.answer("No such file", &format!("{}{}", "\x7f".repeat(8), file("ca.pem")));
    // One down, one up again, and taken.
    typist.answer("How does the broker know this gateway?", "\x1b[B\x1b[A\r");
    typist.answer("Certificate of this gateway", &file("client.pem"));
    typist.answer("Key of that certificate", &file("client.key"));
    typist.answer("look for terminals on the networks here", "\r");
    typist.answer("Which of them shall be served?", "\r");
    typist.answer("Name of tcp://127.0.0.1", "front-door\r");
    // A wrong key first: it is proved at once, and corrected.
    typist.answer("Comm key of front-door", "9999\r");
    typist.answer("add one by hand", "\x1b[A\x1b[B\r");
    typist.answer("Something is wrong", "\r");
    typist.answer("leave it out", "\r");
    typist.answer("Driver", "\r");
    typist.answer("Name", "\r");
    typist.answer("Address", "\r");
    typist.answer("Other keys", "\r");
    typist.answer("Comm key of front-door", "4711\r");
    typist.answer("Write this?", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_arrow_keys_and_nothing_is_written_before_the_summary_is_confirmed() {
    let Some(office) = Office::open().await else { return };
    let port = format!("zk={}", office.clock.address().port());
    let words = ["--networks", "127.0.0.1", "--port", &port, "--by-id", "/nowhere", "--wait-punch", "2m"];
    let office = tokio::task::spawn_blocking({
        let command = office.setup(&words);
        move || {
            let mut typist = Typist::start(command);
            answer_all(&mut typist, &office);
            assert!(!office.path("etc").exists() && office.asked().is_empty(), "written before it was confirmed");
            // Down to the end, and out.
            typist.answer("end; nothing is written", "\x1b[B\r");
            let (code, screen) = typist.ended();
            assert_eq!(code, Some(1), "{screen}");
            assert!(screen.contains("ended; nothing was written"), "{screen}");
            assert!(!office.path("etc").exists() && !office.path("state").exists() && office.asked().is_empty());
            office
        }
    })
    .await
    .unwrap();
    let command = office.setup(&words);
    tokio::task::spawn_blocking(move || {
        let mut typist = Typist::start(command);
        answer_all(&mut typist, &office);
        typist.answer("write it and start", "\r");
        typist.answer("Put a finger on the terminal", "");
        office.clock.punch("1027");
        let (code, screen) = typist.ended();
        assert_eq!(code, Some(0), "{screen}");
        assert!(screen.contains("1027") && screen.contains("Delivered after"), "{screen}");
        let text = String::from_utf8(office.written()["config.toml"].clone()).unwrap();
        for line in ["id = \"sz-03\"", "zone = \"Asia/Shanghai\"", "name = \"front-door\"", "front-door.key\""] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(office.written()["front-door.key"], b"4711\n");
        assert_eq!(office.asked(), ["is-system-running", "enable --now punchgate"]);
        assert_modes(&office);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_typed_where_a_file_is() {
    let Some(office) = Office::open().await else { return };
    let path = office.systemd_keeps("etc/credstore", &fs::read(office.broker.path("client.key")).unwrap());
    office.unit_says(&format!("LoadCredential=gateway.key:{}", path.display()));
    let words = with(&[office.terminal()], &["--id", "sz-03", "--tenant", "acme", "--zone", "Asia/Shanghai"]);
    let command = office.setup(&words.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(move || {
        let mut typist = Typist::start(command);
        let file = |name: &str| format!("{}\r", office.broker.path(name).display());
        typist.answer("Enrolment file", "\r");
        typist.answer("Broker", &format!("{}\r", office.broker.url()));
        typist.answer("CA certificate of the broker", &file("ca.pem"));
        typist.answer("How does the broker know this gateway?", "\r");
        typist.answer("Certificate of this gateway", &file("client.pem"));
        typist.answer("Key of that certificate", "credential:a/b\r");
        typist.answer("is no name of a credential", &format!("{}gateway.key\r", "\x7f".repeat(3)));
        typist.answer("the unit is handed it", "");
        typist.answer("login at the broker", "");
        typist.answer("Write this?", "\x1b[B\r");
        let (code, screen) = typist.ended();
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("key_file = \"credential:gateway.key\""), "{screen}");
        assert!(!office.path("etc").exists());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_off_has_changed_nothing() {
    let Some(office) = Office::open().await else { return };
    let command = office.setup(&["--lang", "zh"]);
    tokio::task::spawn_blocking(move || {
        let mut typist = Typist::start(command);
        typist.answer("注册文件", "\r");
        // Esc by mistake costs no answer.
        typist.answer("本网关编号", "\x1b");
        typist.answer("要退出吗", "\r");
        typist.answer("本网关编号", "\x03");
        let (code, screen) = typist.ended();
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("已中止；没有写入任何内容"), "{screen}");
        assert!(!office.path("etc").exists());
    })
    .await
    .unwrap();
}
