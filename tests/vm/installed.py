"""A box that is new: booted, installed, told its site, looked at."""

from life import INSIDE
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
    vm.sh("dpkg -L punchgate | grep -x /usr/share/man/man1/punchgate.1.gz; zcat /usr/share/doc/punchgate/third-party-licenses.txt.gz")


def it_serves_a_terminal_on_its_own_loopback_with_a_broker_there(life):
    vm = life.vm
    vm.sh(
        """
        install -m 640 -g punchgate /mnt/ca.pem /mnt/gateway.pem /mnt/gateway.key /etc/punchgate/
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
    life.broker_is_at(INSIDE)
    life.configure()
    vm.sh("punchgate check && systemctl start punchgate")
    took = life.is_at_work()
    vm.until(
        "the first punch is delivered",
        "echo 'punch 1024' >/run/door; sleep 3; punchgate punches --terminal front-door --json | grep '\"delivered\":true'",
        240,
    )
    life.punches()
    return f"started in {took:.0f} s"


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
        if runuser -u bert -- punchgate status; then echo 'bert got an answer'; exit 1; fi
        """
    )
    told = vm.sh("systemd-analyze security --no-pager punchgate | tail -n 1")
    score = float(told.split(":")[1].split()[0])
    if score > 1.3:
        raise Failed(told)
    return f"exposure {score}"


def the_systemd_journal_has_fields(life):
    for filters in ("PUNCHGATE_TERMINAL=front-door", "PUNCHGATE_DRIVER=zk"):
        if not life.vm.sh(f"journalctl -u punchgate {filters} -o cat -n 5"):
            every = life.vm.sh("journalctl -u punchgate -o json -n 30")
            raise Failed(f"journalctl {filters} finds nothing in {every[-3000:]}")


def a_key_may_come_from_systemd(life):
    life.vm.sh(
        """
        mkdir -p /etc/systemd/system/punchgate.service.d
        printf '[Service]\\nLoadCredential=gateway.key:/etc/credstore/gateway.key\\n' >/etc/systemd/system/punchgate.service.d/key.conf
        install -d -m 700 /etc/credstore && mv /etc/punchgate/gateway.key /etc/credstore/
        """
    )
    life.key = "credential:gateway.key"
    life.configure()
    life.vm.sh("systemctl daemon-reload && systemctl restart punchgate")
    life.is_at_work()
    life.vm.until("the broker is reached", "punchgate status --json | grep '\"state\":\"online\"'", 120)


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
    life.vm.sh(f"grep -q front-door /var/lib/punchgate/reports/report.html; systemctl enable --now {timer}")
    if (mode := life.vm.sh("stat -c %a /var/lib/punchgate")) != "700":
        raise Failed(f"/var/lib/punchgate has the mode {mode} now")
