"""A box that dies: what its nightly backup holds becomes a gateway on a machine that never saw it."""

from life import DOOR, KEY, NOWHERE, OUTSIDE
from machine import Failed

TARGET = "/media/backup"


def the_nightly_backup_is_made_and_opens(life):
    vm = life.vm
    # Keys that systemd encrypted to a machine are no other machine's.
    life.key = KEY
    vm.sh("install -m 640 -g punchgate /mnt/gateway.key /etc/punchgate/; rm -rf /etc/systemd/system/punchgate.service.d; systemctl daemon-reload")
    vm.sh(f"install -d -o punchgate -g punchgate -m 700 {TARGET}; rm -f /run/backup.key")
    recipient = vm.sh("punchgate backup keygen /run/backup.key").split()[0]
    # Kept where the terminal is, too: outside.
    life.identity = vm.sh("cat /run/backup.key; rm /run/backup.key")
    life.more += f'\n[backup]\ntarget = "{TARGET}"\nrecipients = ["{recipient}"]\n'
    life.configure()
    vm.sh("punchgate check && systemctl restart punchgate")
    life.is_at_work()
    life.punches()
    back_up(life)
    timer = "punchgate-backup.timer"
    if (state := vm.sh(f"systemctl is-enabled {timer} || true")) != "disabled":
        raise Failed(f"{timer} is {state}")
    vm.sh(f"systemctl enable --now {timer}; systemctl list-timers {timer} | grep {timer}")
    if "age-encryption.org" not in vm.sh(f"head -c 22 $(find {TARGET}/objects -type f | head -n 1)"):
        raise Failed("what lies at the target is not encrypted")
    return verified(life)


def back_up(life):
    """As the timer does it at night; its own words are told when it fails."""
    words = "journalctl --no-pager -n 20 -o cat -u punchgate-backup"
    life.vm.sh(f"systemctl start punchgate-backup.service || {{ {words}; exit 1; }}")
    if "read back" not in (said := life.vm.sh(words)):
        raise Failed(said)


def with_identity(life, words):
    """The identity is in the machine for as long as it is used."""
    return life.vm.sh(f"umask 077; cat >/run/backup.key <<'END'\n{life.identity}\nEND\ntrap 'rm /run/backup.key' EXIT; {words}")


def verified(life):
    said = with_identity(life, f"punchgate backup verify {TARGET} --identity /run/backup.key")
    if "is whole" not in said:
        raise Failed(said)
    return said.split("\n")[-1].strip()


def a_blank_machine_becomes_the_gateway_in_one_command(life):
    vm = life.vm
    if not life.identity:
        the_nightly_backup_is_made_and_opens(life)
    life.broker_outside()
    # The last punches are nowhere but on this disk.
    life.broker_is_at(NOWHERE)
    vm.sh("systemctl restart punchgate")
    life.is_at_work()
    life.punches(100)
    life.gate.pause()
    waiting = life.broker.missing(life.gate.owed()[life.inside :])
    if not waiting:
        raise Failed("every punch has arrived: a restore would have nothing to bring")
    ledgers = life.ledgers("gate")
    back_up(life)
    held = vm.sh(f"tar -C {TARGET} -c . | base64 -w 0")
    vm.blank()
    vm.sh("echo '/dev/vdb /mnt ext4 ro,nofail 0 0' >>/etc/fstab; mount /mnt")
    vm.sh("apt-get install -y --no-install-recommends /mnt/punchgate.deb")
    life.broker_is_at(OUTSIDE)
    life.open_door()
    vm.sh(f"mkdir -m 700 {TARGET}; base64 -d <<'END' | tar -C {TARGET} -x\n{held}\nEND")
    said = with_identity(life, f"punchgate restore {TARGET} --identity /run/backup.key --start")
    if "The gateway runs" not in said:
        raise Failed(said)
    took = life.is_at_work()
    others = vm.sh("find /var/lib/punchgate \\( ! -user punchgate -o ! -group punchgate -o -perm /077 \\) -printf '%p %U:%G %m\\n'")
    others += vm.sh("find /etc/punchgate -maxdepth 1 -type f \\( ! -user root -o ! -group punchgate -o -perm /027 \\) -printf '%p %U:%G %m\\n'")
    if others:
        raise Failed(f"not the gateway's alone: {others}")
    vm.sh("systemctl is-enabled punchgate; punchgate conditions --json | grep store-restored")
    told = life.there()
    arrived = life.delivered()
    life.punches(100)
    vm.sh("echo 'punch 1025' >/run/door")
    vm.until("a punch at the door arrives", f"punchgate punches --terminal {DOOR} --person 1025 --json | grep '\"delivered\":true'", 240)
    life.gate.pause()
    if (after := life.ledgers("gate")) != ledgers + 1:
        raise Failed(f"{after} ledgers of the gate after {ledgers}: a restored store must begin a new one")
    vm.reboot()
    life.is_at_work(300)
    life.open_door()
    life.punches()
    life.gate.pause()
    return f"at work {took:.0f} s later; {len(waiting)} were on the dead disk alone; {told}; {arrived} arrived, then {life.delivered()}"
