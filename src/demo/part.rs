//! A process of the demo's own: the broker or the gateway. None of them outlives the demo, however that ends.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::time::{Instant, sleep};

/// A running child.
pub(super) struct Part {
    what: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts this program again as a part of the demo. To be called from the main thread: the kernel ends the child when
    /// the thread ends that started it.
    pub(super) fn start(what: &'static str, words: &[OsString], log: PathBuf) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(env::current_exe().context("this program does not find itself")?)
            .args(["demo-part", "--parent", &std::process::id().to_string()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C is for the demo: what it has started ends in its order, not all at once.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the {what}"))?;
        Ok(Self { what, child, log })
    }

    /// Fails when it has ended, with the last lines of its log.
    pub(super) fn is_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the {} ended ({status}): {}", self.what, self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to leave, and kills it when it has not done so in time. How it ended; `None` when it was killed.
    pub(super) async fn leave(mut self, patience: Duration) -> Option<ExitStatus> {
        // It may have ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let late = Instant::now() + patience;
        while Instant::now() < late {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }
}

impl Drop for Part {
    /// SIGKILL: nothing is written, nobody is told.
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ties this process to the demo that started it: the kernel ends it when the demo has ended, even by SIGKILL.
pub fn end_with(demo: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("the kernel does not tie us to the demo")?;
    let parent = getppid().map(Pid::as_raw_nonzero);
    // It may have ended before the line above.
    if parent.map(|pid| pid.get().unsigned_abs()) != Some(demo) {
        bail!("this is a part of a demo that has ended: start punchgate demo instead");
    }
    Ok(())
}

/// Becomes `punchgate run`, still tied to the demo. Returns only when that failed.
pub fn become_gateway(config: &Path) -> anyhow::Result<()> {
    let program = env::current_exe().context("this program does not find itself")?;
    Err(Command::new(program).args(["run", "--log", "text", "--config"]).arg(config).exec())
        .context("cannot become the gateway")
}
