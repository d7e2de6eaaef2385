# SPDX-License-Identifier: Apache-2.0
"""A sidecar that signs for long: its memory and its descriptors stay what they were.  (tests/bench/run --soak)"""

import json
import os
import pathlib
import re
import time

STEP = 10000
MEMORY_MAX_KIB = 16 * 1024
GROWTH_MAX = 1.10
CALLERS = 16
KEY = "acme/mobile/release"


def usage(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {"rss_kib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]), "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1])}


def settled(pid):
    """When a client has ended, the sidecar soon learns of it."""
    while True:
        before = usage(pid)
        time.sleep(0.2)
        after = usage(pid)
        if before["fds"] == after["fds"]:
            return after


def sign(stack, load, count):
    done = stack.run([load, "--way", "client", "--module", stack.program("csign.so"), "--address", stack.sidecar.address,
                      "--key", KEY, "--callers", CALLERS, "--count", count, "--seconds", 600], timeout=660)
    return json.loads(done.stdout)["per_second"]


def failures(samples):
    """What is not as it must be, as sentences."""
    first, last = samples[0], samples[-1]
    found = []
    if last["rss_kib"] > first["rss_kib"] * GROWTH_MAX:
        found.append(f"resident memory grew from {first['rss_kib']} to {last['rss_kib']} KiB")
    if last["rss_kib"] >= MEMORY_MAX_KIB:
        found.append(f"resident memory is {last['rss_kib']} KiB, not under {MEMORY_MAX_KIB}")
    for what in ("fds", "threads"):
        if last[what] != first[what]:
            found.append(f"{what}: {first[what]} became {last[what]}")
    return found


def soak(stack, count, say):
    """Signs so often, and looks after each ten thousand, when no client is connected."""
    load = stack.shared(stack.build / "tests/bench/load")
    say(f"{'signatures':>10}{'sig/s':>8}{'RSS KiB':>10}{'fds':>6}{'threads':>9}")
    samples = []
    for total in range(STEP, count + 1, STEP):
        rate = sign(stack, load, STEP)
        samples.append({"signatures": total, "per_second": rate} | settled(stack.sidecar.pid))
        say("{signatures:>10}{per_second:>8.0f}{rss_kib:>10}{fds:>6}{threads:>9}".format(**samples[-1]))
    return samples
