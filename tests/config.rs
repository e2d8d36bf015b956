//! The config and its messages: they are the interface, so they are compared letter by letter.

#[path = "config/bad.rs"]
mod bad;
#[path = "config/example.rs"]
mod example;
#[path = "config/site.rs"]
mod site;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use punchgate::{
    config,
    mqtt::{BrokerUrl, MqttVersion},
};
use site::{GOOD, KINDS, Site, but};

#[test]
fn a_good_config_becomes_what_each_part_needs() {
    let site = Site::new();
    let config = site.load(GOOD).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.gateway.state_dir, site.path("state"));
    assert_eq!(config.gateway.socket, site.path("state/punchgate.sock"));
    assert_eq!(config.spool.state_dir, site.path("state"));
    assert_eq!((config.spool.retention, config.spool.min_free_bytes), (Duration::from_secs(90 * 86_400), 64 << 20));
    assert_eq!(config.mqtt.brokers, [BrokerUrl { host: "broker.example".into(), port: 8883, tls: true }]);
    assert_eq!(config.mqtt.client_id, "punchgate-acme-sz-03");
    assert_eq!(config.mqtt.version, MqttVersion::V5);
    assert_eq!(config.mqtt.ca_file, Some(site.path("ca.pem")));
    assert_eq!((config.courier.tenant.as_str(), config.courier.gateway.as_str()), ("acme", "sz-03"));
    let terminal = &config.terminals[0];
    assert_eq!((terminal.name.as_str(), terminal.driver), ("front-door", "dial"));
    assert_eq!(terminal.zone.iana_name(), Some("Asia/Shanghai"));
    assert_eq!((config.lines.len(), config.lines[0].line.key.as_str()), (1, "front-door"));
}

#[test]
fn brokers_are_tried_in_the_order_of_the_list() {
    let list = r#"["mqtts://b.example:443", "mqtts://[2001:db8::1]", "mqtt://127.0.0.1"]"#;
    let brokers = Site::new().load(&but(r#""mqtts://broker.example""#, list)).unwrap().mqtt.brokers;
    let found: Vec<_> = brokers.iter().map(|broker| (broker.host.as_str(), broker.port, broker.tls)).collect();
    assert_eq!(found, [("b.example", 443, true), ("[2001:db8::1]", 8883, true), ("127.0.0.1", 1883, false)]);
}

#[test]
fn plain_text_goes_to_this_machine_or_where_somebody_allowed_it() {
    let site = Site::new();
    for url in ["mqtt://localhost", "mqtt://127.0.0.1:11883", "mqtt://[::1]:1884"] {
        site.load(&but("mqtts://broker.example", url)).unwrap();
    }
    let allowed = but(r#"url = "mqtts://broker.example""#, "url = \"mqtt://broker.example\"\nallow_plaintext = true");
    assert!(!site.load(&allowed).unwrap().mqtt.brokers[0].tls);
}

#[test]
fn all_problems_of_all_parts_come_at_once() {
    let told = Site::new().told("[mqtt]\nurl = 5\n[[terminal]]\nname = \"A\"\ndriver = \"dial\"\n");
    let terminal = ["terminal \"A\" name", "terminal \"A\" address"];
    for key in ["gateway.id", "gateway.tenant", "gateway.zone", "mqtt.url", "mqtt.ca_file"].iter().chain(&terminal) {
        assert!(told.contains(&format!("\n{key}")), "{key} is not in\n{told}");
    }
    assert!(told.starts_with("config.toml has 7 problems\n"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_like_others() {
    let site = Site::new();
    let rejected = config::load(&site.path("config.toml"), KINDS).err().unwrap();
    assert_eq!(
        site.named(rejected.to_string()),
        "config.toml has 1 problem\nthe file\n    why:  cannot be read: No such file or directory (os error 2)\n    \
         mend: name the config with --config FILE; it is UTF-8 text that this user may read"
    );
}

#[test]
fn what_works_but_should_be_known_is_a_warning() {
    let site = Site::new();
    site.pair("old", 2021);
    fs::set_permissions(site.path("old.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let files = "ca_file = \"ca.pem\"\ncert_file = \"old.pem\"\nkey_file = \"old.key\"";
    let text = but("ca_file = \"ca.pem\"", files).replace("broker.example", "broker.example:1883");
    assert_eq!(
        site.warned(text.split("[[terminal]]").next().unwrap()),
        [
            "mqtt.url = \"mqtts://broker.example:1883\"\n    why:  1883 is the port without TLS of most brokers\n    \
             mend: if connecting fails, write mqtts://broker.example:8883",
            "mqtt.cert_file = \"old.pem\"\n    why:  a certificate in it ended on 2021-01-01: nobody takes it\n    \
             mend: put a new one in its place; it is read at the next connection",
            "mqtt.key_file = \"old.key\"\n    why:  everybody on this machine can read that key\n    \
             mend: chmod o-rwx old.key",
            "terminal\n    why:  there is no terminal, so there will be no punches\n    \
             mend: add a block for each: [[terminal]] and below it name, driver and address",
        ]
    );
}

#[test]
fn a_line_is_disturbed_only_by_what_concerns_it() {
    let site = Site::new();
    site.write("front-door.key", "1234");
    let text = GOOD.to_owned()
        + "comm_key_file = \"front-door.key\"\n\
           [[terminal]]\nname = \"canteen\"\ndriver = \"dial\"\naddress = \"tcp://192.0.2.11\"\n";
    let prints = |text: &str| -> [u64; 2] {
        let lines = site.load(text).unwrap().lines;
        let of = |key| lines.iter().find(|line| line.line.key == key).unwrap().fingerprint;
        [of("front-door"), of("canteen")]
    };
    let before = prints(&text);
    assert_eq!(prints(&text), before);
    assert_eq!(prints(&(text.clone() + "# a remark\n\n[spool]\nretention = \"1d\"")), before, "nothing of theirs");

    let moved = prints(&text.replace("192.0.2.11", "192.0.2.12"));
    assert!(moved[0] == before[0] && moved[1] != before[1], "one terminal's key");
    site.write("front-door.key", "4321");
    let rekeyed = prints(&text);
    assert!(rekeyed[0] != before[0] && rekeyed[1] == before[1], "the file behind one terminal's key");
    let zoned = prints(&text.replace("Asia/Shanghai", "Asia/Urumqi"));
    assert!(zoned[0] != rekeyed[0] && zoned[1] != rekeyed[1], "the zone of both");
}

#[test]
fn terminals_of_a_listening_driver_share_its_line() {
    let text = GOOD.split("[[terminal]]").next().unwrap().to_owned()
        + "[driver.listen]\nlisten = \"127.0.0.1:8081\"\n\
           [[terminal]]\nname = \"a\"\ndriver = \"listen\"\nserial = \"1\"\n\
           [[terminal]]\nname = \"b\"\ndriver = \"listen\"\nserial = \"2\"\nzone = \"Europe/Berlin\"\n";
    let config = Site::new().load(&text).unwrap();
    assert_eq!((config.lines.len(), &config.lines[0].line.terminals[..]), (1, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(config.terminals[1].zone.iana_name(), Some("Europe/Berlin"));
}

#[test]
fn places_are_found_even_when_the_rest_is_wrong() {
    let site = Site::new();
    let path = site.write("config.toml", "[gateway]\nstate_dir = \"there\"\nid = 5\n");
    let places = config::places(&path).unwrap();
    assert_eq!(places.state_dir, site.path("there"));
    assert_eq!(places.sockets, [site.path("there/punchgate.sock")]);
    let path = site.write("config.toml", "[gateway]\nsocket = \"/run/x.sock\"\n");
    assert_eq!(config::places(&path).unwrap().sockets, [PathBuf::from("/run/x.sock")]);
}
