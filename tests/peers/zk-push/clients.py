"""Clients that are not ours push to the driver: what it stores is what they recorded, once."""

import json
import os
import subprocess
import threading
from datetime import datetime, timedelta

import requests
from fingerprint_attendance.testing.simulator import ADMSDeviceSimulator
from zkteco_lan_agent.server_client import ServerClient

from checks import check, free_port, until

FIRMWARES = ["legacy", "push2", "biodata"]
START = datetime(2026, 11, 2, 8, 0)


class Receiver:
    """The driver as a process; its lines are kept."""

    def __init__(self, serials):
        self.address = f"127.0.0.1:{free_port()}"
        program = os.path.join(os.environ["EXAMPLES"], "zk-push-receiver")
        self.process = subprocess.Popen([program, self.address, *serials], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()
        until("the driver listens", 20, self.answers)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def answers(self):
        try:
            return requests.get(f"http://{self.address}/", timeout=5).status_code == 400
        except requests.ConnectionError:
            return False

    def punches(self, serial):
        return [(line["person"], line["local"]) for line in self.lines if line.get("serial") == serial]

    def outcome(self, job):
        before = len(self.outcomes())
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        return lambda: self.outcomes()[before:]

    def outcomes(self):
        return [line["outcome"] for line in self.lines if "outcome" in line]


class Http:
    """As much of Django's test client as the simulated terminal uses, over a real socket."""

    def __init__(self, address):
        self.base = f"http://{address}"

    def get(self, path, params, REMOTE_ADDR):
        return requests.get(self.base + path, params=params, timeout=20)

    def post(self, path, data, content_type, REMOTE_ADDR):
        return requests.post(self.base + path, data=data, headers={"Content-Type": content_type}, timeout=20)


def simulated_terminals(receiver):
    for firmware in FIRMWARES:
        device = ADMSDeviceSimulator(Http(receiver.address), serial=f"PEER-{firmware}", firmware=firmware)
        options = device.handshake()
        check(f"{firmware}: options", ("1", "10"), (options.get("Realtime"), options.get("Delay")))
        for n in range(5):
            device.punch(str(1000 + n), START + timedelta(minutes=n))
        device.go_offline()
        for n in range(200):
            device.punch(f"{2000 + n}", START + timedelta(hours=1, seconds=n))
        device.go_online()
        check(f"{firmware}: everything was acknowledged", [], device.pending())
        device.enroll_at_device("1000", 6, b"template")
        device.uploaded = 0
        statuses = {response.status for response in device.upload_pending(batch_size=33)}
        check(f"{firmware}: sent again", {200}, statuses)
        wanted = sorted((punch.pin, punch.when.isoformat()) for punch in device.log)
        until(f"{firmware}: punches", 20, lambda: len(receiver.punches(device.serial)) >= len(wanted))
        check(f"{firmware}: stored once each", wanted, sorted(receiver.punches(device.serial)))
        device.upload_pending(corrupt_line=0)
        outcome = receiver.outcome(f"info {device.serial}")
        until(f"{firmware}: a command", 20, lambda: (device.run_commands() or True) and outcome())
        check(f"{firmware}: INFO is carried out", True, "INFO" in device.executed)
        told = outcome()[0]
        check(f"{firmware}: its result arrives", True, f"SIM-{firmware}" in told and '"records": Number(205)' in told)


def agent(receiver):
    client = ServerClient(f"http://{receiver.address}")
    check("agent: heartbeat", True, client.heartbeat("PEER-agent"))
    line = "7\t2026-11-22 08:00:00\t0\t1\t0\n"
    check("agent: push", [True, True], [client.push_cdata("PEER-agent", line, table="ATTLOG") for _ in range(2)])
    until("agent: the punch", 20, lambda: receiver.punches("PEER-agent"))
    check("agent: stored once", [("7", "2026-11-22T08:00:00")], receiver.punches("PEER-agent"))
    check("agent: a stranger is refused", False, client.push_cdata("STRANGER", line, table="ATTLOG"))
    outcome = receiver.outcome("users PEER-agent")
    command = until("agent: a command", 20, lambda: client.get_request("PEER-agent"))
    check("agent: the command is understood", "DATA QUERY USERINFO", command.cmd)
    check("agent: result", True, client.ack_command("PEER-agent", command.id))
    client.get_request("PEER-agent")
    until("agent: outcome", 20, outcome)


def main():
    receiver = Receiver([f"PEER-{firmware}" for firmware in FIRMWARES] + ["PEER-agent"])
    try:
        simulated_terminals(receiver)
        agent(receiver)
    finally:
        receiver.process.kill()


main()
