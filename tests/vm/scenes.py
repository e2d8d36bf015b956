"""What happens to a gateway box in its life, on a machine that boots: installed, watched, filled up, unplugged, upgraded, purged.

A terminal and a broker outside of the machine keep the account: whatever the terminal was told OK for must be in the journal
after everything, and must arrive at the broker.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from machine import Failed, Machine, free_port
from terminal import Terminal

CONFIG = """[gateway]
id = "vm"
tenant = "acme"
zone = "UTC"
state_dir = "/var/lib/punchgate"

[mqtt]
url = "mqtts://broker.vm:{port}"
ca_file = "/etc/punchgate/ca.pem"
cert_file = "/etc/punchgate/gateway.pem"
key_file = "{key}"

[spool]
min_free = "64MiB"
segment = "256KiB"

[driver.zk-push]
listen = "0.0.0.0:8081"

[[terminal]]
name = "front-door"
driver = "zk"
address = "tcp://127.0.0.1:4370"

[[terminal]]
name = "gate"
driver = "zk-push"
serial = "VM0001"
"""


def run(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout


class Broker:
    """mosquitto outside of the machine, where a cut of its power does not reach it, and all that arrives there."""

    def __init__(self, folder):
        self.folder, self.port, self.plain = folder, free_port(), free_port()
        self.persons = set()
        certificates(folder)
        config = os.path.join(folder, "broker.conf")
        with open(config, "w", encoding="utf-8") as to:
            to.write(
                f"user root\nallow_anonymous true\nmax_queued_messages 0\nlistener {self.plain} 127.0.0.1\n"
                f"listener {self.port} 127.0.0.1\ncafile {folder}/ca.pem\ncertfile {folder}/broker.pem\n"
                f"keyfile {folder}/broker.key\nrequire_certificate true\n"
            )
        self.process = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
        time.sleep(1)
        words = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.plain), "-q", "1", "-t", "punchgate/1/acme/vm/punch/+"]
        self.reader = subprocess.Popen(words, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.reader.stdout:
            self.persons.update(punch["person"] for punch in json.loads(line)["data"]["punches"])

    def close(self):
        for process in (self.reader, self.process):
            process.terminate()
            process.wait()


def certificates(folder):
    """A CA, one certificate for the brokers and one for the gateway."""
    at = lambda name: os.path.join(folder, name)
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    run(*new, "-x509", "-subj", "/CN=vm CA", "-keyout", at("ca.key"), "-out", at("ca.pem"), *ca)
    for name, subject, names in [("broker", "broker.vm", "DNS:broker.vm"), ("gateway", "vm", "DNS:vm")]:
        run(*new, "-subj", f"/CN={subject}", "-keyout", at(f"{name}.key"), "-out", at(f"{name}.csr"))
        with open(at(f"{name}.ext"), "w", encoding="utf-8") as to:
            to.write(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        sign = ["openssl", "x509", "-req", "-in", at(f"{name}.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key")]
        run(*sign, "-CAcreateserial", "-days", "30", "-extfile", at(f"{name}.ext"), "-out", at(f"{name}.pem"))


def repacked(deb, to, version, program=None):
    """The same package under another version; with a program of its own, where one is given."""
    with tempfile.TemporaryDirectory() as folder:
        run("dpkg-deb", "--raw-extract", deb, folder)
        control = os.path.join(folder, "DEBIAN/control")
        with open(control, encoding="utf-8") as it:
            lines = [f"Version: {version}\n" if line.startswith("Version:") else line for line in it]
        with open(control, "w", encoding="utf-8") as it:
            it.writelines(lines)
        if program is not None:
            path = os.path.join(folder, "usr/bin/punchgate")
            with open(path, "w", encoding="utf-8") as it:
                it.write(program)
            os.chmod(path, 0o755)
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", folder, to)


class Life:
    """One machine, and what is done to it in turn. Each method is a check; what it raises is its fault."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.chance = random.Random(options.seed)
        self.broker = Broker(folder)
        files = os.path.join(folder, "files")
        os.mkdir(files)
        shutil.copy(options.deb, os.path.join(files, "punchgate.deb"))
        self.version = run("dpkg-deb", "--field", options.deb, "Version").strip()
        older = os.path.join(files, "older.deb")
        if options.older:
            shutil.copy(options.older, older)
        else:
            repacked(options.deb, older, "0.0.1-1")
        dead = '#!/bin/sh\n[ "$1" != run ] || { echo "it does not come up"; exit 1; }\n'
        repacked(options.deb, os.path.join(files, "dead.deb"), "99.0-1", dead)
        picky = '#!/bin/sh\n[ "$1" != check ] || { echo "nothing is well"; exit 78; }\nexit 78\n'
        repacked(options.deb, os.path.join(files, "picky.deb"), "99.1-1", picky)
        shutil.copy(options.terminal, os.path.join(files, "zk-terminal"))
        for name in ("ca.pem", "gateway.pem", "gateway.key", "broker.pem", "broker.key"):
            shutil.copy(os.path.join(folder, name), files)
        image = os.path.join(folder, "files.raw")
        # As much room as there is in it, and a little more.
        size = sum(entry.stat().st_size for entry in os.scandir(files)) // 2**20 + 16
        run("mkfs.ext4", "-q", "-F", "-d", files, image, f"{size}M")
        self.vm = Machine(folder, options.image, image, options.patience)
        self.gate = Terminal("VM0001", self.vm.push, 50)
        # Acknowledged while the broker was in the machine.
        self.inside = 0

    def close(self):
        self.vm.close()
        self.broker.close()

    # What is asked again and again.

    def config(self, port, key="/etc/punchgate/gateway.key"):
        text = CONFIG.format(port=port, key=key)
        self.vm.sh(f"cat >/etc/punchgate/config.toml <<'END'\n{text}END\nchgrp punchgate /etc/punchgate/config.toml")

    def is_at_work(self, limit=120):
        return self.vm.until("the gateway is at work", "systemctl is-active punchgate && punchgate status", limit)

    def shown(self, name):
        return self.vm.sh(f"systemctl show --value --property={name} punchgate")

    def account(self):
        """Everything that was acknowledged is on the disk, and the journal is whole."""
        owed = self.gate.owed()
        script = "punchgate journal export | grep -o '\"person\":\"[^\"]*\"' | cut -d'\"' -f4"
        held = set(self.vm.sh(script).split())
        lost = [person for person in owed if person not in held]
        if lost:
            raise Failed(f"{len(lost)} of {len(owed)} acknowledged punches are not in the journal: {lost[:5]}")
        self.vm.sh("punchgate journal verify")
        return len(owed)

    def delivered(self, limit=120):
        """Everything that was acknowledged has arrived."""
        owed = self.gate.owed()[self.inside:]
        late = time.monotonic() + limit
        while time.monotonic() < late:
            missing = [person for person in owed if person not in self.broker.persons]
            if not missing:
                return len(owed)
            time.sleep(1)
        raise Failed(f"{len(missing)} of {len(owed)} acknowledged punches did not arrive in {limit} s: {missing[:5]}")

    def punches(self, more=20, limit=120):
        """The terminal outside punches, and is told OK."""
        self.gate.is_at_work.set()
        if not self.gate.until_acknowledged(more, limit):
            raise Failed(f"no {more} punches were acknowledged in {limit} s")

    # The checks, in their order.

    def it_boots(self):
        return f"in {self.vm.start():.0f} s"

    def the_package_installs_and_says_what_to_do(self):
        self.vm.sh("mkdir -p /mnt && mount -o ro /dev/vdb /mnt")
        said = self.vm.sh("apt-get install -y --no-install-recommends /mnt/punchgate.deb")
        for word in ("edit /etc/punchgate/config.toml", "punchgate check", "systemctl start punchgate"):
            if word not in said:
                raise Failed(f"it did not say {word!r}: {said[-600:]}")
        if self.vm.sh("systemctl is-active punchgate || true") != "inactive":
            raise Failed("it was started without a config")
        told = self.vm.sh("systemctl is-enabled punchgate; stat -c '%U:%G %a' /etc/punchgate /etc/punchgate/config.toml")
        if told != "enabled\nroot:punchgate 750\nroot:punchgate 640":
            raise Failed(told)
        self.vm.sh("test -e /usr/share/man/man1/punchgate.1.gz; test -e /usr/share/doc/punchgate/third-party-licenses.txt.gz")

    def it_serves_a_terminal_on_its_own_loopback_with_a_broker_there(self):
        self.vm.sh(
            """
            install -m 640 -g punchgate /mnt/ca.pem /mnt/gateway.pem /mnt/gateway.key /etc/punchgate/
            echo '127.0.0.1 broker.vm' >>/etc/hosts
            install -d -o mosquitto /etc/mosquitto/tls && install -o mosquitto -m 400 /mnt/broker.* /mnt/ca.pem /etc/mosquitto/tls/
            cat >/etc/mosquitto/conf.d/vm.conf <<'END'
allow_anonymous true
listener 8883 127.0.0.1
cafile /etc/mosquitto/tls/ca.pem
certfile /etc/mosquitto/tls/broker.pem
keyfile /etc/mosquitto/tls/broker.key
require_certificate true
END
            systemctl start mosquitto
            install -m 755 /mnt/zk-terminal /usr/local/bin/
            mkfifo /run/door
            systemd-run --quiet --unit=door bash -c 'exec zk-terminal --port 4370 <> /run/door'
            """
        )
        self.config(8883)
        self.vm.sh("punchgate check && systemctl start punchgate")
        took = self.is_at_work()
        self.vm.until(
            "the first punch is delivered",
            "echo 'punch 1024' >/run/door; sleep 3; punchgate punches --terminal front-door --json | grep '\"delivered\":true'",
            120,
        )
        self.punches()
        return f"started in {took:.0f} s"

    def it_runs_as_nobody_of_importance_and_answers_its_group_alone(self):
        user = self.vm.sh("stat -c %U /proc/$(systemctl show --value -p MainPID punchgate)")
        socket = self.vm.sh("stat -c '%U:%G %a' /run/punchgate/punchgate.sock /var/lib/punchgate")
        if (user, socket) != ("punchgate", "punchgate:punchgate 660\npunchgate:punchgate 700"):
            raise Failed(f"{user} {socket}")
        self.vm.sh(
            """
            useradd anna && useradd bert && usermod -aG punchgate anna
            runuser -u anna -- punchgate status
            ! runuser -u bert -- punchgate status
            """
        )
        told = self.vm.sh("systemd-analyze security --no-pager punchgate | tail -n 1")
        score = float(told.split(":")[1].split()[0])
        if score > 1.3:
            raise Failed(told)
        return f"exposure {score}"

    def the_systemd_journal_has_fields(self):
        for filters in ("PUNCHGATE_TERMINAL=front-door", "PUNCHGATE_DRIVER=zk"):
            if not self.vm.sh(f"journalctl -u punchgate {filters} -o cat -n 5"):
                raise Failed(f"journalctl {filters} finds nothing")

    def a_key_may_come_from_systemd(self):
        self.vm.sh(
            """
            mkdir -p /etc/systemd/system/punchgate.service.d
            printf '[Service]\\nLoadCredential=gateway.key:/etc/credstore/gateway.key\\n' >/etc/systemd/system/punchgate.service.d/key.conf
            install -d -m 700 /etc/credstore && mv /etc/punchgate/gateway.key /etc/credstore/
            """
        )
        self.config(8883, "credential:gateway.key")
        self.vm.sh("systemctl daemon-reload && systemctl restart punchgate")
        self.is_at_work()
        self.vm.until("the broker is reached", "punchgate status --json | grep '\"state\":\"online\"'", 60)

    def a_bad_config_is_not_tried_again(self):
        self.vm.sh("cp -p /etc/punchgate/config.toml /run/good; echo 'nonsense = 1' >>/etc/punchgate/config.toml; ! systemctl restart punchgate; sleep 6")
        told = [self.shown(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
        if told != ["failed", "78", "0"]:
            raise Failed(str(told))
        self.vm.sh("cp -p /run/good /etc/punchgate/config.toml; systemctl restart punchgate")
        self.is_at_work()

    def a_gateway_that_hangs_is_started_again(self):
        before = self.shown("MainPID")
        begun = time.monotonic()
        self.vm.sh(f"kill -STOP {before}")
        self.vm.until("the watchdog bites", f"test $(systemctl show --value -p MainPID punchgate) != {before}; systemctl is-active punchgate", 240)
        took = time.monotonic() - begun
        self.is_at_work()
        if "watchdog" not in self.vm.sh("journalctl -u punchgate -o cat -n 200").lower():
            raise Failed("it was not the watchdog")
        self.punches()
        return f"after {took:.0f} s; {self.account()} acknowledged punches are there"

    def a_full_disk_refuses_and_goes_on_by_itself(self):
        self.vm.sh("fallocate -l $(($(df --output=avail -B1 / | tail -n 1) - 20000000)) /var/tmp/filler; sync")
        self.vm.until("it is told", "punchgate conditions --json | grep disk-full", 120)
        time.sleep(12)  # whatever was under way
        before, refused = len(self.gate.owed()), self.gate.refused
        time.sleep(15)
        more, no = len(self.gate.owed()) - before, self.gate.refused - refused
        if more or not no:
            raise Failed(f"{more} punches were acknowledged and {no} refused while the disk was full")
        self.vm.sh("systemctl is-active punchgate; rm /var/tmp/filler")
        self.punches()
        return f"{self.account()} acknowledged punches are there"

    def it_comes_back_from_a_reboot(self):
        self.punches()
        self.vm.reboot()
        took = self.is_at_work(240)
        self.gate.is_at_work.clear()
        self.vm.until("the broker inside has all", "punchgate status --json | grep '\"undelivered\":0'", 60)
        self.inside = len(self.gate.owed())
        # From here on the broker is another machine: it must not lose its power with this one.
        self.vm.sh("sed -i 's/^127.0.0.1 broker.vm$/10.0.2.2 broker.vm/' /etc/hosts; mount -o ro /dev/vdb /mnt")
        self.config(self.broker.port, "credential:gateway.key")
        self.vm.sh("systemctl restart punchgate")
        self.is_at_work()
        self.punches(100)
        return f"at work {took:.0f} s after its shell; {self.account()} acknowledged punches are there"

    def back_and_forth_between_versions_under_load(self):
        self.punches()
        for deb, version in [("older", None), ("punchgate", self.version), ("older", None)]:
            self.vm.sh(f"apt-get install -y --allow-downgrades /mnt/{deb}.deb")
            self.vm.sh("systemctl is-active punchgate")
            if version and self.vm.sh("dpkg-query -f '${Version}' -W punchgate") != version:
                raise Failed("another version is installed")
            self.punches(50)
        self.vm.sh("apt-get install -y /mnt/punchgate.deb")
        self.punches(50)
        return f"{self.account()} acknowledged punches are there"

    def a_version_that_does_not_come_up_is_taken_back(self):
        told = []
        for deb, words in [("dead", "did not come up"), ("picky", "does not accept")]:
            said = self.vm.sh(f"! apt-get install -y /mnt/{deb}.deb", limit=600)
            if words not in said or "the former version (punchgate" not in said:
                raise Failed(said[-1500:])
            self.is_at_work()
            self.punches()
            # Asked again, dpkg tries it again, with the same end.
            said = self.vm.sh("! dpkg --configure punchgate")
            if words not in said:
                raise Failed(said[-1500:])
            self.is_at_work()
            self.vm.sh("punchgate --version | grep '^punchgate '")
            self.punches()
            told.append(deb)
        self.vm.sh("apt-get install -y --allow-downgrades /mnt/punchgate.deb")
        self.is_at_work()
        self.punches(50)
        return f"{self.account()} acknowledged punches are there"

    def the_plug_is_pulled(self):
        told = []
        for cut in range(self.options.cuts):
            self.punches(20, 240)
            time.sleep(self.chance.uniform(0.5, 12))
            lost, kept = self.vm.cut(self.chance.random())
            time.sleep(1)
            self.vm.start()
            self.is_at_work(300)
            owed = self.account()
            told.append(f"{lost}/{kept}")
            print(f"  cut {cut + 1}: {lost} sectors lost, {kept} got through; {owed} acknowledged punches are there", flush=True)
        if not any(not it.startswith("0/") for it in told):
            raise Failed("no cut lost a single sector: this is no power cut")
        self.punches()
        return f"{self.options.cuts} times, sectors lost/kept {', '.join(told)}; {self.account()} acknowledged punches are there"

    def everything_arrives(self):
        self.punches()
        self.gate.is_at_work.clear()
        time.sleep(2)
        return f"{self.delivered()} punches"

    def removed_it_keeps_what_it_has(self):
        self.gate.is_at_work.clear()
        said = self.vm.sh("mount -o ro /dev/vdb /mnt || true; apt-get remove -y punchgate")
        if "stay in /var/lib/punchgate" not in said:
            raise Failed(said[-800:])
        self.vm.sh("test -d /var/lib/punchgate/journal; test -e /etc/punchgate/config.toml; ! systemctl is-active punchgate")
        self.vm.sh("apt-get install -y --no-install-recommends /mnt/punchgate.deb")
        self.is_at_work()
        return f"{self.account()} acknowledged punches are there"

    def purged_it_says_what_it_had_and_keeps_what_nobody_else_has(self):
        # Nobody takes them any more.
        self.vm.sh("sed -i 's/^10.0.2.2 broker.vm$/192.0.2.1 broker.vm/' /etc/hosts; systemctl restart punchgate")
        self.is_at_work()
        self.punches()
        self.gate.is_at_work.clear()
        said = self.vm.sh("apt-get purge -y punchgate")
        if "that were not delivered" not in said or "gate" not in said:
            raise Failed(said[-1500:])
        aside = self.vm.sh("ls -d /var/backups/punchgate/state-*")
        self.vm.sh("test ! -e /var/lib/punchgate; test ! -e /etc/punchgate; ! systemctl cat punchgate")
        # Put back, they are sent.
        self.vm.sh(f"apt-get install -y --no-install-recommends /mnt/punchgate.deb; mv {aside} /var/lib/punchgate")
        self.vm.sh(
            """
            sed -i 's/^192.0.2.1 broker.vm$/10.0.2.2 broker.vm/' /etc/hosts
            install -m 640 -g punchgate /mnt/ca.pem /mnt/gateway.pem /etc/punchgate/
            """
        )
        self.config(self.broker.port, "credential:gateway.key")
        self.vm.sh("systemctl start punchgate")
        self.is_at_work()
        arrived = self.delivered()
        said = self.vm.sh("apt-get purge -y punchgate")
        if "every punch in it was delivered; deleted" not in said:
            raise Failed(said[-1500:])
        self.vm.sh("test ! -e /var/lib/punchgate; test ! -e /var/backups/punchgate; getent passwd punchgate")
        return f"{arrived} acknowledged punches arrived"


CHECKS = [
    Life.it_boots,
    Life.the_package_installs_and_says_what_to_do,
    Life.it_serves_a_terminal_on_its_own_loopback_with_a_broker_there,
    Life.it_runs_as_nobody_of_importance_and_answers_its_group_alone,
    Life.the_systemd_journal_has_fields,
    Life.a_key_may_come_from_systemd,
    Life.a_bad_config_is_not_tried_again,
    Life.a_gateway_that_hangs_is_started_again,
    Life.a_full_disk_refuses_and_goes_on_by_itself,
    Life.it_comes_back_from_a_reboot,
    Life.back_and_forth_between_versions_under_load,
    Life.a_version_that_does_not_come_up_is_taken_back,
    Life.the_plug_is_pulled,
    Life.everything_arrives,
    Life.removed_it_keeps_what_it_has,
    Life.purged_it_says_what_it_had_and_keeps_what_nobody_else_has,
]


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--image", required=True)
    words.add_argument("--deb", required=True)
    words.add_argument("--older")
    words.add_argument("--terminal", required=True)
    words.add_argument("--cuts", type=int, default=20)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--patience", type=int, default=600, help="seconds for a boot, and for the longest script")
    words.add_argument("--keep")
    options = words.parse_args()
    folder = options.keep or tempfile.mkdtemp(prefix="punchgate-vm-")
    os.makedirs(folder, exist_ok=True)
    life = Life(options, folder)
    passed = failed = 0
    try:
        for check in CHECKS:
            name, begun = check.__name__.replace("_", " "), time.monotonic()
            try:
                told = check(life)
            except Failed as error:
                failed += 1
                print(f"not ok {name}: {error}", flush=True)
            except (OSError, subprocess.CalledProcessError):
                failed += 1
                print(f"not ok {name}: {traceback.format_exc()}", flush=True)
            else:
                passed += 1
                print(f"ok     {name}{': ' + told if told else ''} ({time.monotonic() - begun:.0f} s)", flush=True)
            if not life.vm.qemu or life.vm.qemu.poll() is not None:
                break  # without a machine there is nothing left to look at
    finally:
        life.close()
        if not options.keep:
            shutil.rmtree(folder)
    failed += len(CHECKS) - passed - failed
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
