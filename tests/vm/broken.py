"""A box that is broken: hung, filled up, started again, unplugged."""

import time

from machine import Failed


def a_gateway_that_hangs_is_started_again(life):
    before = life.shown("MainPID")
    begun = time.monotonic()
    life.vm.sh(f"kill -STOP {before}")
    script = f"test $(systemctl show --value -p MainPID punchgate) != {before}; systemctl is-active punchgate"
    life.vm.until("the watchdog bites", script, 300)
    took = time.monotonic() - begun
    life.is_at_work()
    if "watchdog" not in life.vm.sh("journalctl -u punchgate -o cat -n 200").lower():
        raise Failed("it was not the watchdog")
    life.punches()
    return f"after {took:.0f} s; {life.there()}"


def a_full_disk_refuses_and_goes_on_by_itself(life):
    life.punches()
    # Everything but 20 MB, and the gateway keeps 64 MiB free.
    life.vm.sh("fallocate -l $(($(df --output=avail -B1 / | tail -n 1) - 20000000)) /var/tmp/filler; sync")
    try:
        life.vm.until("it is told", "punchgate conditions --json | grep disk-full", 240)
        time.sleep(12)  # whatever was under way
        before, refused = len(life.gate.owed()), life.gate.refused
        life.gate.until_refused(3, 120)
        more, no = len(life.gate.owed()) - before, life.gate.refused - refused
        if more or not no:
            raise Failed(f"{more} punches were acknowledged and {no} refused while the disk was full")
        life.vm.sh("systemctl is-active punchgate")
    finally:
        life.vm.sh("rm /var/tmp/filler")
    life.punches()
    return f"{no} times refused; {life.there()}"


def it_comes_back_from_a_reboot(life):
    life.punches()
    life.vm.reboot()
    took = life.is_at_work(300)
    life.vm.sh("systemctl start mosquitto")
    told = life.there()
    life.broker_outside()
    life.punches(100)
    return f"at work {took:.0f} s after its shell; {told}"


def the_plug_is_pulled(life):
    life.broker_outside()
    told, recoveries, first, peak = [], [], len(life.gate.owed()), 0
    for cut in range(life.options.cuts):
        life.punches(20)
        time.sleep(life.chance.uniform(0.5, 12))
        peak = max(peak, memory(life))
        # Most moments lie between two flushes with nothing on its way: three of four cuts come right after a write.
        lost, kept = life.vm.cut(life.chance.random(), life.chance.choice([None, 1, 2, life.chance.randint(3, 60)]))
        life.vm.start()
        begun, owed = time.monotonic(), len(life.gate.owed())
        if not life.gate.until_acknowledged(1, 300):
            raise Failed(f"cut {cut + 1}: no punch was taken in 300 s after it; {life.vm.sh('systemctl status punchgate', check=False)}")
        recoveries.append(time.monotonic() - begun)
        there = life.account()
        told.append(lost)
        print(
            f"  cut {cut + 1}: {lost} sectors lost, {kept} got through; {owed} punches acknowledged before it, {there} now, all there",
            flush=True,
        )
    if life.options.cuts > 2 and sum(1 for lost in told if lost) * 3 < len(told):
        raise Failed(f"cuts that lost as much as a sector are too few to be power cuts: {told}")
    life.punches()
    life.gate.pause()
    life.delivered()
    recoveries.sort()
    # A row for docs/reliability.md.
    print(
        f"  | vm | power of a whole machine: sectors not flushed are lost | {life.options.seed} | {life.options.cuts} |"
        f" {len(life.gate.owed()) - first} | 0 | {life.broker.again} | 0 | 0 | {peak / 1024:.0f} |"
        f" {recoveries[len(recoveries) // 2]:.1f} / {recoveries[-1]:.1f} | - |",
        flush=True,
    )
    return f"{life.options.cuts} times, {sum(told)} sectors lost; {life.there()}"


def memory(life):
    """The most that the program had, in KiB."""
    return int(life.vm.sh("awk '/VmHWM/ {print $2}' /proc/$(systemctl show --value -p MainPID punchgate)/status"))
