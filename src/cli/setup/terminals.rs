//! Which terminals: found on the networks here, or told by hand.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use super::{
    args::{COMM_KEY, SetupArgs, takes_comm_key},
    screen::{Screen, say},
};
use crate::{
    cli::{Failure, ask::block_on, discover as command, out::harmless},
    config,
    discover::{self, Discovered, Plan},
    drivers::DRIVERS,
    setup::{Answers, Draft, Existing, Source, Terminal, example_keys, example_listen},
};

/// How long a terminal may take to say that it is there.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Questions a second.
const RATE: u32 = 50;

/// Looks for terminals; who stands in the config there is left alone.
pub(super) fn look(screen: &mut Screen<'_>, args: &SetupArgs, existing: &Existing) -> Result<Vec<Discovered>, Failure> {
    let (known, known_ports) = match existing {
        Existing::Valid(_) => command::known(&args.config),
        _ => Default::default(),
    };
    let networks = match &args.networks[..] {
        [] => command::own_networks()?,
        given => given.to_vec(),
    };
    let plan = Plan {
        networks,
        known,
        known_ports,
        ports: args.ports.iter().cloned().collect(),
        rate: RATE,
        patience: PATIENCE,
        listen: Duration::ZERO,
        by_id: args.by_id.clone(),
    };
    let networks: Vec<String> = plan.networks.iter().map(ToString::to_string).collect();
    let (networks, seconds) = (networks.join(", "), command::seconds(&plan));
    screen.now(&say!(
        screen,
        "Asking in {networks}, gently: this takes some {seconds} s." / "正在温和地询问 {networks}，约需 {seconds} 秒。"
    ))?;
    block_on(async { Ok(discover::discover(&plan, crate::drivers::FINDERS).await) })
}

/// What a person reads of one that was found.
fn shown(found: &Discovered) -> String {
    let told = [&found.vendor, &found.model, &found.serial, &found.firmware];
    let told: Vec<&str> = told.into_iter().map(|text| &**text).filter(|text| !text.is_empty()).collect();
    let note = if found.note.is_empty() { String::new() } else { format!(" ({})", found.note) };
    harmless(&format!("{}: {}, {}{note}", found.driver, found.address, told.join(" ")))
}

/// Whether it is known what it is: by its number, or since it asks for its key.
fn is_sure(found: &Discovered, terminal: &Terminal) -> bool {
    !found.serial.is_empty() && !found.address.starts_with("serial:")
        || terminal.wanted.iter().any(|key| key == COMM_KEY)
}

/// A name that nobody has.
fn free_name(wanted: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(wanted) {
        return wanted.to_owned();
    }
    let stem = wanted.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    (2_u32..).map(|number| format!("{stem}-{number}")).find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Takes what was found for sure, for a script; what it left out is told.
pub(super) fn take_sure(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    found: &[Discovered],
    draft: &mut Draft,
) -> Result<(), Failure> {
    let mut taken: BTreeSet<String> = draft.terminals().into_iter().collect();
    for one in found {
        let Some(mut terminal) = Terminal::found(&one.block).filter(|terminal| is_sure(one, terminal)) else {
            let line = shown(one);
            screen
                .line(&say!(screen, "left out, since nobody can be sure of it: {line}" / "无法确定，未采用：{line}"))?;
            continue;
        };
        terminal.name = free_name(&terminal.name, &taken);
        for (name, path) in &args.comm_keys {
            if name.as_ref().is_none_or(|name| *name == terminal.name)
                && terminal.wanted.iter().any(|key| key == COMM_KEY)
            {
                let path = std::path::absolute(path).map_err(|error| Failure::failed(error.to_string(), ""))?;
                terminal.give(COMM_KEY, Source::File(path));
            }
        }
        let (line, name) = (shown(one), &terminal.name);
        screen.line(&say!(screen, "found {name}: {line}" / "找到 {name}：{line}"))?;
        taken.insert(terminal.name.clone());
        draft.answers.terminals.push(terminal);
    }
    Ok(())
}

/// Asks which of those that were found, and for others.
pub(super) fn ask(
    screen: &mut Screen<'_>,
    args: &SetupArgs,
    existing: &Existing,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let names = draft.terminals();
    if !names.is_empty() {
        let names = names.join(", ");
        screen.line(&say!(screen, "In the config: {names}" / "配置中已有：{names}"))?;
    }
    let options = [
        say!(screen, "look for terminals on the networks here" / "在本机网络中查找考勤机"),
        say!(screen, "add one by hand" / "手动添加"),
        say!(screen, "go on" / "继续"),
    ];
    let label = say!(screen, "Terminals" / "考勤机");
    let mut looked = args.no_discover;
    loop {
        let at = match (looked, draft.terminals().is_empty()) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        match screen.choose(&label, options.to_vec(), at)? {
            0 => {
                let found = look(screen, args, existing)?;
                choose(screen, &found, draft)?;
                looked = true;
            }
            1 => {
                let taken = draft.terminals().into_iter().collect();
                let terminal = by_hand(screen, None, &taken)?;
                draft.answers.terminals.push(terminal);
                looked = true;
            }
            _ => return Ok(()),
        }
    }
}

fn choose(screen: &mut Screen<'_>, found: &[Discovered], draft: &mut Draft) -> Result<(), Failure> {
    let pairs: Vec<(&Discovered, Terminal)> =
        found.iter().filter_map(|one| Some((one, Terminal::found(&one.block)?))).collect();
    if pairs.is_empty() {
        return screen.line(&say!(
            screen,
            "Nobody answered. Terminals that push must call us: add them by hand, with this machine in their menu."
                / "没有应答。推送型考勤机由其主动连接：请手动添加，并在其菜单中填写本机地址。"
        ));
    }
    let sure: Vec<usize> = (0..pairs.len()).filter(|at| is_sure(pairs[*at].0, &pairs[*at].1)).collect();
    let label = say!(screen, "Which of them shall be served?" / "要接入哪些？");
    let chosen = screen.several(&label, pairs.iter().map(|(one, _)| shown(one)).collect(), &sure)?;
    for at in chosen {
        let (one, mut terminal) = (pairs[at].0, pairs[at].1.clone());
        let mut taken: BTreeSet<String> = draft.terminals().into_iter().collect();
        let address = harmless(&one.address);
        let label = say!(screen, "Name of {address}" / "{address} 的名称");
        terminal.name = name(screen, &label, &free_name(&terminal.name, &taken), &taken)?;
        taken.insert(terminal.name.clone());
        secrets(screen, &mut terminal)?;
        draft.answers.terminals.push(terminal);
    }
    Ok(())
}

fn name(screen: &mut Screen<'_>, label: &str, default: &str, taken: &BTreeSet<String>) -> Result<String, Failure> {
    let help = say!(
        screen,
        "what people call it, as in front-door: a-z, 0-9 and -" / "便于识别的名称，例如 front-door：a-z、0-9 和 -"
    );
    let (taken, twice) = (taken.clone(), say!(screen, "there is one of that name" / "该名称已存在"));
    let check = move |text: &str| {
        if taken.contains(text) {
            return Err(twice.clone());
        }
        config::check_name(text).map_err(|(why, mend)| format!("{why}: {mend}"))
    };
    screen.text(label, &help, Some(default), check)
}

/// Asks for what it wants to be told: keys and passwords, which are not shown.
fn secrets(screen: &mut Screen<'_>, terminal: &mut Terminal) -> Result<(), Failure> {
    for key in terminal.wanted.clone() {
        let name = &terminal.name;
        let label = match &*key {
            COMM_KEY => say!(screen, "Comm key of {name}" / "{name} 的通讯密码"),
            key => say!(screen, "{name}: secret for {key}" / "{name}：{key} 的内容"),
        };
        let help = say!(screen, "as in its own menu; leave it empty for none" / "与考勤机菜单中一致；没有则留空");
        let secret = screen.secret(&label, &help)?;
        if secret.is_empty() {
            terminal.wanted.retain(|wanted| *wanted != key);
        } else {
            terminal.give(&key, Source::Given(format!("{secret}\n").into_bytes()));
        }
    }
    Ok(())
}

/// Asks for a terminal; `before` is one to be corrected.
pub(super) fn by_hand(
    screen: &mut Screen<'_>,
    before: Option<&Terminal>,
    taken: &BTreeSet<String>,
) -> Result<Terminal, Failure> {
    let drivers: Vec<&str> = DRIVERS.iter().map(|kind| kind.name).collect();
    // Most terminals of the world speak this one.
    let usual = before.map_or("zk", |before| &before.driver);
    let at = drivers.iter().position(|name| *name == usual).unwrap_or(0);
    let label = say!(screen, "Driver" / "驱动");
    let driver = drivers[screen.choose(&label, drivers.clone(), at)?];
    let label = say!(screen, "Name" / "名称");
    let default = before.map_or_else(|| free_name(&format!("{driver}-1"), taken), |before| before.name.clone());
    let name = name(screen, &label, &default, taken)?;
    let keys = example_keys(driver);
    let example = |wanted: &str| keys.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    let mut told = Vec::new();
    if let Some(example) = example("address") {
        let label = say!(screen, "Address" / "地址");
        let help = say!(screen, "as in {example}; empty if it calls us" / "例如 {example}；由其主动连接时留空");
        let default = before.and_then(Terminal::address);
        told.extend(Some(screen.text(&label, &help, default, |_| Ok(()))?).filter(|address| !address.is_empty()));
    }
    let others: Vec<String> = keys
        .iter()
        .filter(|(key, _)| !matches!(&**key, "name" | "driver" | "address") && !key.ends_with("_file"))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let help = others.join("  ");
    let before_keys = before.map(|before| {
        let others = before.keys.iter().filter(|(key, _)| key != "address");
        let shown = |value: &toml_edit::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        others.map(|(key, value)| format!("{key}={}", shown(value))).collect::<Vec<_>>().join(",")
    });
    let label = say!(screen, "Other keys, with commas between" / "其他配置项，用逗号分隔");
    let (prefix, given) = (format!("{driver}:"), name.clone());
    let address = told.first().cloned().unwrap_or_default();
    let whole = move |text: &str| format!("{prefix}{address}{}{text}", if address.is_empty() { "" } else { "," });
    let check = {
        let whole = whole.clone();
        move |text: &str| Terminal::told(&given, &whole(text)).map(drop)
    };
    let others = screen.text(&label, &help, before_keys.as_deref(), check)?;
    let mut terminal = Terminal::told(&name, &whole(&others)).map_err(|why| Failure::failed(why, ""))?;
    terminal.wanted = keys.iter().map(|(key, _)| key.clone()).filter(|key| key.ends_with("_file")).collect();
    secrets(screen, &mut terminal)?;
    if terminal.secrets.is_empty() && before.is_some_and(|before| before.driver == terminal.driver) {
        terminal.secrets = before.map(|before| before.secrets.clone()).unwrap_or_default();
    }
    Ok(terminal)
}

/// Lets one of the new terminals be corrected, or be left out.
pub(super) fn correct(screen: &mut Screen<'_>, draft: &mut Draft) -> Result<(), Failure> {
    if draft.answers.terminals.is_empty() {
        return screen.line(&say!(
            screen,
            "These stand in the config already: change them there." / "这些考勤机已在配置中：请在配置文件中修改。"
        ));
    }
    let names: Vec<String> = draft.answers.terminals.iter().map(|terminal| terminal.name.clone()).collect();
    let label = say!(screen, "Which one?" / "哪一台？");
    let at = if names.len() == 1 { 0 } else { screen.choose(&label, names, 0)? };
    let options = vec![say!(screen, "correct it" / "修改"), say!(screen, "leave it out" / "不接入")];
    let before = draft.answers.terminals.remove(at);
    if screen.choose(&before.name.clone(), options, 0)? == 0 {
        let taken = draft.terminals().into_iter().filter(|name| *name != before.name).collect();
        let corrected = by_hand(screen, Some(&before), &taken)?;
        draft.answers.terminals.insert(at, corrected);
    }
    Ok(())
}

/// Asks where a driver listens, which is wanted for terminals that call us.
pub(super) fn listen(screen: &mut Screen<'_>, driver: &str, answers: &mut Answers) -> Result<(), Failure> {
    let port = example_listen(driver).map_or(8081, |example| example.port());
    let ours = own_address().map(|ours| SocketAddr::new(ours, port).to_string());
    let label = say!(screen, "{driver}: where do terminals find this gateway?" / "{driver}：考勤机连接本网关的地址？");
    let help = say!(
        screen,
        "this machine's address on the terminals' network, with a port; the same goes into the terminal's menu"
            / "本机在考勤机网络中的地址和端口；考勤机菜单中也填写它"
    );
    let check = |text: &str| text.parse::<SocketAddr>().map(drop).map_err(|error| format!("{error}: 192.0.2.2:8081"));
    let at = screen.text(&label, &help, ours.as_deref(), check)?;
    answers.listen.extend(at.parse().ok().map(|at| (driver.to_owned(), at)));
    Ok(())
}

/// The address from which this machine would leave its network; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|at| at.ip()).filter(|ip| !ip.is_unspecified())
}

/// Secrets that a script did not give.
pub(super) fn missing_secrets(answers: &Answers) -> Vec<String> {
    let wanting = answers.terminals.iter().filter(|terminal| terminal.wanted.iter().any(|key| key == COMM_KEY));
    wanting.filter(|it| takes_comm_key(&it.driver)).map(|it| format!("--comm-key-file {}=FILE", it.name)).collect()
}
