//! iputils ping.

use super::{lab, lab_with};

#[test]
fn ping_four_times() {
    let said = lab("").on("client", "ping -c 4 -i 0.2 server").ok();
    assert!(said.contains("4 packets transmitted, 4 received, 0% packet loss"), "{said}");
    assert!(said.contains("icmp_seq=4 ttl=63 time="), "{said}");
}

#[test]
fn ping_twenty_times_quickly() {
    let said = lab("").on("client", "ping -i 0.2 -c 20 server").ok();
    assert!(said.contains("20 packets transmitted, 20 received, 0% packet loss"), "{said}");
}

#[test]
fn ping_measures_the_delay_of_the_link() {
    let said = lab_with("", "{delay: 25ms}").on("client", "ping -c 3 -i 0.2 server | tail -1").ok();
    let min: f64 = said
        .split(" = ")
        .nth(1)
        .and_then(|s| s.split('/').next())
        .and_then(|s| s.parse().ok())
        .expect("rtt line");
    assert!((50.0..80.0).contains(&min), "{said}");
}

#[test]
fn ping_that_may_not_be_fragmented_hears_the_mtu_of_a_smaller_link() {
    let lab = lab_with("", "{mtu: 1300}");
    let ran = lab.on("client", "ping -4 -c 2 -i 0.2 -s 1400 -M do server");
    let ran = ran.says("Frag needed and DF set (mtu = 1300)").exits(1);
    assert!(ran.stdout.contains("0 received") || ran.stdout.contains("+1 errors"), "{}", ran.stdout);
    let said = lab.on("client", "ping -c 2 -i 0.2 -s 1400 -M do -I lo 127.0.0.1 | grep -c 'bytes from'").ok();
    assert_eq!(said, "2\n");
    let ran = lab.on("client", "ping -4 -c 1 -s 1600 -M do server");
    let _ = ran.says("message too long, mtu=1500").exits(1);
    let ran = lab.on("client", "ping -6 -c 2 -i 0.2 -s 1400 -M do server");
    ran.says("Packet too big: mtu=1300").says("message too long, mtu: 1300").exits(1);
}

#[test]
fn ping_6() {
    let said = lab("").on("client", "ping -6 -c 3 -i 0.2 server").ok();
    assert!(said.contains("3 packets transmitted, 3 received, 0% packet loss"), "{said}");
}

#[test]
fn ping_an_address_that_nobody_has() {
    let ran = lab("").on("client", "ping -c 1 -W 4 10.0.1.250");
    ran.says("Destination Host Unreachable").exits(1);
}

#[test]
fn ping_an_unknown_name() {
    lab("").on("client", "ping -c 1 nosuchhost").says("Name or service not known").exits(2);
}
