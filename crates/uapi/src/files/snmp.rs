//! Counters: `snmp`, `netstat` (a line of names, a line of numbers for each group), `snmp6` (one to a line).

use netspace_base::Instant;
use netspace_stack::Netns;
use netspace_stack::snmp::Counter;

/// The two lines of a group. `fixed` are values that stand before the counter of the name given (or first, for "").
fn group(ns: &Netns, name: &str, fixed: &[(&str, &str, i64)]) -> String {
    let mut names = String::new();
    let mut values = String::new();
    let mut put = |name: &str, value: String| {
        names.push(' ');
        names.push_str(name);
        values.push(' ');
        values.push_str(&value);
    };
    for (_, fixed_name, value) in fixed.iter().filter(|(before, ..)| before.is_empty()) {
        put(fixed_name, value.to_string());
    }
    for &counter in Counter::ALL.iter().filter(|c| c.group() == name) {
        for (_, fixed_name, value) in fixed.iter().filter(|(before, ..)| *before == counter.name()) {
            put(fixed_name, value.to_string());
        }
        put(counter.name(), ns.snmp.get(counter).to_string());
    }
    format!("{name}:{names}\n{name}:{values}\n")
}

pub(super) fn snmp(ns: &Netns, _now: Instant) -> String {
    let sysctl = |name: &str| ns.sysctl(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    // ipForwarding of RFC 1213: 1 a router, 2 a host.
    let forwarding = if sysctl("ipv4.ip_forward") != 0 { 1 } else { 2 };
    let ip = [("", "Forwarding", forwarding), ("", "DefaultTTL", sysctl("ipv4.ip_default_ttl"))];
    let established = ns.sock_stat().established as i64;
    let tcp = [
        ("", "RtoAlgorithm", 1),
        ("", "RtoMin", 200),
        ("", "RtoMax", 120_000),
        ("", "MaxConn", -1),
        ("InSegs", "CurrEstab", established),
    ];
    format!(
        "{}{}{}{}{}",
        group(ns, "Ip", &ip),
        group(ns, "Icmp", &[]),
        group(ns, "Tcp", &tcp),
        group(ns, "Udp", &[]),
        group(ns, "UdpLite", &[]),
    )
}

pub(super) fn netstat(ns: &Netns, _now: Instant) -> String {
    group(ns, "TcpExt", &[]) + &group(ns, "IpExt", &[])
}

pub(super) fn snmp6(ns: &Netns, _now: Instant) -> String {
    let six = Counter::ALL.iter().filter(|c| c.group().ends_with('6'));
    six.map(|&c| format!("{:<32}\t{}\n", format!("{}{}", c.group(), c.name()), ns.snmp.get(c))).collect()
}
