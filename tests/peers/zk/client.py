"""pyzk, a client that is not ours, against the simulated terminal: what it reads must be what lies in the log."""

import os
import struct
import subprocess
import sys
import threading
from datetime import datetime, timedelta

from zk import ZK


class Terminal:
    """The example program `zk-terminal`, and its log decoded here, without any code of ours in between."""

    LAYOUTS = {  # size, and where person, time, verify and state lie
        "8a": ("<HBIB", lambda p, v, t, s: (str(p), t, v, s)),
        "16": ("<IIBB6x", lambda p, t, v, s: (str(p), t, v, s)),
        "40": ("<2x24sBIB8x", lambda p, v, t, s: (p.split(b"\0")[0].decode(), t, v, s)),
    }

    def __init__(self, form, *options):
        self.form = form
        command = [os.environ["ZK_TERMINAL"], "--form", form, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host, port = self.process.stdout.readline().split()[-1].rsplit(":", 1)
        self.port = int(port)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def log(self):
        layout, fields = self.LAYOUTS[self.form]
        raw = bytes.fromhex(self.say("log"))
        assert len(raw) % struct.calcsize(layout) == 0
        return [fields(*record) for record in struct.iter_unpack(layout, raw)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


def pack(t):
    return ((t.year % 100 * 12 + t.month - 1) * 31 + t.day - 1) * 86400 + t.hour * 3600 + t.minute * 60 + t.second


def check(name, good, seen=""):
    print(f"ok pyzk: {name}" if good else f"not ok pyzk: {name} {seen}", flush=True)


def read(form, *options, udp=False, key=0):
    name = " ".join([form, *options, "udp" if udp else "tcp"])
    with Terminal(form, "--records", "500", "--users", "40", "--key", str(key), *options) as terminal:
        client = ZK(terminal.host, port=terminal.port, timeout=10, password=key, force_udp=udp, ommit_ping=True)
        connection = client.connect()
        users = connection.get_users()
        expected = [(uid, str(999 + uid), f"User {uid}"[: 24 if form == "40" else 8]) for uid in range(1, 41)]
        check(f"{name}: users", [(user.uid, user.user_id, user.name) for user in users] == expected, users[:3])

        seen = [(a.user_id, pack(a.timestamp), a.status, a.punch) for a in connection.get_attendance()]
        names = {uid: printed for uid, printed, _ in expected}
        log = [(names.get(int(p), p) if form == "8a" else p, t, v, s) for p, t, v, s in terminal.log()]
        check(f"{name}: 500 records", len(log) == 500 and seen == log, (len(seen), seen[:2], log[:2]))

        connection.read_sizes()
        check(f"{name}: sizes", (connection.users, connection.records, connection.rec_cap) == (40, 500, 100_000))
        off = abs(connection.get_time() - datetime.now())
        check(f"{name}: time", off < timedelta(seconds=5), off)
        check(f"{name}: serial number", connection.get_serialnumber() == "CEXA204060001")
        check(f"{name}: firmware", connection.get_firmware_version().startswith("Ver 6.60"))

        moved = datetime.now().replace(microsecond=0) - timedelta(hours=1)
        connection.set_time(moved)
        off = abs(connection.get_time() - moved)
        check(f"{name}: time set", off < timedelta(seconds=5), off)
        connection.disconnect()
        check(f"{name}: left in order", terminal.say("journal").rstrip("]").endswith(" 1001"))


def changes():
    """What the gateway may be ordered to change: pyzk's own bytes for it, on the same simulated terminal."""
    for form, width in (("40", 72), ("16", 28)):
        with Terminal(form, "--records", "5", "--users", "3") as terminal:
            connection = ZK(terminal.host, port=terminal.port, timeout=10, ommit_ping=True).connect()
            connection.get_users()  # pyzk learns the width of an entry from it
            connection.set_user(uid=9, name="Lu", user_id="1009", card=4242)
            raw = bytes.fromhex(terminal.say("users"))
            entries = [raw[at : at + width] for at in range(0, len(raw), width)]
            seen = [(user.uid, user.user_id, user.name, user.card) for user in connection.get_users() if user.uid == 9]
            check(f"{form}: a user is added", seen == [(9, "1009", "Lu", 4242)] and len(entries) == 4, seen)
            connection.delete_user(uid=9)
            check(f"{form}: and taken away", [user.uid for user in connection.get_users()] == [1, 2, 3])
            connection.disable_device()
            closed = terminal.say("open")
            connection.clear_attendance()
            connection.enable_device()
            check(f"{form}: the log is cleared", (closed, terminal.say("open"), terminal.log()) == ("false", "true", []))
            connection.disconnect()


def live():
    with Terminal("40", "--users", "40") as terminal:
        connection = ZK(terminal.host, port=terminal.port, timeout=10, ommit_ping=True).connect()
        events = connection.live_capture(new_timeout=1)
        next(events)  # registered: nothing came for a second
        said = terminal.say("punch 1003")
        event = next(event for event in events if event is not None)
        check("a live punch", (event.user_id, event.uid, event.status, event.punch) == ("1003", 4, 1, 0), event)
        check("one listener", said == "done, 1 records, 1 listeners", said)
        connection.end_live_capture = True
        for _ in events:
            pass
        connection.disconnect()


def wrong_key():
    with Terminal("40", "--key", "1234") as terminal:
        try:
            ZK(terminal.host, port=terminal.port, timeout=5, password=1235, ommit_ping=True).connect()
            check("a wrong key is refused", False)
        except Exception as error:
            check("a wrong key is refused", "Unauthenticated" in str(error), error)


if __name__ == "__main__":
    # A client that hangs must not hold the others up for ever.
    watchdog = threading.Timer(100, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    read("40")
    read("40", "--glued", key=1234)
    read("40", udp=True, key=999999)
    read("16", "--glued")
    read("16", udp=True)
    read("8a")
    changes()
    live()
    wrong_key()
    sys.stdout.flush()
    os._exit(0)
