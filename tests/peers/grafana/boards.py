#!/usr/bin/env python3
"""Reads our dashboards into Grafana's own types and writes them again: what its SDK does not know is lost on the way, and told.

    boards.py FILE...

Each check is a line `ok NAME` or `not ok NAME`; exit code 1 after the latter.
"""

import copy
import json
import pathlib
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(ours, theirs, at=""):
    """What stands in ours and not, or otherwise, in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{at}/{key}")
            else:
                yield f"{at}/{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{at}/{number}")
    elif ours != theirs:
        yield f"{at}: {ours!r} and {theirs!r}"


def through_grafana(board):
    return json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(board)), cls=JSONEncoder))


def main(files):
    plugins.register_default_plugins()
    well = True
    for file in map(pathlib.Path, files):
        board = json.loads(file.read_text(encoding="utf-8"))
        found = list(lost(board, through_grafana(board)))
        well &= not found and len(board["panels"]) > 5
        print(f"{'not ok' if found else 'ok'} {file.name} is what Grafana's types know", *found[:20], sep="\n    " if found else "")
        # It would notice.
        bent = copy.deepcopy(board)
        bent["panels"][0]["gridpos"] = bent["panels"][0].pop("gridPos")
        seen = "/panels/0/gridpos" in list(lost(bent, through_grafana(bent)))
        well &= seen
        print(f"{'ok' if seen else 'not ok'} a misspelt key of {file.name} is noticed")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
