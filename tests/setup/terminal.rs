//! A person at a terminal: a real pseudo terminal, whose screen is read and on which keys are pressed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// The limit of every wait: only ever reached by a failure.
const PATIENCE: Duration = Duration::from_secs(90);

type Seen = Arc<(Mutex<(String, bool)>, Condvar)>;

pub(crate) struct Typist {
    child: Child,
    keys: File,
    /// What was on the screen so far, without colours and cursors, and whether that was all.
    seen: Seen,
    /// What was answered already.
    read: usize,
}

impl Typist {
    pub(crate) fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let open = || File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        let child = command.stdin(open()).stdout(open()).stderr(open()).env("TERM", "xterm-256color").spawn().unwrap();
        // It holds the other ends too.
        drop(command);
        let seen = Seen::default();
        let (mut screen, keep) = (File::from(master.try_clone().unwrap()), seen.clone());
        thread::spawn(move || {
            let (mut raw, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                let count = screen.read(&mut buffer).unwrap_or(0);
                raw.extend_from_slice(&buffer[..count]);
                let mut told = keep.0.lock().unwrap();
                *told = (plain(&String::from_utf8_lossy(&raw)), count == 0);
                keep.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { child, keys: master.into(), seen, read: 0 }
    }

    /// Waits until these words are on the screen, behind what was answered before, and presses these keys.
    pub(crate) fn answer(&mut self, words: &str, keys: &str) {
        let end = Instant::now() + PATIENCE;
        let mut told = self.seen.0.lock().unwrap();
        loop {
            if let Some(at) = told.0[self.read..].find(words) {
                self.read += at + words.len();
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || told.1 {
                let screen = told.0.clone();
                drop(told);
                panic!("{words:?} did not come; the screen:\n{screen}");
            }
            told = self.seen.1.wait_timeout(told, left).unwrap().0;
        }
        drop(told);
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; the exit code, and all that was on the screen.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let end = Instant::now() + PATIENCE;
        let mut told = self.seen.0.lock().unwrap();
        while !told.1 && Instant::now() < end {
            told = self.seen.1.wait_timeout(told, Duration::from_millis(100)).unwrap().0;
        }
        (code, told.0.clone())
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what steers a screen.
fn plain(raw: &str) -> String {
    let (mut plain, mut letters) = (String::new(), raw.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.peek() == Some(&'[') => {
                while letters.next().is_some_and(|it| it == '[' || !('\x40'..='\x7e').contains(&it)) {}
            }
            '\x1b' => _ = letters.next(),
            '\r' => {}
            letter => plain.push(letter),
        }
    }
    plain
}
