//! At the broker's door: each reason why it stays shut has its name, and none of them is passed by in plain text.

mod support;

use punchgate::{
    courier::{LinkState, LinkStatus},
    mqtt::{BrokerUrl, FailureKind, MqttSettings, MqttVersion},
};
use support::{
    broker::{Mosquitto, Setup},
    certs::Ca,
    hostile::{Hostile, Manner},
    outbox::Memory,
    working::{Working, plain},
};

#[tokio::test]
async fn each_disagreement_about_certificates_has_its_name() {
    let ca = Ca::new("right CA");
    let expired = ca.issue_until(&["localhost"], 2021);
    let Some(old) = Mosquitto::start(Setup { certificate: Some(expired), ca, ..Setup::default() }) else { return };
    let memory = Memory::new();
    Working::start(&memory, old.settings("a")).fails_by(FailureKind::Expired).await;

    let ca = Ca::new("right CA");
    let elsewhere = ca.issue(&["broker.example"]);
    let Some(wrong) = Mosquitto::start(Setup { certificate: Some(elsewhere), ca, ..Setup::default() }) else { return };
    Working::start(&memory, wrong.settings("a")).fails_by(FailureKind::WrongName).await;

    let Some(right) = Mosquitto::plainly() else { return };
    let stranger = Ca::new("another CA");
    std::fs::write(right.path("other.pem"), stranger.pem()).unwrap();
    let with = |change: &dyn Fn(&mut MqttSettings)| {
        let mut settings = right.settings("a");
        change(&mut settings);
        Working::start(&memory, settings)
    };
    let unknown = with(&|settings| settings.ca_file = Some(right.path("other.pem")));
    unknown.fails_by(FailureKind::UnknownCa).await;

    right.write_pair("other", &stranger.issue(&["gateway"]));
    let ours = with(&|settings| {
        settings.cert_file = Some(right.path("other.pem"));
        settings.key_file = Some(right.path("other.key"));
    });
    ours.fails_by(FailureKind::OurCertificate).await;

    let none = with(&|settings| (settings.cert_file, settings.key_file) = (None, None));
    none.fails_by(FailureKind::OurCertificate).await;

    let missing = with(&|settings| settings.ca_file = Some(right.path("nowhere.pem")));
    missing.fails_by(FailureKind::Files).await;

    let nobody = with(&|settings| settings.brokers[0].port = 1);
    nobody.fails_by(FailureKind::ConnectionRefused).await;

    let nowhere = with(&|settings| settings.brokers[0].host = "no-such-host.invalid".into());
    nowhere.fails_by(FailureKind::NoSuchHost).await;
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_restart() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let right = std::fs::read(broker.path("ca.pem")).unwrap();
    std::fs::write(broker.path("ours.pem"), Ca::new("another CA").pem()).unwrap();
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    let settings = MqttSettings { ca_file: Some(broker.path("ours.pem")), ..broker.settings("sz-03") };
    let mut working = Working::start(&memory, settings);
    let told = |link: &LinkStatus| link.cause.as_ref().is_some_and(|it| it.kind == FailureKind::UnknownCa);
    working.until("it is told", told).await;
    std::fs::write(broker.path("ours.pem"), right).unwrap();
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test]
async fn a_wrong_password_has_its_name_with_both_versions() {
    let setup = Setup { user: Some(("gateway", "right")), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let password = Some(support::secret("wrong"));
        let settings = MqttSettings { version, password, ..broker.settings("sz-03") };
        // What mosquitto says of a wrong password; the mend names the password too.
        Working::start(&memory, settings).fails_by(FailureKind::NotAuthorised).await;
    }
    let working = Working::start(&memory, broker.settings("sz-03"));
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test]
async fn each_refusal_of_mqtt_5_has_its_name() {
    let refusals = [
        (0x84, FailureKind::Version),
        (0x86, FailureKind::BadPassword),
        (0x87, FailureKind::NotAuthorised),
        (0x88, FailureKind::Busy),
        (0x8A, FailureKind::NotAuthorised), // banned
        (0x95, FailureKind::Refused),       // packet too large
        (0x97, FailureKind::Refused),       // quota
        (0x9F, FailureKind::Busy),          // too many connections a second
    ];
    for (code, kind) in refusals {
        let broker = Hostile::start(Manner::RefusesAtTheDoor(code), usize::MAX).await;
        Working::start(&Memory::new(), plain(vec![broker.url()])).fails_by(kind).await;
    }
}

#[tokio::test]
async fn each_refusal_of_mqtt_311_has_its_name() {
    let refusals = [
        (1, FailureKind::Version),
        (2, FailureKind::Refused), // client id
        (3, FailureKind::Busy),
        (4, FailureKind::BadPassword),
        (5, FailureKind::NotAuthorised),
    ];
    for (code, kind) in refusals {
        let broker = Hostile::start(Manner::RefusesOldStyle(code), usize::MAX).await;
        let settings = MqttSettings { version: MqttVersion::V311, ..plain(vec![broker.url()]) };
        Working::start(&Memory::new(), settings).fails_by(kind).await;
    }
}

#[tokio::test]
async fn a_broker_without_tls_gets_no_word_in_plain_text() {
    let Some(right) = Mosquitto::plainly() else { return };
    let broker = Hostile::start(Manner::Good, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    let mut settings = right.settings("sz-03");
    settings.brokers = vec![BrokerUrl { tls: true, ..broker.url() }];
    settings.ack_timeout = std::time::Duration::from_secs(1);
    let mut working = Working::start(&memory, settings);
    working.until("it fails", |link| link.cause.is_some()).await;
    assert_eq!(broker.topics(), [""; 0]);
    working.close().await;
}

#[tokio::test]
async fn another_gateway_with_our_id_is_named() {
    let broker = Hostile::start(Manner::TakesAnother, usize::MAX).await;
    Working::start(&Memory::new(), plain(vec![broker.url()])).fails_by(FailureKind::TakenOver).await;
}

#[tokio::test]
async fn no_days_are_told_of_a_certificate_that_was_not_accepted() {
    let Some(right) = Mosquitto::plainly() else { return };
    std::fs::write(right.path("other.pem"), Ca::new("another CA").pem()).unwrap();
    let settings = MqttSettings { ca_file: Some(right.path("other.pem")), ..right.settings("sz-03") };
    let mut working = Working::start(&Memory::new(), settings);
    let link = working.until("it is told", |link| link.cause.is_some() && link.state == LinkState::Down).await;
    assert!(link.certificate_days().is_some() && link.broker_certificate_days().is_none());
    working.close().await;
}
