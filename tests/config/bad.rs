//! Bad configs, one a row: what is replaced in the good one, by what, and what is said about it.

use std::fs;

use super::site::{Site, but};

#[test]
fn every_problem_is_told_with_its_key_its_value_and_its_mend() {
    let site = Site::new();
    site.pair("other", 2099);
    fs::remove_file(site.path("other.pem")).unwrap();
    let mut wrong = Vec::new();
    for (old, new, told) in BAD {
        let found = site.told(&but(old, new));
        if found != *told {
            wrong.push(format!("--- expected\n{told}\n--- found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const URL: &str = r#"url = "mqtts://broker.example""#;
const CA: &str = r#"ca_file = "ca.pem""#;

const OPERATOR: &str = "[[terminal]]\n";

const BAD: &[(&str, &str, &str)] = &[
    (
        OPERATOR,
        "[commands]\nallow = [\"terminal.unlok\"]\n[[terminal]]\n",
        r#"config.toml has 1 problem
commands.allow = ["terminal.unlok"]
    why:  "terminal.unlok" is no dangerous command; the others need no switch
    mend: did you mean terminal.unlock?"#,
    ),
    (
        OPERATOR,
        "[[operator]]\nname = \"li\"\nperson = \"7\"\nroles = [\"root\"]\nnot_after = \"2000-01-01\"\nterminals = [\"front-dor\"]\n\
         public_key = \"ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n[[terminal]]\n",
        r#"config.toml has 3 problems
operator "li" public_key = "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    why:  it is no key: it is one of the weak keys, with which anybody can sign
    mend: write the line that `punchgate remote keygen` printed for this person
operator "li" roles = ["root"]
    why:  it names no role, or one that there is not
    mend: write one or more of "viewer", "support", "admin"
operator "li" terminals = ["front-dor"]
    why:  there is no terminal "front-dor"
    mend: did you mean front-door?"#,
    ),
    (
        OPERATOR,
        "[commands]\ntrust_roots = [\"ed25519:ZH1H7NoVXh7Lw_UcsPx7bSmKwLUx0js4KN0qpIfuNE8\", \
         \"ed25519:ZH1H7NoVXh7Lw_UcsPx7bSmKwLUx0js4KN0qpIfuNE8\"]\ntrust_threshold = 4\n[[terminal]]\n",
        r#"config.toml has 2 problems
commands.trust_roots = ["ed25519:ZH1H7NoVXh7Lw_UcsPx7bSmKwLUx0js4KN0qpIfuNE8", "ed25519:ZH1H7NoVXh7Lw_UcsPx7bSmKwLUx0js4KN0qpIfuNE8"]
    why:  one key stands there twice
    mend: let each root be a key of its own
commands.trust_threshold = 4
    why:  3 of them at most can sign one list
    mend: write 1 to 3"#,
    ),
    (
        OPERATOR,
        "[operator]\nname = \"li\"\n[[terminal]]\n",
        r#"config.toml has 1 problem
operator = {...}
    why:  it is a list of blocks
    mend: write [[operator]] on a line, and its keys below"#,
    ),
    (
        URL,
        r#"url = "mqtt://broker.example:8883""#,
        r#"config.toml has 1 problem
mqtt.url = "mqtt://broker.example:8883"
    why:  8883 is the TLS port, and mqtt:// does not speak TLS
    mend: write mqtts://broker.example:8883"#,
    ),
    (
        URL,
        r#"url = "mqtt://broker.example""#,
        r#"config.toml has 1 problem
mqtt.url = "mqtt://broker.example"
    why:  without TLS anybody on the way can read and change punches
    mend: write mqtts://broker.example and ca_file, or allow_plaintext = true if the way there is safe by other means"#,
    ),
    (
        URL,
        r#"url = ["mqtts://sz:secret@broker.example", "tcp://broker.example:1883"]"#,
        r#"config.toml has 2 problems
mqtt.url = "mqtts://***@broker.example"
    why:  an address is shown in logs, so it holds no user and no password
    mend: write username = "..." and password_file = "..." beside url
mqtt.url = "tcp://broker.example:1883"
    why:  tcp:// is no way to reach a broker
    mend: write mqtts://HOST:8883"#,
    ),
    (
        URL,
        "url = []",
        r#"config.toml has 1 problem
mqtt.url = []
    why:  it is the address of a broker, or a list of them
    mend: write url = "mqtts://broker.example:8883""#,
    ),
    (
        "ca_file = \"ca.pem\"\n",
        "",
        r#"config.toml has 1 problem
mqtt.ca_file
    why:  mqtts:// trusts only brokers whose certificate this CA has signed
    mend: add a line: ca_file = "/etc/punchgate/ca.pem""#,
    ),
    (
        CA,
        r#"ca_file = "other.pem""#,
        r#"config.toml has 1 problem
mqtt.ca_file = "other.pem"
    why:  cannot be read: No such file or directory (os error 2)
    mend: put the file to other.pem, readable by the gateway's user"#,
    ),
    (
        CA,
        r#"ca_file = "ca.key""#,
        r#"config.toml has 1 problem
mqtt.ca_file = "ca.key"
    why:  cannot be used: there is no certificate in it
    mend: give a PEM file with a certificate in it; it has a line that begins with -----BEGIN"#,
    ),
    (
        CA,
        "ca_file = \"ca.pem\"\ncert_file = \"ca.pem\"",
        r#"config.toml has 1 problem
mqtt.key_file
    why:  cert_file and key_file go together
    mend: add a line: key_file = "/etc/punchgate/gateway.key""#,
    ),
    (
        CA,
        "ca_file = \"ca.pem\"\ncert_file = \"ca.pem\"\nkey_file = \"other.key\"",
        r#"config.toml has 1 problem
mqtt.key_file = "other.key"
    why:  it is not the key of the certificate in cert_file
    mend: put the key there that the certificate was requested with"#,
    ),
    (
        CA,
        r#"ca_file = "ca.pem"
password_file = "gone"
version = "4"
window = 0
keep_alive = "1s"
delivery = "receipt""#,
        r#"config.toml has 6 problems
mqtt.username
    why:  there is a password_file, and a password needs a user
    mend: add a line: username = "sz-03"
mqtt.password_file = "gone"
    why:  cannot be read: No such file or directory (os error 2)
    mend: put the secret into gone, readable by the gateway's user alone
mqtt.version = "4"
    why:  there are MQTT 5 and 3.1.1 here
    mend: write version = "5" or version = "3.1.1"
mqtt.keep_alive = "1s"
    why:  it must be 5s to 10m
    mend: write a time from 5s to 10m
mqtt.window = 0
    why:  there may be 1 to 1000 messages on their way
    mend: write window = 32, or leave it out
mqtt.delivery = "receipt"
    why:  this version takes no receipts yet
    mend: write delivery = "puback": a punch is delivered when the broker acknowledges it"#,
    ),
    (
        r#"id = "sz-03""#,
        r#"id = "SZ 03/Door""#,
        r#"config.toml has 1 problem
gateway.id = "SZ 03/Door"
    why:  it becomes part of MQTT topics, and has other letters or another length
    mend: write 1 to 40 of a-z, 0-9 and -, as in "sz-03-door""#,
    ),
    (
        "tenant = \"acme\"\nzone = \"Asia/Shanghai\"",
        "zone = \"Asia/Shangai\"",
        r#"config.toml has 2 problems
gateway.tenant
    why:  it is missing
    mend: add a line: tenant = "acme"
gateway.zone = "Asia/Shangai"
    why:  there is no such time zone
    mend: did you mean Asia/Shanghai?"#,
    ),
    (
        r#"zone = "Asia/Shanghai""#,
        r#"zone = "Asia/Beijing""#,
        r#"config.toml has 1 problem
gateway.zone = "Asia/Beijing"
    why:  there is no such time zone
    mend: did you mean Asia/Shanghai?"#,
    ),
    (
        r#"state_dir = "state""#,
        r#"state_dirr = "state"
port = 5
socket = "/run/a-folder-with-a-very-long-name-indeed/another-folder-with-a-very-long-name/and-one-more/punchgate.sock""#,
        r#"config.toml has 3 problems
gateway.socket = "/run/a-folder-with-a-very-long-name-indeed/another-folder-with-a-very-long-name/and-one-more/punchgate.sock"
    why:  a socket's path has at most 103 bytes, and this one has 107
    mend: add a line: socket = "/run/punchgate/punchgate.sock"
gateway.port = 5
    why:  there is no such key
    mend: delete it; known here: id, socket, state_dir, tenant, zone
gateway.state_dirr = "state"
    why:  there is no such key
    mend: did you mean state_dir?"#,
    ),
    (
        "[mqtt]",
        r#"[spool]
retention = "3 months"
min_free = 64
segment = "1GiB"

[gatway]
id = "x"

[mqtt]"#,
        r#"config.toml has 4 problems
spool.retention = "3 months"
    why:  a length of time is a whole number with ms, s, m, h or d
    mend: write it like this: retention = "90d"
spool.min_free = 64
    why:  invalid type: integer `64`, expected a string
    mend: write it like this: min_free = "64MiB"
spool.segment = "1GiB"
    why:  it is from 64KiB to 64MiB
    mend: write it like this: segment = "8MiB"
gatway = {...}
    why:  there is no such key
    mend: did you mean gateway?"#,
    ),
    (
        r#"driver = "dial""#,
        r#"driver = "dail""#,
        r#"config.toml has 1 problem
terminal "front-door" driver = "dail"
    why:  there is no such driver
    mend: did you mean dial?"#,
    ),
    (
        r#"name = "front-door"
driver = "dial"
address = "tcp://192.0.2.10""#,
        r#"driver = "dial"
address = "http://192.0.2.10"
reconsile = "5m"
[[terminal]]
name = "b""#,
        r#"config.toml has 4 problems
terminal 1 name
    why:  it is missing
    mend: add a line: name = "front-door"
terminal "b" driver
    why:  it is missing
    mend: add a line: driver = "zk"
terminal 1 address = "http://192.0.2.10"
    why:  http:// is no way to reach a terminal
    mend: write tcp://HOST:PORT, udp://HOST:PORT or serial:///dev/ttyUSB0?baud=9600&parity=even
terminal 1 reconsile = "5m"
    why:  there is no such key
    mend: did you mean reconcile?"#,
    ),
    (
        r#"[[terminal]]
name = "front-door"
driver = "dial""#,
        r#"[[terminal]]
name = "front-door"
driver = "dial"
address = "tcp://192.0.2.9"
[[terminal]]
name = "front-door"
driver = "dial""#,
        r#"config.toml has 1 problem
terminal "front-door" name = "front-door"
    why:  two terminals have this name, and it is part of their topics
    mend: give one of them another name"#,
    ),
    (
        "[[terminal]]",
        r#"[driver.listen]
listne = "x"
[driver.anviz]
listen = "x"
[[terminal]]"#,
        r#"config.toml has 3 problems
driver.anviz = {...}
    why:  there is no such driver
    mend: the drivers here: dial, listen, forgetful
driver.listen.listen
    why:  it is missing
    mend: add a line: listen = "127.0.0.1:8081"
driver.listen.listne = "x"
    why:  there is no such key
    mend: did you mean listen?"#,
    ),
    (
        "[[terminal]]",
        "[terminal]",
        r#"config.toml has 1 problem
terminal
    why:  terminals are a list
    mend: write [[terminal]], with two brackets on each side"#,
    ),
    (
        r#"driver = "dial"
address = "tcp://192.0.2.10""#,
        r#"driver = "forgetful""#,
        r#"config.toml has 1 problem
terminal "front-door" driver = "forgetful"
    why:  the driver put it on 0 lines, and it must be on one
    mend: this is a fault of the gateway, not of the config: tell its makers"#,
    ),
    (
        r#"id = "sz-03""#,
        "id = sz-03",
        r#"config.toml has 1 problem
line 3: id = sz-03
    why:  string values must be quoted, expected literal string
    mend: a line is [section], [[terminal]] or key = value; text stands in double quotes, as in id = "sz-03""#,
    ),
    (
        r#"id = "sz-03""#,
        "id = \"sz-03\"\nid = \"sz-04\"",
        r#"config.toml has 1 problem
line 4: id = "sz-04"
    why:  duplicate key
    mend: keep one of the two"#,
    ),
];
