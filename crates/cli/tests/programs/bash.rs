//! bash pipelines with /dev/tcp and /dev/udp.

use super::{content, lab, wait_for};

#[test]
fn dev_tcp_speaks_http() {
    let lab = lab("python3 -m http.server 80");
    lab.file("page", "one line\n");
    let script = format!(
        "{}exec 3<>/dev/tcp/server/80; printf 'GET /page HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 | tail -1",
        wait_for(80)
    );
    assert_eq!(lab.on("client", &script).ok(), "one line\n");
}

#[test]
fn a_pipeline_carries_a_file_through_dev_tcp() {
    let lab = lab("nc -l 9 | sha256sum > sum; echo > flag");
    lab.file("big", content(2_000_000));
    let script = "for i in $(seq 100); do cat big 2>/dev/null > /dev/tcp/server/9 && break; sleep 0.05; done 2>/dev/null; \
                  for i in $(seq 100); do [ -e flag ] && break; sleep 0.05; done; sha256sum < big | cmp - sum && echo same";
    assert_eq!(lab.on("client", script).ok(), "same\n");
}

#[test]
fn dev_udp_writes_a_datagram() {
    let lab = lab("socat -u UDP6-RECVFROM:9,fork OPEN:got,creat,append");
    let script = "for i in $(seq 100); do echo hello > /dev/udp/server/9; grep -q hello got 2>/dev/null && break; sleep 0.05; done; tail -1 got";
    assert_eq!(lab.on("client", script).ok(), "hello\n");
}

#[test]
fn the_exit_code_is_the_commands() {
    let _ = lab("").on("client", "exit 42").exits(42);
    let _ = lab("").on("client", "kill -TERM $$").exits(143);
}
