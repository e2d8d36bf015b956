"""What the machine finds on its second disk: packages of every kind, a terminal, certificates."""

import os
import shutil
import subprocess
import tempfile

from broker import run

# Programs of upgrades that must not stay: one does not come up, the other does not like the config.
DEAD = '#!/bin/sh\n[ "$1" != run ] || { echo "it does not come up"; exit 1; }\n'
# One that does not get as far as its program.
STUBBORN = '#!/bin/sh\necho "it does not want to be installed"\nexit 1\n'
PICKY = '#!/bin/sh\n[ "$1" != check ] || { echo "nothing is well"; exit 78; }\nexit 78\n'


def repacked(deb, to, version, program=None, preinst=None):
    """The same package under another version; with a program or a first script of its own, where one is given."""
    with tempfile.TemporaryDirectory() as folder:
        run("dpkg-deb", "--raw-extract", deb, folder)
        control = os.path.join(folder, "DEBIAN/control")
        with open(control, encoding="utf-8") as it:
            lines = [f"Version: {version}\n" if line.startswith("Version:") else line for line in it]
        with open(control, "w", encoding="utf-8") as it:
            it.writelines(lines)
        for name, text in [("usr/bin/punchgate", program), ("DEBIAN/preinst", preinst)]:
            if text is None:
                continue
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as it:
                it.write(text)
            os.chmod(path, 0o755)
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", folder, to)


def version_of(deb):
    return run("dpkg-deb", "--field", deb, "Version").strip()


def disk(folder, deb, older, terminal):
    """Makes the disk below the folder, where the certificates lie; its path, and the version that is the older one."""
    files = os.path.join(folder, "files")
    os.mkdir(files)
    at = lambda name: os.path.join(files, name)
    shutil.copy(deb, at("punchgate.deb"))
    version = version_of(older) if older else "0.0.1-1"
    if subprocess.run(["dpkg", "--compare-versions", version, "lt", version_of(deb)]).returncode != 0:
        version = "0.0.1-1"  # two builds of one version
    repacked(older or deb, at("older.deb"), version)
    repacked(deb, at("dead.deb"), "99.0-1", DEAD)
    repacked(deb, at("picky.deb"), "99.1-1", PICKY)
    repacked(deb, at("stubborn.deb"), "99.2-1", preinst=STUBBORN)
    shutil.copy(terminal, at("zk-terminal"))
    for name in ("ca.pem", "gateway.pem", "gateway.key", "broker.pem", "broker.key"):
        shutil.copy(os.path.join(folder, name), files)
    image = os.path.join(folder, "files.raw")
    # As much room as there is in it, and a little more.
    size = sum(entry.stat().st_size for entry in os.scandir(files)) // 2**20 + 16
    run("mkfs.ext4", "-q", "-F", "-d", files, image, f"{size}M")
    shutil.rmtree(files)
    return image, version
