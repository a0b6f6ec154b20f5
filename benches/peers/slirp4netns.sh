#!/usr/bin/env bash
# One iperf3 flow out of a namespace served by slirp4netns at MTU 1500; prints iperf3's JSON. 10.0.2.2 is this side's loopback.
. "$(dirname "$0")/user.sh"
sync=$(mktemp -d -p "$NSBENCH_WORK"); chmod 1777 "$sync" "$NSBENCH_WORK"
timeout -k 2 $((t + 15)) "${as_user[@]}" unshare -rn bash -c "
    echo \$\$ > $sync/pid
    until grep -q tap0 /proc/net/route; do sleep 0.02; done
    iperf3 -J -t $t -c 10.0.2.2 $*" < /dev/null & client=$!
until [ -s "$sync/pid" ]; do sleep 0.02; done
timeout -k 2 $((t + 15)) "${as_user[@]}" slirp4netns --configure --mtu=1500 "$(cat "$sync/pid")" tap0 > "$NSBENCH_WORK/slirp.log" 2>&1 < /dev/null & slirp=$!
wait $client || code=$?
kill $slirp 2> /dev/null || true
wait $slirp || true
exit ${code:-0}
