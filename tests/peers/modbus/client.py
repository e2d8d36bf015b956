"""pymodbus as a client of the simulated terminals, over Modbus TCP, RTU behind a serial server, and a serial line."""

import os
import subprocess

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient


def check(name, good):
    print("ok" if good else "not ok", name, flush=True)


class Terminal:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [os.environ["MODBUS_TERMINAL"], *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().split()[-1]

    def say(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def client_of(terminal, framer):
    if terminal.address.startswith("serial://"):
        path = terminal.address.removeprefix("serial://").split("?")[0]
        return ModbusSerialClient(path, baudrate=115200, timeout=3)
    host, port = terminal.address.removeprefix("tcp://").split(":")
    return ModbusTcpClient(host, port=int(port), framer=framer, timeout=3)


def fifo(name, client, terminal):
    for person in (1024, 70000):
        terminal.say(f"punch 1 {person}")
    status = client.read_holding_registers(0x100, count=4, device_id=1).registers
    check(f"{name}: two events wait", status[:3] == [2, 0, 0])
    words = client.read_holding_registers(0x200, count=16, device_id=1).registers
    cards = [words[at + 1] << 16 | words[at + 2] for at in (0, 8)]
    check(f"{name}: cards and numbers", cards == [1024, 70000] and [words[0], words[8]] == [1, 2])
    client.write_register(0x110, 1, device_id=1)
    status = client.read_holding_registers(0x100, count=2, device_id=1).registers
    check(f"{name}: one acknowledged", status == [2, 1] and "1 waiting, 1 forgotten" in terminal.say("state 1 0"))
    check(f"{name}: a tail from nowhere is refused", client.write_register(0x110, 9, device_id=1).isError())
    client.write_coil(0, True, device_id=1)
    check(f"{name}: a door", client.read_coils(0, count=1, device_id=1).bits[0])
    refused = client.read_holding_registers(0x4000, count=1, device_id=1)
    check(f"{name}: no such address is exception 2", refused.isError() and refused.exception_code == 2)
    other = client.read_holding_registers(0x100, count=2, device_id=2).registers
    check(f"{name}: the neighbour has its own", other == [0, 0])


for name, options, framer in (
    ("tcp", ["--units", "2"], FramerType.SOCKET),
    ("rtu over tcp", ["--units", "2", "--rtu"], FramerType.RTU),
    ("serial", ["--units", "2", "--serial"], None),
):
    with Terminal(*options) as terminal:
        client = client_of(terminal, framer)
        check(f"{name}: connects", client.connect())
        fifo(name, client, terminal)
        client.close()
