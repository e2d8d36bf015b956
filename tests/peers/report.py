#!/usr/bin/env python3
"""Recomputes every figure of a health report out of the state folder's own files, without the program that made it.

    report.py report.json export.jsonl marks.jsonl metrics.ring log.jsonl

report.json is `punchgate report --json`, export.jsonl is `punchgate journal export`, marks.jsonl is `punchgate journal export
--marks`. Prints what differs, and figures that it does not know; exit code 1 then.
"""

import json
import math
import struct
import sys
from datetime import datetime

ONLINE = "online"
HOURS = {
    "undelivered": ("punchgate_queue_undelivered_punches", max, 1),
    "terminals_online": ("punchgate_terminals_online", min, 1),
    "commit_p99_ms": ("punchgate_commit_p99_seconds", max, 1e3),
    "free_bytes": ("punchgate_disk_free_bytes", min, 1),
}


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def milliseconds(text):
    return round(seconds(text) * 1000)


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


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
                rows[minute] = {name: value for name, value in zip(names, values) if not math.isnan(value)}
    return dict(sorted(rows.items()))


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) * percent // 100, len(values) - 1)] if values else None


def standing(changes, begin, minutes):
    """Minutes online and away, and the longest run away, by how it stood at the end of each minute."""
    before = [it for it in changes if it[0] <= begin]
    changes = before[-1:] + [it for it in changes if it[0] > begin]
    online = away = run = longest = 0
    for minute in minutes:
        known = [state for at, state in changes if math.floor(at) < (minute + 1) * 60]
        if not known:
            pass
        elif known[-1] == ONLINE:
            online, run = online + 1, 0
        else:
            away, run = away + 1, run + 1
        longest = max(longest, run)
    return online, away, longest


def main(report, export, marks, ring_file, log):
    with open(report, encoding="utf-8") as file:
        report = json.load(file)
    begin, end = seconds(report["from"]), seconds(report["to"])
    faults, checked = [], set()

    def same(where, told, counted):
        checked.add(where)
        close = told == counted
        if isinstance(told, (int, float)) and isinstance(counted, (int, float)):
            close = math.isclose(told, counted, rel_tol=1e-9)
        if not close:
            faults.append(f"{where}: the report says {told}, and it is {counted}")

    def all_of(where, told, counted):
        for name, value in counted.items():
            same(f"{where}.{name}", told[name], value)

    days, terminals, waiting, stored_after, delivered_after = {}, {}, {}, [], []

    def terminal(name):
        empty = {"punches": 0, "later": 0, "skews": [], "standing": [], "set_aside": 0, "lost": 0, "last": None}
        return terminals.setdefault(name, empty)

    for punch in lines(export):
        one = terminal(punch["terminal"])
        one["serial"] = punch["serial"]
        if not begin <= seconds(punch["stored"]) < end:
            continue
        day = punch["local"][:10]
        days[day] = days.get(day, 0) + 1
        one["punches"] += 1
        live = punch["origin"] == "live"
        one["later"] += not live
        one["last"] = max(one["last"] or "", punch["utc"])
        stored, skew = milliseconds(punch["stored"]), punch["clock"]["skew_ms"]
        if skew is not None:
            one["skews"].append(skew)
            if live:
                stored_after.append(stored - (milliseconds(punch["utc"]) - skew))
        waiting[punch["terminal"], punch["ledger"], punch["seq"]] = stored
    for mark in lines(marks):
        kind, at = mark["mark"], seconds(mark["at"])
        if kind == "confirmed":
            for seq in range(mark["first"], mark["last"] + 1):
                stored = waiting.pop((mark["terminal"], mark["ledger"], seq), None)
                if stored is not None:
                    delivered_after.append(milliseconds(mark["at"]) - stored)
        elif kind == "standing" and mark["terminal"] and at < end:
            terminal(mark["terminal"])["standing"].append((at, mark["standing"]))
        elif kind == "set-aside" and begin <= at < end:
            terminal(mark["terminal"])["set_aside"] += 1
        elif kind == "lost":
            terminal(mark["terminal"])["lost"] += mark["last"] - mark["first"] + 1

    total = sum(days.values())
    later = sum(it["later"] for it in terminals.values())
    all_of("punches", report["punches"], {"total": total, "later": later, "undelivered": len(waiting), "by_day": days})
    delays = {"stored": stored_after, "delivered": delivered_after}
    for name, values in delays.items():
        for percent in (50, 99):
            same(f"delays.{name}_p{percent}_ms", report["delays"][f"{name}_p{percent}_ms"], percentile(values, percent))

    first, last = int(begin // 60), int(end // 60)
    rows = ring(ring_file, first, last)
    column = lambda name: [(minute, row[name]) for minute, row in rows.items() if name in row]  # noqa: E731
    up = sum(value > 0.5 for _, value in column("punchgate_link_up"))
    of = last - max(first, min(rows, default=last))
    minutes = {"kept": len(rows), "of": of, "up_percent": 100 * len(rows) / of if of else None}
    minutes["broker_up_percent"] = 100 * up / len(rows) if rows else None
    all_of("minutes", report["minutes"], minutes)

    for told in report["terminals"]:
        one = terminal(told["terminal"])
        online, away, longest = standing(one["standing"], begin, rows)
        skews = one["skews"]
        counted = {
            "punches": one["punches"],
            "later": one["later"],
            "online_percent": 100 * online / (online + away) if online + away else None,
            "minutes_away": away,
            "longest_away_minutes": longest,
            "skew_median_ms": percentile(skews, 50),
            "skew_worst_ms": max(skews, key=abs, default=None),
            "set_aside": one["set_aside"],
            "lost": one["lost"],
        }
        all_of("terminals", told, counted)
        same("terminals.last_punch", told["last_punch"] and seconds(told["last_punch"]), one["last"] and seconds(one["last"]))
        same("terminals.serial", told["serial"], one.get("serial", told["serial"]))
    left_out = {it for it in terminals if terminals[it]["punches"]} - {it["terminal"] for it in report["terminals"]}
    same("terminals", [], sorted(left_out))

    free, journal = column("punchgate_disk_free_bytes"), column("punchgate_journal_bytes")
    pace = None
    if free and free[-1][0] - free[0][0] >= 360:
        pace = (free[0][1] - free[-1][1]) / ((free[-1][0] - free[0][0]) / 1440)
    capacity = {
        "free_bytes": free[-1][1] if free else None,
        "journal_bytes": journal[-1][1] if journal else None,
        "bytes_a_day": pace,
        "days_left": free[-1][1] / pace if pace and pace > 0 else None,
    }
    all_of("capacity", report["capacity"], capacity)

    hours = {}
    for name, (of_ring, pick, scale) in HOURS.items():
        for minute, value in column(of_ring):
            hour = hours.setdefault(minute // 60, dict.fromkeys(HOURS))
            hour[name] = value * scale if hour[name] is None else pick(hour[name], value * scale)
    same("hours.at", [seconds(it["at"]) for it in report["hours"]], [hour * 3600 for hour in sorted(hours)])
    for told in report["hours"]:
        all_of("hours", told, hours.get(int(seconds(told["at"]) // 3600), {}))

    incidents = {it["number"]: it for it in lines(log)}
    ours = [it for it in incidents.values() if seconds(it["opened"]) < end]
    ours = [it for it in ours if it["resolved"] is None or seconds(it["resolved"]) >= begin]
    counted = {
        "opened": sum(seconds(it["opened"]) >= begin for it in ours),
        "resolved": sum(it["resolved"] is not None and seconds(it["resolved"]) < end for it in ours),
        "breached": sum(it["breached"] is not None for it in ours),
        "all": sorted(ours, key=lambda it: it["number"]),
    }
    all_of("incidents", report["incidents"], counted)

    # What is no figure, or is of somebody else's list.
    rest = {"version", "made_at", "tenant", "gateway", "from", "to", "unreadable", "renew", "dependencies"}
    for name, part in report.items():
        for one in (part if isinstance(part, list) else [part]) if name not in rest else []:
            unknown = {f"{name}.{it}" for it in one} - checked - {"terminals.terminal", "terminals.firmware"}
            faults.extend(f"{it} is recomputed by nobody" for it in sorted(unknown))

    for fault in faults:
        print(fault)
    print(f"{total} punches, {len(rows)} minutes, {len(ours)} incidents: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
