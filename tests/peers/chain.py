#!/usr/bin/env python3
"""Recomputes the chain of punches from MQTT payloads alone: one JSON message a line, in any order.

    mosquitto_sub ... -t 'punchgate/1/+/+/punch/+' > messages.jsonl; chain.py < messages.jsonl

Ends with 0 when every ledger is whole from its first punch on, with 1 when something is missing or was changed.
Standard library only, so that anybody can read and run it.
"""
import hashlib
import json
import sys


def canonical(value):
    """RFC 8785 for what a link holds: texts, whole numbers, null, one object. json escapes control characters with
    \\u00xx in lower case and knows the short forms, which is what the RFC asks for; keys are ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")


def link(punch):
    return {
        "seq": punch["seq"],
        "id": punch["id"],
        "person": punch["person"],
        "local": punch["local"],
        "direction": punch["direction"]["raw"],
        "verify": punch["verify"]["raw"],
    }


def check(messages):
    ledgers, problems, count = {}, [], 0
    for message in messages:
        _, _, tenant, gateway = message["source"].split(":", 3)
        data = message["data"]
        name = f"{tenant}/{gateway}/{data['terminal']}/{data['ledger']}"
        ledgers.setdefault(name, {})[(data["first"], data["last"])] = data
    for name, segments in sorted(ledgers.items()):
        head, due = hashlib.sha256(name.encode("utf-8")).digest(), 1
        heads = {0: head}
        for (first, last), data in sorted(segments.items()):
            if first > due:
                problems.append(f"{name}: punches {due} to {first - 1} are missing")
                heads[first - 1] = bytes.fromhex(data["prev"])
            head = heads[first - 1]
            if data["prev"] != head.hex():
                problems.append(f"{name}: the chain before {first} is not the one after {first - 1}")
            if [punch["seq"] for punch in data["punches"]] != list(range(first, last + 1)):
                problems.append(f"{name}: segment {first}-{last} does not hold these numbers")
                continue
            for punch in data["punches"]:
                head = hashlib.sha256(head + canonical(link(punch))).digest()
                heads[punch["seq"]] = head
            if data["head"] != head.hex():
                problems.append(f"{name}: the chain after {last} is not what its punches give")
            due = max(due, last + 1)
        count += due - 1
    return count, problems


def main():
    # Bytes, so that the machine's locale has no say.
    count, problems = check([json.loads(line) for line in sys.stdin.buffer if line.strip()])
    for problem in problems:
        print(problem)
    print(f"{count} punches, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
