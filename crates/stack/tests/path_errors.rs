//! What cannot go on: who is told, how often it is counted, and that hostile packets do no harm.

mod common;

use common::{Net, PingError, routed, routed_with, switched};
use netspace_base::{Bytes, DevId, DropReason};
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{Family, Message, SockError, SockId, SockOpt, SockType};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::protocol;

/// An IPv4 packet as a frame to a device.
fn frame4(net: &Net, to: (usize, DevId), ip: &Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let mac = net.hosts[to.0].dev.get(to.1).unwrap().mac;
    let mut header = vec![0; ip.header_len()];
    ip.emit(&mut header);
    [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 8, 0], &header, payload].concat()
}

/// An IPv6 packet as a frame to a device.
fn frame6(net: &Net, to: (usize, DevId), ip: &Ipv6Repr, payload: &[u8]) -> Vec<u8> {
    let mac = net.hosts[to.0].dev.get(to.1).unwrap().mac;
    let mut header = [0; 40];
    ip.emit(&mut header);
    [mac.as_slice(), &[2, 0, 0, 0, 9, 9, 0x86, 0xdd], &header, payload].concat()
}

/// Sends a packet whose IPv4 header the program writes.
fn raw(net: &mut Net, n: usize, ip: &Ipv4Repr, payload: &[u8]) -> (SockId, Result<usize, SockError>) {
    let s = net.call(n, |ns, t| ns.socket(t, Family::Inet, SockType::Raw, 255)).unwrap();
    let mut data = vec![0; ip.header_len()];
    ip.emit(&mut data);
    data.extend(payload);
    let to = Some(std::net::SocketAddr::new(ip.dst.into(), 0));
    let message = Message { to, data: Bytes::from(data), ..Message::default() };
    let sent = net.call(n, |ns, t| ns.send(t, s, message));
    (s, sent)
}

#[test]
fn a_full_backlog_keeps_no_error_from_its_sender() {
    let mut net = switched(true);
    net.sysctl(0, "core.netdev_max_backlog", "1");
    for (dst, told) in [("10.0.0.99", (3, 1)), ("fd00::99", (1, 3))] {
        let s = net.ping_socket(0, dst);
        for _ in 0..3 {
            net.echo(0, s, dst, 10).unwrap();
        }
        net.seconds(5);
        for n in 0..3 {
            let error = net.recv(0, s, true).unwrap_or_else(|e| panic!("error {n} about {dst}: {e}"));
            let error = error.control.error.unwrap();
            assert_eq!((error.icmp_type, error.icmp_code), told, "host (address) unreachable");
        }
    }
    assert_eq!(net.dropped(DropReason::NeighFailed), 6);
    assert_eq!(net.dropped(DropReason::BacklogFull), 0);
    net.assert_ledger();
}

#[test]
fn a_program_hears_that_its_own_header_forbids_fragments() {
    let mut net = switched(true);
    let route: ipnet::IpNet = "10.0.0.2/32".parse().unwrap();
    let dev = net.dev(0, "eth0");
    net.call(0, |ns, t| {
        let ipnet::IpNet::V4(net4) = route else { unreachable!() };
        let hop = netspace_fib::NextHop::on(dev);
        let narrow = netspace_fib::Route { mtu: Some(1000), ..netspace_fib::Route::new(net4, hop) };
        ns.add_route4(t, narrow, netspace_fib::Add::New).unwrap();
    });
    // UDP to a port of the other host, by a program that takes errors about its datagrams.
    let udp = net.call(0, |ns, t| ns.socket(t, Family::Inet, SockType::Dgram, 0)).unwrap();
    net.call(0, |ns, t| ns.bind(t, udp, "10.0.0.1:4000".parse().unwrap())).unwrap();
    net.call(0, |ns, t| ns.set_option(t, udp, SockOpt::IpRecvErr(true))).unwrap();
    let ip = Ipv4Repr {
        dont_fragment: true,
        ..Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::UDP, 1200)
    };
    let mut datagram = vec![0; 1200];
    datagram[..8].copy_from_slice(&[0x0f, 0xa0, 0, 9, 0x04, 0xb0, 0, 0]);
    let (_, sent) = raw(&mut net, 0, &ip, &datagram);
    assert_eq!(sent, Ok(1220), "the call itself does not fail");
    net.seconds(1);
    let error = net.recv(0, udp, true).expect("fragmentation needed").control.error.unwrap();
    assert_eq!((error.error, error.icmp_type, error.icmp_code), (SockError::MessageSize, 3, 4));
    assert_eq!(error.info, 1000);
    assert_eq!(net.dropped(DropReason::FragmentFailed), 1);
    assert_eq!(net.hosts[0].snmp.get(Counter::IpFragFails), 1);
    net.assert_ledger();
}

#[test]
fn what_is_too_big_is_counted_once() {
    let mut net = routed_with(1500, 1300);
    for (dst, fails) in [("10.0.2.2", Counter::IpFragFails), ("fd00:2::2", Counter::Ip6FragFails)] {
        let s = net.ping_socket(0, dst);
        let discover = if dst.contains(':') {
            SockOpt::V6MtuDiscover(netspace_stack::sock::PmtuDiscover::Do)
        } else {
            SockOpt::IpMtuDiscover(netspace_stack::sock::PmtuDiscover::Do)
        };
        net.call(0, |ns, t| ns.set_option(t, s, discover)).unwrap();
        assert!(matches!(net.ping_with(0, s, dst, 1400), Err(PingError::Icmp { .. })), "the router tells");
        assert_eq!(net.hosts[1].snmp.get(fails), 1, "{dst}");
        assert_eq!(net.ping_with(0, s, dst, 1400), Err(PingError::Send(SockError::MessageSize)));
        assert!(net.hosts[0].snmp.get(fails) <= 1, "{dst}");
    }
}

#[test]
fn a_router_does_not_wrap_the_offset_of_fragments_it_cuts() {
    let mut net = routed_with(1500, 576);
    let to = (1, net.dev(1, "eth0"));
    // Its end lies beyond the longest packet: what would be cut from there on has no place in the offset field.
    let ip = Ipv4Repr {
        fragment_offset: 65_528,
        ..Ipv4Repr::new([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), protocol::UDP, 1400)
    };
    let frame = frame4(&net, to, &ip, &[0; 1400]);
    net.inject(to, &frame);
    net.seconds(2);
    assert_eq!(net.dropped(DropReason::FragmentFailed), 1);
    assert_eq!(net.hosts[1].snmp.get(Counter::IpFragCreates), 0);
    net.assert_ledger();
}

#[test]
fn icmpv6_tells_about_later_fragments_too() {
    let mut net = routed();
    net.ping(0, "fd00:2::2", 8).unwrap();
    let to = (1, net.dev(1, "eth0"));
    let ip = Ipv6Repr {
        hop_limit: 1,
        ..Ipv6Repr::new("fd00:1::2".parse().unwrap(), "fd00:2::2".parse().unwrap(), protocol::FRAGMENT, 24)
    };
    let mut payload = vec![protocol::UDP, 0, 0, 8, 0, 0, 0, 7];
    payload.extend([0; 16]);
    let frame = frame6(&net, to, &ip, &payload);
    net.inject(to, &frame);
    net.seconds(1);
    assert_eq!(
        net.hosts[1].snmp.get(Counter::Icmp6OutTimeExcds),
        1,
        "RFC 4443 §2.4 (e) has no such exception"
    );
}

#[test]
fn a_first_fragment_without_all_headers_is_refused() {
    let mut net = switched(true);
    net.ping(0, "fd00::2", 8).unwrap();
    let to = (1, net.dev(1, "eth0"));
    let ip = Ipv6Repr::new("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), protocol::FRAGMENT, 16);
    // A destination header of 16 bytes, of which only 8 are in the first fragment.
    let payload = [protocol::DESTINATION, 0, 0, 1, 0, 0, 0, 7, protocol::UDP, 1, 1, 4, 0, 0, 0, 0];
    let frame = frame6(&net, to, &ip, &payload);
    net.inject(to, &frame);
    net.seconds(1);
    assert_eq!(net.hosts[1].queued(), 0, "it does not wait for others");
    assert_eq!(net.hosts[1].snmp.get(Counter::Icmp6OutParmProblems), 1);
    assert!(net.logged(&["parameter problem"]) > 0, "{:#?}", net.log);
    let payload = [protocol::UDP, 0, 0, 1, 0, 0, 0, 8];
    let ip = Ipv6Repr { payload_len: 16, ..ip };
    let frame = frame6(&net, to, &ip, &[payload.as_slice(), &[0; 8]].concat());
    net.inject(to, &frame);
    assert_eq!(net.hosts[1].queued(), 1, "eight bytes hold a UDP header");
    net.assert_ledger();
}

#[test]
fn errors_that_come_to_everybody_are_not_believed() {
    let mut net = switched(true);
    let s = net.ping_socket(0, "10.0.0.2");
    net.echo(0, s, "10.0.0.2", 8).unwrap();
    net.seconds(1);
    net.recv(0, s, false).unwrap();
    let id = net.hosts[0].local_addr(s).unwrap().port().to_be_bytes();
    let mut error = vec![3, 1, 0, 0, 0, 0, 0, 0];
    let quoted = Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::ICMP, 8);
    let mut header = [0; 20];
    quoted.emit(&mut header);
    error.extend(header);
    error.extend([8, 0, 0, 0, id[0], id[1], 0, 1]);
    netspace_wire::icmpv4::fill_checksum(&mut error);
    let to = (0, net.dev(0, "eth0"));
    for (dst, believed) in [([10, 0, 0, 255], false), ([224, 0, 0, 1], false), ([10, 0, 0, 1], true)] {
        let ip = Ipv4Repr::new([10, 0, 0, 2].into(), dst.into(), protocol::ICMP, error.len());
        let mut frame = frame4(&net, to, &ip, &error);
        if dst[0] == 224 {
            frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
        }
        net.inject(to, &frame);
        assert_eq!(net.recv(0, s, true).is_ok(), believed, "to {dst:?}");
    }
    assert_eq!(net.dropped(DropReason::IcmpIgnored), 2);
}
