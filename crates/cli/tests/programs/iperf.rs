//! iperf3 both ways, in parallel, UDP at a rate, IPv6.

use super::{lab, wait_for};

fn iperf(options: &str) -> String {
    let lab = lab("iperf3 -s");
    let script = format!(
        "{}for i in $(seq 40); do iperf3 -c server -t 1 {options} && exit 0; sleep 0.1; done; exit 1",
        wait_for(5201)
    );
    lab.on("client", &script).ok()
}

#[track_caller]
fn measured(said: &str, who: &str) {
    let line = said.lines().rev().find(|l| l.contains(who) && l.contains("bits/sec"));
    assert!(line.is_some_and(|l| !l.contains(" 0.00 bits/sec")), "{said}");
    assert!(said.contains("iperf Done."), "{said}");
}

#[test]
fn iperf3_up_down_and_in_parallel() {
    measured(&iperf(""), "receiver");
    measured(&iperf("-R"), "receiver");
    let said = iperf("-P 4");
    measured(&said, "receiver");
    assert!(said.contains("[SUM]"), "{said}");
}

#[test]
fn iperf3_over_ipv6() {
    measured(&iperf("-6"), "receiver");
}

#[test]
fn iperf3_udp_keeps_its_rate() {
    let said = iperf("-u -b 50M");
    measured(&said, "receiver");
    let line = said.lines().rev().find(|l| l.contains("receiver")).expect("a receiver line");
    let rate: f64 =
        line.split("MBytes").nth(1).and_then(|s| s.split_whitespace().next()?.parse().ok()).expect("a rate");
    assert!(rate > 45.0, "{said}");
}
