//! `punchgate remote`: the support engineer's side. Signs an order, sends it, follows the gateway's signed answers.

mod args;
mod fetch;
mod line;
mod trust;

use std::{
    env,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use args::{ApproveArgs, KeygenArgs, RemoteCommand};
pub(super) use args::{RemoteArgs, SendArgs};
use line::{Line, NotSigned};

use super::{FAILED, Failure, OK, out::Out, out::harmless};
use crate::{
    command::{
        About, CHALLENGE, COMMANDS, Class, Envelope, Order, PrivateKey, Purpose, Response, SIGNATURES_LIMIT, Spec,
        Standing, find, new_id, order_in,
    },
    config::{self, Profile},
    wire::suffix,
};

/// A gateway that is there answers sooner.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// Orders that are not dangerous are good for so long, in seconds.
const LIFE: i64 = 120;

pub(super) fn remote(args: &RemoteArgs, out: &mut Out) -> Result<u8, Failure> {
    match &args.command {
        Some(RemoteCommand::Keygen(args)) => keygen(args, out),
        Some(RemoteCommand::Approve(args)) => block_on(approve(args, out)),
        Some(RemoteCommand::Trust { command }) => block_on(trust::trust(command, out)),
        None => block_on(send(&args.send, out)),
    }
}

fn keygen(args: &KeygenArgs, out: &mut Out) -> Result<u8, Failure> {
    let key = PrivateKey::generate();
    key.write(&args.out).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Failure::failed(
            format!("{error}{source}"),
            "give the name of a file that is not there yet, in a folder that is",
        )
    })?;
    let public = key.public();
    if args.json {
        out.json(&json!({ "public_key": public.to_string(), "key_id": public.id().to_string() }))?;
    } else {
        writeln!(out, "public_key = \"{public}\"\n")?;
        writeln!(
            out,
            "Its id is {}. Keep {} to yourself: who has it can sign as you.",
            public.id(),
            args.out.display()
        )?;
        writeln!(
            out,
            "The line above goes into an [[operator]] block of each gateway's config; compare it on the phone."
        )?;
    }
    Ok(OK)
}

async fn send(args: &SendArgs, out: &mut Out) -> Result<u8, Failure> {
    let (gateway, command) = match (&args.gateway, &args.command) {
        (Some(gateway), Some(command)) => (gateway.as_str(), command.as_str()),
        _ => return Err(usage("which gateway, and which command?", known_commands())),
    };
    let spec = find(command).ok_or_else(|| usage(format!("there is no command {command:?}"), known_commands()))?;
    let (terminal, given) = words(spec, &args.words)?;
    spec.check(&given, terminal.as_deref())
        .map_err(|why| usage(format!("{command}: {why}"), "see docs/commands.md for what it takes"))?;
    let reason = args.reason.clone().unwrap_or_default();
    if spec.class != Class::Read && reason.trim().is_empty() {
        return Err(usage(
            format!("{command} takes a reason"),
            "add --reason \"TICKET-12: ...\": the audit log keeps it",
        ));
    }
    if args.out.is_some() && !["bundle", "report"].contains(&command) {
        return Err(usage("--out is for the commands bundle and report", "leave it out"));
    }
    let (profile, key) = open(&args.profile)?;
    ask_before(spec, gateway, terminal.as_deref(), args.yes)?;

    let mut line = Line::open(&profile, gateway, &[suffix::response("+")]).await?;
    let given_back = ask(&mut line, &challenge_order(&profile, gateway), &key).await?;
    let challenge = match challenge_in(&given_back) {
        Some(challenge) if command != CHALLENGE => challenge,
        _ => return show_end(&given_back, args.json, out),
    };
    let life = if spec.class == Class::Dangerous { Class::Dangerous.life() } else { LIFE };
    let order = order(&profile, gateway, command, terminal, given, reason, challenge, life);
    let envelope = Envelope::sign(&order.payload(), Purpose::Command, &key);
    let alone = spec.class != Class::Dangerous || args.alone;
    let wait = match alone {
        true => {
            line.publish(suffix::request(&order.id), envelope.bytes()).await?;
            FIRST_ANSWER
        }
        false => {
            line.publish(suffix::approval(&order.id), envelope.bytes()).await?;
            if !args.json {
                writeln!(out, "It takes a second person within {life} s: punchgate remote approve {gateway}")?;
                out.flush()?;
            }
            Duration::from_secs(life.unsigned_abs())
        }
    };
    // With another signature the envelope is another one: then its payload and ours are compared, not the whole.
    let sent = if alone { envelope.bytes() } else { vec![] };
    let end = follow(&mut line, &order.id, &sent, wait, &mut |response| show(response, args.json, out)).await?;
    line.leave().await;
    let code = show_end(&end, args.json, out)?;
    match &args.out {
        Some(path) if end.standing == Standing::Successful => {
            fetch::fetch(&profile, &key, gateway, command, &end, path, args.json, out).await
        }
        _ => Ok(code),
    }
}

/// An order that is written now. With a challenge also where none need be: then no clock must be right, and nothing that was
/// sent before can be meant.
#[allow(clippy::too_many_arguments, reason = "these are what an order says")]
fn order(
    profile: &Profile,
    gateway: &str,
    command: &str,
    terminal: Option<String>,
    args: Map<String, Value>,
    reason: String,
    challenge: String,
    life: i64,
) -> Order {
    let now = Timestamp::now().as_second();
    let (gateway, tenant, command) = (gateway.to_owned(), profile.tenant.clone(), command.to_owned());
    let challenge = Some(challenge);
    Order { id: new_id(), gateway, tenant, iat: now, exp: now + life, command, args, terminal, reason, challenge }
}

fn challenge_order(profile: &Profile, gateway: &str) -> Order {
    let order = order(profile, gateway, CHALLENGE, None, Map::new(), String::new(), String::new(), LIFE);
    Order { challenge: None, ..order }
}

/// A challenge of the gateway for the next order.
async fn challenged(line: &mut Line, profile: &Profile, key: &PrivateKey, gateway: &str) -> Result<String, Failure> {
    let answer = ask(line, &challenge_order(profile, gateway), key).await?;
    challenge_in(&answer).ok_or_else(|| {
        let why = answer.error.unwrap_or_else(|| answer.standing.name().to_owned());
        Failure::failed(why, "is your key in the gateway's config, and has it not ended?")
    })
}

fn challenge_in(answer: &Response) -> Option<String> {
    answer.result.as_ref().and_then(|result| result.get("challenge")?.as_str().map(str::to_owned))
}

/// Sends what has a short answer.
async fn ask(line: &mut Line, order: &Order, key: &PrivateKey) -> Result<Response, Failure> {
    let sent = Envelope::sign(&order.payload(), Purpose::Command, key).bytes();
    line.publish(suffix::request(&order.id), sent.clone()).await?;
    follow(line, &order.id, &sent, FIRST_ANSWER, &mut |_| Ok(())).await
}

async fn approve(args: &ApproveArgs, out: &mut Out) -> Result<u8, Failure> {
    let (profile, key) = open(&args.profile)?;
    let topics = [suffix::approval("+"), suffix::response("+")];
    let mut line = Line::open(&profile, &args.gateway, &topics).await?;
    if !args.json {
        writeln!(out, "waiting for an order that needs a second person ...")?;
        out.flush()?;
    }
    let waiting = async {
        loop {
            let (id, payload) = line.next("approval/").await?;
            let Ok(envelope) = Envelope::read(&payload, Purpose::Command) else { continue };
            let Ok((order, spec)) = order_in(&envelope) else { continue };
            let ours = order.gateway == args.gateway && order.tenant == profile.tenant && order.id == id;
            let room = envelope.keys().count() < SIGNATURES_LIMIT && envelope.keys().all(|it| it != key.public().id());
            if ours && room && args.id.as_ref().is_none_or(|wanted| *wanted == id) {
                return Ok::<_, Failure>((envelope, order, spec));
            }
        }
    };
    let patience = Duration::from_secs(args.wait.into());
    let (mut envelope, order, spec) = timeout(patience, waiting).await.map_err(|_| {
        Failure::failed("no order came that needs a second person", "let the first person send it now")
    })??;
    let signers: Vec<String> = envelope.keys().map(|key| key.to_string()).collect();
    let lines = [
        format!("{} {}: {}", order.command, order.terminal.as_deref().unwrap_or(""), spec.words.en),
        format!("  with    {}", Value::Object(order.args.clone())),
        format!("  reason  {}", order.reason),
        format!("  signed  {}", signers.join(", ")),
    ];
    let mut to = io::stderr();
    lines.iter().try_for_each(|line| writeln!(to, "{}", harmless(line)))?;
    if !args.yes && !confirmed("Sign it too? yes/no: ", "yes")? {
        return Err(Failure::failed("not signed", ""));
    }
    envelope.add_signature(Purpose::Command, &key);
    line.publish(suffix::request(&order.id), envelope.bytes()).await?;
    let bytes = envelope.bytes();
    let end =
        follow(&mut line, &order.id, &bytes, FIRST_ANSWER, &mut |response| show(response, args.json, out)).await?;
    line.leave().await;
    show_end(&end, args.json, out)
}

/// Follows an order to its end: every answer is the gateway's own, and is about this request. `sent` is empty where somebody
/// else sends it.
async fn follow(
    line: &mut Line,
    id: &str,
    sent: &[u8],
    first: Duration,
    shown: &mut dyn FnMut(&Response) -> Result<(), Failure>,
) -> Result<Response, Failure> {
    let prefix = "response/";
    let mut until = Instant::now() + first;
    loop {
        let next = tokio::time::timeout_at(until, line.next(prefix)).await;
        let (of, payload) = next.map_err(|_| Failure::failed(
            "the gateway did not answer in time",
            "look at its topics state and health; what it did, its audit log tells; asking again with the same order is safe",
        ))??;
        if of != id {
            continue;
        }
        let response = match line.response(id, sent, &payload) {
            Ok(response) => response,
            Err(NotSigned(why)) => {
                // Somebody else writes on the topic. The gateway's own answer may still come.
                writeln!(io::stderr(), "punchgate: an answer that is not the gateway's was left out: {why}")?;
                continue;
            }
        };
        if response.standing.is_final() {
            return Ok(response);
        }
        // Every command has its own limit, and the gateway keeps to it.
        until = Instant::now() + Duration::from_secs(960);
        shown(&response)?;
    }
}

fn show(response: &Response, json: bool, out: &mut Out) -> Result<(), Failure> {
    if json {
        out.json(response)?;
    } else {
        let progress = response.progress.as_deref().map(|words| format!(": {}", harmless(words))).unwrap_or_default();
        writeln!(out, "{}{progress}", response.standing.name())?;
    }
    Ok(out.flush()?)
}

fn show_end(response: &Response, json: bool, out: &mut Out) -> Result<u8, Failure> {
    if json {
        out.json(response)?;
    } else {
        let error = response.error.as_deref().map(|words| format!(": {}", harmless(words))).unwrap_or_default();
        writeln!(out, "{}{error}", response.standing.name())?;
        if let Some(result) = &response.result {
            let text = serde_json::to_string_pretty(result).map_err(io::Error::other)?;
            text.lines().try_for_each(|line| writeln!(out, "{}", harmless(line)))?;
        }
    }
    Ok(if response.standing == Standing::Successful { OK } else { FAILED })
}

/// Signs an order and follows it to its end, for whoever has no runtime of his own at work.
pub(super) fn send_now(args: &SendArgs, out: &mut Out) -> Result<u8, Failure> {
    block_on(send(args, out))
}

/// The profile, from the named file or the usual one.
pub(super) fn profile(named: &Option<PathBuf>) -> Result<Profile, Failure> {
    let path = match named {
        Some(path) => path.clone(),
        None => {
            let home = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
            let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
            home.unwrap_or_default().join("punchgate/remote.toml")
        }
    };
    Ok(config::profile(&path)?)
}

/// The profile, and the private key that it names.
fn open(named: &Option<PathBuf>) -> Result<(Profile, PrivateKey), Failure> {
    let profile = profile(named)?;
    let key = private_key(&profile.key_file)?;
    Ok((profile, key))
}

fn private_key(path: &std::path::Path) -> Result<PrivateKey, Failure> {
    PrivateKey::read(path)
        .map_err(|error| Failure::failed(format!("key_file: {error}"), "make one: punchgate remote keygen --out FILE"))
}

/// The terminal and the arguments of `front-door door=1 seconds=5`.
fn words(spec: &Spec, words: &[String]) -> Result<(Option<String>, Map<String, Value>), Failure> {
    let mut schemas = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let schema = (spec.args)(&mut schemas);
    let is_text = |name: &str| {
        let types = schema.get("properties").and_then(|it| it.get(name)?.get("type")).cloned().unwrap_or_default();
        types == "string" || types.as_array().is_some_and(|types| types.iter().any(|it| it == "string"))
    };
    let (mut terminal, mut args) = (None, Map::new());
    for word in words {
        match word.split_once('=') {
            // 007 is not 7: what is a text stays one.
            Some((name, value)) if is_text(name) => _ = args.insert(name.into(), value.into()),
            Some((name, value)) => {
                let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                args.insert(name.into(), value);
            }
            None if terminal.is_none() && spec.about != About::Gateway => terminal = Some(word.clone()),
            None => return Err(usage(format!("what is {word:?}?"), "arguments are written name=value")),
        }
    }
    Ok((terminal, args))
}

fn ask_before(spec: &Spec, gateway: &str, terminal: Option<&str>, yes: bool) -> Result<(), Failure> {
    if spec.class != Class::Dangerous || yes {
        return Ok(());
    }
    let name = terminal.unwrap_or(gateway);
    writeln!(io::stderr(), "{} on {gateway}, {name}: {}", spec.name, spec.words.en)?;
    match confirmed(&format!("Write {name} to go on: "), name)? {
        true => Ok(()),
        false => Err(Failure::failed("not sent", "")),
    }
}

fn confirmed(question: &str, wanted: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(usage("nobody is there to say yes", "add --yes if this is meant"));
    }
    write!(io::stderr(), "{question}")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == wanted)
}

fn known_commands() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
    format!("punchgate remote GATEWAY COMMAND [TERMINAL] [name=value ...]; commands: {}", names.join(", "))
}

fn usage(why: impl Into<String>, mend: impl Into<String>) -> Failure {
    Failure::Usage { why: why.into(), mend: mend.into() }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("cannot start: {error}"), "close other programs"))?.block_on(work)
}
