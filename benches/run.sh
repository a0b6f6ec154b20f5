#!/usr/bin/env bash
# Measures netspace beside its peers in one run and prints markdown tables. Needs root for the kernel's own numbers
# (network namespaces of its own making); the netspace side needs none. `benches/run.sh [NAME]` runs one part.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release
bin=$(realpath "$bin")
runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"; ip netns del nsbench-a 2>/dev/null; ip netns del nsbench-b 2>/dev/null; ip netns del nsbench-s 2>/dev/null; true' EXIT
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
gbit() { python3 -c 'import json,sys; print("%.2f" % (json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]/1e9))'; }

lab=$work/lab.yaml
cat > "$lab" <<END
hosts: {a: {}, b: {}}
switches: {s: {}}
links: [a -- s, s -- b]
END

kernel_up() {
    ip netns add nsbench-a; ip netns add nsbench-b; ip netns add nsbench-s
    ip -n nsbench-s link add br0 type bridge; ip -n nsbench-s link set br0 up
    for h in a b; do
        ip -n nsbench-$h link add eth0 type veth peer name p$h netns nsbench-s
        ip -n nsbench-$h link set eth0 up; ip -n nsbench-$h link set lo up
        ip -n nsbench-s link set p$h master br0 up
    done
    ip -n nsbench-a addr add 10.99.0.1/24 dev eth0; ip -n nsbench-b addr add 10.99.0.2/24 dev eth0
}
kernel_down() { for n in a b s; do ip netns del nsbench-$n; done; }

iperf_kernel() { # OPTIONS
    ip netns exec nsbench-b iperf3 -s -1 >/dev/null & local p=$!
    until ip netns exec nsbench-b ss -ltn | grep -q 5201; do :; done
    ip netns exec nsbench-a timeout 20 iperf3 -J -t 3 -c 10.99.0.2 $1 | gbit
    wait $p
}
iperf_netspace() {
    cat > "$work/iperf.yaml" <<END
hosts: {a: {}, b: {run: "iperf3 -s"}}
switches: {s: {}}
links: [a -- s, s -- b]
END
    "$bin/netspace" run "$work/iperf.yaml" --on a -- bash -c "until (exec 3<>/dev/tcp/b/5201) 2>/dev/null; do :; done; sleep 0.3; iperf3 -J -t 3 -c b $1" | gbit
}
iperf_slirp() { # user namespace with slirp4netns; the server on this machine's loopback
    iperf3 -s -1 -B 127.0.0.1 >/dev/null & local p=$!
    timeout 30 unshare -rn bash -c 'echo $$ > '"$work"'/pid; until [ -e '"$work"'/go ]; do sleep 0.02; done; iperf3 -J -t 3 -c 10.0.2.2' > "$work/json" & local u=$!
    until [ -s "$work/pid" ]; do :; done
    slirp4netns --configure --mtu=1500 "$(cat "$work/pid")" tap0 >/dev/null 2>&1 & local s=$!
    sleep 0.5; touch "$work/go"; wait $u; kill $s $p 2>/dev/null || true; rm -f "$work/pid" "$work/go"
    gbit < "$work/json"
}
part_iperf() {
    kernel_up
    echo "| iperf3, one flow over a switch, MTU 1500 with offloads, Gbit/s (median of $runs) | up | down (-R) |"; echo "|---|---|---|"
    for peer in kernel netspace; do
        row="| $peer |"
        for option in "" "-R"; do
            value=$(for _ in $(seq "$runs"); do iperf_$peer "$option"; done | median); row="$row $value |"
        done
        echo "$row"
    done
    for peer in slirp; do
        value=$(for _ in $(seq "$runs"); do iperf_$peer 2>/dev/null || echo 0; done | median); echo "| $peer (MTU 1500) | $value | |"
    done
    kernel_down
    echo
}

part_rr() {
    kernel_up
    ip netns exec nsbench-b "$bin/rr" serve 7 & p=$!
    until ip netns exec nsbench-b ss -ltn | grep -q ':7 '; do :; done
    kernel=$(for _ in $(seq "$runs"); do ip netns exec nsbench-a "$bin/rr" ask 10.99.0.2 7 20000; done | median)
    kill $p; wait $p 2>/dev/null || true
    kernel_down
    sed "s|b: {}|b: {run: \"$bin/rr serve 7\"}|" "$lab" > "$work/rr.yaml"
    ours=$(for _ in $(seq "$runs"); do "$bin/netspace" run "$work/rr.yaml" --on a -- bash -c "until (exec 3<>/dev/tcp/b/7) 2>/dev/null; do :; done; $bin/rr ask b 7 20000"; done | median)
    echo "| 1-byte request and response, microseconds a round trip (median of $runs) | kernel | netspace | ratio |"; echo "|---|---|---|---|"
    echo "| veth + bridge | $kernel | $ours | $(python3 -c "print('%.1f' % ($ours/$kernel))") |"; echo
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
    echo "| start | measured |"; echo "|---|---|"
    added=$(for _ in $(seq 20); do python3 - "$bin/netspace" "$lab" <<'PY'
import subprocess, sys, time
def t(c):
    a = time.perf_counter(); subprocess.run(c, check=True, stdout=subprocess.DEVNULL); return time.perf_counter() - a
print("%.1f" % ((t([sys.argv[1], "run", sys.argv[2], "--on", "a", "--", "true"]) - t(["true"])) * 1000))
PY
    done | median)
    echo "| \`netspace run\` adds to a program's start, ms (median of 20) | $added |"
    python3 - > "$work/big.yaml" <<'PY'
print("hosts:"); [print(f"  h{i}: {{}}") for i in range(1000)]
print("switches:"); [print(f"  s{i}: {{}}") for i in range(10)]
print("links:"); [print(f"  - h{i} -- s{i // 100}") for i in range(1000)]; [print(f"  - s{i} -- s{i+1}") for i in range(9)]
PY
    { /usr/bin/time -f '%e %M' "$bin/netspace" run "$work/big.yaml" --on h0 -- true; } 2> "$work/big" || true
    tail -1 "$work/big" | awk '{printf "| 1,000 hosts on 10 switches, start to end, s | %s |\n| the same, kB of memory a host | %.0f |\n", $1, $2/1000}'
    "$bin/netspace" run "$lab" --on a -- bash -c 'sleep 0.5; s=$(awk "{print \$14+\$15}" /proc/'"\$(awk '/PPid/{print \$2}' /proc/\$PPID/status)"'/stat); sleep 5; e=$(awk "{print \$14+\$15}" /proc/'"\$(awk '/PPid/{print \$2}' /proc/\$PPID/status)"'/stat); echo "| CPU of an idle lab in 5 s, hundredths of a second | $((e-s)) |"' || true
    echo
}

parts=${1:-"flow iperf rr start"}
echo "$(nproc) cores, $(uname -sr), $(date +%F)"; echo
for part in $parts; do part_$part; done
