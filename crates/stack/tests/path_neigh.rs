//! Neighbours, duplicate address detection, router advertisements, redirects.

mod common;

use std::net::{IpAddr, Ipv6Addr};

use common::{Net, routed, switched};
use netspace_base::DropReason;
use netspace_stack::ip6::addr::AddrState;
use netspace_stack::ip6::ra::{AdvertisedPrefix, RouterConfig};
use netspace_stack::neigh::NeighState;

fn state(net: &Net, n: usize, addr: &str) -> Option<NeighState> {
    let addr: IpAddr = addr.parse().unwrap();
    net.hosts[n].neigh.get(net.dev(n, "eth0"), addr).map(|e| e.state)
}

#[test]
fn packets_wait_for_the_answer_and_the_oldest_make_room() {
    let mut net = switched(true);
    net.sysctl(0, "ipv4.neigh.eth0.unres_qlen_bytes", "3000");
    let s = net.ping_socket(0, "10.0.0.2");
    for _ in 0..5 {
        net.echo(0, s, "10.0.0.2", 100).unwrap();
    }
    assert_eq!(net.dropped(DropReason::NeighQueueFull), 2, "3 × (128 + 768) bytes fit");
    net.assert_ledger();
    net.seconds(1);
    let replies = std::iter::from_fn(|| net.recv(0, s, false).ok()).count();
    assert_eq!(replies, 3);
}

#[test]
fn a_neighbour_grows_stale_is_probed_and_confirmed() {
    let mut net = switched(true);
    for dst in ["10.0.0.2", "fd00::2"] {
        net.ping(0, dst, 56).unwrap();
        assert_eq!(state(&net, 0, dst), Some(NeighState::Reachable));
    }
    net.seconds(120);
    for dst in ["10.0.0.2", "fd00::2"] {
        assert_eq!(state(&net, 0, dst), Some(NeighState::Stale), "{dst}");
        net.ping(0, dst, 56).unwrap();
        assert_eq!(state(&net, 0, dst), Some(NeighState::Delay), "{dst}");
    }
    let before = net.log.len();
    net.seconds(6);
    assert!(net.log.len() > before, "after five seconds it was asked itself");
    for dst in ["10.0.0.2", "fd00::2"] {
        assert_eq!(state(&net, 0, dst), Some(NeighState::Reachable), "{dst}");
    }
}

#[test]
fn a_neighbour_that_went_away_fails_after_its_probes() {
    let mut net = switched(true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    net.seconds(60);
    net.links[1].lose = Some(Box::new(|_| true));
    let _ = net.ping(0, "10.0.0.2", 56);
    net.seconds(10);
    assert_eq!(state(&net, 0, "10.0.0.2"), Some(NeighState::Failed));
    net.assert_ledger();
}

#[test]
fn gratuitous_arp_moves_a_known_neighbour() {
    let mut net = switched(true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    let c = net.host("c");
    net.link(c, 2);
    net.seconds(2);
    // b gives its address up, c takes it over and says so.
    net.call(1, |ns, t| ns.del_address(t, netspace_base::DevId(2), "10.0.0.2/24".parse().unwrap())).unwrap();
    net.addr(c, "eth0", "10.0.0.2/24");
    net.seconds(1);
    let mac = net.hosts[c].dev.by_name("eth0").unwrap().mac;
    let known = net.hosts[0].neigh.get(net.dev(0, "eth0"), "10.0.0.2".parse().unwrap()).unwrap();
    assert_eq!(known.mac.0, mac);
    assert_eq!(net.ping(0, "10.0.0.2", 56), Ok((56, 64)));
}

#[test]
fn the_table_is_bounded() {
    let mut net = switched(true);
    net.sysctl(0, "ipv4.neigh.default.gc_thresh2", "16");
    net.sysctl(0, "ipv4.neigh.default.gc_thresh3", "32");
    let s = net.ping_socket(0, "10.0.0.2");
    for n in 10..200 {
        let _ = net.echo(0, s, &format!("10.0.0.{n}"), 10);
    }
    assert!(net.hosts[0].neigh.len() <= 32);
    assert!(net.dropped(DropReason::NeighTableFull) > 0);
    net.assert_ledger();
    net.seconds(60);
    net.assert_ledger();
}

#[test]
fn a_duplicate_address_is_found_and_not_used() {
    let mut net = switched(true);
    let dev = net.dev(1, "eth0");
    net.call(1, |ns, t| ns.add_address(t, dev, "fd00::1/64".parse().unwrap(), false)).unwrap();
    let of = |net: &Net| net.hosts[1].dev.get(dev).unwrap().addr6("fd00::1".parse().unwrap()).unwrap().state;
    assert_eq!(of(&net), AddrState::Tentative);
    net.seconds(3);
    assert_eq!(of(&net), AddrState::Duplicate);
    assert_eq!(net.ping(1, "fd00::1", 56), Ok((56, 64)), "the owner answers");
    assert!(net.logged(&["neighbor advertisement", "tgt is fd00::1"]) > 0);
}

#[test]
fn a_free_address_is_used_after_its_check() {
    let mut net = switched(true);
    let dev = net.dev(1, "eth0");
    net.call(1, |ns, t| ns.add_address(t, dev, "fd00::9/64".parse().unwrap(), false)).unwrap();
    net.advance(std::time::Duration::from_millis(500));
    assert!(!net.hosts[1].is_local("fd00::9".parse().unwrap()));
    net.seconds(3);
    assert!(net.hosts[1].is_local("fd00::9".parse().unwrap()));
    assert_eq!(net.ping(0, "fd00::9", 56), Ok((56, 64)));
}

/// A host without addresses behind a router that advertises fd00:7::/64.
fn advertised(config: RouterConfig) -> Net {
    let mut net = Net::new();
    let (host, router) = (net.host("host"), net.router("router"));
    net.link(host, router);
    net.addr(router, "eth0", "fd00:7::1/64");
    let dev = net.dev(router, "eth0");
    net.call(router, |ns, t| ns.set_router_advertisement(t, dev, Some(config))).unwrap();
    net.seconds(6);
    net
}

fn slaac_config() -> RouterConfig {
    let prefix = AdvertisedPrefix::new("fd00:7::/64".parse().unwrap());
    RouterConfig { prefixes: vec![prefix], mtu: Some(1400), ..RouterConfig::default() }
}

fn made(net: &Net) -> Option<Ipv6Addr> {
    net.hosts[0].dev.by_name("eth0").unwrap().addrs6.iter().find(|a| a.autoconf).map(|a| a.addr)
}

#[test]
fn a_host_configures_itself_from_an_advertisement() {
    let mut net = advertised(slaac_config());
    assert_eq!(made(&net), Some("fd00:7::ff:fe00:1".parse().unwrap()), "EUI-64 of 02:00:00:00:00:01");
    let default = net.hosts[0].fib6.routes().find(|r| r.prefix.prefix_len() == 0).expect("a default route");
    assert!(default.hops[0].via.unwrap().is_unicast_link_local());
    assert_eq!(net.hosts[0].sysctl("ipv6.conf.eth0.mtu").as_deref(), Some("1400"));
    assert_eq!(net.ping(0, "fd00:7::1", 56), Ok((56, 64)));
    net.assert_ledger();
}

#[test]
fn what_was_learnt_runs_out() {
    let mut config = slaac_config();
    config.prefixes[0].valid_s = 100;
    config.prefixes[0].preferred_s = 50;
    config.lifetime_s = 60;
    let mut net = advertised(config);
    let address = made(&net).expect("an address");
    // The router falls silent.
    net.links[0].lose = Some(Box::new(|_| true));
    net.seconds(55);
    let entry = |net: &Net| net.hosts[0].dev.by_name("eth0").unwrap().addr6(address).map(|a| a.state);
    assert_eq!(entry(&net), Some(AddrState::Deprecated));
    net.seconds(10);
    assert!(net.hosts[0].fib6.routes().all(|r| r.prefix.prefix_len() > 0), "the default route is gone");
    net.seconds(60);
    assert_eq!(entry(&net), None);
    assert!(!net.hosts[0].is_local(address.into()));
}

#[test]
fn a_router_says_farewell() {
    let mut net = advertised(slaac_config());
    let dev = net.dev(1, "eth0");
    net.call(1, |ns, t| ns.set_router_advertisement(t, dev, None)).unwrap();
    net.seconds(1);
    assert!(net.hosts[0].fib6.routes().all(|r| r.prefix.prefix_len() > 0));
    assert!(made(&net).is_some(), "its prefix stays");
}

#[test]
fn a_host_may_refuse_advertisements() {
    let mut net = Net::new();
    let (host, router) = (net.host("host"), net.router("router"));
    net.sysctl(host, "ipv6.conf.default.accept_ra", "0");
    net.link(host, router);
    net.addr(router, "eth0", "fd00:7::1/64");
    let dev = net.dev(router, "eth0");
    net.call(router, |ns, t| ns.set_router_advertisement(t, dev, Some(slaac_config()))).unwrap();
    net.seconds(10);
    assert_eq!(made(&net), None);
    assert_eq!(net.logged(&["router solicitation"]), 0);
}

#[test]
fn redirects_shorten_the_way() {
    // client and two routers on one switch; the server's net is behind router 2.
    let mut net = Net::new();
    let (client, r1, r2) = (net.host("client"), net.router("r1"), net.router("r2"));
    let (switch, server) = (net.switch("switch", true), net.host("server"));
    for n in [client, r1, r2] {
        net.link(n, switch);
    }
    net.link(r2, server);
    for (n, dev, v4, v6) in [
        (client, "eth0", "10.0.0.9/24", "fd00::9/64"),
        (r1, "eth0", "10.0.0.1/24", "fd00::1/64"),
        (r2, "eth0", "10.0.0.2/24", "fd00::2/64"),
        (r2, "eth1", "10.0.1.1/24", "fd00:1::1/64"),
        (server, "eth0", "10.0.1.2/24", "fd00:1::2/64"),
    ] {
        net.addr(n, dev, v4);
        net.addr(n, dev, v6);
    }
    net.seconds(3);
    let ll2 =
        net.hosts[r2].dev.by_name("eth0").unwrap().addrs6.iter().find(|a| a.addr.is_unicast_link_local());
    let ll2 = ll2.unwrap().addr;
    net.route(client, "0.0.0.0/0", "10.0.0.1");
    net.route(client, "::/0", "fd00::1");
    net.route(r1, "10.0.1.0/24", "10.0.0.2");
    let dev = net.dev(r1, "eth0");
    net.call(r1, |ns, t| {
        ns.add_route(t, "fd00:1::/64".parse().unwrap(), Some(ll2.into()), Some(dev), 0).unwrap();
    });
    net.route(server, "0.0.0.0/0", "10.0.1.1");
    net.route(server, "::/0", "fd00:1::1");
    assert_eq!(net.ping(client, "10.0.1.2", 56), Ok((56, 63)));
    let before = net.hosts[r1].snmp.get(netspace_stack::snmp::Counter::IpForwDatagrams);
    assert_eq!(before, 1);
    assert_eq!(net.ping(client, "10.0.1.2", 56), Ok((56, 63)));
    assert_eq!(
        net.hosts[r1].snmp.get(netspace_stack::snmp::Counter::IpForwDatagrams),
        1,
        "straight to r2 now"
    );
    // IPv6: the first router must be named by its link-local address for a redirect to be believed.
    let ll1 =
        net.hosts[r1].dev.by_name("eth0").unwrap().addrs6.iter().find(|a| a.addr.is_unicast_link_local());
    let ll1 = ll1.unwrap().addr;
    let dev = net.dev(client, "eth0");
    net.call(client, |ns, t| {
        ns.del_route(t, "::/0".parse().unwrap(), None, None).unwrap();
        ns.add_route(t, "::/0".parse().unwrap(), Some(ll1.into()), Some(dev), 0).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(net.ping(client, "fd00:1::2", 56), Ok((56, 63)));
    }
    assert_eq!(net.hosts[r1].snmp.get(netspace_stack::snmp::Counter::Ip6OutForwDatagrams), 1);
    net.assert_ledger();
}

#[test]
fn link_local_addresses_work_and_do_not_leave_the_link() {
    let net = routed();
    let ll = net.hosts[1].dev.by_name("eth0").unwrap().addrs6.iter().find(|a| a.addr.is_unicast_link_local());
    let ll = ll.unwrap().addr;
    let dev = net.dev(0, "eth0");
    let query = netspace_stack::RouteQuery { oif: Some(dev), ..netspace_stack::RouteQuery::to(ll.into()) };
    let route = net.hosts[0].route_out(net.t.now, &query).unwrap();
    assert!(matches!(route.src, IpAddr::V6(src) if src.is_unicast_link_local()));
}

#[test]
fn a_link_that_comes_and_goes_does_not_multiply_solicitations() {
    let mut net = Net::new();
    let (host, other) = (net.host("host"), net.host("other"));
    let link = net.link(host, other);
    net.seconds(5);
    for _ in 0..5 {
        net.plug(link, false);
        net.plug(link, true);
        let dev = net.dev(host, "eth0");
        net.call(host, |ns, t| ns.set_up(t, dev, false)).unwrap();
        net.call(host, |ns, t| ns.set_up(t, dev, true)).unwrap();
        net.advance(std::time::Duration::from_millis(100));
    }
    let end = (host, net.dev(host, "eth0"));
    let asked = |net: &Net| {
        net.log.iter().filter(|(_, from, line)| *from == end && line.contains("router solicitation")).count()
    };
    let before = asked(&net);
    net.seconds(30);
    // After one or two seconds of duplicate address detection: at once, after 4 s, 8 s, 16 s.
    assert!((3..=4).contains(&(asked(&net) - before)), "{} were sent", asked(&net) - before);
}

/// A client whose default route leads by r1, and whose way to 10.0.1.2 r1 has redirected to r2: client, r1, r2.
fn redirected() -> Net {
    let mut net = Net::new();
    let (client, r1, r2) = (net.host("client"), net.router("r1"), net.router("r2"));
    let switch = net.switch("switch", true);
    for n in [client, r1, r2] {
        net.link(n, switch);
    }
    for (n, v4) in [(client, "10.0.0.9/24"), (r1, "10.0.0.1/24"), (r2, "10.0.0.2/24")] {
        net.addr(n, "eth0", v4);
    }
    net.seconds(3);
    net.route(client, "0.0.0.0/0", "10.0.0.1");
    net.route(r1, "10.0.1.0/24", "10.0.0.2");
    net.addr(r2, "eth0", "10.0.1.2/32");
    assert!(net.ping(client, "10.0.1.2", 56).is_ok());
    assert_eq!(net.hosts[client].learnt_paths4(net.t.now).len(), 1, "r2 is learnt");
    net
}

#[test]
fn a_redirect_to_a_gateway_that_died_is_forgotten() {
    let mut net = redirected();
    for conf in ["all", "eth0"] {
        net.sysctl(1, &format!("ipv4.conf.{conf}.send_redirects"), "0");
    }
    net.links[2].lose = Some(Box::new(|_| true));
    for _ in 0..4 {
        let _ = net.ping(0, "10.0.1.2", 56);
        net.seconds(10);
    }
    assert_eq!(net.hosts[0].learnt_paths4(net.t.now), [], "back to the route's own gateway");
}

#[test]
fn a_redirect_goes_with_its_device() {
    let mut net = redirected();
    let dev = net.dev(0, "eth0");
    net.call(0, |ns, t| ns.set_up(t, dev, false)).unwrap();
    assert_eq!(net.hosts[0].learnt_paths4(net.t.now), []);
}

#[test]
fn only_neighbours_are_redirected() {
    let mut net = redirected();
    // A packet from beyond: its sender could not use the better gateway.
    let to = (1, net.dev(1, "eth0"));
    let mac = net.hosts[1].dev.get(to.1).unwrap().mac;
    net.route(1, "192.0.2.0/24", "10.0.0.9");
    let sent = |net: &Net| net.hosts[1].snmp.get(netspace_stack::snmp::Counter::IcmpOutRedirects);
    let before = sent(&net);
    for (src, more) in [([192, 0, 2, 1], 0), ([10, 0, 0, 77], 1)] {
        let mut header = [0; 20];
        netspace_wire::ipv4::Ipv4Repr::new(src.into(), [10, 0, 1, 2].into(), 17, 8).emit(&mut header);
        let frame = [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 8, 0], &header, &[0; 8]].concat();
        net.inject(to, &frame);
        assert_eq!(sent(&net) - before, more, "from {src:?}");
    }
}

#[test]
fn the_time_between_solicitations_is_the_routers() {
    use netspace_wire::ipv6::Ipv6Repr;
    use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr, RouterAdvertisement, RouterPreference};
    let mut net = switched(true);
    let to = (0, net.dev(0, "eth0"));
    let (src, all): (Ipv6Addr, Ipv6Addr) = ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
    // 0 says nothing; less than 10 ms is not believed.
    for (retrans_ms, taken) in [(250, "250"), (0, "250"), (1, "10"), (2000, "2000")] {
        let repr = NdpRepr {
            message: NdpMessage::RouterAdvertisement(RouterAdvertisement {
                hop_limit: 0,
                managed: false,
                other: false,
                preference: RouterPreference::Medium,
                router_lifetime_s: 0,
                reachable_ms: 0,
                retrans_ms,
            }),
            options: NdpOptions::default(),
        };
        let mut message = vec![0; repr.header_len()];
        repr.emit(&mut message);
        netspace_wire::icmpv6::fill_checksum(src, all, &mut message);
        let mut header = [0; 40];
        Ipv6Repr { hop_limit: 255, ..Ipv6Repr::new(src, all, 58, message.len()) }.emit(&mut header);
        let frame =
            [[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 9, 9, 0x86, 0xdd].as_slice(), &header, &message].concat();
        net.inject(to, &frame);
        let told = net.hosts[0].sysctl("ipv6.neigh.eth0.retrans_time_ms");
        assert_eq!(told.as_deref(), Some(taken), "{retrans_ms} ms");
    }
}
