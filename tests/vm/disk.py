"""A disk whose power can be cut: what the guest wrote and did not flush is lost, or some of it, sector by sector.

A server of the NBD protocol (fixed newstyle, simple replies), to which QEMU connects its virtio disk. Writes are kept here in
memory until the guest flushes; only then do they reach the file, as a disk's own cache does. Killing QEMU alone would lose
nothing: its writes would lie in the cache of the host.
"""

import os
import random
import socket
import struct
import threading

BLOCK = 4096
SECTOR = 512
READ, WRITE, DISC, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
# It has flags, takes flushes, and writes that are to be durable by themselves.
FLAGS = 1 | 4 | 8
FUA = 1


class Disk:
    """The file, and what was not flushed into it."""

    def __init__(self, path, listen_at):
        self.file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        self.waiting = {}  # block -> its bytes
        self.lock = threading.Lock()
        self.is_cut = False
        self.fuse = None  # writes until the power goes, and what chance says then
        self.told = (0, 0)
        self.gone = threading.Event()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(listen_at)
        self.server.listen(1)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seed):
        """The power goes now; how many sectors that were not flushed were lost, and how many had got through."""
        with self.lock:
            if not self.is_cut:
                self._cut(seed)
        return self.told

    def cut_after(self, writes, seed):
        """The power goes right after so many more writes, before they are flushed: `gone` is set then."""
        with self.lock:
            self.fuse = (writes, seed)

    def _cut(self, seed):
        """Of each sector that was not flushed chance says whether it had reached the disk by itself."""
        chance = random.Random(seed)
        share = chance.choice([0.0, 0.0, 0.3, 0.7])
        self.is_cut, self.fuse = True, None
        kept = 0
        for block, data in self.waiting.items():
            for at in range(0, BLOCK, SECTOR):
                if chance.random() < share:
                    os.pwrite(self.file, data[at : at + SECTOR], block * BLOCK + at)
                    kept += 1
        self.told = (len(self.waiting) * (BLOCK // SECTOR) - kept, kept)
        self.waiting.clear()
        self.gone.set()

    def plug_in(self):
        with self.lock:
            self.is_cut, self.fuse = False, None
            self.gone.clear()

    def close(self):
        self.server.close()
        with self.lock:
            self._flush()

    def _flush(self):
        for block, data in self.waiting.items():
            os.pwrite(self.file, data, block * BLOCK)
        self.waiting.clear()

    def _block(self, block):
        found = self.waiting.get(block)
        return found if found is not None else os.pread(self.file, BLOCK, block * BLOCK)

    def read(self, offset, length):
        with self.lock:
            first, last = offset // BLOCK, (offset + length - 1) // BLOCK
            if not any(block in self.waiting for block in range(first, last + 1)):
                return os.pread(self.file, length, offset)
            whole = b"".join(self._block(block) for block in range(first, last + 1))
            return whole[offset - first * BLOCK :][:length]

    def write(self, offset, data, is_durable):
        with self.lock:
            if self.is_cut:
                raise OSError("there is no power")
            while data:
                block, at = divmod(offset, BLOCK)
                part, data = data[: BLOCK - at], data[BLOCK - at :]
                whole = bytearray(self._block(block))
                whole[at : at + len(part)] = part
                self.waiting[block] = bytes(whole)
                if is_durable:
                    os.pwrite(self.file, self.waiting.pop(block), block * BLOCK)
                offset += len(part)
            if self.fuse and not is_durable:
                left, seed = self.fuse
                self.fuse = (left - 1, seed)
                if left <= 1:
                    self._cut(seed)

    def flush(self):
        with self.lock:
            if self.is_cut:
                raise OSError("there is no power")
            self._flush()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        stream = client.makefile("rwb")
        try:
            if self._agree(stream):
                while self._answer(stream):
                    pass
        except (OSError, EOFError, struct.error):
            pass  # QEMU is gone
        finally:
            client.close()

    def _agree(self, stream):
        """What precedes the transmission: the size is told, every other wish is refused."""
        stream.write(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        stream.flush()
        exactly(stream, 4)
        while True:
            _, option, length = struct.unpack(">8sII", exactly(stream, 16))
            exactly(stream, length)
            reply = lambda kind, data=b"": stream.write(
                struct.pack(">QIII", 0x0003E889045565A9, option, kind, len(data)) + data
            )
            if option == 7:  # GO
                reply(3, struct.pack(">HQH", 0, self.size, FLAGS))
                reply(1)
            elif option == 2:  # ABORT
                reply(1)
            else:
                reply(0x80000001)
            stream.flush()
            if option in (2, 7):
                return option == 7

    def _answer(self, stream):
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", exactly(stream, 28))
        if magic != 0x25609513:
            return False
        data = exactly(stream, length) if kind == WRITE else b""
        out, error = b"", 0
        try:
            if kind == READ:
                out = self.read(offset, length)
            elif kind == WRITE:
                self.write(offset, data, flags & FUA)
            elif kind == ZEROES:
                self.write(offset, bytes(length), flags & FUA)
            elif kind == FLUSH:
                self.flush()
            elif kind == DISC:
                return False
            elif kind != TRIM:
                error = 22
        except OSError:
            error = 5
        stream.write(struct.pack(">IIQ", 0x67446698, error, handle) + out)
        stream.flush()
        return True


def exactly(stream, length):
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
