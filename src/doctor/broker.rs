//! The way to one broker, step by step; what lies behind a step that fails is not tried.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    Daemon,
    finding::{Check, Finding, Told, both, fixed},
};
use crate::{
    config::Config,
    mqtt::{BrokerUrl, CertificatesEnd, Client, Connect, Event, Failure, FailureKind, Hello, Message, probe},
    wire::{self, StateMessage, Topics, suffix},
};

/// From the ground up.
const LAYERS: [Check; 7] =
    [Check::Name, Check::Route, Check::Port, Check::Tls, Check::Certificate, Check::Login, Check::Publish];
/// A certificate that ends within so many days should be renewed now.
const SOON_DAYS: i64 = 30;
/// What waits for so long beside a connection that is up, is not being acknowledged.
const STUCK: i64 = 120;
/// The terminal of that name is not in the config: so says an empty health document, and it is true.
const NOBODY: &str = "punchgate-doctor";

pub(super) async fn examine(config: &Config, broker: &BrokerUrl, daemon: Option<&Daemon>, findings: &mut Vec<Finding>) {
    let subject = broker.to_string();
    let mut found = Vec::new();
    // A layer failed, or all were looked at.
    let failed = walk(config, broker, daemon, &mut found).await.err();
    if let Some((check, failure)) = failed {
        found.push(check.wrong(both_ways(&failure), mend(failure.kind)));
        let behind = LAYERS.iter().skip_while(|layer| **layer != check).skip(1);
        found.extend(behind.map(|layer| layer.skipped(check)));
    }
    findings.extend(found.into_iter().map(|finding| finding.of(&subject)));
}

fn both_ways(failure: &Failure) -> Told {
    both!("{failure}" / "{failure}")
}

fn mend(kind: FailureKind) -> Told {
    let (en, zh) = (kind.mend(), kind.mend_zh());
    let (first, rest) = en.split_at(1);
    let first = first.to_uppercase();
    both!("{first}{rest}." / "{zh}。")
}

async fn walk(
    config: &Config,
    broker: &BrokerUrl,
    daemon: Option<&Daemon>,
    found: &mut Vec<Finding>,
) -> Result<(), (Check, Failure)> {
    let at = |check| move |failure| (check, failure);
    let addresses = probe::addresses(broker).await.map_err(at(Check::Name))?;
    let shown = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    found.push(Check::Name.well(both!("{shown}" / "{shown}")));

    let routes: Vec<_> = addresses.iter().map(|address| probe::route(*address)).collect();
    match routes.iter().find_map(|route| route.as_ref().ok()) {
        Some(ours) => found.push(Check::Route.well(both!("from {ours}" / "本机地址 {ours}"))),
        None => {
            let failure = routes.into_iter().find_map(Result::err);
            let failure = failure.unwrap_or_else(|| Failure::new(FailureKind::NoRoute, "there is no way there"));
            return Err((Check::Route, failure));
        }
    }

    let begun = Instant::now();
    let (stream, address) = probe::port(&addresses).await.map_err(at(Check::Port))?;
    let ms = begun.elapsed().as_millis();
    found.push(Check::Port.well(both!("{address} answers in {ms} ms" / "{address} 在 {ms} 毫秒内应答")));

    if broker.tls {
        match probe::tls(&config.mqtt, broker, stream).await {
            Ok((version, ends)) => {
                found.push(Check::Tls.well(both!("{version}, its certificate is right" / "{version}，服务器证书有效")));
                found.push(certificates(ends));
            }
            Err(failure) if failure.kind == FailureKind::Garbled && probe::speaks_http(address).await => {
                let words = "a web server answers there: a captive portal or a proxy stands between us and the broker, or \
                             the port is wrong";
                return Err((Check::Tls, Failure::new(FailureKind::Garbled, words)));
            }
            Err(failure) => return Err((Check::Tls, failure)),
        }
    } else {
        found.push(Check::Tls.odd(
            both!(
                "without TLS: anybody on the way can read and change punches"
                    / "未使用 TLS：沿途任何人都可读取和篡改打卡"
            ),
            fixed("Write mqtts:// and ca_file.", "请改用 mqtts:// 并设置 ca_file。"),
        ));
        found.push(Check::Certificate.unseen(both!("none without TLS" / "未使用 TLS，无证书")));
    }
    match daemon {
        Some(daemon) if is_connected(daemon, broker) => by_daemon(daemon, found),
        _ => log_in(config, broker, found).await?,
    }
    Ok(())
}

fn certificates(ends: CertificatesEnd) -> Finding {
    let days = |end: Timestamp| (end.as_second() - Timestamp::now().as_second()).div_euclid(86_400);
    let (ours, brokers) = (ends.ours.map(days), ends.brokers.map(days));
    let shown = |days: Option<i64>| days.map_or_else(|| "-".to_owned(), |days| days.to_string());
    let (we, they) = (shown(ours), shown(brokers));
    let seen = both!("ours lasts {we} days, the broker's {they}" / "本机证书剩余 {we} 天，服务器证书剩余 {they} 天");
    if ours.into_iter().chain(brokers).any(|days| days <= SOON_DAYS) {
        Check::Certificate.odd(
            seen,
            fixed(
                "Renew the one that ends soon; ours is read again at the next connection.",
                "请更换即将到期的证书；本机证书在下次连接时自动读取。",
            ),
        )
    } else {
        Check::Certificate.well(seen)
    }
}

fn is_connected(daemon: &Daemon, broker: &BrokerUrl) -> bool {
    let link = &daemon.status.link;
    link.state == "up" && link.broker.as_deref() == Some(&broker.to_string())
}

/// The daemon holds the one connection that its client id may have: it is asked, not disturbed.
fn by_daemon(daemon: &Daemon, found: &mut Vec<Finding>) {
    let since = daemon.status.link.since.map_or_else(|| "-".to_owned(), |since| format!("{since:.0}"));
    found.push(Check::Login.well(both!("the gateway is connected since {since}" / "网关自 {since} 起已连接")));
    let queue = &daemon.status.queue;
    let (count, age) = (queue.undelivered, queue.oldest.map(|at| Timestamp::now().as_second() - at.as_second()));
    let refused = daemon.conditions.iter().find(|condition| condition.code == "broker-refuses");
    if let Some(refused) = refused {
        let cause = &refused.cause;
        found.push(Check::Publish.wrong(both!("{cause}" / "{cause}"), mend(FailureKind::NotAuthorised)));
    } else if let Some(age) = age.filter(|age| *age > STUCK) {
        found.push(Check::Publish.wrong(
            both!("{count} punches wait, the oldest for {age} s" / "{count} 条打卡待送达，最早的已等待 {age} 秒"),
            mend(FailureKind::NotAcknowledging),
        ));
    } else {
        found.push(Check::Publish.well(both!("{count} punches wait to be acknowledged" / "{count} 条打卡待确认")));
    }
}

/// Logs in as the gateway and publishes something that says nothing.
async fn log_in(config: &Config, broker: &BrokerUrl, found: &mut Vec<Finding>) -> Result<(), (Check, Failure)> {
    let at = |check| move |failure| (check, failure);
    let topics = Topics::new(&config.gateway.tenant, &config.gateway.id);
    let topics = topics.map_err(|error| (Check::Login, Failure::new(FailureKind::Files, error.to_string())))?;
    // Should we be torn away: the gateway is not there, which is so.
    let will = wire::json(&StateMessage::will(Timestamp::now().as_millisecond().unsigned_abs()));
    let will = Message { topic: topics.of(suffix::STATE), payload: will, retain: true };
    let client = Client::new(config.mqtt.clone());
    let begun = Instant::now();
    let opened = client.connect(broker, Hello { will: Some(will), subscribe: vec![] }).await;
    let mut connection = opened.map_err(|failure| (layer(failure.kind), failure))?;
    let ms = begun.elapsed().as_millis();
    found.push(Check::Login.well(both!("welcome after {ms} ms" / "{ms} 毫秒后登录成功")));

    let topic = topics.of(&suffix::terminal_health(NOBODY));
    let begun = Instant::now();
    let patience = config.mqtt.ack_timeout.min(Duration::from_secs(10));
    let silent = || {
        let words = format!("a publish was not acknowledged within {} s", patience.as_secs());
        Failure::new(FailureKind::NotAcknowledging, words)
    };
    connection.publish(1, Message { topic, payload: vec![], retain: false }).map_err(at(Check::Publish))?;
    let answered = timeout(patience, async {
        loop {
            match connection.event().await {
                Ok(Event::Acked(_)) => return Ok(()),
                Ok(Event::Refused(_, words)) => {
                    let words = format!("it does not take our documents: {words}");
                    return Err(Failure::new(FailureKind::NotAuthorised, words));
                }
                Ok(Event::Arrived(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
    });
    let answered = answered.await.unwrap_or_else(|_| Err(silent()));
    let _ = timeout(Duration::from_secs(2), connection.leave()).await;
    answered.map_err(at(Check::Publish))?;
    let ms = begun.elapsed().as_millis();
    found.push(Check::Publish.well(both!("acknowledged after {ms} ms" / "{ms} 毫秒后得到确认")));
    Ok(())
}

/// Which layer a failed login speaks of. Those below were well a moment ago; some brokers say only now what they think of
/// our certificate.
fn layer(kind: FailureKind) -> Check {
    match kind {
        FailureKind::OurCertificate => Check::Tls,
        _ => Check::Login,
    }
}
