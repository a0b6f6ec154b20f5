//! socat as relay, over TCP and UDP.

use super::{content, lab, wait_for};

#[test]
fn socat_relays_between_hosts() {
    let lab = lab("python3 -m http.server 80\nsocat TCP-LISTEN:8080,fork,reuseaddr TCP:localhost:80");
    lab.file("page", content(200_000));
    let script = format!(
        "{}{}curl -s http://server:8080/page | cmp - page && echo same",
        wait_for(80),
        wait_for(8080)
    );
    assert_eq!(lab.on("client", &script).ok(), "same\n");
}

#[test]
fn socat_echoes_datagrams() {
    let lab = lab("socat UDP6-RECVFROM:7,fork PIPE");
    let script = "for i in $(seq 50); do r=$(echo hello | socat -T 0.3 - UDP:server:7); [ -n \"$r\" ] && break; done; echo \"$r\"";
    assert_eq!(lab.on("client", script).ok(), "hello\n");
}
