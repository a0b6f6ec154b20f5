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
