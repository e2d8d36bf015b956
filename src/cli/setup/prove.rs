//! Each step is proved at once: what it found is shown, and whoever sits there decides.

use std::path::Path;

use super::screen::{Screen, say};
use crate::{
    cli::{Failure, ask::block_on, doctor},
    config::Rejected,
    doctor::{self as checks, AtWork, Finding, Outcome},
    setup::{Draft, Trial},
};

/// What comes after something that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Correct,
    Again,
    GoOn,
}

/// The daemon that works by the config there, if it does.
pub(super) struct Beside {
    at_work: Option<AtWork>,
}

impl Beside {
    pub(super) fn find(config: &Path) -> Result<Self, Failure> {
        let at_work = block_on(async { Ok(AtWork::find(config).await) })?;
        Ok(Self { at_work })
    }

    pub(super) fn nobody() -> Self {
        Self { at_work: None }
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.at_work.is_some()
    }
}

/// The way to the broker.
pub(super) fn broker(screen: &mut Screen<'_>, draft: &Draft, beside: &Beside) -> Result<Proof, Failure> {
    let mut trial = match draft.trial() {
        Ok(trial) => trial,
        Err(rejected) => return Ok(Proof::Rejected(rejected)),
    };
    let changed = draft.changes().map_err(unreadable)?.broker;
    let asked = beside.at_work.as_ref().filter(|_| !changed);
    if beside.at_work.is_some() && asked.is_none() {
        // Its own name would throw the gateway at work off the broker.
        trial.config.mqtt.client_id += "-setup";
    }
    screen.now(&say!(screen, "Trying the broker." / "正在尝试消息服务器。"))?;
    let mut findings = credentials(&trial, true);
    findings.extend(block_on(async { Ok(checks::brokers(&trial.config, asked).await) })?);
    shown(screen, findings)
}

/// Every terminal, by its own driver.
pub(super) fn terminals(screen: &mut Screen<'_>, draft: &Draft, beside: &mut Beside) -> Result<Proof, Failure> {
    let trial = match draft.trial() {
        Ok(trial) => trial,
        Err(rejected) => return Ok(Proof::Rejected(rejected)),
    };
    let mut findings = credentials(&trial, false);
    if trial.config.terminals.is_empty() {
        screen.line(&say!(screen, "There is no terminal." / "没有考勤机。"))?;
        return Ok(Proof::Well);
    }
    let elsewhere = draft.changes().map_err(unreadable)?.elsewhere;
    if let Some(at_work) = &mut beside.at_work {
        at_work.forget(&elsewhere);
    }
    screen.now(&say!(
        screen,
        "Trying each terminal; one that does not answer takes a quarter of a minute."
            / "正在逐台尝试考勤机；不应答的约需 15 秒。"
    ))?;
    findings.extend(block_on(async { Ok(checks::terminals(trial.config, beside.at_work.as_ref()).await) })?);
    shown(screen, findings)
}

/// What is taken from systemd, for the broker or for everything else.
fn credentials(trial: &Trial, of_broker: bool) -> Vec<Finding> {
    let these = trial.credentials.iter().filter(|it| it.of_broker == of_broker);
    these.map(|it| it.finding.clone()).collect()
}

/// This machine's clock.
pub(super) fn clock(screen: &mut Screen<'_>, state_dir: &Path) -> Result<Proof, Failure> {
    shown(screen, vec![checks::clock(state_dir)])
}

/// A file that was named, and that cannot be read any more.
fn unreadable(error: std::io::Error) -> Failure {
    Failure::failed(error.to_string(), "give the path of a file that can be read")
}

/// What came of a proof.
pub(super) enum Proof {
    Well,
    Wrong(Finding),
    /// The config itself would be refused.
    Rejected(Rejected),
}

fn shown(screen: &mut Screen<'_>, findings: Vec<Finding>) -> Result<Proof, Failure> {
    let language = screen.language;
    doctor::list(&findings, language, screen.out)?;
    Ok(match findings.into_iter().find(|finding| finding.outcome == Outcome::Wrong) {
        None => Proof::Well,
        Some(finding) => Proof::Wrong(finding),
    })
}

/// Decides after a proof. Without anybody there, what is wrong ends it, unless `unproven` says otherwise.
pub(super) fn decide(
    screen: &mut Screen<'_>,
    proof: Proof,
    unproven: bool,
    correctable: bool,
) -> Result<Next, Failure> {
    match proof {
        Proof::Well => Ok(Next::GoOn),
        Proof::Rejected(rejected) if !screen.asks => Err(Failure::Config(rejected)),
        Proof::Rejected(rejected) => {
            let words = rejected.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            screen.line(&words)?;
            let options =
                vec![say!(screen, "correct it" / "修改"), say!(screen, "end; nothing is written" / "退出，不写入")];
            let label = say!(screen, "So it would be refused" / "这样的配置会被拒绝");
            match screen.choose(&label, options, 0)? {
                0 => Ok(Next::Correct),
                _ => Err(given_up(screen)),
            }
        }
        Proof::Wrong(_) if !screen.asks && unproven => Ok(Next::GoOn),
        Proof::Wrong(finding) if !screen.asks => {
            let title = doctor::said(&finding.title, screen.language);
            let mend = finding.mend.map(|mend| doctor::said(&mend, screen.language)).unwrap_or_default();
            let why = say!(screen, "not proved: {title}; nothing was written" / "未通过：{title}；没有写入任何内容");
            let or = say!(screen, "or write it all the same with --unproven" / "或用 --unproven 仍然写入");
            Err(Failure::failed(why, format!("{mend} ({or})")))
        }
        Proof::Wrong(_) => {
            let mut options = vec![
                (Next::Again, say!(screen, "try again" / "重试")),
                (Next::GoOn, say!(screen, "go on all the same" / "仍然继续")),
            ];
            if correctable {
                options.insert(0, (Next::Correct, say!(screen, "correct it" / "修改")));
            }
            let label = say!(screen, "Something is wrong" / "有问题");
            let end = say!(screen, "end; nothing is written" / "退出，不写入");
            let words = options.iter().map(|(_, words)| words.clone()).chain([end]).collect();
            let chosen = screen.choose(&label, words, 0)?;
            options.get(chosen).map(|(next, _)| *next).ok_or_else(|| given_up(screen))
        }
    }
}

pub(super) fn given_up(screen: &Screen<'_>) -> Failure {
    let why = say!(screen, "ended; nothing was written" / "已中止；没有写入任何内容");
    Failure::failed(why, say!(screen, "begin again: punchgate setup" / "重新开始：punchgate setup"))
}
