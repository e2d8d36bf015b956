//! Backup and restore by the program itself: what is sent, what is refused, and what a kill at any moment leaves.

mod support;

#[path = "backup/evils.rs"]
mod evils;
#[path = "backup/site.rs"]
mod site;

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};

use data_encoding::HEXLOWER;
use driver_zk::sim::{Model, Simulator};
use evils::{EVILS, flip, object_of};
use punchgate::{
    command::PrivateKey,
    config::EXAMPLE,
    spool::{OpenError, RESTORE_UNFINISHED, Spool},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use site::{Site, asked, copy, files, ids, names, run, said, text};
use support::{broker::skipped, daemon::Daemon};

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_machine_becomes_the_gateway_with_every_punch() {
    let site = Site::new();
    let terminal = Simulator::start(Model::default(), 0).await.unwrap();
    terminal.fill(2000);
    let block =
        format!("[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n", terminal.address());
    let mut daemon = Daemon::prepare();
    fs::write(daemon.config(), site.config_text(&block)).unwrap();
    daemon.launch();
    let punches = |count: u64| {
        move |status: &Value| {
            status["queue"]["undelivered"].as_u64() == Some(count) && status["terminals"]["online"] == 1
        }
    };
    daemon.until_status("the log is read", punches(2000)).await;
    daemon
        .until(&["conditions"], "there is no backup yet", |all| all.iter().any(|it| it["code"] == "backup-too-old"))
        .await;

    // Beside the daemon, and again: what is sealed stays where it is.
    let config = daemon.config();
    let first = asked(&["backup", "--config", text(&config), "--identity", text(&site.path("identity.key"))]);
    assert_eq!((&first["reused"], &first["faults"]), (&json!(0), &json!([])), "{first}");
    let sealed = names(&daemon.path("state/journal")).iter().filter(|name| name.ends_with(".seg")).count() - 1;
    assert!(sealed >= 2, "2000 punches fill more than one segment");
    for n in 0..20 {
        terminal.punch(&format!("{}", 5000 + n));
    }
    daemon.until_status("they are here", punches(2020)).await;
    let objects = site.objects();
    let second = asked(&["backup", "--config", text(&config)]);
    assert!(second["reused"].as_u64().unwrap() >= sealed as u64, "{second}");
    assert!(second["sent"].as_u64().unwrap() + 1 < first["sent"].as_u64().unwrap(), "{second}");
    let new = site.objects().difference(&objects).count() as u64;
    assert_eq!(Some(new), second["sent"].as_u64(), "nothing else came to the target");
    daemon
        .until(&["conditions"], "there is a backup", |all| !all.iter().any(|it| it["code"] == "backup-too-old"))
        .await;
    let listed = run(&["backup", "list", text(&site.path("target"))]);
    assert!(said(&listed).starts_with(second["backup"].as_str().unwrap()), "{}", said(&listed));
    let of_backup = ids(&daemon.path("state"));
    assert_eq!(of_backup.len(), 2020);
    let verified =
        asked(&["backup", "verify", text(&site.path("target")), "--identity", text(&site.path("identity.key"))]);
    assert_eq!(verified["punches"], 2020, "{verified}");

    // What comes now is in no backup.
    for n in 0..5 {
        terminal.punch(&format!("{}", 6000 + n));
    }
    daemon.until_status("they are here", punches(2025)).await;
    let running = site.restore(daemon.path("").as_path(), &["--replace"]);
    assert!(!running.status.success() && said(&running).contains("a gateway runs on"), "{}", said(&running));
    let before = ids(&daemon.path("state"));
    daemon.kill();

    // A machine on which the package was just installed has the example there.
    let mut other = Daemon::prepare();
    fs::write(other.config(), format!("{EXAMPLE}\n")).unwrap();
    let touched = site.restore(other.path("").as_path(), &[]);
    assert!(!touched.status.success() && said(&touched).contains("is there already"), "{}", said(&touched));
    fs::write(other.config(), EXAMPLE).unwrap();
    let restored = site.restore(other.path("").as_path(), &[]);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(ids(&other.path("state")), of_backup);
    terminal.cut();
    other.launch();
    other.until_status("the terminal has told the rest", punches(2025)).await;
    other.until(&["conditions"], "somebody is told", |all| all.iter().any(|it| it["code"] == "store-restored")).await;
    // Even a kill right behind the start does not bring a number back.
    other.kill();
    other.launch();
    other.until_status("it is there again", punches(2025)).await;
    terminal.punch("7000");
    other.until_status("life goes on", punches(2026)).await;
    let after = ids(&other.path("state"));
    assert!(before.is_subset(&after) && after.len() == 2026, "every punch, under the id that it had");
    let report = asked(&["journal", "verify", "--state-dir", text(&other.path("state"))]);
    let ledgers: Vec<_> =
        report["ledgers"].as_array().unwrap().iter().map(|it| (it["last"].clone(), it["punches"].clone())).collect();
    assert_eq!(ledgers, [(json!(2020), json!(2020)), (json!(6), json!(6))], "{report}");
}

#[test]
fn a_backup_names_nobody_and_the_gateway_cannot_read_it() {
    let site = Site::with(700);
    fs::write(site.path("gateway/comm.key"), "123456\n").unwrap();
    let more = "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://192.0.2.10\"\ncomm_key_file = \"comm.key\"\n";
    fs::write(site.config(), site.config_text(more)).unwrap();
    site.back_up();
    let opened = site.opened();
    let paths: BTreeSet<&str> =
        opened.contents["files"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    for path in
        ["config/config.toml", "config/comm.key", "state/gateway-key.jwk", "state/boots", "state/journal/00000001.seg"]
    {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
    // Neither a secret nor the hash of one.
    let manifest = fs::read_to_string(&opened.path).unwrap();
    assert!(!manifest.contains(&HEXLOWER.encode(&Sha256::digest("123456\n"))), "{manifest}");
    for (path, bytes) in files(&site.path("target")) {
        for word in ["123456", "AGE-SECRET", "front-door"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} stands in {}", path.display());
        }
    }
}

#[test]
fn what_is_not_right_is_refused_with_words_and_nothing_changes() {
    let site = Site::with(1000);
    site.back_up();
    copy(&site.path("target"), &site.path("right"));
    copy(&site.path("gateway"), &site.path("right-gateway"));
    for (n, (what, harm, words)) in EVILS.iter().enumerate() {
        for (from, to) in [("right", "target"), ("right-gateway", "gateway")] {
            fs::remove_dir_all(site.path(to)).unwrap();
            copy(&site.path(from), &site.path(to));
        }
        harm(&site);
        let blank = site.path(&format!("blank-{n}"));
        let output = site.restore(&blank, &[]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(said(&output).contains(words), "{what}: {}", said(&output));
        assert!(said(&output).contains("mend:"), "{what}: {}", said(&output));
        assert_eq!(files(&blank), [], "{what}");
        assert!(!names_below(&blank).iter().any(|name| name.starts_with(".restore-")), "{what}");
    }
    // The wrong identity, and the wrong gateway.
    fs::remove_dir_all(site.path("target")).unwrap();
    copy(&site.path("right"), &site.path("target"));
    let other = site.path("other.key");
    run(&["backup", "keygen", text(&other)]);
    let blank = site.path("blank");
    let target = site.path("target");
    let output = run(&["restore", text(&target), "--identity", text(&other), "--config-dir", text(&blank)]);
    assert!(!output.status.success() && said(&output).contains("this identity is another"), "{}", said(&output));
    let stranger = PrivateKey::generate().public().to_string();
    let output = site.restore(&blank, &["--gateway-key", &stranger]);
    assert!(!output.status.success() && said(&output).contains("which is another gateway"), "{}", said(&output));
    assert_eq!(files(&blank), []);
    // And what is right is taken.
    let key = PrivateKey::read(&site.path("right-gateway/state/gateway-key.jwk")).unwrap().public().to_string();
    let output = site.restore(&blank, &["--gateway-key", &key]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(ids(&blank.join("state")).len(), 1000);
    let again = site.restore(&blank, &[]);
    assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
}

fn names_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(names_below(&entry.path()));
        }
        found.insert(entry.file_name().into_string().unwrap());
    }
    found
}

/// Killed at its first, second, third ... sync or rename: the destination is as it was, or the next restore finishes it.
#[test]
fn a_restore_that_is_killed_leaves_nothing_or_all() {
    // Some containers let nobody trace anybody.
    let traced = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    if !traced.is_ok_and(|output| output.status.success()) {
        return skipped("strace is not here or may not trace; no restore is killed");
    }
    for replace in [false, true] {
        let site = Site::with(700);
        site.back_up();
        let whole = ids(&site.path("gateway/state"));
        let old = Site::with(10);
        fs::write(old.config(), old.config_text("# the old one\n")).unwrap();
        let (mut killed_before, mut killed_behind) = (0, 0);
        for moment in 1..=500 {
            assert!(moment < 500, "a restore does not sync so often");
            let place = site.path(&format!("place-{moment}"));
            if replace {
                copy(&old.path("gateway"), &place);
            }
            let before = files(&place);
            let more: &[&str] = if replace { &["--replace"] } else { &[] };
            let inject = format!("inject=?rename,?renameat,?renameat2,fsync,fdatasync:signal=KILL:when={moment}");
            let status = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
                .arg(env!("CARGO_BIN_EXE_punchgate"))
                .args(site.restore_words(&place, more))
                .output()
                .unwrap()
                .status;
            let ended = status.success();
            let state = place.join("state");
            if !ended && !state.join(RESTORE_UNFINISHED).exists() && ids_or_none(&state) != Some(whole.clone()) {
                assert_eq!(files(&place), before, "killed at {moment}: what was there has changed");
                killed_before += 1;
            } else if state.join(RESTORE_UNFINISHED).exists() {
                let opened = Spool::open(&Site::settings(state.clone()));
                assert!(matches!(opened, Err(OpenError::RestoreUnfinished(_))), "half of it was opened");
                killed_behind += 1;
            }
            if !ended {
                // On the same command it ends well, wherever it was cut off.
                let output = site.restore(&place, more);
                let done = said(&output).contains("is there already");
                assert!(output.status.success() || done, "killed at {moment}: {}", said(&output));
            }
            assert_eq!(ids(&state), whole, "killed at {moment}");
            assert_eq!(fs::read(place.join("config.toml")).unwrap(), fs::read(site.config()).unwrap());
            let left: Vec<_> = names_below(&place).into_iter().filter(|name| name.starts_with(".restore-")).collect();
            assert_eq!(left, Vec::<String>::new(), "killed at {moment}");
            if replace {
                let kept = names(&place).into_iter().find(|name| name.starts_with("replaced-")).unwrap();
                let text = fs::read_to_string(place.join(kept).join("config.toml")).unwrap();
                assert!(text.contains("# the old one"), "killed at {moment}");
            }
            let _ = fs::remove_dir_all(&place);
            if ended {
                break;
            }
        }
        assert!(killed_before > 5 && killed_behind > 3, "{killed_before} before, {killed_behind} behind");
    }
}

fn ids_or_none(state: &Path) -> Option<BTreeSet<(String, String)>> {
    state.join("journal").is_dir().then(|| ids(state))
}

/// Whatever the umask of root is, and in folders of the config's own too.
#[test]
fn what_root_restores_is_read_by_the_gateways_group_and_by_nobody_else() {
    let site = Site::with(10);
    let text_of = fs::read_to_string(site.config()).unwrap();
    let more = "username = \"sz-03\"\npassword_file = \"keys/broker.key\"\n\n[spool]";
    fs::write(site.config(), text_of.replacen("\n[spool]", more, 1)).unwrap();
    fs::create_dir(site.path("gateway/keys")).unwrap();
    fs::write(site.path("gateway/keys/broker.key"), "secret\n").unwrap();
    site.back_up();
    let place = site.path("restored");
    fs::create_dir(&place).unwrap();
    if chown(&place, None, Some(4242)).is_err() {
        return skipped("only root restores for somebody else");
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o750)).unwrap();
    let words = site.restore_words(&place, &[]);
    let script = "umask 077; exec \"$@\"";
    let output =
        Command::new("sh").args(["-c", script, "sh", env!("CARGO_BIN_EXE_punchgate")]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for (name, mode) in [("config.toml", 0o640), ("keys", 0o750), ("keys/broker.key", 0o640)] {
        let meta = fs::metadata(place.join(name)).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o777), (4242, mode), "{name}");
    }
}

#[test]
fn only_so_many_backups_stay_and_what_they_share_with_them() {
    let site = Site::with(700);
    let config = fs::read_to_string(site.config()).unwrap().replace("recipients", "keep = 2\nrecipients");
    fs::write(site.config(), config).unwrap();
    let mut made = Vec::new();
    for n in 0..4u32 {
        site.add(700 + n * 10, 710 + n * 10);
        made.push(site.back_up()["backup"].as_str().unwrap().to_owned());
    }
    made.sort();
    let kept: Vec<_> = names(&site.path("target/backups")).into_iter().map(|name| name.replace(".json", "")).collect();
    assert_eq!(kept, made[2..]);
    for id in &kept {
        let (target, key) = (site.path("target"), site.path("identity.key"));
        asked(&["backup", "verify", text(&target), "--identity", text(&key), "--backup", id]);
    }
    // An object that went at the target is sent again.
    fs::remove_file(object_of(&site, "state/journal/00000001.seg")).unwrap();
    site.back_up();
    let (target, key) = (site.path("target"), site.path("identity.key"));
    asked(&["backup", "verify", text(&target), "--identity", text(&key)]);
    // One that rotted there is found when everything is read.
    flip(&object_of(&site, "state/journal/00000001.seg"));
    asked(&["backup", "--config", text(&site.config()), "--read-all"]);
    asked(&["backup", "verify", text(&target), "--identity", text(&key)]);
    // Another gateway keeps away.
    fs::write(site.config(), fs::read_to_string(site.config()).unwrap().replace("sz-03", "sz-04")).unwrap();
    let output = run(&["backup", "--config", text(&site.config())]);
    assert!(!output.status.success() && said(&output).contains("holds backups of acme/sz-03"), "{}", said(&output));
}

/// Another implementation of age reads what we write.
#[test]
fn somebody_elses_age_reads_it() {
    let site = Site::with(200);
    site.back_up();
    let mut opened = site.opened();
    let entry = opened.file("state/journal/00000001.seg").clone();
    let object = site.object(&json!({ "sha256": entry["object"] }));
    let python = std::env::var("PUNCHGATE_PYRAGE").unwrap_or_else(|_| "python3".into());
    let script = "import sys, pyrage\n\
                  key = [l for l in open(sys.argv[1]) if l.startswith('AGE')][0].strip()\n\
                  sys.stdout.buffer.write(pyrage.decrypt(open(sys.argv[2], 'rb').read(), [pyrage.x25519.Identity.from_str(key)]))";
    let decrypted = match Command::new("age").args(["-d", "-i"]).arg(site.path("identity.key")).arg(&object).output() {
        Ok(output) if output.status.success() => output.stdout,
        _ => match Command::new(python).args(["-c", script]).arg(site.path("identity.key")).arg(&object).output() {
            Ok(output) if output.status.success() => output.stdout,
            _ => return skipped("neither age nor pyrage is here; nobody else reads a backup"),
        },
    };
    let mut plain = Vec::new();
    zstd::Decoder::new(&decrypted[..]).unwrap().read_to_end(&mut plain).unwrap();
    assert_eq!(HEXLOWER.encode(&Sha256::digest(&plain)), entry["sha256"].as_str().unwrap());
}
