#!/usr/bin/env python3
"""What the receiving side has of one terminal's day, in the words of `punchgate journal proof`.

    mosquitto_sub ... -t 'punchgate/1/+/+/punch/+' > messages.jsonl; proof.py front-door 2026-11-20 sz-03 < messages.jsonl

One JSON message a line, in any order and as often as they came. Compare what this prints with what the gateway prints:
every line must be the same. Standard library only, so that anybody can read and run it.
Without a gateway it mixes what several gateways have of terminals of one name.
"""
import hashlib
import os
import sys
import json

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chain import canonical, link  # noqa: E402


def proof(messages, terminal, day, gateway=None):
    ledgers = {}
    for message in messages:
        data = message["data"]
        # urn:punchgate:TENANT:GATEWAY, as the ledger was begun.
        ours = gateway is None or message["source"].rsplit(":", 1)[-1] == gateway
        if ours and data["terminal"] == terminal:
            ledger = ledgers.setdefault(data["ledger"], {"serial": data["serial"], "punches": {}, "before": {}})
            ledger["before"][data["first"]] = data["prev"]
            for punch in data["punches"]:
                ledger["punches"][punch["seq"]] = punch
    mine = [p for ledger in ledgers.values() for p in ledger["punches"].values() if p["local"].startswith(day + "T")]
    ids = sorted({punch["id"] for punch in mine})
    times = sorted(punch["local"][11:] for punch in mine)
    digest = hashlib.sha256("".join(one + "\n" for one in ids).encode("ascii")).hexdigest()[:16]
    lines = [
        f"terminal {terminal}",
        f"day      {day}",
        f"punches  {len(ids)}" + (f", first {times[0]}, last {times[-1]}" if times else ""),
        "sum      " + "-".join(digest[at : at + 4] for at in range(0, 16, 4)),
    ]
    for begun, ledger in sorted(ledgers.items()):
        of_day = sorted(seq for seq, punch in ledger["punches"].items() if punch["local"].startswith(day + "T"))
        if not of_day:
            continue
        first, last = of_day[0], of_day[-1]
        missing = sum(1 for seq in range(first, last + 1) if seq not in ledger["punches"])
        # The chain from the nearest place before `last` where a message begins.
        at = max(seq for seq in ledger["before"] if seq <= last)
        head = bytes.fromhex(ledger["before"][at])
        for seq in range(at, last + 1):
            head = hashlib.sha256(head + canonical(link(ledger["punches"][seq]))).digest()
        lines.append(f"ledger   {begun} of {ledger['serial']}: {first} to {last}, {missing} missing")
        lines.append(f"head     {head.hex()}")
    return lines


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: proof.py TERMINAL DAY [GATEWAY] < messages.jsonl")
    messages = [json.loads(line) for line in sys.stdin.buffer if line.strip()]
    print("\n".join(proof(messages, *sys.argv[1:])))


if __name__ == "__main__":
    main()
