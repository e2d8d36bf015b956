"""Reads a terminal's log with pyzk, keeps nothing, and says as JSON what that cost."""

import json
import resource
import sys
import time

from zk import ZK

before = resource.getrusage(resource.RUSAGE_SELF)
began = time.monotonic()
client = ZK(sys.argv[1], port=int(sys.argv[2]), timeout=60, ommit_ping=True)
connection = client.connect()
records = len(connection.get_attendance())
wall = time.monotonic() - began
after = resource.getrusage(resource.RUSAGE_SELF)
connection.disconnect()
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({
    "records": records,
    "wall_s": wall,
    "cpu_s": cpu,
    "extra_mib": (after.ru_maxrss - before.ru_maxrss) / 1024,
}))
