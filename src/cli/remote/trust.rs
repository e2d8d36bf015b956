//! `punchgate remote trust`: the list of who may order what at a whole fleet; made, signed by each holder of a root, shown, sent.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{Failure, Line, OK, Out, confirmed, open, private_key, usage};
use crate::{
    cli::{bundle::write_new, out::harmless},
    command::{Envelope, Listed, Purpose, SIGNATURES_LIMIT, TrustList, sha256},
    config,
    wire::suffix,
};

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make a list from [[operator]] blocks, and sign it with the first root
    #[command(
        after_long_help = "Example:\n  punchgate remote trust make --operators fleet.toml --tenant acme --version 7 --previous trust-6.jws \\\n    --days 90 --key root-1.jwk --out trust-7.jws"
    )]
    Make(MakeArgs),
    /// Show a list, and sign it too
    Sign(SignArgs),
    /// Show who stands in a list, and which keys have signed it
    Show(ShowArgs),
    /// Put a list on the broker for a gateway, which takes it if it is newer and enough roots have signed it
    Send(SendListArgs),
}

#[derive(Debug, Args)]
pub struct MakeArgs {
    /// [[operator]] blocks as in a gateway's config; `gateways = [...]` in a block says at which
    #[arg(long, value_name = "FILE")]
    pub operators: PathBuf,
    /// As in the gateways' configs
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// One more than that of the list before, which is named by --previous; the first one is 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub version: u64,
    /// The list before
    #[arg(long, value_name = "FILE", required_unless_present = "first")]
    pub previous: Option<PathBuf>,
    /// There is none before
    #[arg(long, conflicts_with = "previous")]
    pub first: bool,
    /// It is good for so many days; then only reads and reversible orders are taken
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub days: u16,
    /// A lockdown that is over, by its id
    #[arg(long, value_name = "ID")]
    pub unlock: Vec<String>,
    /// A root's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// A new file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// It is written anew with one more signature
    pub file: PathBuf,
    /// A root's private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Do not ask before signing
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SendListArgs {
    /// Its gateway.id
    #[arg(value_name = "GATEWAY")]
    pub gateway: String,
    pub file: PathBuf,
    /// Your key, broker and gateways [default: ~/.config/punchgate/remote.toml]
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
}

pub(super) async fn trust(command: &TrustCommand, out: &mut Out) -> Result<u8, Failure> {
    match command {
        TrustCommand::Make(args) => make(args, out),
        TrustCommand::Sign(args) => sign(args, out),
        TrustCommand::Show(args) => show(&read(&args.file)?, args.json, out),
        TrustCommand::Send(args) => send(args, out).await,
    }
}

fn make(args: &MakeArgs, out: &mut Out) -> Result<u8, Failure> {
    let operators = config::operators(&args.operators)?;
    let prev = match &args.previous {
        None => TrustList::FIRST.to_owned(),
        Some(path) => {
            let before = read(path)?;
            if before.list.version + 1 != args.version || before.list.tenant != args.tenant {
                let why = format!("{} is version {} of {}", path.display(), before.list.version, before.list.tenant);
                return Err(usage(why, format!("--version {} follows it", before.list.version + 1)));
            }
            sha256(&before.bytes)
        }
    };
    let key = private_key(&args.key)?;
    let now = Timestamp::now().as_second();
    let list = TrustList {
        tenant: args.tenant.clone(),
        version: args.version,
        prev,
        issued: now,
        expires: now + i64::from(args.days) * 86_400,
        operators,
        unlock: args.unlock.iter().cloned().collect(),
    };
    let bytes = list.sign(&key).bytes();
    // A gateway would not take it, and somebody should know here and now.
    if let Err(malformed) = Envelope::read(&bytes, Purpose::Trust).and_then(|envelope| TrustList::of(&envelope)) {
        return Err(Failure::failed(format!("no gateway would take it: {malformed}"), "mend the operators' file"));
    }
    write_new(&args.out, &bytes)?;
    show(&read(&args.out)?, false, out)
}

fn sign(args: &SignArgs, out: &mut Out) -> Result<u8, Failure> {
    let mut read = read(&args.file)?;
    let key = private_key(&args.key)?;
    if read.envelope.keys().any(|id| id == key.public().id()) || read.envelope.keys().count() >= SIGNATURES_LIMIT {
        return Err(usage("this key has signed it, or three have", "it is enough"));
    }
    show(&read, false, out)?;
    out.flush()?;
    if !args.yes && !confirmed("Sign it too? yes/no: ", "yes")? {
        return Err(Failure::failed("not signed", ""));
    }
    read.envelope.add_signature(Purpose::Trust, &key);
    let fresh = args.file.with_extension("new");
    write_new(&fresh, &read.envelope.bytes())?;
    fs::rename(&fresh, &args.file).map_err(|error| {
        Failure::failed(format!("cannot write {}: {error}", args.file.display()), "look at its folder")
    })?;
    writeln!(out, "signed by {}", key.public().id())?;
    Ok(OK)
}

async fn send(args: &SendListArgs, out: &mut Out) -> Result<u8, Failure> {
    let read = read(&args.file)?;
    let (profile, _) = open(&args.profile)?;
    let mut line = Line::open(&profile, &args.gateway, &[]).await?;
    line.retain(suffix::TRUST.into(), read.bytes.clone()).await?;
    line.leave().await;
    let Read { list, .. } = &read;
    writeln!(
        out,
        "version {} is on the broker for {}; what the gateway made of it, its audit log and its birth tell",
        list.version, args.gateway
    )?;
    Ok(OK)
}

struct Read {
    bytes: Vec<u8>,
    envelope: Envelope,
    list: TrustList,
}

fn read(path: &Path) -> Result<Read, Failure> {
    let wrong = |why: String| {
        Failure::failed(format!("{}: {why}", path.display()), "give a list that `trust make` has written")
    };
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let envelope = Envelope::read(&bytes, Purpose::Trust).map_err(|malformed| wrong(malformed.to_string()))?;
    let list = TrustList::of(&envelope).map_err(|malformed| wrong(malformed.to_string()))?;
    Ok(Read { bytes, envelope, list })
}

fn show(read: &Read, as_json: bool, out: &mut Out) -> Result<u8, Failure> {
    let Read { bytes, envelope, list } = read;
    let signers: Vec<String> = envelope.keys().map(|id| id.to_string()).collect();
    if as_json {
        out.json(&json!({ "sha256": sha256(bytes), "signed_by": signers, "list": list.payload() }))?;
        return Ok(OK);
    }
    let day =
        |second| Timestamp::from_second(second).map_or_else(|_| String::new(), |at| at.strftime("%F").to_string());
    writeln!(
        out,
        "version {} of {}, good from {} to {}",
        list.version,
        list.tenant,
        day(list.issued),
        day(list.expires)
    )?;
    for Listed { operator, gateways } in &list.operators {
        let names = |names: &Option<std::collections::BTreeSet<String>>, all: &str| match names {
            None => all.to_owned(),
            Some(names) => names.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        let (at, of) = (names(gateways, "all gateways"), names(&operator.terminals, "all terminals"));
        let (name, person) = (harmless(&operator.name), harmless(&operator.person));
        let (role, key, end) = (operator.role.name(), operator.key.id(), day(operator.not_after));
        writeln!(out, "  {name} ({person}), {role}, key {key} until {end}: {at}, {of}")?;
    }
    for id in &list.unlock {
        writeln!(out, "  ends lockdown {}", harmless(id))?;
    }
    writeln!(out, "follows {}", list.prev)?;
    writeln!(out, "sha256 {}, signed by {}", sha256(bytes), signers.join(", "))?;
    Ok(OK)
}
