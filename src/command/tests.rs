//! Envelopes, bent in every way that one can think of.

use data_encoding::BASE64URL_NOPAD as B64;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn order() -> Order {
    Order {
        id: new_id(),
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        iat: 1_796_000_000,
        exp: 1_796_000_060,
        command: "health".into(),
        args: Default::default(),
        terminal: None,
        reason: "a test".into(),
        challenge: None,
    }
}

fn read(bytes: &[u8]) -> Result<Envelope, Malformed> {
    Envelope::read(bytes, Purpose::Command)
}

fn parts(envelope: &Envelope) -> Value {
    serde_json::from_slice(&envelope.bytes()).unwrap()
}

#[test]
fn an_envelope_comes_back_as_it_went_and_names_its_signers() {
    let (li, wang, other) = (PrivateKey::generate(), PrivateKey::generate(), PrivateKey::generate());
    let order = order();
    let mut envelope = Envelope::sign(&order.payload(), Purpose::Command, &li);
    envelope.add_signature(Purpose::Command, &wang);
    let back = read(&envelope.bytes()).unwrap();
    assert_eq!(back, envelope);
    assert_eq!(back.keys().collect::<Vec<_>>(), [li.public().id(), wang.public().id()]);
    assert_eq!([&li, &wang, &other].map(|key| back.is_signed_by(&key.public())), [true, true, false]);
    assert_eq!(order_in(&back).unwrap().0, order);
    assert!(Envelope::read(&envelope.bytes(), Purpose::Response).is_err(), "a command is no answer");
}

/// What an independent implementation signs: RFC 8037, appendix A.4, has key and signature, but another header than ours.
#[test]
fn signatures_are_those_of_rfc_8037() {
    let key = PublicKey::of_bytes(&B64.decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap()).unwrap();
    let signature =
        B64.decode(b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg").unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(key.verifies(message, &signature.clone().try_into().unwrap()));
    let mut bent: [u8; 64] = signature.try_into().unwrap();
    bent[63] ^= 0x10; // S plus the order of the group, more or less: not the one spelling
    assert!(!key.verifies(message, &bent));
}

#[test]
fn a_header_has_three_members_and_nothing_to_choose_from() {
    let key = PrivateKey::generate();
    let envelope = Envelope::sign(&order().payload(), Purpose::Command, &key);
    let kid = key.public().id().to_string();
    let typ = Purpose::Command.typ();
    for header in [
        json!({"alg":"none","kid":kid,"typ":typ}).to_string(),
        json!({"alg":"HS256","kid":kid,"typ":typ}).to_string(),
        json!({"alg":"eddsa","kid":kid,"typ":typ}).to_string(),
        json!({"alg":"Ed25519","kid":kid,"typ":typ}).to_string(),
        json!({"alg":["EdDSA"],"kid":kid,"typ":typ}).to_string(),
        json!({"alg":"EdDSA","kid":kid}).to_string(),
        json!({"alg":"EdDSA","typ":typ}).to_string(),
        json!({"alg":"EdDSA","kid":kid,"typ":"JWT"}).to_string(),
        json!({"alg":"EdDSA","kid":kid,"typ":typ,"jwk":{"kty":"OKP"}}).to_string(),
        json!({"alg":"EdDSA","kid":kid,"typ":typ,"crit":["exp"]}).to_string(),
        json!({"alg":"EdDSA","kid":kid,"typ":typ,"b64":false}).to_string(),
        json!({"alg":"EdDSA","kid":kid,"typ":typ,"jku":"https://keys.example"}).to_string(),
        json!({"alg":"EdDSA","kid":"../../etc/passwd","typ":typ}).to_string(),
        json!({"alg":"EdDSA","kid":7,"typ":typ}).to_string(),
        format!(r#"{{"alg":"EdDSA","alg":"none","kid":"{kid}","typ":"{typ}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}} "{}""#, "x".repeat(300)),
        "[]".into(),
        String::new(),
    ] {
        let mut bent = parts(&envelope);
        let protected = B64.encode(header.as_bytes());
        // Signed rightly over the bent header: only the header is wrong.
        let message = format!("{protected}.{}", bent["payload"].as_str().unwrap());
        bent["signatures"][0] = json!({"protected": protected, "signature": B64.encode(&key.sign(message.as_bytes()))});
        assert!(read(bent.to_string().as_bytes()).is_err(), "{header}");
    }
}

#[test]
fn a_form_that_is_not_ours_is_refused() {
    let key = PrivateKey::generate();
    let good = parts(&Envelope::sign(&order().payload(), Purpose::Command, &key));
    let signature = good["signatures"][0].clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bent = good.clone();
        change(&mut bent);
        bent.to_string()
    };
    let text = good.to_string();
    for bent in [
        with(&|it| it["header"] = json!({})),
        with(&|it| it["signatures"] = json!([])),
        with(&|it| it["signatures"] = json!([signature, signature])),
        with(&|it| it["signatures"] = json!([signature, signature, signature, signature])),
        with(&|it| it["signatures"][0]["header"] = json!({"alg": "EdDSA"})),
        with(&|it| it["signatures"][0]["signature"] = json!("")),
        with(&|it| it["signatures"] = signature.clone()),
        with(&|it| _ = it.as_object_mut().unwrap().remove("payload")),
        with(&|it| it["payload"] = json!(format!("{}=", it["payload"].as_str().unwrap()))),
        with(&|it| it["payload"] = json!(format!("{} ", it["payload"].as_str().unwrap()))),
        with(&|it| it["payload"] = json!("")),
        with(&|it| it["payload"] = json!(B64.encode(b"{\"v\":1,\"v\":1}"))),
        json!({"payload": good["payload"], "protected": signature["protected"], "signature": signature["signature"]})
            .to_string(),
        format!("{}.{}.{}", signature["protected"], good["payload"], signature["signature"]).replace('"', ""),
        text.replacen('{', r#"{"payload":"e30","#, 1),
        format!("{text}{text}"),
        format!("{{\"payload\":\"{}\"}}", "A".repeat(ENVELOPE_LIMIT)),
    ] {
        assert!(read(bent.as_bytes()).is_err(), "{bent}");
    }
    // Another last letter with the same bytes: base64 has four of them, and one is right.
    let last = text.replace(signature["signature"].as_str().unwrap(), &{
        let mut letters = signature["signature"].as_str().unwrap().to_owned();
        let end = letters.pop().unwrap();
        letters + if end == 'A' { "B" } else { "_" }
    });
    assert!(read(last.as_bytes()).is_err());
    assert!(read(text.as_bytes()).is_ok());
}

#[test]
fn a_payload_has_its_members_and_no_other() {
    let key = PrivateKey::generate();
    let refused = |payload: &Value| order_in(&Envelope::sign(payload, Purpose::Command, &key)).is_err();
    let good = order().payload();
    assert!(!refused(&good));
    for name in ["v", "id", "gateway", "tenant", "iat", "exp", "cmd", "args", "reason"] {
        let mut bent = good.clone();
        bent.as_object_mut().unwrap().remove(name);
        assert!(refused(&bent), "without {name}");
        bent[name] = json!(null);
        assert!(refused(&bent), "{name} null");
    }
    for (name, value) in [
        ("v", json!(2)),
        ("sudo", json!(true)),
        ("id", json!("1")),
        ("iat", json!(-1)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(1)),
        ("args", json!({"x": 1})),
        ("args", json!([])),
        ("cmd", json!("shell")),
        ("terminal", json!("front-door")),
        ("terminal", json!("../x")),
        ("chal", json!(7)),
        ("reason", json!("x".repeat(500))),
        ("reason", json!("a\nb")),
    ] {
        let mut bent = good.clone();
        bent[name] = value.clone();
        assert!(refused(&bent), "{name} = {value}");
    }
}

#[test]
fn every_command_has_words_in_both_languages_and_a_schema() {
    let mut names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
    names.dedup();
    assert_eq!(names.len(), COMMANDS.len());
    for spec in COMMANDS {
        assert!(spec.words.en.ends_with('.') && spec.words.zh.ends_with('。'), "{}", spec.name);
        let mut schemas = schemars::generate::SchemaSettings::draft2020_12().into_generator();
        assert!((spec.args)(&mut schemas).as_object().is_some(), "{}", spec.name);
        assert!(spec.class != Class::Dangerous || spec.trust() == Trust::Challenge, "{}", spec.name);
    }
}

fn one_of_each_bend() -> impl Strategy<Value = (usize, u8)> {
    (any::<usize>(), 1..=255u8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    /// Whatever single byte of an envelope is changed: it is no envelope any more, or its signature is wrong, or it says the
    /// same as before (white space and escapes between the members).
    #[test]
    fn no_changed_byte_goes_unnoticed((at, flip) in one_of_each_bend()) {
        let key = PrivateKey::generate();
        let envelope = Envelope::sign(&order().payload(), Purpose::Command, &key);
        let mut bytes = envelope.bytes();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(bent) = read(&bytes) {
            prop_assert!(!bent.is_signed_by(&key.public()) || bent.payload() == envelope.payload());
        }
    }
}
