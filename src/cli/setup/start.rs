//! From the written config to the first punch that the broker has.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    args::SetupArgs,
    screen::{Screen, say},
};
use crate::{
    cli::{
        FAILED, Failure, OK,
        ask::{block_on, punch_table},
        doctor,
    },
    doctor::{Examination, Outcome, examine},
    setup::{
        Seen, Start, Systemd, by_hand, delivered, first_punch, seen, start, systemd, until_answers, until_settled,
    },
};

/// A store of any size opens within a second; this is for slow machines.
const UP: Duration = Duration::from_secs(90);
/// For every terminal and the broker to be tried.
const SETTLED: Duration = Duration::from_secs(30);
/// For a punch to be acknowledged by the broker.
const DELIVERED: Duration = Duration::from_secs(60);
/// On a terminal somebody stands beside it.
const STAYS: Duration = Duration::from_secs(600);

/// Starts it. `None`: it is not to be waited for.
pub(super) fn begin(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    config: &Path,
    how: Start,
) -> Result<Option<u8>, Failure> {
    let hand = by_hand(config);
    if args.no_start {
        screen.line(&say!(
            screen,
            "Not started, as you wished: systemctl enable --now punchgate, or by hand: {hand}"
                / "按要求未启动：systemctl enable --now punchgate，或手动运行：{hand}"
        ))?;
        return Ok(Some(OK));
    }
    let why = match systemd() {
        Systemd::Runs => {
            let words =
                how.words().iter().map(|words| format!("systemctl {}", words.join(" "))).collect::<Vec<_>>().join("; ");
            screen.now(&match how {
                Start::Stay => {
                    say!(screen, "Nothing changed, and it is at work: {words}" / "没有变化，网关已在运行：{words}")
                }
                Start::Begin | Start::Again => say!(screen, "Starting: {words}" / "正在启动：{words}"),
            })?;
            match start(how) {
                Ok(()) => return Ok(None),
                Err(said) => {
                    let why = say!(screen, "it did not start: {said}" / "未能启动：{said}");
                    let mend = say!(
                        screen,
                        "what it said last: journalctl -u punchgate -n 50; the config is written and well"
                            / "最近日志：journalctl -u punchgate -n 50；配置已写入且无误"
                    );
                    return Err(Failure::failed(why, mend));
                }
            }
        }
        Systemd::NoTool => say!(screen, "there is no systemctl here" / "本机没有 systemctl"),
        Systemd::NotBooted(word) => {
            say!(screen, "systemd does not run this machine ({word})" / "本机不由 systemd 运行（{word}）")
        }
    };
    screen.line(&say!(
        screen,
        "Not started: {why}. The config is written and well; start it by hand: {hand}"
            / "未启动：{why}。配置已写入且无误，请手动启动：{hand}"
    ))?;
    Ok(Some(FAILED))
}

/// Waits until it answers, lets the doctor look, and waits for a punch.
pub(super) fn follow(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    config: &Path,
    begun: Timestamp,
) -> Result<u8, Failure> {
    let patience = args.wait_punch.unwrap_or(if screen.asks { STAYS } else { Duration::ZERO });
    block_on(async {
        let answered = until_answers(config, UP).await;
        let (socket, status) = answered.map_err(|why| Failure::Unreachable {
            why: say!(screen, "the gateway was started and does not answer: {why}" / "网关已启动但没有应答：{why}"),
            mend: "journalctl -u punchgate -n 50".into(),
        })?;
        let (gateway, version) = (format!("{}/{}", status.tenant, status.gateway), status.version);
        screen.now(&say!(
            screen,
            "The gateway {gateway} is at work, version {version}." / "网关 {gateway} 已运行，版本 {version}。"
        ))?;
        until_settled(&socket, SETTLED).await;
        let known = seen(&socket, begun).await?;
        let report = examine(&Examination { config: config.to_owned(), terminal: None }).await;
        let notable = |outcome| matches!(outcome, Outcome::Wrong | Outcome::Odd);
        let notable: Vec<_> = report.findings.iter().filter(|it| notable(it.outcome)).cloned().collect();
        doctor::list(&notable, screen.language, screen.out)?;
        let line = doctor::summed(&report, screen.language);
        screen.now(&say!(screen, "doctor: {line}" / "检查：{line}"))?;
        let code = if report.is_well() { OK } else { FAILED };
        if patience.is_zero() || status.terminals.total == 0 {
            return Ok(code);
        }
        Ok(code.max(wait(screen, &socket, &known, patience).await?))
    })
}

async fn wait(screen: &mut Screen<'_>, socket: &Path, known: &Seen, patience: Duration) -> Result<u8, Failure> {
    screen.head(&say!(screen, "First punch" / "第一条打卡"))?;
    let seconds = patience.as_secs();
    screen.now(&say!(
        screen,
        "Put a finger on the terminal, or hold a card to it. Waiting for {seconds} s; Ctrl-C ends the waiting, not the gateway."
            / "请在考勤机上按一次指纹或刷一次卡。最多等待 {seconds} 秒；Ctrl-C 只结束等待，不影响网关。"
    ))?;
    let Some(mut punch) = first_punch(socket, known, patience).await? else {
        screen.line(&say!(
            screen,
            "No punch came. Everything else is done; see punchgate terminals, and punchgate punches --follow."
                / "没有收到打卡。其余均已完成；请看 punchgate terminals 与 punchgate punches --follow。"
        ))?;
        return Ok(FAILED);
    };
    punch_table(&punch).write(screen.out, true)?;
    screen.out.flush()?;
    let begun = Instant::now();
    if !delivered(socket, &punch, DELIVERED).await? {
        let seconds = DELIVERED.as_secs();
        screen.line(&say!(
            screen,
            "It is on this disk; the broker has not confirmed it within {seconds} s: punchgate doctor"
                / "已写入本机磁盘；消息服务器在 {seconds} 秒内未确认：punchgate doctor"
        ))?;
        return Ok(FAILED);
    }
    punch.delivered = true;
    let (seconds, name) = (begun.elapsed().as_secs_f32(), punch.terminal);
    screen.line(&say!(
        screen,
        "Delivered after {seconds:.1} s: the broker has the first punch of {name}. That was it."
            / "{seconds:.1} 秒后送达：消息服务器已收到 {name} 的第一条打卡。安装完成。"
    ))?;
    Ok(OK)
}
