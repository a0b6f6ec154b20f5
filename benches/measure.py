#!/usr/bin/env python3
"""measure.py iperf COMMAND…   runs a command that prints iperf3's JSON; prints "Gbit/s Gbit-per-CPU-second"
measure.py table            reads "ROUND PEER DIRECTION Gbit/s Gbit-per-CPU-second" lines, prints markdown

CPU time is that of every process the command started, daemons included: this process adopts and awaits them all. What
the kernel does in threads of its own (ksoftirqd) is in nobody's account."""

import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def iperf(command):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    done = subprocess.run(command, stdout=subprocess.PIPE)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    try:
        received = json.loads(done.stdout)["end"]["sum_received"]
    except (ValueError, KeyError):
        sys.exit(f"measure: no result from {' '.join(command)} (exit code {done.returncode})")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print("%.3f %.3f" % (received["bits_per_second"] / 1e9, received["bytes"] * 8 / 1e9 / cpu))


def table():
    rounds = {}
    for line in sys.stdin:
        number, peer, direction, *values = line.split()
        rounds.setdefault((peer, direction), {})[number] = [float(v) for v in values]
    peers = list(dict.fromkeys(peer for peer, _ in rounds))

    def cell(peer, direction, column):
        own, ours = rounds.get((peer, direction), {}), rounds.get(("netspace", direction), {})
        if not own:
            return "–"
        value = statistics.median(v[column] for v in own.values())
        # Ratios are taken within a round, where all met the same load.
        ratios = [ours[n][column] / own[n][column] for n in own if n in ours]
        ratio = f" (×{statistics.median(ratios):.2f})" if peer != "netspace" and ratios else ""
        return f"{value:.2f}{ratio}"

    print("| | Gbit/s up | down (`-R`) | Gbit per CPU-second up | down (`-R`) |\n|---|---|---|---|---|")
    for peer in peers:
        cells = [cell(peer, d, c) for c in (0, 1) for d in ("up", "down")]
        name = f"**{peer}**" if peer == "netspace" else peer
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["iperf"] and sys.argv[2:]:
        iperf(sys.argv[2:])
    elif sys.argv[1:] == ["table"]:
        table()
    else:
        sys.exit(__doc__)
