//! Files as `ifconfig`, `route`, `netstat` and scripts take them apart.

use crate::common::Host;
use netspace_uapi::files;

fn text(host: &Host, path: &str) -> String {
    String::from_utf8(files::read(&host.ns, host.turn.now, path).unwrap_or_else(|| panic!("{path}")))
        .expect("text")
}

#[test]
fn proc_net_has_linux_s_columns() {
    let host = Host::new();
    let route = text(&host, "/proc/net/route");
    let mut lines = route.lines();
    assert!(lines.clone().all(|line| line.len() == 127), "padded as seq_file does");
    assert!(
        lines
            .next()
            .is_some_and(|l| l.starts_with("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask"))
    );
    assert!(route.contains("eth0\t00000000\tFE00000A\t0003\t0\t0\t0\t00000000\t0\t0\t0"));
    assert!(route.contains("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"));
    assert_eq!(text(&host, "/proc/self/net/route"), route);
    assert_eq!(text(&host, "/proc/1234/net/route"), route);

    let dev = text(&host, "/proc/net/dev");
    assert_eq!(
        dev.lines().nth(2),
        Some(
            "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0"
        )
    );
    let inet6 = text(&host, "/proc/net/if_inet6");
    assert!(inet6.contains("00000000000000000000000000000001 01 80 10 80       lo\n"), "{inet6}");
    assert!(inet6.contains("fd00000a000000000000000000000001 02 40 00 80     eth0\n"), "{inet6}");
    let ipv6_route = text(&host, "/proc/net/ipv6_route");
    assert!(
        ipv6_route
            .contains("fd00000a000000000000000000000254 00000400 00000001 00000000 00000003     eth0\n"),
        "{ipv6_route}"
    );
    assert!(text(&host, "/proc/net/arp").starts_with("IP address       HW type     Flags       HW address"));
}

#[test]
fn counters_have_names_and_as_many_numbers() {
    let host = Host::new();
    for path in ["/proc/net/snmp", "/proc/net/netstat"] {
        let text = text(&host, path);
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.chunks(2) {
            let (names, values) = (pair[0].split(' '), pair[1].split(' '));
            assert_eq!(names.count(), values.count(), "{}", pair[0]);
            assert_eq!(pair[0].split(':').next(), pair[1].split(':').next());
        }
    }
    let snmp = text(&host, "/proc/net/snmp");
    assert!(snmp.starts_with("Ip: Forwarding DefaultTTL InReceives"));
    assert!(snmp.contains("MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs"));
    assert!(text(&host, "/proc/net/snmp6").starts_with("Ip6InReceives                   \t0\n"));
}

#[test]
fn sysctls_read_write_and_list() {
    let mut host = Host::new();
    let path = "/proc/sys/net/ipv4/ip_forward";
    assert_eq!(text(&host, path), "0\n");
    assert_eq!(files::write(&mut host.ns, &mut host.turn, path, b"1\n"), Some(Ok(())));
    assert_eq!(text(&host, path), "1\n");
    let refused = files::write(&mut host.ns, &mut host.turn, path, b"yes\n");
    assert_eq!(refused, Some(Err(netspace_uapi::Errno(libc::EINVAL))));
    assert_eq!(files::write(&mut host.ns, &mut host.turn, "/proc/sys/net/ipv4/nope", b"1"), None);
    assert!(files::list(&host.ns, "/proc/sys/net").is_some_and(|l| l.contains(&("ipv4".to_owned(), true))));
    let eth0 = files::list(&host.ns, "/proc/sys/net/ipv4/conf/eth0").expect("a directory");
    assert!(eth0.contains(&("forwarding".to_owned(), false)));
}

#[test]
fn sys_class_net_tells_of_devices() {
    let host = Host::new();
    let read = |name: &str| text(&host, &format!("/sys/class/net/eth0/{name}"));
    assert_eq!(read("mtu"), "1500\n");
    assert_eq!(read("address"), "f6:7c:eb:01:5c:60\n");
    assert_eq!(read("operstate"), "up\n");
    assert_eq!(read("flags"), "0x1003\n");
    assert_eq!(read("statistics/rx_bytes"), "0\n");
    assert_eq!(text(&host, "/sys/class/net/lo/type"), "772\n");
    assert_eq!(text(&host, "/sys/class/net/lo/operstate"), "unknown\n");
    assert!(files::read(&host.ns, host.turn.now, "/sys/class/net/eth9/mtu").is_none());
    let names: Vec<_> =
        files::list(&host.ns, "/sys/class/net").expect("a directory").into_iter().map(|e| e.0).collect();
    assert_eq!(names, ["lo", "eth0"]);
}

#[test]
fn paths_elsewhere_are_not_ours() {
    for path in
        ["/proc/network", "/proc/self/netns", "/proc/sys/network", "/proc/abc/net/dev", "/etc/hosts", ""]
    {
        assert!(!files::is_ours(path), "{path}");
    }
    assert!(files::is_ours("/proc/net") && files::is_ours("/proc/self/net/nonsense"));
}

/// The lines are Linux 6.18's, but for the device's name and number and the rest of its addresses.
#[test]
fn groups_and_their_sources_are_listed() {
    use netspace_stack::sock::{
        Family, Filter, FilterMode, Membership, SockOpt, SockType, SourceFilter, SourceMembership,
    };
    let mut host = Host::new();
    let (ns, t) = (&mut host.ns, &mut host.turn);
    let four = ns.socket(t, Family::Inet, SockType::Dgram, 0).unwrap();
    let six = ns.socket(t, Family::Inet6, SockType::Dgram, 0).unwrap();
    let at = |group: &str| Membership { group: group.parse().unwrap(), dev: Some(host.eth0), local: None };
    let source = |group, source: &str| SourceMembership { at: at(group), source: source.parse().unwrap() };
    ns.set_option(t, four, SockOpt::IpAddMembership(at("239.1.1.1"))).unwrap();
    ns.set_option(t, four, SockOpt::JoinSource(source("232.3.3.3", "1.1.1.2"))).unwrap();
    ns.set_option(t, six, SockOpt::V6AddMembership(at("ff05::99"))).unwrap();
    let filter = Filter { mode: FilterMode::Exclude, sources: vec!["fd00::2".parse().unwrap()] };
    ns.set_option(t, six, SockOpt::SourceFilter(SourceFilter { at: at("ff05::99"), filter })).unwrap();

    let igmp = text(&host, "/proc/net/igmp");
    let groups: Vec<&str> = igmp.lines().filter(|l| l.starts_with("\t\t\t\t")).map(|l| &l[4..]).collect();
    let tail = "     1 0:00000000\t\t0";
    assert_eq!(
        groups[groups.len() - 3..],
        ["030303E8", "010101EF", "010000E0"].map(|g| format!("{g}{tail}"))
    );
    let igmp6 = text(&host, "/proc/net/igmp6");
    for line in [
        "2    eth0            ff050000000000000000000000000099     1 00000004 0",
        "2    eth0            ff020000000000000000000000000001     1 0000000C 0",
        "2    eth0            ff010000000000000000000000000001     1 00000008 0",
    ] {
        assert!(igmp6.lines().any(|l| l == line), "{line}: {igmp6}");
    }
    assert_eq!(
        text(&host, "/proc/net/mcfilter"),
        "Idx Device        MCA        SRC    INC    EXC\n  2   eth0 0xe8030303 0x01010102      1      0\n"
    );
    assert_eq!(
        text(&host, "/proc/net/mcfilter6").lines().nth(1),
        Some("  2   eth0 ff050000000000000000000000000099 fd000000000000000000000000000002      0      1")
    );
}
