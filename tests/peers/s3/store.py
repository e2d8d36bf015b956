"""Backups in moto's object store: what boto3 finds there, what is told when it refuses, and what comes back from it."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import boto3
import botocore.config

WORK = sys.argv[1]
PUNCHGATE, TERMINAL = os.environ["PUNCHGATE"], os.environ["ZK_TERMINAL"]
BUCKET, PREFIX, RECORDS = "punchgate-backups", "acme/sz-03", 400
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"], "Resource": f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": f"arn:aws:s3:::{BUCKET}"},
    ],
}


def at(*names):
    return os.path.join(WORK, *names)


def written(text, *names):
    os.makedirs(os.path.dirname(at(*names)), exist_ok=True)
    with open(at(*names), "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(at(*names), 0o600)
    return at(*names)


def check(name, good, seen=""):
    print(f"ok {name}" if good else f"not ok {name}: {seen}", flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, limit=60):
    late = time.monotonic() + limit
    while time.monotonic() < late:
        try:
            if found := what():
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.2)
    raise TimeoutError(what)


def certificate():
    """One that signs itself, for the host that the store is asked by."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=store".split()
    more = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", at("store.key"), "-out", at("store.pem")]
    subprocess.run(["openssl", *words, *more], check=True, capture_output=True)


class Store:
    """moto's server. The first calls need no rights: they make the bucket and who may use it."""

    def __init__(self):
        certificate()
        self.port = free_port()
        words = ["moto_server", "-H", "127.0.0.1", "-p", str(self.port), "-s", "-c", at("store.pem"), "-k", at("store.key")]
        with open(at("store.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "6"})
        until(lambda: socket.create_connection(("127.0.0.1", self.port), 1))
        root = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        iam = self.client("iam", **root)
        self.client("s3", **root).create_bucket(Bucket=BUCKET)
        self.key, self.stranger = [self.user(iam, name) for name in ("gateway", "stranger")]
        iam.put_user_policy(UserName="gateway", PolicyName="own", PolicyDocument=json.dumps(POLICY))
        self.s3 = self.client("s3", aws_access_key_id=self.key[0], aws_secret_access_key=self.key[1])

    @staticmethod
    def user(iam, name):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def client(self, service, **keys):
        config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client(service, endpoint_url=self.url(), verify=at("store.pem"), region_name="us-east-1", config=config, **keys)

    def url(self, port=None):
        return f"https://localhost:{port or self.port}"

    def names(self, below):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{below}/")
        return [one["Key"].removeprefix(f"{PREFIX}/{below}/") for page in pages for one in page.get("Contents", [])]

    def get(self, name):
        return self.s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}")["Body"].read()

    def put(self, name, data):
        self.s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=data)

    def delete(self, name):
        self.s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}")


class Gateway:
    """A state folder with punches in it, and a config that sends backups to the store."""

    def __init__(self, store):
        self.store = store
        keygen = subprocess.run([PUNCHGATE, "backup", "keygen", at("identity.key")], check=True, capture_output=True, text=True)
        self.recipient = keygen.stdout.split()[0]
        self.config = at("gateway", "config.toml")
        self.write()
        self.fill()

    def write(self, port=None, **changes):
        written(self.store.key[1] + "\n", "gateway", "backup.secret")
        keys = {
            "target": f"s3://{BUCKET}/{PREFIX}",
            "endpoint": self.store.url(port),
            "access_key_id": self.store.key[0],
            "secret_access_key_file": "backup.secret",
            "ca_file": at("store.pem"),
        } | changes
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None)
        written(
            f"""[gateway]
id = "sz-03"
tenant = "acme"
zone = "UTC"
state_dir = {json.dumps(at("gateway", "state"))}
[mqtt]
url = "mqtt://127.0.0.1:1"
[spool]
min_free = "1MiB"
segment = "64KiB"
[backup]
recipients = ["{self.recipient}"]
keep = 2
{lines}
[[terminal]]
name = "front-door"
driver = "zk"
address = "tcp://127.0.0.1:{TERMINAL_PORT}"
""",
            "gateway",
            "config.toml",
        )

    def fill(self):
        """Its daemon reads a terminal's log."""
        terminal = subprocess.Popen([TERMINAL, "--port", str(TERMINAL_PORT), "--records", str(RECORDS)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        environment = os.environ | {"RUNTIME_DIRECTORY": at("gateway")}
        with open(at("daemon.log"), "w", encoding="utf-8") as log:
            daemon = subprocess.Popen([PUNCHGATE, "run", "--config", self.config], stdout=log, stderr=log, env=environment)
        until(lambda: self.punches(at("gateway", "state")) == RECORDS)
        for process in (daemon, terminal):
            process.terminate()
            process.wait(20)

    @staticmethod
    def punches(state):
        said = subprocess.run([PUNCHGATE, "journal", "verify", "--state-dir", state, "--json"], capture_output=True, text=True)
        return json.loads(said.stdout)["punches"] if said.stdout else 0

    def run(self, *words, **environment):
        """Exit code, the answer when it is one, and everything that was said."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        said = subprocess.run([PUNCHGATE, *words, "--json"], capture_output=True, text=True, env=plain | environment, timeout=300)
        answers = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
        return said.returncode, answers, said.stdout + said.stderr

    def backup(self, *words):
        return self.run("backup", "--config", self.config, *words)

    def elsewhere(self, *words):
        """On another machine, which has no config."""
        return self.run(
            *words,
            AWS_ACCESS_KEY_ID=self.store.key[0],
            AWS_SECRET_ACCESS_KEY=self.store.key[1],
            AWS_ENDPOINT_URL=self.store.url(),
            AWS_CA_BUNDLE=at("store.pem"),
        )

    def export(self, state):
        said = subprocess.run([PUNCHGATE, "journal", "export", "--state-dir", state], check=True, capture_output=True, text=True)
        return sorted(json.loads(line)["id"] for line in said.stdout.splitlines())


class Cutting:
    """Between gateway and store: of each three connections the first is cut in its middle."""

    def __init__(self, port):
        self.there, self.number = port, 0
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            here, _ = self.door.accept()
            there = socket.create_connection(("127.0.0.1", self.there))
            self.number += 1
            # Behind the handshake, and before the end of the first object.
            left = [6000 if self.number % 3 == 1 else 1 << 40]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self.pump, args=(one, other, left), daemon=True).start()

    @staticmethod
    def pump(one, other, left):
        try:
            while data := one.recv(1024):
                left[0] -= len(data)
                if left[0] < 0:
                    break
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


TERMINAL_PORT = free_port()
TARGET = f"s3://{BUCKET}/{PREFIX}"


def what_goes_there(store, gateway):
    code, told, said = gateway.backup("--identity", at("identity.key"))
    check("a backup goes there and is read back", code == 0 and told[0]["target"] == TARGET, said)
    names = store.names("objects")
    good = [hashlib.sha256(store.get(f"objects/{name}")).hexdigest() + ".age" == name for name in names]
    check("boto3 finds each object under the hash of its bytes", good and all(good) and len(names) == told[0]["sent"], said)
    manifest = store.get(f"backups/{told[0]['backup']}.json")
    listed = json.loads(manifest.splitlines()[0])
    named = {one["sha256"] + ".age" for one in [*listed["objects"], listed["contents"]]}
    check("and the list names them", named == set(names), manifest[:300])
    code, again, said = gateway.backup()
    check("what is there is not sent again", code == 0 and again[0]["sent"] == 1 and again[0]["reused"] == told[0]["sent"] - 1, said)
    code, third, said = gateway.backup()
    left = store.names("backups")
    kept = sorted(f"{one[0]['backup']}.json" for one in (again, third))
    check("older ones go, with what nothing names", code == 0 and left == kept and len(store.names("objects")) == len(names) + 1, f"{left} {said}")


def what_comes_back(store, gateway):
    code, told, said = gateway.elsewhere("backup", "list", TARGET)
    check("another machine lists them, told by the environment", code == 0 and len(told) == 2, said)
    code, told, said = gateway.elsewhere("backup", "verify", TARGET, "--identity", at("identity.key"))
    check("and reads the newest whole", code == 0 and told[0]["punches"] == RECORDS, said)
    words = ["restore", TARGET, "--identity", at("identity.key"), "--config-dir", at("blank", "etc"), "--state-dir", at("blank", "state")]
    os.makedirs(at("blank"))
    _, told, said = gateway.elsewhere(*words)
    same = gateway.export(at("blank", "state")) == gateway.export(at("gateway", "state"))
    check("a blank machine has every punch again", told and told[0]["punches"] == RECORDS and same, said)
    check("and the secret of its own access key", os.path.exists(at("blank", "etc", "backup.secret")), said)


def what_is_refused(store, gateway):
    def refused(name, words, **changes):
        gateway.write(**changes)
        code, _, said = gateway.backup()
        check(name, code != 0 and words in said and store.key[1] not in said, f"{code} {said}")
        gateway.write()

    refused("another's key may nothing there", "may not do that", access_key_id=store.stranger[0], secret_access_key_file=written(store.stranger[1], "gateway", "stranger"))
    refused("a wrong secret is told", "the secret is not that of the access key", secret_access_key_file=written("wrong", "gateway", "wrong"))
    refused("an unknown key is told", "does not know this access key", access_key_id="AKIAQQQQQQQQQQQQQQQQ")
    # moto judges rights first, and lets nobody look whether there is such a bucket.
    refused("a bucket that is not there is told", "nobodys-bucket", target="s3://nobodys-bucket/sz-03")
    refused("a store that nobody vouches for is told", "certificate", ca_file=None)
    refused("nobody listens", "refused", endpoint=f"https://localhost:{free_port()}")
    refused("without TLS nothing is sent", "without TLS", endpoint="http://store.example:9000")
    code, _, said = gateway.run("backup", "list", TARGET)
    check("without a key it says which to give", code != 0 and "AWS_ACCESS_KEY_ID" in said, said)
    code, _, said = gateway.elsewhere("backup", "list", f"s3://{BUCKET}/acme/nobody")
    check("a place with nothing in it lists nothing", code == 0 and not said.strip(), said)


def what_was_spoilt(store, gateway):
    verify = lambda: gateway.elsewhere("backup", "verify", TARGET, "--identity", at("identity.key"))
    manifest = json.loads(store.get("backups/" + store.names("backups")[-1]).splitlines()[0])
    largest = max(manifest["objects"], key=lambda one: one["bytes"])
    name = f"objects/{largest['sha256']}.age"
    data = store.get(name)
    for how, bent, words in [
        ("a changed byte", data[:100] + bytes([data[100] ^ 1]) + data[101:], "is not what was"),
        ("a cut-off end", data[:-1], "is not what was"),
        ("one byte more", data + b"!", "longer"),
        ("nothing", None, "missing"),
    ]:
        store.delete(name) if bent is None else store.put(name, bent)
        code, _, said = verify()
        check(f"{how} is found", code != 0 and words in said, said)
    code, told, said = gateway.backup("--read-all")
    check("and the next backup sends it anew", code == 0 and verify()[0] == 0, said)


def what_breaks_on_the_way(store, gateway):
    cutting = Cutting(store.port)
    target = f"s3://{BUCKET}/{PREFIX}"
    for name in store.names("objects"):
        store.delete(f"objects/{name}")
    gateway.write(port=cutting.port, target=target)
    code, told, said = gateway.backup()
    gateway.write()
    code_of, whole, seen = gateway.elsewhere("backup", "verify", TARGET, "--identity", at("identity.key"))
    good = code == 0 and code_of == 0 and whole[0]["punches"] == RECORDS
    check(f"lines that break are mended: {(cutting.number + 2) // 3} of {cutting.number} were cut", good and cutting.number > 1, said + seen)


def main():
    store = Store()
    try:
        gateway = Gateway(store)
        for part in (what_goes_there, what_comes_back, what_is_refused, what_was_spoilt, what_breaks_on_the_way):
            part(store, gateway)
    finally:
        store.process.terminate()


main()
