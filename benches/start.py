#!/usr/bin/env python3
"""start.py NETSPACE SMALL-LAB BIG-LAB: what starting a lab costs, and what an idle one does; prints a markdown table.

CPU time beside the wall clock: on a busy machine only the former says something."""

import os
import resource
import statistics
import subprocess
import sys
import time

netspace, small, big = sys.argv[1:]
HOSTS = 1000


def run(command):
    """Seconds on the clock, seconds of CPU (all processes), and kB of the largest process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, own = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"start: {' '.join(command)} ended with {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, f) - getattr(before, f) for f in ("ru_utime", "ru_stime"))
    return time.perf_counter() - started, cpu, own.ru_maxrss


def row(what, wall, cpu):
    print(f"| {what} | {wall} | {cpu} |")


def on(lab, host):
    return [netspace, "run", lab, "--on", host, "--", "true"]


print("| | on the clock | CPU time |\n|---|---|---|")
added = [[a - b for a, b in zip(run(on(small, "a"))[:2], run(["true"])[:2])] for _ in range(20)]
wall, cpu = (statistics.median(column) * 1e3 for column in zip(*added))
row("`netspace run LAB --on HOST -- true` adds to `true` (median of 20)", f"{wall:.1f} ms", f"{cpu:.1f} ms")
runs = [run(on(big, "h0")) for _ in range(5)]
wall, cpu, memory = (statistics.median(column) for column in zip(*runs))
row(f"{HOSTS:,} hosts on 10 switches: start, run `true`, stop (median of 5)", f"{wall:.2f} s", f"{cpu:.2f} s")
base = statistics.median(run(on(small, "a"))[2] for _ in range(5))
row(f"memory a host: {HOSTS:,} hosts over that of 2", f"{(memory - base) / (HOSTS - 2):.0f} kB", "")
idle = {}
for lab in (small, big):
    idle[lab] = {n: run([netspace, "run", lab, "--on", "a" if lab == small else "h0", "--", "sleep", str(n)])[1] for n in (1, 11)}
    name = "2 hosts" if lab == small else f"{HOSTS:,} hosts"
    row(f"an idle lab of {name} for 10 s", "", f"{max(0.0, idle[lab][11] - idle[lab][1]) * 1e3:.0f} ms")
