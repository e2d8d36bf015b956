#!/usr/bin/env python3
"""Presses keys at `punchgate watch` and reads its screen through a terminal emulator.

    screen.py FOLDER          with PUNCHGATE naming the program

Each check is a line `ok NAME` or `not ok NAME`; exit code 1 after the latter.
"""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pyte

PROGRAM = os.environ["PUNCHGATE"]
COLUMNS, LINES = 130, 30
PATIENCE = int(os.environ.get("PATIENCE", "90"))


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def punchgate(*words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def until(what, get, like):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            found = get()
            if like(found):
                return found
        except (RuntimeError, OSError, IndexError, KeyError):
            pass
        time.sleep(0.2)
    raise TimeoutError(what)


class Window:
    """The program in a pseudo-terminal, and what its screen shows."""

    def __init__(self, words):
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
            os.execv(PROGRAM, [PROGRAM, *words])
        self.resize(LINES, COLUMNS)

    def resize(self, lines, columns):
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        os.kill(self.pid, signal.SIGWINCH)

    def read(self, wait=0.2):
        """What comes until nothing comes, for a second at most: a screen with clocks on it is never done."""
        end = time.monotonic() + 1
        while time.monotonic() < end and select.select([self.end], [], [], wait)[0]:
            try:
                data = os.read(self.end, 65536)
            except OSError:
                return
            if not data:
                return
            # Some programs ask where the cursor is, and wait for the answer.
            if b"\x1b[6n" in data:
                os.write(self.end, b"\x1b[1;1R")
            self.stream.feed(data)

    def press(self, keys):
        os.write(self.end, keys.encode())

    def shows(self, *words, never=()):
        """Waits until all of these stand on the screen, and none of those."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.read()
            text = "\n".join(self.screen.display)
            if all(word in text for word in words) and not any(word in text for word in never):
                return True
        return False

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)


def main(folder):
    folder = pathlib.Path(folder)
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    key = punchgate("remote", "keygen", "--json", "--out", str(folder / "li.jwk"))[0]["public_key"]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    mqtt = f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nallow_plaintext = true\n'
    block = '[[terminal]]\nname = "{}"\ndriver = "zk"\naddress = "tcp://127.0.0.1:{}"\n\n'
    operator = f'[[operator]]\nname = "li"\nperson = "li"\npublic_key = "{key}"\nroles = ["admin"]\nnot_after = "{today}"\n'
    config = folder / "config.toml"
    config.write_text(
        '[gateway]\nid = "sz-03"\ntenant = "acme"\nzone = "Asia/Shanghai"\nstate_dir = "state"\n\n'
        + mqtt
        + '\n[spool]\nmin_free = "1MiB"\n\n'
        + block.format("front-door", free_port())
        + block.format("canteen", free_port())
        + operator
    )
    children = []
    results = []

    def check(name, well, window=None):
        results.append(well)
        print(f"{'ok' if well else 'not ok'} {name}", flush=True)
        if not well and window:
            print(window.text(), file=sys.stderr)

    try:
        children.append(subprocess.Popen(["mosquitto", "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL))
        log = open(folder / "log", "w", encoding="utf-8")  # noqa: SIM115
        children.append(subprocess.Popen([PROGRAM, "run", "--config", str(config)], stdout=log, stderr=log))
        of = ["--json", "--config", str(config)]
        status = until("the gateway is connected", lambda: punchgate("status", *of)[0], lambda it: it["link"]["state"] == "up")
        until("both are told", lambda: punchgate("incidents", *of), lambda it: len(it) == 2)
        profile = folder / "remote.toml"
        profile.write_text(f'key_file = "li.jwk"\ntenant = "acme"\n{mqtt}\n[gateway.sz-03]\nkey = "{status["key"]}"\n')

        window = Window(["watch", "--lang", "en", "--profile", str(profile)])
        both = ("1 gateways, 0 of them bad", "sz-03/front-door", "sz-03/canteen", "Terminal offline", "WHAT TO DO")
        check("the list, worst first, with what to do", window.shows(*both, "0 of 2 terminals online"), window)
        check("the details of the line under the cursor", window.shows("(terminal-offline)", "cause  ", "since  ", "mend   Check its power"), window)
        first = [line for line in window.screen.display if "(terminal-offline)" in line][0]
        window.press("\x1b[B")
        end = time.monotonic() + PATIENCE
        moved = False
        while not moved and time.monotonic() < end:
            window.read()
            now = [line for line in window.screen.display if "(terminal-offline)" in line]
            moved = bool(now) and now[0] != first
        check("an arrow moves to the next line", moved, window)
        cursor = [
            y for y in range(LINES) if any(window.screen.buffer[y][x].reverse for x in range(COLUMNS))
        ]
        check("the line under the cursor is seen", len(cursor) == 1 and "sz-03/" in window.screen.display[cursor[0]], window)
        window.press("/canteen")
        check("what is typed filters at once", window.shows("filter: canteen_", "sz-03/canteen", never=["sz-03/front-door"]), window)
        window.press("\r")
        check("Enter keeps the filter", window.shows("q leave", "sz-03/canteen", never=["sz-03/front-door", "filter:"]), window)
        window.press("a")
        check("a asks for the reason", window.shows("you take it; reason for the audit log: _"), window)
        window.press("TICKET-12\r")
        check("it is signed and sent", window.shows("is yours", "li,"), window)
        taken = until("it is taken", lambda: punchgate("incidents", *of), lambda all: any(it["acknowledged"] for it in all))
        by = [(it["subject"], it["acknowledged"]["by"], it["acknowledged"]["how"]) for it in taken if it["acknowledged"]]
        check("the gateway knows whose it is", by == [("canteen", "li", "command")], window)
        window.press("a")
        check("what is taken is not taken again", window.shows("it is li's already"), window)
        window.press("/\x1b")
        check("Esc clears the filter", window.shows("sz-03/front-door", "sz-03/canteen"), window)
        window.resize(20, 90)
        check("a smaller window shows the same", window.shows("sz-03/front-door", "cause  ", "WHAT"), window)
        window.press("q")
        left, code = False, None
        end = time.monotonic() + PATIENCE
        while not left and time.monotonic() < end:
            window.read()
            pid, code = os.waitpid(window.pid, os.WNOHANG)
            left = pid != 0
        check("q leaves, and gives the terminal back", left and code == 0, window)
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait(timeout=30)
    return 0 if all(results) else 1


if __name__ == "__main__":
    # Whoever ends us ends what we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1]))
