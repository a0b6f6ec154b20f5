//! A packet is made here: its IPv6 header is written.

use std::net::IpAddr;

use netspace_base::{ChecksumState, Detail, DropReason, Pkt, PktType, Point};
use netspace_wire::ethernet::ETHERTYPE_IPV6;
use netspace_wire::ipv6::{HEADER_LEN, Ipv6Repr};

use super::output;
use crate::error::SockError;
use crate::netns::Reentry;
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::way_out::way_out;
use crate::{Netns, RouteKind, RouteOut, Step, Stop, Turn};

/// Sends a packet whose data is the transport header on. Errors are those that the program is told; the packet has ended
/// then, too.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, info: &SendInfo) -> Result<(), SockError> {
    let route = match way_out(ns, t, info) {
        Ok(route) => route,
        Err(error) => {
            ns.finish(t, Err(Stop::Drop(pkt, DropReason::NoRouteOut)));
            return Err(error);
        }
    };
    let mut result = Ok(());
    let step = header(ns, t, pkt, info, &route, &mut result);
    ns.finish(t, step);
    result
}

fn header(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    info: &SendInfo,
    route: &RouteOut,
    result: &mut Result<(), SockError>,
) -> Step {
    let dst = if info.dst.is_unspecified() { route.via } else { info.dst };
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (info.src.unwrap_or(route.src), dst) else {
        *result = Err(SockError::AddressFamily);
        return Err(Stop::Drop(pkt, DropReason::NoRouteOut));
    };
    let len = pkt.len();
    if len > 0xffff {
        *result = Err(SockError::MessageSize);
        return Err(Stop::Drop(pkt, DropReason::TooBig));
    }
    let multicast = route.kind == RouteKind::Multicast;
    let default = if multicast { 1 } else { route.hop_limit.unwrap_or(64) };
    let ip = Ipv6Repr {
        hop_limit: info.ttl.unwrap_or(default),
        traffic_class: info.tos,
        flow_label: info.flow_label,
        ..Ipv6Repr::new(src, dst, info.protocol, len)
    };
    pkt.set_transport_header();
    ip.emit(pkt.push(HEADER_LEN));
    pkt.set_network_header();
    pkt.protocol = ETHERTYPE_IPV6;
    pkt.mark = info.mark;
    route_and_output(ns, t, pkt, info, route, result)
}

/// The packet (network header in front) leaves by a route: looped copies first, then the device.
fn route_and_output(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    info: &SendInfo,
    route: &RouteOut,
    result: &mut Result<(), SockError>,
) -> Step {
    let IpAddr::V6(via) = route.via else { return Err(Stop::Drop(pkt, DropReason::NoRouteOut)) };
    pkt.dev = route.dev;
    pkt.pkt_type = PktType::Outgoing;
    ns.snmp.inc(Counter::Ip6OutRequests);
    if pkt.traced {
        if info.protocol == netspace_wire::protocol::ICMPV6 {
            t.trace.at(t.now, ns.id, Point::IcmpSend, &pkt);
        }
        let (via, dev) = (route.via, route.dev);
        t.trace.with(t.now, ns.id, Point::RouteOut, &pkt, || Detail::Route { via, dev });
        t.trace.at(t.now, ns.id, Point::IpSend, &pkt);
    }
    if route.kind == RouteKind::Multicast {
        loop_back(ns, t, &pkt, info, route);
        if info.ttl == Some(0) {
            return Ok(pkt);
        }
    }
    let mtu = info.mtu.unwrap_or(route.mtu);
    if output::wire_len(&pkt) > mtu as usize {
        if info.df {
            *result = Err(SockError::MessageSize);
            return Err(Stop::Drop(pkt, DropReason::TooBig));
        }
        t.trace.at(t.now, ns.id, Point::Fragment, &pkt);
        let to = output::next_hop(route.kind, via);
        return super::fragment::fragment(ns, t, pkt, mtu, to);
    }
    output::output(ns, t, pkt, route.kind, via)
}

/// Group packets come back to this host's own members.
fn loop_back(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, info: &SendInfo, route: &RouteOut) {
    ns.snmp.inc(Counter::Ip6OutMcastPkts);
    ns.snmp.add(Counter::Ip6OutMcastOctets, pkt.len() as u64);
    let IpAddr::V6(group) = info.dst else { return };
    let Ok((ip, _)) = Ipv6Repr::parse(pkt.network_header()) else { return };
    let member = ns.dev.get(route.dev).is_some_and(|d| !d.is_loopback() && d.groups6.allows(group, ip.src));
    if info.multicast_loop && member {
        let mut copy = t.clone_pkt(pkt);
        copy.pkt_type = PktType::Loopback;
        copy.clear_mac_header();
        let step = ns.reenter_later(copy, Reentry::Looped);
        ns.finish(t, step);
    }
}

/// Sends a packet whose IPv6 header the program has written (`IPV6_HDRINCL`).
pub(crate) fn send_with_header(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    info: &SendInfo,
) -> Result<(), SockError> {
    let checked = way_out(ns, t, info).and_then(|route| {
        let whole = pkt.pull_linear(HEADER_LEN) && pkt.len() <= route.dev_mtu as usize;
        if whole { Ok(route) } else { Err(SockError::MessageSize) }
    });
    let route = match checked {
        Ok(route) => route,
        Err(error) => {
            ns.finish(t, Err(Stop::Drop(pkt, DropReason::NoRouteOut)));
            return Err(error);
        }
    };
    pkt.set_network_header();
    pkt.pull(HEADER_LEN);
    pkt.set_transport_header();
    pkt.unpull(HEADER_LEN);
    pkt.protocol = ETHERTYPE_IPV6;
    pkt.mark = info.mark;
    pkt.checksum = ChecksumState::None;
    let mut result = Ok(());
    let step = route_and_output(ns, t, pkt, info, &route, &mut result);
    ns.finish(t, step);
    result
}
