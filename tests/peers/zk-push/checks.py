"""What both scripts share: a free port, a check that prints its line, a wait with a limit."""

import socket
import time


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def check(name, wanted, found):
    print(f"ok {name}" if wanted == found else f"not ok {name}: wanted {wanted!r}, found {found!r}", flush=True)


def until(what, seconds, holds):
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)
    return found
