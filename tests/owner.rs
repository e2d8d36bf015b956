//! What root does to a store leaves nothing that the daemon, another user, cannot open.

#[path = "cli/office.rs"]
#[allow(dead_code, reason = "the desk is for the tests of the command line")]
mod office;
#[path = "journal/store.rs"]
#[allow(dead_code, reason = "not all of it is asked here")]
mod store;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, lchown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
};

use office::{program, run};
use store::{Store, told};

/// Whom the daemon runs as.
const DAEMON: (u32, u32) = (4321, 4322);

/// A folder, and all in it.
fn tree(path: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(path).into_iter().flatten().flatten().flat_map(|entry| tree(&entry.path()));
    [path.to_path_buf()].into_iter().chain(below).collect()
}

/// The store of a daemon that is another user, where root asks.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
fn store(punches: u32) -> Option<Store> {
    let store = Store::with("sz-03", punches);
    fs::create_dir_all(store.state()).unwrap();
    for path in tree(store.folder.path()) {
        if let Err(error) = lchown(&path, Some(DAEMON.0), Some(DAEMON.1)) {
            eprintln!("SKIPPED: only root gives files away: {error}");
            return None;
        }
    }
    Some(store)
}

#[track_caller]
fn all_of_it_is_the_daemons(store: &Store) {
    for path in tree(&store.state()) {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), DAEMON, "{}", path.display());
        // sled makes its files as the umask lets it; they lie in a folder that is closed.
        if !path.iter().any(|part| part == "index") && path != store.state() {
            assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        }
    }
}

/// What the daemon's user finds when it opens the store.
fn import_as_the_daemon(store: &Store) -> (i32, String) {
    let empty = store.folder.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let mut import = program(&["journal", "import", "--config"]);
    told(run(import.arg(store.config()).arg(empty).uid(DAEMON.0).gid(DAEMON.1)))
}

#[test]
fn what_root_repairs_the_daemon_opens() {
    let Some(store) = store(200) else { return };
    store.edit(|bytes| bytes[5_000] ^= 4);
    fs::remove_file(store.state().join("journal/lock")).unwrap();
    let (code, said) = store.journal(&["repair"]);
    assert!(code != 1 && said.contains("00000001.seg written anew"), "{said}");
    assert!(store.state().join("quarantine").exists() && store.state().join("audit/00000001.log").exists());
    all_of_it_is_the_daemons(&store);
    let (code, said) = import_as_the_daemon(&store);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_root_imports_the_daemon_opens() {
    let from = Store::with("gz-01", 100);
    let Some(store) = store(0) else { return };
    // Into a folder with nothing in it, and over a store whose index was deleted and whose last write was torn.
    fs::remove_dir_all(store.state()).unwrap();
    fs::create_dir(store.state()).unwrap();
    lchown(store.state(), Some(DAEMON.0), Some(DAEMON.1)).unwrap();
    for new in ["200 are new here", "\n0 are new here"] {
        let (code, said) = store.import(&from.export("jsonl"), &[]);
        assert!(code == 0 && said.contains(new), "{said}");
        all_of_it_is_the_daemons(&store);
        fs::remove_dir_all(store.state().join("index")).unwrap();
        store.edit(|bytes| {
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            bytes.truncate(used);
            bytes.extend([0x5a; 99]);
        });
    }
    let (code, said) = import_as_the_daemon(&store);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn who_looks_as_root_leaves_nothing() {
    let Some(store) = store(100) else { return };
    let before = tree(&store.state());
    for words in [&["verify"][..], &["repair", "--dry-run"], &["proof", "front-door", "2026-11-20"]] {
        store.journal(words);
    }
    for words in [&["why", "001", "2026-11-20T08:01"][..], &["doctor"], &["check"]] {
        told(run(program(words).arg("--config").arg(store.config())));
    }
    assert_eq!(tree(&store.state()), before);
    all_of_it_is_the_daemons(&store);
}

#[test]
fn a_file_of_root_is_named_with_what_gives_it_back() {
    let Some(store) = store(100) else { return };
    // As earlier repairs left them.
    lchown(store.segment(), Some(0), Some(0)).unwrap();
    let (code, said) = import_as_the_daemon(&store);
    let state = store.state().display().to_string();
    let mend = format!("chown -R --reference={state} {state}");
    assert_eq!(code, 1);
    for words in [&store.segment().display().to_string()[..], "belongs to user 0", &mend] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    let (_, said) = told(run(program(&["doctor"]).arg("--config").arg(store.config())));
    assert!(said.contains("belongs to user 0") && said.contains(&mend), "{said}");
}
