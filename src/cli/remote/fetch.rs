//! Fetching a bundle or a report in parts: each is asked for by a signed order, checked, and put behind the one before.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::{Failure, Line, OK, Out, challenged, follow, order};
use crate::{
    cli::words,
    command::{Class, Envelope, PrivateKey, Purpose, Response, Standing, sha256},
    config::Profile,
    wire::suffix,
};

/// A line that broke is built anew so often in a row.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(3);
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// What the gateway said of the bundle.
struct Wanted {
    id: String,
    bytes: u64,
    sha256: String,
}

#[allow(clippy::too_many_arguments, reason = "one caller, and each is another thing")]
pub(super) async fn fetch(
    profile: &Profile,
    key: &PrivateKey,
    gateway: &str,
    command: &str,
    told: &Response,
    path: &Path,
    json: bool,
    out: &mut Out,
) -> Result<u8, Failure> {
    let wanted = wanted(told).ok_or_else(|| Failure::failed("the gateway named no bundle", ""))?;
    let again = format!(
        "go on where it was: punchgate remote {gateway} {command} bundle={} --out {}",
        wanted.id,
        path.display()
    );
    let wrong =
        |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()), again.clone());
    if path.exists() {
        let mend = "give the name of a file that is not there yet";
        return Err(Failure::failed(format!("{} is there already", path.display()), mend));
    }
    let part = part_of(path, &wanted.id);
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&part).map_err(wrong)?;
    let mut have = file.metadata().map_err(wrong)?.len();
    let mut tries = 0;
    while have < wanted.bytes {
        let data = match parts(profile, key, gateway, &wanted, have, &mut file, json, out).await {
            Ok(()) => break,
            Err(Broken::Told(failure)) => return Err(failure),
            Err(Broken::Line(failure)) => failure,
        };
        let now = file.metadata().map_err(wrong)?.len();
        tries = if now > have { 0 } else { tries + 1 };
        have = now;
        if tries >= TRIES {
            let why = data.words().unwrap_or_default();
            return Err(Failure::failed(format!("{have} of {} bytes came. {why}", wanted.bytes), again));
        }
        tokio::time::sleep(PAUSE).await;
    }
    drop(file);
    let mut whole = Vec::new();
    File::open(&part).and_then(|mut file| file.read_to_end(&mut whole)).map_err(wrong)?;
    if sha256(&whole) != wanted.sha256 {
        // Nothing of it can be used, and nothing may be put behind it.
        let _ = fs::remove_file(&part);
        return Err(Failure::failed("what came is not what was made: its SHA-256 is another one", "fetch it again"));
    }
    fs::rename(&part, path).map_err(wrong)?;
    let Wanted { id, bytes, sha256 } = wanted;
    if json {
        out.json(&json!({ "bundle": id, "file": path, "bytes": bytes, "sha256": sha256 }))?;
    } else {
        writeln!(out, "{command} {id} is in {}, {}; its SHA-256 is right", path.display(), words::bytes(bytes))?;
    }
    Ok(OK)
}

/// Why no more parts come.
enum Broken {
    /// Another line may do.
    Line(Failure),
    /// The gateway said so, or our own disk.
    Told(Failure),
}

/// All parts from there on, over one line.
#[allow(clippy::too_many_arguments, reason = "one caller, and each is another thing")]
async fn parts(
    profile: &Profile,
    key: &PrivateKey,
    gateway: &str,
    wanted: &Wanted,
    mut have: u64,
    file: &mut File,
    json: bool,
    out: &mut Out,
) -> Result<(), Broken> {
    let mut line = Line::open(profile, gateway, &[suffix::response("+")]).await.map_err(Broken::Line)?;
    while have < wanted.bytes {
        let challenge = challenged(&mut line, profile, key, gateway).await.map_err(Broken::Line)?;
        let args: Map<String, Value> =
            [("bundle".to_owned(), json!(wanted.id)), ("offset".to_owned(), json!(have))].into_iter().collect();
        let order =
            order(profile, gateway, "bundle.read", None, args, String::new(), challenge, Class::Read.life().min(120));
        let sent = Envelope::sign(&order.payload(), Purpose::Command, key).bytes();
        line.publish(suffix::request(&order.id), sent.clone()).await.map_err(Broken::Line)?;
        let answer =
            follow(&mut line, &order.id, &sent, ANSWERED_WITHIN, &mut |_| Ok(())).await.map_err(Broken::Line)?;
        if answer.standing != Standing::Successful {
            let why = answer.error.unwrap_or_else(|| answer.standing.name().into());
            return Err(Broken::Told(Failure::failed(why, "make a new one: leave bundle=... out")));
        }
        let data = answer.result.as_ref().and_then(|result| result.get("data")?.as_str().map(str::to_owned));
        let data = data.and_then(|data| BASE64URL_NOPAD.decode(data.as_bytes()).ok()).filter(|data| !data.is_empty());
        let data = data.ok_or_else(|| Broken::Told(Failure::failed("the gateway sent a part without bytes", "")))?;
        let written = file.write_all(&data).and_then(|()| file.sync_data());
        written.map_err(|error| Broken::Told(Failure::failed(format!("cannot write: {error}"), "look at the disk")))?;
        have += data.len() as u64;
        if !json {
            writeln!(out, "{have} of {} bytes", wanted.bytes)
                .and_then(|()| out.flush())
                .map_err(|error| Broken::Told(error.into()))?;
        }
    }
    line.leave().await;
    Ok(())
}

fn wanted(told: &Response) -> Option<Wanted> {
    let result = told.result.as_ref()?;
    Some(Wanted {
        id: result.get("bundle")?.as_str()?.to_owned(),
        bytes: result.get("bytes")?.as_u64()?,
        sha256: result.get("sha256")?.as_str()?.to_owned(),
    })
}

/// Where the parts lie until they are whole: of this bundle and no other.
fn part_of(path: &Path, id: &str) -> PathBuf {
    let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{id}.part"));
    PathBuf::from(name)
}
