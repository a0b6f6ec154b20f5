//! OpenBSD netcat: client, server, file transfer, UDP, port scan.

use super::{content, lab, wait_for};

#[test]
fn nc_carries_a_file() {
    let lab = lab("nc -l -N 9 < big");
    lab.file("big", content(5_000_000));
    let script = "for i in $(seq 100); do nc -d server 9 > got; [ -s got ] && break; sleep 0.05; done; cmp got big && echo same";
    assert_eq!(lab.on("client", script).ok(), "same\n");
}

#[test]
fn nc_sends_a_file_to_a_server_that_ends_with_it() {
    let lab = lab("nc -l 9 > got; echo done > flag");
    lab.file("big", content(1_000_000));
    let script = "for i in $(seq 100); do nc -N server 9 < big && break; sleep 0.05; done; \
                  for i in $(seq 100); do [ -e flag ] && break; sleep 0.05; done; cmp got big && echo same";
    assert_eq!(lab.on("client", script).ok(), "same\n");
}

#[test]
fn nc_u_sends_and_receives_datagrams() {
    let lab = lab("socat -u UDP6-RECVFROM:9,fork OPEN:got,creat,append");
    let script = "for i in $(seq 100); do echo hello | nc -u -w0 server 9; grep -q hello got 2>/dev/null && break; sleep 0.05; done; tail -1 got";
    assert_eq!(lab.on("client", script).ok(), "hello\n");
}

#[test]
fn nc_z_tells_open_from_closed_ports() {
    let lab = lab("python3 -m http.server 80");
    let ran = lab.on("client", &format!("{}nc -zv server 79-81", wait_for(80)));
    ran.says("80 port [tcp/http] succeeded!")
        .says("port 79 (tcp) failed: Connection refused")
        .says("port 81 (tcp) failed: Connection refused");
}

#[test]
fn nc_l_serves_a_conversation() {
    let lab = lab("while read -r line; do echo \"you said $line\"; done < in | nc -l 9 > in");
    lab.file("setup", "");
    let script = "coproc S { nc -l 7; }; for i in $(seq 100); do exec 3<>/dev/tcp/127.0.0.1/7 && break; sleep 0.05; done 2>/dev/null; \
                  echo ping >&3; read -r a <&${S[0]}; echo \"$a\"; echo pong >&${S[1]}; read -r b <&3; echo \"$b\"";
    assert_eq!(lab.on("client", script).ok(), "ping\npong\n");
}
