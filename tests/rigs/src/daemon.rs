//! The gateway as a child process: started bare or under a tool that does something to it, asked, killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

use crate::row::{TELL_LIMIT, Told};

pub(crate) struct Daemon {
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    peak_kib: u64,
}

impl Daemon {
    /// Not yet started; its config lies in the folder.
    pub(crate) fn new(binary: &Path, folder: &Path) -> Self {
        Self { binary: binary.into(), folder: folder.into(), child: None, peak_kib: 0 }
    }

    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        self.launch_under(&[], &[])
    }

    /// The words stand in front of the program's name, and what they start becomes the gateway itself.
    pub(crate) fn launch_under(&mut self, words: &[String], environment: &[(String, String)]) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut words = words.iter().map(String::as_str).chain([self.binary.to_str().context("a path in UTF-8")?]);
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).args(["run", "--config"]).arg(self.config());
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("the gateway")?);
        Ok(())
    }

    /// SIGKILL, if it has not ended.
    pub(crate) fn kill(&mut self) {
        self.look();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }

    /// SIGTERM, and its end.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(Duration::from_secs(30)).await
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.look();
        let child = self.child.as_ref().context("the gateway does not run")?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Not one of its threads runs any more when this returns; those within the kernel do not come back from there.
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let pid = self.pid().context("the gateway does not run")?;
        let begun = Instant::now();
        loop {
            let mut runs = false;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end between the two.
                let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
                let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
                runs |= !matches!(state, Some('T' | 't' | 'D' | 'Z' | 'X'));
            }
            if !runs {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(5) {
                bail!("the gateway does not stand still");
            }
            std::thread::yield_now();
        }
    }

    pub(crate) async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.has_ended()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("the gateway did not end in {limit:?}")
    }

    /// How it ended, if it did; then it is gone from here.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { bail!("the gateway does not run") };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Notes its peak of memory.
    pub(crate) fn look(&mut self) {
        if let Some(kib) = self.pid().and_then(|pid| memory_kib(pid, "VmHWM:")) {
            self.peak_kib = self.peak_kib.max(kib);
        }
    }

    /// The most memory that any run of it had, of those that were looked at.
    pub(crate) fn peak_kib(&mut self) -> u64 {
        self.look();
        self.peak_kib
    }

    /// An answer of the running gateway, an object a line; `None` while it gives none.
    pub(crate) fn ask(&self, words: &[&str]) -> Option<Vec<Value>> {
        let mut command = Command::new(&self.binary);
        let output = command.args(words).args(["--json", "--config"]).arg(self.config()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<Vec<_>>>()?;
        output.status.success().then_some(lines)
    }

    /// Codes of the conditions that are shown now.
    pub(crate) fn conditions(&self) -> Option<Vec<String>> {
        self.conditions_but(|_| false)
    }

    /// Codes of those that are so now: one that comes and goes is shown for longer.
    pub(crate) fn conditions_that_are_so(&self) -> Option<Vec<String>> {
        self.conditions_but(|cause| cause.contains("(well again"))
    }

    fn conditions_but(&self, left_out: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let all = self.ask(&["conditions"])?;
        let those = all.iter().filter(|one| !one["cause"].as_str().is_some_and(&left_out));
        Some(those.filter_map(|one| one["code"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until one of these conditions is told.
    pub(crate) async fn told(&self, since: Instant, codes: &[&str]) -> Told {
        Self::waited(since, codes, || self.conditions()).await
    }

    /// The same of one that lasts, and may still be held from the time before.
    pub(crate) async fn told_anew(&self, since: Instant, codes: &[&str]) -> Told {
        Self::waited(since, codes, || self.conditions_that_are_so()).await
    }

    async fn waited(since: Instant, codes: &[&str], look: impl Fn() -> Option<Vec<String>>) -> Told {
        let limit = TELL_LIMIT + Duration::from_secs(5);
        while since.elapsed() < limit {
            if look().is_some_and(|all| all.iter().any(|code| codes.contains(&code.as_str()))) {
                return Told::After(since.elapsed());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Told::Never(codes.join(" or "))
    }

    /// Waits until none of these conditions is shown any more; the complaint if one is.
    pub(crate) async fn over(&self, codes: &[&str]) -> Option<String> {
        Self::ceased("still hold", codes, || self.conditions()).await
    }

    /// The same of conditions that come back: they are shown for longer each time, and must at least be well again.
    pub(crate) async fn well_again(&self, codes: &[&str]) -> Option<String> {
        Self::ceased("are still so", codes, || self.conditions_that_are_so()).await
    }

    async fn ceased(what: &str, codes: &[&str], look: impl Fn() -> Option<Vec<String>>) -> Option<String> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < TELL_LIMIT {
            last = look();
            if last.as_ref().is_some_and(|all| !all.iter().any(|code| codes.contains(&code.as_str()))) {
                return None;
            }
            sleep(Duration::from_millis(200)).await;
        }
        Some(format!("a minute after its end these conditions {what}: {last:?}"))
    }

    /// `punchgate journal verify`, whether the gateway runs or not: the report, and whether all is whole.
    pub(crate) fn verify(&self, state_dir: &Path) -> anyhow::Result<(Value, bool)> {
        let mut command = Command::new(&self.binary);
        let output = command.args(["journal", "verify", "--json", "--state-dir"]).arg(state_dir).output()?;
        let report = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("journal verify said {:?}", String::from_utf8_lossy(&output.stderr).into_owned())
        })?;
        Ok((report, output.status.success()))
    }

    /// `punchgate journal export`: every punch that the journal still gives.
    pub(crate) fn export(&self, state_dir: &Path) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new(&self.binary);
        let output = command.args(["journal", "export", "--json", "--state-dir"]).arg(state_dir).output()?;
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("gateway.log")
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A figure of `/proc/PID/status`; `None` when the process is gone.
pub(crate) fn memory_kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Open files of a process.
pub(crate) fn open_files(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}
