#!/usr/bin/env bash
# Measures netspace beside its peers in one run and prints markdown tables. `benches/run.sh [PART…]`: flow iperf rr start.
#
# Everything runs in a network and a mount namespace of its own: what is made there (bridges, a device node of /dev/net/tun
# for slirp4netns and pasta) ends with it, and the machine's own stays as it is. netspace itself needs none of this.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${NSBENCH_INSIDE:-}" ]; then
    rm_tmp=$(mktemp -d); trap 'rm -rf "$rm_tmp"' EXIT
    # With the init process of its own pid namespace, all that was started ends too.
    map=; [ "$(id -u)" = 0 ] || map=-r
    NSBENCH_INSIDE=$rm_tmp unshare $map --mount --net --kill-child --pid --fork --mount-proc --propagation private "$0" "$@"
    exit
fi
work=$NSBENCH_INSIDE
bin=$(realpath "${CARGO_TARGET_DIR:-target}/release")
peers=$PWD/benches/peers
measure=$PWD/benches/measure.py
runs=${RUNS:-5}
export NSBENCH_WORK=$work NSBENCH_BIN=$bin NSBENCH_SECONDS=${SECONDS_EACH:-3}
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
load() { echo "Load before this part: $(cut -d' ' -f1-3 /proc/loadavg)."; echo; }

lab=$work/lab.yaml
cat > "$lab" <<END
hosts: {a: {}, b: {}}
switches: {s: {}}
links: [a -- s, s -- b]
END

# Two hosts on a bridge, in the kernel.
kernel_up() {
    for n in a b s; do ip netns add nsbench-$n; done
    ip -n nsbench-s link add br0 type bridge; ip -n nsbench-s link set br0 up
    for h in a b; do
        ip -n nsbench-$h link add eth0 type veth peer name p$h netns nsbench-s
        ip -n nsbench-$h link set eth0 up; ip -n nsbench-$h link set lo up
        ip -n nsbench-s link set p$h master br0 up
    done
    ip -n nsbench-a addr add 10.99.0.1/24 dev eth0; ip -n nsbench-b addr add 10.99.0.2/24 dev eth0
}
# An uplink for the user-mode peers: they take their addresses from an interface with a default route.
uplink_up() {
    ip link set lo up
    ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up
    ip addr add 10.98.0.1/24 dev up0; ip route add default via 10.98.0.2
}
# A node of the tun device that an ordinary user may open, seen in here only.
tun_up() {
    # Not for the root of a user namespace: it may make no devices, and takes the machine's as they are.
    [ "$(awk 'NR == 1 {print $3}' /proc/self/uid_map)" != 1 ] || return 0
    mkdir -p "$work/dev"
    mount -t tmpfs -o mode=755 none "$work/dev"
    mknod -m 666 "$work/dev/tun" c 10 200
    mount --bind "$work/dev/tun" /dev/net/tun
}

part_iperf() {
    echo "### iperf3, one flow over a switch, MTU 1500 with offloads; $runs rounds of $NSBENCH_SECONDS s, medians (netspace's ratio to the peer)"; echo
    load
    for round in $(seq "$runs"); do
        for peer in kernel netspace slirp4netns pasta; do
            for direction in up down; do
                option=; [ $direction = up ] || option=-R
                result=$(timeout -k 5 60 python3 "$measure" iperf "$peers/$peer.sh" $option < /dev/null) || continue
                echo "$round $peer $direction $result"
            done
        done
    done > "$work/rounds"
    python3 "$measure" table < "$work/rounds"
    echo
}

part_rr() {
    load
    timeout -k 5 60 ip netns exec nsbench-b "$bin/rr" serve 7 > /dev/null 2>&1 < /dev/null & p=$!
    until ip netns exec nsbench-b ss -ltn | grep -q ':7 '; do :; done
    sed "s|b: {}|b: {run: \"$bin/rr serve 7\"}|" "$lab" > "$work/rr.yaml"
    for _ in $(seq "$runs"); do
        kernel=$(timeout -k 5 60 ip netns exec nsbench-a "$bin/rr" ask 10.99.0.2 7 20000)
        ours=$(timeout -k 5 60 "$bin/netspace" run "$work/rr.yaml" --on a -- bash -c "until (exec 3<>/dev/tcp/b/7) 2>/dev/null; do :; done; $bin/rr ask b 7 20000")
        echo "$kernel $ours"
    done > "$work/rr"
    kill $p; wait $p 2>/dev/null || true
    echo "| 1-byte request and response, microseconds a round trip (medians of $runs, taken in turns) | kernel | netspace | ratio |"; echo "|---|---|---|---|"
    echo "| veth + bridge | $(cut -d' ' -f1 "$work/rr" | median) | $(cut -d' ' -f2 "$work/rr" | median) | $(awk '{printf "%.2f\n", $2/$1}' "$work/rr" | median) |"; echo
}

part_flow() {
    echo "| one TCP flow in process, two hosts, Gbit per CPU-second (median of $runs) | MTU 1500 | 64 KiB |"; echo "|---|---|---|"
    for peer in smoltcp netspace; do
        small=$(for _ in $(seq "$runs"); do "$bin/${peer}_flow" 1500 2000; done | median)
        large=$(for _ in $(seq "$runs"); do "$bin/${peer}_flow" 65535 8000; done | median)
        echo "| $peer | $small | $large |"
    done
    echo
}

part_start() {
    load
    python3 - > "$work/big.yaml" <<'PY'
print("hosts:"); [print(f"  h{i}: {{}}") for i in range(1000)]
print("switches:"); [print(f"  s{i}: {{}}") for i in range(10)]
print("links:"); [print(f"  - h{i} -- s{i // 100}") for i in range(1000)]; [print(f"  - s{i} -- s{i+1}") for i in range(9)]
PY
    python3 benches/start.py "$bin/netspace" "$lab" "$work/big.yaml"
    echo
}

mount -t tmpfs none /run
mkdir /run/netns
kernel_up; uplink_up; tun_up
parts=${*:-flow iperf rr start}
echo "$(nproc) cores, $(uname -sr), $(date +%F)"; echo
for part in $parts; do part_$part; done
