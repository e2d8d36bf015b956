"""A box that is new: booted, installed, told its site, looked at."""

import re
import time

from life import DOOR, INSIDE
from machine import Failed


def it_boots(life):
    return f"in {life.vm.start():.0f} s"


def the_package_installs_and_says_what_to_do(life):
    vm = life.vm
    vm.sh("mkdir -p /mnt; echo '/dev/vdb /mnt ext4 ro,nofail 0 0' >>/etc/fstab; mount /mnt")
    said = vm.sh("apt-get install -y --no-install-recommends /mnt/punchgate.deb")
    for word in ("edit /etc/punchgate/config.toml", "punchgate check", "systemctl start punchgate"):
        if word not in said:
            raise Failed(f"it did not say {word!r}: {said[-600:]}")
    if vm.sh("systemctl is-active punchgate || true") != "inactive":
        raise Failed("it was started without a config")
    told = vm.sh("systemctl is-enabled punchgate; stat -c '%U:%G %a' /etc/punchgate /etc/punchgate/config.toml")
    if told != "enabled\nroot:punchgate 750\nroot:punchgate 640":
        raise Failed(told)
    # This machine leaves out manual pages, as small boxes do.
    vm.sh("dpkg -L punchgate | grep -x /usr/share/man/man1/punchgate.1.gz; test -s /usr/share/doc/punchgate/third-party-licenses.txt.xz")


def setup_by_flags_goes_to_the_first_punch(life):
    vm = life.vm
    life.start_broker("127.0.0.1")
    life.open_door()
    life.broker_is_at(INSIDE)
    words = (
        "punchgate setup --id vm --tenant acme --zone UTC --broker mqtts://broker.vm:8883 --ca-file /mnt/ca.pem"
        " --cert-file /mnt/gateway.pem --key-file /mnt/gateway.key --discover --networks 127.0.0.1/32"
    )
    tried(life, words, f"found {DOOR}")
    begun = time.monotonic()
    # It waits for a finger, which comes when it asks for it.
    output = "-p StandardOutput=truncate:/run/said -p StandardError=append:/run/said"
    vm.sh(f"systemd-run --quiet --unit=setup -p RemainAfterExit=yes {output} {words} --yes --wait-punch 5m")
    vm.until("setup asks for a finger", "grep -q '^Put a finger' /run/said || systemctl is-failed setup", 400)
    took = time.monotonic() - begun
    vm.sh("echo 'punch 1024' >/run/door")
    vm.until("setup has ended", "systemctl show -p SubState setup | grep -qE 'exited|failed'", 400)
    said = vm.sh("cat /run/said; systemctl show --value -p ExecMainStatus setup")
    if not said.endswith("\n0") or f"the broker has the first punch of {DOOR}. That was it." not in said:
        raise Failed(said)
    return f"asks for a finger after {took:.0f} s"


def setup_again_adds_a_terminal_that_pushes(life):
    vm = life.vm
    words = "punchgate setup --terminal gate=zk-push:serial=VM0001 --listen zk-push=0.0.0.0:8081"
    # It calls already. As long as it is only tried, it must not be told OK.
    life.gate.is_at_work.set()
    tried(life, words, "gate")
    if owed := life.gate.owed():
        raise Failed(f"a dry run has acknowledged {len(owed)} punches")
    if "Starting: systemctl" not in (said := vm.sh(f"{words} --yes")):
        raise Failed(said)
    life.is_at_work()
    life.punches()
    life.written = vm.sh("cat /etc/punchgate/config.toml") + "\n"
    life.configure()
    vm.sh("punchgate check && systemctl reload punchgate && systemctl is-enabled punchgate")
    life.punches()


def tried(life, words, found):
    """Everything is proved and nothing is written."""
    state = "find /etc/punchgate -type f | sort | xargs sha256sum"
    before = life.vm.sh(state)
    said = life.vm.sh(f"{words} --dry-run")
    if "Nothing was written" not in said or found not in said:
        raise Failed(said)
    if (after := life.vm.sh(state)) != before:
        raise Failed(f"a dry run has written something: {before} {after}")


def what_setup_wrote_is_read_by_the_gateway_and_nobody_else(life):
    vm = life.vm
    told = vm.sh("find /etc/punchgate -printf '%U:%G %m %y\n' | sort -u | sed \"s/:$(getent group punchgate | cut -d: -f3) /:punchgate /\"")
    if told.split("\n") != ["0:punchgate 640 f", "0:punchgate 750 d"]:
        raise Failed(told)
    names = set(vm.sh("ls /etc/punchgate").split())
    aside = {name for name in names if name.startswith("config.toml.before-")}
    if names - aside != {"ca.pem", "gateway.pem", "gateway.key", "config.toml"} or not aside:
        raise Failed(str(names))
    for user, may in [("nobody", False), ("punchgate", True)]:
        answer = vm.sh(f"runuser -u {user} -- cat /etc/punchgate/gateway.key >/dev/null && echo yes || echo no").endswith("yes")
        if answer != may:
            raise Failed(f"{user} {'may' if answer else 'may not'} read the key")
    if left := vm.sh("find /etc /tmp /run /var/tmp -newer /etc/punchgate/ca.pem -name '*gateway*key*' -not -path '/etc/punchgate/*' 2>/dev/null || true"):
        raise Failed(f"the key lies elsewhere too: {left}")


def it_runs_as_nobody_of_importance_and_answers_its_group_alone(life):
    vm = life.vm
    user = vm.sh("stat -c %U /proc/$(systemctl show --value -p MainPID punchgate)")
    places = vm.sh("stat -c '%U:%G %a' /run/punchgate/punchgate.sock /var/lib/punchgate")
    if (user, places) != ("punchgate", "punchgate:punchgate 660\npunchgate:punchgate 700"):
        raise Failed(f"{user} {places}")
    vm.sh(
        """
        useradd anna && useradd bert && usermod -aG punchgate anna
        runuser -u anna -- punchgate status
        """
    )
    said = vm.sh("if runuser -u bert -- punchgate status; then echo 'bert got an answer'; exit 1; fi")
    if "group punchgate" not in said:
        raise Failed(f"a stranger is told: {said}")
    told = vm.sh("systemd-analyze security --no-pager punchgate | tail -n 1")
    score = float(told.split(":")[1].split()[0])
    if score > 1.3:
        raise Failed(told)
    return f"exposure {score}"


def the_systemd_journal_has_fields(life):
    for filters in (f"PUNCHGATE_TERMINAL={DOOR}", "PUNCHGATE_TERMINAL=gate", "PUNCHGATE_DRIVER=zk"):
        if not life.vm.sh(f"journalctl -u punchgate {filters} -o cat -n 5"):
            every = life.vm.sh("journalctl -u punchgate -o json -n 30")
            raise Failed(f"journalctl {filters} finds nothing in {every[-3000:]}")


def a_key_may_come_from_systemd(life):
    """Encrypted to this machine, and by setup, which says what the unit lacks for it."""
    vm, name = life.vm, "gateway.key"
    vm.sh(
        f"""
        install -d -m 700 /etc/credstore.encrypted
        systemd-creds encrypt --name={name} /etc/punchgate/{name} /etc/credstore.encrypted/{name}
        """
    )
    words = f"punchgate setup --key-file credential:{name} --no-discover"
    before = vm.sh("sha256sum /etc/punchgate/config.toml")
    said = vm.sh(f"if {words} --yes; then echo 'setup was content'; exit 1; fi")
    mend = re.search(r"mkdir -p \S+ && printf .* && systemctl daemon-reload", said)
    # The key itself is the certificate's, and the broker takes it.
    if "the unit is not handed it" not in said or "ok     login at the broker" not in said or not mend:
        raise Failed(said)
    if vm.sh("sha256sum /etc/punchgate/config.toml") != before:
        raise Failed("setup has written what it could not prove")
    vm.sh(mend.group())
    said = vm.sh(f"{words} --yes")
    # The terminal in this machine has no key, which doctor mends first.
    if "the unit is handed it" not in said or "is at work, version" not in said:
        raise Failed(said)
    life.key = f"credential:{name}"
    # Now the plain one may go.
    vm.sh(f"rm /etc/punchgate/{name}; systemctl restart punchgate")
    life.is_at_work()
    vm.until("the broker is reached", "punchgate status --json | grep '\"state\":\"online\"'", 120)
    # Whoever looks from outside of the unit sees what it was handed, too.
    vm.sh("punchgate check && punchgate doctor")
    tried(life, "punchgate setup --no-discover", "the unit is handed it")
    if left := vm.sh(f"find /etc /var /tmp -name '*{name}*' -type f -not -path '/etc/credstore.encrypted/*' -size +0"):
        if left != f"/etc/systemd/system/punchgate.service.d/{name}.conf":
            raise Failed(f"the key lies elsewhere too: {left}")
    life.punches()
    return life.there()


def a_bad_config_is_not_tried_again(life):
    life.vm.sh(
        """
        cp -p /etc/punchgate/config.toml /run/good
        echo 'nonsense = 1' >>/etc/punchgate/config.toml
        if systemctl restart punchgate; then echo 'it started'; exit 1; fi
        sleep 6
        """
    )
    told = [life.shown(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    life.vm.sh("cp -p /run/good /etc/punchgate/config.toml; systemctl restart punchgate")
    life.is_at_work()
    if told != ["failed", "78", "0"]:
        raise Failed(str(told))


def what_runs_by_the_calendar_is_off_and_works(life):
    timer = "punchgate-report.timer"
    if (state := life.vm.sh(f"systemctl is-enabled {timer} || true")) != "disabled":
        raise Failed(f"{timer} is {state}")
    # As it would be at the end of a month; systemd's own words are told when it fails.
    life.vm.sh("systemctl start punchgate-report.service || { journalctl --no-pager -n 20 -o cat -u punchgate-report; exit 1; }")
    life.vm.sh(f"grep -q {DOOR} /var/lib/punchgate/reports/report.html; systemctl enable --now {timer}; systemctl list-timers {timer} | grep {timer}")
    if (mode := life.vm.sh("stat -c %a /var/lib/punchgate")) != "700":
        raise Failed(f"/var/lib/punchgate has the mode {mode} now")
