"""A broker outside of the machine, where a cut of its power does not reach it, and the account of what arrives there."""

import json
import os
import subprocess
import threading
import time

from machine import free_port

TOPIC = "punchgate/1/acme/vm/punch/+"


def run(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout


class Broker:
    """mosquitto, and a subscriber that shares no code with the gateway."""

    def __init__(self, folder):
        self.port, self.plain = free_port(), free_port()
        self.ids = {}  # person -> the ids under which a punch of that person arrived
        self.again = 0
        self.lock = threading.Lock()
        certificates(folder)
        config = os.path.join(folder, "broker.conf")
        with open(config, "w", encoding="utf-8") as to:
            to.write(
                f"user root\nallow_anonymous true\nmax_queued_messages 0\nlistener {self.plain} 127.0.0.1\n"
                f"listener {self.port} 127.0.0.1\ncafile {folder}/ca.pem\ncertfile {folder}/broker.pem\n"
                f"keyfile {folder}/broker.key\nrequire_certificate true\n"
            )
        self.process = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
        time.sleep(1)
        # It comes back by itself, but its session is the broker's to keep: no cut outside of the machine is part of this test.
        words = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.plain), "-q", "1", "-t", TOPIC]
        self.reader = subprocess.Popen(words, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.reader.stdout:
            for punch in json.loads(line)["data"]["punches"]:
                with self.lock:
                    ids = self.ids.setdefault(punch["person"], set())
                    self.again += punch["id"] in ids
                    ids.add(punch["id"])

    def missing(self, persons):
        with self.lock:
            return [person for person in persons if person not in self.ids]

    def twins(self):
        """Persons of whom one punch, the only one there is, arrived under two ids."""
        with self.lock:
            return [person for person, ids in self.ids.items() if len(ids) > 1]

    def forged(self, is_known):
        with self.lock:
            return [person for person in self.ids if not is_known(person)]

    def close(self):
        for process in (self.reader, self.process):
            process.terminate()
            process.wait()


def certificates(folder):
    """A CA, one certificate for the brokers and one for the gateway."""
    at = lambda name: os.path.join(folder, name)
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"]
    ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    run(*new, "-x509", "-subj", "/CN=vm CA", "-keyout", at("ca.key"), "-out", at("ca.pem"), *ca)
    for name, subject, names in [("broker", "broker.vm", "DNS:broker.vm,DNS:broker.example"), ("gateway", "vm", "DNS:vm")]:
        run(*new, "-subj", f"/CN={subject}", "-keyout", at(f"{name}.key"), "-out", at(f"{name}.csr"))
        with open(at(f"{name}.ext"), "w", encoding="utf-8") as to:
            to.write(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        sign = ["openssl", "x509", "-req", "-in", at(f"{name}.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key")]
        run(*sign, "-CAcreateserial", "-days", "90", "-extfile", at(f"{name}.ext"), "-out", at(f"{name}.pem"))
