#!/usr/bin/env bash
# One iperf3 flow out of pasta's namespace at MTU 1500; prints iperf3's JSON. pasta maps its gateway to this side's loopback.
. "$(dirname "$0")/user.sh"
timeout -k 2 $((t + 15)) "${as_user[@]}" pasta --config-net -4 -m 1500 -q -- iperf3 -J -t "$t" -c 10.98.0.2 "$@" 2> "$NSBENCH_WORK/pasta.log" < /dev/null
