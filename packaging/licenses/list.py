"""Puts the licences together of what is in the program: list.py FOUND TREE

FOUND is what `cargo about generate --format json` says. It looks at the workspace, in which the demo and its broker are switched on.
TREE has a line `name vVERSION` for each crate that is in the program, as `cargo tree --format '{p}'` says. What a crate carries
inside, such as a library in C, has its licence deeper in its folders: that is looked for here.
"""

import json
import pathlib
import sys

DEEPER = ("licence", "license", "copying", "notice")
LINE = 80


def section(heads, text):
    print("\n" + "=" * LINE)
    for head in heads:
        print(head)
    print("-" * LINE)
    print(text.strip("\n"))


def main():
    found, tree = sys.argv[1:]
    with open(tree, encoding="utf-8") as file:
        wanted = {(words[0], words[1].removeprefix("v")) for words in map(str.split, file) if words}
    with open(found, encoding="utf-8") as file:
        licenses = json.load(file)["licenses"]
    named, folders = set(), {}
    print("Punchgate is under the Apache License 2.0. It contains the following works of others.")
    for license in sorted(licenses, key=lambda it: (it["name"], it["text"])):
        crates = [user["crate"] for user in license["used_by"]]
        crates = [it for it in crates if (it["name"], it["version"]) in wanted]
        named.update((it["name"], it["version"]) for it in crates)
        # Ours are under the licence of the package itself.
        crates = [it for it in crates if it["source"]]
        for it in crates:
            folders[it["name"], it["version"]] = pathlib.Path(it["manifest_path"]).parent
        if crates:
            section([license["name"]] + sorted({f"  {it['name']} {it['version']}" for it in crates}), license["text"])
    for (name, version), folder in sorted(folders.items()):
        for path in sorted(folder.glob("*/**/*")):
            if path.name.lower().startswith(DEEPER) and path.is_file() and path.suffix not in (".rs", ".py", ".c", ".h"):
                inside = path.relative_to(folder)
                section([f"carried inside of {name} {version}: {inside}"], path.read_text(encoding="utf-8", errors="replace"))
    if missing := wanted - named:
        sys.exit(f"no licence is known of {sorted(missing)}")


main()
