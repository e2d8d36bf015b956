"""Our driver against pymodbus' server: over Modbus TCP, and on a serial line made of two pseudo terminals."""

import asyncio
import os
import pty
import struct
import subprocess
import threading
import tty

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer


def check(name, good):
    print("ok" if good else "not ok", name, flush=True)


EVENTS = [(41, 1024, 1795165111, 0, 2), (42, 4000000001, 1795165171, 1, 15), (43, 7, 1795165172, 0, 1)]
WANTED = [
    '{"person":"1024","local":"2026-11-20T08:58:31","native":"41","direction":"in","verify":"card"}',
    '{"person":"4000000001","local":"2026-11-20T08:59:31","native":"42","direction":"out","verify":"face"}',
    '{"person":"7","local":"2026-11-20T08:59:32","native":"43","direction":"in","verify":"finger"}',
]


class Memory(ModbusSequentialDataBlock):
    """The registers of `event-fifo`; a write of the tail moves the window."""

    def __init__(self):
        super().__init__(0, [0] * 0x400)
        self.tail = 0
        self.acks = []
        self.show()

    def show(self):
        words = [len(EVENTS), self.tail, 0, 1]
        # pymodbus counts the addresses of its blocks from 1.
        super().setValues(0x101, words)
        window = []
        for seq, card, at, direction, verify in EVENTS[self.tail :]:
            window += [seq, *struct.unpack(">4H", struct.pack(">II", card, at)), 1, direction, verify]
        super().setValues(0x201, (window + [0] * 80)[:80])

    def setValues(self, address, values):
        if address == 0x111:
            self.acks.append(values[0])
            self.tail = values[0]
            self.show()
            return None
        return super().setValues(address, values)


def read(address, unit):
    """What the driver stores, then how it ended."""
    process = subprocess.run(
        [os.environ["MODBUS_READ"], address, str(unit), "event-fifo", str(len(EVENTS))],
        capture_output=True, text=True, timeout=60,
    )
    return process.stdout.split("\n")[:-1], process.stderr


def context(memory, unit):
    return ModbusServerContext(devices={unit: ModbusDeviceContext(hr=memory, ir=memory)}, single=False)


def serve(start):
    threading.Thread(target=lambda: asyncio.run(start()), daemon=True).start()


def compare(name, memory, address, unit):
    lines, errors = read(address, unit)
    check(f"{name}: three events as they are", lines == WANTED)
    check(f"{name}: acknowledged once, to the end", memory.acks == [len(EVENTS)])
    if lines != WANTED:
        print("\n".join(lines), errors, memory.acks)


memory = Memory()
serve(lambda: StartAsyncTcpServer(context(memory, 17), address=("127.0.0.1", 15020)))
compare("pymodbus over TCP", memory, "tcp://127.0.0.1:15020", 17)


def pair():
    """Two pseudo terminals with a wire between them."""
    (first, first_end), (second, second_end) = pty.openpty(), pty.openpty()
    for end in (first_end, second_end):
        tty.setraw(end)

    def carry(source, target):
        while True:
            os.write(target, os.read(source, 256))

    for wire in ((first, second), (second, first)):
        threading.Thread(target=carry, args=wire, daemon=True).start()
    return os.ttyname(first_end), os.ttyname(second_end)


here, there = pair()
memory = Memory()
serve(lambda: StartAsyncSerialServer(context(memory, 3), port=there, baudrate=19200))
compare("pymodbus on a serial line", memory, f"serial://{here}?baud=19200", 3)
