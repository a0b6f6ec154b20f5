#!/usr/bin/env bash
# One iperf3 flow between two hosts on a bridge of the kernel (made by run.sh); prints iperf3's JSON.
set -euo pipefail
t=$NSBENCH_SECONDS
timeout -k 2 $((t + 20)) ip netns exec nsbench-b iperf3 -s -1 > /dev/null 2>&1 < /dev/null &
until ip netns exec nsbench-b ss -ltn | grep -q ':5201 '; do sleep 0.02; done
timeout -k 2 $((t + 15)) ip netns exec nsbench-a iperf3 -J -t "$t" -c 10.99.0.2 "$@"
