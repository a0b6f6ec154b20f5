//! IPv6's own: extension headers, scopes, advertised routers, addresses chosen as sources.

mod common;

use std::net::Ipv6Addr;

use common::{Net, routed, switched};
use netspace_base::DropReason;
use netspace_stack::RouteQuery;
use netspace_stack::ip6::ra::RouterConfig;
use netspace_stack::snmp::Counter;
use netspace_wire::icmpv6::fill_checksum;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::protocol;

/// A frame to host 1 from fd00::1 with these headers and payload behind the fixed one.
fn frame(net: &Net, dst: Ipv6Addr, next_header: u8, rest: &[u8]) -> Vec<u8> {
    let mac = if dst.is_multicast() {
        netspace_wire::MacAddr::multicast_v6(dst).0
    } else {
        net.hosts[1].dev.by_name("eth0").unwrap().mac
    };
    let mut header = [0; 40];
    Ipv6Repr::new("fd00::1".parse().unwrap(), dst, next_header, rest.len()).emit(&mut header);
    [mac.as_slice(), &[2, 0, 0, 0, 0, 2, 0x86, 0xdd], &header, rest].concat()
}

fn echo(dst: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![128, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4];
    fill_checksum("fd00::1".parse().unwrap(), dst, &mut message);
    message
}

#[test]
fn extension_headers_are_walked_and_unknown_options_answered() {
    let mut net = switched(true);
    net.ping(0, "fd00::2", 8).unwrap();
    let dst: Ipv6Addr = "fd00::2".parse().unwrap();
    let to = (1, net.dev(1, "eth0"));
    let replies = |net: &Net| net.hosts[1].snmp.get(Counter::Icmp6OutEchoReplies);
    let problems = |net: &Net| net.hosts[1].snmp.get(Counter::Icmp6OutParmProblems);
    let before = replies(&net);
    // Destination options with an unknown option that is skipped (type 0x1e), then one that is reported (0x9e).
    for (kind, answered) in [(0x1e, true), (0x9e, false)] {
        let options = [protocol::ICMPV6, 0, kind, 4, 0, 0, 0, 0];
        let bytes = frame(&net, dst, protocol::DESTINATION, &[options.as_slice(), &echo(dst)].concat());
        net.inject(to, &bytes);
        net.seconds(1);
        assert_eq!(replies(&net) - before, 1, "answered: {answered}");
    }
    assert_eq!(problems(&net), 1);
    // An unknown next header: parameter problem, code 1.
    let bytes = frame(&net, dst, 253, &[0; 8]);
    net.inject(to, &bytes);
    net.seconds(1);
    assert_eq!(problems(&net), 2);
    // A routing header of type 0 with segments left (RFC 5095).
    let routing = [protocol::ICMPV6, 2, 0, 1, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let bytes = frame(&net, dst, protocol::ROUTING, &[routing.as_slice(), &echo(dst)].concat());
    net.inject(to, &bytes);
    assert_eq!(net.dropped(DropReason::Ip6Extension), 2);
    net.seconds(1);
    net.assert_ledger();
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let mut net = switched(true);
    net.ping(0, "fd00::2", 8).unwrap();
    let dst: Ipv6Addr = "fd00::2".parse().unwrap();
    let to = (1, net.dev(1, "eth0"));
    let fragment = [protocol::ICMPV6, 0, 0, 0, 0, 0, 0, 9];
    let bytes = frame(&net, dst, protocol::FRAGMENT, &[fragment.as_slice(), &echo(dst)].concat());
    let before = net.hosts[1].snmp.get(Counter::Icmp6OutEchoReplies);
    net.inject(to, &bytes);
    assert_eq!(net.hosts[1].snmp.get(Counter::Icmp6OutEchoReplies), before + 1);
}

#[test]
fn no_errors_about_errors_or_groups() {
    let mut net = switched(true);
    net.ping(0, "fd00::2", 8).unwrap();
    let to = (1, net.dev(1, "eth0"));
    let sent = |net: &Net| net.hosts[1].snmp.get(Counter::Icmp6OutMsgs);
    let before = sent(&net);
    let group: Ipv6Addr = "ff02::1".parse().unwrap();
    let bytes = frame(&net, group, 253, &[0; 8]);
    net.inject(to, &bytes);
    // A time exceeded behind a header that is not known.
    let dst: Ipv6Addr = "fd00::2".parse().unwrap();
    let mut error = vec![3, 0, 0, 0, 0, 0, 0, 0];
    error.extend([0; 40]);
    fill_checksum("fd00::1".parse().unwrap(), dst, &mut error);
    let options = [protocol::ICMPV6, 0, 0x9e, 4, 0, 0, 0, 0];
    let bytes = frame(&net, dst, protocol::DESTINATION, &[options.as_slice(), &error].concat());
    net.inject(to, &bytes);
    net.seconds(1);
    assert_eq!(sent(&net), before);
}

#[test]
fn damaged_checksums_are_found() {
    let mut net = switched(true);
    let dst: Ipv6Addr = "fd00::2".parse().unwrap();
    let to = (1, net.dev(1, "eth0"));
    let mut bytes = frame(&net, dst, protocol::ICMPV6, &echo(dst));
    *bytes.last_mut().unwrap() ^= 1;
    net.inject(to, &bytes);
    assert_eq!(net.dropped(DropReason::IcmpChecksum), 1);
    assert_eq!(net.hosts[1].snmp.get(Counter::Icmp6InCsumErrors), 1);
    assert_eq!(net.hosts[1].snmp.get(Counter::Icmp6InErrors), 1);
}

#[test]
fn sources_are_chosen_by_rfc_6724() {
    let mut net = Net::new();
    let (a, b) = (net.host("a"), net.host("b"));
    net.link(a, b);
    net.link(a, b);
    net.addr(a, "eth0", "2001:db8:1::1/64");
    net.addr(a, "eth0", "fd00:1::1/64");
    net.addr(a, "eth1", "2001:db8:2::1/64");
    net.seconds(3);
    let via = net.dev(a, "eth0");
    net.call(a, |ns, t| ns.add_route(t, "::/0".parse().unwrap(), None, Some(via), 0)).unwrap();
    let source = |net: &Net, dst: &str| {
        net.hosts[a].route_out(net.t.now, &RouteQuery::to(dst.parse().unwrap())).unwrap().src.to_string()
    };
    assert_eq!(source(&net, "2001:db8:1::9"), "2001:db8:1::1");
    assert_eq!(source(&net, "2001:db8:2::9"), "2001:db8:2::1", "the outgoing device's");
    assert_eq!(source(&net, "fd00:5::9"), "fd00:1::1", "equal labels");
    assert_eq!(source(&net, "2001:4860::9"), "2001:db8:1::1");
    assert_eq!(source(&net, "::1"), "::1");
}

#[test]
fn the_preferred_router_is_used_and_a_dead_one_is_not() {
    let mut net = Net::new();
    let (host, r1, r2, switch) =
        (net.host("host"), net.router("r1"), net.router("r2"), net.switch("s", true));
    for n in [host, r1, r2] {
        net.link(n, switch);
    }
    for (router, preference) in [(r1, 0), (r2, 1)] {
        let dev = net.dev(router, "eth0");
        let config = RouterConfig { preference, ..RouterConfig::default() };
        net.call(router, |ns, t| ns.set_router_advertisement(t, dev, Some(config))).unwrap();
    }
    net.addr(host, "eth0", "2001:db8::2/64");
    net.seconds(10);
    let link_local = |net: &Net, n: usize| {
        let device = net.hosts[n].dev.by_name("eth0").unwrap();
        device.addrs6.iter().find(|a| a.addr.is_unicast_link_local()).unwrap().addr
    };
    let used = |net: &Net| {
        net.hosts[host].route_out(net.t.now, &RouteQuery::to("2001:4860::9".parse().unwrap())).unwrap().via
    };
    assert_eq!(used(&net), link_local(&net, r2), "high preference");
    net.plug(2, false);
    let s = net.ping_socket(host, "2001:4860::9");
    for _ in 0..4 {
        let _ = net.echo(host, s, "2001:4860::9", 8);
        net.seconds(5);
    }
    assert_eq!(used(&net), link_local(&net, r1), "the other does not answer");
}

#[test]
fn link_local_packets_do_not_pass_a_router() {
    let mut net = routed();
    let ll = net.hosts[0].dev.by_name("eth0").unwrap().addrs6.iter().find(|a| a.addr.is_unicast_link_local());
    let src = ll.unwrap().addr;
    let mac = net.hosts[1].dev.by_name("eth0").unwrap().mac;
    let mut header = [0; 40];
    Ipv6Repr::new(src, "fd00:2::2".parse().unwrap(), protocol::NO_NEXT, 0).emit(&mut header);
    let bytes = [mac.as_slice(), &[2, 0, 0, 0, 0, 1, 0x86, 0xdd], &header].concat();
    let to = (1, net.dev(1, "eth0"));
    net.inject(to, &bytes);
    net.seconds(1);
    assert_eq!(net.dropped(DropReason::ScopeExceeded), 1);
    assert!(net.logged(&["ICMP6", "beyond scope"]) > 0, "{:#?}", net.log.last());
}

#[test]
fn ipv6_goes_off_and_on() {
    let mut net = switched(true);
    net.sysctl(1, "ipv6.conf.eth0.disable_ipv6", "1");
    assert!(net.hosts[1].dev.by_name("eth0").unwrap().addrs6.is_empty());
    assert!(net.ping(0, "fd00::2", 8).is_err());
    net.sysctl(1, "ipv6.conf.eth0.disable_ipv6", "0");
    net.seconds(3);
    assert_eq!(net.hosts[1].dev.by_name("eth0").unwrap().addrs6.len(), 1, "a link-local address again");
    net.addr(1, "eth0", "fd00::2/64");
    assert_eq!(net.ping(0, "fd00::2", 8), Ok((8, 64)));
}

#[test]
fn link_local_packets_stay_on_their_link_but_may_turn_there() {
    let mut net = routed();
    let ll = |net: &Net, n: usize| {
        let device = net.hosts[n].dev.by_name("eth0").unwrap();
        device.addrs6.iter().find(|a| a.addr.is_unicast_link_local()).unwrap().addr
    };
    let src = ll(&net, 0);
    let to = (1, net.dev(1, "eth0"));
    let mac = net.hosts[1].dev.get(to.1).unwrap().mac;
    // To another host of the same link the router passes it on, and tells of the shorter way; to another link never.
    for (dst, forwarded, told) in [("fd00:1::77", 1, 0), ("fd00:2::2", 1, 1)] {
        let mut header = [0; 40];
        Ipv6Repr::new(src, dst.parse().unwrap(), protocol::UDP, 8).emit(&mut header);
        let frame = [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 0x86, 0xdd], &header, &[0; 8]].concat();
        net.inject(to, &frame);
        assert_eq!(net.hosts[1].snmp.get(Counter::Ip6OutForwDatagrams), forwarded, "to {dst}");
        assert_eq!(net.dropped(DropReason::ScopeExceeded), told, "to {dst}");
    }
}
