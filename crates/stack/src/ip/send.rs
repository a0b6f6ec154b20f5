//! A packet is made here: its IPv4 header is written.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{ChecksumState, Detail, DropReason, Pkt, PktType, Point};
use netspace_wire::ethernet::ETHERTYPE_IPV4;
use netspace_wire::ipv4::{HEADER_LEN, Ipv4Options, Ipv4Repr};

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
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (info.src.unwrap_or(route.src), destination(info, route)) else {
        *result = Err(SockError::AddressFamily);
        return Err(Stop::Drop(pkt, DropReason::NoRouteOut));
    };
    let options = Ipv4Options::parse(&info.options).unwrap_or_default();
    let header_len = HEADER_LEN + options.padded_len();
    let len = header_len + pkt.len();
    if len > 0xffff {
        *result = Err(SockError::MessageSize);
        return Err(Stop::Drop(pkt, DropReason::TooBig));
    }
    let frames = pkt.gso.map_or(1, |gso| pkt.len().div_ceil(usize::from(gso.size.max(1))) as u16);
    let multicast = route.kind == RouteKind::Multicast;
    let default_ttl = if multicast { 1 } else { ns.sysctl.net4.ip_default_ttl as u8 };
    let ip = Ipv4Repr {
        ttl: info.ttl.or(route.hop_limit.filter(|_| !multicast)).unwrap_or(default_ttl),
        tos: info.tos,
        id: ns.ip.ident(src, dst, info.protocol, frames),
        dont_fragment: info.df,
        total_len: len as u16,
        options,
        ..Ipv4Repr::new(src, dst, info.protocol, 0)
    };
    pkt.set_transport_header();
    ip.emit(pkt.push(header_len));
    pkt.set_network_header();
    pkt.protocol = ETHERTYPE_IPV4;
    pkt.mark = info.mark;
    route_and_output(ns, t, pkt, info, route, result)
}

/// `0.0.0.0` as a destination means this host.
fn destination(info: &SendInfo, route: &RouteOut) -> IpAddr {
    if info.dst.is_unspecified() { route.via } else { info.dst }
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
    let IpAddr::V4(via) = route.via else { return Err(Stop::Drop(pkt, DropReason::NoRouteOut)) };
    pkt.dev = route.dev;
    pkt.pkt_type = PktType::Outgoing;
    ns.snmp.inc(Counter::IpOutRequests);
    if pkt.traced {
        if info.protocol == netspace_wire::protocol::ICMP {
            t.trace.at(t.now, ns.id, Point::IcmpSend, &pkt);
        }
        let (via, dev) = (route.via, route.dev);
        t.trace.with(t.now, ns.id, Point::RouteOut, &pkt, || Detail::Route { via, dev });
        t.trace.at(t.now, ns.id, Point::IpSend, &pkt);
    }
    if matches!(route.kind, RouteKind::Multicast | RouteKind::Broadcast) {
        loop_back(ns, t, &pkt, info, route, via);
        if route.kind == RouteKind::Multicast && info.ttl == Some(0) {
            return Ok(pkt);
        }
    }
    let mtu = info.mtu.unwrap_or(route.mtu);
    if info.df && output::wire_len(&pkt) > mtu as usize {
        *result = Err(SockError::MessageSize);
        return Err(Stop::Drop(pkt, DropReason::TooBig));
    }
    output::output(ns, t, pkt, route.kind, via, mtu)
}

/// Group and broadcast packets come back to this host's own members.
fn loop_back(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, info: &SendInfo, route: &RouteOut, group: Ipv4Addr) {
    let octets = pkt.len() as u64;
    let source = Ipv4Repr::parse_quoted(pkt.network_header()).map_or(Ipv4Addr::UNSPECIFIED, |(ip, _)| ip.src);
    let member = if route.kind == RouteKind::Multicast {
        ns.snmp.inc(Counter::IpExtOutMcastPkts);
        ns.snmp.add(Counter::IpExtOutMcastOctets, octets);
        info.multicast_loop && ns.dev.get(route.dev).is_some_and(|d| d.groups4.allows(group, source))
    } else {
        ns.snmp.inc(Counter::IpExtOutBcastPkts);
        ns.snmp.add(Counter::IpExtOutBcastOctets, octets);
        true
    };
    let loopback = ns.dev.get(route.dev).is_some_and(crate::dev::Device::is_loopback);
    if member && !loopback {
        let mut copy = t.clone_pkt(pkt);
        copy.pkt_type = PktType::Loopback;
        copy.clear_mac_header();
        let step = ns.reenter_later(copy, Reentry::Looped);
        ns.finish(t, step);
    }
}

/// Sends a packet whose IPv4 header the program has written (`IP_HDRINCL`): length, checksum, and where they are 0 the
/// identification and source are filled in.
pub(crate) fn send_with_header(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    info: &SendInfo,
) -> Result<(), SockError> {
    let checked = way_out(ns, t, info).and_then(|route| Ok((route, complete_header(ns, &mut pkt, &route)?)));
    let (route, header_len) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            ns.finish(t, Err(Stop::Drop(pkt, DropReason::NoRouteOut)));
            return Err(error);
        }
    };
    if pkt.len() > route.dev_mtu as usize {
        ns.finish(t, Err(Stop::Drop(pkt, DropReason::TooBig)));
        return Err(SockError::MessageSize);
    }
    pkt.set_network_header();
    pkt.pull(header_len);
    pkt.set_transport_header();
    pkt.unpull(header_len);
    pkt.protocol = ETHERTYPE_IPV4;
    pkt.mark = info.mark;
    pkt.checksum = ChecksumState::None;
    let mut result = Ok(());
    let plain = SendInfo { df: false, ..info.clone() };
    let step = route_and_output(ns, t, pkt, &plain, &route, &mut result);
    ns.finish(t, step);
    result
}

/// Fills in what the kernel fills in for `IP_HDRINCL`; gives the header's length.
fn complete_header(ns: &mut Netns, pkt: &mut Pkt, route: &RouteOut) -> Result<usize, SockError> {
    let len = u16::try_from(pkt.len()).map_err(|_| SockError::MessageSize)?;
    let want = pkt.len().min(60);
    if want < HEADER_LEN || !pkt.pull_linear(want) {
        return Err(SockError::Invalid);
    }
    let header = pkt.data_mut();
    let header_len = usize::from(header[0] & 15) * 4;
    if !(HEADER_LEN..=want).contains(&header_len) {
        return Err(SockError::Invalid);
    }
    header[2..4].copy_from_slice(&len.to_be_bytes());
    if header[12..16] == [0; 4]
        && let IpAddr::V4(src) = route.src
    {
        header[12..16].copy_from_slice(&src.octets());
    }
    let src = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let dst = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    if header[4..6] == [0; 2] {
        let id = ns.ip.ident(src, dst, header[9], 1);
        header[4..6].copy_from_slice(&id.to_be_bytes());
    }
    netspace_wire::ipv4::fill_header_checksum(&mut header[..header_len]);
    Ok(header_len)
}
