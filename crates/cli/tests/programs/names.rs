//! A host's own view of itself.

use super::lab;

#[test]
fn a_host_sees_its_own_name_hosts_file_and_resolver() {
    let said = lab("").on("client", "cat /etc/hosts; cat /etc/resolv.conf").ok();
    assert!(said.contains("server") && said.contains("client"), "{said}");
    assert!(said.contains("nameserver 127.0.0.53"), "{said}");
}

#[test]
fn nothing_of_the_machines_network_is_seen() {
    let script =
        "cat /proc/net/dev | wc -l; python3 -c 'import socket; print([n for _, n in socket.if_nameindex()])'";
    let said = lab("").on("client", script).ok();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "4", "two header lines, lo and eth0: {said}");
    assert_eq!(lines[1], "['lo', 'eth0']", "{said}");
}

#[test]
fn ip_shows_addresses_and_routes() {
    let said = lab("").on("client", "ip -br addr; ip route; ip -6 route show default").ok();
    assert!(said.contains("127.0.0.1/8"), "{said}");
    assert!(said.contains("eth0") && said.contains("10.0."), "{said}");
    assert!(said.contains("default via 10.0."), "{said}");
}
