//! Groups, broadcasts, ICMP's rules and rates, sysctls, routes over devices that come and go.

mod common;

use std::net::IpAddr;

use common::{Net, PingError, routed, switched};
use netspace_base::{Bytes, DropReason};
use netspace_stack::Netns;
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{Family, Membership, Message, SockError, SockId, SockOpt, SockType};

fn udp(net: &mut Net, n: usize, bind: &str) -> SockId {
    let addr: std::net::SocketAddr = bind.parse().unwrap();
    let family = if addr.is_ipv4() { Family::Inet } else { Family::Inet6 };
    let s = net.call(n, |ns, t| ns.socket(t, family, SockType::Dgram, 0)).unwrap();
    net.call(n, |ns, t| ns.bind(t, s, addr)).unwrap();
    s
}

fn send(net: &mut Net, n: usize, s: SockId, to: &str) -> Result<usize, SockError> {
    let message =
        Message { to: Some(to.parse().unwrap()), data: Bytes::from_static(b"hello"), ..Message::default() };
    net.call(n, |ns, t| ns.send(t, s, message))
}

fn join(net: &mut Net, n: usize, s: SockId, group: &str) {
    let group: IpAddr = group.parse().unwrap();
    let dev = Some(net.dev(n, "eth0"));
    let membership = Membership { group, dev, local: None };
    let option = if group.is_ipv4() {
        SockOpt::IpAddMembership(membership)
    } else {
        SockOpt::V6AddMembership(membership)
    };
    net.call(n, |ns, t| ns.set_option(t, s, option)).unwrap();
}

#[test]
fn members_get_group_packets_and_routers_hear_reports() {
    for (bind, group, to, report) in [
        ("0.0.0.0:5000", "239.1.2.3", "239.1.2.3:5000", "igmp v3 report"),
        ("[::]:5000", "ff05::1234", "[ff05::1234]:5000", "multicast listener report v2"),
    ] {
        let mut net = switched(true);
        let receiver = udp(&mut net, 1, bind);
        let sender = udp(&mut net, 0, bind);
        let dev = net.dev(0, "eth0");
        let out = if group.contains(':') {
            SockOpt::V6MulticastIf(Some(dev))
        } else {
            SockOpt::IpMulticastIf(Membership {
                group: "0.0.0.0".parse().unwrap(),
                dev: Some(dev),
                local: None,
            })
        };
        net.call(0, |ns, t| ns.set_option(t, sender, out)).unwrap();
        send(&mut net, 0, sender, to).unwrap();
        net.seconds(1);
        assert!(net.recv(1, receiver, false).is_err(), "not joined yet");
        let before = net.logged(&[report]);
        join(&mut net, 1, receiver, group);
        net.seconds(2);
        assert!(net.logged(&[report]) >= before + 2, "reported twice: {:#?}", net.log);
        send(&mut net, 0, sender, to).unwrap();
        net.seconds(1);
        assert_eq!(net.recv(1, receiver, false).expect("the datagram").data.concat(), b"hello");
        net.call(1, |ns, t| ns.close(t, receiver));
        net.seconds(1);
        assert!(!net.hosts[1].dev.by_name("eth0").unwrap().groups4.iter().any(|g| g.addr.octets()[0] == 239));
        net.assert_ledger();
    }
}

#[test]
fn a_sender_that_is_a_member_hears_itself() {
    let mut net = switched(true);
    let s = udp(&mut net, 0, "0.0.0.0:5000");
    join(&mut net, 0, s, "239.1.2.3");
    let dev = net.dev(0, "eth0");
    let out = Membership { group: "0.0.0.0".parse().unwrap(), dev: Some(dev), local: None };
    net.call(0, |ns, t| ns.set_option(t, s, SockOpt::IpMulticastIf(out))).unwrap();
    send(&mut net, 0, s, "239.1.2.3:5000").unwrap();
    net.seconds(1);
    assert!(net.recv(0, s, false).is_ok());
    net.assert_ledger();
}

#[test]
fn queries_are_answered_and_older_queriers_heeded() {
    let mut net = switched(true);
    let s = udp(&mut net, 1, "0.0.0.0:5000");
    join(&mut net, 1, s, "239.1.2.3");
    net.seconds(5);
    let query = |v3: bool| {
        use netspace_wire::igmp::{IgmpRepr, QueryV3};
        use netspace_wire::ipv4::Ipv4Repr;
        let v3 = v3.then(|| QueryV3 { suppress: false, robustness: 2, interval_s: 125, sources: Vec::new() });
        let repr = IgmpRepr::Query { max_response_ds: 10, group: [0, 0, 0, 0].into(), v3 };
        let mut igmp = vec![0; repr.header_len()];
        repr.emit(&mut igmp);
        let ip =
            Ipv4Repr { ttl: 1, ..Ipv4Repr::new([10, 0, 0, 9].into(), [224, 0, 0, 1].into(), 2, igmp.len()) };
        let mut header = [0; 20];
        ip.emit(&mut header);
        [[1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 9, 9, 8, 0].as_slice(), &header, &igmp].concat()
    };
    let dev = net.dev(1, "eth0");
    let v3_before = net.logged(&["igmp v3 report"]);
    net.inject((1, dev), &query(true));
    net.seconds(2);
    assert!(net.logged(&["igmp v3 report"]) > v3_before);
    net.inject((1, dev), &query(false));
    net.seconds(2);
    assert!(net.logged(&["igmp v2 report", "239.1.2.3"]) > 0, "{:#?}", net.log);
    net.call(1, |ns, t| ns.close(t, s));
    assert!(net.logged(&["igmp leave", "239.1.2.3"]) > 0, "{:#?}", net.log);
}

#[test]
fn broadcasts_reach_every_host_and_this_one() {
    let mut net = switched(true);
    let here = udp(&mut net, 0, "0.0.0.0:5000");
    let there = udp(&mut net, 1, "0.0.0.0:5000");
    assert_eq!(send(&mut net, 0, here, "10.0.0.255:5000"), Err(SockError::Access), "without SO_BROADCAST");
    net.call(0, |ns, t| ns.set_option(t, here, SockOpt::Broadcast(true))).unwrap();
    send(&mut net, 0, here, "10.0.0.255:5000").unwrap();
    net.seconds(1);
    for (n, s) in [(0, here), (1, there)] {
        assert_eq!(net.recv(n, s, false).expect("the datagram").len(), 5);
    }
    net.assert_ledger();
}

#[test]
fn errors_are_limited_per_destination_and_not_sent_about_groups() {
    let mut net = routed();
    let s = udp(&mut net, 0, "0.0.0.0:4000");
    for _ in 0..20 {
        send(&mut net, 0, s, "192.0.2.1:9").unwrap();
        net.advance(std::time::Duration::from_millis(10));
    }
    assert_eq!(net.hosts[1].snmp.get(Counter::IcmpOutDestUnreachs), 6, "a burst of six");
    assert_eq!(net.hosts[1].snmp.get(Counter::IcmpOutRateLimitHost), 14);
    net.seconds(3);
    let s6 = udp(&mut net, 0, "[::]:4001");
    for _ in 0..20 {
        send(&mut net, 0, s6, "[2001:db8::1]:9").unwrap();
        net.advance(std::time::Duration::from_millis(10));
    }
    assert_eq!(
        net.hosts[1].snmp.get(Counter::Icmp6OutDestUnreachs),
        6,
        "a burst of six, each worth 250 ms on a /64"
    );
    net.seconds(1);
    send(&mut net, 0, s6, "[2001:db8::1]:9").unwrap();
    net.seconds(1);
    assert_eq!(net.hosts[1].snmp.get(Counter::Icmp6OutDestUnreachs), 7);
    send(&mut net, 0, s, "192.0.2.1:9").unwrap();
    net.seconds(1);
    assert_eq!(net.hosts[1].snmp.get(Counter::IcmpOutDestUnreachs), 7);
    net.assert_ledger();
}

#[test]
fn echo_to_the_broadcast_address_is_ignored_unless_asked_for() {
    let mut net = switched(true);
    let s = net.ping_socket(0, "10.0.0.255");
    net.call(0, |ns, t| ns.set_option(t, s, SockOpt::Broadcast(true))).unwrap();
    assert_eq!(net.ping_with(0, s, "10.0.0.255", 10), Err(PingError::Silence));
    assert!(net.dropped(DropReason::IcmpIgnored) >= 1);
    net.sysctl(1, "ipv4.icmp_echo_ignore_broadcasts", "0");
    assert_eq!(net.ping_with(0, s, "10.0.0.255", 10), Ok((10, 64)));
}

#[test]
fn martians_are_dropped() {
    let mut net = switched(true);
    let dev = net.dev(1, "eth0");
    let mac = net.hosts[1].dev.get(dev).unwrap().mac;
    let mut from = |src: [u8; 4], dst: [u8; 4]| {
        use netspace_wire::ipv4::Ipv4Repr;
        let mut frame = [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 8, 0]].concat();
        let mut header = [0; 20];
        Ipv4Repr::new(src.into(), dst.into(), 17, 8).emit(&mut header);
        frame.extend(header);
        frame.extend([0; 8]);
        let before = net.t.ledger.dropped_total();
        net.inject((1, dev), &frame);
        net.t.ledger.dropped_total() - before
    };
    let good = [10, 0, 0, 2];
    for src in [[127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 0, 2], [0, 0, 0, 0]] {
        assert_eq!(from(src, good), 1, "{src:?}");
    }
    assert_eq!(from([10, 0, 0, 1], [127, 0, 0, 1]), 1);
    assert_eq!(net.dropped(DropReason::IpSourceInvalid), 5);
    assert_eq!(net.dropped(DropReason::IpDestInvalid), 1);
}

#[test]
fn the_reverse_path_filter_drops_what_could_not_be_answered() {
    let mut net = routed();
    net.sysctl(1, "ipv4.conf.all.rp_filter", "1");
    // The client claims an address of the server's net.
    let dev = net.dev(0, "eth0");
    net.call(0, |ns, t| ns.add_address(t, dev, "10.0.2.77/32".parse().unwrap(), true)).unwrap();
    let s = udp(&mut net, 0, "10.0.2.77:4000");
    send(&mut net, 0, s, "10.0.2.2:9").unwrap();
    net.seconds(1);
    assert_eq!(net.dropped(DropReason::ReversePath), 1);
    assert_eq!(net.hosts[1].snmp.get(Counter::TcpExtIpReversePathFilter), 1);
}

#[test]
fn sysctls_have_linux_names_ranges_and_families() {
    let mut net = switched(true);
    let ns: &mut Netns = &mut net.hosts[0];
    let mut t = netspace_stack::Turn::default();
    assert_eq!(ns.sysctl("net.ipv4.ip_forward").as_deref(), Some("0"));
    ns.set_sysctl(&mut t, "net/ipv4/ip_forward", "1").unwrap();
    for name in ["ipv4.conf.all.forwarding", "ipv4.conf.default.forwarding", "ipv4.conf.eth0.forwarding"] {
        assert_eq!(ns.sysctl(name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(ns.set_sysctl(&mut t, "ipv4.ip_default_ttl", "0"), Err(SockError::Invalid));
    assert_eq!(ns.set_sysctl(&mut t, "ipv4.no_such_thing", "0"), Err(SockError::NoEntry));
    assert_eq!(ns.sysctl("ipv4.tcp_rmem").as_deref(), Some("4096\t131072\t6291456"));
    ns.set_sysctl(&mut t, "ipv4.neigh.eth0.retrans_time_ms", "250").unwrap();
    assert_eq!(ns.sysctl("ipv4.neigh.eth0.retrans_time_ms").as_deref(), Some("250"));
    let names = ns.sysctl_names();
    assert!(names.iter().all(|n| ns.sysctl(n).is_some()), "every name has a value");
    let mut unique = names.clone();
    unique.dedup();
    assert_eq!(names, unique);
}

#[test]
fn routes_go_with_their_device_and_connected_ones_come_back() {
    let mut net = routed();
    net.sysctl(0, "ipv6.conf.eth0.keep_addr_on_down", "1");
    let dev = net.dev(0, "eth0");
    let routes = |net: &Net| (net.hosts[0].fib4.len(), net.hosts[0].fib6.len());
    let before = routes(&net);
    net.call(0, |ns, t| ns.set_up(t, dev, false)).unwrap();
    assert_eq!(net.ping(0, "10.0.1.1", 8), Err(PingError::Send(SockError::NetworkUnreachable)));
    assert_eq!(net.hosts[0].fib4.routes().filter(|r| r.hops[0].dev == dev).count(), 0);
    net.call(0, |ns, t| ns.set_up(t, dev, true)).unwrap();
    net.seconds(3);
    assert_eq!(net.ping(0, "10.0.1.1", 8), Ok((8, 64)));
    assert_eq!(net.ping(0, "fd00:1::1", 8), Ok((8, 64)));
    assert_eq!(routes(&net), (before.0 - 1, before.1 - 1), "all but the default routes are there again");
    net.sysctl(0, "ipv6.conf.eth0.keep_addr_on_down", "0");
    net.call(0, |ns, t| ns.set_up(t, dev, false)).unwrap();
    assert!(net.hosts[0].dev.get(dev).unwrap().addrs6.is_empty(), "as on Linux");
}

#[test]
fn refusing_routes_refuse_as_they_say() {
    use netspace_fib::{Add, Kind, Route};
    let mut net = routed();
    for (prefix, kind, error, code) in [
        ("192.0.2.0/26", Kind::Unreachable, SockError::HostUnreachable, Some(1)),
        ("192.0.2.64/26", Kind::Prohibit, SockError::Access, Some(13)),
        ("192.0.2.128/26", Kind::Blackhole, SockError::Invalid, None),
    ] {
        let net4: ipnet::Ipv4Net = prefix.parse().unwrap();
        let dst = std::net::Ipv4Addr::from(u32::from(net4.addr()) + 1).to_string();
        net.call(1, |ns, t| ns.add_route4(t, Route::refusal(net4, kind), Add::New)).unwrap();
        assert_eq!(net.ping(1, &dst, 8), Err(PingError::Send(error)), "made here");
        let told = net.ping(0, &dst, 8);
        match code {
            Some(code) => assert!(
                matches!(told, Err(PingError::Icmp { kind: 3, code: c, .. }) if c == code),
                "{told:?}"
            ),
            None => assert_eq!(told, Err(PingError::Silence)),
        }
        net.seconds(10);
    }
}

/// An IGMP query to all systems as a frame.
fn igmp_query(max_response_ds: u32, v3: bool) -> Vec<u8> {
    use netspace_wire::igmp::{IgmpRepr, QueryV3};
    use netspace_wire::ipv4::Ipv4Repr;
    let v3 = v3.then(|| QueryV3 { suppress: false, robustness: 2, interval_s: 125, sources: Vec::new() });
    let repr = IgmpRepr::Query { max_response_ds, group: [0, 0, 0, 0].into(), v3 };
    let mut igmp = vec![0; repr.header_len()];
    repr.emit(&mut igmp);
    let ip = Ipv4Repr { ttl: 1, ..Ipv4Repr::new([10, 0, 0, 9].into(), [224, 0, 0, 1].into(), 2, igmp.len()) };
    let mut header = [0; 20];
    ip.emit(&mut header);
    [[1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 9, 9, 8, 0].as_slice(), &header, &igmp].concat()
}

#[test]
fn the_oldest_querier_decides_until_its_time_is_over() {
    let mut net = switched(true);
    let s = udp(&mut net, 1, "0.0.0.0:5000");
    join(&mut net, 1, s, "239.1.2.3");
    net.seconds(5);
    let to = (1, net.dev(1, "eth0"));
    let heard = |net: &Net| ["v1", "v2", "v3"].map(|v| net.logged(&[&format!("igmp {v} report")]));
    // At 0 s a querier of version 1, at 15 s one of version 2: version 1 is spoken for 400 s, version 2 for 260 s.
    net.inject(to, &igmp_query(0, false));
    net.seconds(15);
    for (wait, version) in [(0, 0), (300, 0), (100, 2)] {
        net.seconds(wait);
        let before = heard(&net);
        net.inject(to, &igmp_query(10, wait > 0));
        net.seconds(5);
        let after = heard(&net);
        for v in 0..3 {
            assert_eq!(after[v] > before[v], v == version, "version {} after {wait} s", v + 1);
        }
    }
}

#[test]
fn a_query_that_gives_no_time_is_answered_at_once() {
    let mut net = switched(true);
    let s = udp(&mut net, 1, "0.0.0.0:5000");
    join(&mut net, 1, s, "239.1.2.3");
    net.seconds(5);
    let to = (1, net.dev(1, "eth0"));
    let before = net.logged(&["igmp v3 report"]);
    net.inject(to, &igmp_query(0, true));
    net.advance(std::time::Duration::from_millis(200));
    assert!(net.logged(&["igmp v3 report"]) > before);
}

#[test]
fn listener_queries_come_from_the_link_with_a_router_alert() {
    use netspace_wire::ipv6::Ipv6Repr;
    use netspace_wire::ipv6::ext::router_alert_header;
    use netspace_wire::mld::MldRepr;
    let mut net = switched(true);
    let s = udp(&mut net, 1, "[::]:5000");
    join(&mut net, 1, s, "ff05::1234");
    net.seconds(5);
    let to = (1, net.dev(1, "eth0"));
    let all: std::net::Ipv6Addr = "ff02::1".parse().unwrap();
    for (src, alert, answered) in [("::", true, false), ("fe80::9", false, false), ("fe80::9", true, true)] {
        let src = src.parse().unwrap();
        let repr = MldRepr::Query { max_response_ms: 100, group: std::net::Ipv6Addr::UNSPECIFIED, v2: None };
        let mut mld = vec![0; repr.header_len()];
        repr.emit(&mut mld);
        netspace_wire::icmpv6::fill_checksum(src, all, &mut mld);
        let (next, options) = match alert {
            true => (0, router_alert_header(58).to_vec()),
            false => (58, Vec::new()),
        };
        let rest = [options, mld].concat();
        let mut header = [0; 40];
        Ipv6Repr { hop_limit: 1, ..Ipv6Repr::new(src, all, next, rest.len()) }.emit(&mut header);
        let frame =
            [[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 9, 9, 0x86, 0xdd].as_slice(), &header, &rest].concat();
        let reports = |net: &Net| net.logged(&["multicast listener report", "ff05::1234"]);
        let before = reports(&net);
        net.inject(to, &frame);
        net.seconds(2);
        assert_eq!(reports(&net) > before, answered, "from {src}, alert: {alert}");
    }
}

#[test]
fn the_reverse_path_filter_holds_for_groups_and_broadcasts() {
    let mut net = routed();
    net.sysctl(2, "ipv4.conf.all.rp_filter", "1");
    net.call(2, |ns, t| ns.del_route(t, "0.0.0.0/0".parse().unwrap(), None, None)).unwrap();
    let to = (2, net.dev(2, "eth0"));
    for (dst, mac) in [([224, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1]), ([255; 4], [0xff; 6])] {
        for (src, refused) in [([192, 0, 2, 1], 1), ([10, 0, 2, 1], 0), ([0; 4], 0)] {
            let mut header = [0; 20];
            netspace_wire::ipv4::Ipv4Repr::new(src.into(), dst.into(), 17, 8).emit(&mut header);
            let frame = [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 8, 0], &header, &[0; 8]].concat();
            let before = net.dropped(DropReason::ReversePath);
            net.inject(to, &frame);
            assert_eq!(net.dropped(DropReason::ReversePath) - before, refused, "{src:?} to {dst:?}");
        }
    }
    // From and to 0.0.0.0 is a broadcast, too.
    let mut header = [0; 20];
    netspace_wire::ipv4::Ipv4Repr::new([0; 4].into(), [0; 4].into(), 17, 8).emit(&mut header);
    let frame = [[0xff; 6].as_slice(), &[2, 0, 0, 0, 9, 9, 8, 0], &header, &[0; 8]].concat();
    let before = net.hosts[2].snmp.get(Counter::IpExtInBcastPkts);
    net.inject(to, &frame);
    assert_eq!(net.hosts[2].snmp.get(Counter::IpExtInBcastPkts) - before, 1);
}
