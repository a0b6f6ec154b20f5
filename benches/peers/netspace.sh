#!/usr/bin/env bash
# One iperf3 flow between two hosts over a switch of netspace; prints iperf3's JSON.
set -euo pipefail
t=$NSBENCH_SECONDS
cat > "$NSBENCH_WORK/iperf.yaml" <<END
hosts: {a: {}, b: {run: "iperf3 -s"}}
switches: {s: {}}
links: [a -- s, s -- b]
END
timeout -k 2 $((t + 15)) "$NSBENCH_BIN/netspace" run "$NSBENCH_WORK/iperf.yaml" --on a -- \
    bash -c "until (exec 3<>/dev/tcp/b/5201) 2>/dev/null; do sleep 0.02; done; sleep 0.3; iperf3 -J -t $t -c b $*" 2> "$NSBENCH_WORK/netspace.log"
