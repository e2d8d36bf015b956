"""pyserial as the far end of a cable, and our driver as the one that listens."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

import serial

FAILED = []


def check(name, good, more=""):
    print(("ok " if good else "not ok ") + name + ("" if good else f": {more}"), flush=True)
    if not good:
        FAILED.append(name)


class Cable:
    """Two ends, each a pseudo terminal with a name of its own."""

    def __init__(self, folder, name, listen=""):
        self.near, self.far = (os.path.join(folder, name + end) for end in "AB")
        near = listen or f"pty,raw,echo=0,link={self.near}"
        self.socat = subprocess.Popen(["socat", near, f"pty,raw,echo=0,link={self.far}"], stderr=subprocess.DEVNULL)
        # One that listens makes its far end when somebody has connected.
        if not listen:
            self.open()

    def open(self):
        while not os.path.exists(self.far):
            time.sleep(0.02)
        self.port = serial.Serial(self.far, 9600, timeout=0.5)

    def close(self):
        self.port.close()
        self.socat.kill()
        self.socat.wait()


class Listener:
    """Our driver."""

    def __init__(self, address, reader, *more):
        command = [os.environ["SERIAL_READ"], address, reader, *more]
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.program.stdout:
            self.lines.put(json.loads(line))

    def until(self, wanted, patience=30):
        end = time.monotonic() + patience
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                return None
            self.seen.append(line)
            if wanted(line):
                return line

    def online(self):
        return self.until(lambda line: line.get("state") == "online")

    def people(self, count, patience=30):
        """All persons so far, once there are so many."""
        end = time.monotonic() + patience
        while True:
            while not self.lines.empty():
                self.seen.append(self.lines.get())
            people = [line["person"] for line in self.seen if "person" in line]
            if len(people) >= count or time.monotonic() > end:
                return people
            time.sleep(0.02)

    def close(self):
        self.program.stdin.close()
        self.program.wait(10)


def main(folder):
    # RDM6300 byte by byte, two frames in one write, noise, a wrong digit, the same card twice within the window.
    cable = Cable(folder, "rdm")
    it = Listener(f"serial://{cable.near}?baud=9600", "rdm6300", 'repeat_window = "700ms"')
    check("a port is served", it.online(), it.seen)
    good = b"\x020100A1B2C3D1\x03"
    for byte in good:
        cable.port.write(bytes([byte]))
        time.sleep(0.05)
    check("a frame that comes byte by byte is a punch", it.people(1) == ["0010597059"], it.seen)
    time.sleep(1)
    cable.port.write(b"\xff\x00junk" + good + b"\x027C0055F0EB32\x03" + b"\x020100A1B2C4D1\x03")
    check("two frames in one write, noise before, a wrong one behind", it.people(3) == ["0010597059", "0010597059", "0005632235"], it.seen)
    cable.port.write(good * 3)
    time.sleep(1)
    check("a card that is held is one punch", len(it.people(3)) == 3, it.seen)
    noisy = any(line.get("trouble") == "terminal-line-noisy" for line in it.seen)
    check("noise is named", noisy or it.until(lambda line: line.get("trouble") == "terminal-line-noisy"), it.seen)

    # The cable is pulled, and comes back.
    cable.close()
    check("a pulled cable is missed", it.until(lambda line: line.get("state") == "offline"), it.seen)
    begun = time.monotonic()
    cable = Cable(folder, "rdm")
    back = it.online()
    check("it is served again within ten seconds", back and time.monotonic() - begun < 10, it.seen)
    cable.port.write(good)
    check("and its card is a punch", len(it.people(4)) == 4, it.seen)
    it.close()
    cable.close()

    # Lines with any end, in any pieces, ten thousand in one go.
    cable = Cable(folder, "line")
    it = Listener(f"serial://{cable.near}?baud=115200", "digits", 'repeat_window = "0ms"')
    it.online()
    cable.port.write(b"1001\r")
    time.sleep(0.1)
    cable.port.write(b"\n1002\n1003\r\n\r\n")
    check("lines end with CR, LF or both", it.people(3) == ["1001", "1002", "1003"], it.seen)
    many = [str(10_000_000 + number) for number in range(10_000)]
    cable.port.write("".join(line + "\r\n" for line in many).encode())
    check("ten thousand lines in one go are ten thousand punches", it.people(10_003, 100)[3:] == many, len(it.people(0)))
    it.close()
    cable.close()

    # A reader that waits: ACK for what is stored, NAK for what is damaged.
    cable = Cable(folder, "wait")
    it = Listener(f"serial://{cable.near}?baud=9600", "ack-line")
    it.online()
    cable.port.write(b"#0007,0010597059*0F\r")
    check("a damaged frame hears NAK", cable.port.read(1) == b"\x15", it.seen)
    cable.port.write(b"#0007,0010597059*0E\r")
    check("a stored one hears ACK", cable.port.read(1) == b"\x06", it.seen)
    cable.port.write(b"#0007,0010597059*0E\r")
    check("a repeated one hears ACK and is no second punch", cable.port.read(1) == b"\x06" and it.people(1) == ["0010597059"], it.seen)
    it.close()
    cable.close()

    # A serial server on TCP.
    cable = Cable(folder, "tcp", "tcp-listen:27643,bind=127.0.0.1,reuseaddr,fork")
    it = Listener("tcp://127.0.0.1:27643", "wiegand-hex")
    it.online()
    cable.open()
    cable.port.write(b"BDD93740\r\n0250D961C0\r\n")
    check("Wiegand bits come through a serial server", it.people(2) == ["123,45678", "0077705923"], it.seen)
    it.close()
    cable.close()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
sys.stdout.flush()
os._exit(1 if FAILED else 0)
