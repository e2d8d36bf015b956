//! A file system of a rig's own, in a file: it can be cut off as by a power failure, filled, and made read-only.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

pub(crate) struct Volume {
    image: PathBuf,
    mount: PathBuf,
    /// Keeps this kernel's name for its run, or another one, for those who are to believe that the machine restarted.
    boot_id: PathBuf,
    boots: u64,
    plug: Option<Plug>,
    mounted: bool,
}

/// Pulls the plug: EXT4_IOC_SHUTDOWN without a flush of the log. In Python, since a raw ioctl is unsafe code in Rust.
struct Plug {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

const PLUG: &str = "import fcntl,os,struct,sys
for line in sys.stdin:
    fd = os.open(line.rstrip('\\n'), os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
    os.close(fd)
    print('cut', flush=True)";

impl Volume {
    /// Made and mounted; or why that cannot be done here. In memory where there is room, so that syncs cost little.
    pub(crate) fn new(folder: &Path, mib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".into());
        }
        for tool in ["mkfs.ext4", "mount", "umount", "losetup", "python3", "unshare"] {
            let words = ["-c", "PATH=$PATH:/usr/sbin:/sbin command -v \"$0\"", tool];
            let found = Command::new("sh").args(words).stdout(Stdio::null()).status();
            if !found.is_ok_and(|found| found.success()) {
                return Err(format!("{tool} is not installed"));
            }
        }
        let memory = Path::new("/dev/shm");
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let image = if memory.is_dir() { memory.join(format!("{name}.ext4")) } else { folder.join("volume.ext4") };
        let make = || -> anyhow::Result<Self> {
            fs::File::create(&image)?.set_len(mib << 20)?;
            let options = ["-q", "-F", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
            tool("mkfs.ext4", &options, &[&image])?;
            let mount = folder.join("volume");
            fs::create_dir_all(&mount)?;
            let boot_id = folder.join("boot_id");
            fs::write(&boot_id, "rig-0\n")?;
            let mut volume = Self { image: image.clone(), mount, boot_id, boots: 0, plug: None, mounted: false };
            volume.mount()?;
            Ok(volume)
        };
        make().map_err(|error| format!("no file system can be mounted here: {error:#}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Pulls the plug: from now on nothing reaches the disk, and what was not synced may be gone.
    pub(crate) fn cut(&mut self) -> anyhow::Result<()> {
        if self.plug.is_none() {
            let mut command = Command::new("python3");
            command.args(["-u", "-c", PLUG]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let ask = child.stdin.take().context("a pipe")?;
            let answer = BufReader::new(child.stdout.take().context("a pipe")?);
            self.plug = Some(Plug { child, ask, answer });
        }
        let plug = self.plug.as_mut().context("made above")?;
        writeln!(plug.ask, "{}", self.mount.display())?;
        let mut word = String::new();
        plug.answer.read_line(&mut word)?;
        if word.trim() != "cut" {
            bail!("the plug could not be pulled");
        }
        Ok(())
    }

    /// After a cut, with nobody left who uses it: mounted again, as at the next start of the machine.
    pub(crate) fn replug(&mut self) -> anyhow::Result<()> {
        self.boots += 1;
        fs::write(&self.boot_id, format!("rig-{}\n", self.boots))?;
        let (begun, mut why) = (Instant::now(), String::new());
        while begun.elapsed() < Duration::from_secs(60) {
            self.unmount()?;
            self.mount()?;
            // The old one may linger for a moment, until the last process that saw it is quite gone.
            let probe = self.mount.join("probe");
            let Err(error) = fs::write(&probe, b"1").and_then(|()| fs::File::open(&probe)?.sync_all()) else {
                fs::remove_file(&probe)?;
                return Ok(());
            };
            why = error.to_string();
            sleep(Duration::from_millis(20));
        }
        bail!("the volume did not come back: {why}; processes that have it mounted too: {:?}", self.holders())
    }

    /// Processes with mounts of their own, among which is this one.
    fn holders(&self) -> Vec<String> {
        let mount = self.mount.display().to_string();
        let ours = fs::read_link("/proc/self/ns/mnt").ok();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let holds = |path: &PathBuf| {
            fs::read_link(path.join("ns/mnt")).is_ok_and(|theirs| Some(theirs) != ours)
                && fs::read_to_string(path.join("mounts")).is_ok_and(|mounts| mounts.contains(&mount))
        };
        let name = |path: PathBuf| {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            format!("{} {}", path.display(), name.trim())
        };
        all.filter(holds).map(name).collect()
    }

    pub(crate) fn mount(&mut self) -> anyhow::Result<()> {
        tool("mount", &["-o", "loop"], &[&self.image, &self.mount])?;
        self.mounted = true;
        Ok(())
    }

    pub(crate) fn remount(&self, options: &str) -> anyhow::Result<()> {
        tool("mount", &["-o", &format!("remount,{options}")], &[&self.mount])
    }

    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        for _ in 0..250 {
            if tool("umount", &[], &[&self.mount]).is_ok() {
                self.mounted = false;
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the volume is in use")
    }

    /// Words in front of a program: it runs after another boot, as far as the kernel's boot id tells.
    pub(crate) fn rebooted(&self) -> Vec<String> {
        // Mounts of its own are copies of all there are: one that kept another rig's volume would keep it from coming back.
        let script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id || exit; mine=$1; shift; \
            while read -r device path rest; do case $device in /dev/loop*) \
            [ \"$path\" = \"$mine\" ] || umount -l \"$path\" ;; esac; done </proc/self/mounts; exec \"$@\"";
        let words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script];
        let paths = [&self.boot_id, &self.mount].map(|path| path.display().to_string());
        words.iter().map(|word| (*word).to_owned()).chain(paths).collect()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(mut plug) = self.plug.take() {
            // It ends with its input; nothing is left of it that matters.
            let _ = plug.child.kill();
            let _ = plug.child.wait();
        }
        if self.mounted {
            // A rig that failed leaves as little behind as it can.
            let _ = self.unmount();
        }
        let _ = fs::remove_file(&self.image);
    }
}

/// Runs one of the machine's tools to its end.
pub(crate) fn tool(name: &str, options: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("env").arg(format!("PATH={path}")).arg(name).args(options).args(paths).output()?;
    if !output.status.success() {
        bail!("{name} {}: {}", options.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
