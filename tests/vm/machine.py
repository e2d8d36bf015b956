"""A virtual machine: QEMU, its disk, and a shell in it."""

import os
import socket
import subprocess
import time

from disk import Disk


class Failed(Exception):
    """Something is not as it must be; the words say what."""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Machine:
    """`kernel` and `initrd` lie beside `disk`, a copy of which belongs to this machine alone."""

    def __init__(self, folder, image, files, patience):
        self.folder, self.image, self.files, self.patience = folder, image, files, patience
        self.socket = os.path.join(folder, "disk.sock")
        self.disk = self._new_disk()
        self.shell, self.push = free_port(), free_port()
        self.qemu = None
        self.boots = []

    def _new_disk(self):
        disk = os.path.join(self.folder, "disk.raw")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", os.path.join(self.image, "disk.raw"), disk], check=True)
        return Disk(disk, self.socket)

    def blank(self):
        """Its disk has died, and this is another machine with plain Debian 12 on it."""
        self.close()
        os.remove(self.socket)
        os.remove(os.path.join(self.folder, "disk.raw"))
        self.disk = self._new_disk()
        return self.start()

    def start(self):
        """Returns when its shell answers; the seconds that took."""
        begun = time.monotonic()
        self.disk.plug_in()
        forward = "".join(
            f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in [(self.shell, 7000), (self.push, 8081)]
        )
        # Always emulated: a /dev/kvm that is there need not work, and then the machine stands still without a word.
        words = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "Nehalem"]
        words += ["-smp", "2", "-m", "512", "-display", "none", "-monitor", "none", "-nodefaults", "-no-user-config"]
        words += ["-serial", "file:" + os.path.join(self.folder, f"console-{len(self.boots)}.log")]
        words += ["-kernel", os.path.join(self.image, "kernel"), "-initrd", os.path.join(self.image, "initrd")]
        # An emulated processor pays dearly for each letter of a console and for walls between kernel and programs, and on a
        # busy machine its timer is too late for the kernel's first check of it.
        words += ["-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off audit=0 no_timer_check panic=5 net.ifnames=0"]
        words += ["-drive", f"if=none,id=disk,format=raw,cache=none,file=nbd+unix:///?socket={self.socket}"]
        words += ["-device", "virtio-blk-pci,drive=disk,write-cache=on"]
        words += ["-drive", f"if=none,id=files,format=raw,readonly=on,file={self.files}"]
        words += ["-device", "virtio-blk-pci,drive=files", "-device", "virtio-rng-pci"]
        words += ["-netdev", f"user,id=net{forward}", "-device", "virtio-net-pci,netdev=net"]
        self.qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.until_it_answers()
        took = time.monotonic() - begun
        self.boots.append(took)
        return took

    def until_it_answers(self):
        late = time.monotonic() + self.patience
        while time.monotonic() < late:
            if self.qemu.poll() is not None:
                raise Failed(f"QEMU ended: {self.qemu.stderr.read().decode(errors='replace')}")
            try:
                if self.sh("echo here", limit=10) == "here":
                    return
            except (OSError, Failed):
                time.sleep(1)
        raise Failed(f"no shell in {self.patience} s after the start")

    def sh(self, script, limit=None, check=True):
        """What a script says in the machine, as root; fails when it does."""
        with socket.create_connection(("127.0.0.1", self.shell), timeout=limit or self.patience) as it:
            it.sendall(f"(set -e\n{script}\n) </dev/null 2>&1\ncode=$?; echo; echo \"code $code\"\n".encode())
            it.shutdown(socket.SHUT_WR)
            said = bytearray()
            while part := it.recv(65536):
                said += part
        text, _, code = said.decode(errors="replace").rpartition("code ")
        text = text.strip()
        if not code.strip().isdigit():
            raise Failed(f"the shell went away: {script.strip()[:200]}: {text[-500:]}")
        if check and int(code) != 0:
            raise Failed(f"exit code {code.strip()}: {script.strip()[:300]}\n{text[-2000:]}")
        return text

    def until(self, what, script, limit):
        """Returns when the script succeeds; the seconds that took."""
        begun = time.monotonic()
        last = ""
        while time.monotonic() - begun < limit:
            try:
                last = self.sh(script)
                return time.monotonic() - begun
            except (OSError, Failed) as error:
                last = str(error)
                time.sleep(1)
        raise Failed(f"{what}: not in {limit} s: {last}")

    def cut(self, seed, writes=None):
        """The plug is pulled, now or right after so many writes; how many sectors were lost, and how many had got through."""
        if writes:
            self.disk.cut_after(writes, seed)
            self.disk.gone.wait(60)
        told = self.disk.cut(seed)
        self.qemu.kill()
        self.qemu.wait()
        return told

    def reboot(self):
        """As an administrator does; returns when the shell answers again. The disk keeps its power."""
        boot = self.sh("cat /proc/sys/kernel/random/boot_id")
        try:
            self.sh("systemctl --no-block reboot")
        except Failed:
            pass  # it may be gone before it has answered
        late = time.monotonic() + self.patience
        while time.monotonic() < late:
            try:
                if self.sh("cat /proc/sys/kernel/random/boot_id", limit=10) != boot:
                    return
            except (OSError, Failed):
                pass
            time.sleep(1)
        raise Failed("it did not come back from a reboot")

    def close(self):
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()
        self.disk.close()
