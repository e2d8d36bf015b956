"""A box whose package is exchanged: upgraded, downgraded, upgraded badly, removed, purged."""

import re
import time

from life import NOWHERE, OUTSIDE
from machine import Failed

INSTALL = "apt-get install -y --no-install-recommends --allow-downgrades"


def back_and_forth_between_versions_under_load(life):
    life.broker_outside()
    life.punches()
    for deb, version in [("older", life.older), ("punchgate", life.version), ("older", life.older), ("punchgate", life.version)]:
        # The terminal punches on while it is exchanged.
        life.vm.sh(f"{INSTALL} /mnt/{deb}.deb")
        life.vm.sh("systemctl is-active punchgate")
        life.vm.sh("test ! -e /var/backups/punchgate/punchgate.previous")
        if (told := life.vm.sh("dpkg-query -f '${Status} ${Version}' -W punchgate")) != f"install ok installed {version}":
            raise Failed(told)
        life.punches(50)
        life.account()
    life.gate.pause()
    return f"{life.there()}; {life.delivered()} arrived, each under one id"


def a_version_that_does_not_come_up_is_taken_back(life):
    life.broker_outside()
    life.punches()
    for deb, words in [("dead", "did not come up"), ("picky", "does not accept")]:
        said = life.vm.sh(f"if {INSTALL} /mnt/{deb}.deb; then echo 'apt was content'; exit 1; fi")
        if words not in said or "the former version (punchgate" not in said:
            raise Failed(said[-1500:])
        life.is_at_work()
        life.punches()
        # Asked again, dpkg tries it again, with the same end.
        said = life.vm.sh("if dpkg --configure punchgate; then echo 'dpkg was content'; exit 1; fi")
        if words not in said:
            raise Failed(said[-1500:])
        life.is_at_work()
        life.vm.sh("punchgate --version | grep '^punchgate '")
        life.punches()
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb")
    life.is_at_work()
    # As after a power cut between unpacking and the first start: at boot the new one is started, and does not come up.
    life.vm.sh("dpkg --unpack /mnt/dead.deb; systemctl restart punchgate || true")
    said = life.vm.sh("if dpkg --configure -a; then echo 'dpkg was content'; exit 1; fi")
    if "did not come up" not in said or "the former version (punchgate" not in said:
        raise Failed(said[-1500:])
    life.is_at_work()
    life.punches()
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb")
    life.is_at_work()
    life.punches(50)
    life.vm.sh("dpkg --audit; test ! -e /var/backups/punchgate/punchgate.refused")
    return life.there()


def an_upgrade_that_does_not_begin_is_not_noticed(life):
    """Versions that do not even get as far as their program: the one at work goes on, and nothing of them stays."""
    life.broker_outside()
    life.punches()
    before = life.shown("MainPID")

    def refused(deb, why):
        said = life.vm.sh(f"if dpkg --install /mnt/{deb}.deb; then echo 'dpkg was content'; exit 1; fi")
        if why not in said:
            raise Failed(said[-1500:])
        if (now := life.shown("MainPID")) != before or life.shown("ActiveState") != "active":
            raise Failed(f"{deb}: process {before} became {now}, {life.shown('ActiveState')}")
        life.vm.sh("punchgate --version; test ! -e /var/backups/punchgate/punchgate.previous")

    refused("stubborn", "it does not want to be installed")
    life.punches(50)
    # Not half the room that it needs, of what root may have: more than others may.
    size = int(life.vm.sh("stat -c %s /usr/bin/punchgate"))
    life.vm.sh(f"fallocate -l $(($(stat -f -c '%f * %S' /) - {size + size // 2})) /usr/filler; sync")
    try:
        refused("older", "No space left on device")
    finally:
        life.vm.sh("rm /usr/filler")
    life.punches(50)
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb; test -z \"$(dpkg --audit)\"")
    life.is_at_work()
    life.punches()
    return life.there()


def the_plug_is_pulled_in_an_upgrade(life):
    life.broker_outside()
    version = lambda: life.vm.sh("dpkg-query -f '${Version}' -W punchgate")
    # How long one takes decides when the plug is pulled.
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb")
    begun = time.monotonic()
    life.vm.sh("dpkg --install /mnt/older.deb")
    whole = time.monotonic() - begun
    told = []
    for number, share in enumerate([0.2, 0.4, 0.6, 0.8, 0.95]):
        life.punches()
        deb = "punchgate" if version() == life.older else "older"
        life.vm.sh(f"sync; systemd-run --quiet --unit=upgrade-{number} dpkg --install /mnt/{deb}.deb")
        time.sleep(whole * (share + life.chance.uniform(-0.1, 0.05)))
        lost, _ = life.vm.cut(life.chance.random(), life.chance.choice([None, 1, life.chance.randint(2, 20)]))
        life.vm.start()
        state = life.vm.sh("dpkg-query -f '${Status} ${Version}' -W punchgate")
        # Whichever version it is: punches are taken before anybody has mended anything.
        life.is_at_work(300)
        life.punches()
        there = life.account()
        if not state.startswith("install ok installed"):
            life.vm.sh("dpkg --configure -a || true")
            if "install ok installed" not in life.vm.sh("dpkg-query -f '${Status}' -W punchgate"):
                # Unpacking was cut off: dpkg wants the package again, and says so.
                life.vm.sh("dpkg --audit | grep -i -B3 punchgate; " f"{INSTALL} /mnt/{deb}.deb")
            life.is_at_work()
            life.vm.sh("test ! -e /var/backups/punchgate/punchgate.previous")
        life.vm.sh("test -z \"$(dpkg --audit)\"; punchgate --version")
        print(
            f"  cut {number + 1}: {lost} sectors lost on the way to {deb}.deb; dpkg said {state!r}, at last {version()};"
            f" {there} punches acknowledged, all there",
            flush=True,
        )
        told.append(state.rpartition(" ")[0])
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb")
    life.is_at_work()
    life.punches()
    if all(state == "install ok installed" for state in told):
        raise Failed(f"no cut hit an upgrade of {whole:.0f} s")
    return f"{len(told)} times, an upgrade takes {whole:.0f} s; {life.there()}"


def everything_arrives(life):
    life.broker_outside()
    life.punches()
    life.gate.pause()
    return f"{life.delivered()} punches, each under one id"


def a_removal_that_is_broken_off_leaves_it_at_work(life):
    vm, kept, timer = life.vm, "/var/backups/punchgate", "punchgate-report.timer"
    life.broker_outside()
    vm.sh(f"systemctl enable --now {timer}")
    life.punches()
    # Where it notes what a purge has to tell nothing can be written any more.
    vm.sh(f"mkdir -p {kept}; mount --bind {kept} {kept}; mount -o remount,bind,ro {kept}")
    try:
        said = vm.sh("if apt-get remove -y punchgate; then echo 'apt was content'; exit 1; fi")
        if "Read-only file system" not in said:
            raise Failed(said[-1500:])
        if (told := vm.sh("dpkg-query -f '${Status}' -W punchgate; dpkg --audit")) != "install ok installed":
            raise Failed(told)
        # Nobody has mended anything, and it is at work again.
        life.is_at_work()
        vm.sh(f"systemctl is-active {timer}; test \"$(systemctl is-enabled punchgate)\" = enabled")
        life.punches(50)
        told = life.there()
    finally:
        vm.sh(f"umount {kept}")
    vm.sh("apt-get remove -y punchgate")
    life.gate.pause()
    vm.sh(f"test -z \"$(command -v punchgate)\"; test -s {kept}/last-journal.json; {INSTALL} /mnt/punchgate.deb")
    life.is_at_work()
    # What ran by the calendar does so again, without a boot.
    vm.sh(f"systemctl is-active {timer}")
    life.punches()
    return f"{told}; removed after that: {life.there()}"


def removed_it_keeps_what_it_has(life):
    life.broker_outside()
    life.punches()
    said = life.vm.sh("apt-get remove -y punchgate")
    life.gate.pause()
    if "stay in /var/lib/punchgate" not in said:
        raise Failed(said[-800:])
    life.vm.sh("test -d /var/lib/punchgate/journal; test -e /etc/punchgate/config.toml")
    if (state := life.vm.sh("systemctl is-active punchgate || true")) != "inactive":
        raise Failed(f"the unit is {state}")
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb")
    life.is_at_work()
    told = life.there()
    life.punches()
    return told


def purged_it_says_what_it_had_and_keeps_what_nobody_else_has(life):
    life.broker_outside()
    # Nobody takes them any more.
    life.broker_is_at(NOWHERE)
    life.vm.sh("systemctl restart punchgate")
    life.is_at_work()
    life.punches()
    life.gate.pause()
    said = life.vm.sh("apt-get purge -y punchgate")
    if "that were not delivered" not in said or "gate" not in said or "unknown" in said:
        raise Failed(said[-1500:])
    aside = life.vm.sh("ls -d /var/backups/punchgate/state-*")
    life.vm.sh("test ! -e /var/lib/punchgate; test ! -e /etc/punchgate; ! command -v punchgate")
    if left := life.vm.sh("find /etc/systemd /var/lib/systemd/deb-systemd-helper-* -name 'punchgate*' -not -name punchgate.service.d"):
        raise Failed(f"a purge leaves {left}")
    # Put back, they are sent.
    life.broker_is_at(OUTSIDE)
    anew(life, f"mv {aside} /var/lib/punchgate")
    told = life.there()
    arrived = purged_with_all_delivered(life)
    life.vm.sh("test ! -e /var/lib/punchgate; test ! -e /var/backups/punchgate; getent passwd punchgate")
    return f"{told}; {arrived} arrived"


def anew(life, first="true"):
    """It is installed where a purge has left no config; what is done first, when it is not at work yet."""
    life.vm.sh(f"{INSTALL} /mnt/punchgate.deb; {first}")
    life.vm.sh("install -m 640 -g punchgate /mnt/ca.pem /mnt/gateway.pem /mnt/gateway.key /etc/punchgate/")
    life.configure()
    life.vm.sh("systemctl start punchgate")
    life.is_at_work()


def purged_with_all_delivered(life):
    """What has arrived before; nothing of it is owed by the next store."""
    arrived = life.delivered()
    life.vm.until("nothing waits", "punchgate status --json | grep '\"undelivered\":0'", 120)
    said = life.vm.sh("apt-get purge -y punchgate")
    if "every punch in it was delivered; deleted" not in said:
        raise Failed(said[-1500:])
    life.purged = len(life.gate.owed())
    return arrived


def a_store_that_is_a_disk_of_its_own_is_purged_where_it_is(life):
    vm, store = life.vm, "/var/lib/punchgate"
    if vm.sh("command -v punchgate || true"):
        life.broker_outside()
        life.gate.pause()
        purged_with_all_delivered(life)
    vm.sh(f"truncate -s 300M /var/own; mkfs.ext4 -q -F /var/own; mkdir -p {store}; mount -o loop /var/own {store}")
    # Nobody takes them.
    life.broker_is_at(NOWHERE)
    anew(life)
    life.punches()
    life.gate.pause()
    said = vm.sh("apt-get purge -y punchgate")
    waiting = re.search(r"that were not delivered: (\d+);", said)
    if not waiting or int(waiting.group(1)) < 20 or f"It cannot be moved, and stays in {store};" not in said:
        raise Failed(said[-1500:])
    vm.sh(f"mountpoint {store}; ls {store}/journal/*.seg; test ! -e /etc/punchgate; test ! -e /var/backups/punchgate")
    # Installed again, they are sent.
    life.broker_is_at(OUTSIDE)
    anew(life)
    told = life.there()
    arrived = purged_with_all_delivered(life)
    if left := vm.sh(f"mountpoint -q {store}; ls -A {store}; ls -A /var/backups/punchgate 2>/dev/null || true"):
        raise Failed(f"a purge leaves {left}")
    vm.sh(f"umount {store}; rmdir {store}; rm /var/own")
    return f"{waiting.group(1)} waited; {told}; {arrived} arrived"
