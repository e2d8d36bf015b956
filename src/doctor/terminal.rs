//! Each terminal: by what the daemon knows of it, or else by its own driver, which is let look but not store.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use driver_api::{Batch, Gateway, Holdings, Link, NotStored, Report, Stored, async_trait};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Daemon,
    disk::Holdings as OnDisk,
    finding::{Check, Finding, Told, both, fixed},
};
use crate::{
    config::Config,
    drivers::PlannedLine,
    health::{Code, Health, Severity, TerminalState},
    supervisor::End,
};

const LAYERS: [Check; 6] =
    [Check::Reach, Check::Session, Check::TerminalClock, Check::TerminalLog, Check::Live, Check::Safety];
/// How long a line may take until its terminals have said who they are. Those that call us do so every half minute.
const LOOK: Duration = Duration::from_secs(15);
/// Behind the first sign of life, for the rest: counts, clock, key.
const REST: Duration = Duration::from_millis(1500);
/// Before a busy terminal is asked again, for as long as [`LOOK`]: some free the place of whoever knocked last, as we may have done
/// ourselves, a moment after it left.
const AGAIN: Duration = Duration::from_secs(2);
/// For a driver to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// A terminal's clock may be off by so many milliseconds.
const CLOCK_LIMIT: i64 = 60_000;
/// A clock before it was never set.
const FIRST_SANE_YEAR: i16 = 2015;

/// How a terminal stands, whoever found out.
struct Standing {
    state: TerminalState,
    seen: bool,
    serial: Option<String>,
    firmware: Option<String>,
    skew_ms: Option<i64>,
    records: Option<u64>,
    capacity: Option<u64>,
    /// What is wrong with it, and why.
    troubles: Vec<(Code, String)>,
}

pub(super) async fn examine(
    config: Config,
    only: Option<&str>,
    daemon: Option<&Daemon>,
    on_disk: OnDisk,
    findings: &mut Vec<Finding>,
) {
    let wanted = |name: &String| only.is_none_or(|only| only == name);
    if let Some(only) = only.filter(|only| config.terminals.iter().all(|terminal| terminal.name != **only)) {
        findings.push(
            Check::Reach
                .wrong(
                    both!("there is no such terminal in the config" / "配置中没有该考勤机"),
                    fixed("See punchgate terminals for their names.", "用 punchgate terminals 查看名称。"),
                )
                .of(only),
        );
        return;
    }
    let on_disk = Arc::new(on_disk);
    // One after the other: at a site with a slow line, all at once would disturb each other.
    for planned in config.lines {
        let names: Vec<String> = planned.line.terminals.iter().filter(|name| wanted(name)).cloned().collect();
        let (told, untold): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| daemon.is_some_and(|daemon| daemon.knows(name)));
        for name in told {
            let Some(standing) = daemon.and_then(|daemon| daemon.standing(&name)) else { continue };
            findings.extend(judge(&standing).into_iter().map(|finding| finding.of(&name)));
        }
        if !untold.is_empty() {
            for (name, standing) in look(&planned, &untold, on_disk.clone()).await {
                findings.extend(judge(&standing).into_iter().map(|finding| finding.of(&name)));
            }
        }
    }
}

impl Daemon {
    fn knows(&self, name: &str) -> bool {
        self.terminals.iter().any(|terminal| terminal.name == name)
    }

    fn standing(&self, name: &str) -> Option<Standing> {
        let line = self.terminals.iter().find(|terminal| terminal.name == name)?;
        let mine = self.conditions.iter().filter(|condition| condition.subject.as_deref() == Some(name));
        let code = |text: &str| Code::ALL.iter().copied().find(|code| code.kind().code == text);
        let unserved = line.unserved.as_deref().and_then(code).zip(line.cause.clone());
        Some(Standing {
            state: match line.state.as_str() {
                "online" => TerminalState::Online,
                "refused" => TerminalState::Refused,
                "connecting" => TerminalState::Connecting,
                _ => TerminalState::Offline,
            },
            seen: line.last_seen.is_some(),
            serial: line.serial.clone(),
            firmware: line.firmware.clone(),
            skew_ms: line.skew_ms,
            records: line.records,
            capacity: line.capacity,
            troubles: mine.filter_map(|it| Some((code(&it.code)?, it.cause.clone()))).chain(unserved).collect(),
        })
    }
}

/// Which check a condition of a terminal belongs to.
fn check_of(code: Code) -> Check {
    match code {
        Code::TerminalOffline | Code::DriverFailed => Check::Reach,
        Code::TerminalClockOff | Code::TerminalClockUnset => Check::TerminalClock,
        Code::TerminalLogNearlyFull
        | Code::TerminalLogShrank
        | Code::TerminalLogUnreadable
        | Code::TerminalRecordsSetAside => Check::TerminalLog,
        Code::TerminalNoLiveEvents | Code::TerminalLineNoisy => Check::Live,
        Code::TerminalUnsafeKey | Code::TerminalAddressChanged => Check::Safety,
        _ => Check::Session,
    }
}

/// The findings of one terminal, from the ground up.
fn judge(standing: &Standing) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut because = None;
    for check in LAYERS {
        if let Some(because) = because {
            findings.push(check.skipped(because));
            continue;
        }
        let troubles: Vec<_> = standing.troubles.iter().filter(|(code, _)| check_of(*code) == check).collect();
        let Some((code, cause)) = troubles.iter().min_by_key(|(code, _)| code.kind().severity) else {
            let (finding, goes_on) = without_trouble(check, standing);
            findings.push(finding);
            if !goes_on {
                because = Some(check);
            }
            continue;
        };
        let kind = code.kind();
        let (title, mend) = (kind.title, kind.mend);
        let (en, zh) = (title.en, title.zh);
        let evidence =
            if cause.is_empty() { both!("{en}" / "{zh}") } else { both!("{en}: {cause}" / "{zh}：{cause}") };
        let mend = fixed(mend.en, mend.zh);
        findings.push(match kind.severity {
            Severity::Low => check.odd(evidence, mend),
            Severity::High | Severity::Medium => check.wrong(evidence, mend),
        });
        if matches!(check, Check::Reach | Check::Session) && standing.state != TerminalState::Online {
            because = Some(check);
        }
    }
    findings
}

/// What a layer shows that nobody complained of, and whether those above it can be looked at.
fn without_trouble(check: Check, standing: &Standing) -> (Finding, bool) {
    let dash = || "-".to_owned();
    let online = standing.state == TerminalState::Online;
    let quiet = both!("nothing is wrong" / "正常");
    match check {
        Check::Reach if online || standing.seen || !standing.troubles.is_empty() => {
            (Check::Reach.well(both!("it answers" / "有应答")), true)
        }
        Check::Reach => {
            let seen = both!("nothing was heard of it so far" / "目前没有收到任何信号");
            (Check::Reach.odd(seen, waiting()), false)
        }
        Check::Session if online => {
            let serial = standing.serial.clone().unwrap_or_else(dash);
            let firmware = standing.firmware.clone().unwrap_or_else(dash);
            (
                Check::Session.well(both!("serial {serial}, firmware {firmware}" / "序列号 {serial}，固件 {firmware}")),
                true,
            )
        }
        Check::Session => (Check::Session.odd(both!("not yet logged in" / "尚未登录"), waiting()), false),
        Check::TerminalClock => match standing.skew_ms {
            Some(ms) => (check.well(both!("{ms} ms ahead of ours" / "比本机快 {ms} 毫秒")), true),
            None => (check.unseen(both!("it was not asked" / "未读取")), true),
        },
        Check::TerminalLog => match (standing.records, standing.capacity) {
            (Some(records), Some(capacity)) => {
                (check.well(both!("{records} of {capacity} records" / "{records}/{capacity} 条记录")), true)
            }
            (Some(records), None) => (check.well(both!("{records} records" / "{records} 条记录")), true),
            _ => (check.unseen(both!("it does not tell" / "考勤机未提供")), true),
        },
        _ => (check.well(quiet), true),
    }
}

fn waiting() -> Told {
    fixed(
        "Wait half a minute and look again; a terminal that calls us must have our address and port in its menu.",
        "请等半分钟再检查；主动连接的考勤机须在菜单中填写本网关的地址和端口。",
    )
}

/// Runs the line's own driver for a while. It may look at everything and store nothing, so it acknowledges nothing.
async fn look(planned: &PlannedLine, wanted: &[String], on_disk: Arc<OnDisk>) -> Vec<(String, Standing)> {
    let health = Health::default();
    for name in &planned.line.terminals {
        health.know(name, planned.driver.name, planned.driver.delivery);
    }
    let looker = Arc::new(Looker { health: health.clone(), on_disk });
    let late = Instant::now() + LOOK;
    let end = loop {
        let end = once(planned, wanted, &health, looker.clone(), late).await;
        let busy = end.as_ref().is_some_and(|end| end.code == Code::TerminalBusy);
        if !busy || Instant::now() + AGAIN >= late {
            break end;
        }
        sleep(AGAIN).await;
    };
    let conditions = health.conditions();
    let one = |name: &String| {
        let it = health.terminals().remove(name)?;
        let mine = conditions.iter().filter(|condition| condition.subject.as_deref() == Some(name));
        let code = |text: &str| Code::ALL.iter().copied().find(|code| code.kind().code == text);
        let mut troubles: Vec<_> = mine.filter_map(|it| Some((code(it.kind.code)?, it.cause.clone()))).collect();
        let mut state = it.state;
        // That nothing was stored is our own doing.
        if let Some(end) = end.as_ref().filter(|end| end.cause != NotStored::Closed.to_string()) {
            state = end.state;
            troubles.push((end.code, end.cause.clone()));
        }
        troubles.extend(it.clock.skew_ms.and_then(clock_trouble));
        let standing = Standing {
            state,
            seen: it.last_seen.is_some(),
            serial: it.serial,
            firmware: it.firmware,
            skew_ms: it.clock.skew_ms,
            records: it.records,
            capacity: it.capacity,
            troubles,
        };
        Some((name.clone(), standing))
    };
    wanted.iter().filter_map(one).collect()
}

/// One run of the line's driver: how it ended, if it did so by itself.
async fn once(
    planned: &PlannedLine,
    wanted: &[String],
    health: &Health,
    looker: Arc<Looker>,
    late: Instant,
) -> Option<End> {
    let (link, parts) = Link::new(looker, &planned.line.terminals);
    let run = AssertUnwindSafe(planned.line.driver.run(link)).catch_unwind();
    tokio::pin!(run);
    tokio::select! {
        outcome = &mut run => Some(End::of(outcome)),
        () = all_seen(health, wanted, late) => {
            // The driver may be gone already.
            let _ = parts.closing.send(true);
            let _ = timeout(LEAVING, &mut run).await;
            None
        }
    }
}

/// A driver that may not store leaves before it judges the clock that it has measured; its own limit is not known here.
fn clock_trouble(skew_ms: i64) -> Option<(Code, String)> {
    let there = Timestamp::now().checked_add(SignedDuration::from_millis(skew_ms)).ok()?;
    let cause = format!("{} s ahead of ours", skew_ms / 1000);
    if there.to_zoned(TimeZone::UTC).year() < FIRST_SANE_YEAR {
        Some((Code::TerminalClockUnset, cause))
    } else {
        (skew_ms.abs() > CLOCK_LIMIT).then_some((Code::TerminalClockOff, cause))
    }
}

/// Returns when every terminal has shown itself and had a moment for the rest, or when it is late.
async fn all_seen(health: &Health, wanted: &[String], late: Instant) {
    while Instant::now() < late {
        let terminals = health.terminals();
        if wanted.iter().all(|name| terminals.get(name).is_some_and(|it| it.state == TerminalState::Online)) {
            sleep(REST).await;
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A gateway that only looks.
struct Looker {
    health: Health,
    on_disk: Arc<OnDisk>,
}

#[async_trait]
impl Gateway for Looker {
    async fn put(&self, _: &str, _: &str, _: Batch) -> Result<Stored, NotStored> {
        Err(NotStored::Closed)
    }

    async fn load_cursor(&self, _: &str, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn save_cursor(&self, _: &str, _: &str, _: Vec<u8>) -> Result<(), NotStored> {
        Err(NotStored::Closed)
    }

    async fn holdings(&self, terminal: &str, serial: &str) -> Holdings {
        let punches = self.on_disk.get(&(terminal.to_owned(), serial.to_owned())).copied().unwrap_or(0);
        Holdings { punches, ..Holdings::default() }
    }

    /// It books nothing.
    async fn booked_under(&self, _: &str) -> Option<String> {
        None
    }

    fn report(&self, terminal: &str, report: Report) {
        self.health.report(terminal, report);
    }

    /// So that no terminal's clock is set by whoever only looks.
    fn clock_trusted(&self) -> bool {
        false
    }
}
