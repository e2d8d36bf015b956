//! Answers, drafts and enrolment lines, without a machine around them.

use std::{fs, path::PathBuf};

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

use super::{enrol::Brokers, *};

fn enrolment() -> Enrolment {
    Enrolment {
        id: "sz-03".into(),
        tenant: "acme".into(),
        broker: Brokers::One("mqtts://broker.example:8883".into()),
        zone: Some("Asia/Shanghai".into()),
        ca: Some("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into()),
        cert: Some("gateway.pem".into()),
        key: None,
        user: Some("sz-03".into()),
        password: Some("geheim 密码".into()),
    }
}

fn coded(json: &str) -> String {
    format!("punchgate1:{}", BASE64URL_NOPAD.encode(json.as_bytes()))
}

fn refused(text: &str) -> String {
    let error = Enrolment::parse(text).unwrap_err();
    assert!(!error.mend().is_empty());
    error.to_string()
}

#[test]
fn an_enrolment_line_brings_what_was_put_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sz-03.enrol");
    fs::write(&path, format!("\u{feff}{}\r\n", enrolment().line().trim())).unwrap();
    let answers = Enrolment::read(&path).unwrap();
    assert_eq!((answers.id.as_deref(), answers.brokers.len()), (Some("sz-03"), 1));
    assert!(matches!(answers.ca, Some(Source::Given(_))));
    assert_eq!(answers.cert, Some(Source::File(folder.path().join("gateway.pem"))), "it lies beside the line");
    assert_eq!(answers.password, Some(Source::Given("geheim 密码\n".into())));
    assert!(!format!("{answers:?}").contains("geheim"), "nothing secret is shown");
}

#[test]
fn each_thing_that_is_wrong_with_a_line_has_its_name() {
    let line = enrolment().line();
    let cut = &line[..line.len() / 2];
    assert!(refused(cut).contains("cut or damaged"), "{}", refused(cut));
    assert!(refused(&format!("punchgate1:{}", "A".repeat(70_000))).contains("longer than"));
    assert!(refused("hello").contains("does not begin with punchgate1:"));
    assert!(refused("").contains("does not begin with punchgate1:"));
    assert!(refused("punchgate2:AAAA").contains("form \"punchgate2\""));
    assert!(refused("punchgate1:AAAA\nAAAA").contains("more than one line"));
    assert!(refused("punchgate1:ä").contains("no base64url"));
    let with = |more: &str| coded(&format!("{{\"id\":\"a\",\"tenant\":\"b\",\"broker\":\"mqtts://c\"{more}}}"));
    assert!(refused(&with(",\"terminals\":[]")).contains("unknown field `terminals`"));
    assert!(refused(&with(",\"id\":\"x\"")).contains("duplicate field `id`"));
    assert!(refused(&with(",\"user\":5")).contains("invalid type"));
    assert!(refused(&coded("{\"id\":\"a\"}")).contains("missing field `tenant`"));
    assert!(refused(&coded("{\"id\":\"a\",\"tenant\":\"b\",\"broker\":7}")).contains("a URL or a list"));
    assert!(refused(&coded("[]")).contains("not an enrolment"));
    for padded in ["", "="] {
        assert!(Enrolment::parse(&format!("{}{padded}", with(""))).is_ok());
    }
}

#[test]
fn a_line_reaches_no_file_but_those_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line");
    for (name, taken) in
        [("/etc/shadow", false), ("../key", false), (".hidden", false), ("a/b", false), ("a.key", true)]
    {
        fs::write(&path, Enrolment { key: Some(name.into()), ..enrolment() }.line()).unwrap();
        let read = Enrolment::read(&path);
        assert_eq!(read.is_ok(), taken, "{name}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().starts_with("key: it is neither PEM nor the plain name"), "{error}");
        }
    }
    // systemd keeps more than keys: nothing else of it is for a stranger's broker.
    fs::write(&path, Enrolment { key: Some("credential:gateway.key".into()), ..enrolment() }.line()).unwrap();
    assert_eq!(Enrolment::read(&path).unwrap().key, Some(Source::Credential("gateway.key".into())));
    for (key, cert) in [("credential:../shadow", "gateway.pem"), ("credential:", "gateway.pem"), ("k", "credential:a")]
    {
        let line = Enrolment { key: Some(key.into()), cert: Some(cert.into()), ..enrolment() }.line();
        fs::write(&path, line).unwrap();
        assert!(matches!(Enrolment::read(&path), Err(EnrolError::Member { .. })), "{key} {cert}");
    }
    fs::write(&path, Enrolment { user: Some("a\nb".into()), ..enrolment() }.line()).unwrap();
    assert!(Enrolment::read(&path).unwrap_err().to_string().starts_with("user: there are control characters"));
    assert!(matches!(Enrolment::read(folder.path()), Err(EnrolError::Read(_))), "a folder is no line");
    assert!(matches!(Enrolment::read(std::path::Path::new("/dev/zero")), Err(EnrolError::Read(_))));
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Enrolment::parse(&text);
        let _ = Enrolment::parse(&format!("punchgate1:{text}"));
        let _ = Enrolment::parse(&format!("punchgate1:{}", BASE64URL_NOPAD.encode(&bytes)));
    }

    #[test]
    fn what_is_written_is_read_again(id in ".{0,40}", zone in proptest::option::of(".{0,20}"), cut in 1_usize..400) {
        let told = Enrolment { id, zone, ..enrolment() };
        let line = told.line();
        prop_assert_eq!(Enrolment::parse(&line).unwrap(), told);
        // Cut anywhere it is never taken for a whole one.
        let short: String = line.trim().chars().take(line.trim().chars().count().saturating_sub(cut)).collect();
        prop_assert!(Enrolment::parse(&short).is_err());
    }
}

#[test]
fn a_terminal_is_told_in_one_word_and_its_keys_get_their_form() {
    let terminal: Terminal = "gate=uhppote:udp://192.0.2.20:60000,serial=405419896".parse().unwrap();
    let shown: Vec<String> = terminal.keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    assert_eq!(shown, ["address = \"udp://192.0.2.20:60000\"", "serial = 405419896"]);
    let terminal: Terminal = "a=zk:tcp://192.0.2.10,serial=12345,live=false".parse().unwrap();
    let shown: Vec<String> = terminal.keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    assert_eq!(shown, ["address = \"tcp://192.0.2.10\"", "serial = \"12345\"", "live = false"]);
    let terminal: Terminal =
        "a=modbus:serial:///dev/ttyUSB0?baud=9600&parity=even,unit=3,map=event-fifo".parse().unwrap();
    assert_eq!(terminal.address(), Some("serial:///dev/ttyUSB0?baud=9600&parity=even"));
    for (text, why) in [
        ("front-door", "write NAME=DRIVER:ADDRESS"),
        ("Front=zk:tcp://a", "other letters"),
        ("a=zz:tcp://a", "there is no driver \"zz\""),
        ("a=zk:tcp://a,live", "is no key=value"),
        ("a=zk:tcp://a,address=b", "given twice"),
    ] {
        let error = text.parse::<Terminal>().unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn every_drivers_example_can_be_told_in_one_word() {
    for kind in crate::drivers::DRIVERS {
        let keys = example_keys(kind.name);
        assert!(keys.iter().any(|(key, _)| key == "name"), "{}", kind.name);
    }
    assert!(example_listen("zk-push").is_some());
}

fn draft(text: &str, answers: Answers) -> Draft {
    let existing = match text {
        "" => Existing::Nothing,
        text => Existing::Valid(Box::new(text.parse().unwrap())),
    };
    Draft::new(PathBuf::from("/nowhere/config.toml"), &existing, answers, Stores::below("/nowhere"))
}

#[test]
fn a_config_there_keeps_what_nobody_was_asked_for() {
    let before = "\
# by anna
[gateway]
id = \"old\"   # painted on the box
tenant = \"acme\"
zone = \"UTC\"

[mqtt]
url = \"mqtt://localhost\"

[spool]
retention = \"30d\"   # the works council's

# the one at the gate
[[terminal]]
name = \"gate\"
driver = \"zk\"
address = \"tcp://192.0.2.10\"

[[terminal]]
name = \"yard\"
driver = \"zk\"
address = \"tcp://192.0.2.11\"
";
    let gate = "gate=zk:tcp://192.0.2.99".parse().unwrap();
    let hall = "hall=zk:tcp://192.0.2.12".parse().unwrap();
    let answers = Answers { id: Some("new".into()), terminals: vec![gate, hall], ..Answers::default() };
    let draft = draft(before, answers);
    assert_eq!(draft.terminals(), ["gate", "yard", "hall"]);
    let after = draft.plan().unwrap().config();
    let expected = before.replace("\"old\"", "\"new\"").replace("192.0.2.10\"", "192.0.2.99\"")
        + "\n[[terminal]]\nname = \"hall\"\ndriver = \"zk\"\naddress = \"tcp://192.0.2.12\"\n";
    assert_eq!(after, expected);
    assert!(draft.trial().is_ok());
    let changes = draft.changes().unwrap();
    assert_eq!((changes.broker, changes.elsewhere), (true, vec!["gate".to_owned(), "hall".to_owned()]));
}

#[test]
fn a_first_config_is_whole_and_secrets_lie_beside_it() {
    let mut clock: Terminal = "front-door=zk:tcp://192.0.2.10".parse().unwrap();
    clock.give("comm_key_file", Source::Given(b"4711\n".into()));
    let push: Terminal = "canteen=zk-push:serial=CEXA204060001".parse().unwrap();
    let answers = Answers {
        id: Some("sz-03".into()),
        tenant: Some("acme".into()),
        zone: Some("Asia/Shanghai".into()),
        brokers: vec!["mqtt://localhost:1".into(), "mqtt://localhost:2".into()],
        user: Some("sz-03".into()),
        password: Some(Source::Given(b"secret\n".into())),
        terminals: vec![clock, push],
        ..Answers::default()
    };
    let one = draft("", answers.clone());
    assert_eq!(one.deaf().unwrap(), ["zk-push"], "without a word it would listen for this machine alone");
    let listen = [("zk-push".to_owned(), "127.0.0.1:8081".parse().unwrap())].into();
    let one = draft("", Answers { listen, ..answers });
    assert_eq!(one.deaf().unwrap(), Vec::<String>::new());
    let trial = one.trial().unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!((trial.config.terminals.len(), trial.config.warnings.len()), (2, 0), "{:?}", trial.config.warnings);
    let plan = one.plan().unwrap();
    let names: Vec<_> = plan.files.iter().map(|file| file.path.display().to_string()).collect();
    assert_eq!(names, ["/nowhere/broker.password", "/nowhere/front-door.key", "/nowhere/config.toml"]);
    let text = plan.config();
    for line in [
        "url = [\"mqtt://localhost:1\", \"mqtt://localhost:2\"]",
        "password_file = \"/nowhere/broker.password\"",
        "[driver.zk-push]\nlisten = \"127.0.0.1:8081\"\n",
        "comm_key_file = \"/nowhere/front-door.key\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_wrong_with_a_key_in_memory_is_told_by_where_it_would_lie() {
    let answers = Answers {
        id: Some("sz-03".into()),
        tenant: Some("acme".into()),
        zone: Some("UTC".into()),
        brokers: vec!["mqtts://localhost".into()],
        ca: Some(Source::Given(b"no pem".into())),
        ..Answers::default()
    };
    let words = draft("", answers).trial().err().expect("it is no PEM").to_string();
    assert!(words.contains("mqtt.ca_file = \"/nowhere/ca.pem\"") && !words.contains("/proc/self"), "{words}");
}
