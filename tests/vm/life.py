"""One gateway box in its life: the machine, the terminal and the broker outside of it, and what is asked of them again and again.

The terminal and the broker outside keep the account: whatever the terminal was told OK for must be in the journal after
everything, and must arrive at the broker.
"""

import json
import os
import random
import time

import files
from broker import Broker
from machine import Failed, Machine
from terminal import Terminal

# What setup does not ask, for a machine with so small a disk.
SMALL = """
[spool]
min_free = "64MiB"
segment = "256KiB"
"""
# The terminal in the machine, as setup named it when it found it.
DOOR = "zk-1"
DOCS = os.path.join(os.path.dirname(__file__), "../../docs")
KEY = "/etc/punchgate/gateway.key"
INSIDE, OUTSIDE, NOWHERE = "127.0.0.1", "10.0.2.2", "192.0.2.1"


class Life:
    def __init__(self, options, folder):
        self.options = options
        self.chance = random.Random(options.seed)
        self.broker = Broker(folder)
        image, self.older = files.disk(folder, options.deb, options.older, options.terminal)
        self.version = files.version_of(options.deb)
        self.vm = Machine(folder, options.image, image, options.patience)
        self.gate = Terminal("VM0001", self.vm.push, options.rate)
        # Acknowledged while the broker was in the machine.
        self.inside = 0
        # Acknowledged and delivered before a purge deleted the store.
        self.purged = 0
        self.is_broker_outside = False
        # The config as setup wrote it, and what was added to it since.
        self.written, self.more = "", SMALL
        self.key = KEY
        # The identity that opens backups: it is nowhere in the machine.
        self.identity = ""

    def close(self):
        self.vm.close()
        self.broker.close()

    def configure(self):
        """The config that setup wrote, with where the broker is now and what else was added."""
        text = self.written.replace(f'"{KEY}"', f'"{self.key}"')
        if self.is_broker_outside:
            text = text.replace("broker.vm:8883", f"broker.vm:{self.broker.port}")
        self.vm.sh(f"cat >/etc/punchgate/config.toml <<'END'\n{text}{self.more}END\nchgrp punchgate /etc/punchgate/config.toml")

    def open_door(self):
        """A terminal in the machine: what is written to /run/door happens to it."""
        self.vm.sh(
            """
            install -m 755 /mnt/zk-terminal /usr/local/bin/
            mkfifo /run/door
            systemd-run --quiet --unit=door bash -c 'exec zk-terminal --port 4370 <> /run/door'
            """
        )

    def start_broker(self, address):
        """A broker in the machine, which knows its clients by their certificates."""
        self.vm.sh(
            f"""
            install -d -o mosquitto /etc/mosquitto/tls && install -o mosquitto -m 400 /mnt/broker.* /mnt/ca.pem /etc/mosquitto/tls/
            cat >/etc/mosquitto/conf.d/vm.conf <<'END'
allow_anonymous true
listener 8883 {address}
cafile /etc/mosquitto/tls/ca.pem
certfile /etc/mosquitto/tls/broker.pem
keyfile /etc/mosquitto/tls/broker.key
require_certificate true
END
            systemctl restart mosquitto
            """
        )

    def broker_is_at(self, address):
        self.vm.sh(f"sed -i '/ broker.vm$/d' /etc/hosts; echo '{address} broker.vm' >>/etc/hosts")

    def broker_outside(self):
        """From here on the broker is another machine: it must not lose its power with this one."""
        if self.is_broker_outside:
            return
        self.gate.pause()
        self.vm.until("the broker inside has all", "punchgate status --json | grep '\"undelivered\":0'", 120)
        self.inside = len(self.gate.owed())
        self.is_broker_outside = True
        self.broker_is_at(OUTSIDE)
        self.configure()
        self.vm.sh("systemctl restart punchgate")
        self.is_at_work()

    def is_at_work(self, limit=240):
        return self.vm.until("the gateway is at work", "systemctl is-active punchgate && punchgate status", limit)

    def shown(self, name):
        return self.vm.sh(f"systemctl show --value --property={name} punchgate")

    def account(self):
        """Everything that was acknowledged is on the disk, and the journal is whole."""
        owed = self.gate.owed()[self.purged :]
        held = set(self.vm.sh("punchgate journal export | grep -o '\"person\":\"[^\"]*\"' | cut -d'\"' -f4").split())
        lost = [person for person in owed if person not in held]
        if lost:
            raise Failed(f"{len(lost)} of {len(owed)} acknowledged punches are not in the journal: {lost[:5]}")
        self.vm.sh("punchgate journal verify")
        return len(owed)

    def ledgers(self, terminal):
        """How many ledgers this terminal has on the disk."""
        report = json.loads(self.vm.sh("punchgate journal verify --json"))
        return sum(1 for ledger in report["ledgers"] if ledger["terminal"] == terminal)

    def there(self):
        return f"{self.account()} acknowledged punches are there"

    def delivered(self, limit=240):
        """Everything that was acknowledged has arrived, each under one id, and nothing else."""
        owed = self.gate.owed()[self.inside :]
        late = time.monotonic() + limit
        while missing := self.broker.missing(owed):
            if time.monotonic() > late:
                raise Failed(f"{len(missing)} of {len(owed)} acknowledged punches did not arrive in {limit} s: {missing[:5]}")
            time.sleep(1)
        if twins := self.broker.twins():
            raise Failed(f"{len(twins)} punches arrived under two ids: {twins[:5]}")
        if forged := self.broker.forged(self.gate.has_punched):
            raise Failed(f"{len(forged)} punches arrived that nobody made: {forged[:5]}")
        return len(owed)

    def punches(self, more=20, limit=240):
        """The terminal outside punches, and is told OK; it goes on."""
        self.gate.is_at_work.set()
        if not self.gate.until_acknowledged(more, limit):
            raise Failed(f"no {more} punches were acknowledged in {limit} s")
