//! How a lock file tells a copy from its original, and how a store was left.

use super::*;

#[test]
fn a_copy_is_told_from_its_original() {
    let dir = tempfile::tempdir().unwrap();
    let (lock, _) = Lock::take(dir.path()).unwrap();
    if lock.born.is_none() {
        return; // a file system that does not tell
    }
    assert!(!lock.is_copied());
    lock.opened(&[7; 16]).unwrap();
    drop(lock);
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!((lock.is_copied(), left), (false, LeftAs::Died([7; 16])));
    let copy = tempfile::tempdir().unwrap();
    fs::copy(dir.path().join("lock"), copy.path().join("lock")).unwrap();
    let (lock, left) = Lock::take(copy.path()).unwrap();
    assert_eq!((lock.is_copied(), left), (true, LeftAs::Died([7; 16])));
    lock.opened(&[7; 16]).unwrap();
    drop(lock);
    let (mut lock, _) = Lock::take(copy.path()).unwrap();
    assert!(lock.is_copied(), "a crash came before its ledgers were closed");
    lock.begun_anew();
    lock.opened(&[7; 16]).unwrap();
    drop(lock);
    assert!(!Lock::take(copy.path()).unwrap().0.is_copied(), "it is told once");
}

#[test]
fn a_copy_put_back_over_its_original_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (lock, _) = Lock::take(dir.path()).unwrap();
    lock.closed(&[7; 16], 3).unwrap();
    drop(lock);
    assert!(!Lock::take(dir.path()).unwrap().0.is_copied());
    // What cp -a and rsync -a do behind the bytes.
    let file = OpenOptions::new().write(true).open(dir.path().join("lock")).unwrap();
    file.set_modified(SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    let (mut lock, _) = Lock::take(dir.path()).unwrap();
    assert!(lock.is_copied());
    lock.begun_anew();
    lock.opened(&[7; 16]).unwrap();
    drop(lock);
    assert!(!Lock::take(dir.path()).unwrap().0.is_copied(), "it is told once");
}

fn closed(dir: &Path) -> String {
    Lock::take(dir).unwrap().0.closed(&[7; 16], 3).unwrap();
    fs::read_to_string(dir.join("lock")).unwrap()
}

/// Copies that are not made within a moment of what they are copies of.
fn later() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_copy_written_over_its_original_is_told_though_the_file_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let older = closed(dir.path());
    later();
    let newer = closed(dir.path());
    for text in [&older, &newer] {
        assert!(!Lock::take(dir.path()).unwrap().0.is_copied(), "as we left it");
        later();
        // What cp, scp, tar -m and rsync without its -t do, and what a newer text is after that.
        fs::write(dir.path().join("lock"), text).unwrap();
        let (mut lock, _) = Lock::take(dir.path()).unwrap();
        assert!(lock.is_copied(), "{text}");
        lock.begun_anew();
        lock.opened(&[7; 16]).unwrap();
    }
}

#[test]
fn a_crash_while_the_lock_is_written_makes_no_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    closed(dir.path());
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    later();
    let text = closed(dir.path());
    let rewritten = || peek(dir.path()).unwrap().is_rewritten(&fs::metadata(&path).unwrap());
    // The text was on the disk, and not yet the time.
    fs::write(&path, &text).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(before).unwrap();
    assert!(!rewritten());
    // Killed before it was given its time.
    let content: Content = serde_json::from_str(&text).unwrap();
    let said = Duration::from_nanos(content.changed.unwrap().try_into().unwrap());
    file.set_modified(SystemTime::UNIX_EPOCH + said + Duration::from_millis(1)).unwrap();
    assert!(!rewritten());
    file.set_modified(SystemTime::UNIX_EPOCH + said + Duration::from_millis(100)).unwrap();
    assert!(rewritten());
}

#[test]
fn a_lock_of_an_earlier_version_is_no_copy() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let mut content = peek(dir.path()).unwrap();
    (content.changed, content.changed_before) = (None, None);
    fs::write(dir.path().join("lock"), content.line().unwrap()).unwrap();
    later();
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!((lock.is_copied(), left), (false, LeftAs::Closed([7; 16], 3)));
    lock.opened(&[7; 16]).unwrap();
    assert!(peek(dir.path()).unwrap().changed.is_some(), "it has its time from now on");
    drop(lock);
    assert!(!Lock::take(dir.path()).unwrap().0.is_copied());
}

#[test]
fn the_longest_text_is_as_long_as_any() {
    let (dir, all) = (tempfile::tempdir().unwrap(), Some(u128::from(u64::MAX)));
    let mut content = Content {
        store: "07".repeat(16),
        open_in_boot: "12345678-1234-1234-1234-123456789abc".into(),
        last_group: None,
        born: all,
        changed: all,
        changed_before: all,
        restored: true,
    };
    assert_eq!(content.line().unwrap().len(), 256);
    (content.open_in_boot, content.last_group) = (String::new(), Some(u64::MAX));
    assert_eq!(content.line().unwrap().len(), 256);
    assert_eq!(closed(dir.path()).len(), 256);
}

#[test]
fn what_is_restored_says_so_on_any_file_system() {
    let dir = tempfile::tempdir().unwrap();
    mark_restored(dir.path(), &[7; 16], 9).unwrap();
    let content = peek(dir.path()).unwrap();
    assert_eq!((content.store(), content.closed_at()), (Some([7; 16]), Some(9)));
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!((lock.is_copied(), left), (true, LeftAs::Closed([7; 16], 9)));
    assert!(mark_restored(dir.path(), &[7; 16], 9).is_err(), "never over a lock that is there");
}

#[test]
fn a_store_tells_how_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = [7; 16];
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!(left, LeftAs::Unknown);
    lock.opened(&store).unwrap();
    assert_eq!(Lock::take(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(is_held(dir.path()));
    drop(lock);
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!(left, LeftAs::Died(store));
    lock.closed(&store, 7).unwrap();
    drop(lock);
    assert_eq!(peek(dir.path()).unwrap().closed_at(), Some(7));
    assert!(!is_held(dir.path()));
    assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Closed(store, 7));
    let path = dir.path().join("lock");
    let other = format!("{{\"store\":\"{}\",\"open_in_boot\":\"an earlier one\"}}", "07".repeat(16));
    fs::write(&path, other).unwrap();
    assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Cut(store));
    fs::write(&path, "garbage").unwrap();
    assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Unknown);
}

#[test]
fn a_lock_with_something_behind_its_line_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), [b'x'; 5000]).unwrap();
    let (lock, left) = Lock::take(dir.path()).unwrap();
    assert_eq!(left, LeftAs::Unknown);
    lock.closed(&[7; 16], 3).unwrap();
    drop(lock);
    assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Closed([7; 16], 3));
}
