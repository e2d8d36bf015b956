#!/usr/bin/env python3
"""Recomputes a health report out of the state folder's own files, without the program that made it.

    report.py report.json export.jsonl metrics.ring log.jsonl

report.json is `punchgate report --json`, export.jsonl is `punchgate journal export`. Prints what differs; exit code 1 then.
"""

import json
import math
import struct
import sys
from datetime import datetime


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def ring(path, first, last):
    with open(path, "rb") as file:
        header = file.read(4096).rstrip(b"\0").decode().split("\n")
        assert header[0] == "punchgate-ring 1 43200 32", header[0]
        names, rows = header[1:-1], {}
        while slot := file.read(272):
            minute, *values = struct.unpack("<q32d", slot[:264])
            if first <= minute < last and crc32c(slot[:264]) == struct.unpack("<I", slot[264:268])[0]:
                rows[minute] = dict(zip(names, values))
    return rows


def main(report, export, ring_file, log):
    with open(report, encoding="utf-8") as file:
        report = json.load(file)
    begin, end = seconds(report["from"]), seconds(report["to"])
    faults = []

    def same(what, told, counted):
        close = told == counted
        if isinstance(told, float) and isinstance(counted, (int, float)):
            close = math.isclose(told, counted, rel_tol=1e-9)
        if not close:
            faults.append(f"{what}: the report says {told}, and it is {counted}")

    days, terminals = {}, {}
    with open(export, encoding="utf-8") as file:
        for line in file:
            punch = json.loads(line)
            if not begin <= seconds(punch["stored"]) < end:
                continue
            day = punch["local"][:10]
            days[day] = days.get(day, 0) + 1
            one = terminals.setdefault(punch["terminal"], {"punches": 0, "later": 0, "skews": []})
            one["punches"] += 1
            one["later"] += punch["origin"] != "live"
            if punch["clock"]["skew_ms"] is not None:
                one["skews"].append(punch["clock"]["skew_ms"])
    same("punches a day", report["punches"]["by_day"], days)
    same("punches", report["punches"]["total"], sum(days.values()))
    for told in report["terminals"]:
        name = told["terminal"]
        counted = terminals.get(name, {"punches": 0, "later": 0, "skews": []})
        same(f"punches of {name}", told["punches"], counted["punches"])
        same(f"later ones of {name}", told["later"], counted["later"])
        skews = sorted(counted["skews"])
        if skews:
            same(f"median clock of {name}", told["skew_median_ms"], skews[min(len(skews) * 50 // 100, len(skews) - 1)])

    first, last = int(begin // 60), int(end // 60)
    rows = ring(ring_file, first, last)
    same("minutes kept", report["minutes"]["kept"], len(rows))
    if rows:
        of = last - max(first, min(rows))
        same("up", report["minutes"]["up_percent"], 100 * len(rows) / of)
        up = sum(row["punchgate_link_up"] > 0.5 for row in rows.values())
        same("broker", report["minutes"]["broker_up_percent"], 100 * up / len(rows))
        newest = rows[max(rows)]
        same("free", report["capacity"]["free_bytes"], newest["punchgate_disk_free_bytes"])

    incidents = {}
    with open(log, encoding="utf-8") as file:
        for line in file:
            incident = json.loads(line)
            incidents[incident["number"]] = incident
    ours = [it for it in incidents.values() if seconds(it["opened"]) < end]
    ours = [it for it in ours if it["resolved"] is None or seconds(it["resolved"]) >= begin]
    same("incidents", [it["number"] for it in report["incidents"]["all"]], sorted(it["number"] for it in ours))
    same("breaches", report["incidents"]["breached"], sum(it["breached"] is not None for it in ours))

    for fault in faults:
        print(fault)
    print(f"{sum(days.values())} punches, {len(rows)} minutes, {len(ours)} incidents: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
