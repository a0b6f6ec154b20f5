//! dig, host, getent: the lab's names by DNS and by the C library.

use super::lab;

#[test]
fn dig_asks_for_addresses() {
    let lab = lab("");
    let said = lab
        .on(
            "client",
            "dig +short server A; dig +short server AAAA; dig +noall +comments nosuch A | grep status",
        )
        .ok();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("10.0."), "{said}");
    assert!(lines[1].starts_with("fd"), "{said}");
    assert!(lines[2].contains("NXDOMAIN"), "{said}");
}

#[test]
fn dig_by_tcp_and_backwards() {
    let said = lab("").on("client", "a=$(dig +tcp +short server A); dig +short -x $a").ok();
    assert!(said.starts_with("server"), "{said}");
}

#[test]
fn host_prints_both_addresses() {
    let said = lab("").on("client", "host server").ok();
    assert!(said.contains("has address 10.0."), "{said}");
    assert!(said.contains("has IPv6 address fd"), "{said}");
}

#[test]
fn getent_ahosts_knows_both_families() {
    let said = lab("").on("client", "getent ahosts server | grep STREAM").ok();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("10.0.") && said.contains("fd"), "{said}");
    lab("").on("client", "getent ahosts nosuchhost").exits(2);
}

#[test]
fn names_of_the_outside_world_are_not_asked_for() {
    lab("").on("client", "getent ahosts example.com").exits(2);
}
