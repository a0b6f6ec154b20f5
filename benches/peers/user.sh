# For the user-mode peers: the server listens on this side's loopback, the client sits behind the peer, both as an ordinary user.
set -euo pipefail
t=$NSBENCH_SECONDS
as_user=()
if [ "$(awk 'NR == 1 {print $3}' /proc/self/uid_map)" != 1 ]; then
    as_user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
"${as_user[@]}" test -w /dev/net/tun || { echo "/dev/net/tun may not be opened here: this peer is left out" >&2; exit 1; }
timeout -k 2 $((t + 20)) "${as_user[@]}" iperf3 -s -1 -B 127.0.0.1 > /dev/null 2>&1 < /dev/null &
until ss -ltn | grep -q '127.0.0.1:5201 '; do sleep 0.02; done
