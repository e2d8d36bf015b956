"""docs/install.md, followed to the letter: its very commands, in its order, and the screens that it shows."""

import os

import page
from life import DOCS
from machine import Failed

HERE = "/root/site"
# What is not typed here, and why. Whatever else the page tells one to type is.
ASKS = "it asks a person, which tests/setup.rs does; its screen is compared with that of the same command by flags"
NOT_TYPED = {
    "punchgate setup": ASKS,
    "punchgate setup --enrol sz-03.enrol": ASKS,
    "punchgate conditions": "a terminal that nobody knows is tried in the driver's own tests",
}


class Page:
    """What it shows, and what of it was typed."""

    def __init__(self, name):
        with open(os.path.join(DOCS, name), encoding="utf-8") as file:
            self.text = file.read()
        self.all = page.shown(self.text)
        self.typed = set()

    def find(self, beginning, number=0):
        found = [it for it in self.all if it.command.startswith(beginning)]
        if len(found) <= number:
            raise Failed(f"the page shows no command {beginning!r}")
        self.typed.add(found[number].command)
        return found[number]

    def commands(self):
        """What looks like a command, whatever language it asks for."""
        words = ("punchgate ", "apt-get ", "systemctl ", "install ", "printf ", "jq ", "chgrp ")
        return [it.command.replace(" --lang zh", "") for it in self.all if it.command.startswith(words)]

    def rest(self):
        return [command for command in self.commands() if command not in self.typed | set(NOT_TYPED)]


def alike(screen, said, but=()):
    missing = page.differences([line for line in screen if not page.plain(line).startswith(tuple(but))], said)
    if missing:
        raise Failed("the page shows what is not said:\n  " + "\n  ".join(missing) + f"\nIt said:\n{said}")


def the_page_on_installing_is_true_to_the_letter(life):
    vm, en, zh = life.vm, Page("install.md"), Page("zh/install.md")
    type_in = lambda shown: vm.sh(f"cd {HERE}\n{shown.command}")
    blank(life)
    package = en.find("apt-get install").command.split("./")[-1]
    vm.sh(f"cp /mnt/punchgate.deb {HERE}/{package}")
    # Nobody is there to say yes, and no mirror to fetch what is recommended.
    vm.sh(f"cd {HERE}; {en.find('apt-get install').command} -y --no-install-recommends")
    version = en.find("punchgate --version")
    alike(version.screen, type_in(version))

    # The enrolment file, as whoever runs the broker makes it, and then what a script says with it.
    vm.sh(f"cd {HERE}; printf '471100\\n' >key.txt")
    type_in(en.find("jq "))
    script = en.find("punchgate setup --enrol sz-03.enrol --terminal")
    said = by_script(vm, script.command)
    asked = next(it for it in en.all if it.command == "punchgate setup --enrol sz-03.enrol")
    # What only somebody who is asked sees.
    alike(asked.screen, said, ["> ", "== Site", "szN of acme", "Asking in", "front-door N N", *CLOCK])
    in_zh = next(it for it in zh.all if it.command == "punchgate setup --enrol sz-03.enrol --lang zh")
    # One client at a time is all that a terminal takes.
    said = vm.sh(f"systemctl stop punchgate; cd {HERE}; {script.command} --dry-run --lang zh --config /run/zh/config.toml")
    before = in_zh.screen[: in_zh.screen.index("== 汇总")]
    alike(before, said, ["> ", "== 站点", "acme 的", "正在温和地询问", *CLOCK])

    # By other flags, over nothing.
    away(vm)
    flags = en.find("punchgate setup --id sz-03")
    said = vm.sh(f"cd {HERE}; {flags.command.replace('--yes', '--yes --comm-key-file key.txt --networks 192.0.2.0/28')}", limit=900)
    if "found zk-1" not in said or "all is well" not in said:
        raise Failed(said)
    vm.sh("punchgate status")

    # By hand.
    away(vm)
    discover = en.find("punchgate discover")
    # There is no board by UHPPOTE here, and more than one network.
    alike(discover.screen, type_in(discover), ["Asking in", "uhppote", "[[terminal]]", 'name = "uhppote', 'driver = "uhppote', 'address = "udp', "serial ="])
    type_in(en.find("install -m 640"))
    vm.sh(f"cat >/etc/punchgate/config.toml <<'END'\n{page.config(en.text)}END\n")
    type_in(en.find("printf '471100"))
    check = en.find("punchgate check")
    alike(check.screen, type_in(check))
    type_in(en.find("systemctl start punchgate"))
    life.is_at_work()
    vm.until("the terminal is served", "punchgate terminals | grep -w online", 120)
    doctor, in_zh = en.find("punchgate doctor"), zh.find("punchgate doctor")
    alike(doctor.screen, type_in(doctor), [*CLOCK])
    alike(in_zh.screen, type_in(in_zh), [*CLOCK])
    follow = en.find("punchgate punches --follow")
    vm.sh(f"cd {HERE}; systemd-run --quiet --unit=follow -p StandardOutput=file:/run/followed {follow.command}")
    vm.sh("sleep 3; echo 'punch 1027' >/run/front")
    vm.until("the line comes", "grep -q 1027 /run/followed", 120)
    vm.sh("systemctl stop follow")
    alike(follow.screen[:1], vm.sh("cat /run/followed"))
    if rest := en.rest():
        raise Failed(f"the page tells one to type what nobody has tried: {rest}")
    if en.commands() != zh.commands():
        raise Failed(f"the pages show other commands: {set(en.commands()) ^ set(zh.commands())}")
    return f"{len(en.typed)} commands"


# This machine has no time server.
CLOCK = ("ok clock", "ok 时钟", "all is well", "一切正常")


def blank(life):
    """The site that the page speaks of: its addresses, its broker, its terminal, and the stick with the four files."""
    life.vm.sh(
        f"""
        if dpkg -s punchgate >/dev/null 2>&1; then apt-get purge -y punchgate; fi
        rm -rf /var/backups/punchgate {HERE}; mkdir {HERE}
        cp /mnt/ca.pem /mnt/gateway.pem /mnt/gateway.key {HERE}/
        ip address add 192.0.2.2/24 dev eth0
        for last in 10 80; do ip address add 192.0.2.$last/32 dev lo; done
        echo '192.0.2.80 broker.example' >>/etc/hosts
        """
    )
    life.start_broker("192.0.2.80")
    life.vm.sh(
        """
        install -m 755 /mnt/zk-terminal /usr/local/bin/
        mkfifo /run/front
        systemd-run --quiet --unit=front bash -c 'exec zk-terminal --port 4371 --key 471100 --records 190 --zone Asia/Shanghai <> /run/front'
        systemd-run --quiet --unit=cable --socket-property=ListenStream=192.0.2.10:4370 /lib/systemd/systemd-socket-proxyd 127.0.0.1:4371
        """
    )


def by_script(vm, command):
    """What it says, with a finger on the terminal when it asks for one."""
    output = "-p StandardOutput=truncate:/run/said -p StandardError=append:/run/said"
    vm.sh(f"systemctl reset-failed script 2>/dev/null || true; systemd-run --quiet --unit=script -p RemainAfterExit=yes -p WorkingDirectory={HERE} {output} {' '.join(command.split())}".replace("\\", ""))
    vm.until("it asks for a finger", "grep -q '^Put a finger' /run/said || systemctl is-failed script", 400)
    vm.sh("echo 'punch 1027' >/run/front")
    # Had it been waiting for a punch that did not come, the terminal says whether it was there and who listened.
    told = "journalctl -u front -o cat -n 3; punchgate punches --limit 3; cat /run/said; exit 1"
    vm.until("it has ended", f"systemctl show -p SubState script | grep -qE 'exited|failed' || {{ {told}; }}", 400)
    said = vm.sh("cat /run/said")
    if "That was it." not in said:
        raise Failed(said)
    return said


def away(vm):
    """Begins anew."""
    vm.sh("systemctl stop punchgate; rm -rf /etc/punchgate/* /var/lib/punchgate/*; cp /usr/share/punchgate/config.example.toml /etc/punchgate/config.toml")
