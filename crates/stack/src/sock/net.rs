//! What sockets ask of the network layer: one place for both families.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{Detail, DevId, Pkt, Point};
use netspace_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use netspace_wire::ipv4::{self, Ipv4Repr};
use netspace_wire::ipv6::{self, Ipv6Repr};

use super::SockError;
use super::flow::Flow;
use crate::l4::{Arrival, Cast};
use crate::route::SendInfo;
use crate::{Netns, Turn, icmp, ip, ip6};

/// Sends a packet whose data is the transport header on.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, info: &SendInfo) -> Result<(), SockError> {
    match info.dst {
        IpAddr::V4(_) => ip::send::send(ns, t, pkt, info),
        IpAddr::V6(_) => ip6::send::send(ns, t, pkt, info),
    }
}

/// Notes that a transport protocol has made `pkt` (data = its header on). Who reads the trace finds addresses only behind an IP
/// header, which is written later: the event gets one of its own.
pub(crate) fn trace_made(
    ns: &Netns,
    t: &mut Turn,
    point: Point,
    pkt: &Pkt,
    (src, dst): (IpAddr, IpAddr),
    protocol: u8,
    detail: Detail,
) {
    if !pkt.traced {
        return;
    }
    let mut view = pkt.clone();
    let len = pkt.len().min(usize::from(u16::MAX) - ipv4::HEADER_LEN);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Ipv4Repr::new(src, dst, protocol, len).emit(view.push(ipv4::HEADER_LEN));
            view.protocol = ETHERTYPE_IPV4;
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            Ipv6Repr::new(src, dst, protocol, len).emit(view.push(ipv6::HEADER_LEN));
            view.protocol = ETHERTYPE_IPV6;
        }
        _ => return,
    }
    view.set_network_header();
    t.trace.with(t.now, ns.id, point, &view, || detail);
}

/// Sends a packet whose IP header the program has written.
pub(crate) fn send_with_header(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    flow: &Flow,
    protocol: u8,
) -> Result<(), SockError> {
    let info = SendInfo {
        mark: flow.mark,
        dont_route: flow.dont_route,
        route: Some(flow.route),
        ..SendInfo::new(flow.dst.ip(), protocol)
    };
    match flow.dst.ip() {
        IpAddr::V4(_) => ip::send::send_with_header(ns, t, pkt, &info),
        IpAddr::V6(_) => ip6::send::send_with_header(ns, t, pkt, &info),
    }
}

/// Whether `addr` is one of this host's own (of `dev`'s, for link-local ones).
pub(crate) fn is_local(ns: &Netns, addr: IpAddr, dev: Option<DevId>) -> bool {
    match addr {
        IpAddr::V4(v4) => ip::source::is_local(ns, v4),
        // A link-local address belongs to its link.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            dev.and_then(|dev| ns.dev.get(dev)).is_some_and(|dev| dev.addr6(v6).is_some())
        }
        IpAddr::V6(v6) => ip6::source::is_local(ns, v6),
    }
}

/// Whether `addr` is a broadcast address of one of this host's networks.
pub(crate) fn is_broadcast(ns: &Netns, addr: IpAddr) -> bool {
    let IpAddr::V4(v4) = addr else { return false };
    v4 == Ipv4Addr::BROADCAST
        || ns.dev.iter().any(|dev| dev.addrs4.iter().any(|own| own.broadcast == Some(v4)))
}

/// Answers a datagram for which there is no socket (RFC 1122 §4.1.3.1, RFC 4443 §3.1).
pub(crate) fn port_unreachable(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) {
    if arrival.cast == Cast::Unicast {
        icmp::send_error(ns, t, pkt, icmp::Error::PortUnreachable);
    }
}

/// Answers a packet of a protocol that nobody takes (RFC 1122 §3.2.2.1, RFC 4443 §3.4).
pub(crate) fn protocol_unreachable(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) {
    if arrival.cast == Cast::Unicast {
        icmp::send_error(ns, t, pkt, icmp::Error::ProtocolUnreachable);
    }
}
