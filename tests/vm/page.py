"""A page of docs/ as whoever follows it reads it: the commands that it shows, and the screens that come of them."""

import re
from collections import namedtuple

# `screen` is empty where the page shows none.
Shown = namedtuple("Shown", "command screen")


def blocks(text):
    """Blocks that are indented by four, with the blank lines in them; `toml` ones are fenced, and no commands."""
    found, block, fenced = [], [], False
    for line in [*text.split("\n"), "end"]:
        if line.startswith("```"):
            fenced = not fenced
        if not fenced and (line.startswith("    ") or not line.strip() and block):
            block.append(line[4:])
        elif block:
            found.append("\n".join(block).rstrip())
            block = []
    return found


def shown(text):
    """Everything that the page tells one to type, in its order. A block without `$ ` is typed as it is, when it is commands."""
    found = []
    for block in blocks(text):
        if "$ " not in block:
            found += [Shown(part, []) for part in block.split("\n\n")]
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, screen = part.partition("\n")
            found.append(Shown(command, screen.rstrip().split("\n") if screen.strip() else []))
    return found


def config(text):
    """The config that the page shows."""
    return re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1)


def plain(line):
    """A line without what is another one each time: numbers, times, widths."""
    return re.sub(r"\s+", " ", re.sub(r"-?\d+(?:[.:T-]\d+)*Z?", "N", line)).strip()


def differences(screen, said):
    """Lines of a screen that were not said, in their order."""
    rest = [plain(line) for line in said.split("\n")]
    missing = []
    for line in filter(None, map(plain, screen)):
        if line in rest:
            rest = rest[rest.index(line) + 1 :]
        else:
            missing.append(line)
    return missing
