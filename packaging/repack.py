"""Packs the files of a package more tightly, by a filter for its processor's instructions: repack.py DEB

A twentieth of the package, which cargo-deb does not do. Every dpkg with liblzma reads it. A processor without such a filter here is
left as it is.
"""

import lzma
import subprocess
import sys

MAGIC = b"!<arch>\n"
HEAD = 60
FILTERS = {"amd64": lzma.FILTER_X86}
# So much memory does an installation need for it.
WINDOW = 16 << 20


def members(deb):
    """Heads and bytes of what is in an ar archive."""
    at = len(MAGIC)
    while at < len(deb):
        head, size = deb[at : at + HEAD], int(deb[at + 48 : at + 58])
        yield head, deb[at + HEAD : at + HEAD + size]
        at += HEAD + size + size % 2


def main():
    path = sys.argv[1]
    arch = subprocess.run(["dpkg-deb", "--field", path, "Architecture"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if arch not in FILTERS:
        return
    with open(path, "rb") as file:
        deb = file.read()
    if not deb.startswith(MAGIC):
        sys.exit(f"{path} is no package")
    out = bytearray(MAGIC)
    for head, data in members(deb):
        if head.startswith(b"data.tar.xz"):
            chain = [{"id": FILTERS[arch]}, {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": WINDOW}]
            data = lzma.compress(lzma.decompress(data), filters=chain)
            head = head[:48] + b"%-10d" % len(data) + head[58:]
        out += head + data + b"\n" * (len(data) % 2)
    with open(path, "wb") as file:
        file.write(out)


main()
