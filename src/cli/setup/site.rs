//! The first questions: which site, and the way to its broker.

use std::{fs::File, path::PathBuf};

use super::screen::{Screen, say};
use crate::{
    cli::{Failure, args::Language},
    config,
    setup::{Answers, Enrolment, Source, own_zone},
};

/// What a check says, in one line.
fn checked(done: Result<(), (String, String)>) -> Result<(), String> {
    done.map_err(|(why, mend)| format!("{why}: {mend}"))
}

/// Asks for an enrolment file, if there is one.
pub(super) fn enrolment(screen: &mut Screen<'_>) -> Result<Option<PathBuf>, Failure> {
    let label = say!(screen, "Enrolment file" / "注册文件");
    let help = say!(
        screen,
        "one line from whoever runs the broker, as in /media/usb/sz-03.enrol; leave it empty if you have none"
            / "消息服务器管理员提供的单行文件，例如 /media/usb/sz-03.enrol；没有则留空"
    );
    let check = |text: &str| match text {
        "" => Ok(()),
        path => Enrolment::read(path.as_ref()).map(drop).map_err(|error| format!("{error}; {}", error.mend())),
    };
    let path = screen.text(&label, &help, None, check)?;
    Ok((!path.is_empty()).then(|| path.into()))
}

/// Asks who this gateway is, as far as `given` does not say.
pub(super) fn site(screen: &mut Screen<'_>, given: &Answers, answers: &mut Answers) -> Result<(), Failure> {
    if given.id.is_none() {
        let label = say!(screen, "Name of this gateway" / "本网关编号");
        let help = say!(
            screen,
            "part of every topic: a-z, 0-9 and -, as in sz-03" / "出现在每个主题中：a-z、0-9 和 -，例如 sz-03"
        );
        answers.id = Some(screen.text(&label, &help, answers.id.as_deref(), |text| checked(config::check_name(text)))?);
    }
    if given.tenant.is_none() {
        let label = say!(screen, "Tenant" / "公司（租户）");
        let help =
            say!(screen, "your company's name at the broker, as in acme" / "贵公司在消息服务器上的名称，例如 acme");
        let check = |text: &str| checked(config::check_name(text));
        answers.tenant = Some(screen.text(&label, &help, answers.tenant.as_deref(), check)?);
    }
    if given.zone.is_none() {
        let mut zones: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        zones.retain(|name| config::check_zone(name).is_ok());
        let wanted = answers.zone.clone().or_else(own_zone);
        let at = wanted.and_then(|wanted| zones.iter().position(|zone| *zone == wanted)).unwrap_or(0);
        let label = say!(screen, "Zone of the terminals' clocks" / "考勤机时钟所在时区");
        answers.zone = Some(match zones.is_empty() {
            true => screen.text(&label, "Asia/Shanghai", None, |text| checked(config::check_zone(text)))?,
            false => {
                let chosen = screen.search(&label, zones.clone(), at)?;
                zones.swap_remove(chosen)
            }
        });
    }
    Ok(())
}

/// How the broker knows a gateway.
const WAYS: [[&str; 2]; 4] = [
    ["by a certificate and its key", "证书和私钥"],
    ["by user and password", "用户名和密码"],
    ["by both", "两者都用"],
    ["not at all", "无需验证"],
];

/// Asks for the way to the broker, as far as `given` does not say. `has` tells whether the config there has a key already.
pub(super) fn broker(
    screen: &mut Screen<'_>,
    given: &Answers,
    has: &dyn Fn(&str) -> bool,
    answers: &mut Answers,
) -> Result<(), Failure> {
    if given.brokers.is_empty() {
        let label = say!(screen, "Broker" / "消息服务器");
        let help = say!(screen, "as in mqtts://broker.example:8883" / "例如 mqtts://broker.example:8883");
        let check = |text: &str| checked(config::check_broker(&spelled(text)));
        // A list of them is kept unless another one is typed.
        let default = answers.brokers.first().cloned();
        let url = spelled(&screen.text(&label, &help, default.as_deref(), check)?);
        if answers.brokers.first() != Some(&url) {
            answers.brokers = vec![url];
        }
    }
    if answers.tls() && given.ca.is_none() {
        let label = say!(screen, "CA certificate of the broker" / "消息服务器的 CA 证书");
        answers.ca = file(screen, &label, "ca.pem", has("ca_file"), answers.ca.take())?;
    }
    if given.cert.is_some() || given.key.is_some() || given.user.is_some() {
        return Ok(());
    }
    let at = match (answers.cert.is_some() || has("cert_file"), answers.user.is_some() || has("username")) {
        (true, true) => 2,
        (false, true) => 1,
        _ if answers.tls() => 0,
        _ => 3,
    };
    let ways = WAYS.map(|[en, zh]| if screen.language == Language::En { en } else { zh }).to_vec();
    let label = say!(screen, "How does the broker know this gateway?" / "消息服务器如何识别本网关？");
    let way = screen.choose(&label, ways, at)?;
    answers.dropped.clear();
    if matches!(way, 0 | 2) {
        let label = say!(screen, "Certificate of this gateway" / "本网关的证书");
        answers.cert = file(screen, &label, "gateway.pem", has("cert_file"), answers.cert.take())?;
        let label = say!(screen, "Key of that certificate" / "该证书的私钥");
        answers.key = file(screen, &label, "gateway.key", has("key_file"), answers.key.take())?;
    } else {
        (answers.cert, answers.key) = (None, None);
        answers.dropped.extend(["cert_file", "key_file"]);
    }
    if matches!(way, 1 | 2) {
        let label = say!(screen, "User" / "用户名");
        let empty = say!(screen, "a name is needed" / "请填写用户名");
        let check = move |text: &str| if text.is_empty() { Err(empty.clone()) } else { Ok(()) };
        answers.user = Some(screen.text(&label, "", answers.user.as_deref(), check)?);
        let kept = has("password_file") || answers.password.is_some();
        let help = match kept {
            true => say!(screen, "leave it empty to keep the one there" / "留空则保留现有密码"),
            false => String::new(),
        };
        let label = say!(screen, "Password" / "密码");
        let password = screen.secret(&label, &help)?;
        if !password.is_empty() || !kept {
            answers.password = Some(Source::Given(format!("{password}\n").into_bytes()));
        }
    } else {
        (answers.user, answers.password) = (None, None);
        answers.dropped.extend(["username", "password_file"]);
    }
    Ok(())
}

/// Somebody who types a host means TLS.
fn spelled(text: &str) -> String {
    if text.contains("://") || text.is_empty() { text.to_owned() } else { format!("mqtts://{text}") }
}

/// Asks for a file. Where there is one already, an empty answer keeps it.
fn file(
    screen: &mut Screen<'_>,
    label: &str,
    example: &str,
    kept: bool,
    before: Option<Source>,
) -> Result<Option<Source>, Failure> {
    let before_path = match &before {
        Some(source @ (Source::File(_) | Source::Credential(_))) => Some(format!("{source:?}")),
        _ => None,
    };
    let may_be_empty = kept || before.is_some();
    let help = match may_be_empty {
        true => say!(screen, "a PEM file; leave it empty to keep the one there" / "PEM 文件；留空则保留现有文件"),
        false => say!(
            screen,
            "a PEM file, as in /media/usb/{example}; it is copied, or credential:{example}, which systemd keeps"
                / "PEM 文件，例如 /media/usb/{example}，将被复制；或 credential:{example}，由 systemd 保管"
        ),
    };
    let empty = say!(screen, "name a file" / "请填写文件路径");
    let check = move |text: &str| match text {
        "" if may_be_empty => Ok(()),
        "" => Err(empty.clone()),
        // Whether it is there is told with the way to the broker.
        path if path.starts_with("credential:") => {
            Source::told(path.as_ref()).map(drop).map_err(|error| error.to_string())
        }
        path => match File::open(path).and_then(|file| file.metadata()) {
            Ok(meta) if meta.is_file() => Ok(()),
            Ok(_) => Err(format!("{path}: {empty}")),
            Err(error) => Err(format!("{path}: {error}")),
        },
    };
    let path = screen.text(label, &help, before_path.as_deref(), check)?;
    if path.is_empty() {
        return Ok(before);
    }
    let source = Source::told(path.as_ref()).map_err(|error| Failure::failed(format!("{path}: {error}"), ""))?;
    Ok(Some(source))
}
