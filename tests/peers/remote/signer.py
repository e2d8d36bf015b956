"""jwcrypto, a signer that is not ours: what it signs is taken, what is bent is not."""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import time

from jwcrypto import jwk, jws


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_id(public):
    digest = hashlib.sha256(public).digest()[:16]
    return base64.b32encode(digest).rstrip(b"=").decode().lower()


def uuid7():
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (2 << 62)
    text = f"{value:032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


KEYS = [jwk.JWK.generate(kty="OKP", crv="Ed25519") for _ in range(2)]
PUBLIC = [base64.urlsafe_b64decode(key.export_public(as_dict=True)["x"] + "=") for key in KEYS]


def order(**changes):
    now = int(time.time())
    payload = {"v": 1, "id": uuid7(), "gateway": "sz-03", "tenant": "acme", "iat": now, "exp": now + 60}
    payload |= {"cmd": "health", "args": {}, "reason": "signed in Python"}
    return payload | changes


def signed(payload, keys=(0,), **header):
    token = jws.JWS(json.dumps(payload).encode())
    for number in keys:
        protected = {"alg": "EdDSA", "kid": key_id(PUBLIC[number]), "typ": "punchgate-cmd+jws"} | header
        token.add_signature(KEYS[number], None, json.dumps(protected))
    told = json.loads(token.serialize())
    if "signatures" not in told:  # one signature: it writes the flattened form
        told = {"payload": told["payload"], "signatures": [{k: told[k] for k in ("protected", "signature")}]}
    return told


def judged(lines):
    public = "ed25519:" + b64(PUBLIC[0])
    text = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    run = subprocess.run([os.environ["ORDER_READER"], public], input=text, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def check(name, good, seen):
    print(f"ok jwcrypto: {name}" if good else f"not ok jwcrypto: {name} {seen}", flush=True)


GOOD = {
    "one signature": signed(order()),
    "two signatures": signed(order(), keys=(0, 1)),
    "a terminal, arguments and a challenge": signed(
        order(cmd="terminal.unlock", terminal="front-door", args={"door": 1, "seconds": 5}, chal=b64(secrets.token_bytes(32)))
    ),
    "letters of all the world": signed(order(reason="周一缺卡 — Zürich")),
}
bent = signed(order())
signature = bytearray(base64.urlsafe_b64decode(bent["signatures"][0]["signature"] + "=="))
signature[3] ^= 1
BAD = {
    "a changed signature": {**bent, "signatures": [{**bent["signatures"][0], "signature": b64(bytes(signature))}]},
    "another's signature alone": signed(order(), keys=(1,)),
    "another type": signed(order(), typ="JWT"),
    "one header more": signed(order(), cty="json"),
    "one member more": signed(order(sudo=True)),
    "a fraction of a second": signed(order(iat=1.5)),
    "the flattened form": {"payload": bent["payload"], **bent["signatures"][0]},
}
for (name, _), answer in zip(GOOD.items(), judged(json.dumps(it) for it in GOOD.values())):
    check(f"{name} is taken", answer.startswith("good "), answer)
for (name, _), answer in zip(BAD.items(), judged(json.dumps(it) for it in BAD.values())):
    check(f"{name} is not taken", answer.startswith("bad "), answer)
