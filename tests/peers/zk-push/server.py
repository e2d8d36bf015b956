"""Our simulated terminals push to an ADMS server that is not ours: its database holds each punch once."""

import os
import subprocess
import sys

import django
from django.conf import settings
from django.core.management import call_command

from checks import check, free_port, until

DATABASE = os.path.join(os.environ["WORK"], "peer.sqlite3")

settings.configure(
    SECRET_KEY="for this run alone",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="fingerprint_attendance.urls",
    USE_TZ=True,
    TIME_ZONE="UTC",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE, "OPTIONS": {"timeout": 30}}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "fingerprint_attendance",
    ],
    FINGERPRINT_ATTENDANCE={
        "ADMS_REQUIRE_DEVICE_APPROVAL": False,
        "ADMS_ACCEPT_FROM_PENDING_DEVICES": True,
        "ADMS_RATE_LIMIT": None,
    },
)
django.setup()


def serve(port):
    call_command("runserver", f"127.0.0.1:{port}", use_reloader=False, use_threading=False, skip_checks=True)


def terminals(port, *arguments):
    program = os.path.join(os.environ["EXAMPLES"], "zk-push-terminal")
    return subprocess.run([program, f"127.0.0.1:{port}", *arguments], capture_output=True, text=True, timeout=120)


def main():
    from fingerprint_attendance.models import Device, Punch

    call_command("migrate", verbosity=0)
    port = free_port()
    server = subprocess.Popen([sys.executable, __file__, "serve", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("the server of others listens", 60, lambda: listens(port))
        for name, prefix, arguments in [("new connections", "NEW", []), ("open connections", "OPEN", ["--keep-alive"])]:
            run = terminals(port, "--serial", prefix, "--terminals", "2", "--backlog", "250", "--batch", "40",
                            "--punches", "5", "--every", "200", "--for", "90", *arguments)
            check(f"{name}: everything is acknowledged", (0, True), (run.returncode, "510 recorded, 510 acknowledged" in run.stdout))
            found = Punch.objects.filter(device__serial_number__startswith=prefix)
            check(f"{name}: each punch is stored once", 510, found.count())
        check("both handshakes registered", 4, Device.objects.count())
    finally:
        server.kill()


def listens(port):
    import socket

    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


if sys.argv[1:2] == ["serve"]:
    serve(sys.argv[2])
else:
    main()
