//! `punchgate setup`: from an empty box to the first punch, asked with arrow keys or told by flags. Nothing is written before the summary
//! is confirmed.

mod args;
mod prove;
mod screen;
mod site;
mod start;
mod terminals;

use std::io::{self, IsTerminal};

use jiff::Timestamp;

use super::{
    Failure, OK,
    doctor::language,
    out::{Out, harmless},
};
use crate::{
    config::counted,
    setup::{Answers, Draft, EnrolError, Enrolment, Existing, Fate, Plan, Source, Start, Stores, existing, own_zone},
};
pub(super) use args::SetupArgs;
use prove::{Beside, Next, Proof, decide, given_up};
use screen::{Screen, say};

pub(super) fn setup(args: &SetupArgs, out: &mut Out) -> Result<u8, Failure> {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asks = !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut screen = Screen { out, language: args.lang.unwrap_or_else(language), asks };
    let Collected { mut draft, there: existing, given, enrolled } = collect(&mut screen, args)?;
    let mut beside = match existing {
        Existing::Valid(_) => Beside::find(&draft.path)?,
        _ => Beside::nobody(),
    };
    prove_broker(&mut screen, args, &mut draft, &given, &existing, &beside)?;
    prove_terminals(&mut screen, args, &mut draft, &existing, &mut beside)?;
    let begun = Timestamp::now();
    let Some(changed) = confirm_and_write(&mut screen, args, &draft, enrolled)? else { return Ok(OK) };
    let head = say!(screen, "Start" / "启动");
    screen.head(&head)?;
    let how = match beside.is_at_work() {
        false => Start::Begin,
        true if changed => Start::Again,
        true => Start::Stay,
    };
    match start::begin(&mut screen, args, &draft.path, how)? {
        Some(code) => Ok(code),
        None => start::follow(&mut screen, args, &draft.path, begun),
    }
}

/// What is known before anything is tried.
struct Collected {
    draft: Draft,
    there: Existing,
    /// By flags and an enrolment file: it is not asked again.
    given: Answers,
    /// An enrolment file brought a secret.
    enrolled: bool,
}

/// Flags, then an enrolment file, then the config there, then questions.
fn collect(screen: &mut Screen<'_>, args: &SetupArgs) -> Result<Collected, Failure> {
    let path = std::path::absolute(&args.config).map_err(|error| Failure::failed(error.to_string(), ""))?;
    let shown = path.display();
    let stores = Stores::below(&args.credentials_below);
    let mut there = existing(&path, &stores).map_err(|error| {
        let why = say!(screen, "{shown} cannot be read: {error}" / "无法读取 {shown}：{error}");
        Failure::failed(why, "sudo punchgate setup")
    })?;
    match &there {
        Existing::Bad(_) if args.anew => there = Existing::Nothing,
        Existing::Bad(rejected) if !screen.asks => {
            let mut rejected = rejected.clone();
            if let Some(last) = rejected.problems.last_mut() {
                last.mend += "; or begin anew beside it: --anew";
            }
            return Err(Failure::Config(rejected));
        }
        Existing::Bad(rejected) => {
            screen.line(&rejected.to_string())?;
            let label = say!(screen, "The config there has problems" / "现有配置有问题");
            let options = vec![
                say!(screen, "end, and mend it" / "退出，先修改它"),
                say!(screen, "begin anew; it is kept aside" / "重新开始，原配置另存"),
            ];
            if screen.choose(&label, options, 0)? == 0 {
                return Err(given_up(screen));
            }
            there = Existing::Nothing;
        }
        Existing::Valid(_) => {
            screen.line(&say!(
                screen,
                "{shown} is there: what you do not change stays." / "已有 {shown}：未修改的内容保持不变。"
            ))?;
        }
        Existing::Nothing | Existing::Example => {}
    }
    let mut enrol = args.enrol.clone();
    let flags = args.answers().map_err(|error| Failure::failed(error.to_string(), ""))?;
    if screen.asks && enrol.is_none() && flags.brokers.is_empty() && !matches!(there, Existing::Valid(_)) {
        enrol = site::enrolment(screen)?;
    }
    let brought = enrol.as_deref().map(Enrolment::read).transpose().map_err(|error| refused(args, &error))?;
    // A key that systemd keeps was in no enrolment file.
    let is_secret = |it: &Answers| !matches!(it.key, Some(Source::Credential(_))) || it.password.is_some();
    let enrolled = brought.as_ref().is_some_and(is_secret);
    let given = flags.or(brought.unwrap_or_default());
    let before = match &there {
        Existing::Valid(document) => Answers::of(document),
        _ => Answers::default(),
    };
    let mut answers = given.clone().or(before);
    if screen.asks {
        let head = say!(screen, "Site" / "站点");
        screen.head(&head)?;
        site::site(screen, &given, &mut answers)?;
        let [id, tenant, zone] = [&answers.id, &answers.tenant, &answers.zone].map(|it| it.as_deref().unwrap_or("-"));
        screen.line(&harmless(&say!(screen, "{id} of {tenant}, zone {zone}" / "{tenant} 的 {id}，时区 {zone}")))?;
        let head = say!(screen, "Broker" / "消息服务器");
        screen.head(&head)?;
        site::broker(screen, &given, &|key| has(&there, key), &mut answers)?;
    } else {
        answers.zone = answers.zone.or_else(|| own_zone().filter(|zone| !is_utc(zone)));
        let missing = missing(args, &answers, &there);
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(Failure::Usage {
                why: say!(
                    screen,
                    "nobody is here to be asked, and these are missing: {missing}"
                        / "无人应答提问，缺少以下参数：{missing}"
                ),
                mend: say!(screen, "add them, or run it on a terminal" / "请补充，或在终端上运行"),
            });
        }
    }
    Ok(Collected { draft: Draft::new(path, &there, answers, stores), there, given, enrolled })
}

/// Whether the config there has this key of `[mqtt]`.
fn has(there: &Existing, key: &str) -> bool {
    match there {
        Existing::Valid(document) => document.get("mqtt").and_then(|mqtt| mqtt.get(key)).is_some(),
        _ => false,
    }
}

/// UTC is what a machine has that nobody has told where it stands; terminals' clocks hardly ever run by it.
fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "Universal" | "Etc/Universal" | "Zulu" | "Etc/Zulu" | "UCT" | "Etc/UCT")
}

/// Every flag that is missing where nobody can be asked.
fn missing(args: &SetupArgs, answers: &Answers, there: &Existing) -> Vec<&'static str> {
    let has = |key| has(there, key);
    let (cert, key) = (answers.cert.is_some() || has("cert_file"), answers.key.is_some() || has("key_file"));
    let terminals = match there {
        Existing::Valid(document) => document.get("terminal").is_some(),
        _ => false,
    } || !answers.terminals.is_empty()
        || args.discover
        || args.no_discover;
    let all = [
        (answers.id.is_none(), "--id NAME (or --enrol FILE)"),
        (answers.tenant.is_none(), "--tenant NAME"),
        (answers.zone.is_none(), "--zone ZONE (this machine runs by UTC, which says nothing of the terminals)"),
        (answers.brokers.is_empty(), "--broker URL"),
        (answers.tls() && answers.ca.is_none() && !has("ca_file"), "--ca-file FILE"),
        (key && !cert, "--cert-file FILE"),
        (cert && !key, "--key-file FILE"),
        (answers.password.is_some() && answers.user.is_none(), "--user NAME"),
        (answers.user.is_some() && answers.password.is_none() && !has("password_file"), "--password-file FILE"),
        (!terminals, "--terminal NAME=DRIVER:ADDRESS (or --discover, or --no-discover)"),
        (!args.yes && !args.dry_run, "--yes (or --dry-run)"),
    ];
    all.into_iter().filter(|(missing, _)| *missing).map(|(_, flag)| flag).collect()
}

fn refused(args: &SetupArgs, error: &EnrolError) -> Failure {
    let shown = args.enrol.as_ref().map_or_else(String::new, |path| path.display().to_string());
    Failure::Usage { why: format!("--enrol {shown}: {error}"), mend: error.mend().into() }
}

fn prove_broker(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    draft: &mut Draft,
    given: &Answers,
    there: &Existing,
    beside: &Beside,
) -> Result<(), Failure> {
    if !screen.asks {
        let head = say!(screen, "Broker" / "消息服务器");
        screen.head(&head)?;
    }
    // The terminals' turn comes later; what is wrong with them is no fault of the broker's.
    let mut given = given.clone();
    loop {
        let terminals = std::mem::take(&mut draft.answers.terminals);
        let proof = prove::broker(screen, draft, beside);
        draft.answers.terminals = terminals;
        match decide(screen, proof?, args.unproven, true)? {
            Next::GoOn => return Ok(()),
            Next::Again => {}
            Next::Correct => {
                // Now everything is asked, whoever said it before.
                given = Answers { id: given.id, tenant: given.tenant, zone: given.zone, ..Answers::default() };
                if let Proof::Rejected(_) = trial(draft) {
                    given = Answers::default();
                    site::site(screen, &given, &mut draft.answers)?;
                }
                site::broker(screen, &given, &|key| has(there, key), &mut draft.answers)?;
            }
        }
    }
}

fn trial(draft: &Draft) -> Proof {
    draft.trial().map_or_else(Proof::Rejected, |_| Proof::Well)
}

fn prove_terminals(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    draft: &mut Draft,
    there: &Existing,
    beside: &mut Beside,
) -> Result<(), Failure> {
    let head = say!(screen, "Terminals" / "考勤机");
    screen.head(&head)?;
    let by_flags = !args.terminals.is_empty();
    if args.discover && !screen.asks {
        let found = terminals::look(screen, args, there)?;
        terminals::take_sure(screen, args, &found, draft)?;
        let missing = terminals::missing_secrets(&draft.answers);
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(Failure::Usage {
                why: say!(screen, "terminals ask for a key: {missing}" / "考勤机需要通讯密码：{missing}"),
                mend: say!(screen, "add it; the key stands in the terminal's own menu" / "请补充；密码见考勤机菜单"),
            });
        }
    } else if screen.asks && (args.discover || !by_flags) {
        terminals::ask(screen, args, there, draft)?;
    }
    loop {
        let deaf = draft.deaf().map_err(|error| Failure::failed(error.to_string(), ""))?;
        if !screen.asks && !deaf.is_empty() {
            let missing =
                deaf.iter().map(|driver| format!("--listen {driver}=ADDRESS:PORT")).collect::<Vec<_>>().join(", ");
            return Err(Failure::Usage {
                why: say!(
                    screen,
                    "terminals call us, and nobody says where: {missing}"
                        / "考勤机主动连接本网关，但未指定地址：{missing}"
                ),
                mend: say!(
                    screen,
                    "give this machine's address on the terminals' network" / "请填写本机在考勤机网络中的地址"
                ),
            });
        }
        for driver in deaf {
            terminals::listen(screen, &driver, &mut draft.answers)?;
        }
        let proof = prove::terminals(screen, draft, beside)?;
        match decide(screen, proof, args.unproven, true)? {
            Next::GoOn => break,
            Next::Again => {}
            Next::Correct => terminals::correct(screen, draft)?,
        }
    }
    let head = say!(screen, "Clock" / "时钟");
    screen.head(&head)?;
    loop {
        let state_dir = draft.trial().map(|trial| trial.config.gateway.state_dir).unwrap_or_default();
        let proof = prove::clock(screen, &state_dir)?;
        if decide(screen, proof, args.unproven, false)? == Next::GoOn {
            return Ok(());
        }
    }
}

/// Shows everything that would be written, asks, writes it, and lets `check` judge it. `None`: it was not to be written; else whether
/// anything changed.
fn confirm_and_write(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    draft: &Draft,
    enrolled: bool,
) -> Result<Option<bool>, Failure> {
    let plan =
        draft.plan().map_err(|error| Failure::failed(error.to_string(), "give the path of a file that can be read"))?;
    if let Err(rejected) = draft.trial() {
        return Err(Failure::Config(rejected));
    }
    let head = say!(screen, "Summary" / "汇总");
    screen.head(&head)?;
    summary(screen, &plan)?;
    if args.dry_run {
        screen.line(&say!(screen, "Nothing was written: --dry-run." / "未写入任何内容：--dry-run。"))?;
        return Ok(None);
    }
    if screen.asks {
        let label = say!(screen, "Write this?" / "写入以上内容？");
        let options = vec![
            say!(screen, "write it and start" / "写入并启动"),
            say!(screen, "end; nothing is written" / "退出，不写入"),
        ];
        if screen.choose(&label, options, 0)? != 0 {
            return Err(given_up(screen));
        }
    }
    let aside = plan.put(Timestamp::now()).map_err(|error| Failure::failed(error.to_string(), error.mend()))?;
    for copy in &aside {
        let copy = copy.display();
        screen.line(&say!(screen, "kept aside: {copy}" / "已另存：{copy}"))?;
    }
    let config = draft.written()?.config;
    let (shown, terminals) = (draft.path.display(), counted(config.terminals.len(), "terminal"));
    let count = config.terminals.len();
    screen.line(&say!(screen, "{shown} is well: {terminals}" / "{shown} 无误：{count} 台考勤机"))?;
    for warning in &config.warnings {
        screen.line(&warning.to_string())?;
    }
    if enrolled {
        screen.line(&say!(
            screen,
            "The enrolment file holds this gateway's key: destroy it now." / "注册文件中含有本网关的密钥：请立即销毁。"
        ))?;
    }
    Ok(Some(plan.files.iter().any(|file| file.fate != Fate::Same)))
}

fn summary(screen: &mut Screen<'_>, plan: &Plan) -> Result<(), Failure> {
    for file in &plan.files {
        let (path, count) = (file.path.display(), file.bytes.len());
        let fate = match file.fate {
            Fate::New => say!(screen, "new" / "新建"),
            Fate::Same => say!(screen, "stays as it is" / "不变"),
            Fate::Replaces => say!(screen, "new; the one there is kept aside" / "新建，现有文件另存"),
        };
        screen.line(&say!(screen, "  {path}  {count} bytes, {fate}" / "  {path}  {count} 字节，{fate}"))?;
    }
    screen.line(&match Plan::group() {
        Some(_) => say!(screen, "  (mode 640, group punchgate)" / "  （权限 640，组 punchgate）"),
        None => say!(
            screen,
            "  (mode 640; this machine has no group punchgate, so they stay yours alone)"
                / "  （权限 640；本机没有 punchgate 组，文件仅属于您）"
        ),
    })?;
    screen.line("")?;
    for line in plan.config().lines() {
        screen.line(&format!("  | {}", harmless(line)))?;
    }
    screen.line("")
}
