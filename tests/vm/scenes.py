"""What happens to a gateway box in its life, on a machine that boots: installed, watched, filled up, unplugged, upgraded, purged."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import broken
import exchanged
import followed
import installed
import restored
from life import Life
from machine import Failed

# Without these there is nothing to break.
FIRST = [
    installed.it_boots,
    installed.the_package_installs_and_says_what_to_do,
    installed.setup_by_flags_goes_to_the_first_punch,
    installed.setup_again_adds_a_terminal_that_pushes,
]
# Each of these stands on its own after them, and leaves a gateway at work; the last ones take it away.
SCENES = [
    installed.what_setup_wrote_is_read_by_the_gateway_and_nobody_else,
    installed.it_runs_as_nobody_of_importance_and_answers_its_group_alone,
    installed.the_systemd_journal_has_fields,
    installed.what_runs_by_the_calendar_is_off_and_works,
    installed.a_key_may_come_from_systemd,
    installed.a_bad_config_is_not_tried_again,
    broken.a_gateway_that_hangs_is_started_again,
    broken.a_full_disk_refuses_and_goes_on_by_itself,
    broken.it_comes_back_from_a_reboot,
    exchanged.back_and_forth_between_versions_under_load,
    exchanged.a_version_that_does_not_come_up_is_taken_back,
    exchanged.an_upgrade_that_does_not_begin_is_not_noticed,
    exchanged.the_plug_is_pulled_in_an_upgrade,
    broken.the_plug_is_pulled,
    exchanged.everything_arrives,
    restored.the_nightly_backup_is_made_and_opens,
    restored.a_blank_machine_becomes_the_gateway_in_one_command,
    exchanged.a_removal_that_is_broken_off_leaves_it_at_work,
    exchanged.removed_it_keeps_what_it_has,
    exchanged.purged_it_says_what_it_had_and_keeps_what_nobody_else_has,
    exchanged.a_store_that_is_a_disk_of_its_own_is_purged_where_it_is,
    followed.the_page_on_installing_is_true_to_the_letter,
]
# What a change of the package is tried with in minutes.
SHORT = [
    broken.a_gateway_that_hangs_is_started_again,
    broken.it_comes_back_from_a_reboot,
    broken.the_plug_is_pulled,
]


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--image", required=True)
    words.add_argument("--deb", required=True)
    words.add_argument("--older")
    words.add_argument("--terminal", required=True)
    words.add_argument("--short", action="store_true", help="only a few scenes, and one cut")
    words.add_argument("--only", action="append", help="scenes with this word in their name")
    words.add_argument("--cuts", type=int, default=20)
    words.add_argument("--rate", type=float, default=50, help="punches a second of the terminal outside")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--patience", type=int, default=600, help="seconds for a boot, and for the longest script")
    words.add_argument("--keep")
    options = words.parse_args()
    if options.short:
        options.cuts = 1
    scenes = [it for it in (SHORT if options.short else SCENES) if not options.only or any(word in it.__name__ for word in options.only)]
    if not scenes:
        sys.exit("no scene has such a word: " + ", ".join(it.__name__ for it in SCENES))
    folder = options.keep or tempfile.mkdtemp(prefix="punchgate-vm-")
    os.makedirs(folder, exist_ok=True)
    life = Life(options, folder)
    passed = failed = 0
    try:
        for check in FIRST + scenes:
            name, begun = check.__name__.replace("_", " "), time.monotonic()
            try:
                told = check(life)
            except (Failed, OSError, subprocess.CalledProcessError) as error:
                failed += 1
                print(f"not ok {name}: {error if isinstance(error, Failed) else traceback.format_exc()}", flush=True)
                # What the machine says of it is gone with it otherwise.
                print(last_words(life), flush=True)
            else:
                passed += 1
                print(f"ok     {name}{': ' + told if told else ''} ({time.monotonic() - begun:.0f} s)", flush=True)
            if failed and (check in FIRST or life.vm.qemu.poll() is not None):
                break  # there is nothing left to look at
    finally:
        life.close()
        if not options.keep:
            shutil.rmtree(folder)
    failed += len(FIRST) + len(scenes) - passed - failed
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


def last_words(life):
    try:
        return life.vm.sh("systemctl status --no-pager punchgate; journalctl --no-pager -n 25 -o cat -u punchgate", limit=60, check=False)
    except (OSError, Failed) as error:
        return f"nothing is heard from the machine: {error}"


main()
