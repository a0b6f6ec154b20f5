//! traceroute by UDP and ICMP, tracepath.

use super::{lab, lab_with};

#[test]
fn traceroute_shows_the_router_and_the_server() {
    for option in ["", "-I", "-6"] {
        let said = lab("").on("client", &format!("traceroute {option} -q 1 -w 2 server")).ok();
        let hops: Vec<_> = said.lines().skip(1).collect();
        assert_eq!(hops.len(), 2, "{option}: {said}");
        assert!(hops[0].contains(" gw ") || hops[0].contains(" gw("), "{option}: {said}");
        assert!(hops[1].contains("server"), "{option}: {said}");
        assert!(!said.contains('*'), "{option}: {said}");
    }
}

#[test]
fn tracepath_finds_the_path_mtu() {
    let said = lab_with("", "{mtu: 1400}").on("client", "tracepath server").ok();
    assert!(said.contains("pmtu 1500"), "{said}");
    assert!(said.contains("pmtu 1400"), "{said}");
    assert!(said.contains("reached"), "{said}");
    assert!(said.contains("Resume: pmtu 1400 hops 2 back 2"), "{said}");
}
