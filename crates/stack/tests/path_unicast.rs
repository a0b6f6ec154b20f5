//! Packets between hosts: over a switch, over routers, to nowhere.

mod common;

use common::{Net, PingError, routed, routed_with, switched};
use netspace_base::DropReason;
use netspace_stack::neigh::NeighState;
use netspace_stack::snmp::Counter;

#[test]
fn loopback_answers_both_families() {
    let mut net = Net::new();
    let a = net.host("a");
    for dst in ["127.0.0.1", "127.9.9.9", "::1"] {
        assert_eq!(net.ping(a, dst, 56), Ok((56, 64)), "{dst}");
        assert_eq!(net.ping(a, dst, 65_000), Ok((65_000, 64)), "{dst} whole: the MTU of loopback is 65,536");
    }
    net.assert_ledger();
}

#[test]
fn hosts_on_a_switch_reach_each_other() {
    let mut net = switched(true);
    for dst in ["10.0.0.2", "fd00::2"] {
        assert_eq!(net.ping(0, dst, 56), Ok((56, 64)), "{dst}");
    }
    let neighbour = net.hosts[0].neigh.get(net.dev(0, "eth0"), "10.0.0.2".parse().unwrap()).unwrap();
    assert_eq!(neighbour.state, NeighState::Reachable);
    assert_eq!(net.logged(&["who-has 10.0.0.2"]), 2, "asked once, over two links: {:#?}", net.log);
    net.assert_ledger();
}

#[test]
fn a_router_takes_one_from_the_ttl() {
    let mut net = routed();
    for dst in ["10.0.2.2", "fd00:2::2"] {
        assert_eq!(net.ping(0, dst, 1000), Ok((1000, 63)), "{dst}");
    }
    assert_eq!(net.hosts[1].snmp.get(Counter::IpForwDatagrams), 2);
    assert_eq!(net.hosts[1].snmp.get(Counter::Ip6OutForwDatagrams), 2);
    net.assert_ledger();
}

#[test]
fn own_addresses_are_reached_over_loopback() {
    let mut net = routed();
    let before = net.log.len();
    for dst in ["10.0.1.2", "fd00:1::2"] {
        assert_eq!(net.ping(0, dst, 56), Ok((56, 64)), "{dst}");
    }
    assert_eq!(net.log.len(), before, "nothing went over the link");
}

#[test]
fn a_host_that_does_not_forward_drops() {
    let mut net = routed();
    net.sysctl(1, "ipv4.ip_forward", "0");
    net.sysctl(1, "ipv6.conf.all.forwarding", "0");
    for dst in ["10.0.2.2", "fd00:2::2"] {
        assert_eq!(net.ping(0, dst, 56), Err(PingError::Silence), "{dst}");
    }
    assert!(net.dropped(DropReason::ForwardingOff) >= 2);
}

#[test]
fn routers_tell_where_there_is_no_route() {
    let mut net = routed();
    let from4 = Some("10.0.1.1".parse().unwrap());
    let from6 = Some("fd00:1::1".parse().unwrap());
    assert_eq!(net.ping(0, "192.0.2.9", 56), Err(PingError::Icmp { kind: 3, code: 0, info: 0, from: from4 }));
    assert_eq!(
        net.ping(0, "2001:db8::9", 56),
        Err(PingError::Icmp { kind: 1, code: 0, info: 0, from: from6 })
    );
    assert_eq!(net.dropped(DropReason::NoRoute), 2);
    net.assert_ledger();
}

#[test]
fn without_a_route_the_program_is_told_at_once() {
    let mut net = switched(true);
    use netspace_stack::sock::SockError::NetworkUnreachable;
    assert_eq!(net.ping(0, "192.0.2.9", 56), Err(PingError::Send(NetworkUnreachable)));
    assert_eq!(net.ping(0, "2001:db8::9", 56), Err(PingError::Send(NetworkUnreachable)));
}

#[test]
fn loopback_addresses_stay_on_their_host() {
    use netspace_stack::RouteQuery;
    use netspace_stack::sock::SockError;
    let net = switched(true);
    let src = Some("127.0.0.1".parse().unwrap());
    let query = RouteQuery { src, ..RouteQuery::to("10.0.0.2".parse().unwrap()) };
    assert_eq!(net.hosts[0].route_out(net.t.now, &query), Err(SockError::Invalid));
    let own = RouteQuery { src, ..RouteQuery::to("10.0.0.1".parse().unwrap()) };
    assert!(net.hosts[0].route_out(net.t.now, &own).is_ok());
}

#[test]
fn a_silent_neighbour_is_unreachable_after_three_probes() {
    let mut net = switched(true);
    let own = Some("10.0.0.1".parse().unwrap());
    let own6 = Some("fd00::1".parse().unwrap());
    let start = net.t.now;
    assert_eq!(net.ping(0, "10.0.0.77", 56), Err(PingError::Icmp { kind: 3, code: 1, info: 0, from: own }));
    assert_eq!((net.t.now - start).as_secs(), 3, "three probes, a second each");
    assert_eq!(net.logged(&["who-has 10.0.0.77"]), 6, "three on each of two links: {:#?}", net.log);
    assert_eq!(net.ping(0, "fd00::77", 56), Err(PingError::Icmp { kind: 1, code: 3, info: 0, from: own6 }));
    assert_eq!(net.dropped(DropReason::NeighFailed), 2);
    net.assert_ledger();
}

#[test]
fn a_router_reports_a_silent_host_to_the_sender() {
    let mut net = routed();
    let from4 = Some("10.0.1.1".parse().unwrap());
    let from6 = Some("fd00:1::1".parse().unwrap());
    assert_eq!(net.ping(0, "10.0.2.77", 56), Err(PingError::Icmp { kind: 3, code: 1, info: 0, from: from4 }));
    assert_eq!(
        net.ping(0, "fd00:2::77", 56),
        Err(PingError::Icmp { kind: 1, code: 3, info: 0, from: from6 })
    );
}

#[test]
fn the_ttl_runs_out_on_the_way() {
    use netspace_stack::sock::SockOpt;
    let mut net = routed();
    for (dst, option, kind, from) in [
        ("10.0.2.2", SockOpt::IpTtl(Some(1)), 11, "10.0.1.1"),
        ("fd00:2::2", SockOpt::V6UnicastHops(Some(1)), 3, "fd00:1::1"),
    ] {
        let s = net.ping_socket(0, dst);
        net.call(0, |ns, t| ns.set_option(t, s, option)).unwrap();
        let from = Some(from.parse().unwrap());
        assert_eq!(
            net.ping_with(0, s, dst, 56),
            Err(PingError::Icmp { kind, code: 0, info: 0, from }),
            "{dst}"
        );
    }
    assert_eq!(net.dropped(DropReason::TtlExceeded), 2);
}

#[test]
fn path_mtu_is_learnt_and_kept_for_ten_minutes() {
    use netspace_stack::sock::{PmtuDiscover, SockError, SockOpt};
    let mut net = routed_with(1500, 1400);
    for (dst, option, kind, code, fits) in [
        ("10.0.2.2", SockOpt::IpMtuDiscover(PmtuDiscover::Do), 3, 4, 1372),
        ("fd00:2::2", SockOpt::V6MtuDiscover(PmtuDiscover::Do), 2, 0, 1352),
    ] {
        let s = net.ping_socket(0, dst);
        net.call(0, |ns, t| ns.set_option(t, s, option)).unwrap();
        let told = net.ping_with(0, s, dst, 1440);
        assert!(
            matches!(told, Err(PingError::Icmp { kind: k, code: c, info: 1400, .. }) if (k, c) == (kind, code)),
            "{told:?}"
        );
        assert_eq!(net.ping_with(0, s, dst, 1440), Err(PingError::Send(SockError::MessageSize)), "{dst}");
        let _ = net.recv(0, s, true);
        assert_eq!(net.ping_with(0, s, dst, fits), Ok((fits, 63)));
    }
    net.seconds(601);
    let told = net.ping(0, "10.0.2.2", 1440);
    assert!(told.is_err() || told == Ok((1440, 63)), "{told:?}");
    net.assert_ledger();
}

#[test]
fn fragments_are_joined_at_the_destination() {
    let mut net = routed_with(1500, 1300);
    // 5 kB: cut by the sender for 1500, and on IPv4 cut again by the router for 1300.
    assert_eq!(net.ping(0, "10.0.2.2", 5000), Ok((5000, 63)));
    assert!(net.hosts[1].snmp.get(Counter::IpFragCreates) > 0, "the router fragments IPv4");
    assert!(net.ping(0, "fd00:2::2", 5000).is_err(), "routers do not fragment IPv6: packet too big");
    assert_eq!(net.ping(0, "fd00:2::2", 5000), Ok((5000, 63)), "now the sender knows");
    assert_eq!(net.hosts[2].snmp.get(Counter::IpReasmOks), 1);
    assert_eq!(net.hosts[2].snmp.get(Counter::Ip6ReasmOks), 1);
    net.assert_ledger();
}

#[test]
fn an_address_stays_while_it_has_another_prefix() {
    let mut net = switched(true);
    let dev = net.dev(0, "eth0");
    net.addr(0, "eth0", "10.0.0.1/16");
    net.call(0, |ns, t| ns.del_address(t, dev, "10.0.0.1/16".parse().unwrap())).unwrap();
    assert!(net.hosts[0].is_local([10, 0, 0, 1].into()));
    assert_eq!(net.ping(1, "10.0.0.1", 8), Ok((8, 64)));
    assert!(net.hosts[0].fib4.routes().all(|r| r.prefix.prefix_len() != 16));
    net.call(0, |ns, t| ns.del_address(t, dev, "10.0.0.1/24".parse().unwrap())).unwrap();
    assert!(!net.hosts[0].is_local([10, 0, 0, 1].into()));
}

#[test]
fn loopback_gets_its_address_back_with_ipv6() {
    let mut net = switched(true);
    assert_eq!(net.ping(0, "::1", 8), Ok((8, 64)));
    net.sysctl(0, "ipv6.conf.lo.disable_ipv6", "1");
    assert!(net.ping(0, "::1", 8).is_err());
    net.sysctl(0, "ipv6.conf.lo.disable_ipv6", "0");
    assert_eq!(net.ping(0, "::1", 8), Ok((8, 64)));
}
