"""The Python build of LibOSDP as a reader on a pseudo terminal, and our driver as its panel."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

import serial
from osdp import CardFormat, Channel, Event, LibFlag, LogLevel, PDCapabilities, PDInfo, PeripheralDevice, Capability

FAILED = []


def check(name, good, more=""):
    print(("ok " if good else "not ok ") + name + ("" if good else f": {more}"), flush=True)
    if not good:
        FAILED.append(name)


class Port(Channel):
    def __init__(self, port):
        self.port = port
        super().__init__()

    def read(self, most):
        return self.port.read(most)

    def write(self, data):
        return self.port.write(data)

    def flush(self):
        self.port.reset_input_buffer()


class Line:
    """Two ends of a cable."""

    def __init__(self, folder, name):
        self.ends = [os.path.join(folder, name + end) for end in "AB"]
        links = [f"pty,raw,echo=0,link={end}" for end in self.ends]
        self.socat = subprocess.Popen(["socat", *links], stderr=subprocess.DEVNULL)
        while not all(os.path.exists(end) for end in self.ends):
            time.sleep(0.02)

    def close(self):
        self.socat.kill()
        self.socat.wait()


class Panel:
    """Our driver."""

    def __init__(self, address, *readers):
        command = [os.environ["OSDP_READ"], address, *readers]
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.program.stdout:
            self.lines.put(json.loads(line))

    def until(self, wanted, patience=30):
        """The first line, from here on, of which this is true."""
        end = time.monotonic() + patience
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                return None
            self.seen.append(line)
            if wanted(line):
                return line

    def say(self, line):
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()

    def people(self):
        while not self.lines.empty():
            self.seen.append(self.lines.get())
        return [line["person"] for line in self.seen if "person" in line]

    def close(self):
        self.program.stdin.close()
        self.program.wait(10)


def reader(port, unit, key, flags=()):
    info = PDInfo(unit, Port(port), scbk=key, flags=list(flags))
    able = PDCapabilities(
        [(Capability.OutputControl, 1, 1), (Capability.LEDControl, 1, 1), (Capability.AudibleControl, 1, 1)]
    )
    it = PeripheralDevice(info, able, log_level=LogLevel.Emergency)
    it.start()
    return it


def card(bits, data):
    return {
        "event": Event.CardRead,
        "reader_no": 0,
        "direction": 0,
        "format": CardFormat.Wiegand,
        "length": bits,
        "data": bytes.fromhex(data),
    }


def keys(text):
    return {"event": Event.KeyPress, "reader_no": 0, "data": text.encode()}


ONLINE = lambda line: line.get("state") == "online"
PUNCH = lambda person: lambda line: line.get("person") == person


def main(folder):
    right, wrong = bytes(range(1, 17)), bytes(range(2, 18))
    file = os.path.join(folder, "key")
    with open(file, "w") as out:
        out.write(right.hex() + "\n")
    os.chmod(file, 0o600)

    # A secure channel, cards of 26, 34 and 37 bits, keys, an output.
    line = Line(folder, "secure")
    port = serial.Serial(line.ends[1], 115200, timeout=0)
    it = reader(port, 101, right, [LibFlag.EnforceSecure])
    panel = Panel(f"serial://{line.ends[0]}?baud=115200", f"101={file}")
    check("a secure channel comes about", panel.until(ONLINE) and it.is_sc_active(), panel.seen)
    for bits, data, person in [
        (26, "bdd93740", "123,45678"),
        (34, "0250d961c0", "0077705923"),
        (37, "0102030480", "0102030480:37"),
    ]:
        it.submit_event(card(bits, data))
        check(f"a card of {bits} bits is {person}", panel.until(PUNCH(person)), panel.seen)
    it.submit_event(keys("1001#"))
    check("keys are a number", panel.until(PUNCH("1001")), panel.seen)
    panel.say("unlock 101 1 2")
    check("an output is switched", panel.until(lambda line: "done" in line), panel.seen)
    command = it.get_command(timeout=5)
    while command and "timer_count" not in command:
        command = it.get_command(timeout=5)
    check("the reader has the command", command and command.get("timer_count") == 20, command)

    # The reader is started anew, then the panel, while five cards wait.
    it.teardown()
    check("a reader that left is missed", panel.until(lambda line: line.get("state") == "offline"), panel.seen)
    it = reader(port, 101, right, [LibFlag.EnforceSecure])
    check("a reader that came back is served", panel.until(ONLINE), panel.seen)
    panel.close()
    for _ in range(5):
        it.submit_event(card(26, "80800080"))
    panel = Panel(f"serial://{line.ends[0]}?baud=115200", f"101={file}")
    panel.until(lambda line: len(panel.people()) >= 5 or line.get("person") and len(panel.people()) >= 5, 15)
    time.sleep(1)
    check("five cards that waited for a panel are five punches", panel.people() == ["1,00001"] * 5, panel.people())
    panel.close()
    it.teardown()
    line.close()

    # Another key than ours.
    line = Line(folder, "wrong")
    port = serial.Serial(line.ends[1], 115200, timeout=0)
    it = reader(port, 101, wrong, [LibFlag.EnforceSecure])
    panel = Panel(f"serial://{line.ends[0]}?baud=115200", f"101={file}")
    it.submit_event(card(26, "bdd93740"))
    told = panel.until(lambda line: line.get("trouble") == "terminal-channel-unsafe")
    check("a wrong key is named", told, panel.seen)
    time.sleep(2)
    check("and nothing is taken", panel.people() == [], panel.people())
    panel.close()
    it.teardown()
    line.close()

    # Plain text, where it is wanted.
    line = Line(folder, "plain")
    port = serial.Serial(line.ends[1], 115200, timeout=0)
    it = reader(port, 5, None)
    panel = Panel(f"serial://{line.ends[0]}?baud=115200", "5=")
    check("plain text comes about where it is wanted", panel.until(ONLINE), panel.seen)
    it.submit_event(card(26, "7fffffc0"))
    check("its card is a punch", panel.until(PUNCH("255,65535")), panel.seen)
    panel.close()
    it.teardown()
    line.close()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
sys.stdout.flush()
os._exit(1 if FAILED else 0)
