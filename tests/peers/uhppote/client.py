"""uhppoted, a client that is not ours, against the simulated board: what it reads must be what lies in the ring."""

import os
import socket
import subprocess
import threading
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from uhppoted.uhppote import Uhppote

SERIAL = 405419896


class Board:
    """The example program `uhppote-board`, and its ring told in its own words."""

    def __init__(self, *options):
        command = [os.environ["UHPPOTE_BOARD"], *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[-1]

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def ring(self):
        events = [event.split(",") for event in self.say("ring").split()]
        return [(*map(int, event[:6]), datetime.fromisoformat(event[6])) for event in events]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


def check(name, good, seen=""):
    print(f"ok uhppoted: {name}" if good else f"not ok uhppoted: {name} {seen}", flush=True)


def seen(event):
    return (event.index, event.event_type, int(event.access_granted), event.door, event.direction, event.card, event.timestamp)


def read(protocol):
    with Board("--events", "40", "--capacity", "30") as board:
        client = Uhppote(bind="127.0.0.1", broadcast=board.address, listen="127.0.0.1:0")
        it = (SERIAL, board.address, protocol)

        who = client.get_controller(it)
        check(f"{protocol}: who it is", (who.controller, who.version) == (SERIAL, "v8.92"), who)

        ring = board.ring()
        events = [seen(client.get_event(it, index)) for index in range(11, 41)]
        check(f"{protocol}: 30 events", len(ring) == 30 and events == ring, (events[:2], ring[:2]))
        check(f"{protocol}: the oldest", seen(client.get_event(it, 0)) == ring[0])
        check(f"{protocol}: the newest", seen(client.get_event(it, 0xFFFFFFFF)) == ring[-1])
        check(f"{protocol}: an overwritten one", client.get_event(it, 5).event_type == 0xFF)
        check(f"{protocol}: one that is not there", client.get_event(it, 41).event_type == 0)

        board.say("denied 4294967295")
        status = client.get_status(it)
        newest = board.ring()[-1]
        read = (status.event_index, status.event_card, status.event_access_granted, status.event_reason)
        check(f"{protocol}: state", read == (41, 4294967295, False, 6) and status.event_timestamp == newest[6], status)
        now = datetime.combine(status.system_date, status.system_time)
        check(f"{protocol}: its time in the state", abs(now - datetime.now()) < timedelta(seconds=5), now)

        check(f"{protocol}: index", client.get_event_index(it).event_index == 0)
        check(f"{protocol}: index set", client.set_event_index(it, 39).updated and board.say("index") == "39")
        check(f"{protocol}: index not beyond the newest", not client.set_event_index(it, 99).updated)

        moved = datetime.now().replace(microsecond=0) - timedelta(hours=1)
        check(f"{protocol}: time set", client.set_time(it, moved).datetime == moved)
        status = client.get_status(it)
        off = datetime.combine(status.system_date, status.system_time) - moved
        check(f"{protocol}: time kept", abs(off) < timedelta(seconds=5), off)

        check(f"{protocol}: door opened", client.open_door(it, 3).opened and board.say("opened") == "[0, 0, 1, 0]")
        check(f"{protocol}: door's delay", client.get_door_control(it, 3).delay == 5)


def live():
    with Board() as board, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        client = Uhppote(bind="127.0.0.1", broadcast=board.address, listen=f"127.0.0.1:{port}")
        it = (SERIAL, board.address)
        heard, told = [], threading.Event()

        def on_event(event):
            heard.append((event.controller, event.event_index, event.event_card, event.event_access_granted))
            told.set()

        threading.Thread(target=client.listen, args=[on_event], daemon=True).start()
        check("listener set", client.set_listener(it, IPv4Address("127.0.0.1"), port).ok)
        listener = client.get_listener(it)
        check("listener told", (str(listener.address), listener.port) == ("127.0.0.1", port), listener)
        for _ in range(50):  # until the thread listens
            board.say("swipe 12345678")
            if told.wait(0.1):
                break
        check("a live event", heard and heard[0][0] == SERIAL and heard[0][2:] == (12345678, True), heard)


def discovery():
    with Board() as board:
        client = Uhppote(bind="127.0.0.1", broadcast=board.address, listen="127.0.0.1:0")
        found = client.get_all_controllers(timeout=0.5)
        check("found without its number", [who.controller for who in found] == [SERIAL], found)


if __name__ == "__main__":
    # A client that hangs must not hold the others up for ever.
    watchdog = threading.Timer(100, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    read("udp")
    read("tcp")
    live()
    discovery()
    os._exit(0)
